"""How quality rises with compute: a recipe trained for a share of its steps, and judged on held-out crystals.

    python benchmarks/compute_curve.py CORPUS OUT [--recipe mp20] [--shares 0.125 0.33] [--run RUN] [--split val] [-n 500]

CORPUS is a prepared corpus. Each share trains in OUT/share-… with all schedules shortened in proportion; a finished run of the
whole recipe is added with `--run`. The same command goes on where it was stopped. A row gives the hours of each stage (from its
steps and their logged rate, so pauses do not count), reconstruction of held-out crystals, the bits of the ladder, the score of a
perfect diffuser (`ceiling`), and samples, all of them counted. The table is written to OUT/compute_curve.json.
"""

import argparse
import json
import platform
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fourier_workbench.config.recipes import get_recipe
from fourier_workbench.config.schema import Recipe
from fourier_workbench.data import Corpus
from fourier_workbench.demo import training_seconds
from fourier_workbench.evaluation.inputs import by_formula
from fourier_workbench.generation import EvaluationReport, evaluate, evaluate_reconstruction, load_generator
from fourier_workbench.runs.run import Run
from fourier_workbench.training.fitting import fit

RECONSTRUCTED = ("exact", "match", "lattice RMSE", "L_four RMS")
DRAWN = ("clean", "CDVAE valid", "all checks, unique, novel")


def shortened(recipe: Recipe, share: float) -> Recipe:
    """The recipe with a share of the steps of every stage."""
    stages = {name: getattr(recipe, name) for name in ("autoencoder", "diffuser", "composition")}
    return replace(recipe, **{name: replace(stage, steps=max(20, round(share * stage.steps)))
                              for name, stage in stages.items() if stage is not None})


def ladder_bits(folder: Path) -> float:
    """Information that the kept channels carry, Σ log₂(1 + R) with R the ratio of signal to noise."""
    generator = load_generator(folder)
    assert generator.schedule is not None, "a run with a diffuser has its schedule"
    return float(torch.log2(1 + generator.schedule.ratio[generator.autoencoder.selector]).sum())


def judged(folder: Path, corpus: Corpus, args: argparse.Namespace) -> dict[str, Any]:
    """One row: what a finished run took and reaches."""
    generator = load_generator(folder)
    hours = {f"{stage}, h": round(seconds / 3600, 3) for stage, seconds in training_seconds(Run(folder).metrics()).items()}
    held = [sample.crystal for sample in islice(corpus.split(args.split), 2 * args.n)]
    first, rest = held[: args.n], held[args.n :]
    options: dict[str, Any] = {"workers": 1, "progress": False}
    back = evaluate_reconstruction(generator, first, **options)
    known = by_formula(corpus)

    def score(drawn: Any) -> EvaluationReport:
        return evaluate(drawn, known, target=rest, compare=len(rest), **options)

    samples, ceiling = score(generator.sample(args.n, 0, progress=False)), score(generator.ceiling(first))
    apart = samples.distances.set_index("metric")["value"]
    return {"share": args.share, **hours, **{name: back[name] for name in RECONSTRUCTED}, "bits": ladder_bits(folder),
            "ceiling clean": ceiling["clean"], **{f"samples {name}": samples[name] for name in DRAWN},
            "samples JS space groups": float(apart["Jensen–Shannon, space groups"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", default="mp20")
    parser.add_argument("--shares", nargs="*", type=float, default=[0.125, 0.33])
    parser.add_argument("--run", type=Path, help="a finished run of the whole recipe")
    parser.add_argument("--split", default="val")
    parser.add_argument("-n", type=int, default=500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    corpus, recipe = Corpus(args.corpus), get_recipe(args.recipe)
    runs = {share: args.out / f"share-{share:g}" for share in args.shares} | ({1.0: args.run} if args.run else {})
    path = args.out / "compute_curve.json"
    rows = {row["share"]: row for row in json.loads(path.read_text())["rows"]} if path.is_file() else {}
    for share, folder in runs.items():
        if share in rows:
            continue
        if share != 1.0 and not fit(shortened(recipe, share), corpus, folder):
            raise SystemExit(f"stopped in {folder}; the same command goes on")
        args.share = share
        rows[share] = judged(folder, corpus, args)
        about = {"recipe": recipe.name, "split": args.split, "crystals": args.n, "machine": f"{platform.machine()}, one thread",
                 "rows": [rows[share] for share in sorted(rows)]}
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(pd.DataFrame([rows[share] for share in sorted(rows)]).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
