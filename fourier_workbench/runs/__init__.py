"""Training in the background.

In: a recipe, a corpus and a directory. Out: `Run`, a detached process that can be followed, paused, resumed and stopped from
any other process through files in its directory.
"""

from fourier_workbench.runs.run import Run

__all__ = ["Run"]
