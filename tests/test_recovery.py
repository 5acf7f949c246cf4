"""Recovery certifies itself, does not depend on its batch, and never hangs or raises on a bad sample."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench import Crystal
from fourier_workbench.errors import RecoveryError, RepresentationError
from fourier_workbench.representation import (
    FourierBasis,
    FourierCrystals,
    density,
    encode,
    recover,
    snap,
)
from fourier_workbench.representation.fourier import coefficients_from_nodes
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


def one_species(alpha: torch.Tensor, n: float) -> FourierCrystals:
    """A cube of one species with these coefficients and this zero mode."""
    coefficients = torch.zeros(1, 6, len(BASIS), dtype=torch.complex64)
    coefficients[0, 0] = alpha
    coefficients[0, 0, BASIS.zero] = n
    return FourierCrystals(torch.ones(1, 6), torch.tensor([[14, 0, 0, 0, 0, 0]]), coefficients)


def random_modes(scale: float, seed: int = 0) -> torch.Tensor:
    """Hermitian coefficients of nothing in particular."""
    draws = torch.randn(len(BASIS), 2, generator=torch.Generator().manual_seed(seed))
    return BASIS.hermitian(torch.view_as_complex(draws) * scale)


@settings(max_examples=25)
@given(st.lists(crystals(), min_size=1, max_size=3))
def test_crystals_come_back_unless_they_cannot(batch):
    found = recover(encode(batch, BASIS, GRID), BASIS, GRID)
    for crystal, back, unique in zip(batch, found.crystals, found.unique, strict=True):
        assert back is not None
        assert not unique or nodes_of(back) == nodes_of(crystal)


def test_nothing_depends_on_the_default_device():
    """On the meta device every tensor made without saying where fails at the first use, as it would between CPU and GPU."""
    rng = np.random.default_rng(0)
    places = [np.stack(np.unravel_index(rng.choice(GRID**3, n, replace=False), (GRID,) * 3), 1) for n in (1, 5, 30, 64)]
    comb = np.array([[0, 0, 6 * k] for k in range(4)])
    batch = [Crystal(8 * np.eye(3), [14] * len(one), one / GRID) for one in (*places, comb)]
    with torch.device("meta"):
        fc = encode(batch, BASIS, GRID)
        crooked = fc.coefficients + 0.3 * torch.randn(fc.coefficients.shape, dtype=torch.complex64, device="cpu")
        noisy = FourierCrystals(fc.lattice, fc.species, crooked)
        found = [recover(fc, BASIS, GRID), recover(fc[:2], BASIS, GRID, trace=True), recover(fc[:2], BASIS, GRID, "paper")]
        recover(noisy[:3], BASIS, GRID, tolerance=9.0, counts="search", policy="trust_species")
        encode(batch[-1], BASIS, GRID, shear="search")
        assert density(fc.coefficients[0, 0], BASIS, GRID).device.type == "cpu"
    assert all(reason is None for one in found for reason in one.reasons)


@pytest.mark.parametrize("off", [-2.3, -1.4, -0.6, 0.6, 1.4, 2.3])
@pytest.mark.parametrize("n", [3, 14, 40])
def test_a_spoilt_number_of_atoms_is_found_again(n, off):
    """The other modes, noisy as they are, know the number better than a zero mode that is up to two atoms wrong."""
    flat = np.random.default_rng(n).choice(GRID**3, n, replace=False)
    crystal = Crystal(8 * np.eye(3), [14] * n, np.stack(np.unravel_index(flat, (GRID,) * 3), 1) / GRID)
    alpha = encode([crystal], BASIS, GRID).coefficients[0, 0] + random_modes(0.2**0.5)
    spoilt = one_species(alpha, n + off)
    searched, rounded = (
        recover(spoilt, BASIS, GRID, tolerance=9.0, counts=counts, restarts=0) for counts in ("search", "round")
    )
    assert searched.counts[0, 0] == n and nodes_of(searched.crystals[0]) == nodes_of(crystal)
    assert rounded.counts[0, 0] != n


@pytest.mark.parametrize(("n", "scale"), [(60, 20), (400, 200)])
def test_a_hopeless_search_is_not_begun(n, scale):
    """Random coefficients have a spectrum that no atoms have: no pursuit, no descent, one clear reason."""
    found = recover(one_species(random_modes(scale), n), BASIS, GRID, trace=False)
    assert found.reasons == ["residual"] and found.stages == [("glance",)]


@pytest.mark.parametrize("n", [60, 400])
def test_a_search_ends_with_its_budget(n):
    """Where a tolerance leaves hope, the visits to atoms are counted: each step of the trace is one visit or a round of them."""
    budget = 20 * n
    found = recover(one_species(random_modes(3), n), BASIS, GRID, tolerance=0.05, budget=budget, trace=True)
    assert found.reasons == ["budget"]
    steps = found.traces[0].species[0].steps
    assert sum(n if step.picked is None else 1 for step in steps) <= budget + 3 * n  # greedy removal, null space, candidates
    assert recover(one_species(random_modes(3), 3), BASIS, GRID, tolerance=0.05).reasons == ["residual"]


@pytest.mark.parametrize("policy", ["strict", "trust_species", "trust_count"])
def test_impossible_counts_have_a_reason(policy):
    assert recover(one_species(random_modes(1), GRID**3 + 5), BASIS, GRID, policy=policy).reasons == ["count"]
    negative = recover(one_species(random_modes(1), -3), BASIS, GRID, policy=policy).reasons
    assert negative == [{"strict": "count", "trust_species": "residual", "trust_count": "empty"}[policy]]
    nothing = recover(one_species(torch.zeros(len(BASIS)), 0), BASIS, GRID, policy=policy).reasons
    assert nothing == [{"strict": "count", "trust_species": "residual", "trust_count": "empty"}[policy]]


def test_coefficients_of_no_real_density_are_not_certified():
    fc = encode([Crystal(8 * np.eye(3), [14, 14], [[0, 0, 0], [0.25, 0.5, 0.125]])], BASIS, GRID)
    turned = FourierCrystals(fc.lattice, fc.species, fc.coefficients * torch.polar(torch.tensor(1.0), torch.tensor(0.3)))
    assert recover(turned, BASIS, GRID).reasons == ["residual"]
    assert recover(turned, BASIS, GRID, tolerance=1.0).reasons == [None]


@pytest.mark.parametrize(
    "shapes", [((2, 6), (1, 6), (2, 6)), ((2, 5), (2, 6), (2, 6)), ((2, 6), (2, 6), (2, 4)), ((6,), (6,), (6,))]
)
def test_wrong_shapes_are_one_clear_line(shapes):
    lattice, species, slots = shapes
    kinds = torch.zeros(species, dtype=torch.long)
    with pytest.raises(RepresentationError, match="need lattice") as caught:
        FourierCrystals(torch.zeros(lattice), kinds, torch.zeros(*slots, 343, dtype=torch.complex64))
    assert "\n" not in str(caught.value)


def test_encode_and_recover_agree_on_collisions_between_species():
    apart = Crystal(8 * np.eye(3), [8, 14], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert encode([Crystal(8 * np.eye(3), [8, 14], [[0, 0, 0], [0.001, 0, 0]])], BASIS, GRID).reasons == ("collision",)
    fc = encode([apart], BASIS, GRID)
    alpha = fc.coefficients.clone()
    alpha[0, 1] = alpha[0, 0]  # both species on one node
    assert recover(FourierCrystals(fc.lattice, fc.species, alpha), BASIS, GRID).reasons == ["collision"]


def test_two_atoms_of_a_species_on_one_node_are_no_answer():
    twice = coefficients_from_nodes(torch.tensor([[3, 3, 3]] * 2), torch.zeros(2, dtype=torch.int64), 1, BASIS, GRID)[0]
    found = recover(one_species(twice, 2), BASIS, GRID, tolerance=2.0)
    assert found.reasons[0] == "collision" or found.crystals[0].min_distance() > 0.1


def test_a_trace_tells_everything():
    """Each removal, each move, and what is left after each; the last of the best is what comes back."""
    rng = np.random.default_rng(1)
    places = np.stack(np.unravel_index(rng.choice(GRID**3, 20, replace=False), (GRID,) * 3), 1)
    crystal = Crystal(8 * np.eye(3), [14] * 20, places / GRID)
    fc = encode([crystal], BASIS, GRID)
    for method, removal in (("robust", "pursuit"), ("paper", "greedy")):
        found = recover(fc, BASIS, GRID, method, tolerance=2.0, trace=True)
        species = found.traces[0].species[0]
        removals = [step for step in species.steps if step.stage == removal][:20]
        assert [len(step.nodes) for step in removals] == list(range(1, 21)) == [step.picked + 1 for step in removals]
        for k in (0, len(species.steps) // 2, len(species.steps) - 1):
            step = species.steps[k]
            rows = torch.zeros(len(step.nodes), dtype=torch.int64)
            left = fc.coefficients[0, 0] - coefficients_from_nodes(step.nodes, rows, 1, BASIS, GRID)[0]
            assert torch.allclose(species.residual_density(k), density(left, BASIS, GRID), atol=1e-2)
            assert step.residual == pytest.approx(float(left.abs().square().sum().sqrt() / fc.coefficients.norm()), abs=1e-4)
        solved = [step for step in species.steps if step.stage == found.stages[0][0] and len(step.nodes) == 20]
        best = min(solved, key=lambda step: step.residual)
        assert best.residual == pytest.approx(float(found.residuals[0]), abs=1e-4)
    moves = [step for step in recover(fc, BASIS, GRID, trace=True).traces[0].species[0].steps if len(step.nodes) == 20]
    assert any(step.picked is not None for step in moves), "second thoughts move single atoms"


@pytest.mark.parametrize("basis", [FourierBasis(9, "spherical"), FourierBasis(7, "hybrid")])
def test_other_truncations_recover_too(basis):
    rng = np.random.default_rng(0)
    places = np.stack(np.unravel_index(rng.choice(8**3, 26, replace=False), (8,) * 3), 1) * 3
    crystal = Crystal(8 * np.eye(3), [14] * 26, places / GRID)
    found = recover(encode([crystal], basis, GRID), basis, GRID)
    assert found.reasons == [None] and nodes_of(found.crystals[0]) == nodes_of(crystal)
