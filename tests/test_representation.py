"""Crystals and their representation: properties of every crystal, beyond the notebooks' examples."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from fourier_workbench import Crystal
from fourier_workbench.crystal import pretty_formula
from fourier_workbench.errors import CrystalError
from fourier_workbench.representation import FourierBasis, density, encode, lattice_to_log, log_to_lattice, snap

BASES = [FourierBasis(5), FourierBasis(7, "spherical"), FourierBasis(5, "hybrid")]


@st.composite
def lattices(draw):
    """Cells that are neither flat nor needle-like, of either handedness."""
    edges = [draw(st.floats(2.0, 12.0)) for _ in range(3)]
    skew = [draw(st.floats(-0.6, 0.6)) for _ in range(3)]
    m = np.diag(edges) @ np.array([[1, 0, 0], [skew[0], 1, 0], [skew[1], skew[2], 1]])
    return m * draw(st.sampled_from([1.0, -1.0]))


@st.composite
def crystals(draw, grid=24):
    """Crystals whose atoms stand on distinct nodes of `grid`."""
    nodes = draw(st.lists(st.tuples(*[st.integers(0, grid - 1)] * 3), min_size=1, max_size=8, unique=True))
    numbers = draw(st.lists(st.sampled_from([1, 8, 22, 38, 83]), min_size=len(nodes), max_size=len(nodes)))
    return Crystal(draw(lattices()), numbers, np.array(nodes) / grid)


@given(lattices())
def test_lattice_coefficients_keep_the_metric_and_mend_handedness(m):
    rebuilt = log_to_lattice(lattice_to_log(m)).numpy()
    assert np.allclose(rebuilt @ rebuilt.T, m @ m.T, rtol=1e-9, atol=1e-9)
    assert np.linalg.det(rebuilt) > 0


@given(st.lists(st.floats(-2, 3), min_size=6, max_size=6))
def test_any_six_numbers_are_a_lattice(s):
    m = log_to_lattice(torch.tensor(s, dtype=torch.float64))
    assert torch.allclose(lattice_to_log(m), torch.tensor(s, dtype=torch.float64), atol=1e-6)


@settings(max_examples=40)
@given(crystals(), st.sampled_from(BASES))
def test_coefficients_count_atoms_and_are_those_of_a_real_density(crystal, basis):
    fc = encode([crystal], basis, 24)
    counts = [int((crystal.numbers == z).sum()) for z in crystal.species]
    assert fc.reasons == (None,)
    assert np.allclose(fc.coefficients[0, : len(counts), basis.zero].real, counts, atol=1e-5)
    assert torch.equal(fc.coefficients, fc.coefficients[..., basis.conjugate].conj())
    assert torch.equal(basis.to_full(basis.to_half(fc.coefficients)), fc.coefficients)
    assert torch.equal(basis.from_cube(basis.cube(fc.coefficients)), fc.coefficients)


@settings(max_examples=25)
@given(crystals(), st.tuples(*[st.integers(0, 23)] * 3))
def test_an_origin_shift_is_a_phase(crystal, shift):
    basis = BASES[0]
    if np.linalg.det(crystal.lattice) < 0:
        crystal = crystal.right_handed()
    moved = Crystal(crystal.lattice, crystal.numbers, crystal.frac_coords + np.array(shift) / 24)
    phase = torch.exp(-2j * torch.pi * (basis.wave_vectors.double() @ torch.tensor(shift).double()) / 24)
    expected = encode([crystal], basis, 24).coefficients * phase
    assert torch.allclose(encode([moved], basis, 24).coefficients, expected.to(torch.complex64), atol=1e-4)


@settings(max_examples=15)
@given(crystals())
def test_density_is_the_inverse_transform(crystal):
    basis = BASES[0]
    alpha = encode([crystal], basis, 24).coefficients[0, 0]
    rho = density(alpha, basis, 24)
    back = torch.fft.fftn(rho) / 24**3
    j = basis.wave_vectors
    assert torch.allclose(back[j[:, 0], j[:, 1], j[:, 2]], alpha, atol=1e-4)


@given(st.floats(0, 1, exclude_max=True), st.sampled_from([24, 48]))
def test_snapping_error_is_bounded_and_inversion_commutes(f, grid):
    node = snap(np.array([f]), grid)[0]
    distance = abs(node / grid - f)
    assert min(distance, 1 - distance) <= 0.5 / grid + 1e-12
    assert snap(np.array([-f]), grid)[0] == -node % grid


@settings(max_examples=25)
@given(crystals())
def test_min_distance_does_not_depend_on_origin_order_or_handedness(crystal):
    moved = Crystal(-crystal.lattice, crystal.numbers[::-1], 0.3 - crystal.frac_coords[::-1])
    assert moved.min_distance() == pytest.approx(crystal.min_distance(), abs=1e-6)
    assert crystal.min_distance() <= np.linalg.norm(crystal.lattice, axis=1).min() + 1e-9


@pytest.mark.parametrize("change, reason", [
    (lambda t: t.replace("Na  Na0", "Xx  Xx0"), None),
    (lambda t: t[: len(t) // 3], None),
    (lambda t: "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "unreadable"),
])
def test_a_broken_cif_gets_one_line(change, reason):
    text = Crystal(np.eye(3) * 4, [11, 17], [[0, 0, 0], [.5, .5, .5]]).to_cif()
    with pytest.raises(CrystalError) as caught:
        Crystal.from_cif(change(text))
    assert "\n" not in str(caught.value)
    assert reason is None or caught.value.reason == reason


@settings(max_examples=25)
@given(crystals())
def test_formulas_are_those_of_pymatgen(crystal):
    composition = crystal.to_structure().composition
    assert crystal.formula == composition.formula and crystal.reduced_formula == composition.reduced_formula
    assert Composition(crystal.formula) == composition
    assert "1" not in pretty_formula(crystal.formula) and " " not in pretty_formula(crystal.formula)
