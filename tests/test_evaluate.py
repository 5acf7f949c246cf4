"""Judging crystals: known answers for every word, invariance under how a crystal is written, and nothing that hangs."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trouble import complain, crash, hang, read_but_one

from fourier_workbench.crystal import Crystal
from fourier_workbench.errors import EvaluationError
from fourier_workbench.evaluation import inputs as inputs_module
from fourier_workbench.evaluation import uniqueness as uniqueness_module
from fourier_workbench.evaluation.context import EvaluationContext, ResultCache
from fourier_workbench.evaluation.inputs import by_formula, read_samples
from fourier_workbench.evaluation.metrics import METRICS, Metric, add_verdicts, metrics_of, register, sample_rates
from fourier_workbench.evaluation.report.html import (
    distances_section,
    distribution_section,
    evaluation_page,
    facts_section,
    funnel_section,
    gallery_section,
    rates_section,
    training_section,
    write_report,
)
from fourier_workbench.evaluation.structures import composition
from fourier_workbench.evaluation.uniqueness import MATCH, find_matches, is_same, match_pairs
from fourier_workbench.evaluation.workers import Outcome, Workers
from fourier_workbench.generation import Generator, evaluate, evaluate_reconstruction
from fourier_workbench.matching.reduced_cell import PAPER_TOLERANCE
from fourier_workbench.model.autoencoder import AutoencoderConfig, Decoded
from fourier_workbench.representation import FourierBasis
from fourier_workbench.training import override, recipes

HALITE = Crystal(2.9 * (1 - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
CAESIUM = Crystal(np.eye(3) * 3.4, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Crystal(
    np.diag([4.59, 4.59, 2.96]),
    [22, 22, 8, 8, 8, 8],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]],
)
SQUEEZED = Crystal(np.eye(3) * 0.45, [3], [[0, 0, 0]])
APART = Crystal(np.eye(3) * 9, [3, 3], [[0, 0, 0], [0.5, 0.5, 0.5]])  # 364 Å³ an atom


# ---------------------------------------------------------------------------------------------------- sameness

unimodular = st.sampled_from([np.eye(3), [[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]]).map(
    np.array
)


@given(cell=unimodular, shift=st.tuples(*[st.floats(0, 1)] * 3), seed=st.integers(0, 99), mirror=st.booleans())
@settings(max_examples=15)
def test_how_a_crystal_is_written_does_not_matter(cell, shift, seed: int, mirror: bool) -> None:
    frac = (RUTILE.frac_coords + shift) @ np.linalg.inv(cell)
    order = np.random.default_rng(seed).permutation(len(RUTILE))
    lattice = cell @ RUTILE.lattice
    other = Crystal(lattice * ([-1, 1, 1] if mirror else 1), RUTILE.numbers[order], frac[order])
    assert is_same(RUTILE, other)
    assert is_same(other, RUTILE)


def test_supercells_scales_and_other_structures() -> None:
    assert is_same(HALITE, HALITE.supercell(np.diag([2, 1, 1])))
    assert is_same(HALITE, Crystal(HALITE.lattice * 1.4, HALITE.numbers, HALITE.frac_coords)), "volumes are scaled"
    assert not is_same(HALITE, CAESIUM)
    assert not is_same(HALITE, Crystal(HALITE.lattice, [11, 35], HALITE.frac_coords)), "another element"
    moved = Crystal(RUTILE.lattice, RUTILE.numbers, RUTILE.frac_coords + np.eye(6, 3) * 0.16)
    assert is_same(RUTILE, moved, MATCH)
    assert PAPER_TOLERANCE != MATCH


def test_duplicates_are_found_within_a_formula() -> None:
    samples = [HALITE, None, CAESIUM, HALITE.supercell(np.diag([1, 1, 2])), RUTILE, RUTILE]
    results = find_matches(samples, {"TiO2": {"rutile": RUTILE}}, workers=2, progress=False)
    assert [result.duplicate_of for result in results] == [None, None, None, 0, None, 4]
    assert [result.reference for result in results] == [None] * 4 + ["rutile"] * 2
    assert match_pairs([HALITE, HALITE, None], [HALITE, RUTILE, HALITE], workers=1, progress=False) == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(("trouble", "reason"), [(crash, "crash"), (hang, "timeout"), (complain, "ValueError: no")])
def test_a_library_that_crashes_or_hangs_is_counted(monkeypatch: pytest.MonkeyPatch, trouble, reason: str) -> None:
    monkeypatch.setattr(uniqueness_module, "first_match", trouble)
    limit = 2.0 if trouble is hang else 60.0  # seconds; on a busy machine a worker may take some to begin
    results = find_matches([HALITE, CAESIUM, HALITE, RUTILE], workers=1, limit=limit, progress=False)
    assert [result.failure for result in results] == [reason, None, reason, None], (
        "the smallest of a formula and an only one are not compared"
    )


# ---------------------------------------------------------------------------------------------------- rates


def test_every_rate_has_all_drawn_as_its_denominator() -> None:
    crystals = [HALITE, CAESIUM, HALITE, SQUEEZED, APART, None, RUTILE, None]
    report = evaluate(crystals, [HALITE], workers=1, progress=False)
    assert set(report.rates["denominator"]) == {8}
    expected = {
        "recovered": 6,
        "valid": 4,
        "unique": 5,
        "novel": 4,
        "novel formula": 3,
        "valid, unique, novel": 2,
    }
    found = report.rates.set_index("metric")["count"].to_dict()
    assert {name: found[name] for name in expected} == expected
    assert "clean" not in found, "nothing is known of slots"
    assert report.rates["definition"].str.len().min() > 5
    assert (report.rates["value"] == report.rates["count"] / 8).all()


def test_coverage_is_refused_or_left_open_where_too_few_references_set_its_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"workers": 1, "progress": False, "compare": 0, "measurements": ["sizes"]}
    assert "not computed" in evaluate([HALITE], [CAESIUM], **options).facts["coverage"]
    for reference in ([CAESIUM] * 29, None):
        with pytest.raises(EvaluationError, match="at least 30 reference crystals"):
            evaluate([HALITE], reference, coverage=1000, **options)
    monkeypatch.setitem(evaluate.__globals__, "structure_fingerprint", complain)
    report = evaluate([HALITE, None], [CAESIUM] * 31, coverage=1000, **options)
    rows = report.rates.set_index("metric").loc[["coverage recall", "coverage precision"]]
    assert rows["value"].isna().all()
    assert rows["failures"].tolist() == [31, 2]
    assert rows["definition"].str.contains("of 31 reference crystals only 0 have fingerprints").all()


def test_without_a_reference_nothing_is_said_of_novelty() -> None:
    assert not {"novel", "novel formula"} & set(evaluate([HALITE, None], progress=False).rates["metric"])


def test_a_reference_may_be_grouped_before() -> None:
    grouped = by_formula([HALITE, RUTILE])
    assert set(grouped) == {"NaCl", "TiO2"}
    report = evaluate([HALITE, CAESIUM], grouped, workers=1, progress=False)
    assert report["novel"] == 0.5
    assert report.structures["nearest"].tolist() == ["0", None]


def test_files_are_read_and_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    HALITE.to_cif(tmp_path / "deep" / "a.cif")
    text = HALITE.to_cif()
    (tmp_path / "b.cif").write_text(text.replace("  1\n", "  0.5\n"))
    (tmp_path / "c.cif").write_text("data_\n_cell_length_a x\n")
    report = evaluate(tmp_path, progress=False)
    assert report.funnel["rejected"] == {"partial_occupancy": 1, "unreadable": 1}
    assert report["recovered"] == pytest.approx(1 / 3)
    assert report.structures["id"].tolist() == ["b", "c", "deep/a"]
    saved = {path.name: path for path in report.save(tmp_path / "out")}
    assert json.loads(saved["metrics.json"].read_text())[0]["metric"] == "recovered"
    assert len(pd.read_parquet(saved["structures.parquet"])) == 3


def test_a_table_with_nonsense_in_it_is_read_row_by_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"lattice": HALITE.lattice.ravel(), "atomic_numbers": [11, 17], "frac_coords": HALITE.frac_coords.ravel()},
        {"lattice": [0.0] * 9, "atomic_numbers": [11, 17], "frac_coords": HALITE.frac_coords.ravel()},
        {"lattice": HALITE.lattice.ravel(), "atomic_numbers": [119, 17], "frac_coords": HALITE.frac_coords.ravel()},
        {"lattice": HALITE.lattice.ravel(), "atomic_numbers": [11], "frac_coords": [0.0, 0.0]},
        {"lattice": None, "atomic_numbers": None, "frac_coords": None},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "x.parquet")
    drawn = read_samples(tmp_path / "x.parquet")
    assert [crystal is not None for crystal in drawn.crystals] == [True, False, False, False, False]
    assert drawn.reasons == [None, "volume", "element", "unreadable", "missing"]


@pytest.mark.parametrize("what", ["empty folder", "nowhere", "no table", "no crystals", "not crystals"])
def test_what_cannot_be_judged_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    (tmp_path / "bad.parquet").write_text("x")
    given_ = {
        "empty folder": tmp_path / "empty",
        "nowhere": tmp_path / "nowhere",
        "no table": tmp_path / "bad.parquet",
        "no crystals": [],
        "not crystals": [1, 2],
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError) as refused:
        evaluate(given_[what])  # type: ignore[arg-type]
    assert len(str(refused.value).splitlines()) == 1


# ---------------------------------------------------------------------------------------------------- other generators


def write_as(kind: str, folder: Path, crystals: list[Crystal]) -> Path:
    "The crystals, and one entry that is none, as other codes would leave them."
    texts = {f"{i}.cif": crystal.to_cif() for i, crystal in enumerate(crystals)} | {"9.cif": "no crystal"}
    structures = [*[crystal.to_structure().as_dict() for crystal in crystals], {"sites": 3}]
    path = folder / f"all.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
    elif kind == "tar.gz":
        with tarfile.open(path, "w:gz") as archive:
            for name, text in texts.items():
                (folder / name).write_text(text)
                archive.add(folder / name, name)
    elif kind == "csv":
        pd.DataFrame({"cif": texts.values()}).to_csv(path)
    elif kind == "json":
        path.write_text(json.dumps(structures))
    elif kind == "json.gz":
        path.write_bytes(gzip.compress(json.dumps(structures).encode()))
    elif kind == "extxyz":
        frames = "".join(extxyz_of(crystal) for crystal in crystals)
        path.write_text(frames + '1\nLattice="1 0 0 0 1 0 0 0 1" pbc="T T T"\nQq 0 0 0\n')
    return path


def extxyz_of(crystal: Crystal) -> str:
    "One frame."
    buffer = io.StringIO()
    ase.io.write(buffer, crystal.to_ase(), format="extxyz")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "csv", "json", "json.gz", "extxyz"])
def test_what_any_generator_leaves_is_read(kind: str, tmp_path: Path, reading_context: EvaluationContext) -> None:
    drawn = read_samples(write_as(kind, tmp_path, [HALITE, RUTILE]), reading_context)
    assert [None if c is None else c.reduced_formula for c in drawn.crystals] == ["NaCl", "TiO2", None]
    assert drawn.reasons[:2] == [None, None]
    assert drawn.reasons[2] in ("unreadable", "element")


@pytest.fixture(scope="module")
def reading_context() -> Iterator[EvaluationContext]:
    "Workers that stay for all formats."
    with Workers(1) as pool:
        yield EvaluationContext(pool)


def test_a_file_that_hangs_its_parser_costs_itself_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(inputs_module, "read_entries", read_but_one)
    for i in range(4):
        HALITE.to_cif(tmp_path / f"{i}.cif")
    with Workers(1, 1.0) as pool:
        drawn = read_samples(tmp_path, EvaluationContext(pool))
    assert drawn.reasons == [None, "reading: timeout", None, None]
    assert drawn.ids == ["0", "1.cif", "2", "3"]


DIAMOND = Crystal(1.78 * (1 - np.eye(3)), [6, 6], [[0, 0, 0], [0.25, 0.25, 0.25]])


def test_a_killed_evaluation_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crystals = [HALITE, CAESIUM, RUTILE, HALITE, None]
    options: dict[str, Any] = {"workers": 1, "progress": False, "compare": 0, "directory": tmp_path / "out"}
    with monkeypatch.context() as patched:  # a kill before the end
        patched.setattr(ResultCache, "finish", lambda self: None)
        first = evaluate(crystals, [HALITE], **options)
    asked: list[object] = []
    run = Workers.run

    def counting(self, function, items, **more):
        asked.extend(items)
        return run(self, function, items, **more)

    monkeypatch.setattr(Workers, "run", counting)
    second = evaluate(crystals, [HALITE], **options)
    assert asked == [], "nothing is asked twice"
    pd.testing.assert_frame_equal(first.structures, second.structures)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    third = evaluate(crystals, [HALITE], **options)
    assert asked == [], "nor after it was finished"
    pd.testing.assert_frame_equal(first.structures, third.structures)
    assert whole == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    evaluate([*crystals, DIAMOND], [HALITE], **options)
    assert {repr(item) for item in asked} <= {repr(DIAMOND), repr(composition(DIAMOND))}, "of more samples, the new ones"
    evaluate(crystals[:1], [HALITE], **options)
    assert len((tmp_path / "out" / "journal.jsonl").read_text().splitlines()) < len(whole["journal.jsonl"].splitlines())
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["facts"]["smact"] == second.facts["smact"]


def test_what_had_too_little_time_is_asked_again_when_it_gets_more(tmp_path: Path) -> None:
    path, asked = tmp_path / "journal.jsonl", []

    class Pool:
        seconds = 5.0

        def run(self, function, items, *, done, **_):
            asked.append(len(items))
            for i in range(len(items)):
                done(i, Outcome(None, ["timeout", "crash", "ValueError"][i], Pool.seconds))

    def ask() -> list[str | None]:
        context = EvaluationContext(Pool(), ResultCache(path))  # type: ignore[arg-type]
        outcomes = context.run(abs, [1, 2, 3], "abc", "asking")
        context.cache.finish()
        return [outcome.failure for outcome in outcomes]

    assert ask() == ["timeout", "crash", "ValueError"]
    Pool.seconds = 4.0
    ask()
    Pool.seconds = 20.0
    ask()
    assert asked == [3, 1, 2]


def test_real_crystals_pass_the_checks_of_their_benchmarks() -> None:
    excerpt = json.loads((Path(__file__).parent / "ground_truth.json").read_text())
    rows = [row for rows in excerpt.values() for row in rows]
    crystals = [
        Crystal(np.reshape(r["lattice"], (3, 3)), r["atomic_numbers"], np.reshape(r["frac_coords"], (-1, 3)))
        for r in rows
    ]
    report = evaluate(crystals, workers=1, progress=False)
    assert report["CDVAE structure"] == report["valid"] == report["distances by radii"] == 1
    assert report["CDVAE valid"] == report["all checks"] == 15 / 16, "one perovskite in seventy has no neutral charges"
    assert report["unique"] == 1
    assert report.rates.set_index("metric").loc["valid", "low"] < 1, "sixteen crystals prove no certainty"


# ---------------------------------------------------------------------------------------------------- metrics

LABELS = """recovered; valid; ghost; empty; clean; distances; volume per atom; distances by radii; cell not flat;
mass density; charge neutral; electronegativity; all checks; CDVAE structure; CDVAE composition;
CDVAE valid; P1 or P-1; P1 or P-1, 0.01 Å; unique; unique, strict; unique by hash; novel; novel, strict; novel by hash;
novel formula; not known by hash; valid, unique, novel; all checks, unique, novel; clean, unique, novel"""


def test_labels_of_metrics_and_their_order_stay() -> None:
    assert [metric.label for metric in metrics_of("samples")] == [label.strip() for label in LABELS.split(";")]
    results = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / "baselines_embedded.json").read_text())
    written = {row["metric"] for column in results["table"].values() for row in column["rates"]}
    assert written <= {metric.label for metric in METRICS.values()}, "results of earlier versions are read"


def test_a_metric_is_one_object(tmp_path: Path) -> None:
    before = dict(METRICS)
    try:
        register(Metric("light", "light", "mass density below 3 g/cm³", ("sizes",), lambda table: table["mass_density"] < 3))
        register(Metric("bound", "bound", "needs a measurement that nobody made", ("binding",)))
        report = evaluate([HALITE, RUTILE, None], workers=1, progress=False, measurements=["sizes"])
        with pytest.raises(EvaluationError, match="already a metric"):
            register(Metric("other", "light", "the label is taken"))
    finally:
        METRICS.clear()
        METRICS.update(before)
    row = report.rates.iloc[-1]
    assert (row["metric"], row["count"], row["denominator"]) == ("light", 1, 3)
    assert "bound: binding was not measured" in report.facts["left out"]
    assert "mass density below 3 g/cm³" in evaluation_page(tmp_path / "page.html", report).read_text(encoding="utf-8")


def test_a_failed_measurement_is_not_passed_and_counted() -> None:
    failures = [None, "symmetry: timeout", "sizes: crash; hash: timeout"]
    table = pd.DataFrame({"min_distance": [2.8, 2.8, None], "failure": failures})
    table, left_out = add_verdicts(table, ["sizes"], [METRICS["distances"], METRICS["neutral"]])
    (row,) = sample_rates(table, left_out)
    assert (row["count"], row["denominator"], row["failures"]) == (2, 3, 1)
    assert list(left_out) == ["charge neutral"]


def test_evaluation_is_imported_without_any_extra() -> None:
    code = """import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in "plotly ipywidgets anywidget py3Dmol smact matminer chgnet skimage IPython".split():
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
import fourier_workbench.evaluation, fourier_workbench.generation, fourier_workbench.evaluation.report.html
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------------------------------------- reconstruction


