"""Diffraction patterns in, crystals out; and patterns of crystals, differentiable.

In: powder scans, peaks or single-crystal reflections (`Pattern`). Out: simulated patterns, R factors, and crystals that
explain a pattern (`solve`).
"""

from fourier_workbench.diffraction.misfit import Comparison, assign_lines, compare, comparison_figure
from fourier_workbench.diffraction.pattern import Pattern, powder_profile
from fourier_workbench.diffraction.scattering import crystal_factors, form_factors, fourier_factors, reflections, structure_factors
from fourier_workbench.diffraction.simulate import simulate
from fourier_workbench.diffraction.solution_folder import solve_into
from fourier_workbench.diffraction.solve import Solutions, solve
from fourier_workbench.diffraction.starts import guided_samples

__all__ = [
    "Comparison", "Pattern", "Solutions", "assign_lines", "compare", "comparison_figure", "crystal_factors", "form_factors",
    "fourier_factors", "guided_samples", "powder_profile", "reflections", "simulate", "solve", "solve_into", "structure_factors",
]
