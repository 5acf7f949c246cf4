"""A training step at the paper's width: share of the machine's own matrix product, and ratio to the literal step.

    python benchmarks/training_speed.py [--recipe paper_baseline] [--layers 1] [--batch 2] [--threads 1] [--repeats 3]
                                      [--rows 'fp32$' bf16]

Prints one row a variant: seconds a crystal, the ratio to the step as one would first write it (all 729 tokens, native
complex64, attention spelt out, single precision, Adam), and model FLOP utilisation: the FLOP that the model's products
need, each complex product counted as four real ones, by the seconds, over what one large real matrix product reaches in
the same run and the same precision. Every step is whole: forward, backward, gradient guard, optimiser.

On a CPU `--layers` below 8 makes a shorter network of the same width, because eight layers and their optimiser would take
minutes; layers are alike. Time is the process's CPU time there, which other users of the machine disturb least; on a GPU
it is wall-clock time. The variants take turns, and the fastest turn of each counts. On a GPU, which nobody has run it on
yet: `--layers 8 --batch 32` (the literal step keeps 2.5 GB a crystal). A variant that does not fit says so.
"""

import argparse
import math
import platform
import re
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fourier_workbench.config.recipes import get_recipe
from fourier_workbench.config.schema import AutoencoderStage
from fourier_workbench.model import Autoencoder, AutoencoderConfig
from fourier_workbench.model.attention import rope_angles
from fourier_workbench.model.execution import ExecutionConfig
from fourier_workbench.representation.basis import MAX_CLASS, MAX_SLOTS, FourierBasis
from fourier_workbench.training.cost import autoencoder_cost
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.losses import autoencoder_loss
from fourier_workbench.training.optimisation import OptimisedModel


class LiteralBlock(nn.Module):
    """A block as the paper's formulas read, in complex numbers."""

    def __init__(self, d_head: int, n_heads: int, hidden: int, positions: Tensor, n_special: int):
        super().__init__()
        d = d_head * n_heads
        self.n_heads, self.d_head, self.n_special = n_heads, d_head, n_special
        maps = {**dict.fromkeys(("q", "k", "v", "out"), (d, d)), "gate": (d, hidden), "up": (d, hidden), "down": (hidden, d)}
        self.maps = nn.ModuleDict({name: nn.Linear(*shape, bias=False, dtype=torch.complex64) for name, shape in maps.items()})
        self.norms = nn.ParameterList([nn.Parameter(torch.ones(d, dtype=torch.complex64)) for _ in range(2)])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(d, dtype=torch.complex64)) for _ in range(2)])
        self.phases = nn.Parameter(torch.zeros(2, n_special + 1, n_heads, d_head))
        self.register_buffer("angles", rope_angles(positions, d_head))

    def normalise(self, x: Tensor, i: int) -> Tensor:
        """x / √(mean |x|² + 1e-6) ⊙ w + b."""
        return x / torch.sqrt(x.abs().square().mean(-1, keepdim=True) + 1e-6) * self.norms[i] + self.biases[i]

    def turned(self, x: Tensor, which: int) -> Tensor:
        """Queries or keys times e^{iθ}, (B, H, T, d)."""
        learned, fourier = self.phases[which, :-1], self.phases[which, -1:] + self.angles.unsqueeze(1)
        return (x.unflatten(-1, (self.n_heads, self.d_head)) * torch.exp(1j * torch.cat([learned, fourier]))).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.normalise(x, 0)
        q, k = self.turned(self.maps["q"](y), 0), self.turned(self.maps["k"](y), 1)
        v = self.maps["v"](y).unflatten(-1, (self.n_heads, self.d_head)).transpose(1, 2)
        weights = torch.softmax((q @ k.conj().transpose(-1, -2)).real / math.sqrt(2 * self.d_head), -1)
        x = x + self.maps["out"]((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2))
        y = self.normalise(x, 1)
        gate, up = self.maps["gate"](y), self.maps["up"](y)
        return x + self.maps["down"](torch.complex(F.silu(gate.real) * up.real, F.silu(gate.imag) * up.imag))