class Copier:
    "An autoencoder that loses nothing: the ladder is the input itself; `wrong` moves what comes out."

    def __init__(self, lattice: float = 0.0, species: int = 0, shift: float = 0.0) -> None:
        self.basis, self.lattice, self.species, self.shift = FourierBasis(5), lattice, species, shift
        self.selector = torch.ones(6 + 6 + 6 * len(self.basis), dtype=torch.bool)
        self.lattice_strain, self.config = torch.zeros(()), AutoencoderConfig()

    def encode(self, lattice, species, coefficients):
        "Everything in one row."
        return torch.cat([lattice.to(torch.complex64), species.to(torch.complex64), coefficients.flatten(1)], 1)

    def decode(self, ladder) -> Decoded:
        "And out again, with the mistakes that were asked for."
        classes = ladder[:, 6:12].real.round().long()
        classes = torch.where(classes > 0, classes + self.species, classes)
        alpha = ladder[:, 12:].unflatten(1, (6, -1))
        half_cell = torch.exp(-2j * torch.pi * self.basis.wave_vectors[:, 0] * self.shift)
        alpha = torch.cat([alpha[:, :1] * half_cell, alpha[:, 1:]], 1)
        logits = torch.nn.functional.one_hot(classes, 84).float()
        return Decoded(ladder[:, :6].real + self.lattice, logits, alpha)


