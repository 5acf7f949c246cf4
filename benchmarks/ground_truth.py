"""CDVAE's validity on the data it was measured on: structure 100 %, composition about 98 to 99 % on Perov-5.

    python benchmarks/ground_truth.py perov_5.parquet carbon_24.parquet
    python benchmarks/ground_truth.py perov_5.parquet --limit 2000 --workers 1

A check that says no to real crystals is either strict or wrong. The table shows each check on each set, of all crystals in it,
with its 95 % bootstrap interval, what failed, and the version of smact that judged charges; Carbon-24 has one element only.
"""

import argparse
from itertools import islice
from pathlib import Path

from fourier_workbench.data import load_crystals
from fourier_workbench.generation.checks import CHECKS, package_version
from fourier_workbench.generation.statistics import rate_interval
from fourier_workbench.generation.structures import reasons_of, structure_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--workers", type=int)
    args = parser.parse_args()
    print(f"smact {package_version('smact')}, pymatgen {package_version('pymatgen')}")
    for source in args.sources:
        crystals = [sample.crystal for sample in islice(load_crystals(source), args.limit)]
        table = structure_table(crystals, questions=("sizes", "charges"), workers=args.workers)
        print(f"\n{Path(source).name}, {len(crystals)} crystals; failures: {reasons_of(table['failure']) or 'none'}")
        for check in CHECKS:
            count = int(table[check].sum())
            low, high = rate_interval(count, len(table))
            span = f"{100 * low:>6.2f} – {100 * high:<6.2f}"
            print(f"  {check:<22}{100 * count / len(table):>8.2f} %   {span} {count:>7} of {len(table)}")


if __name__ == "__main__":
    main()
