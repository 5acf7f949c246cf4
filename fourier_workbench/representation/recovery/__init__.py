"""Crystals from Fourier coefficients.

In: `FourierCrystals`. Out: `Recovery`, crystals with a residual that certifies them, or the reason why there is none.
"""

from fourier_workbench.representation.recovery.packing import recover_packed
from fourier_workbench.representation.recovery.recover import Policy, Recovery, recover
from fourier_workbench.representation.recovery.symmetric import recover_symmetric

__all__ = ["Policy", "Recovery", "recover", "recover_packed", "recover_symmetric"]