def copier(**mistakes: Any) -> Generator:
    "A generator around it, on the 1/24 grid."
    recipe = override(recipes.laptop(), autoencoder__grid=24)
    return Generator(Copier(**mistakes), None, None, recipe)  # type: ignore[arg-type]


def test_a_copy_is_exact() -> None:
    report = evaluate_reconstruction(copier(), [HALITE, CAESIUM, RUTILE], workers=1, progress=False)
    for rate in ("exact", "match", "recovered", "species per slot", "species, all slots"):
        assert report[rate] == 1, rate
    assert report["L_four RMS"] == 0
    assert report["lattice RMSE"] < 1e-6


def test_each_mistake_shows_where_it_was_made() -> None:
    crystals = [HALITE, CAESIUM]
    reports = {
        name: evaluate_reconstruction(copier(**mistakes), crystals, workers=1, progress=False)
        for name, mistakes in {"lattice": {"lattice": 0.1}, "species": {"species": 2}, "shift": {"shift": 0.25}}.items()
    }
    assert reports["lattice"]["lattice RMSE"] == pytest.approx(0.1, abs=1e-5)
    assert reports["lattice"]["exact"] == 1, "exact speaks of species and nodes"
    assert reports["species"]["exact"] == reports["species"]["match"] == 0
    assert reports["species"]["species per slot"] == pytest.approx(4 / 6), "two of six slots are wrong"
    assert reports["shift"]["exact"] == 0
    assert reports["shift"]["L_four RMS"] > 0.1


