"""An evaluation as one HTML page that needs no network.

In: an `EvaluationReport`. Out: HTML text with tables and figures.
"""

from fourier_workbench.evaluation.report.html import evaluation_page

__all__ = ["evaluation_page"]
