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
    "EvaluationReport", "Generator", "RecoveryOptions", "Request", "SampleResult", "Trajectory", "evaluate",
    "evaluate_reconstruction", "load_generator", "sample_folder", "shipped",
]
_EVALUATION = {name: f"evaluation:{name}" for name in ("EvaluationReport", "evaluate", "evaluate_reconstruction")}
__getattr__ = forward(__name__, _EVALUATION)
