"""Recovery certifies itself, does not depend on its batch, and never hangs or raises on a bad sample."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench import Crystal
from fourier_workbench.data.sources.prototypes import embedded
from fourier_workbench.errors import RecoveryError, RepresentationError
from fourier_workbench.representation import (
    FourierBasis,
    FourierCrystals,
    Recovery,
    density,
    encode,
    recover,
    snap,
)
from fourier_workbench.representation.coefficients import coefficients_from_nodes
from fourier_workbench.representation.unimodular import SHEARS, sheared, unsheared

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
    for crystal, back, certain in zip(batch, found.crystals, found.identifiable, strict=True):
        assert back is not None
        assert not certain or nodes_of(back) == nodes_of(crystal)


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
    assert found.reasons == ["residual"] and found.stages == [("coarse_greedy",)]


@pytest.mark.parametrize("n", [60, 400])
def test_a_search_ends_with_its_budget(n):
    """Where a tolerance leaves hope, the visits to atoms are counted: each step of the trace is one visit or a round of them."""
    counted = ("matching_pursuit", "gauss_newton", "descent")  # the stages that go on as long as they are let
    budget = 20 * n
    found = recover(one_species(random_modes(3), n), BASIS, GRID, tolerance=0.05, budget=budget, trace=True)
    assert found.reasons == ["budget"]
    steps = found.traces[0].species[0].steps
    visits = sum(n if step.picked is None else 1 for step in steps if step.stage in counted)
    assert n < visits <= budget + 2 * n  # the removal that pursuit begins with, and what it offers at its end
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
    for tolerance in (1e-5, 2.0):
        found = recover(one_species(twice, 2), BASIS, GRID, tolerance=tolerance)
        assert found.reasons == ["collision"] and found.crystals == [None] and found.residuals[0] < 1e-6


def same_search(fc: FourierCrystals, basis: FourierBasis, grid: int, **how) -> Recovery:
    """With and without a trace: the same stages, nodes, residuals and reasons, and the trace accounts for them."""
    plain, traced = recover(fc, basis, grid, **how), recover(fc, basis, grid, trace=True, **how)
    assert plain.stages == traced.stages and plain.reasons == traced.reasons and plain.identifiable == traced.identifiable
    assert torch.equal(plain.counts, traced.counts) and torch.equal(plain.merged, traced.merged)
    assert torch.equal(plain.residuals, traced.residuals), "the very same numbers: a tracer only looks"
    for one, other in zip(plain.crystals, traced.crystals, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert np.array_equal(one.numbers, other.numbers) and np.array_equal(one.frac_coords, other.frac_coords)
    for i, trace in enumerate(traced.traces):
        for species, stage in zip(trace.species if trace else (), traced.stages[i], strict=bool(trace)):
            n = traced.counts[i, species.slot]
            kept = [step for step in species.steps if step.taken and len(step.nodes) == n]
            assert min(kept, key=lambda step: step.residual).stage == stage, "the best offer that was taken is the answer"
            assert all(len(step.nodes) == step.picked + 1 for step in species.steps if step.stage == "greedy_removal")
    return plain


def spoil(fc: FourierCrystals, scale: float, seed: int) -> FourierCrystals:
    """The same crystals with noise on the modes of the filled slots."""
    noise = torch.randn((*fc.coefficients.shape, 2), generator=torch.Generator().manual_seed(seed))
    spoilt = fc.coefficients + scale * torch.view_as_complex(noise) * (fc.species > 0)[..., None]
    return FourierCrystals(fc.lattice, fc.species, spoilt)


@settings(max_examples=12)
@given(
    st.lists(crystals(8), min_size=1, max_size=3),
    st.sampled_from(["robust", "paper"]),
    st.sampled_from(["round", "search"]),
    st.sampled_from([0.0, 0.3]),
    st.integers(0, 99),
)
def test_a_trace_does_not_change_the_search(batch, method, counts, scale, seed):
    fc = spoil(encode(batch, BASIS, GRID), scale, seed)
    lenient = {"tolerance": torch.inf, "policy": "trust_species"} if scale else {}
    same_search(fc, BASIS, GRID, method=method, counts=counts, restarts=1, **lenient)


@pytest.mark.parametrize("method", ["robust", "paper"])
@pytest.mark.parametrize("bpd", [5, 7])
def test_a_trace_does_not_change_the_search_of_real_crystals(method, bpd):
    """Few modes are hard: several stages are needed, linear algebra among them."""
    basis = FourierBasis(bpd)
    fc = encode([crystal for _, crystal, _ in embedded() if 8 <= len(crystal) <= 40][::20], basis, GRID)
    for counts in ("round", "search"):
        same_search(fc, basis, GRID, method=method, counts=counts, restarts=1)
    same_search(spoil(fc[:2], 0.3, 1), basis, GRID, method=method, counts="search", tolerance=torch.inf, restarts=1)


@pytest.mark.parametrize(("n", "bpd", "grid"), [(48, 7, 24), (72, 7, 24), (125, 9, 48)])
def test_a_trace_does_not_change_the_search_of_dense_packings(n, bpd, grid):
    """125 atoms at 9³ are one more than leave a null space."""
    rng, placed = np.random.default_rng(n), np.zeros((0, 3), dtype=np.int64)
    while len(placed) < n:
        new = rng.integers(grid, size=3)
        apart = (new - placed + grid / 2) % grid - grid / 2
        if not len(placed) or (apart**2).sum(1).min() >= (0.5 * grid / n ** (1 / 3)) ** 2:
            placed = np.vstack([placed, new])
    basis = FourierBasis(bpd)
    fc = encode([Crystal(8 * np.eye(3), [14] * n, placed / grid)], basis, grid)
    assert same_search(fc, basis, grid).reasons == [None]


def test_other_truncations_are_traced_as_they_run():
    basis = FourierBasis(7, "spherical")
    fc = encode([Crystal(8 * np.eye(3), [14] * 6, [[0.1 * k, 0.17 * k % 1, 0.29 * k % 1] for k in range(6)])], basis, GRID)
    same_search(fc, basis, GRID)
    stages = {step.stage for step in recover(fc, basis, GRID, trace=True).traces[0].species[0].steps}
    assert stages <= {"highest_nodes", "greedy_removal", "gauss_newton", "music", "collinear", "candidates", "descent"}


def test_a_trace_holds_every_step():
    """Each removal, each move, and what is left after each; the last that was taken is what comes back."""
    rng = np.random.default_rng(1)
    places = np.stack(np.unravel_index(rng.choice(GRID**3, 20, replace=False), (GRID,) * 3), 1)
    crystal = Crystal(8 * np.eye(3), [14] * 20, places / GRID)
    fc = encode([crystal], BASIS, GRID)
    for method, removal in (("robust", "coarse_greedy"), ("paper", "greedy_removal")):
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
        best = [step for step in species.steps if step.taken][-1]
        assert best.stage == found.stages[0][0]
        assert best.residual == pytest.approx(float(found.residuals[0]), abs=1e-4)
        dropped = [step.residual for step in species.steps if step.taken is False]
        assert all(left > best.residual - 1e-4 for left in dropped), "what was dropped was no better"
    moves = [step for step in recover(fc, BASIS, GRID, trace=True).traces[0].species[0].steps if len(step.nodes) == 20]
    assert any(step.picked is not None for step in moves[1:]), "single atoms are picked again"


def test_the_old_name_of_identifiable_works():
    found = recover(encode([Crystal(8 * np.eye(3), [14], [[0, 0, 0]])], BASIS, GRID), BASIS, GRID)
    assert found.unique is found.identifiable


@pytest.mark.parametrize("basis", [FourierBasis(9, "spherical"), FourierBasis(7, "hybrid")])
def test_other_truncations_recover_too(basis):
    rng = np.random.default_rng(0)
    places = np.stack(np.unravel_index(rng.choice(8**3, 26, replace=False), (8,) * 3), 1) * 3
    crystal = Crystal(8 * np.eye(3), [14] * 26, places / GRID)
    found = recover(encode([crystal], basis, GRID), basis, GRID)
    assert found.reasons == [None] and nodes_of(found.crystals[0]) == nodes_of(crystal)
