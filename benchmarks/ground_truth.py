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
from fourier_workbench.evaluation import structure_table
from fourier_workbench.evaluation.checks import package_version
from fourier_workbench.evaluation.metrics import CHECKS, metrics_of
from fourier_workbench.evaluation.structures import count_failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--workers", type=int)
    args = parser.parse_args()
    print(f"smact {package_version('smact')}, pymatgen {package_version('pymatgen')}")
    for source in args.sources:
        crystals = [sample.crystal for sample in islice(load_crystals(source), args.limit)]
        table = structure_table(crystals, measurements=("sizes", "charges"), workers=args.workers)
        print(f"\n{Path(source).name}, {len(crystals)} crystals; failures: {count_failures(table['failure']) or 'none'}")
        for metric in metrics_of("samples"):
            if metric.needs and set(metric.needs) <= set(CHECKS):
                row = metric.rate(table[metric.label])
                span = f"{100 * row['low']:>6.2f} – {100 * row['high']:<6.2f}"
                print(f"  {metric.label:<22}{100 * row['value']:>8.2f} %   {span} {row['count']:>7} of {len(table)}")


if __name__ == "__main__":
    main()
