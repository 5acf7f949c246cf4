"""The share of crystals whose space group survives the grid: the paper's rounding (A.2) beside the snap that keeps the group.

    python benchmarks/symmetry.py                             # the embedded prototypes
    python benchmarks/symmetry.py A.parquet B.parquet --limit 100

For each tolerance of spglib the group of the crystal as given is compared with that of the snapped crystal at the same tolerance.
Crystals of P1 survive anything and are counted apart, as are those in which spglib finds no group. Displacements are those of the
atom that moves most, mean and maximum over the crystals. Those the snap does not keep are named.
"""

import argparse
import platform
import time
from itertools import islice

import numpy as np

from fourier_workbench import Crystal
from fourier_workbench.data import load_crystals
from fourier_workbench.errors import RepresentationError
from fourier_workbench.representation import snap, snap_symmetric, symmetry_operations


def number(crystal: Crystal, symprec: float) -> int:
    """Number of the space group, 0 where spglib finds none."""
    try:
        return symmetry_operations(crystal, symprec).number
    except RepresentationError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--limit", type=int, default=None, help="only the first crystals of each source")
    parser.add_argument("--grids", type=int, nargs="+", default=[48, 24])
    parser.add_argument("--symprec", type=float, nargs="+", default=[0.1, 0.01, 0.001])
    args = parser.parse_args()
    samples = [s for source in args.sources for s in islice(load_crystals(source), args.limit)]
    print(f"{', '.join(args.sources)}; one core of {platform.machine()}")
    print(f"{'grid':>5} {'symprec':>8} {'crystals':>9} {'P1':>5} {'rounded':>16} {'kept':>16} "
          f"{'displacement of the farthest atom, Å':>40} {'ms each':>8}")
    for grid in args.grids:
        for symprec in args.symprec:
            rounded = kept = total = trivial = none = 0
            moved: dict[str, list[float]] = {"rounded": [], "kept": []}
            lost, spent = [], 0.0
            for sample in samples:
                crystal = sample.crystal
                group = number(crystal, symprec)
                if group <= 1:
                    trivial, none = trivial + (group == 1), none + (group == 0)
                    continue
                nodes = snap(crystal.frac_coords, grid)
                apart = nodes / grid - crystal.frac_coords
                moved["rounded"].append(float(np.linalg.norm((apart - np.rint(apart)) @ crystal.lattice, axis=1).max()))
                rounded += number(Crystal(crystal.lattice, crystal.numbers, nodes / grid), symprec) == group
                began = time.process_time()
                result = snap_symmetric(crystal, grid, symprec)
                spent += time.process_time() - began
                moved["kept"].append(float(result.displacements.max()))
                total, kept = total + 1, kept + (result.number_after == group)
                if result.number_after != group:
                    lost.append(f"{sample.id} ({group} → {result.number_after})")
            far = ", ".join(f"{name} {np.mean(d):.3f} (max {np.max(d):.2f})" for name, d in moved.items() if d)
            shares = " ".join(f"{n:>7} {n / max(total, 1):>8.1%}" for n in (rounded, kept))
            each = 1e3 * spent / max(total, 1)
            print(f"{grid:>5} {symprec:>8} {total:>9} {trivial:>5} {shares} {far:>40} {each:>8.1f}")
            print(f"      no group found in {none}; not kept: {', '.join(lost) or 'none'}", flush=True)


if __name__ == "__main__":
    main()
