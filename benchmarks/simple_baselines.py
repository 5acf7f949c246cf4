"""Baselines that need no training: real crystals drawn again or perturbed, and PyXtal's random crystals."""

from collections.abc import Sequence

import numpy as np

from fourier_workbench import Crystal
from fourier_workbench.errors import CrystalError
from fourier_workbench.evaluation.workers import run_limited
from fourier_workbench.representation import lattice_to_log, log_to_lattice

STRAIN = 0.05  # standard deviation of each lattice coefficient's change: lengths by about 5 %
SHIFT = 0.3  # Å, standard deviation of each Cartesian component of an atom's displacement
GROUPS = 20  # space groups that PyXtal is offered for one composition

Draws = tuple[list[Crystal | None], list[str | None]]


def _all_there(crystals: Sequence[Crystal]) -> Draws:
    return list(crystals), [None] * len(crystals)


def resampled(crystals: Sequence[Crystal], n: int, seed: int) -> Draws:
    """Training crystals drawn with replacement: the ceiling of validity, and nothing new."""
    return _all_there([crystals[i] for i in np.random.default_rng([seed, 0]).integers(len(crystals), size=n)])


def strained(crystals: Sequence[Crystal], n: int, seed: int) -> Draws:
    """Training crystals with normal noise on the six lattice coefficients (log Å); fractional coordinates stay."""
    rng, chosen = np.random.default_rng([seed, 1]), resampled(crystals, n, seed)[0]
    right = [crystal.right_handed() for crystal in chosen if crystal is not None]
    logs = lattice_to_log(np.stack([crystal.lattice for crystal in right])).numpy()
    lattices = log_to_lattice(logs + STRAIN * rng.normal(size=logs.shape)).numpy()
    return _all_there([Crystal(m, c.numbers, c.frac_coords) for m, c in zip(lattices, right, strict=True)])


def displaced(crystals: Sequence[Crystal], n: int, seed: int) -> Draws:
    """Training crystals whose atoms are moved by normal noise; the lattice stays."""
    rng, chosen = np.random.default_rng([seed, 2]), resampled(crystals, n, seed)[0]
    moved = [
        Crystal(c.lattice, c.numbers, c.frac_coords + SHIFT * rng.normal(size=(len(c), 3)) @ np.linalg.inv(c.lattice))
        for c in chosen
        if c is not None
    ]
    return _all_there(moved)


def random_crystal(request: tuple[int, list[int], list[int]]) -> tuple:
    """PyXtal's crystal of (seed, species, counts) in a random space group: its arrays, or the reason why there is none."""
    from pyxtal import pyxtal
    from pyxtal.msg import Comp_CompatibilityError, Symm_CompatibilityError

    seed, species, counts = request
    rng = np.random.default_rng(seed)
    symbols = [Crystal(np.eye(3), [z], [[0, 0, 0]]).formula[:-1] for z in species]
    for group in rng.integers(2, 231, size=GROUPS):
        found = pyxtal()
        try:
            found.from_random(3, int(group), symbols, counts, random_state=int(rng.integers(2**31)))
        except (Comp_CompatibilityError, Symm_CompatibilityError):
            continue
        if found.valid:
            structure = found.to_pymatgen().get_primitive_structure()
            return (structure.lattice.matrix, [site.specie.Z for site in structure], structure.frac_coords)
    return ("no_group",)


def random_symmetric(crystals: Sequence[Crystal], n: int, seed: int, seconds: float = 30.0, workers: int = 1) -> Draws:
    """PyXtal's random crystals with the compositions of training crystals, volumes by its own rule; `seconds` each at most."""
    requests = []
    for i, crystal in enumerate(resampled(crystals, n, seed)[0]):
        assert crystal is not None
        species, counts = np.unique(crystal.numbers, return_counts=True)
        requests.append((seed * 1_000_003 + i, species.tolist(), counts.tolist()))
    found, reasons = [], []
    for outcome in run_limited(random_crystal, requests, seconds, workers, label="PyXtal"):
        crystal, reason = None, outcome.failure
        if reason is None and len(outcome.value) == 1:
            reason = outcome.value[0]
        if reason is None:
            try:
                crystal = Crystal(*outcome.value)
            except CrystalError as error:
                reason = error.reason
        found.append(crystal)
        reasons.append(reason)
    return found, reasons
