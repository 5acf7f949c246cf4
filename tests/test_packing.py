"""Atoms that stay apart: distances, the energy of an arrangement, whole orbits, and exact data left alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.data import covalent_radii
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice
from test_grid_symmetry import crystal_of
from test_symmetric_recovery import noisy

from fourier_workbench.crystal import Crystal
from fourier_workbench.data import load_crystals
from fourier_workbench.generation import RecoveryOptions, load_generator
from fourier_workbench.representation import (
    FourierBasis,
    FourierCrystals,
    density,
    encode,
    follow_atoms,
    recover_symmetric,
    snap,
)
from fourier_workbench.representation.recovery.packing import (
    APART,
    Arrangement,
    Orbits,
    Packing,
    contact_costs,
    recover_packed,
    shortest_distances,
    standard_orbits,
)
from fourier_workbench.representation.recovery.symmetric import GridOperations, GroupSearch

BASIS, GRID = FourierBasis(5), 24
OXYGEN = (7, 7, 0), (17, 17, 0), (5, 19, 0.5), (19, 5, 0.5)  # of rutile
DECODED = {"tolerance": math.inf, "policy": "trust_species"}


@pytest.fixture(scope="module")
def crystals() -> list[Crystal]:
    "Real crystals on nodes, of at most 16 atoms, no two of one species on a node."
    found = [sample.crystal for sample in load_crystals("embedded")][:40]
    snapped = [Crystal(c.lattice, c.numbers, snap(c.frac_coords, GRID) / GRID) for c in found if len(c) <= 16]
    return [c for c in snapped if len(np.unique(c.frac_coords, axis=0)) == len(c)][:12]


def packing_of(crystal: Crystal, size: float, seed: int = 0) -> Packing:
    "A crystal's coefficients with noise, and its true lattice."
    fc = noisy(encode([crystal], BASIS, GRID), size, seed)
    used = fc.species[0] > 0
    numbers = fc.species[0, used].numpy()
    counts = np.array([(crystal.numbers == z).sum() for z in numbers])
    return Packing(fc.coefficients[0, used], numbers, counts, crystal.lattice, BASIS, GRID)


def random_arrangement(packing: Packing, operations: GridOperations, seed: int) -> tuple[Arrangement, np.ndarray]:
    "Orbits filled with chance's help, and the density they are compared with."
    orbits = Orbits(operations)
    alpha = operations.symmetrise(packing.alpha, BASIS)
    rho = (density(alpha, BASIS, GRID) / len(BASIS)).numpy()
    own = 1 + orbits.among(packing.kernel) + np.stack([orbits.among(c[s]) / 2 for s, c in enumerate(packing.costs)])
    arrangement = Arrangement(packing, orbits, rho, own)
    assert arrangement.fill(np.random.default_rng(seed))
    return arrangement, rho


def energy(packing: Packing, rho: np.ndarray, nodes: np.ndarray, species: np.ndarray) -> float:
    "E of the notebook, from its definition, less the energy of no atoms."
    kernel, total = packing.kernel[:GRID, :GRID, :GRID].astype(np.float64), 0.0
    for s, asked in enumerate(rho.astype(np.float64)):
        left = asked - sum(np.roll(kernel, tuple(node), (0, 1, 2)) for node in nodes[species == s])
        total += (np.square(left).sum() - np.square(asked).sum()) / np.square(kernel).sum()
    for i in range(len(nodes)):
        for j in range(i):
            total += packing.costs[species[i], species[j]][tuple((nodes[i] - nodes[j]) % GRID)]
    return total


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_distances_are_the_shortest_of_all_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    lattice *= np.sign(np.linalg.det(lattice))
    if np.linalg.det(lattice) < 0.5:
        return
    table, nodes = shortest_distances(lattice, 6), rng.integers(0, 6, (5, 3))
    expected = Lattice(lattice).get_all_distances(nodes / 6, np.zeros((1, 3)))[:, 0]
    assert np.allclose(table[tuple(nodes.T)], expected, atol=1e-4)


@settings(max_examples=8)
@given(st.integers(0, 1000), st.booleans())
def test_the_energy_is_that_of_the_definition_after_any_moves(seed: int, inverted: bool) -> None:
    salt = Crystal(np.diag([4.1, 4.4, 5.0]), [11, 11, 17, 17], [[0.25, 0, 0], [0.75, 0, 0], [0.25, 0.5, 0.5], [0.75, 0.5, 0.5]])
    packing, one = packing_of(salt, 1.0, seed), np.eye(3, dtype=np.int64)
    rotations = np.stack([one, -one]) if inverted else one[None]
    arrangement, rho = random_arrangement(packing, GridOperations(rotations, np.zeros((len(rotations), 3), np.int64), GRID), seed)
    assert arrangement.energy == pytest.approx(energy(packing, rho, *arrangement.atoms()), abs=2e-3)
    before = arrangement.energy
    arrangement.settle(sweeps=2)
    assert arrangement.energy == pytest.approx(energy(packing, rho, *arrangement.atoms()), abs=2e-3)
    assert arrangement.energy <= before + 1e-3


@pytest.mark.parametrize("group", [2, 14, 62, 92, 148, 166, 194, 198, 225])
def test_orbits_are_those_of_the_group(group: int) -> None:
    crystal = crystal_of(group)
    fc = encode([crystal], FourierBasis(7), 48)
    alpha = fc.coefficients[0, fc.species[0] > 0]
    operations = GroupSearch(alpha, crystal.lattice, FourierBasis(7), 48, 0.01, 0.9999).nested()[0]
    orbits = Orbits(operations)
    assert orbits.multiplicity.sum() == 48**3
    for orbit in np.random.default_rng(0).integers(0, len(orbits.representatives), 5).tolist():
        nodes = orbits.nodes(orbit)
        assert len(nodes) == orbits.multiplicity[orbit]
        assert operations.keep(Crystal(crystal.lattice, [6] * len(nodes), nodes / 48))


def test_groups_are_nested_between_the_identity_and_the_largest() -> None:
    crystal, basis = crystal_of(225), FourierBasis(7)
    fc = encode([crystal], basis, 48)
    groups = GroupSearch(fc.coefficients[0, fc.species[0] > 0], crystal.lattice, basis, 48, 0.05).nested()
    orders = [len(group.rotations) for group in groups]
    assert orders == sorted(orders, reverse=True) and orders[0] == 48 and orders[-1] == 1
    assert all(orders[0] % order == 0 for order in orders) and groups[0].keep(crystal)


def with_counts(blurred: FourierCrystals, exact: FourierCrystals) -> FourierCrystals:
    "Noisy coefficients whose zero modes, the numbers of atoms, are exact."
    alpha = blurred.coefficients.clone()
    alpha[..., BASIS.zero] = exact.coefficients[..., BASIS.zero]
    return replace(blurred, coefficients=alpha)


def test_the_group_that_was_asked_for_is_found_in_more_noise() -> None:
    "Rutile with so much noise that its coefficients alone seldom give P4₂/mnm."
    rutile = Crystal(np.diag([4.6, 4.6, 2.96]), [22, 22, 8, 8, 8, 8],
                     [[0, 0, 0], [0.5, 0.5, 0.5], *([x / 24, y / 24, z] for x, y, z in OXYGEN)])
    fc = encode([rutile], BASIS, GRID)
    rows = [with_counts(noisy(fc, size, seed), fc) for size in (1.6, 2.0) for seed in range(4)]

    def groups(asked: torch.Tensor | None) -> list[int]:
        found = [recover_packed(row, BASIS, GRID, 0.1, space_groups=asked, **DECODED).symmetries[0] for row in rows]
        return [0 if symmetry is None else symmetry.space_group[0] for symmetry in found]

    told, untold = groups(torch.tensor([136])), groups(None)
    assert told.count(136) > untold.count(136)


def test_a_group_of_another_setting_or_grid_changes_nothing() -> None:
    salt = Crystal(4.12 * np.eye(3), [55, 17], [[0.125, 0.25, 0.375], [0.625, 0.75, 0.875]])
    blurred = noisy(encode([salt], BASIS, GRID), 1.5)
    asked, free = (recover_packed(blurred, BASIS, GRID, 0.1, space_groups=groups, **DECODED).crystals[0]
                   for groups in (torch.tensor([227]), None))
    assert asked is not None and free is not None and np.array_equal(asked.frac_coords, free.frac_coords)
    assert standard_orbits(227, 10) is None and standard_orbits(225, 10) is not None
    one = standard_orbits(1, GRID)
    assert one is not None and one.whole


def test_exact_coefficients_are_left_alone(crystals: list[Crystal]) -> None:
    fc = encode(crystals, BASIS, GRID)
    packed, symmetric = (function(fc, BASIS, GRID, 0.1, **DECODED) for function in (recover_packed, recover_symmetric))
    for a, b in zip(packed.crystals, symmetric.crystals, strict=True):
        assert a is not None and b is not None
        assert np.array_equal(a.lattice, b.lattice) and np.array_equal(a.frac_coords, b.frac_coords)
    assert torch.equal(packed.residuals, symmetric.residuals)


@pytest.mark.parametrize("size", [1.0, 2.5])
def test_atoms_of_noisy_coefficients_stay_apart_and_are_as_many(crystals: list[Crystal], size: float) -> None:
    fc = encode(crystals, BASIS, GRID)
    blurred = with_counts(noisy(fc, size), fc)
    packed, plain = (function(blurred, BASIS, GRID, 0.1, **DECODED) for function in (recover_packed, recover_symmetric))

    def closest(crystal: Crystal | None) -> float:
        if crystal is None:
            return 0.0
        apart = crystal.to_structure().distance_matrix + 99 * np.eye(len(crystal))
        radii = covalent_radii[crystal.numbers]
        return float((apart / (radii[:, None] + radii)).min())

    assert all(crystal is not None for crystal in packed.crystals)
    for crystal, true in zip(packed.crystals, crystals, strict=True):
        assert crystal is not None and sorted(crystal.numbers) == sorted(true.numbers)
    near = [[closest(c) for c in found.crystals] for found in (packed, plain)]
    assert min(near[0]) > 0.5, "no atoms overlap"
    assert np.mean(np.array(near[0]) >= APART - 0.05) >= np.mean(np.array(near[1]) >= APART - 0.05)


def test_two_atoms_on_one_node_find_places() -> None:
    salt = Crystal(4.12 * np.eye(3), [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    fc = encode([salt], BASIS, GRID)
    alpha = fc.coefficients.clone()
    alpha[0, 1] = 0.45 * alpha[0, 1] + 0.55 * alpha[0, 0]
    mixed = replace(fc, coefficients=alpha)
    assert recover_symmetric(mixed, BASIS, GRID, 0.1, **DECODED).reasons == ["collision"]
    packed = recover_packed(mixed, BASIS, GRID, 0.1, **DECODED)
    (crystal,), (symmetry,) = packed.crystals, packed.symmetries
    assert packed.reasons == [None] and crystal is not None and symmetry is not None
    assert {tuple(x) for x in crystal.frac_coords.round(6)} == {(0, 0, 0), (0.5, 0.5, 0.5)}
    assert symmetry.space_group[0] == 221 and symmetry.moved == 2


def test_the_answer_does_not_depend_on_the_batch(crystals: list[Crystal]) -> None:
    blurred = noisy(encode(crystals[:4], BASIS, GRID), 1.5)
    together = recover_packed(blurred, BASIS, GRID, 0.1, **DECODED)
    alone = [recover_packed(blurred[torch.tensor([i])], BASIS, GRID, 0.1, **DECODED).crystals[0] for i in range(4)]
    for a, b in zip(together.crystals, alone, strict=True):
        assert (a is None) == (b is None)
        assert a is None or b is None or np.array_equal(a.frac_coords, b.frac_coords)


def test_a_cell_too_small_for_its_atoms_still_ends() -> None:
    tight = Crystal(2.0 * np.eye(3), [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    packed = recover_packed(noisy(encode([tight], BASIS, GRID), 2.0), BASIS, GRID, 0.1, **DECODED)
    assert packed.crystals[0] is not None or packed.reasons[0] is not None
    assert contact_costs(np.float32([0.1])) > 3


def test_samples_are_packed_unless_told_otherwise() -> None:
    generator = load_generator("laptop")
    on = generator.sample(16, seed=5, steps=4, progress=False)
    off = generator.sample(16, seed=5, steps=4, recovery=RecoveryOptions(packing=False), progress=False)
    assert on.settings["recovery"]["packing"] and torch.equal(on.ladders, off.ladders)
    assert on.table["valid"].sum() >= off.table["valid"].sum() and on.table["valid"].mean() > 0.9
    assert follow_atoms([c for c in on.crystals if c is not None][:1], generator.grid, 0.1)[0].order >= 1
