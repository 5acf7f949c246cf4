"""Noise and its undoing on ladders.

In: ladders and a network that estimates noise. Out: noisy ladders for training, clean ladders for generation.
"""

from fourier_workbench.diffusion.noise import InformationMatchedSchedule, radial_laplace, sample_generators
from fourier_workbench.diffusion.samplers import SAMPLERS, LadderNoise, denoiser, get_sampler, levels

__all__ = ["InformationMatchedSchedule", "LadderNoise", "SAMPLERS", "denoiser", "get_sampler", "levels", "radial_laplace",
           "sample_generators"]
