"""Crystals generated in reciprocal space: an interactive, notebook-driven research workbench."""

from fourier_workbench.crystal import Crystal

__version__ = "0.1.0"
__all__ = ["Crystal"]
