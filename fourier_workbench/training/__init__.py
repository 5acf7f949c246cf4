"""Losses, stages, and the loop that trains them.

In: a recipe and a corpus. Out: a run directory with metrics, checkpoints and finished weights; trained models.
"""

from fourier_workbench._moved import forward
from fourier_workbench.checkpoints import load_autoencoder, load_diffuser
from fourier_workbench.config import Recipe, get_recipe, override, recipes
from fourier_workbench.training.fitting import fine_tune, fit, fit_autoencoder, fit_diffuser
from fourier_workbench.training.lr_finder import find_learning_rate

__all__ = [
    "Recipe", "Run", "find_learning_rate", "fine_tune", "fit", "fit_autoencoder", "fit_diffuser", "get_recipe",
    "load_autoencoder", "load_diffuser", "override", "recipes",
]
__getattr__ = forward(__name__, {"Run": "runs.run"})