class LiteralAutoencoder(nn.Module):
    """The paper's autoencoder with its loss, on all tokens, in complex numbers."""

    def __init__(self, config: AutoencoderConfig, positions: Tensor):
        super().__init__()
        shape, d = config.transformer, config.transformer.d_model
        self.n_aux, self.layers = config.n_aux, shape.n_layers
        self.species = nn.Embedding(MAX_CLASS + 1, config.d_species)
        self.enter = nn.Linear(MAX_SLOTS, d, bias=False, dtype=torch.complex64)
        self.about = nn.Linear(6 + MAX_SLOTS * config.d_species, 2 * d)
        self.aux = nn.Parameter(0.02 * torch.randn(config.n_aux, d, dtype=torch.complex64))
        self.tokens = nn.Parameter(0.02 * torch.randn(config.n_aux + 1 + len(positions), d, dtype=torch.complex64))
        self.blocks = nn.ModuleList(LiteralBlock(shape.d_head, shape.n_heads, shape.d_hidden, positions, config.n_aux + 1)
                                    for _ in range(2 * shape.n_layers))
        self.mask = nn.Parameter(torch.ones(config.ladder_shape))
        self.log_sigma = nn.Parameter(torch.full(config.ladder_shape, -1.0))
        self.lattice_head, self.species_head = nn.Linear(2 * d, 6), nn.Linear(2 * d, MAX_SLOTS * (MAX_CLASS + 1))
        self.leave = nn.Linear(d, MAX_SLOTS, bias=False, dtype=torch.complex64)

    def forward(self, lattice: Tensor, species: Tensor, coefficients: Tensor, noise: Tensor) -> Tensor:
        about = self.about(torch.cat([lattice, self.species(species).flatten(1)], -1))
        about = torch.view_as_complex(about.unflatten(-1, (-1, 2)))
        waves = self.enter(coefficients.transpose(1, 2))
        x = torch.cat([self.aux.expand(len(lattice), -1, -1), about.unsqueeze(1), waves], 1)
        rungs = []
        for block in self.blocks[: self.layers]:
            x = block(x)
            rungs.append(x[:, : self.n_aux])
        mean = torch.stack(rungs, 1) * self.mask
        ladder = mean + noise * torch.exp(self.log_sigma)
        x = self.tokens.expand(len(lattice), -1, -1)
        for i, block in enumerate(self.blocks[self.layers :]):
            x = block(torch.cat([x[:, : self.n_aux] + ladder[:, -1 - i], x[:, self.n_aux :]], 1))
        token = torch.view_as_real(x[:, self.n_aux]).flatten(-2)
        four = (self.leave(x[:, self.n_aux + 1 :]).transpose(1, 2) - coefficients).abs().square().mean((1, 2))
        lat = (self.lattice_head(token) - lattice).square().mean(-1)
        ce = F.cross_entropy(self.species_head(token).unflatten(-1, (MAX_SLOTS, MAX_CLASS + 1)).flatten(0, 1), species.flatten())
        return ce + torch.sqrt(lat + four + 1e-12).mean() + 0.09 * (mean.abs() * torch.exp(-self.log_sigma)).mean()


def literal_step(stage: AutoencoderStage, batch: int, device: torch.device) -> Callable[[], None]:
    """The step as one would first write it."""
    config = stage.model
    basis = FourierBasis(config.bpd, config.truncation)
    model = LiteralAutoencoder(config, basis.wave_vectors).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    lattice, species = torch.randn(batch, 6, device=device), torch.randint(0, 84, (batch, 6), device=device)
    alpha = torch.randn(batch, 6, len(basis), dtype=torch.complex64, device=device)
    noise = torch.randn(batch, *config.ladder_shape, dtype=torch.complex64, device=device)

    def step() -> None:
        optimiser.zero_grad()
        model(lattice, species, alpha, noise).backward()
        optimiser.step()

    return step


