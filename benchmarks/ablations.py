"""What helps at equal time: our own choices switched one by one, several seeds each.

    python benchmarks/ablations.py autoencoder OUT                       # decorated prototypes, 60 s a run, three seeds
    python benchmarks/ablations.py diffuser OUT --base laptop            # on one trained autoencoder
    python benchmarks/ablations.py autoencoder OUT --source perov_5.parquet --seconds 120 --seeds 5 --only ours,no_value_rotation

Every run gets the same processor time on one thread (steps are counted from its own speed; the learning-rate schedule ends
with it). Autoencoders are judged on held-out crystals, diffusers by their samples (all drawn count). The table gives the mean and
the standard error over the seeds. A run that failed is a row with its reason. Finished runs are kept in OUT, the same command
goes on where it was stopped; the table is written to OUT/<what>.json.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_workbench.config.schema import Recipe, override
from fourier_workbench.data import Corpus, prepare_corpus
from fourier_workbench.data.batches import CrystalDataset
from fourier_workbench.errors import WorkbenchError
from fourier_workbench.generation import Generator, evaluate_reconstruction, load_generator
from fourier_workbench.representation import FourierBasis
from fourier_workbench.training import recipes
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.stages import AutoencoderTraining, DiffuserTraining

LATTICE = {"joint": (0.3, 1.0, 3.0), "own": (0.1, 0.3, 1.0), "strain": (0.3, 1.0, 3.0), "shape": (1.0, 3.0)}  # weights by form
AUTOENCODERS: dict[str, dict[str, Any]] = {
    "ours": {},
    "no_value_rotation": {"autoencoder__model__transformer__value_rotation": False},
    "no_wave_embedding": {"autoencoder__model__wave_embedding": False},
    "value_positions_twelfths": {"autoencoder__model__transformer__value_positions": "twelfths"},
    "channels_128": {"autoencoder__model__compression": 128 / 1254},
    "no_key_bias": {"autoencoder__model__transformer__key_bias": False},
    "separate_gating": {"autoencoder__model__transformer__modulus_gating": False},
    "full_tokens": {"autoencoder__model__tokens": "full"},
    "cyclic_slots": {"autoencoder__cyclic_slots": True},
    "raw_lattice": {"autoencoder__loss__standardise_lattice": False, "autoencoder__loss__lattice_weight": 1.0},
    **{f"lattice_{form}_{weight:g}": {"autoencoder__loss__lattice_form": form, "autoencoder__loss__lattice_weight": weight}
       for form, weights in LATTICE.items() for weight in weights},
    "lattice_strain_1_ramp": {"autoencoder__loss__lattice_form": "strain", "autoencoder__loss__lattice_weight": 1.0,
                              "autoencoder__loss__lattice_ramp": 1.0},
    "no_zero_mode_weight": {"autoencoder__loss__zero_mode_weight": 0.0},
    "origin_shift": {"autoencoder__origin_shift": True},
    "inversion": {"autoencoder__inversion": True},
    "axes": {"autoencoder__axes": True},
    "no_ema": {"autoencoder__ema": 0.0},
    "adam": {"autoencoder__optimiser__name": "adam"},
    "penalty_0.05": {"autoencoder__loss__penalty_weight": 0.05},
    "penalty_0.3": {"autoencoder__loss__penalty_weight": 0.3},
    "divergence_0.01": {"autoencoder__loss__penalty": "divergence", "autoencoder__loss__penalty_weight": 0.01},
}
DIFFUSERS: dict[str, dict[str, Any]] = {
    "ours": {},
    "noise_target": {"diffuser__target": "noise"},
    "plain_output": {"diffuser__target": "noise", "diffuser__model__output": "noise"},
    "shared_phi": {"diffuser__phi": "shared"},
    "narrow": {"diffuser__model__transformer__d_head": 12},
    "deep": {"diffuser__model__transformer__n_layers": 6},
    "batch_32": {"diffuser__batch_size": 32},
    "batch_128": {"diffuser__batch_size": 128},
    "no_scratch": {"diffuser__model__scratch_bpd": 0},
    "no_ema": {"diffuser__ema": 0.0},
    "self_conditioning": {"diffuser__model__self_conditioning": True},
    "early_guide": {"diffuser__guide_at": 0.07},
    "late_guide": {"diffuser__guide_at": 0.3},
}
DRAWS = {"no guide": {"guidance": 1.0}, "guided": {}, "guided, ancestral": {"sampler": "ancestral"}}


def timed(make: Callable[[int], Any], args: argparse.Namespace) -> tuple[Any, int, dict[str, Any]]:
    """A stage trained for so many steps or processor seconds, its steps and the last step's values; `make(steps)` builds it."""
    steps = args.steps
    if steps is None:
        probe, took = make(10_000), []
        for block in range(5):  # the first warms up; the fastest is what others on the machine have disturbed least
            start = time.process_time()
            for step in range(5 * block, 5 * block + 5):
                probe.step(step)
            took.append((time.process_time() - start) / 5)
        steps = max(20, int(args.seconds / min(took)))
    stage = make(steps)
    for step in range(steps):
        values = stage.step(step)
    if not torch.isfinite(torch.as_tensor(values["loss"])):
        raise WorkbenchError("the loss is not finite; lower the learning rate")
    return stage, steps, values


