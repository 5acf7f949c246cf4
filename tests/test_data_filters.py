"""Filters: each on its own, and duplicates exactly as pymatgen's matcher sees them."""

import tracemalloc
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.structure_matcher import StructureMatcher

from fourier_workbench import Crystal
from fourier_workbench.data.packed import pack
from fourier_workbench.data.preparation.filters import first_reason, paper_filters, recoverability
from fourier_workbench.data.sources.prototypes import embedded, prototypes
from fourier_workbench.matching.reduced_cell import PAPER_TOLERANCE, Tolerance, reduce_cell
from fourier_workbench.matching.structure_matcher import candidate_cells, duplicates_of, is_match, similar_cells
from fourier_workbench.representation import FourierBasis, encode, recover

MATCHER = StructureMatcher(0.2, 0.3, 5)


def first_of_kind(crystals):
    """The plain way: every crystal against those kept before it."""
    structures, out = [crystal.to_structure() for crystal in crystals], []
    for i, structure in enumerate(structures):
        kept = (j for j in range(i) if out[j] is None)
        out.append(next((j for j in kept if MATCHER.fit(structures[j], structure)), None))
    return out


@pytest.fixture(scope="module")
def family():
    """Rock salt, zincblende, CsCl, NiAs, wurtzite … all as ZnS, and elements all as iron: many of one formula."""
    groups = defaultdict(list)
    for proto in prototypes():
        if len(proto.role) <= 6 and len(proto.counts) <= 2 and len(set(proto.counts)) == 1:
            groups[len(proto.counts)].append(proto.decorate((30, 16)[: len(proto.counts)]))
    return list(groups.values())


def test_duplicates_are_those_of_the_matcher(family):
    for crystals in family:
        assert len(crystals) > 8
        expected = first_of_kind(crystals)
        assert duplicates_of(crystals) == expected
        assert any(j is not None for j in expected)


@settings(max_examples=15)
@given(st.integers(0, 10), st.floats(0, 0.35), st.integers(0, 2**31 - 1), st.booleans())
def test_displaced_and_strained_copies_are_judged_as_by_the_matcher(family, pick, size, seed, widen):
    rng = np.random.default_rng(seed)
    crystal = family[-1][pick % len(family[-1])]
    strain = np.eye(3) + rng.normal(0, size / 4, (3, 3))
    frac = crystal.frac_coords + rng.normal(0, size, (len(crystal), 3)) @ np.linalg.inv(crystal.lattice)
    copy = Crystal(crystal.lattice @ strain * 1.1, crystal.numbers, frac)
    pair = [crystal, copy.supercell([2, 1, 1]) if widen else copy]
    assert duplicates_of(pair) == first_of_kind(pair)


LAYERS = np.array([[0, 0, 0], [2, 1, 0], [1, 2, 0]]) / 3  # A, B, C of a hexagonal stacking
TOLERANCES = [PAPER_TOLERANCE, Tolerance(0.1, 0.3, 5.0), Tolerance(0.3, 0.5, 10.0)]


def polytype(letters, seed, noise):
    """CdI₂ in a long cell: layers I–Cd–I, each shifted as its letter says, atoms moved a little, the cell strained."""
    rng, n = np.random.default_rng(seed), len(letters)
    parts = [(48, 0, 0.0), (53, 1, 0.25), (53, 2, -0.25)]
    frac = [LAYERS[(letter + shift) % 3] + [0, 0, (i + height) / n]
            for i, letter in enumerate(letters) for _, shift, height in parts]
    cell = np.array([[4.24, 0, 0], [-2.12, 3.672, 0], [0, 0, 6.84 * n]]) @ (np.eye(3) + rng.normal(0, noise / 10, (3, 3)))
    moved = np.array(frac) + rng.normal(0, noise, (3 * n, 3)) @ np.linalg.inv(cell)
    return Crystal(cell, [z for _ in letters for z, _, _ in parts], moved)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=5), st.integers(0, 2**31 - 1), st.floats(0, 0.6),
       st.sampled_from(TOLERANCES))