def test_a_crystal_that_cannot_be_encoded_counts_as_lost() -> None:
    twice = Crystal(np.eye(3) * 4, [11, 11], [[0, 0, 0], [0.001, 0, 0]])
    report = evaluate_reconstruction(copier(), [HALITE, twice], workers=1, progress=False)
    assert report["exact"] == report["match"] == report["species per slot"] == 0.5
    assert report.funnel["rejected"] == {"collision": 1}
    for bad in ([], [twice]):
        with pytest.raises(EvaluationError):
            evaluate_reconstruction(copier(), bad, progress=False)


# ---------------------------------------------------------------------------------------------------- report


def test_a_report_is_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    crystals = [HALITE, None, SQUEEZED, RUTILE]
    report = evaluate(crystals, [HALITE], workers=1, progress=False)
    log = pd.DataFrame({"stage": "diffuser", "step": [1, 2, 3], "loss": [3.0, 2.0, float("nan")]})
    sections = [
        rates_section({"<samples>": report, "noise": report}, "Rates & more", "note"),
        funnel_section(report),
        gallery_section(report, crystals, viewer=True),
        distances_section({"<samples>": report, "noise": report}),
        distribution_section({"samples": report.structures}),
        training_section(log),
        facts_section({"seed": 0}),
    ]
    path = write_report(tmp_path / "r.html", "T", "L", sections, viewer_js='"</script>"')
    page = path.read_text(encoding="utf-8")
    assert "&lt;samples&gt;" in page
    assert "nan" not in page.split("</style>")[1].split("<script")[0]
    assert 'src="' not in page
    assert "href" not in page
    assert page.count("</script>") == 3, "the viewer's text cannot end its element"
    for words in ("space group 225<", "Jensen–Shannon, space groups (0.01 Å)", "P1 or P-1, 0.01 Å", "spglib within 0.1 Å"):
        assert words in page, "groups of samples, and what they are measured by"
    still = write_report(tmp_path / "s.html", "T", "L", [gallery_section(report, crystals)]).read_text(encoding="utf-8")
    assert "<script" not in still
    assert still.count("<svg") == 3


def test_a_report_of_nothing_recovered_is_written(tmp_path: Path) -> None:
    report = evaluate([None, None], [HALITE], progress=False)
    sections = [
        rates_section({"samples": report}, "Rates", ""),
        funnel_section(report),
        gallery_section(report, [None, None]),
        distribution_section({"samples": report.structures}),
        training_section(pd.DataFrame()),
    ]
    assert write_report(tmp_path / "r.html", "T", "L", sections).stat().st_size > 1000


def test_a_report_draws_in_a_browser(browser, tmp_path: Path) -> None:
    report = evaluate([HALITE, RUTILE], progress=False)
    viewer = Path(uniqueness_module.__file__).parents[1] / "widgets" / "static" / "3Dmol-min.js"
    path = write_report(
        tmp_path / "r.html",
        "Two",
        "",
        [gallery_section(report, [HALITE, RUTILE], viewer=True)],
        viewer_js=viewer.read_text(encoding="utf-8"),
    )
    page = browser.page()
    page.goto(path.as_uri())
    page.locator("button.card").nth(1).click()
    page.wait_for_selector("#stage canvas")
    assert "TiO₂" in page.locator("#name").inner_text()
    assert not browser.complaints()
    assert not browser.blocked
