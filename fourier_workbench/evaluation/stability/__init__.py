"""Energies of samples and their distance to the convex hull.

In: crystals and the name of a potential. Out: static or relaxed energies, energy above the hull, reasons where there is none.
"""

from fourier_workbench.evaluation.stability.energies import Energies
from fourier_workbench.evaluation.stability.hull import Hull, find_hull

__all__ = ["Energies", "Hull", "find_hull"]
