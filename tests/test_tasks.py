"""Predict, vary, substitute, complete, interpolate, search: each keeps what it must, and counts what it loses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fourier_workbench.cli import main
from fourier_workbench.crystal import Crystal
from fourier_workbench.errors import RecipeError
from fourier_workbench.generation import (
    Generator,
    Request,
    SampleResult,
    complete,
    interpolate,
    load_generator,
    predict,
    search,
    substitute,
    vary,
)
from fourier_workbench.generation.requests import kept_nodes
from fourier_workbench.generation.tasks import exchange_elements

TITANATE = Crystal(3.9 * np.eye(3), [38, 22, 8, 8, 8], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
SALT = Crystal(4 * np.eye(3), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
QUICK = {"steps": 6, "progress": False}


@pytest.fixture(scope="module")
def laptop() -> Generator:
    "The shipped model."
    return load_generator("laptop")


def test_predictions_have_the_formula_and_the_cell_that_is_asked(laptop: Generator) -> None:
    asked = {"Li2 O1": predict(laptop, "Li2O", 4, **QUICK), "Li4 O2": predict(laptop, "Li4O2", 4, cell=True, **QUICK),
             "Li6 O3": predict(laptop, "Li2O", 4, n_atoms=9, **QUICK)}
    for formula, found in asked.items():
        assert all(crystal.formula == formula for crystal in found.crystals)
        assert found.scores == tuple(float(r) if c is not None else pytest.approx(float("nan"), nan_ok=True) for r, c in
                                     zip(found.result.residuals, found.result.crystals, strict=True))
        assert len(found) + sum(found.failed.values()) == 4


def test_search_ranks_by_the_score_and_counts_what_has_none(laptop: Generator) -> None:
    def score(crystal: Crystal) -> float:
        if crystal.numbers[0] % 2:
            raise ZeroDivisionError
        return -crystal.volume

    found = search(laptop, Request(n_atoms=(1, 6)), score, 10, **QUICK)
    volumes = [crystal.volume for crystal in found.crystals]
    assert volumes == sorted(volumes, reverse=True)
    assert len(found) + sum(found.failed.values()) == 10
    assert set(found.failed) <= {"ZeroDivisionError"} | {name for name in found.failed if name.startswith("rejected")}
    assert found.table["score"].is_monotonic_increasing


def test_energies_rank_samples_and_those_without_one_are_counted(laptop: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    def energies(result: SampleResult, **options: object) -> pd.DataFrame:
        assert options == {"relax": False}
        above = [None if crystal is None else -crystal.volume for crystal in result.crystals]
        above[0] = None
        return pd.DataFrame({"e_above_hull": above, "stability_failure": ["time limit" if e is None else None for e in above]})

    monkeypatch.setattr(SampleResult, "energies", energies)
    found = search(laptop, Request(n_atoms=(1, 6)), "e_above_hull", 6, energies={"relax": False}, **QUICK)
    assert 0 not in found.order
    assert sum(found.failed.values()) + len(found) == 6
    assert found.scores[0] != found.scores[0]
    assert found.table["score"].is_monotonic_increasing
    with pytest.raises(RecipeError, match="residual"):
        search(laptop, Request(), "beauty", 1, **QUICK)


def test_substitution_keeps_the_composition_and_lets_the_volume_go(laptop: Generator) -> None:
    result = substitute(laptop, TITANATE, {"Ti": "Zr"}, 4, phi=0.3, **QUICK)
    assert all(crystal is None or crystal.formula == "Sr1 Zr1 O3" for crystal in result.crystals)
    assert result.table["met_counts"].sum() == result.funnel["kept"] > 0
    assert len({round(crystal.volume, 3) for crystal in result.crystals if crystal is not None}) > 1
    doped = exchange_elements(TITANATE, {"Sr": ("Ba", 1)}, (2, 2, 1), seed=4)
    assert sorted(zip(*np.unique(doped.numbers, return_counts=True), strict=True)) == [(8, 12), (22, 4), (38, 3), (56, 1)]
    assert doped.to_structure() == exchange_elements(TITANATE, {"Sr": ("Ba", 1)}, (2, 2, 1), seed=4).to_structure()
    for changes in ({"Fe": "Co"}, {"Ti": ("Zr", 2)}, {"Ti": "Xx"}, {"Ti": ("Zr", 0)}):
        with pytest.raises(RecipeError):
            exchange_elements(TITANATE, changes)


def test_variation_can_keep_the_composition(laptop: Generator) -> None:
    result = vary(laptop, TITANATE, 0.9, 4, same_composition=True, **QUICK)
    assert all(crystal is None or crystal.formula == TITANATE.formula for crystal in result.crystals)
    again = vary(laptop, TITANATE, 0.9, 1, same_composition=True, first=2, **QUICK)
    assert torch.allclose(again.ladders[0], result.ladders[2], atol=2e-3)


def test_completion_keeps_the_sublattice(laptop: Generator) -> None:
    result = complete(laptop, TITANATE, ["O", "Sr"], 4, counts={"Sr": 1, "Zr": 1, "O": 3}, **QUICK)
    kept = [crystal for crystal in result.crystals if crystal is not None]
    assert kept
    assert all(kept_nodes(result.request, crystal, 24) and 40 in crystal.species for crystal in kept)


def test_a_way_goes_from_one_end_to_the_other(laptop: Generator) -> None:
    way = interpolate(laptop, SALT, TITANATE, 4)
    ends = laptop.encode([SALT, TITANATE])
    assert torch.allclose(way.result.ladders[[0, -1]], ends)
    assert torch.allclose(way.result.ladders[1], (2 * ends[0] + ends[1]) / 3, atol=1e-5)
    assert way.trajectory.phi.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_commands_write_what_the_functions_draw(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    TITANATE.to_cif(tmp_path / "a.cif")
    SALT.to_cif(tmp_path / "b.cif")
    a, b = str(tmp_path / "a.cif"), str(tmp_path / "b.cif")
    runs = {
        "predict": ["predict", "laptop", "Li2O", str(tmp_path / "p"), "-n", "3", "--steps", "4"],
        "vary": ["vary", "laptop", str(tmp_path / "a.cif"), str(tmp_path / "v"), "-n", "3", "--steps", "4", "--phi", "0.5"],
        "substitute": ["vary", "laptop", a, str(tmp_path / "s"), "-n", "3", "--steps", "4", "--replace", "Ti=Zr"],
        "complete": ["vary", "laptop", str(tmp_path / "a.cif"), str(tmp_path / "c"), "-n", "3", "--steps", "4", "--keep", "O"],
        "interpolate": ["interpolate", "laptop", a, b, str(tmp_path / "i"), "-n", "3"],
        "search": ["search", "laptop", str(tmp_path / "b"), "-n", "3", "--steps", "4", "--elements", "Li,O", "--best", "1"],
        "sample": ["sample", "laptop", str(tmp_path / "r"), "-n", "3", "--steps", "4", "--elements", "Li,O", "--atoms", "2:6"],
    }  # fmt: skip
    for words in runs.values():
        assert main(words) in (0, None)
        assert len(pd.read_parquet(Path(next(w for w in words if Path(w).is_dir())) / "samples.parquet")) == 3
    assert (tmp_path / "p" / "ranked.csv").is_file()
    assert "met_elements" in pd.read_parquet(tmp_path / "r" / "samples.parquet")
    best, ranked = list((tmp_path / "b" / "best").iterdir()), pd.read_csv(tmp_path / "b" / "ranked.csv")
    assert len(best) == 1
    assert Crystal.from_cif(best[0]).reduced_formula == ranked[ranked["met"]]["reduced_formula"].iloc[0]
    capsys.readouterr()
    for words in (["vary", "laptop", str(tmp_path / "a.cif"), str(tmp_path / "x"), "--replace", "Ti>Zr"],
                  ["predict", "laptop", "UO2", str(tmp_path / "x")],
                  ["sample", "laptop", str(tmp_path / "x"), "--request", str(tmp_path / "none.json")]):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
