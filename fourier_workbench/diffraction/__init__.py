"""Diffraction patterns in, crystals out; and patterns of crystals, differentiable.

In: powder scans, peaks or single-crystal reflections (`Pattern`). Out: simulated patterns, R factors, and crystals that
explain a pattern.
"""

from fourier_workbench.diffraction.misfit import Comparison, assign_lines, compare, comparison_figure
from fourier_workbench.diffraction.pattern import Pattern, powder_profile
from fourier_workbench.diffraction.scattering import crystal_factors, form_factors, fourier_factors, reflections, structure_factors
from fourier_workbench.diffraction.simulate import simulate

__all__ = [
    "Comparison", "Pattern", "assign_lines", "compare", "comparison_figure", "crystal_factors", "form_factors", "fourier_factors", "powder_profile",
    "reflections", "simulate", "structure_factors",
]
