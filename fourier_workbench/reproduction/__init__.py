"""The paper's tables, trained and measured at a chosen scale.

In: a table, a corpus and a scale. Out: a directory with one run for each row, and a result table with the paper's values beside
ours. Tables of data need no model.
"""

from fourier_workbench.reproduction.downscale import Scale

__all__ = ["Scale"]
