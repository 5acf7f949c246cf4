"""Training configurations, and the paper's tables.

In: a recipe's name, a row of the paper's tables, or JSON. Out: a `Recipe`, immutable and typed, with every field set; the
ten tables with every printed value. Nothing here trains: schema ← paper_recipes ← paper_tables ← recipes.
"""

from fourier_workbench.config import recipes
from fourier_workbench.config.recipes import get_recipe
from fourier_workbench.config.schema import Recipe, override

__all__ = ["Recipe", "get_recipe", "override", "recipes"]
