"""The baselines of the benchmark: the coordinate model's mathematics, and that every draw is accounted for."""

import argparse
import json
import math

import baselines
import coordinate_diffusion as cd
import numpy as np
import pytest
import simple_baselines
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench.crystal import Crystal
from fourier_workbench.data import prepare_corpus
from fourier_workbench.representation import FourierBasis
from fourier_workbench.training import recipes

CELL = 2.85 * (1 - np.eye(3))
HALITE = Crystal(CELL, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
PEROVSKITE = Crystal(np.eye(3) * 4, [22, 8, 8, 8, 38], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5]])
CRYSTALS = [HALITE, PEROVSKITE, Crystal(CELL * 1.1, [19, 17], HALITE.frac_coords)]


# ---------------------------------------------------------------------------------------------------- coordinate model


@given(delta=st.floats(-0.5, 0.5), sigma=st.floats(0.02, 0.6))
@settings(max_examples=40, deadline=None)
def test_the_wrapped_score_is_the_slope_of_the_wrapped_density(delta: float, sigma: float) -> None:
    images = np.arange(-8, 9)

    def log_density(x: float) -> float:
        terms = -0.5 * ((x + images) / sigma) ** 2
        return float(np.logaddexp.reduce(terms))

    slope = (log_density(delta + 1e-4) - log_density(delta - 1e-4)) / 2e-4
    score = cd.wrapped_score(torch.tensor(delta, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64))
    assert float(score) == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_narrow_noise_has_the_plain_normals_score_and_wide_noise_none() -> None:
    scale = cd.ScoreScale()
    assert float(scale.at(torch.tensor(0.0))) == pytest.approx(1 / cd.SIGMA[0], rel=0.05)
    assert float(scale.at(torch.tensor(1.0))) < 0.1
    assert float(cd.signal_at(torch.tensor(0.0))) == pytest.approx(1)


def test_origin_and_order_do_not_matter() -> None:
    torch.manual_seed(0)
    cells, model = cd.Cells.of(CRYSTALS), cd.Denoiser(6, width=16, layers=2)
    t, shift = torch.full((3,), 0.4), torch.rand(3, 1, 3)
    order = torch.tensor([1, 0, 2, 3, 4])
    score, cell, kind = model(cells.species, cells.frac, cells.lattice, t)
    moved = model(cells.species[:, order], (cells.frac + shift)[:, order] % 1, cells.lattice, t)
    there = cells.species[:, order] > 0
    for before, after in ((score[:, order], moved[0]), (kind[:, order], moved[2])):
        torch.testing.assert_close(before[there], after[there], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cell, moved[1], atol=1e-4, rtol=1e-4)


def test_it_learns_and_draws_crystals() -> None:
    cells = cd.Cells.of(CRYSTALS)
    generator, scale = torch.Generator().manual_seed(0), cd.ScoreScale()
    model, facts = cd.train(cells, 3.0, batch=16, width=32, layers=2)
    rows = torch.arange(3).repeat(64)
    with torch.no_grad():
        after = float(cd.losses(model, cells, rows, scale, generator))
        before = float(cd.losses(cd.Denoiser(6, width=32, layers=2), cells, rows, scale, generator))
    assert after < 0.8 * before
    assert facts["steps"] > 0
    sampler = cd.Sampler(model, cells, steps=10)
    for crystals, reasons in (sampler.draw(7, batch=4), sampler.noise(5)):
        assert [crystal is None for crystal in crystals] == [reason is not None for reason in reasons]
        assert {z for crystal in crystals if crystal for z in crystal.species} <= {8, 11, 17, 19, 22, 38}
        assert {len(crystal) for crystal in crystals if crystal} <= {2, 5}


def test_rows_go_there_and_back() -> None:
    cells = cd.Cells.of(CRYSTALS)
    for i, crystal in enumerate(CRYSTALS):
        back, reason = cd.crystal_of(cells.species[i], cells.frac[i], cells.lattice[i], cells)
        assert reason is None
        assert back is not None
        assert back.formula == crystal.formula
        assert back.volume == pytest.approx(crystal.volume, rel=1e-4)
    broken, reason = cd.crystal_of(cells.species[0], cells.frac[0], torch.full((6,), math.inf), cells)
    assert broken is None
    assert reason


# ---------------------------------------------------------------------------------------------------- the others


def test_perturbed_crystals_keep_what_they_should() -> None:
    again, _ = simple_baselines.resampled(CRYSTALS, 20, seed=3)
    strained, _ = simple_baselines.strained(CRYSTALS, 20, seed=3)
    displaced, _ = simple_baselines.displaced(CRYSTALS, 20, seed=3)
    for same, wider, moved in zip(again, strained, displaced, strict=True):
        assert same is not None
        assert wider is not None
        assert moved is not None
        assert np.allclose(wider.frac_coords, same.right_handed().frac_coords)
        assert np.allclose(moved.lattice, same.lattice)
        assert same.formula == wider.formula == moved.formula
        assert not np.allclose(moved.frac_coords, same.frac_coords)
        assert 0.5 < wider.volume / same.volume < 2


def test_random_crystals_have_the_compositions_or_a_reason() -> None:
    pytest.importorskip("pyxtal", reason="the extra baselines is not installed")
    crystals, reasons = simple_baselines.random_symmetric(CRYSTALS, 3, seed=0, seconds=60)
    wanted = [crystal.reduced_formula for crystal in simple_baselines.resampled(CRYSTALS, 3, seed=0)[0] if crystal]
    assert any(crystals)
    for crystal, reason, formula in zip(crystals, reasons, wanted, strict=True):
        assert (crystal is None) == (reason is not None)
        assert crystal is None or crystal.reduced_formula == formula


def test_what_is_too_large_counts_as_rejected(tmp_path) -> None:
    rows = baselines.as_rows(([HALITE, HALITE.supercell([3, 3, 1]), None], [None, None, "collision"]))
    assert [row["reason"] for row in rows] == [None, "more than 16 atoms", "collision"]
    calls: list[int] = []
    for _ in range(2):
        back = baselines.kept(tmp_path / "rows.json", lambda: calls.append(1) or rows)
    assert calls == [1], "made once"
    drawn = baselines.as_drawn(back)
    assert [crystal is None for crystal in drawn.crystals] == [False, True, True]
    assert np.array_equal(drawn.crystals[0].frac_coords, HALITE.frac_coords)


def test_a_table_says_what_it_was_made_of(tmp_path) -> None:
    options = {"limit": 20, "basis": FourierBasis(5), "grid": 24, "recovery": None, "progress": False}
    corpus = prepare_corpus("embedded", tmp_path / "corpus", **options)
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"recipe": json.loads(recipes.laptop().to_json())}))
    (run / "metrics.jsonl").write_text("")
    told = baselines.origins(argparse.Namespace(ours=str(run)), corpus)
    expected = {"source": "embedded", "bpd": 5, "grid": 24, "recovery": None, "deduplicate": True, "split": "formula"}
    assert told["corpus"] == expected
    assert told["run"]["recipe"] == "laptop"
    assert told["run"]["steps"]["autoencoder"] == recipes.laptop().autoencoder.steps
    assert "run" not in baselines.origins(argparse.Namespace(ours="laptop"), corpus)
