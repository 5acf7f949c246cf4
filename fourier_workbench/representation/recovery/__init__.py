"""Crystals from Fourier coefficients.

In: `FourierCrystals`. Out: `Recovery`, crystals with a residual that certifies them, or the reason why there is none.
"""

from fourier_workbench.representation.recovery.recover import Policy, Recovery, recover

__all__ = ["Policy", "Recovery", "recover"]
