"""How fast a corpus is prepared, per core, beside pymatgen's CIF parser on the same structures, in one run.

    python benchmarks/preparation.py                               # the decorated prototypes
    python benchmarks/preparation.py FILE.parquet --limit 4000     # any source that `fwb prepare` takes

Prints the ratio without duplicate removal (one core, recoverability on), bytes a structure on disk, and hours and core-hours
for the 5 005 017 structures of LeMat-Bulk estimated from the rates of this run. The search for duplicates costs more the more
structures share a formula, which a small sample understates: its estimate is a lower bound, and the one without duplicate
removal is what scales linearly.
"""

import argparse
import itertools
import platform
import tempfile
import time
import warnings
from pathlib import Path

import torch
from pymatgen.io.cif import CifParser

from fourier_workbench.data import load_crystals, prepare_corpus

ENTRIES = 5_005_017
CORES = (2, 64, 1024)


def parser_rate(source: str, limit: int) -> float:
    """Structures a second of CPU that pymatgen's parser reads from CIF text in P1."""
    texts = [sample.crystal.to_cif() for sample in itertools.islice(load_crystals(source), limit)]
    began = time.process_time()
    for text in texts:
        CifParser.from_str(text).parse_structures(primitive=False)
    return len(texts) / (time.process_time() - began)


def preparation_rate(source: str, out: Path, limit: int, deduplicate: bool) -> tuple[float, dict]:
    """Entries a second of CPU through the whole preparation, and its funnel."""
    began = time.process_time()
    corpus = prepare_corpus(source, out, limit=limit, deduplicate=deduplicate, progress=False)
    return corpus.funnel["in"] / (time.process_time() - began), corpus.funnel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="decorated")
    parser.add_argument("--limit", type=int, default=2000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        print(f"{args.source}, at most {args.limit} structures, one core of {platform.machine()}")
        cif = parser_rate(args.source, min(args.limit, 200))
        rate, funnel = preparation_rate(args.source, Path(folder) / "all", args.limit, False)
        full, _ = preparation_rate(args.source, Path(folder) / "unique", args.limit, True)
        size = sum(path.stat().st_size for path in (Path(folder) / "all" / "shards").iterdir())
        atoms = sum(len(sample.crystal) for sample in load_crystals(str(Path(folder) / "all")))
    print(f"without duplicate removal, over pymatgen's CIF parser: {rate / cif:.2f}")
    print(f"with duplicate removal,    over pymatgen's CIF parser: {full / cif:.2f}")
    kept = funnel["kept"]
    print(f"bytes a structure: {size / kept:.0f} at {atoms / kept:.1f} atoms on average; rejected: {funnel['rejected']}")
    for name, per_second in (("without duplicate removal", rate), ("with it, at least", full)):
        hours = ENTRIES / per_second / 3600
        spread = ", ".join(f"{hours / cores:.3g} h on {cores} cores" for cores in CORES)
        print(f"{ENTRIES} structures like these, {name}: {hours:.1f} core-hours; {spread}")


if __name__ == "__main__":
    main()
