"""Crystals drawn from trained models, and what they are worth.

In: a run directory, a folder of weights or a shipped name. Out: `SampleResult` (every draw, rejected ones with their
reason), `EvaluationReport` (rates with denominators), files, one offline HTML report. Knows nothing of widgets.
"""

from fourier_workbench.generation.evaluate import EvaluationReport, evaluate
from fourier_workbench.generation.generate import Generator, Recovering, load_generator, shipped
from fourier_workbench.generation.reconstruction import evaluate_reconstruction
from fourier_workbench.generation.results import SampleResult, Trajectory

__all__ = [
    "EvaluationReport",
    "Generator",
    "Recovering",
    "SampleResult",
    "Trajectory",
    "evaluate",
    "evaluate_reconstruction",
    "load_generator",
    "shipped",
]
