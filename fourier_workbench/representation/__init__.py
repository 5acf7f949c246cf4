"""Crystals in, Fourier coefficients out, and back.

In: `Crystal`. Out: `FourierCrystals` (six lattice coefficients, species slots, truncated Fourier coefficients), densities,
symmetry relations, and by recovery crystals again. Knows crystals, nothing of data sets or models.
"""

from fourier_workbench.representation.basis import FourierBasis
from fourier_workbench.representation.coefficients import FourierCrystals, density, snap
from fourier_workbench.representation.encode import encode
from fourier_workbench.representation.grid_symmetry import GridSymmetry, follow_atoms
from fourier_workbench.representation.lattice import lattice_to_log, log_to_lattice
from fourier_workbench.representation.recovery import Recovery, recover, recover_packed, recover_symmetric
from fourier_workbench.representation.symmetric_snap import SymmetricSnap, snap_symmetric
from fourier_workbench.representation.symmetry import apply_operation, symmetrise, symmetry_operations, symmetry_residuals

transform = apply_operation  # its name in version 0.1

__all__ = [
    "FourierBasis", "FourierCrystals", "GridSymmetry", "Recovery", "SymmetricSnap", "apply_operation", "density", "encode", "follow_atoms",
    "lattice_to_log", "log_to_lattice", "recover", "recover_packed", "recover_symmetric", "snap", "snap_symmetric", "symmetrise",
    "symmetry_operations", "symmetry_residuals",
]
