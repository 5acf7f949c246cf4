"""Recovery with symmetry: groups read from coefficients, atoms moved only with a certificate, exact data left alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_grid_symmetry import crystal_of

from fourier_workbench.crystal import Crystal
from fourier_workbench.data import load_crystals
from fourier_workbench.errors import RepresentationError
from fourier_workbench.representation import (
    FourierBasis,
    FourierCrystals,
    encode,
    follow_atoms,
    recover,
    recover_symmetric,
    snap,
)
from fourier_workbench.representation.recovery.symmetric import GroupSearch, operation_cosines

BASIS, GRID = FourierBasis(5), 24
DECODED = {"tolerance": math.inf, "policy": "trust_species"}


def nodes(crystal: Crystal) -> set[tuple[int, ...]]:
    "Species and nodes, without order."
    return {(int(z), *map(int, n)) for z, n in zip(crystal.numbers, snap(crystal.frac_coords, GRID), strict=True)}


def noisy(fc: FourierCrystals, size: float, seed: int = 0) -> FourierCrystals:
    "Coefficients and lattices with errors, as a decoder has them."
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(fc.coefficients.shape, dtype=torch.complex64, generator=generator)
    lattice = fc.lattice + 0.02 * size * torch.randn(fc.lattice.shape, dtype=fc.lattice.dtype, generator=generator)
    filled = (fc.species > 0)[..., None]
    return replace(fc, lattice=lattice, coefficients=fc.coefficients + size * BASIS.hermitian(noise) * filled)


@pytest.fixture(scope="module")
def prototypes() -> list[Crystal]:
    "Prototypes on nodes."
    crystals = [sample.crystal for sample in load_crystals("embedded")][:12]
    found = [Crystal(c.lattice, c.numbers, snap(c.frac_coords, GRID) / GRID) for c in crystals]
    return [c for c in found if len(nodes(c)) == len(c) <= 24]


@pytest.mark.parametrize("group", [1, 2, 5, 14, 19, 62, 82, 92, 122, 146, 148, 161, 173, 182, 198, 205, 216, 227])
def test_the_coefficients_of_a_crystal_have_its_operations(group: int) -> None:
    crystal = crystal_of(group)
    (symmetry,) = follow_atoms([crystal], 48, 1e-4)
    fc = encode([crystal], FourierBasis(7), 48)
    alpha = fc.coefficients[0, fc.species[0] > 0]
    found = GroupSearch(alpha, crystal.lattice, FourierBasis(7), 48, 0.01, least=0.9999).largest()
    assert found is not None and found.keep(crystal)
    rotations, _ = symmetry.in_given_cell()
    assert {w.tobytes() for w in found.rotations} == {w.tobytes() for w in rotations}


@given(st.lists(st.integers(0, GRID - 1), min_size=3, max_size=3), st.sampled_from([14, 62, 148, 198, 216]))
@settings(max_examples=10)
def test_another_origin_moves_the_peaks(origin: list[int], group: int) -> None:
    crystal = crystal_of(group)
    crystal = Crystal(crystal.lattice, crystal.numbers, snap(crystal.frac_coords, GRID) / GRID)
    moved = Crystal(crystal.lattice, crystal.numbers, crystal.frac_coords + np.array(origin) / GRID)
    rotations = torch.tensor([np.diag([-1, -1, -1]).tolist(), np.diag([-1, -1, 1]).tolist()])
    one, other = (operation_cosines(encode([c], BASIS, GRID).coefficients[0], rotations, BASIS, GRID) for c in (crystal, moved))
    for k, w in enumerate(rotations.numpy()):
        shift = (np.array(origin) - w @ np.array(origin)) % GRID
        assert torch.allclose(torch.roll(one[k], tuple(shift.tolist()), (0, 1, 2)), other[k], atol=1e-4)
    assert one.max() <= 1 + 1e-5


def test_exact_crystals_are_left_alone(prototypes: list[Crystal]) -> None:
    fc = encode(prototypes, BASIS, GRID)
    plain, found = recover(fc, BASIS, GRID), recover_symmetric(fc, BASIS, GRID, 0.05)
    assert found.reasons == plain.reasons and found.symmetries is not None
    assert torch.equal(found.residuals, plain.residuals) and any(c is not None for c in plain.crystals)
    for before, after, symmetry in zip(plain.crystals, found.crystals, found.symmetries, strict=True):
        assert (before is None) == (after is None) == (symmetry is None)
        if before is not None:
            assert nodes(before) == nodes(after) and symmetry.moved == 0


@pytest.mark.parametrize("size", [0.3, 0.6, 0.9])
def test_atoms_move_only_with_a_certificate(prototypes: list[Crystal], size: float) -> None:
    fc = noisy(encode(prototypes, BASIS, GRID), size)
    plain, found = recover(fc, BASIS, GRID, **DECODED), recover_symmetric(fc, BASIS, GRID, 0.1, **DECODED)
    before = [None if c is None else s.order for c, s in zip(plain.crystals, _followed(plain.crystals), strict=True)]
    moved = right = wrong = 0
    for i, (old, new, symmetry) in enumerate(zip(plain.crystals, found.crystals, found.symmetries, strict=True)):
        assert (old is None) == (new is None) and found.reasons[i] == plain.reasons[i]
        if old is None:
            continue
        assert new.reduced_formula == old.reduced_formula and len(new) == len(old)
        assert abs(new.volume / old.volume - 1) < 1e-6, "the volume stays as it was decoded"
        assert found.residuals[i] <= 1.1 * plain.residuals[i] + 1e-6
        if symmetry.moved:
            moved += 1
            assert symmetry.order > before[i], "atoms move for a larger group only"
            right += nodes(new) == nodes(prototypes[i])
            wrong += nodes(old) == nodes(prototypes[i])
        else:
            assert nodes(old) == nodes(new)
    assert right >= wrong == 0


def _followed(crystals):
    "Symmetries of the crystals that there are."
    found = iter(follow_atoms([c for c in crystals if c is not None], GRID, 0.1))
    return [None if c is None else next(found) for c in crystals]


def test_without_a_search_only_cells_change(prototypes: list[Crystal]) -> None:
    fc = noisy(encode(prototypes, BASIS, GRID), 0.6)
    found = recover_symmetric(fc, BASIS, GRID, 0.1, least=2, **DECODED)
    for old, new in zip(recover(fc, BASIS, GRID, **DECODED).crystals, found.crystals, strict=True):
        assert old is None or np.array_equal(old.frac_coords, new.frac_coords)


def test_what_cannot_be_recovered_keeps_its_reason(prototypes: list[Crystal]) -> None:
    fc = encode(prototypes[:4], BASIS, GRID)
    alpha, species = fc.coefficients.clone(), fc.species.clone()
    alpha[0], species[1] = torch.nan, 0
    found = recover_symmetric(replace(fc, coefficients=alpha, species=species), BASIS, GRID, **DECODED)
    assert found.reasons[:2] == ["invalid", "empty"] and found.symmetries[:2] == [None, None]
    assert found.reasons[2:] == [None, None]
    with pytest.raises(RepresentationError, match="max_strain"):
        recover_symmetric(fc, BASIS, GRID, 1.0)
