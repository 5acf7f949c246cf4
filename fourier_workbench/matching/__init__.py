"""Whether two crystals are the same, as pymatgen's StructureMatcher decides, for many crystals at once.

In: crystals. Out: reduced cells, and matches found without comparing every pair.
"""

from fourier_workbench.matching.reduced_cell import PAPER_TOLERANCE, CellIndex, ReducedCell, Tolerance, reduce_cell
from fourier_workbench.matching.structure_matcher import duplicates_of, is_match

__all__ = ["PAPER_TOLERANCE", "CellIndex", "ReducedCell", "Tolerance", "duplicates_of", "is_match", "reduce_cell"]
