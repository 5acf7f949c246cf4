"""From a pattern to a crystal: how many held-out crystals are found, by what is given, beside plain prediction from the formula.

    python benchmarks/diffraction.py mp_20.parquet OUT [--model mp20] [-n 500] [--draws 20] [--split test]
                                     [--given reflections powder nocell csp control] [--curves 40] [--noise 0] [--two-theta 5 90]

Crystals are the first n of the split (the rows are in random order). Each is simulated and solved from what is given:

    reflections  formula, cell and |F|² of a single crystal to the same limit, without noise
    powder       formula, cell and powder lines (Cu Kα)
    nocell       formula and powder lines; the cell is indexed
    csp          formula alone, the model's own samples, no pattern: the plain prediction that the others are compared with
    control      formula, cell and powder lines of random intensity: nothing can be right, so "solved" is an error

The formula is the reduced one; the number of formula units is enumerated. A match is StructureMatcher's (ltol 0.3, stol 0.5,
angle 10°). Without `--model` all searches start from random nodes and `csp` is left out: what the search finds without a prior.
`--draws` is the largest number: a solution that leaves no doubt ends a search (`enough` of `solve`). `--curves n` repeats
`powder` on the first n crystals with noise (relative, of each intensity; a tenth of it of the strongest line besides) and with a
shorter range of 2θ. A crystal that cannot be simulated or solved counts as a failure, with its reason. Seconds are CPU seconds of
solving on one thread. Every crystal is a line of OUT/results.jsonl: a killed command goes on where it was. The table, the curves
and the error rates of the limit of R for "solved" are written to OUT/table.json with the numbers of crystals so far.
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

KINDS = ("reflections", "powder", "nocell", "csp", "control")
MATCHER = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
CURVES = [(0.05, 90.0), (0.1, 90.0), (0.2, 90.0), (0.0, 60.0), (0.0, 40.0)]  # noise and largest angle
LIMITS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)  # of the adjusted R


def measured(truth: Crystal, given: str, noise: float, two_theta: tuple[float, float], index: int) -> Pattern:
    """The simulated pattern, with noise if asked."""
    pattern = simulate(truth, two_theta=two_theta, kind="single" if given == "reflections" else "powder")
    rng = np.random.default_rng(index)
    if given == "control":
        return Pattern.from_peaks(pattern.two_theta, rng.exponential(size=len(pattern)), limits=two_theta)
    if not noise:
        return pattern
    noisy = pattern.intensity * rng.normal(1, noise, len(pattern))
    noisy += rng.normal(0, noise / 10, len(pattern)) * pattern.intensity.max()
    if pattern.hkl is not None:
        return Pattern.from_reflections(pattern.hkl, np.maximum(noisy, 0), pattern.lattice)
    return Pattern.from_peaks(pattern.two_theta, noisy, limits=two_theta)


def attempt(truth: Crystal, given: str, model: Generator | None, args: argparse.Namespace, index: int,
            noise: float, two_theta: tuple[float, float]) -> dict[str, Any]:  # fmt: skip
    """One crystal solved from what is given: every draw's R, adjusted R and whether it matches, in the order of the draws."""
    target = truth.to_structure()
    if given == "csp":
        assert model is not None
        began = time.process_time()
        crystals = plain_samples(model, truth, args.draws, args.seed)
        seconds = time.process_time() - began
        return {"seconds": seconds, "match": [c is not None and bool(MATCHER.fit(c.to_structure(), target)) for c in crystals]}
    pattern, cell = measured(truth, given, noise, two_theta, index), None if given == "nocell" else niggli_cell(truth.lattice)
    began = time.process_time()
    found = solve(pattern, truth.reduced_formula, cell=cell, n=args.draws, seed=args.seed, generator=model, sweeps=args.sweeps)
    seconds = time.process_time() - began
    match, seen = [], {}  # draws that ended in the same crystal are compared once
    for crystal, verdict in zip(found.crystals, found.verdicts, strict=True):
        assert crystal is not None
        name = (len(crystal), round(verdict.r_factor, 5), round(crystal.min_distance(), 3))
        if name not in seen:
            seen[name] = given != "control" and bool(MATCHER.fit(crystal.to_structure(), target))
        match.append(seen[name])
    order = np.argsort(found.indices)
    put = lambda values: [values[k] for k in order]  # noqa: E731
    return {"seconds": seconds, "match": put(match), "r": put([round(v.r_factor, 5) for v in found.verdicts]),
            "adjusted": put([round(v.adjusted, 5) for v in found.verdicts]),
            "first": match[0], "solved": found.verdicts[0].solved, "best": found.verdicts[0].adjusted,
            "start": put([start.origin.split(":")[0] for start in found.starts])}  # fmt: skip


