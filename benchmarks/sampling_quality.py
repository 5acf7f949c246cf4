"""Quality against steps: what each sampler draws at each number of noise levels, beside real crystals.

    python benchmarks/sampling_quality.py [RUN] [--source decorated] [--split test] [-n 500] [--samplers ancestral churn:0.5]
                                          [--steps 12 25 50 100] [--guidance 1 2] [--guides early own] [--seeds 1]
                                          [--compositions first open] [--workers 1] [--out FILE] [--no-symmetry]

Draws from a trained run (default: the checkpoint that comes with the package), and compares with the corpus it was trained on
(`--source`, a directory of a prepared one included): rates of all drawn, failures included, and how far the distributions are
from those of held-out crystals. What is chosen is chosen on `--split val`. A sampler that seeks modes is clean and far away;
that is why the distances are there. `held-out` are held-out crystals against others of them: what a distance of nought looks
like at this number, and `ceiling` are crystals of the same split through the decoder with its noise. `churn:0.5` redraws half
of the noise at each level. The guide is the early checkpoint, or the diffuser's own estimate where it is told nothing (`own`).
Seconds are of the process on one thread, sampling with recovery. With `--out` the table is written as JSON.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
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
from fourier_workbench.generation import (
    EvaluationReport,
    Generator,
    RecoveryOptions,
    SampleResult,
    evaluate,
    load_generator,
)
from fourier_workbench.representation import FourierBasis

RATES = {
    "clean": "clean", "valid": "valid", "CDVAE valid": "cdvae_valid", "all checks": "all checks", "unique": "unique",
    "novel": "novel", "all checks, unique, novel": "all_unique_novel",
}
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


def asked_of(drawn: SampleResult) -> dict[str, float]:
    """How many samples have the composition that was asked for, and how many the decoder gave it by itself."""
    table = drawn.table
    if "met" not in table:
        return {}
    return {name: float((table[name] == True).sum()) / len(table) for name in ("met", "decoded_as_asked")}  # noqa: E712 - None


def named(name: str) -> None:
    """Make `churn:0.1` a sampler."""
    kind, _, fresh = name.partition(":")
    if fresh and kind == "churn":
        SAMPLERS[name] = partial(churn, fresh=float(fresh))


def tried(generator: Generator, corpus: Corpus, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a sampler, number of steps, guide, weight, way to draw compositions, and seed."""
    known, options = by_formula(corpus), {"workers": args.workers, "progress": False, "compare": 1000}
    crystals = [sample.crystal for sample in islice(corpus.split(args.split), 2 * args.n)]
    half = len(crystals) // 2
    settings = {"steps": 0, "guide": "", "guidance": 1.0, "compositions": "", "seed": 0, "seconds": 0.0}
    controls = {"held-out": crystals[:half], "ceiling": generator.ceiling(crystals[:half])}
    rows = [{"sampler": name, **settings, **row_of(evaluate(drawn, known, target=crystals[half:], **options))}
            for name, drawn in controls.items()]
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.3f"), flush=True)
    how = RecoveryOptions(symmetry=not args.no_symmetry, packing=not args.no_packing)
    for seed, name, steps, guide, weight, compositions in product(
            range(args.seeds), args.samplers, args.steps, args.guides, args.guidance, args.compositions):
        named(name)
        guide = "own" if generator.guide is None else guide  # a conditioned diffuser without a checkpoint of its youth
        led = replace(generator, guide=generator.diffuser) if guide == "own" else generator
        start = time.process_time()
        drawn = led.sample(args.n, seed, steps, name, guidance=weight, recovery=how, compositions=compositions, progress=False)
        took = round(time.process_time() - start, 1)
        report = evaluate(drawn, known, target=crystals[half:], **options)
        about = {"sampler": name, "steps": steps, "guide": guide, "guidance": weight, "compositions": compositions, "seed": seed,
                 "seconds": took}
        rows.append(about | row_of(report) | asked_of(drawn))
        print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 3, float_format="%.3f"), flush=True)
    return rows


@contextmanager
def prepared(source: str, generator: Generator) -> Iterator[Corpus]:
    """A directory of a prepared corpus, or a source prepared for the generator's basis and grid."""
    model = generator.recipe.autoencoder.model
    if Path(source, "manifest.json").is_file():
        yield Corpus(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield prepare_corpus(source, folder, FourierBasis(model.bpd, model.truncation), generator.grid, progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", default="laptop")
    parser.add_argument("--source", default="decorated", help="what the run was trained on: a source, or a prepared corpus")
    parser.add_argument("--split", default="test", help="of the corpus: val to choose, test to report")
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--samplers", nargs="+", default=["ancestral", "churn:0.1", "churn:0.3", "ddim", "multistep", "renoise"])
    parser.add_argument("--steps", nargs="+", type=int, default=[12, 25, 50, 100])
    parser.add_argument("--guidance", nargs="+", type=float, help="default: the recipe's")
    parser.add_argument("--guides", nargs="+", default=["early"], choices=["early", "own"])
    parser.add_argument("--compositions", nargs="+", default=["first"], choices=["first", "open"])
    parser.add_argument("--no-symmetry", action="store_true", help="cells as they were decoded")
    parser.add_argument("--no-packing", action="store_true", help="samples without packing (the ceiling keeps it)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    generator = load_generator(args.run)
    stage = generator.recipe.diffuser
    args.guidance = args.guidance or [1.0 if stage is None else stage.guidance]
    with prepared(args.source, generator) as corpus:
        rows = tried(generator, corpus, args)
    what = ["sampler", "steps", "guide", "guidance", "compositions"]
    table = pd.DataFrame(rows).groupby(what, sort=False).mean().drop(columns="seed").round(4)
    print(table.to_string())
    if args.out:
        about = {"run": Path(args.run).name, "data": Path(args.source).name, "split": args.split,
                 "drawn": args.n, "seeds": args.seeds,
                 "symmetry": not args.no_symmetry, "packing": not args.no_packing,
                 "machine": f"{platform.machine()}, one thread"}
        about["table"] = json.loads(table.reset_index().to_json(orient="records"))  # what is not measured becomes null
        args.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
