"""Crystals drawn from trained models.

In: a run directory, a folder of weights or a shipped name. Out: `SampleResult` (every sample, rejected ones with their
reason) and its files.
"""

from fourier_workbench._moved import forward
from fourier_workbench.generation.folder import sample_folder
from fourier_workbench.generation.generator import Generator, RecoveryOptions, load_generator, shipped
from fourier_workbench.generation.requests import Request
from fourier_workbench.generation.samples import SampleResult, Trajectory

Recovering = RecoveryOptions  # its former name
__all__ = [
    "EvaluationReport", "Generator", "RecoveryOptions", "Request", "SampleResult", "Trajectory", "complete", "evaluate",
    "evaluate_reconstruction", "interpolate", "load_generator", "predict", "sample_folder", "search", "shipped", "substitute",
    "vary",
]
_EVALUATION = {name: f"evaluation:{name}" for name in ("EvaluationReport", "evaluate", "evaluate_reconstruction")}
_TASKS = {name: f"generation.tasks:{name}" for name in ("complete", "interpolate", "predict", "search", "substitute", "vary")}
__getattr__ = forward(__name__, _EVALUATION | _TASKS)