def our_step(stage: AutoencoderStage, engine: ExecutionConfig, batch: int) -> Callable[[], None]:
    """The step as the training loop does it."""
    fabric = make_fabric(engine=engine)
    device, model = fabric.device, Autoencoder(stage.model).to(fabric.device)
    trained = OptimisedModel(model, stage.optimiser, 0.0, fabric, engine)
    tokens = model.token_coefficients(torch.randn(batch, 6, len(model.basis), dtype=torch.complex64, device=device))
    lattice, species = torch.randn(batch, 6, device=device), torch.randint(0, 84, (batch, 6), device=device)
    noise = torch.randn(batch, 2 * stage.model.n_channels, device=device)

    def step() -> None:
        with fabric.autocast():
            loss, _, _ = autoencoder_loss(model, stage.loss, lattice, species, tokens, noise, 0.5)
        trained.optimise(loss, 500, 1000)

    return step


def product(dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], None], float]:
    """A large matrix product, and its FLOP."""
    n = 8192 if device.type == "cuda" else 2048
    a, b, out = (torch.randn(n, n, device=device).to(dtype) for _ in range(3))
    return lambda: torch.mm(a, b, out=out), 2.0 * n**3


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """What a call takes: the process's own time on a CPU, time on the clock on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="paper_baseline")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", nargs="*", default=[""], help="regular expressions: only variants that match one")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = make_fabric().device
    stage = get_recipe(args.recipe).autoencoder
    compression = stage.model.compression * args.layers / stage.model.transformer.n_layers
    model = replace(stage.model, transformer=replace(stage.model.transformer, n_layers=args.layers), compression=compression)
    full, half = (replace(stage, model=replace(model, tokens=tokens)) for tokens in ("full", "half"))
    rows: dict[str, tuple[Callable[[], None], AutoencoderStage, str]] = {
        "literal: 729 tokens, complex64": (literal_step(stage=full, batch=args.batch, device=device), full, "fp32"),
    }
    for name, layout, engine in [
        ("all tokens, fp32", full, ExecutionConfig()),
        ("half-space, fp32", half, ExecutionConfig()),
        ("half-space, fp32, Gauss", half, ExecutionConfig(gauss=True)),
        ("half-space, fp32, Gauss, compiled", half, ExecutionConfig(compile=True, fused=True, gauss=True)),
        ("half-space, bf16", half, ExecutionConfig("bf16", fused=True)),
        ("half-space, bf16, compiled", half, ExecutionConfig("bf16", compile=True, fused=True)),
    ]:
        if any(re.search(row, name) for row in args.rows):
            rows[name] = (our_step(layout, engine, args.batch), layout, engine.precision)
    products = {"fp32": product(torch.float32, device), "bf16": product(torch.bfloat16, device)}
    best: dict[str, float] = {}
    for turn in range(args.repeats + 1):  # the first turn warms up and compiles
        for name, work in [*((n, p[0]) for n, p in products.items()), *((n, r[0]) for n, r in rows.items())]:
            try:
                took = seconds(work, device)
            except torch.cuda.OutOfMemoryError:
                took = math.nan
            if turn:
                best[name] = min(took, best.get(name, math.inf))
        print(f"turn {turn} of {args.repeats}", flush=True)
    what = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()}, {args.threads} thread(s)"
    d = model.transformer.d_model
    print(f"\n{args.recipe}, width {d}, {args.layers} + {args.layers} layers, batch {args.batch}")
    print(f"{what}, torch {torch.__version__}")
    for name, (_, flop) in products.items():
        print(f"large matrix product, {name}: {flop / best[name] / 1e9:,.0f} GFLOP/s")
    literal = best[next(iter(rows))]
    print(f"\n{'training step':34}{'s a crystal':>12}{'ratio':>8}{'utilisation':>13}")
    for name, (_, layout, precision) in rows.items():
        flop, flops = args.batch * autoencoder_cost(layout.model).both, products[precision][1] / best[precision]
        print(f"{name:34}{best[name] / args.batch:12.4g}{literal / best[name]:8.2f}{flop / best[name] / flops:13.0%}")


if __name__ == "__main__":
    main()
