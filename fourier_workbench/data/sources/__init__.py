"""Crystals from files, folders, archives, libraries and hubs.

In: the name or path of a source. Out: an iterator of samples (id, `Crystal`, properties); entries that cannot be read are
reported with a reason. A new format is a `base.Format` in `open.FORMATS`.
"""

from fourier_workbench.data.sources.base import Sample
from fourier_workbench.data.sources.open import load_crystals

__all__ = ["Sample", "load_crystals"]
