"""A thousand samples: seconds with everything, and what a step costs at the paper's size by the scratch tokens of the diffuser.

    python benchmarks/sampling.py [RUN] [-n 1000] [--steps 50] [--batch 2] [--only samples|paper]

The first part draws from a trained run (default: the checkpoint that comes with the package) with all that belongs to it:
noise, diffuser, decoder, recovery of atoms. The second part times one step of an untrained diffuser of the paper's size, whose
cost does not depend on its weights, with all 729 scratch tokens (paper), half of them, 5³ = 125, and half of those; 1 000
samples follow by multiplication, and so does the prediction for an H200 at 40 % of its bf16 rate, which nobody has timed here.
On a GPU everything runs there, in bf16 with `--bf16`. Times are the process's own on a CPU, on the clock on a GPU.
"""

import argparse
import platform
import time
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from fourier_workbench.config.recipes import paper_baseline
from fourier_workbench.diffusion import InformationMatchedSchedule, LadderNoise, sample_generators
from fourier_workbench.generation import RecoveryOptions, load_generator
from fourier_workbench.generation.generator import decode_crystals
from fourier_workbench.model import Diffuser
from fourier_workbench.training.cost import diffuser_cost

H200 = 0.4 * 790e12  # FLOP/s, dense bf16 as measured by others, of which 40 % is assumed to be reached


class Clock:
    """Seconds of a part: of the process on a CPU, on the clock on a GPU."""

    def __init__(self, device: torch.device):
        self.gpu = device.type == "cuda"

    def __call__(self) -> float:
        if self.gpu:
            torch.cuda.synchronize()
        return time.perf_counter() if self.gpu else time.process_time()


def autocast(device: torch.device, on: bool) -> AbstractContextManager:
    """Products in bfloat16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=on)


def samples(run: str, n: int, steps: int, device: torch.device, half: bool) -> None:
    """Draw and recover, with the share of recovery."""
    generator, clock = load_generator(run).to(device), Clock(device)
    with autocast(device, half):  # the first call also loads kernels
        generator.sample(8, 1, 2, progress=False)
    start, wall = clock(), time.perf_counter()
    with autocast(device, half):
        result = generator.sample(n, 0, steps, progress=False)
    whole, wall = clock() - start, time.perf_counter() - wall
    start = time.process_time()
    decode_crystals(result.decoded, generator, RecoveryOptions())
    recovery = time.process_time() - start
    kept = sum(crystal is not None for crystal in result.crystals)
    print(f"{run}: {n} samples at {steps} steps, {kept} crystals: {whole:.1f} s of the process, {wall:.1f} s on the clock; "
          f"recovery {recovery:.1f} s of it, on the CPU\n")


@torch.no_grad()
def paper_size(steps: int, batch: int, device: torch.device, half: bool) -> None:
    """Seconds of one step by layout of the scratch tokens."""
    recipe, clock = paper_baseline(), Clock(device)
    config, keep = recipe.diffuser.model, recipe.autoencoder.model.nnz_final
    print(f"{recipe.name}, batch {batch}, one step of the diffuser; 1 000 samples at {steps} steps by multiplication")
    print(f"{'scratch tokens':18}{'tokens':>8}{'TFLOP':>8}{'s a sample':>12}{'ratio':>8}{'s for 1 000':>13}"
          f"{'H200, predicted':>17}")
    first = None
    for name, bpd, layout in (("729 (paper)", 9, "full"), ("365, half", 9, "half"), ("125", 5, "full"), ("63, half", 5, "half")):
        shape = replace(config, scratch_bpd=bpd, scratch_tokens=layout)
        model = Diffuser(shape).to(device).eval()
        schedule = InformationMatchedSchedule(model.tau, torch.full_like(model.tau, -1.0))
        level = torch.tensor([0.5], device=device)
        x = torch.randn(batch, len(model.tau), dtype=torch.complex64, device=device)
        took = []
        with autocast(device, half):
            for _ in range(3):
                start = clock()
                model(x, level, *schedule.coefficients(level))
                took.append((clock() - start) / batch)
        seconds, flop = min(took), diffuser_cost(shape).forward
        first = first or seconds
        predicted = 1000 * steps * flop / H200
        print(f"{name:18}{len(model.network.tokens):8}{flop / 1e12:8.3f}{seconds:12.4g}{first / seconds:8.1f}"
              f"{1000 * steps * seconds:13,.1f}{predicted:15.1f} s", flush=True)
    for what, kept in (("all channels", len(model.tau)), ("kept channels", keep)):
        selector = torch.arange(len(model.tau), device=device) < kept
        noise = LadderNoise(model.tau, selector, sample_generators(0, range(8)))
        noise.draw()
        start = time.process_time()
        noise.draw()
        print(f"noise of a step, drawn on the CPU, {what}: {1e3 * (time.process_time() - start) / 8:.2f} ms a sample")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", default="laptop")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("samples", "paper"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    what = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()}, {args.threads} thread(s)"
    print(f"{what}, torch {torch.__version__}, {'bf16' if args.bf16 else 'fp32'}\n")
    if args.only != "paper":
        samples(args.run, args.n, args.steps, device, args.bf16)
    if args.only != "samples":
        paper_size(args.steps, args.batch, device, args.bf16)


if __name__ == "__main__":
    main()
