"""Recovery certifies itself, does not depend on its batch, and never hangs or raises on a bad sample."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench import Crystal
from fourier_workbench.errors import RecoveryError
from fourier_workbench.representation import (
    FourierBasis,
    FourierCrystals,
    encode,
    recover,
    snap,
    symmetry_operations,
    transform,
)
from fourier_workbench.representation.shears import SHEARS, sheared, unsheared

BASIS, GRID = FourierBasis(7), 24


@st.composite
def crystals(draw, most: int = 5) -> Crystal:
    """Small crystals whose atoms stand on distinct nodes, at least two nodes apart."""
    nodes = draw(st.lists(st.tuples(*[st.integers(0, GRID // 3 - 1)] * 3), min_size=1, max_size=most, unique=True))
    numbers = draw(st.lists(st.sampled_from([1, 8, 22]), min_size=len(nodes), max_size=len(nodes)))
    edges = [draw(st.floats(3, 9)) for _ in range(3)]
    return Crystal(np.diag(edges), numbers, 3 * np.array(nodes) / GRID)


def nodes_of(crystal: Crystal) -> list[list[int]]:
    """Atoms as sorted rows of atomic number and node."""
    return sorted([int(z), *node] for z, node in zip(crystal.numbers, snap(crystal.frac_coords, GRID).tolist(), strict=True))


@settings(max_examples=25)
@given(st.lists(crystals(), min_size=1, max_size=4))
def test_what_is_accepted_explains_the_coefficients(batch):
    fc = encode(batch, BASIS, GRID)
    found = recover(fc, BASIS, GRID)
    for i, (crystal, reason) in enumerate(zip(found.crystals, found.reasons, strict=True)):
        assert (crystal is None) == (reason is not None)
        if crystal is not None:
            again = encode([crystal], BASIS, GRID)
            assert torch.allclose(again.coefficients[0], fc.coefficients[i], atol=1e-3)
            assert torch.allclose(again.lattice[0], fc.lattice[i], atol=1e-9)
            assert found.residuals[i] < 1e-5


@settings(max_examples=10)
@given(st.lists(crystals(), min_size=2, max_size=4), st.integers(0, 2**31 - 1))
def test_a_result_does_not_depend_on_its_batch(batch, seed):
    fc = encode(batch, BASIS, GRID)
    noise = torch.randn((*fc.coefficients.shape, 2), generator=torch.Generator().manual_seed(seed))
    noisy = FourierCrystals(fc.lattice, fc.species, fc.coefficients + 0.1 * torch.view_as_complex(noise))
    together = recover(noisy, BASIS, GRID, tolerance=torch.inf, policy="trust_species")
    for i in range(len(batch)):
        alone = recover(noisy[i], BASIS, GRID, tolerance=torch.inf, policy="trust_species")
        assert alone.reasons[0] == together.reasons[i]
        if alone.crystals[0] is not None:
            assert nodes_of(alone.crystals[0]) == nodes_of(together.crystals[i])


@pytest.mark.parametrize("method", ["paper", "robust"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3, float("inf"), float("nan")])
def test_rubbish_gets_a_reason(method, scale):
    generator = torch.Generator().manual_seed(0)
    alpha = torch.view_as_complex(torch.randn(3, 6, len(BASIS), 2, generator=generator)) * scale
    species = torch.randint(0, 84, (3, 6), generator=generator)
    found = recover(FourierCrystals(torch.zeros(3, 6), species, alpha), BASIS, GRID, method=method)
    assert all(reason is not None for reason in found.reasons) and found.crystals == [None] * 3


def test_more_atoms_than_the_bound_are_not_attempted():
    fc = encode([Crystal(np.eye(3) * 9, [8] * 6, np.arange(18).reshape(6, 3) / 24)], BASIS, GRID)
    assert recover(fc, BASIS, GRID, max_atoms=5).reasons == ["budget"]
    with pytest.raises(RecoveryError, match="modes"):
        recover(fc, FourierBasis(5), GRID)


@settings(max_examples=20)
@given(crystals(), st.sampled_from(SHEARS))
def test_a_sheared_cell_is_the_same_crystal(crystal, shear):
    moved = sheared(crystal, shear)
    assert moved.volume == pytest.approx(crystal.volume)
    assert nodes_of(unsheared(moved, shear)) == nodes_of(crystal)


@settings(max_examples=10)
@given(crystals(), st.integers(0, 47))
def test_the_group_acts_on_coefficients_as_on_atoms(crystal, which):
    cube = symmetry_operations(Crystal(np.eye(3) * 3, [84], [[0, 0, 0]]))
    rotation = cube.rotations[which % len(cube.rotations)]
    translation = torch.tensor([0.25, 0.5, 0.0], dtype=torch.float64)
    moved = Crystal(crystal.lattice, crystal.numbers, crystal.frac_coords @ rotation.numpy().T + translation.numpy())
    after, inside = transform(encode([crystal], BASIS, GRID).coefficients, rotation, translation, BASIS)
    assert inside.all()
    assert torch.allclose(after, encode([moved], BASIS, GRID).coefficients, atol=1e-3)
