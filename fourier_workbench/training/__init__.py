"""Losses, recipes, stages and runs.

In: a recipe and a corpus. Out: a run directory with metrics, checkpoints and finished weights; trained models.
"""

from fourier_workbench.training import recipes
from fourier_workbench.training.checkpoints import load_autoencoder, load_diffuser
from fourier_workbench.training.configuration import Recipe, override
from fourier_workbench.training.recipes import get_recipe
from fourier_workbench.training.rates import find_learning_rate
from fourier_workbench.training.runs import Run
from fourier_workbench.training.fitting import fit, fit_autoencoder, fit_diffuser

__all__ = [
    "Recipe", "Run", "find_learning_rate", "fit", "fit_autoencoder", "fit_diffuser", "get_recipe", "load_autoencoder",
    "load_diffuser", "override", "recipes",
]