def test_the_conditions_reject_no_polytype_that_the_matcher_accepts(letters, seed, noise, tolerance):
    """Stackings that resemble one another in many cells: reordered, mirrored, and with one layer moved."""
    plain = reduce_cell(polytype(letters, seed, noise))
    matcher = StructureMatcher(*tolerance)
    others = [letters[::-1], letters[1:] + letters[:1], [(letters[0] + 1) % 3, *letters[1:]]]
    for other in (reduce_cell(polytype(one, seed + 1, noise)) for one in others):
        expected = matcher.fit(other.structure, plain.structure, skip_structure_reduction=True)
        assert is_match(other, plain, tolerance) == expected
        assert not expected or len(candidate_cells(other, plain, tolerance))


def test_of_long_polytypes_few_cells_are_left_for_the_matcher():
    """A thousand cells of one resemble the other; the matcher would try hundreds of translations in each."""
    one, other = (reduce_cell(polytype([seed % 3, 1, 0, 2, 0, 1, 0, 2, 1, 0, seed // 2], 0, 0.0)) for seed in (1, 2))
    assert len(similar_cells(one, other, PAPER_TOLERANCE)) > 5 * len(candidate_cells(one, other, PAPER_TOLERANCE))
    assert not is_match(one, other)
    assert is_match(one, one)


def test_filters_stand_alone():
    cell = np.eye(3) * 4
    assert first_reason(Crystal(cell, [92], [[0, 0, 0]]), paper_filters()) == "f_block"
    assert first_reason(Crystal(cell, [84], [[0, 0, 0]]), paper_filters()) == "heavy_element"
    assert first_reason(Crystal(cell, [18], [[0, 0, 0]]), paper_filters()) == "noble_gas"
    every = [first_reason(Crystal(cell, [z], [[0, 0, 0]]), paper_filters(elements="all")) for z in range(1, 104)]
    assert every == [None] * 83 + ["heavy_element"] * 20
    whole = paper_filters(elements="all", max_atomic_number=103)
    assert [first_reason(Crystal(cell, [z], [[0, 0, 0]]), whole) for z in (84, 103, 104)] == [None, None, "heavy_element"]
    assert first_reason(Crystal(np.diag([0.4, 4, 4]), [26], [[0, 0, 0]]), paper_filters()) == "too_close"  # its own image
    assert first_reason(Crystal(cell, [26, 26], [[0, 0, 0], [0.13, 0, 0]]), paper_filters()) is None
    assert first_reason(Crystal(cell, [26, 26], [[0, 0, 0], [0.12, 0, 0]]), paper_filters()) == "too_close"


@pytest.mark.parametrize("method", ["paper", "robust"])
def test_recoverability_is_what_recovery_says(method):
    basis, grid = FourierBasis(5), 24
    crystals = [crystal for _, crystal, _ in embedded() if len(crystal) <= 16 and crystal.species[-1] <= 83]
    packed = pack(crystals)
    stored = [packed.crystal(i) for i in range(len(packed))]
    encoded = encode(stored, basis, grid)
    found = recover(encoded, basis, grid, method=method)
    reasons = recoverability(packed, basis, grid, method)
    same = [(a is None) == (b is None) for a, b in zip(reasons, found.reasons, strict=True)]
    assert np.mean(same) > 0.99  # the paper's third stage is random: a rare crystal falls the other way in another batch
    assert reasons.count(None) > 0.8 * len(reasons)


def test_recoverability_does_not_look_at_the_lattice_or_the_elements():
    flat = Crystal(np.diag([3.0, 3.0, 30.0]), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    cube = Crystal(np.eye(3) * 6, [56, 83], [[0.5, 0.5, 0.5], [0, 0, 0]])
    assert recoverability(pack([flat, cube]), FourierBasis(3), 24) == [None, None]


def test_a_cell_like_a_needle_costs_no_more_memory_than_others():
    """Its longest edge reaches thousands of vectors of a stout cell of as many atoms."""
    rng = np.random.default_rng(0)
    needle = Crystal(np.diag([2.5, 2.6, 320.0]), [26] * 12, np.stack([np.zeros(12), np.zeros(12), np.arange(12) / 12], 1))
    stout = Crystal(np.diag([6.0, 6.5, 7.0]), [26] * 12, rng.random((12, 3)))
    tracemalloc.start()
    found = duplicates_of([stout, needle, needle, stout])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [None, None, 1, 0]
    assert peak < 100e6
