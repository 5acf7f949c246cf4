"""Quality against steps: what each sampler draws at each number of noise levels, beside real crystals.

    python benchmarks/sampling_quality.py [RUN] [--source decorated] [-n 500] [--samplers ancestral churn:0.5 multistep]
                                          [--steps 12 25 50 100] [--guidance 1 2] [--seeds 1] [--workers 1] [--out FILE]
                                          [--no-symmetry]

Draws from a trained run (default: the checkpoint that comes with the package), and compares with the corpus it was trained on:
rates of all drawn, failures included, and how far the distributions are from those of held-out crystals. A sampler that seeks
modes is clean and far away; that is why the distances are there. `held-out` are held-out crystals against others of them: what
a distance of nought looks like at this number. `churn:0.5` redraws half of the noise at each level. Seconds are of the process
on one thread, sampling with recovery. With `--out` the table is written as JSON.
"""

import argparse
import json
import platform
import tempfile
import time
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fourier_workbench.data import Corpus, prepare_corpus
from fourier_workbench.diffusion import SAMPLERS
from fourier_workbench.diffusion.samplers import churn
from fourier_workbench.evaluation.inputs import by_formula
from fourier_workbench.generation import EvaluationReport, Generator, RecoveryOptions, evaluate, load_generator
from fourier_workbench.representation import FourierBasis

RATES = {"clean": "clean", "valid": "valid", "all checks": "all checks", "unique": "unique", "novel": "novel"}
APART = {
    "Wasserstein, mass density": "density",
    "Wasserstein, elements": "elements",
    "Wasserstein, atoms": "atoms",
    "Wasserstein, volume per atom": "volume",
    "Wasserstein, symmetry residual": "symmetry",
    "Jensen–Shannon, space groups": "groups",
}


def row_of(report: EvaluationReport) -> dict[str, Any]:
    """The rates and distances of a report."""
    apart = report.distances.set_index("metric")["value"]
    rates = {short: report[name] for name, short in RATES.items() if name in set(report.rates["metric"])}
    return rates | {short: float(apart[name]) for name, short in APART.items() if name in apart}


def named(name: str) -> None:
    """Make `churn:0.1` a sampler."""
    kind, _, fresh = name.partition(":")
    if fresh and kind == "churn":
        SAMPLERS[name] = partial(churn, fresh=float(fresh))


def tried(generator: Generator, corpus: Corpus, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a sampler, number of steps and seed."""
    known, options = by_formula(corpus), {"workers": args.workers, "progress": False, "compare": 1000}
    crystals = [sample.crystal for sample in islice(corpus.split("test"), 2 * args.n)]
    half = len(crystals) // 2
    rows = [{"sampler": "held-out", "steps": 0, "guidance": 1.0, "seed": 0, "seconds": 0.0,
             **row_of(evaluate(crystals[:half], known, target=crystals[half:], **options))}]
    for seed in range(args.seeds):
        for name in args.samplers:
            named(name)
            for steps, guidance in product(args.steps, args.guidance):
                start = time.process_time()
                how = RecoveryOptions(symmetry=not args.no_symmetry)
                drawn = generator.sample(args.n, seed, steps, name, guidance=guidance, recovery=how, progress=False)
                took = round(time.process_time() - start, 1)
                report = evaluate(drawn, known, target=corpus.split("test"), **options)
                about = {"sampler": name, "steps": steps, "guidance": guidance, "seed": seed, "seconds": took}
                rows.append(about | row_of(report))
                print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 2, float_format="%.3f"), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", default="laptop")
    parser.add_argument("--source", default="decorated", help="what the run was trained on")
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--samplers", nargs="+", default=["ancestral", "churn:0.1", "churn:0.3", "ddim", "multistep", "renoise"])
    parser.add_argument("--steps", nargs="+", type=int, default=[12, 25, 50, 100])
    parser.add_argument("--guidance", nargs="+", type=float, help="default: the recipe's")
    parser.add_argument("--no-symmetry", action="store_true", help="cells as they were decoded")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    generator = load_generator(args.run)
    stage = generator.recipe.diffuser
    args.guidance = args.guidance or [1.0 if stage is None else stage.guidance]
    model = generator.recipe.autoencoder.model
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare_corpus(args.source, folder, FourierBasis(model.bpd, model.truncation), generator.grid, progress=False)
        rows = tried(generator, corpus, args)
    table = pd.DataFrame(rows).groupby(["sampler", "steps", "guidance"], sort=False).mean().drop(columns="seed").round(4)
    print(table.to_string())
    if args.out:
        about = {"run": Path(args.run).name, "data": Path(args.source).name, "drawn": args.n, "seeds": args.seeds,
                 "symmetry": not args.no_symmetry,
                 "machine": f"{platform.machine()}, one thread"}
        about["table"] = json.loads(table.reset_index().to_json(orient="records"))  # what is not measured becomes null
        args.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
