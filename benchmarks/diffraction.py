"""From a pattern to a crystal: how many held-out crystals are found, by what is given, beside plain prediction from the formula.

    python benchmarks/diffraction.py mp_20.parquet OUT [--model mp20] [-n 500] [--draws 20] [--split test]
                                     [--given reflections powder nocell csp] [--noise 0] [--two-theta 5 90]

Crystals are the first n of the split (the rows are in random order). Each is simulated and solved from what is given:

    reflections  formula, cell and |F|² of a single crystal to the same limit, without noise
    powder       formula, cell and powder lines (Cu Kα)
    nocell       formula and powder lines; the cell is indexed
    csp          formula alone, the model's own samples, no pattern: the plain prediction that the others are compared with

The formula is the reduced one; the number of formula units is enumerated. A match is StructureMatcher's (ltol 0.3, stol 0.5,
angle 10°). Without `--model` searches start from random nodes and `csp` is left out: what the search finds without a prior.
A crystal that cannot be simulated or solved counts as a failure, with its reason. Seconds are of this process on one thread.
Every crystal is a line of OUT/results.jsonl: a killed command goes on where it was. The table is written to OUT/table.json.
"""

import argparse
import json
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core.structure_matcher import StructureMatcher

from fourier_workbench.crystal import Crystal
from fourier_workbench.diffraction import Pattern, simulate, solve
from fourier_workbench.diffraction.cells import niggli_cell
from fourier_workbench.diffraction.starts import plain_samples
from fourier_workbench.errors import WorkbenchError
from fourier_workbench.generation import Generator, load_generator

KINDS = ("reflections", "powder", "nocell", "csp")
MATCHER = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)


def measured(truth: Crystal, given: str, args: argparse.Namespace, index: int) -> Pattern:
    """The simulated pattern, with noise if asked."""
    pattern = simulate(truth, two_theta=tuple(args.two_theta), kind="single" if given == "reflections" else "powder")
    if not args.noise:
        return pattern
    rng = np.random.default_rng(index)
    noisy = pattern.intensity * rng.normal(1, args.noise, len(pattern))
    noisy += rng.normal(0, args.noise / 10, len(pattern)) * pattern.intensity.max()
    if pattern.hkl is not None:
        return Pattern.from_reflections(pattern.hkl, np.maximum(noisy, 0), pattern.lattice)
    return Pattern.from_peaks(pattern.two_theta, noisy, limits=tuple(args.two_theta))


def attempt(truth: Crystal, given: str, model: Generator | None, args: argparse.Namespace, index: int) -> dict[str, Any]:
    """One crystal solved from what is given: ranks of the matches, the best R, whether it was called solved."""
    if given == "csp":
        assert model is not None
        crystals: list[Crystal | None] = plain_samples(model, truth, args.draws, args.seed)
        facts: dict[str, Any] = {}
    else:
        pattern = measured(truth, given, args, index)
        cell = None if given == "nocell" else niggli_cell(truth.lattice)
        found = solve(pattern, truth.reduced_formula, cell=cell, n=args.draws, seed=args.seed, generator=model,
                      sweeps=args.sweeps)
        crystals = list(found.crystals)
        origins = Counter(start.origin.split(":")[0] for start in found.starts)
        facts = {"r": found.verdicts[0].r_factor, "solved": found.verdicts[0].solved, "starts": dict(origins),
                 "modelbest": found.starts[0].origin == "model"}  # fmt: skip
    target = truth.to_structure()
    ranks = [k for k, each in enumerate(crystals) if each is not None and MATCHER.fit(each.to_structure(), target)]
    return {"matches": len(ranks), "first": bool(ranks and ranks[0] == 0)} | facts


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates of one kind, all crystals counted."""
    n, any_, first = len(rows), [r for r in rows if r.get("matches")], [r for r in rows if r.get("first")]
    called = [r for r in rows if r.get("solved")]
    seconds = np.array([r["seconds"] for r in rows])
    return {
        "crystals": n, "match, any draw": len(any_) / n, "match, best R": len(first) / n,
        "best R is a match, if any is": len(first) / max(1, len(any_)), "called solved": len(called) / n,
        "right when called solved": sum(bool(r["first"]) for r in called) / max(1, len(called)),
        "seconds, median": float(np.median(seconds)), "seconds, 95 %": float(np.quantile(seconds, 0.95)),
        "failures": dict(Counter(r["reason"] for r in rows if "reason" in r).most_common(8)),
    }  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="Parquet file of crystals")
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--model", help="run, folder of weights or shipped name; default: random starts")
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--sweeps", type=int, default=15)
    parser.add_argument("--split", default="test")
    parser.add_argument("--given", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--noise", type=float, default=0.0, help="relative, of each intensity")
    parser.add_argument("--two-theta", type=float, nargs=2, default=(5.0, 90.0))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model = load_generator(args.model) if args.model else None
    rows = pd.read_parquet(args.data)
    rows = rows[rows["orig_split"] == args.split].head(args.n)
    path = args.out / "results.jsonl"
    done = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    known = {(row["given"], row["index"]) for row in done}
    for index, row in enumerate(rows.itertuples()):
        for given in args.given:
            if (given, index) in known or (given == "csp" and model is None):
                continue
            arrays = np.reshape(row.lattice, (3, 3)), row.atomic_numbers, np.reshape(row.frac_coords, (-1, 3))
            truth = Crystal(*arrays).right_handed()
            began, found = time.process_time(), {}
            try:
                found = attempt(truth, given, model, args, index)
            except WorkbenchError as error:
                found = {"reason": " ".join(str(error).split())[:80]}
            found |= {"given": given, "index": index, "id": row.material_id, "formula": truth.formula, "atoms": len(truth),
                      "group": int(row.spacegroup_number), "seconds": time.process_time() - began}  # fmt: skip
            done.append(found)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
    kinds = [given for given in KINDS if any(r["given"] == given for r in done)]
    table = {given: summary([r for r in done if r["given"] == given and r["index"] < args.n]) for given in kinds}
    for given, facts in table.items():
        print(given)
        for key, value in facts.items():
            print(f"  {key:32}{value if isinstance(value, dict) else format(value, '.4g')}")
    command = {key: value for key, value in vars(args).items() if key not in ("data", "out")}
    content = {"data": args.data.name, "command": command, "machine": platform.processor() or platform.machine(), "table": table}
    (args.out / "table.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
