"Refinement: crystals encoded again and fitted to their ladders."

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from fourier_workbench.crystal import Crystal
from fourier_workbench.data import load_crystals
from fourier_workbench.errors import RecipeError
from fourier_workbench.generation import RecoveryOptions, evaluate_reconstruction, load_generator
from fourier_workbench.generation.generator import FITS
from fourier_workbench.model.layers import to_real
from fourier_workbench.model.refinement import MovingAtoms, _misfit, ladder_misfit, refine
from fourier_workbench.representation.coefficients import snap


@pytest.fixture(scope="module")
def laptop():
    "The shipped model of decorated prototypes."
    return load_generator("laptop")


@pytest.fixture(scope="module")
def crystals() -> list[Crystal]:
    "Forty decorated prototypes of up to twelve atoms, which stand on nodes of the model's grid."
    found = (crystal for _, crystal, _ in load_crystals("decorated") if crystal is not None and len(crystal) <= 12)
    placed = (Crystal(c.lattice, c.numbers, snap(c.frac_coords, 24) / 24) for c in islice(found, 0, None, 10))
    return list(islice((c for c in placed if len(np.unique(c.frac_coords, axis=0)) == len(c)), 40))


def test_more_crystals_come_back_exactly_and_none_is_lost(laptop, crystals):
    plain, fitted = (evaluate_reconstruction(laptop, crystals, recovery=RecoveryOptions(refine=n), workers=1, progress=False)
                     for n in (0, 30))
    assert fitted["exact"] >= plain["exact"] + 0.05 and fitted["recovered"] == plain["recovered"]
    assert fitted["lattice RMSE, followed"] < plain["lattice RMSE, followed"]
    was = plain.structures["exact"].to_numpy(bool)
    assert fitted.structures["exact"].to_numpy(bool)[was].all(), "what was right stays right"


def test_the_gradient_of_the_misfit_is_that_of_its_differences(laptop, crystals):
    atoms, ladder = MovingAtoms.of(crystals[:2]), to_real(laptop.encode(crystals[2:4]))
    double = laptop.autoencoder
    positions = atoms.positions.clone().requires_grad_()
    slope, = torch.autograd.grad(_misfit(double, atoms._replace(positions=positions), ladder).log().sum(), positions)
    way = slope / slope.norm()
    step = 1e-3
    with torch.no_grad():
        ahead, behind = (_misfit(double, atoms._replace(positions=atoms.positions + sign * step * way), ladder).log().sum()
                         for sign in (1, -1))
    assert float((ahead - behind) / (2 * step)) == pytest.approx(float(slope.norm()), rel=0.02)


def test_misfit_is_nought_for_a_ladders_own_crystal_and_nan_without_one(laptop, crystals):
    ladders = laptop.encode(crystals[:3])
    own = ladder_misfit(laptop.autoencoder, [*crystals[:2], None], ladders)
    assert own[:2].max() < 1e-4 and own[2].isnan()
    assert ladder_misfit(laptop.autoencoder, [crystals[1]], ladders[:1]).min() > 0.02


def test_a_crystal_without_a_misfit_to_mend_is_left_alone(laptop, crystals):
    ladders = laptop.encode(crystals[:4])
    same = refine(laptop.autoencoder, crystals[:4], ladders, laptop.grid, above=1e-3)
    assert not same.changed.any() and all(a is b for a, b in zip(same.crystals, crystals[:4], strict=True))


def test_composition_and_nodes_are_kept_whatever_the_ladder(laptop, crystals):
    ladders = laptop.encode(crystals[:8]).flip(0)
    found = refine(laptop.autoencoder, crystals[:8], ladders, laptop.grid, 5)
    assert (found.misfit <= found.before).all() and found.changed.any()
    for old, new in zip(crystals[:8], found.crystals, strict=True):
        nodes = new.frac_coords * laptop.grid
        assert new.formula == old.formula and np.allclose(nodes, np.rint(nodes), atol=1e-4)
        assert len(np.unique(np.rint(nodes) % laptop.grid, axis=0)) == len(new), "no two atoms on one node"


def test_symmetry_that_was_found_is_not_given_up(laptop, crystals):
    ladders = laptop.ceiling(crystals[:16], seed=1).ladders
    before, after = (laptop.decode(ladders, RecoveryOptions(refine=n)) for n in (0, 10))
    orders = [(a.order, b.order) for a, b in zip(before.symmetries, after.symmetries, strict=True) if a is not None]
    assert orders and all(new >= old for old, new in orders)
    bare = replace(RecoveryOptions(refine=10), symmetry=False)
    assert laptop.decode(ladders, bare).symmetries is None


@pytest.mark.parametrize("options", [{"steps": -1}, {"above": -1.0}, {"above": float("nan")}, {"batch_size": 0}])
def test_numbers_that_mean_nothing_are_refused(laptop, crystals, options):
    with pytest.raises(RecipeError, match="must be"):
        refine(laptop.autoencoder, crystals[:1], laptop.encode(crystals[:1]), laptop.grid, **options)
    with pytest.raises(RecipeError, match="refine must be"):
        RecoveryOptions(refine=-1)
    with pytest.raises(RecipeError, match="tries must be"):
        RecoveryOptions(tries=0)


def test_further_decodings_bring_crystals_closer_to_their_ladders(laptop, crystals):
    ladders = laptop.encode(crystals)
    once, often = (laptop.decode(ladders, RecoveryOptions(refine=10, tries=n), seed=3) for n in (1, 4))
    before, after = (ladder_misfit(laptop.autoencoder, each.crystals, ladders).nan_to_num(torch.inf) for each in (once, often))
    same = [a is not None and b is not None and a.formula == b.formula and np.array_equal(a.frac_coords, b.frac_coords)
            for a, b in zip(once.crystals, often.crystals, strict=True)]
    assert (after <= before).all() and (after < before).any() and not all(same)
    assert all(s for s, m in zip(same, before.tolist(), strict=True) if m <= FITS), "what fits is left alone"
    assert torch.equal(once.decoded.coefficients, often.decoded.coefficients), "the ladder's own"
    assert often.funnel["kept"] >= once.funnel["kept"]


def test_a_further_decoding_depends_on_the_samples_number_alone(laptop, crystals):
    ladders, options = laptop.encode(crystals[:24]), RecoveryOptions(tries=3)
    whole = laptop.decode(ladders, options, seed=3)
    part = laptop.decode(ladders[10:], options, seed=3, indices=range(10, 24), batch_size=5)
    for a, b in zip(whole.crystals[10:], part.crystals, strict=True):
        assert (a is None) == (b is None) and (a is None or np.allclose(a.frac_coords, b.frac_coords, atol=1e-6))
    assert torch.allclose(whole.residuals[10:], part.residuals, atol=1e-5)
