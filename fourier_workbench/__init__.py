"""Crystals generated in reciprocal space: an interactive, notebook-driven research workbench."""

import os

from fourier_workbench._moved import forward

# Before torch is loaded: threads that wait sleep instead of spinning, which on a busy machine keeps others from working.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
__version__ = "0.1.0"
__all__ = ["Crystal"]
__getattr__ = forward(__name__, {"Crystal": "crystal"})  # so that the command line starts before pymatgen is loaded
