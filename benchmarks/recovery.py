"""How many crystals are not recovered from their own coefficients, by size: the paper's method beside ours, in one run.

    python benchmarks/recovery.py                                  # the embedded prototypes
    python benchmarks/recovery.py FILE.parquet --limit 1000        # any source that `fwb prepare` takes
    python benchmarks/recovery.py FILE.parquet --modes 7 --grid 24

One core. Prints the share lost in each size bin with the ids of what `robust` loses, and structures a second as a ratio. What
cannot be encoded at all (collisions on the grid, more than six species, elements beyond 83) is counted beside it.
"""

import argparse
import platform
import time
from collections import Counter

import torch

from fourier_workbench.data import load_crystals
from fourier_workbench.representation import FourierBasis, encode, recover, snap

BINS = (16, 32, 48, 64, 10**6)


def size_bin(n: int) -> str:
    """Name of the bin of a cell of n atoms."""
    names = ("<=16", "17-32", "33-48", "49-64", ">64")
    return next(name for name, top in zip(names, BINS, strict=True) if n <= top)


def nodes(crystal, grid: int) -> list[list[int]]:
    """Atoms as sorted rows of atomic number and node."""
    return sorted([int(z), *node] for z, node in zip(crystal.numbers, snap(crystal.frac_coords, grid).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="embedded")
    parser.add_argument("--limit", type=int, default=None, help="only the first crystals")
    parser.add_argument("--modes", type=int, default=9)
    parser.add_argument("--grid", type=int, default=48)
    args = parser.parse_args()
    torch.set_num_threads(1)
    basis, samples = FourierBasis(args.modes), []
    for sample in load_crystals(args.source):
        samples.append(sample)
        if args.limit and len(samples) == args.limit:
            break
    print(f"{args.source}, {len(samples)} crystals, {args.modes}³ modes on 1/{args.grid}, one core of {platform.machine()}")
    lost = {method: Counter() for method in ("paper", "robust")}
    wrong, refused, total, seconds, failures = Counter(), Counter(), Counter(), Counter(), []
    for start in range(0, len(samples), 64):
        part = samples[start : start + 64]
        fc = encode([s.crystal for s in part], basis, args.grid)
        usable = [i for i, reason in enumerate(fc.reasons) if reason is None]
        refused.update(reason for reason in fc.reasons if reason is not None)
        part, fc = [part[i] for i in usable], fc[torch.tensor(usable, dtype=torch.int64)]
        total.update(size_bin(len(s.crystal)) for s in part)
        for method, counter in lost.items():
            began = time.process_time()
            found = recover(fc, basis, args.grid, method=method)
            seconds[method] += time.process_time() - began
            for sample, crystal, residual in zip(part, found.crystals, found.residuals.tolist(), strict=True):
                bin_ = size_bin(len(sample.crystal))
                counter[bin_] += crystal is None
                if method == "paper":
                    continue
                if crystal is None:
                    failures.append(f"{sample.id} ({len(sample.crystal)} atoms, residual {residual:.2f})")
                elif nodes(crystal, args.grid) != nodes(sample.crystal.right_handed(), args.grid):
                    wrong[bin_] += 1  # a perfect residual at other nodes: atoms that slide
    print(f"\n{'atoms':>8} {'crystals':>9} {'paper lost':>12} {'robust lost':>12} {'not unique':>11}")
    for bin_ in ("<=16", "17-32", "33-48", "49-64", ">64", "all"):
        counters = (total, lost["paper"], lost["robust"], wrong)
        n, paper, robust, slid = (sum(c.values()) if bin_ == "all" else c[bin_] for c in counters)
        if n:
            print(f"{bin_:>8} {n:>9} {paper / n:>11.2%} {robust / n:>12.2%} {slid / n:>11.2%}")
    print(f"\nnot encoded: {dict(refused) or 'none'}")
    print(f"crystals a second, robust over paper: {seconds['paper'] / max(seconds['robust'], 1e-9):.2f}")
    print("lost by robust: " + (", ".join(failures) or "none"))


if __name__ == "__main__":
    main()
