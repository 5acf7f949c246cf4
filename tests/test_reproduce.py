"""Reproducing the paper's tables: rows resume and fail alone, the diffuser's columns mean what they say, verdicts are honest."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourier_workbench.config.paper_tables import TABLES, paper_table
from fourier_workbench.crystal import Crystal
from fourier_workbench.data import Corpus, prepare_corpus
from fourier_workbench.data.batches import CrystalDataset
from fourier_workbench.data.sources.base import Sample
from fourier_workbench.diffusion.noise import InformationMatchedSchedule
from fourier_workbench.errors import RecipeError, RunError
from fourier_workbench.model import Autoencoder, Diffuser
from fourier_workbench.representation import FourierBasis
from fourier_workbench.reproduction import reproduce as module
from fourier_workbench.reproduction.data_tables import data_table, recoverability_table
from fourier_workbench.reproduction.downscale import Scale, downscale
from fourier_workbench.reproduction.reproduce import _verdict, comparable, concordant_pairs, prepared, reproduce
from fourier_workbench.reproduction.result_table import ResultTable
from fourier_workbench.reproduction.table_metrics import diffuser_metrics

PEROVSKITE = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
TINY = Scale(steps=3, width=1 / 16, batch_size=4, half_space=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    "Perovskites, half of them on the hull."
    made = {(a, b): Crystal(np.eye(3) * (3.7 + 0.01 * a), [a, b, 8, 8, 8], PEROVSKITE)
            for a in (19, 20, 37, 38, 55, 56) for b in (22, 23, 24, 25, 40)}
    samples = [Sample(f"{a}-{b}", crystal, {"e_above_hull": 0.3 * (b % 2)}) for (a, b), crystal in made.items()]
    folder = tmp_path_factory.mktemp("corpus") / "c"
    return prepare_corpus(samples, folder, FourierBasis(5), 24, deduplicate=False, progress=False)


@pytest.mark.parametrize("name", TABLES)
def test_at_the_papers_size_a_row_is_the_papers(name: str) -> None:
    table = paper_table(name)
    for row in table.rows:
        assert downscale(row, table, Scale(), FourierBasis(9), 48) == row.recipe


@given(st.sampled_from(sorted(TABLES)), st.floats(0.01, 1), st.integers(1, 400_000), st.sampled_from([5, 7, 9]))
def test_any_scale_gives_recipes_that_can_be_built(name: str, width: float, steps: int, bpd: int) -> None:
    table = paper_table(name)
    recipes = [downscale(row, table, Scale(steps=steps, width=width), FourierBasis(bpd), 48) for row in table.rows]
    for row, recipe in zip(table.rows, recipes, strict=True):
        one, other = recipe.autoencoder.model, row.recipe.autoencoder.model
        assert one.nnz_final <= one.n_channels and one.transformer.n_layers == other.transformer.n_layers
        assert one.transformer.d_model <= other.transformer.d_model + 48
    shapes = [recipe.autoencoder.model.transformer for recipe in recipes]
    if name == "table1":
        assert [shape.d_head for shape in shapes] == [36, 48, 60]
    if name == "table2":
        assert [shape.n_heads for shape in shapes] == [10, 11, 12, 14]


def test_rows_are_kept_shared_and_run_again_when_they_failed(corpus, tmp_path, monkeypatch) -> None:
    trained, real = [], module.fit

    def counting(recipe, *args, **options):
        trained.append(recipe.name)
        if recipe.name == "TFFFF" and len(trained) == 2:
            raise OSError("no space left on device")
        return real(recipe, *args, **options)

    monkeypatch.setattr(module, "fit", counting)
    first = reproduce("table6", tmp_path, corpus, TINY, rows=["FFFFF", "TFFFF", "FFFFT"], progress=False)
    assert [row["status"] for row in first.rows] == ["run", "failed: OSError: no space left on device", "run"]
    assert first.rows[1]["verdict"] == "not run" and first.rows[1]["ours"] is None
    second = reproduce("table6", tmp_path, corpus, TINY, rows=["FFFFF", "TFFFF", "FFFFT"], progress=False)
    assert trained == ["FFFFF", "TFFFF", "FFFFT", "TFFFF"]
    assert [row["status"] for row in second.rows] == ["run"] * 3 and second.rows[0] == first.rows[0]
    assert ResultTable.load(tmp_path / "table6.json") == second
    wider = reproduce("table6", tmp_path, corpus, replace(TINY, steps=4), rows=["FFFFF"], progress=False)
    assert trained[-1] == "FFFFF" and wider.rows[0]["ours"] != first.rows[0]["ours"]


def test_rates_of_fine_tuning_share_their_pretraining(corpus, tmp_path, monkeypatch) -> None:
    trained, real = [], module.fit
    note = lambda recipe, *args, **options: trained.append(recipe.name) or real(recipe, *args, **options)  # noqa: E731
    monkeypatch.setattr(module, "fit", note)
    sheet = reproduce("table10", tmp_path, corpus, TINY, rows=["rate 5e-5", "rate 2e-5"], progress=False)
    assert [row["status"] for row in sheet.rows] == ["run", "run"] and trained == ["n_heads base"]
    rows = sheet.frame.set_index("row")
    assert rows.loc["rate 2e-5", "paper"] == 2.661 and rows.loc["rate 5e-5", "paper"] == 2.665
    assert rows.loc["rate 5e-5", "ours"] != rows.loc["rate 2e-5", "ours"] and len(rows.loc["rate 5e-5", "noise_bins"]) == 5
    assert sheet.about["data"]["train"] == len(corpus.split("train"))


def test_seeds_say_when_an_order_is_not_decided(corpus, tmp_path) -> None:
    sheet = reproduce("table6", tmp_path, corpus, replace(TINY, seeds=2), rows=["FFFFF", "TFFFF"], progress=False)
    assert all(row["spread"] >= 0 for row in sheet.rows) and "2 seeds" in str(sheet)
    assert _verdict(0.3, 5.0, (0.4, 5.1), 0.06, False) == "order not decided: seeds differ as much"


def test_verdicts() -> None:
    assert _verdict(0.318, 4.0, (0.390, 5.0), None, False) == "order holds, one seed"
    assert _verdict(0.318, 4.0, (0.390, 5.0), 0.1, False) == "order holds"
    assert _verdict(0.472, 4.0, (0.390, 5.0), None, False) == "order differs, one seed"
    assert _verdict(0.318, 0.33, (0.390, 0.39), None, True) == "reproduced within 10 %"
    assert _verdict(0.318, 0.5, (0.390, 0.39), None, True) == "off by +57%"
    assert _verdict(0.3, None, (None, None), None, True) == "not run"
    assert _verdict(0.3, 1.0, (None, 2.0), None, False) == "value not comparable, no reference row to order by"
    pairs = [(1, 2), (2, 3), (3, 1), (4, None)]
    assert concordant_pairs([{"paper": paper, "ours": ours} for paper, ours in pairs]) == (1, 3)
    assert comparable({"steps": 1, "width": 0.5, "modes": 1, "crystals": 0.1})
    assert not comparable({"steps": 0.4, "width": 1, "modes": 1, "crystals": 1})


def test_a_collapsed_run_is_not_judged() -> None:
    "Losses that differ in the fourth figure because nothing was learned must not read as an order."
    table = paper_table(6)
    rows = [table.row(name) for name in ("FFFFF", "TFFFF", "FFFFT")]
    losses = [{"status": "run", "L_VAE": loss, "R": ratio} for loss, ratio in ((2.6313, 30.0), (2.6300, 3e-4), (2.6, 25.0))]
    judged = module._compare(table, rows, losses, False)
    assert [row["verdict"] for row in judged] == [
        "reference row", "not judged: the ladder carries nothing, R = 0.0003", "order holds, one seed"]
    assert concordant_pairs(judged) == (1, 1)
    losses[0]["R"] = 0.1
    judged = module._compare(table, rows, losses, False)
    assert judged[2]["verdict"] == "value not comparable, no reference row to order by" and concordant_pairs(judged) == (0, 0)


def test_a_predictor_of_zeros_scores_the_root_of_six(corpus) -> None:
    "Over τ; over e^σ as many times that as τ is of e^σ. The tables' columns are measured in such units."
    table = paper_table(4)
    recipe = downscale(table.rows[1], table, TINY, corpus.basis, corpus.grid)
    autoencoder, diffuser = Autoencoder(recipe.autoencoder.model).eval(), Diffuser(recipe.diffuser.model).eval()
    torch.nn.init.zeros_(diffuser.network.proj_out.weight)
    diffuser.tau.fill_(0.5)
    schedule = InformationMatchedSchedule(diffuser.tau, torch.full_like(diffuser.tau, float(np.log(0.1))))
    crystals = CrystalDataset(corpus, corpus.basis, corpus.grid)
    found = diffuser_metrics(autoencoder, diffuser, schedule, crystals)
    assert found["noise_mean_tau"] == pytest.approx(np.sqrt(6), rel=0.02)
    assert found["noise_mean"] == pytest.approx(5 * found["noise_mean_tau"], rel=1e-4)
    assert found["noise_bins"][0] == found["noise_low"]


def test_what_is_predicted_was_not_run(tmp_path) -> None:
    sheet = reproduce("table1", tmp_path, None)
    assert {row["status"] for row in sheet.rows} == {"predicted only"} and not (tmp_path / "runs").exists()
    assert [row["predicted_parameters"] for row in sheet.rows] == sorted(row["predicted_parameters"] for row in sheet.rows)
    assert json.loads((tmp_path / "table1.json").read_text())["rows"][1]["paper"] == 0.221


def test_bad_requests(corpus, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file; give a directory"):
        reproduce("table1", tmp_path / "file", None)
    with pytest.raises(RecipeError, match="steps must be a whole number of at least 1"):
        Scale(steps=0)
    with pytest.raises(RecipeError, match="no table 0; give one of table1"):
        reproduce(0, tmp_path, None)
    assert prepared(corpus.path, tmp_path).hash == corpus.hash


def test_metastable_crystals_are_counted_apart(corpus, tmp_path: Path) -> None:
    rows = {row["row"]: row for row in recoverability_table(list(corpus))}
    assert rows["7³ on 1/24, metastable, paper method"]["of"] == sum(s.properties["e_above_hull"] == 0 for s in corpus)
    assert rows["9³ on 1/48, all, paper method"]["paper"] == pytest.approx(0.0095, abs=1e-4)
    sheet = data_table("truncation", list(corpus), tmp_path)
    assert [row["ours"] for row in sheet.rows] == [1.0] * 6 and sheet.about["data"]["source"] == "crystals in hand"
