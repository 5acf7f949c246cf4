"""What a GPU does with the paper's size, in at most ten minutes and one JSON file.

    python benchmarks/gpu.py OUT.json [--minutes 10] [--batch 32]
    python benchmarks/gpu.py OUT.json --smoke          # a CPU, seconds: a sixteenth of the width, to show that everything runs

Measured in this order, each part under its own name, so that what is not reached in time is missing and said to be:

- `step`: seconds a crystal of a whole training step of the autoencoder, of the paper's literal one (all tokens, complex64, fp32)
  and of ours (half-space, bf16, compiled), their ratio, utilisation (the FLOP of the model's products over those of one large
  matrix product in the same precision, measured here), and the most memory that each took;
- `sampling`: seconds for n samples of the shipped laptop model with recovery; of an untrained model of the paper's size without
  it, since its coefficients are no crystals; and for recovering n true crystals from coefficients at the paper's 9³ modes;
- `row`: Table 6's row TFFFF at full width, as many steps as fit into the time that is left, with the loss on the way.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from training_speed import literal_step, our_step, product, seconds

from fourier_workbench.config.paper_tables import paper_table
from fourier_workbench.config.recipes import paper_baseline
from fourier_workbench.config.schema import AutoencoderStage, Recipe
from fourier_workbench.data import load_crystals
from fourier_workbench.data.batches import CrystalDataset
from fourier_workbench.diffusion import InformationMatchedSchedule
from fourier_workbench.files import write_json
from fourier_workbench.generation import load_generator
from fourier_workbench.generation.generator import Generator
from fourier_workbench.model import Autoencoder, Diffuser
from fourier_workbench.model.execution import ExecutionConfig
from fourier_workbench.representation import FourierBasis, encode, recover
from fourier_workbench.reproduction.data_tables import filtered
from fourier_workbench.reproduction.downscale import Scale, downscale
from fourier_workbench.reproduction.result_table import describe_machine
from fourier_workbench.training.cost import autoencoder_cost
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.stages import AutoencoderTraining

SMOKE = Scale(steps=300, width=1 / 16, batch_size=4, depth=1 / 8)


def row_at(table: int, settings: str, smoke: bool) -> Recipe:
    """A row of the paper's tables: at its size, or a sixteenth as wide with 3³ modes."""
    row = paper_table(table).row(settings)
    return downscale(row, paper_table(table), SMOKE, FourierBasis(3), 24) if smoke else row.recipe


