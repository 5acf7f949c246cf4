"""Cubic, spherical and hybrid truncation (paper B.2): what recovery loses for how many modes.

    python benchmarks/truncation.py                           # the embedded prototypes
    python benchmarks/truncation.py A.parquet B.parquet --limit 200

The three shapes hold different numbers of modes at the same bpd, so each is tried at several, and the table is ordered by
the number of modes: compare neighbours. Crystals are lost as in `benchmarks/recovery.py` (none comes back, or atoms stand on
other nodes),
by `robust` and, on the first `--paper` of each source, by the paper's method. The last column is the process time of `robust`.
"""

import argparse
import platform
import time
from itertools import islice

import torch
from recovery import came_back

from fourier_workbench.data import load_crystals
from fourier_workbench.representation import FourierBasis, encode, recover

BASES = [("cubic", 5), ("cubic", 7), ("cubic", 9), ("spherical", 7), ("spherical", 9), ("spherical", 11), ("spherical", 13),
         ("hybrid", 7), ("hybrid", 9), ("hybrid", 11)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--limit", type=int, default=None, help="only the first crystals of each source")
    parser.add_argument("--paper", type=int, default=50, help="crystals of each source that the paper's method is tried on")
    parser.add_argument("--grid", type=int, default=48)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{', '.join(args.sources)}; grid 1/{args.grid}; one core of {platform.machine()}")
    print(f"{'modes':>6} {'truncation':>11} {'bpd':>4} {'crystals':>9} {'robust':>15} {'paper':>18} {'ms a crystal':>13}")
    batches = []
    for source in args.sources:
        samples = list(islice(load_crystals(source), args.limit))
        batches += [(samples[k : k + 128], max(0, args.paper - k)) for k in range(0, len(samples), 128)]
    for basis in sorted((FourierBasis(bpd, shape) for shape, bpd in BASES), key=len):
        total = lost = tried = by_paper = 0
        spent = 0.0
        for part, few in batches:
            fc = encode([s.crystal for s in part], basis, args.grid)
            good = [i for i, reason in enumerate(fc.reasons) if reason is None]
            part, fc = [part[i] for i in good], fc[torch.tensor(good, dtype=torch.int64)]
            began = time.process_time()
            found = recover(fc, basis, args.grid)
            spent += time.process_time() - began
            total, lost = total + len(part), lost + came_back(part, found, args.grid).count(False)
            if few:
                paper = recover(fc[:few], basis, args.grid, "paper")
                tried += len(paper)
                by_paper += came_back(part[:few], paper, args.grid).count(False)
        ours = f"{lost:>6} {lost / max(total, 1):>8.2%}"
        theirs = f"{by_paper:>5} of {tried:>4} {by_paper / max(tried, 1):>5.1%}"
        shape = f"{len(basis):>6} {basis.truncation:>11} {basis.bpd:>4}"
        print(f"{shape} {total:>9} {ours} {theirs:>18} {1e3 * spent / max(total, 1):>13.1f}", flush=True)


if __name__ == "__main__":
    main()