def tensors(corpus: Corpus, recipe: Recipe) -> CrystalDataset:
    """The training crystals of `corpus` for `recipe`."""
    return CrystalDataset(corpus.split("train"), FourierBasis(recipe.autoencoder.model.bpd), recipe.autoencoder.grid)


def autoencoder(recipe: Recipe, corpus: Corpus, args) -> dict[str, float]:
    """Train and judge one autoencoder."""
    crystals = tensors(corpus, recipe)

    def make(steps: int) -> AutoencoderTraining:
        return AutoencoderTraining(override(recipe, diffuser=None, autoencoder__steps=steps), crystals, make_fabric())

    stage, steps, values = timed(make, args)
    held_out = [sample.crystal for sample in islice(corpus.split("test"), args.held_out)]
    report = evaluate_reconstruction(Generator(stage.averaged(), None, None, recipe), held_out, progress=False, workers=1)
    names = {"exact": "exact", "match": "match", "match, tight": "match, tight", "species per slot": "species",
             "L_four RMS": "L_four RMS", "lattice RMSE": "lattice RMSE"}
    return {**{short: report[name] for name, short in names.items()}, "R": float(values["R"]), "steps": steps}


def diffuser(recipe: Recipe, corpus: Corpus, args) -> dict[str, float]:
    """Train one diffuser on the base's autoencoder, and judge its samples by their decoded numbers."""
    base = load_generator(args.base)
    crystals = tensors(corpus, recipe)

    def make(steps: int) -> DiffuserTraining:
        stage = override(recipe, diffuser__steps=steps).diffuser
        return DiffuserTraining(recipe, stage, base.autoencoder, crystals, make_fabric())

    stage, steps, _ = timed(make, args)
    generator = Generator(base.autoencoder, stage.averaged(), stage.schedule, recipe, guide=stage.early()).to(stage.fabric.device)
    out: dict[str, float] = {"steps": steps}
    for name, how in DRAWS.items():
        table = generator.sample(args.drawn, 0, progress=False, **how).table
        kinds = table["reduced_formula"].nunique() / args.drawn
        out |= {f"{name}: clean": float(table["clean"].mean()), f"{name}: kinds": kinds}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("autoencoder", "diffuser"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", default="decorated")
    parser.add_argument("--base", default="laptop", help="run or shipped model whose autoencoder the diffusers share")
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time of each training")
    parser.add_argument("--steps", type=int, help="the same number for all instead: for rows whose steps cost the same")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--drawn", type=int, default=256)
    parser.add_argument("--only", help="names of rows, with commas between them")
    args = parser.parse_args()
    rows, run = {"autoencoder": (AUTOENCODERS, autoencoder), "diffuser": (DIFFUSERS, diffuser)}[args.what]
    start = recipes.laptop() if args.what == "autoencoder" else load_generator(args.base).recipe
    stage = start.autoencoder
    corpus = prepare_corpus(args.source, args.out / "corpus", FourierBasis(stage.model.bpd), stage.grid)
    torch.set_num_threads(1)
    results = args.out / f"{args.what}.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    names = args.only.split(",") if args.only else list(rows)
    for seed in range(args.seeds):
        for name in names:
            if any(row["name"] == name and row["seed"] == seed for row in done):
                continue
            try:
                found: dict[str, Any] = run(override(start, seed=seed, **rows[name]), corpus, args)
            except WorkbenchError as error:
                found = {"failed": str(error)}
            done.append({"name": name, "seed": seed, **found})
            with results.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            print(done[-1], flush=True)
    show(args, pd.DataFrame(done))


def show(args, done: pd.DataFrame) -> None:
    """Means and standard errors over the seeds, printed and written."""
    columns = [name for name in done.columns if name not in ("name", "seed", "failed")]
    groups = done.groupby("name", sort=False)
    mean, error = groups[columns].mean(), groups[columns].sem()
    table = [{"name": name, "seeds": int(groups.size()[name]),
              **{c: [round(float(mean.loc[name, c]), 4), round(float(np.nan_to_num(error.loc[name, c])), 4)] for c in columns}}
             for name in mean.index]
    cost = {"seconds": args.seconds} if args.steps is None else {"steps": args.steps}
    result = {"what": args.what, "data": Path(args.source).name, **cost, "held_out": args.held_out,
              "drawn": args.drawn, "machine": f"{platform.machine()}, one thread", "table": table}
    (args.out / f"{args.what}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    words = mean.round(3).astype(str) + " ± " + error.fillna(0).round(3).astype(str)
    print(words.to_string())


if __name__ == "__main__":
    main()
