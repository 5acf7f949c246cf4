"""Both networks on a device without values, run as a program by test_devices.py.

Tensors there know their shape, type and device, no more. To mix devices is an error as on a GPU; to ask for a value, which on
a GPU is to wait for all that was asked of it before, is one too.
"""

import sys
from typing import Any

import torch
import torch.nn.attention
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration

from fourier_workbench.config.recipes import laptop
from fourier_workbench.config.schema import Recipe, override
from fourier_workbench.diffusion import InformationMatchedSchedule
from fourier_workbench.diffusion.samplers import SAMPLERS, denoiser, guided, noise_levels
from fourier_workbench.model import Autoencoder, Diffuser
from fourier_workbench.model.execution import accelerate
from fourier_workbench.training.losses import autoencoder_loss, noise_rmse
from fourier_workbench.training.stages import noise_error_by_level

NAME = "card"
CASES: dict[str, dict[str, Any]] = {
    "ours": {"engine__gauss": True, "diffuser__model__self_conditioning": True},
    "the paper's": {
        "engine__checkpointing": True,
        "autoencoder__model__tokens": "full",
        "autoencoder__model__wave_embedding": False,
        "autoencoder__model__transformer__value_rotation": False,
        "autoencoder__model__transformer__modulus_gating": False,
        "autoencoder__loss__standardise_lattice": False,
        "diffuser__model__output": "noise",
    },
}


class Module(backend_registration._DummyBackendModule):
    "What torch asks of a kind of device."

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        "Types that autocast may choose."
        return [torch.bfloat16]


def move(*modules: nn.Module) -> None:
    "Put modules on the card; `Module.to` would look for its driver."
    for module in modules:
        module._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device=NAME))


class Noise:
    "Fresh noise, drawn there."

    def __init__(self, like: torch.Tensor) -> None:
        self.like = like

    def draw(self) -> torch.Tensor:
        "As many as there are samples."
        return torch.empty_like(self.like)


def train(recipe: Recipe, autoencoder: Autoencoder, diffuser: Diffuser, schedule: InformationMatchedSchedule) -> torch.Tensor:
    "The arithmetic of a step of both stages; the ladders of a batch."
    model, n = recipe.autoencoder.model, 4
    lattice, species = torch.randn(n, 6, device=NAME), torch.zeros(n, 6, dtype=torch.int64, device=NAME)
    alpha = torch.randn(n, 6, len(autoencoder.basis), dtype=torch.complex64, device=NAME)
    noise = torch.randn(n, 2 * model.n_channels, device=NAME)
    given = autoencoder.standardise(lattice), species, autoencoder.token_coefficients(alpha), noise
    loss, parts, _ = autoencoder_loss(autoencoder, recipe.autoencoder.loss, *given, 0.5)
    loss.backward()
    assert {value.device.type for value in parts.values()} == {NAME}
    with torch.no_grad():
        mean = autoencoder.encode(lattice, species, alpha)
    phi = torch.rand(n, device=NAME)
    c, s = schedule.coefficients(phi)
    first = diffuser(c * mean + s * mean, phi, c, s, None)
    estimate = diffuser(c * mean + s * mean, phi, c, s, first.mean.detach())
    rmse = noise_rmse(estimate.noise, mean, diffuser.tau, diffuser.selector)
    rmse.mean().backward()
    noise_error_by_level(torch.rand(n, device="cpu"), rmse, rmse)
    return mean


def draw(autoencoder: Autoencoder, diffuser: Diffuser, schedule: InformationMatchedSchedule, like: torch.Tensor) -> None:
    "The arithmetic of sampling."
    phis = noise_levels(3).to(NAME)
    estimate = denoiser(diffuser, schedule)(like, phis[0])
    for sampler in SAMPLERS.values():
        drawn = sampler(guided(lambda *_: estimate, lambda *_: estimate, 1.5), schedule, Noise(like), phis)
    assert {tensor.device.type for tensor in autoencoder.decode(drawn)} == {NAME}


def main() -> None:
    "Run every case; the first that fails ends the program."
    backend_registration._setup_privateuseone_for_python_backend(NAME, Module())
    for name, changes in CASES.items():
        recipe = override(laptop(), **changes)
        stage = recipe.diffuser
        assert stage is not None
        autoencoder, diffuser = Autoencoder(recipe.autoencoder.model), Diffuser(stage.model)
        schedule = InformationMatchedSchedule(diffuser.tau, autoencoder.log_sigma)
        for model in (autoencoder, diffuser):
            accelerate(model, recipe.engine, NAME)
        plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
        with FakeTensorMode(allow_non_fake_inputs=True), plain:
            move(autoencoder, diffuser, schedule)
            like = train(recipe, autoencoder, diffuser, schedule)
            draw(autoencoder, diffuser, schedule, like)
        print(name)


if __name__ == "__main__":
    sys.exit(main())
