"""Known crystals and the hull that come with the package: complete, attributed, small, and of use without data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fourier_workbench import Crystal
from fourier_workbench.cli import main
from fourier_workbench.errors import EvaluationError
from fourier_workbench.evaluation import evaluate
from fourier_workbench.evaluation.fingerprints import structure_hash
from fourier_workbench.evaluation.known import SHIPPED, load_known, split_hash
from fourier_workbench.evaluation.remarks import find_remarks
from fourier_workbench.evaluation.stability.energies import Energies
from fourier_workbench.evaluation.stability.hull import Hull, find_hull, shipped_hull, stability, stability_rates
from fourier_workbench.evaluation.stability.potentials import CHGNet
from fourier_workbench.widgets import ViewError
from fourier_workbench.widgets.gallery import gallery_data, gallery_table

HALITE = Crystal(2.82 * (1 - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
STRANGE = Crystal(np.eye(3) * 4.1, [11, 37, 92], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]])
OPTIONS = {"workers": 1, "compare": 0, "progress": False, "measurements": ["sizes", "charges"]}


@pytest.mark.parametrize("name", ["mp20_known.parquet", "mp20_chgnet_hull.parquet"])
def test_a_shipped_table_is_small_and_says_whose_it_is(name: str) -> None:
    path = SHIPPED / name
    assert path.stat().st_size < 2e6
    about = json.loads(pq.ParquetFile(str(path)).schema_arrow.metadata[b"fourier_workbench"])
    assert about["licence"] == "CC BY 4.0"
    assert "Materials Project" in about["attribution"]
    assert "MP-20" in about["source"]


def test_known_crystals_are_found_in_any_cell() -> None:
    known = load_known()
    assert len(known) == 27111
    for crystal in (HALITE, HALITE.supercell([2, 1, 3])):
        assert known.has(structure_hash(crystal))
        (nearest,) = known.nearest([crystal])
        assert nearest is not None
        assert (nearest.formula, nearest.relation, nearest.distance) == ("NaCl", "same structure", 0.0)
    assert known.has_formula("NaCl")
    formula, network = split_hash(structure_hash(STRANGE))
    assert not known.has(f"{formula}:{network:016x}")
    (nearest,) = known.nearest([STRANGE])
    assert nearest is not None
    assert nearest.relation == "other composition"
    assert nearest.distance > 0
    with pytest.raises(EvaluationError, match="choose mp20"):
        load_known("elsewhere")


def test_samples_are_compared_with_known_crystals_without_a_reference() -> None:
    report = evaluate([HALITE, STRANGE, None], **OPTIONS)
    assert report.structures["not known by hash"].tolist() == [False, True, False]
    assert report["not known by hash"] == pytest.approx(1 / 3)
    assert "same structure" in report.structures["nearest known"][0]
    assert "novel" not in set(report.rates["metric"]), "a hash is no StructureMatcher"
    assert "not known by hash" not in set(evaluate([HALITE], fingerprints=None, **OPTIONS).rates["metric"])
    copies = evaluate([HALITE, HALITE], **OPTIONS)
    assert any("training crystals?" in remark for remark in copies.remarks)


def test_the_shipped_hull_judges_its_own_potential_only() -> None:
    hull = shipped_hull("mp20")
    assert len(hull.energies) > 20_000
    assert hull.potential == "CHGNet 0.3.0"
    assert abs(hull.energy_above("NaCl", hull.energies["NaCl"])) < 1e-6
    for symbol in ("B", "F2", "Mn", "Br", "Nb", "Ru", "La", "Ta", "W", "Ir", "Np"):
        assert symbol in hull.energies, "elements that the training split lacks are there"
    assert find_hull(None, {}, Energies(CHGNet()), []) is hull
    with pytest.raises(EvaluationError, match=r"cannot judge energies by CHGNet 0\.2"):
        find_hull("mp20", {}, Energies(CHGNet(model="0.2.0")), [])
    with pytest.raises(EvaluationError, match="choose mp20"):
        shipped_hull("elsewhere")


def test_a_stable_sample_counts_gated_and_not() -> None:
    hull = Hull({"Na": 0.0, "Cl2": 0.0, "NaCl": -1.0}, "by hand")
    crystals = [HALITE, HALITE, None]
    energies = pd.DataFrame({"energy": [-1.0, -0.95, np.nan], "energy_failure": [None, None, "no_crystal"]})
    energies = energies.assign(converged=pd.NA, rmsd=np.nan)
    table = stability(energies, crystals, hull).assign(unique=[True, True, False], novel=[True, True, False])
    table["CDVAE valid"] = [False, True, False]
    rates = pd.DataFrame(stability_rates(table, hull, "by hand")).set_index("metric")
    labels = ["S.U.N. (0)", "S.U.N. (0.1)", "S.U.N. (0), CDVAE valid", "S.U.N. (0.1), CDVAE valid"]
    assert rates.loc[labels, "count"].tolist() == [1, 2, 0, 1]


def test_absurd_energies_are_remarked() -> None:
    table = pd.DataFrame({"recovered": [True] * 3, "reduced_formula": ["NaCl", "KCl", "LiCl"], "hull_rivals": [1, 0, 0],
                          "e_above_hull": [-2.0, -0.1, np.nan], "stable_0": [True, True, False]})
    deep, missing = find_remarks(table, [HALITE] * 3)
    assert "one crystal more than 0.5 eV/atom below the hull" in deep
    assert "1 of 3 crystals have no energy" in missing
    every = find_remarks(table.assign(stable_0=True, e_above_hull=-0.1), [HALITE] * 3)
    assert every == ["every crystal is stable; 1 of 3 have a known compound to compete with in the hull"]


def test_sizes_are_compared_in_primitive_cells() -> None:
    options = {"workers": 1, "progress": False, "compare": 10}
    large = evaluate([HALITE.supercell([2, 1, 1]), HALITE], [HALITE], **options).distances.set_index("metric")
    assert large.loc["Wasserstein, atoms", "value"] == 0
    assert not [name for name in large.index if "cell" in name]


def test_samples_of_a_command_get_their_energies_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "samples"
    command = ["sample", "laptop", str(out), "-n", "2", "--steps", "8", "--energies", "chgnet", "--no-relax", "--workers", "1"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "hull: MP-20's training crystals" in told
    assert "of 2 at most 0" in told
    found, samples = pd.read_parquet(out / "energies.parquet"), pd.read_parquet(out / "samples.parquet")
    assert found["id"].tolist() == samples["id"].tolist()
    assert (found["e_above_hull"].notna() | found["stability_failure"].notna()).all()
    before = (out / "energies.jsonl").read_text(encoding="utf-8").split()
    assert main(command) == 0
    assert (out / "energies.jsonl").read_text(encoding="utf-8").split() == before, "nothing is computed again"


def test_a_gallery_shows_energies_beside_their_crystals() -> None:
    energies = pd.DataFrame({"e_above_hull": [0.02, np.nan]})
    crystals, table = gallery_table([HALITE, STRANGE], energies=energies)
    assert table["e_above_hull"][0] == 0.02
    content, _ = gallery_data(crystals, table)
    assert "e_above_hull" in [column["key"] for column in content["columns"]]
    assert [row["e_above_hull"] for row in content["rows"]] == [0.02, None]
    with pytest.raises(ViewError, match="give those of these"):
        gallery_table([HALITE], energies=energies)
