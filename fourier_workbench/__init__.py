"""Crystals generated in reciprocal space: an interactive, notebook-driven research workbench."""

from fourier_workbench._moved import forward

__version__ = "0.1.0"
__all__ = ["Crystal"]
__getattr__ = forward(__name__, {"Crystal": "crystal"})  # so that the command line starts before pymatgen is loaded
