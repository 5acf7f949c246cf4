"""Peak memory of a preparation, for a small and a large corpus: what the whole corpus needs is a few numbers a crystal.

    python benchmarks/preparation_memory.py ../shared/data                        # 10 000 and 120 000 structures
    python benchmarks/preparation_memory.py ../shared/data --duplicates --recover # with everything: much longer

Both are random samples of all Parquet files of the folder, so that cells of every size are in both. Each preparation runs in a
process of its own, whose peak resident memory the system reports (pages of mapped files included).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHILD = "--child"
COLUMNS = ["material_id", "lattice", "atomic_numbers", "frac_coords", "e_above_hull"]


def child(source: str, out: str, limit: int, duplicates: bool, recover: bool) -> None:
    """Prepare, and print the peak in MiB."""
    import torch

    from fourier_workbench.data import prepare_corpus

    torch.set_num_threads(1)
    recovery = "robust" if recover else None
    corpus = prepare_corpus(source, out, limit=limit, deduplicate=duplicates, recovery=recovery, progress=False)
    print(corpus.funnel["in"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 120_000])
    parser.add_argument("--duplicates", action="store_true")
    parser.add_argument("--recover", action="store_true")
    parser.add_argument(CHILD, nargs=2, metavar=("OUT", "LIMIT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.source, args.child[0], int(args.child[1]), args.duplicates, args.recover)
        return
    peaks = []
    everything = pa.concat_tables(pq.read_table(path, columns=COLUMNS) for path in sorted(Path(args.source).glob("*.parquet")))
    order = np.random.default_rng(0).permutation(everything.num_rows)
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = f"{folder}/sample.parquet"
            with pq.ParquetWriter(source, everything.schema) as writer:
                for start in range(0, size, 2048):
                    writer.write_table(everything.take(order[start : min(start + 2048, size)]))
            flags = [name for name, given in (("--duplicates", args.duplicates), ("--recover", args.recover)) if given]
            command = [sys.executable, __file__, source, *flags, CHILD, f"{folder}/corpus", str(size)]
            done = subprocess.run(command, capture_output=True, check=True, text=True)
        entries, peak = done.stdout.split()[-2:]
        peaks.append(float(peak))
        print(f"{entries} structures: {float(peak):.0f} MiB, {float(peak) / peaks[0]:.3f} of the first", flush=True)


if __name__ == "__main__":
    main()