def after(row: dict[str, Any], draws: int) -> bool:
    """Whether the best R of the first draws is a match; for plain prediction, whether any of them is."""
    match, r = row.get("match", [])[:draws], row.get("r", [])[:draws]
    return bool(match and (match[int(np.argmin(r))] if r else any(match)))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates of one kind, all crystals counted."""
    n, any_, first = len(rows), [r for r in rows if any(r.get("match", []))], [r for r in rows if r.get("first")]
    called, seconds = [r for r in rows if r.get("solved")], np.array([r["seconds"] for r in rows])
    sizes = {name: [after(r, 20) for r in rows if low <= r["atoms"] <= high] for name, low, high in (
        ("1-4", 1, 4), ("5-8", 5, 8), ("9-12", 9, 12), ("13-20", 13, 20))}
    origins = Counter((start, match) for r in rows if "start" in r for start, match in zip(r["start"], r["match"], strict=True))
    return {
        "crystals": n, "match, any draw": len(any_) / n, "match, best R": len(first) / n,
        "best R is a match, if any is": len(first) / max(1, len(any_)), "called solved": len(called) / n,
        "right when called solved": sum(bool(r["first"]) for r in called) / max(1, len(called)),
        "match after draws": {k: sum(after(r, k) for r in rows) / n for k in (1, 2, 4, 8, 12, 20)},
        "match by atoms": {name: [sum(found), len(found)] for name, found in sizes.items()},
        "draws that match, by start": {start: [origins[start, True], origins[start, True] + origins[start, False]]
                                       for start in ("random", "model")},
        "draws made, mean": float(np.mean([len(r.get("match", [])) for r in rows])),
        "seconds, median": float(np.median(seconds)), "seconds, 95 %": float(np.quantile(seconds, 0.95)),
        "failures": dict(Counter(r["reason"] for r in rows if "reason" in r).most_common(8)),
    }  # fmt: skip


def error_rates(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each limit of the adjusted R: shares of right and wrong candidates, and of those of random lines, that it accepts.

    Every draw is a candidate: wrong ones are the local minima that a limit has to keep out when no draw is right.
    """
    real = [pair for r in rows if r["given"] in ("reflections", "powder", "nocell") and "adjusted" in r
            for pair in zip(r["adjusted"], r["match"], strict=True)]  # fmt: skip
    groups = {"right": [a for a, match in real if match], "wrong": [a for a, match in real if not match],
              "random": [a for r in rows if r["given"] == "control" for a in r.get("adjusted", [])]}  # fmt: skip
    finite = {name: np.array([np.inf if a is None else a for a in values]) for name, values in groups.items()}
    share = lambda values, limit: float(np.mean(values <= limit)) if len(values) else float("nan")  # noqa: E731
    table = {str(limit): {name: share(values, limit) for name, values in finite.items()} for limit in LIMITS}
    return table | {"candidates": {name: len(values) for name, values in groups.items()}}


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
    parser.add_argument("--curves", type=int, default=0, help="crystals of the curves of noise and resolution")
    parser.add_argument("--noise", type=float, default=0.0, help="relative, of each intensity")
    parser.add_argument("--two-theta", type=float, nargs=2, default=(5.0, 90.0))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def plain(content: Any) -> Any:
    """JSON without NaN and infinity."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [plain(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content


def report(args: argparse.Namespace, done: list[dict[str, Any]]) -> dict[str, Any]:
    """The table, the curves and the error rates of the lines so far."""
    main_setting = [args.noise, args.two_theta[1]]
    chosen = [r for r in done if r["index"] < args.n]
    own = [r for r in chosen if r["setting"] == main_setting]
    table = {given: summary([r for r in own if r["given"] == given]) for given in KINDS if any(r["given"] == given for r in own)}
    curves = []
    for noise, high in CURVES:
        rows = [r for r in chosen if r["setting"] == [noise, high] and r["index"] < args.curves]
        if rows and args.curves:
            curves.append({"noise": noise, "two_theta": high} | summary(rows))
    return plain({"table": table, "curves": curves, "limits of solved": error_rates([r for r in chosen if r["given"] != "csp"])})


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model = load_generator(args.model) if args.model else None
    rows = pd.read_parquet(args.data)
    rows = rows[rows["orig_split"] == args.split].head(args.n)
    path = args.out / "results.jsonl"
    done = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    known = {(row["given"], row["index"], *row["setting"]) for row in done}
    low, high = args.two_theta
    command = {key: value for key, value in vars(args).items() if key not in ("data", "out")}
    about = {"data": args.data.name, "command": command, "machine": platform.processor() or platform.machine()}
    for index, row in enumerate(rows.itertuples()):
        jobs = [(given, args.noise, high) for given in args.given if given != "csp" or model is not None]
        jobs += [("powder", *setting) for setting in CURVES if index < args.curves]
        arrays = np.reshape(row.lattice, (3, 3)), row.atomic_numbers, np.reshape(row.frac_coords, (-1, 3))
        truth = Crystal(*arrays).right_handed()
        for given, noise, limit in jobs:
            if (given, index, noise, limit) in known:
                continue
            began = time.process_time()
            try:
                found = attempt(truth, given, model, args, index, noise, (low, limit))
            except WorkbenchError as error:
                found = {"reason": " ".join(str(error).split())[:80], "seconds": time.process_time() - began}
            found |= {"given": given, "index": index, "setting": [noise, limit], "id": row.material_id, "formula": truth.formula,
                      "atoms": len(truth), "group": int(row.spacegroup_number)}  # fmt: skip
            done.append(found)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain(found)) + "\n")
        if index % 10 == 9 or index + 1 == len(rows):
            (args.out / "table.json").write_text(json.dumps(about | report(args, done), indent=1) + "\n", encoding="utf-8")
    for given, facts in report(args, done)["table"].items():
        print(given)
        for key, value in facts.items():
            print(f"  {key:32}{value if isinstance(value, dict) else format(value, '.4g')}")


if __name__ == "__main__":
    main()
