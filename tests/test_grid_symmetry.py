"""Symmetry read off the grid: the same in any description of a crystal, a group, and what spglib's tables call it."""

from functools import cache

import numpy as np
import pytest
import spglib
from hypothesis import given
from hypothesis import strategies as st

from fourier_workbench.crystal import Crystal
from fourier_workbench.representation.grid_symmetry import GridSymmetry, follow_atoms

GRID = 48


@cache
def hall_numbers() -> dict[int, int]:
    "A Hall number of each space group: that of its standard setting."
    found: dict[int, int] = {}
    for hall in range(1, 531):
        found.setdefault(spglib.get_spacegroup_type(hall).number, hall)
    return found


def crystal_of(group: int, seed: int = 0, strain: float = 0.0) -> Crystal:
    "Three general orbits on nodes of the grid with this space group, in a cell that obeys it up to `strain`."
    symmetry = spglib.get_symmetry_from_database(hall_numbers()[group])
    rotations, rng = symmetry["rotations"].astype(np.int64), np.random.default_rng([group, seed])
    translations = np.rint(symmetry["translations"] * GRID).astype(np.int64)
    start = np.eye(3) + 0.2 * rng.normal(size=(3, 3))
    metric = np.mean([w.T @ (60 * start @ start.T) @ w for w in rotations], axis=0)
    lattice = np.linalg.cholesky(metric) @ (np.eye(3) + strain * rng.uniform(-1, 1, (3, 3)))
    nodes: list[np.ndarray] = []
    while len(nodes) < 3:
        orbit = (rotations @ rng.integers(0, GRID, 3) + translations) % GRID
        if len(np.unique(np.vstack([orbit, *nodes]), axis=0)) == len(orbit) * (len(nodes) + 1):
            nodes.append(orbit)
    return Crystal(lattice, np.repeat([11, 17, 8], len(nodes[0])), np.vstack(nodes) / GRID)


def check(found: GridSymmetry, given_: Crystal) -> None:
    "The operations form a group that keeps metric and atoms; the volume and the fractional coordinates are those given."
    lattice = np.linalg.solve(found.change, found.crystal.lattice)
    metric = lattice @ lattice.T
    assert np.allclose(found.rotations.transpose(0, 2, 1) @ metric @ found.rotations, metric, atol=1e-9 * np.trace(metric))
    assert np.isclose(found.crystal.volume, given_.volume, rtol=1e-9)
    assert np.array_equal(found.crystal.frac_coords, given_.frac_coords)
    operations = {(w.tobytes(), v.tobytes()) for w, v in zip(found.rotations, found.translations, strict=True)}
    for w, v in list(zip(found.rotations, found.translations, strict=True))[:12]:
        after = found.rotations @ w, (found.rotations @ v + found.translations) % found.grid
        assert {(a.tobytes(), b.tobytes()) for a, b in zip(*after, strict=True)} == operations


def test_all_space_groups_are_recognised() -> None:
    crystals = [crystal_of(group) for group in range(1, 231)]
    found = follow_atoms(crystals, GRID, max_strain=1e-6)
    assert [each.space_group[0] for each in found] == list(range(1, 231))
    for each, crystal in zip(found, crystals, strict=True):
        check(each, crystal)
        assert each.strain < 1e-6


def test_a_strained_cell_gets_its_symmetry_back() -> None:
    groups = range(3, 231, 4)
    crystals = [crystal_of(group, strain=0.004) for group in groups]
    found = follow_atoms(crystals, GRID, max_strain=0.03)
    assert [each.space_group[0] for each in found] == list(groups), "general orbits of these seeds have no more symmetry"
    for each, crystal in zip(found, crystals, strict=True):
        check(each, crystal)
    again = follow_atoms([each.crystal for each in found], GRID, max_strain=0.03)
    assert max(each.strain for each in again) < 1e-7, "nothing is left to change"


