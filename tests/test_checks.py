"""Known answers of every check, and that how a crystal is written changes none of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench.crystal import Crystal
from fourier_workbench.errors import EvaluationError
from fourier_workbench.evaluation import structure_table
from fourier_workbench.evaluation.checks import check_charges, measure_geometry, measure_symmetry
from fourier_workbench.evaluation.context import ResultCache
from fourier_workbench.evaluation.fingerprints import structure_hash
from fourier_workbench.evaluation.statistics import (
    bootstrap_interval,
    coverage,
    distances,
    jensen_shannon,
    rate_interval,
)
from fourier_workbench.evaluation.workers import Outcome

HALITE = Crystal(2.82 * (1 - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
CAESIUM = Crystal(np.eye(3) * 4.11, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Crystal(
    np.diag([4.59, 4.59, 2.96]),
    [22, 22, 8, 8, 8, 8],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]],
)
X, Y, Z = 0.4135, 0.2669, 0.7858  # oxygen of quartz, space group 154
QUARTZ = Crystal(
    [[4.913, 0, 0], [-2.4565, 4.25478, 0], [0, 0, 5.405]],
    [14, 14, 14, 8, 8, 8, 8, 8, 8],
    [[0.4697, 0, 2 / 3], [0, 0.4697, 1 / 3], [0.5303, 0.5303, 0]]
    + [[X, Y, Z], [-Y, X - Y, Z + 2 / 3], [Y - X, -X, Z + 1 / 3]]
    + [[Y, X, -Z], [X - Y, -Y, 1 / 3 - Z], [-X, Y - X, 2 / 3 - Z]],
)
PER_CRYSTAL = ["min_distance", "volume_per_atom", "mass_density", "radii_ratio"]

# ---------------------------------------------------------------------------------------------------- invariance

shears = st.sampled_from(
    [
        np.eye(3),
        [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[1, 0, -1], [0, 1, 1], [0, 0, 1]],
    ]
).map(lambda rows: np.array(rows, dtype=float))


def rewritten(crystal: Crystal, cell: np.ndarray, shift, seed: int, mirror: bool) -> Crystal:
    "The same crystal: other lattice vectors, origin, order of atoms, and perhaps its mirror image."
    order = np.random.default_rng(seed).permutation(len(crystal))
    frac = ((crystal.frac_coords + shift) @ np.linalg.inv(cell))[order]
    return Crystal(cell @ crystal.lattice * ([-1, 1, 1] if mirror else 1), crystal.numbers[order], frac)


@given(
    crystal=st.sampled_from([HALITE, RUTILE, QUARTZ]),
    cell=shears,
    shift=st.tuples(*[st.floats(0, 1)] * 3),
    seed=st.integers(0, 99),
    mirror=st.booleans(),
)
@settings(max_examples=15)
def test_how_a_crystal_is_written_changes_no_number(crystal, cell, shift, seed: int, mirror: bool) -> None:
    other = rewritten(crystal, cell, shift, seed, mirror)
    before, after = measure_geometry(crystal), measure_geometry(other)
    assert {name: after[name] for name in PER_CRYSTAL} == pytest.approx({name: before[name] for name in PER_CRYSTAL})
    assert (after["reduced_formula"], after["n_species"]) == (before["reduced_formula"], before["n_species"])
    assert structure_hash(other) == structure_hash(crystal)
    symmetry = measure_symmetry(other)
    assert symmetry["n_sites_primitive"] == measure_symmetry(crystal)["n_sites_primitive"]
    assert symmetry["symmetry_residual"] < 2e-2, "perfect in any cell, up to the digits it was written with"


@given(multiple=st.tuples(*[st.integers(1, 2)] * 3))
@settings(max_examples=4)
def test_a_supercell_is_the_same_crystal(multiple: tuple[int, int, int]) -> None:
    larger = QUARTZ.supercell(multiple)
    before, after = measure_geometry(QUARTZ), measure_geometry(larger)
    assert {name: after[name] for name in PER_CRYSTAL} == pytest.approx({name: before[name] for name in PER_CRYSTAL})
    assert structure_hash(larger) == structure_hash(QUARTZ)
    assert measure_symmetry(larger)["n_sites_primitive"] == 9


def test_quartz_has_its_space_group_and_loses_it() -> None:
    found = measure_symmetry(QUARTZ)
    assert found["space_group"] == 154
    assert 0 < found["symmetry_skipped"] < 1, "hexagonal operations leave the cube"
    noise = np.random.default_rng(0).normal(0, 0.002, QUARTZ.frac_coords.shape)
    bent = Crystal(QUARTZ.lattice, QUARTZ.numbers, QUARTZ.frac_coords + noise)
    assert measure_symmetry(bent)["space_group"] == 154, "within 0.1 Å"
    assert measure_symmetry(bent)["symmetry_residual"] > 5 * found["symmetry_residual"]


# ---------------------------------------------------------------------------------------------------- known answers


def test_densities_and_distances_are_those_of_the_tables() -> None:
    assert measure_geometry(HALITE)["mass_density"] == pytest.approx(2.16, abs=0.01)
    assert measure_geometry(QUARTZ)["mass_density"] == pytest.approx(2.65, abs=0.01)
    assert measure_geometry(RUTILE)["mass_density"] == pytest.approx(4.25, abs=0.02)
    assert measure_geometry(QUARTZ)["min_distance"] == pytest.approx(1.61, abs=0.01)


def test_an_isolated_pair_has_one_distance() -> None:
    pair = Crystal(np.eye(3) * 20, [1, 1], [[0, 0, 0], [0.037, 0, 0]])
    numbers = measure_geometry(pair)
    assert numbers["pair_distance"] == numbers["min_distance"] == pytest.approx(0.74)
    assert numbers["radii_ratio"] == pytest.approx(0.74 / 0.62)
    table = structure_table([pair], measurements=("sizes",), workers=1)
    assert not table["valid"][0], "4000 Å³ an atom"
    assert table["distances by radii"][0]


@pytest.mark.parametrize(
    ("composition", "neutral", "pauling"),
    [
        ({11: 1, 17: 1}, True, True),
        ({20: 1, 22: 1, 8: 3}, True, True),
        ({11: 1, 17: 2}, False, False),
        ({6: 24}, True, True),
        ({29: 3, 79: 1}, True, True),
        ({2: 1, 11: 1}, False, False),
    ],
)
def test_charges(composition: dict[int, int], neutral: bool, pauling: bool) -> None:
    verdict = check_charges(composition)
    assert (verdict["charge_neutral"], verdict["charges_as_pauling"]) == (neutral, pauling)
    assert check_charges({z: 3 * n for z, n in composition.items()}) == verdict


def test_each_check_sees_what_is_wrong() -> None:
    flat = Crystal([[4, 0, 0], [0, 4, 0], [3.9, 3.9, 0.0045]], [11], [[0, 0, 0]])
    heavy = Crystal(np.eye(3) * 1.5, [79], [[0, 0, 0]])
    table = structure_table([HALITE, flat, heavy, None], measurements=("sizes", "charges"), workers=1)
    assert table["cell not flat"].tolist() == [True, False, True, False]
    assert table["mass density"].tolist()[::2] == [True, False], "97 g/cm³"
    assert table["CDVAE structure"].tolist()[2:] == [True, False], "an atom alone meets nobody but itself"
    assert table["all checks"].tolist() == [True, False, False, False]


def test_a_hash_knows_bonds_from_angles() -> None:
    assert structure_hash(HALITE) != structure_hash(Crystal(CAESIUM.lattice, [11, 17], CAESIUM.frac_coords))
    assert structure_hash(HALITE) != structure_hash(Crystal(HALITE.lattice, [3, 17], HALITE.frac_coords))
    assert structure_hash(HALITE) == structure_hash(Crystal(HALITE.lattice * 1.3, HALITE.numbers, HALITE.frac_coords))


# ---------------------------------------------------------------------------------------------------- statistics


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng, held = np.random.default_rng(0), 0
    for count in rng.binomial(200, 0.3, 300):
        low, high = rate_interval(int(count), 200)
        held += low <= 0.3 <= high
    assert 0.9 < held / 300 < 0.99
    low, high = bootstrap_interval(rng.normal(2, 1, 400), np.median)
    assert low < 2 < high
    assert high - low < 0.4


def test_distances_are_distances() -> None:
    import pandas as pd

    one = pd.DataFrame({"n_sites_primitive": [2, 2, 4], "space_group": [1, 2, 2]})
    two = pd.DataFrame({"n_sites_primitive": [3, 3, 5], "space_group": [3, 4, 4]})
    found = distances(one, two, draws=20).set_index("metric")["value"]
    assert found["Wasserstein, atoms"] == pytest.approx(1)
    assert found["Jensen–Shannon, space groups"] == pytest.approx(1)
    assert jensen_shannon([1, 1, 2], [1, 2, 1]) == pytest.approx(0)
    assert jensen_shannon([1], [1, 2]) == jensen_shannon([1, 2], [1]) > 0


def test_coverage_needs_both_fingerprints() -> None:
    structures, compositions = [[0.0], [5.0], None], [[0.0], [1.0], [0.0]]
    covers, covered = coverage(structures, compositions, [[0.0], [5.0], [9.0]], [[0.0], [1.0], [0.5]], (0.4, 1.0))
    assert covers.tolist() == [True, True, False]
    assert covered.tolist() == [True, True, False]
    assert coverage([None], [None], [[0.0]], [[0.0]])[1].tolist() == [False]


# ---------------------------------------------------------------------------------------------------- cache


def test_a_cache_outlives_a_kill_in_the_middle_of_a_line(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    first = ResultCache(path)
    first.add("a", Outcome({"x": 1.5}, None, 0.1))
    first.add("b", Outcome(None, "timeout", 20.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    second = ResultCache(path)
    assert second.results == {"a": Outcome({"x": 1.5}, None, 0.1)}
    second.add("b", Outcome(None, "crash", 1.0))
    assert ResultCache(path).results["b"].failure == "crash"
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="give a directory"):
        ResultCache(tmp_path / "file" / "journal.jsonl")
