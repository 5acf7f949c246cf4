"""How good generated crystals are.

In: samples, crystals or files of any generator, and a reference corpus. Out: `EvaluationReport`, rates with definitions,
denominators and intervals; reconstruction rates of an autoencoder; one offline HTML report. Metrics are a registry.
"""

from fourier_workbench.evaluation.evaluate import EvaluationReport, compare, evaluate, structure_table
from fourier_workbench.evaluation.metrics import METRICS, Metric, register
from fourier_workbench.evaluation.reconstruction import evaluate_reconstruction

__all__ = [
    "METRICS", "EvaluationReport", "Metric", "compare", "evaluate", "evaluate_reconstruction", "register", "structure_table",
]
