"""Diffusion on ladders: noise, schedule and samplers.

In: ladders, and a network that estimates noise. Out: noisy ladders for training, clean ladders for generation.
"""

from fourier_workbench._moved import forward
from fourier_workbench.diffusion.guides import (
    CompositionGuide,
    ElementsGuide,
    SizeGuide,
    SpaceGroupGuide,
    Steering,
    SublatticeGuide,
    SymmetryGuide,
    VolumeGuide,
)
from fourier_workbench.diffusion.noise import InformationMatchedSchedule, radial_laplace, sample_generators
from fourier_workbench.diffusion.samplers import SAMPLERS, LadderNoise, denoiser, get_sampler, noise_levels

__all__ = ["CompositionGuide", "ElementsGuide", "InformationMatchedSchedule", "LadderNoise", "SAMPLERS", "SizeGuide",
           "SpaceGroupGuide", "Steering", "SublatticeGuide", "SymmetryGuide", "VolumeGuide", "denoiser", "get_sampler",
           "noise_levels", "radial_laplace", "sample_generators"]

__getattr__ = forward(__name__, {"levels": "diffusion.samplers:noise_levels"})