def best_of(work: Callable[[], None], device: torch.device, repeats: int = 3) -> tuple[float, float | None]:
    """Least seconds of some calls after two that warm up, and the most memory allocated on a GPU."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    took = [seconds(work, device) for _ in range(repeats + 2)]
    return min(took[2:]), torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None


def step_part(stage: AutoencoderStage, batch: int, device: torch.device) -> dict[str, Any]:
    """The training step: literal, and ours in bf16."""
    half = replace(stage, model=replace(stage.model, tokens="half"))
    gpu = device.type == "cuda"
    engine = ExecutionConfig("bf16", compile=gpu, fused=True)
    out: dict[str, Any] = {"batch": batch, "channels": stage.model.transformer.d_model}
    for name, layout, dtype, make in (("literal", stage, torch.float32, lambda: literal_step(stage, batch, device)),
                                      ("ours", half, torch.bfloat16, lambda: our_step(half, engine, batch))):
        multiply, flop = product(dtype, device)
        try:
            took, memory = best_of(make(), device)
        except torch.cuda.OutOfMemoryError:
            out[name] = {"failed": "out of memory"}
            continue
        peak, _ = best_of(multiply, device)
        used = batch * autoencoder_cost(layout.model).both / took / (flop / peak)
        out[name] = {"seconds_a_crystal": took / batch, "utilisation": used, "memory_GB": memory}
    if "failed" not in out["literal"]:
        out["ratio"] = out["literal"]["seconds_a_crystal"] / out["ours"]["seconds_a_crystal"]
    return out


def untrained(recipe: Recipe, device: torch.device) -> Generator:
    """A generator of random weights, its ladder pruned to the final size."""
    assert recipe.diffuser is not None
    autoencoder, diffuser = Autoencoder(recipe.autoencoder.model).eval(), Diffuser(recipe.diffuser.model).eval()
    autoencoder.ladder.prune(recipe.autoencoder.model.nnz_final)
    diffuser.selector.copy_(autoencoder.selector)
    schedule = InformationMatchedSchedule(diffuser.tau, autoencoder.log_sigma)
    return Generator(autoencoder, diffuser, schedule, recipe).to(device)


def sampling_part(recipe: Recipe, n: int, steps: int, device: torch.device) -> dict[str, Any]:
    """Seconds on the clock for n samples at both sizes, and for n recoveries at the larger one."""
    out: dict[str, Any] = {"n": n, "steps": steps}
    laptop = load_generator("laptop").to(device)
    laptop.sample(4, 1, 2, progress=False)
    begun = time.perf_counter()
    result = laptop.sample(n, 0, steps, progress=False)
    out["laptop_with_recovery_s"] = time.perf_counter() - begun
    out["laptop_crystals"] = sum(crystal is not None for crystal in result.crystals)
    large = untrained(recipe, device)
    begun = time.perf_counter()
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        for first in range(0, n, 64):
            level = torch.tensor([0.5], device=device)
            x = torch.randn(min(64, n - first), len(large.diffuser.tau), dtype=torch.complex64, device=device)
            for _ in range(steps):
                large.diffuser(x, level, *large.schedule.coefficients(level))
            large.autoencoder.decode(x * large.diffuser.selector)
    if device.type == "cuda":
        torch.cuda.synchronize()
    out["paper_size_without_recovery_s"] = time.perf_counter() - begun
    basis, grid = FourierBasis(recipe.autoencoder.model.bpd), recipe.autoencoder.grid
    crystals = [sample.crystal.right_handed() for sample in load_crystals("embedded") if len(sample.crystal) <= 16]
    coefficients = encode(list(islice(cycle(crystals), n)), basis, grid)
    begun = time.perf_counter()
    found = recover(coefficients, basis, grid)
    out["paper_modes_recovery_s"], out["recovered"] = time.perf_counter() - begun, sum(c is not None for c in found.crystals)
    return out


def row_part(recipe: Recipe, batch: int, until: float) -> dict[str, Any]:
    """The row's first steps, until the clock reaches `until`."""
    model = recipe.autoencoder.model
    kept = filtered("embedded")
    data = CrystalDataset(kept, FourierBasis(model.bpd, model.truncation), recipe.autoencoder.grid)
    recipe = replace(recipe, autoencoder=replace(recipe.autoencoder, batch_size=batch))
    training, losses, begun = AutoencoderTraining(recipe, data, make_fabric(engine=recipe.engine)), [], time.perf_counter()
    step = 0
    while time.perf_counter() < until or step < 2:
        found = training.step(step)
        if step % 20 == 0:
            losses.append([step, float(found["loss"])])
        step += 1
    return {"row": "table6 TFFFF", "batch": batch, "crystals": len(kept), "steps": step,
            "steps_per_s": step / (time.perf_counter() - begun), "losses": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    begun = time.perf_counter()
    minutes, batch, n, steps = (0.1, 2, 8, 2) if args.smoke else (args.minutes, args.batch, 1000, 50)
    until, device = begun + 60 * minutes, make_fabric().device
    whole = row_at(4, "baseline", True) if args.smoke else paper_baseline()
    command = "python benchmarks/gpu.py OUT.json" + (" --smoke" if args.smoke else f" --minutes {minutes:g} --batch {batch}")
    out: dict[str, Any] = {"machine": describe_machine(), "command": command, "smoke": args.smoke}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "step": lambda: step_part(whole.autoencoder, batch, device),
        "sampling": lambda: sampling_part(whole, n, steps, device),
        "row": lambda: row_part(row_at(6, "TFFFF", args.smoke), 4 if args.smoke else 8, until),
    }
    for name, part in parts.items():
        if time.perf_counter() > until and not args.smoke:
            out[name] = {"failed": "no time was left"}
        else:
            out[name] = part()
        out["seconds"] = time.perf_counter() - begun
        write_json(args.out, out)  # after each part: a killed benchmark keeps what it has
        print(json.dumps({name: out[name]}), flush=True)


if __name__ == "__main__":
    main()