@given(st.integers(2, 230), st.lists(st.integers(0, GRID - 1), min_size=3, max_size=3), st.integers(0, 2**16), st.booleans())
def test_the_description_does_not_matter(group: int, origin: list[int], seed: int, left: bool) -> None:
    crystal, rng = crystal_of(group, strain=0.003), np.random.default_rng(seed)
    change = np.eye(3, dtype=np.int64)
    for i, j in rng.permuted([[0, 1], [1, 2], [2, 0], [1, 0]], axis=0):
        change = change + np.outer(np.eye(3)[i], change[j]).astype(np.int64) * (i != j)
    order = rng.permutation(len(crystal))
    frac = (crystal.frac_coords + np.array(origin) / GRID) @ np.linalg.inv(change)
    sign = -1 if left else 1
    other = Crystal(sign * change @ crystal.lattice, crystal.numbers[order], (sign * frac)[order])
    one, two = follow_atoms([crystal, other], GRID, 0.03)
    # -M with -f is the same crystal; groups are compared as types
    assert one.space_group == two.space_group and len(one) == len(two) and np.isclose(one.strain, two.strain, atol=1e-9)
    check(two, other)


@given(st.integers(1, 230), st.sampled_from([[2, 1, 1], [1, 1, 3], [2, 2, 1], [1, 2, 2]]))
def test_a_supercell_has_the_symmetry_of_its_crystal(group: int, multiple: list[int]) -> None:
    crystal = crystal_of(group, strain=0.002)
    numbers = np.repeat(crystal.numbers, np.prod(multiple))
    cells = np.stack(np.meshgrid(*map(range, multiple), indexing="ij"), -1).reshape(-1, 3)
    frac = ((crystal.frac_coords[:, None] + cells) / multiple).reshape(-1, 3)
    grid = GRID * int(np.lcm.reduce(multiple))
    one, many = (
        follow_atoms([each], grid, 0.02)[0]
        for each in (crystal, Crystal(np.array(multiple)[:, None] * crystal.lattice, numbers, frac))
    )
    assert one.space_group == many.space_group and len(one) == len(many)


def test_disorder_stays_in_p1_and_batches_do_not_mix() -> None:
    rng = np.random.default_rng(0)
    frac = np.stack(np.unravel_index(rng.permutation(GRID**3)[:9], (GRID,) * 3), 1) / GRID
    disordered = Crystal(5 * np.eye(3), rng.integers(3, 9, 9), frac)
    alone = follow_atoms([disordered], GRID, 0.1)[0]
    among = follow_atoms([crystal_of(225), disordered, crystal_of(62)], GRID, 0.1)[1]
    assert len(alone) == len(among) == 1 and np.allclose(alone.crystal.lattice, disordered.lattice)
    assert not follow_atoms([], GRID)


def test_atoms_on_one_node_and_needles_do_not_fail_a_batch() -> None:
    needle = np.array([[2.0128, 1.1621, 128.1912], [-2.0128, 1.1621, 128.1912], [0, -2.3242, 128.1912]])
    shared = Crystal(needle, [39, 14, 16], [[0, 0, 0], [0, 0, 0], [0.25, 0.25, 0.25]])
    found = follow_atoms([crystal_of(62), shared, Crystal(needle, [39, 16], [[0, 0, 0], [0.5, 0.5, 0.5]])], GRID, 0.1)
    assert found[0].space_group[0] == 62 and all(np.isfinite(each.crystal.lattice).all() for each in found)
    assert len(found[1]) == 1 and np.allclose(found[1].crystal.lattice, needle), "atoms that share a node have no operations"
    assert len(found[2]) > 1


@pytest.mark.parametrize("group", [2, 62, 148, 194, 225])
def test_spglib_agrees_on_ideal_crystals(group: int) -> None:
    found = follow_atoms([crystal_of(group, strain=0.004)], GRID, 0.03)[0].crystal
    seen = spglib.get_symmetry_dataset((found.lattice, found.frac_coords, found.numbers), symprec=1e-4)
    assert seen.number == group
