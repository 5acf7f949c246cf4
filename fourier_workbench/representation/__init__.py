"""Crystals in, Fourier coefficients out, and back.

In: `Crystal`. Out: `FourierCrystals` (six lattice coefficients, species slots, truncated Fourier coefficients), densities,
symmetry relations, and by recovery crystals again. Knows crystals, nothing of data sets or models.
"""

from fourier_workbench.representation.fourier import FourierBasis, FourierCrystals, density, encode, snap
from fourier_workbench.representation.lattice import lattice_to_log, log_to_lattice
from fourier_workbench.representation.recovery import Recovery, recover
from fourier_workbench.representation.snapping import SymmetricSnap, snap_symmetric
from fourier_workbench.representation.symmetry import symmetry_operations, symmetry_residuals, transform

__all__ = [
    "FourierBasis", "FourierCrystals", "Recovery", "SymmetricSnap", "density", "encode", "lattice_to_log", "log_to_lattice",
    "recover", "snap", "snap_symmetric", "symmetry_operations", "symmetry_residuals", "transform",
]
