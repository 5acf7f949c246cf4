"""Patterns and what they measure: the physics against closed forms, and files that hold none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice

from fourier_workbench.crystal import Crystal
from fourier_workbench.data import load_crystals
from fourier_workbench.diffraction import (
    Pattern,
    assign_lines,
    compare,
    crystal_factors,
    fourier_factors,
    powder_profile,
    simulate,
    solve,
)
from fourier_workbench.diffraction.cells import index_lines
from fourier_workbench.diffraction.refine import exchange_unlike
from fourier_workbench.diffraction.scattering import reflections, s_squared, structure_factors, sublattice_sums
from fourier_workbench.diffraction.simulate import lorentz_polarisation
from fourier_workbench.diffraction.solve import ENOUGH, Verdict, no_doubt
from fourier_workbench.diffraction.starts import allowed_systems, system_of_draw
from fourier_workbench.errors import DiffractionError
from fourier_workbench.representation import FourierBasis, encode

FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
DIAMOND = Crystal(3.567 * np.eye(3), [6] * 8, np.vstack([FCC, FCC + 0.25]))
QUARTZ = Crystal(
    [[4.913, 0, 0], [-2.4565, 4.2548, 0], [0, 0, 5.405]], [14] * 3 + [8] * 6,
    [[0.47, 0, 0], [0, 0.47, 2 / 3], [-0.47, -0.47, 1 / 3], [0.413, 0.267, 0.119], [-0.267, 0.146, 0.786],
     [-0.146, -0.413, 0.452], [0.267, 0.413, -0.119], [0.146, -0.267, -0.786], [-0.413, -0.146, -0.452]],
)  # fmt: skip


@pytest.fixture(scope="module")
def embedded() -> list[Crystal]:
    "Real crystals of the data set that comes with pymatgen."
    return [crystal for _, crystal, _ in load_crystals("embedded") if len(crystal) <= 24 and crystal.numbers.max() <= 98][:60]


def test_lines_are_where_and_as_strong_as_pymatgens(embedded: list[Crystal]) -> None:
    "Its form factors are another table: lines agree within three per cent of the strongest, most within one."
    calculator, worst = XRDCalculator(1.54184), []
    for crystal in embedded:
        own, peer = simulate(crystal, merge=1e-3), calculator.get_pattern(crystal.to_structure(), two_theta_range=(5, 90))
        percent = 100 * own.intensity / own.intensity.max()
        apart = np.abs(own.two_theta[:, None] - np.array(peer.x))
        assert apart.min(1)[percent > 0.5].max() < 2e-3
        ours = np.array([percent[apart[:, k] < 2e-3].sum() for k in range(len(peer.x))])
        theirs = np.array([np.array(peer.y)[np.abs(np.array(peer.x) - x) < 2e-3].sum() for x in peer.x])
        worst.append(np.abs(ours - theirs).max())
    assert np.max(worst) < 8 and np.median(worst) < 1


def test_absences_of_glides_and_centring() -> None:
    "Diamond: h, k, l all even with a sum divisible by four, or all odd."
    hkl = reflections(DIAMOND.lattice, 0.6)
    strength = crystal_factors(DIAMOND, hkl)[0].abs().numpy()
    even, odd = (hkl % 2 == 0).all(1), (hkl % 2 != 0).all(1)
    allowed = odd | (even & (hkl.sum(1) % 4 == 0))
    assert (strength[~allowed] < 1e-9).all() and (strength[allowed] > 1).all()


@given(st.lists(st.integers(-6, 6), min_size=3, max_size=3), st.sampled_from(["xray", "neutron"]))
def test_friedel_pairs_and_origins(index: list[int], radiation: str) -> None:
    hkl = np.array([index])
    one, _ = crystal_factors(QUARTZ, hkl, radiation)
    other, _ = crystal_factors(QUARTZ, -hkl, radiation)
    shifted, _ = crystal_factors(Crystal(QUARTZ.lattice, QUARTZ.numbers, QUARTZ.frac_coords + [0.1, 0.2, 0.7]), hkl, radiation)
    assert torch.allclose(one, other.conj()) and torch.allclose(one.abs(), shifted.abs())


def test_gradients_against_finite_differences() -> None:
    "Intensities with respect to lattice and coordinates, in double precision."
    hkl, numbers = torch.from_numpy(reflections(QUARTZ.lattice, 1.2)), torch.tensor([8, 14])
    slots = torch.searchsorted(numbers, torch.from_numpy(QUARTZ.numbers.copy()))

    def intensity(lattice: torch.Tensor, frac: torch.Tensor) -> torch.Tensor:
        s2 = s_squared(lattice, hkl)
        factors = structure_factors(sublattice_sums(frac, slots, hkl, 2), numbers, s2)
        return factors.abs().square() * lorentz_polarisation(s2, 1.54)

    start = [torch.from_numpy(array.copy()).requires_grad_() for array in (QUARTZ.lattice, QUARTZ.frac_coords)]
    assert torch.autograd.gradcheck(intensity, start, eps=1e-7, atol=1e-2, rtol=1e-4)


def test_gradients_of_coefficients() -> None:
    fourier = encode([QUARTZ], FourierBasis(5), 24)
    alpha = fourier.coefficients.to(torch.complex128).requires_grad_()
    factors, _ = fourier_factors(type(fourier)(fourier.lattice, fourier.species, alpha))
    (slope,) = torch.autograd.grad(factors.abs().square().sum(), alpha)
    nudge = torch.zeros_like(alpha)
    nudge[0, 0, 70] = 1e-6
    up, down = (
        fourier_factors(type(fourier)(fourier.lattice, fourier.species, alpha.detach() + sign * nudge))[0].abs().square().sum()
        for sign in (1, -1)
    )
    assert abs(float(slope[0, 0, 70].real) - float(up - down) / 2e-6) < 1e-3 * max(1, abs(float(slope[0, 0, 70].real)))


@given(st.floats(0.01, 1e6), st.floats(-0.12, 0.12))
@limits(max_examples=20)
def test_r_ignores_scale_and_a_common_shift(scale: float, shift: float) -> None:
    pattern = simulate(QUARTZ)
    moved = Pattern.from_peaks(pattern.two_theta + shift, scale * pattern.intensity, limits=(5, 90))
    found = compare(QUARTZ, moved)
    assert found.r_factor < 0.01 and abs(found.groups.zero_shift - shift) < 5e-3


def test_r_counts_what_is_absent_and_what_is_extra() -> None:
    pattern = simulate(DIAMOND)
    simple = Crystal(DIAMOND.lattice / 2, [6], [[0, 0, 0]])  # its lines are some of diamond's, and others besides
    extra = Pattern.from_peaks([*pattern.two_theta, 60.0], [*pattern.intensity, pattern.intensity.max()], limits=(5, 90))
    assert compare(DIAMOND, extra).r_factor > 0.1 and compare(simple, pattern).r_factor > 0.3


def test_a_scan_with_noise_gives_its_lines_back() -> None:
    truth = simulate(QUARTZ)
    x, y = powder_profile(truth, 0.12)
    pattern = Pattern.from_profile(x, np.random.default_rng(1).poisson(2e4 * y / y.max() + 100))
    assert compare(QUARTZ, pattern).r_factor < 0.12


@pytest.mark.parametrize("text, words", [
    ("", "no columns"), ("1 2", "no columns"), ("10 nan\n20 1", "NaN"), ("10 1\n200 2\n", "between 0 and 180"),
    ("10 0\n20 0\n", "above zero"), ("data_\nloop_\n_refln_index_h\n_refln_index_k\n1\n", "CIF"),
    ("data_x\n_cell_length_a 3\n", "neither"),
])  # fmt: skip
def test_files_without_a_pattern_end_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "pattern.xy"
    path.write_text(text)
    with pytest.raises(DiffractionError) as caught:
        Pattern.read(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


CIF = """data_x
_cell_length_a 4.9\n_cell_length_b 4.9\n_cell_length_c 5.4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 120
loop_\n_refln_index_h\n_refln_index_k\n_refln_index_l\n_refln_F_squared_meas\n1 0 0 120.1\n1 0 1 300(4)\n-1 0 -1 310\n
"""
HKL = "   1   0   0  120.10    1.00   1\n   1   0   1  300.00    1.00   1\n   0   0   0    0.00    0.00   0\n"
COLUMNS = "\n".join(f"{10 + 0.1 * k:.1f} {5 + 3 * (k % 40 == 0) * 200:.1f}" for k in range(300))


@given(st.sampled_from([CIF, HKL, COLUMNS]), st.lists(st.tuples(st.integers(0, 400), st.characters(codec="utf-8")), max_size=8),
       st.sampled_from([".cif", ".hkl", ".xy", ".xye"]))  # fmt: skip
@limits(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_files_are_read_or_refused_in_one_line(
    tmp_path: Path, text: str, edits: list[tuple[int, str]], suffix: str
) -> None:
    letters = list(text)
    for place, letter in edits:
        letters[place % len(letters)] = letter
    path = tmp_path / f"pattern{suffix}"
    path.write_text("".join(letters), encoding="utf-8")
    try:
        pattern = Pattern.read(path)
    except DiffractionError as error:
        message = str(error)
    else:
        message = "read"
        assert len(pattern) and np.isfinite(pattern.intensity).all() and (pattern.intensity >= 0).all()
    assert message and "\n" not in message


def test_noise_alone_is_not_solved() -> None:
    lines = simulate(QUARTZ)
    noise = Pattern.from_peaks(lines.two_theta, np.random.default_rng(0).exponential(size=len(lines)), limits=(5, 90))
    found = solve(noise, "SiO2", cell=QUARTZ.lattice, n=4)
    assert not found.solved and found.best is None and len(found) == 4


def test_draws_do_not_depend_on_their_number() -> None:
    pattern = simulate(DIAMOND)
    few, more = (solve(pattern, "C", cell=DIAMOND.niggli().lattice, n=n, seed=3, sweeps=4) for n in (2, 3))
    of = lambda found: dict(zip(found.indices, found.table["r_factor"], strict=True))  # noqa: E731
    assert all(abs(of(more)[k] - r) < 1e-6 for k, r in of(few).items())


@pytest.mark.parametrize("arguments, words", [
    ({"formula": "SiO2", "cell": (3, 4, 5, 90, 90, 90)}, "do not fit"), ({"formula": "Xq"}, "formula"), ({}, "formula"),
    ({"formula": "SiO2", "cell": (1, 2)}, "cell"), ({"formula": "SiO2", "n": 0}, "whole number"),
])  # fmt: skip
def test_impossible_questions_end_in_one_line(arguments: dict, words: str) -> None:
    with pytest.raises(DiffractionError) as caught:
        solve(simulate(QUARTZ), **arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_draws_end_when_a_solution_leaves_no_doubt() -> None:
    cubic = Crystal(3.9 * np.eye(3), [38, 22, 8, 8, 8], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    pattern, cell = simulate(cubic), cubic.lattice
    few = solve(pattern, "SrTiO3", cell=cell, n=12)
    assert few.solved and len(few) < 12 and min(v.adjusted for v in few.verdicts) <= ENOUGH
    assert len(solve(pattern, "SrTiO3", cell=cell, n=5, enough=None, sweeps=3)) == 5


def test_a_model_is_told_only_systems_that_the_cell_allows() -> None:
    cells = {"cubic": 4 * np.eye(3), "tetragonal": np.diag([4.0, 4, 5]), "orthorhombic": np.diag([4.0, 5, 6]),
             "hexagonal": QUARTZ.lattice, "triclinic": np.array([[4.0, 0, 0], [0.5, 5, 0], [0.3, 0.9, 6]])}  # fmt: skip
    order = ["triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"]
    for name, lattice in cells.items():
        told = {system_of_draw(lattice, k) for k in range(40)}
        assert name in told and told == set(allowed_systems(lattice)) and max(map(order.index, told)) == order.index(name)


def test_exchanged_elements_are_put_right() -> None:
    "Elements that scatter alike fool a grid, not refined coordinates."
    swapped = Crystal(QUARTZ.lattice, QUARTZ.numbers, QUARTZ.frac_coords[[3, 1, 2, 0, *range(4, 9)]])
    groups = assign_lines(simulate(QUARTZ), QUARTZ.lattice)
    before, after = (compare(crystal, groups).r_factor for crystal in (swapped, exchange_unlike(swapped, groups)))
    assert after < 1e-3 < before


def test_a_triclinic_cell_is_indexed() -> None:
    lattice = Lattice.from_parameters(5.3, 5.9, 4.4, 75, 80, 68).matrix
    crystal = Crystal(lattice, [30, 16, 8], [[0, 0, 0], [0.31, 0.12, 0.23], [0.62, 0.55, 0.81]])
    found = index_lines(simulate(crystal), unit=0.8 * crystal.volume)
    same = [np.allclose(Lattice(one).get_niggli_reduced_lattice().parameters,
                        Lattice(lattice).get_niggli_reduced_lattice().parameters, rtol=2e-3) for one in found]  # fmt: skip
    assert any(same)


def test_lines_of_no_cell_are_refused() -> None:
    angles = np.sort(np.random.default_rng(3).uniform(15, 40, 12))
    with pytest.raises(DiffractionError, match="no cell explains"):
        index_lines(Pattern.from_peaks(angles, np.ones(12), limits=(5, 40)), unit=60.0)


def test_draws_that_agree_end_a_search() -> None:
    good, other = Verdict(0.05, 0.06, 1, 20, True), Verdict(0.3, 0.35, 1, 20, False)
    assert not no_doubt([good] * 3 + [other], ENOUGH) and no_doubt([good] * 4 + [other], ENOUGH)
    assert no_doubt([other, Verdict(0.001, 0.001, 1, 20, True)], ENOUGH) and not no_doubt([other] * 9, ENOUGH)
