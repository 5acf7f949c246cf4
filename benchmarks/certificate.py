"""Whether the residual of recovery tells good samples from bad ones: rates by fifths of the residual, and what `accept` keeps.

    python benchmarks/certificate.py [RUN] [-n 1000] [--seed 0] [--workers 1] [--out benchmarks/results/certificate.json]

Three sets are sorted by their residual and cut into fifths: n samples (clean, all checks, distances by radii), n held-out
crystals reconstructed without noise, and the same with the decoder's noise (exact: every species and node right). Rejected ones
have no residual, stand last, and count as failures. `accept` then is a limit of the residual: the share of samples it keeps,
and the rates of those kept. RUN is a directory or a shipped model; the data are what it was trained on. Four minutes on one
core of two, most of it for sampling and for charges.
"""

import argparse
import json
import platform
import shlex
import sys
import time
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from cell_follows_atoms import corpus_of

from fourier_workbench.evaluation import structure_table
from fourier_workbench.evaluation.reconstruction import atom_sets
from fourier_workbench.generation import SampleResult, load_generator

ACCEPT = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
VERDICTS = ("clean", "all checks", "distances by radii")


def judged(result: SampleResult, workers: int) -> pd.DataFrame:
    """Residual and verdicts of each sample."""
    checks = structure_table(result.crystals, result.ids, result.reasons, workers=workers)
    found = checks.assign(clean=result.table["clean"].to_numpy())[list(VERDICTS)]
    return with_residual(found, result)


def compared(result: SampleResult, originals: list, grid: int) -> pd.DataFrame:
    """Residual of each reconstruction, and whether it is exact."""
    pairs = zip(atom_sets(result.crystals, grid), atom_sets(originals, grid), strict=True)
    return with_residual(pd.DataFrame({"exact": [a is not None and a == b for a, b in pairs]}), result)


def with_residual(verdicts: pd.DataFrame, result: SampleResult) -> pd.DataFrame:
    """The verdicts, with the residual that `accept` looks at; infinite for what recovery rejected."""
    rejected = np.array([crystal is None for crystal in result.crystals])
    return verdicts.astype(bool).assign(residual=np.where(rejected, np.inf, result.residuals.numpy()))


def fifths(table: pd.DataFrame) -> list[dict[str, float]]:
    """Bounds of the residual, number and counts of each fifth."""
    rows = table.sort_values("residual", kind="stable")
    edges = np.linspace(0, len(rows), 6).astype(int)
    return [counts(rows.iloc[a:b]) for a, b in pairwise(edges)]


def counts(rows: pd.DataFrame) -> dict[str, float]:
    """How many rows there are, in which range of the finite residuals, and how many pass each verdict."""
    finite = rows["residual"][np.isfinite(rows["residual"])]
    bounds = {"low": round(float(finite.min()), 4), "high": round(float(finite.max()), 4)} if len(finite) else {}
    return {**bounds, "n": len(rows), **{name: int(rows[name].sum()) for name in rows.columns.drop("residual")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="laptop")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", default="decorated", help="what the run was trained on")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    generator = load_generator(args.run)
    with TemporaryDirectory() as folder:
        held = [sample.crystal for sample in islice(corpus_of(generator, args.source, folder).split("test"), args.n)]
    held = [crystal.right_handed() for crystal in held]
    sets = {"samples": judged(generator.sample(args.n, args.seed, progress=False), args.workers),
            "reconstructed": compared(generator.reconstruct(held), held, generator.grid),
            "reconstructed with noise": compared(generator.ceiling(held, args.seed), held, generator.grid)}
    about = {"command": shlex.join(["python", "benchmarks/certificate.py", *sys.argv[1:]]), "model": args.run,
             "data": f"{args.source}, crystals held out from training", "n": args.n, "held out": len(held), "seed": args.seed,
             "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
             "seconds": round(time.perf_counter() - start)}
    result = {"about": about, "fifths": {name: fifths(table) for name, table in sets.items()},
              "accept": [{"accept": limit, **{name: counts(table[table["residual"] <= limit]) for name, table in sets.items()}}
                         for limit in ACCEPT]}
    for name, rows in result["fifths"].items():
        print(f"\n{name}, in fifths of the residual\n{pd.DataFrame(rows).to_string(index=False)}")
    kept = [{"accept": row["accept"], **{f"{name}: {key}": value for name in sets for key, value in row[name].items()
                                         if key not in ("low", "high")}} for row in result["accept"]]
    print(f"\n{pd.DataFrame(kept).to_string(index=False)}\n\n{about['seconds']} s")
    if args.out:
        args.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
