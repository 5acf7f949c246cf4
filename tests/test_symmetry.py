"""The action of space groups on coefficients, and the snap that keeps them: properties of every crystal and operation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_grid_symmetry import crystal_of

from fourier_workbench import Crystal
from fourier_workbench.errors import RepresentationError
from fourier_workbench.representation import (
    FourierBasis,
    apply_operation,
    encode,
    snap,
    snap_symmetric,
    symmetry_operations,
)
from fourier_workbench.representation.symmetry import (
    SymmetryOperations,
    closed_modes,
    invariant_share,
    orbits,
    standard_operations,
    symmetrise,
    symmetry_residuals,
)

BASIS, GRID = FourierBasis(7), 24
HEXAGONAL = np.array([[5.0, 0, 0], [-2.5, 2.5 * 3**0.5, 0], [0, 0, 7.0]])
CUBE = symmetry_operations(Crystal(3 * np.eye(3), [84], [[0, 0, 0]])).rotations
PRISM = symmetry_operations(Crystal(HEXAGONAL, [84], [[0, 0, 0]])).rotations
MATRICES = st.sampled_from([*CUBE.unbind(), *PRISM.unbind()])


@st.composite
def crystals(draw, cell=None, most: int = 5) -> Crystal:
    """Small crystals on distinct nodes."""
    nodes = draw(st.lists(st.tuples(*[st.integers(0, GRID - 1)] * 3), min_size=1, max_size=most, unique=True))
    numbers = draw(st.lists(st.sampled_from([1, 8, 22]), min_size=len(nodes), max_size=len(nodes)))
    return Crystal(5 * np.eye(3) if cell is None else cell, numbers, np.array(nodes) / GRID)


@settings(max_examples=30)
@given(crystals(), st.integers(0, 2**32 - 1))
def test_an_idealised_crystal_has_its_group_exactly_and_keeps_its_composition(crystal, seed):
    """Atoms and cell are displaced a little, and the group is sought within ten times as much."""
    noise, before = np.random.default_rng(seed), symmetry_operations(crystal).number
    shaken = Crystal(crystal.lattice + noise.normal(0, 0.003, (3, 3)), crystal.numbers,
                     crystal.frac_coords + noise.normal(0, 0.0006, crystal.frac_coords.shape))
    ideal = shaken.standard(0.1, idealise=True)
    assert ideal.reduced_formula == crystal.reduced_formula and np.linalg.det(ideal.lattice) > 0
    assert abs(ideal.volume / len(ideal) / (crystal.volume / len(crystal)) - 1) < 0.02
    assert symmetry_operations(ideal, 1e-4).number == before


@st.composite
def operations(draw):
    """A rotation of the cubic or hexagonal holohedry with a translation of the grid."""
    shift = draw(st.tuples(*[st.integers(0, 23)] * 3))
    return draw(MATRICES), torch.tensor(shift).double() / GRID


@settings(max_examples=30)
@given(crystals(), operations())
def test_the_group_acts_on_coefficients_as_on_atoms(crystal, operation):
    rotation, translation = operation
    frac = crystal.frac_coords @ rotation.numpy().T + translation.numpy()
    after, inside = apply_operation(encode([crystal], BASIS, GRID).coefficients, rotation, translation, BASIS)
    expected = encode([Crystal(crystal.lattice, crystal.numbers, frac)], BASIS, GRID).coefficients
    assert torch.allclose(after[..., inside], expected[..., inside], atol=1e-3)
    assert (after[..., ~inside] == 0).all()


@settings(max_examples=30)
@given(crystals(), operations(), operations())
def test_one_operation_after_another_is_their_product(crystal, first, second):
    (w1, t1), (w2, t2) = first, second
    alpha = encode([crystal], BASIS, GRID).coefficients
    once, inside1 = apply_operation(alpha, w1, t1, BASIS)
    twice, inside2 = apply_operation(once, w2, t2, BASIS)
    product, inside = apply_operation(alpha, w2 @ w1, w2.double() @ t1 + t2, BASIS)
    known = apply_operation(inside1.to(torch.complex64), w2, torch.zeros(3), BASIS)[0].real > 0.5  # modes known in both steps
    assert (inside | ~known).all()
    assert torch.allclose(twice[..., known & inside2], product[..., known & inside2], atol=1e-3)


@settings(max_examples=20)
@given(crystals(), st.booleans())
def test_symmetrising_is_idempotent_invariant_and_leaves_unknown_modes(crystal, hexagonal):
    rotations = PRISM if hexagonal else CUBE
    group = SymmetryOperations(rotations, torch.zeros(len(rotations), 3, dtype=torch.float64), 1, "a point group")
    alpha = encode([crystal], BASIS, GRID).coefficients[0]
    mean, left = symmetrise(alpha, group, BASIS)
    again, _ = symmetrise(mean, group, BASIS)
    closed = closed_modes(group, BASIS)
    assert torch.allclose(mean, again, atol=1e-4) and left == int((~closed).sum())
    assert torch.equal(mean[:, ~closed], alpha[:, ~closed])
    inside = torch.where(closed, mean, 0)
    assert symmetry_residuals(inside, group, BASIS)[0].max() < 1e-4
    assert torch.allclose(mean, mean[:, BASIS.conjugate].conj(), atol=1e-4), "still the coefficients of a real density"
    label, skipped = orbits(group, BASIS)
    assert skipped == left == int((label < 0).sum())
    for rotation in rotations[::5]:
        moved = BASIS.wave_vectors[closed] @ rotation
        place = {tuple(j): k for k, j in enumerate(BASIS.wave_vectors.tolist())}
        assert [int(label[place[tuple(j)]]) for j in moved.tolist()] == label[closed].tolist()


@given(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=3, max_size=3), st.sampled_from([2, 3, 4, 6]), st.sampled_from([24, 48])
)
def test_snapping_commutes_with_the_translations_of_space_groups(f, part, grid):
    """Ties included: rint takes the even node, and the shifts are even numbers of nodes."""
    f = np.rint(np.array(f) * 4 * grid) / (4 * grid)  # quarters of a node, ties among them
    assert np.array_equal(snap(f + 1 / part, grid), (snap(f, grid) + grid // part) % grid)
    assert np.array_equal(snap(-f, grid), -snap(f, grid) % grid)


@settings(max_examples=15)
@given(st.lists(st.floats(0.03, 0.97), min_size=3, max_size=3), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_symmetric_snap_keeps_a_threefold_axis_anywhere(site, origin):
    """An atom in general position under P3, seen from any origin: its orbit stays an orbit."""
    x, y, z = site
    orbit = np.array([[x, y, z], [-y, x - y, z], [y - x, -x, z], [0, 0, 0.1]]) + origin
    crystal = Crystal(HEXAGONAL, [8, 8, 8, 22], orbit)
    if crystal.min_distance() < 0.6:
        return
    before = symmetry_operations(crystal)
    result = snap_symmetric(crystal, 48)
    assert result.number == before.number == result.number_after
    assert np.allclose(result.crystal.frac_coords * 48, np.rint(result.crystal.frac_coords * 48), atol=1e-9)
    if result.kept:
        kept = symmetry_operations(result.crystal, 1e-5)
        assert len(kept.rotations) >= result.kept >= 3
        moved = result.crystal.frac_coords - crystal.frac_coords - result.shift
        moved -= np.rint(moved)
        assert np.allclose(np.linalg.norm(moved @ HEXAGONAL, axis=1), result.displacements, atol=1e-6)
        assert result.displacements.max() < 2.1 * 7 / 48


def test_the_symmetric_snap_refuses_a_bad_grid_and_coincident_atoms():
    with pytest.raises(RepresentationError, match="grid"):
        snap_symmetric(Crystal(3 * np.eye(3), [84], [[0, 0, 0]]), 50)
    with pytest.raises(RepresentationError, match="no space group"):
        snap_symmetric(Crystal(3 * np.eye(3), [84, 84], [[0, 0, 0], [0, 0, 0]]))


@pytest.mark.parametrize("start", [1, 60, 120, 180])
def test_the_number_of_a_group_names_its_operations_in_the_standard_cell(start: int) -> None:
    "Every group: three general orbits in its conventional cell, made standard, have exactly the operations of the tables."
    for number in range(start, min(start + 60, 231)):
        standard = crystal_of(number).standard(1e-4)
        named, sites = standard_operations(number), standard.frac_coords
        order = len(symmetry_operations(standard, 1e-4).rotations)
        assert named.number == number and len(named.rotations) == order
        images = sites @ named.rotations.numpy().transpose(0, 2, 1) + named.translations.numpy()[:, None]
        apart = images[:, :, None] - sites
        near = np.abs(apart - np.rint(apart)).max(3) < 1e-3
        assert (near & (standard.numbers[:, None] == standard.numbers)).any(2).all(), number


def test_the_invariant_share_is_one_for_the_group_and_less_for_others() -> None:
    basis, crystal = FourierBasis(5), crystal_of(62).standard(1e-4)
    fc = encode([crystal], basis, 48)
    alpha = fc.coefficients[0, fc.species[0] > 0]
    assert float(invariant_share(alpha, standard_operations(62), basis)) > 0.999
    assert float(invariant_share(alpha, standard_operations(136), basis)) < 0.7
    with pytest.raises(RepresentationError, match="number must be"):
        standard_operations(231)
