"""How fast a corpus is prepared, per core, beside pymatgen's CIF parser on the same structures, in one run.

    python benchmarks/preparation.py                                  # the decorated prototypes
    python benchmarks/preparation.py FILE.parquet --limit 4000        # any source that `fwb prepare` takes
    python benchmarks/preparation.py FILE.parquet --limit 4000 --dask # and two Dask workers beside one
    python benchmarks/preparation.py FILE.parquet --restarts          # what recovery's restarts would find

The parser reads every fifth structure before the preparation and again after it, and its two times are averaged, so that a
busy machine slows both. Printed are the ratio without duplicate removal (one core, recoverability on), bytes a structure on disk,
and hours and core-hours for the 5 005 017 structures of LeMat-Bulk estimated from the rates of this run. The search for
duplicates costs more the more structures share a formula, which a small sample understates: its estimate is a lower bound, and
the one without duplicate removal is what scales linearly.
"""

import argparse
import itertools
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from pymatgen.io.cif import CifParser

from fourier_workbench import Crystal
from fourier_workbench.data import Sample, load_crystals, prepare_corpus
from fourier_workbench.data.packed import pack
from fourier_workbench.data.preparation.filters import first_reason, paper_filters, recoverability
from fourier_workbench.representation import FourierBasis, encode, recover, snap

ENTRIES = 5_005_017
CORES = (2, 64, 1024)


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    began = time.process_time()
    work()
    return time.process_time() - began


def parse(texts: list[str]) -> None:
    """Read CIF texts with pymatgen."""
    for text in texts:
        CifParser.from_str(text).parse_structures(primitive=False)


def rates(samples: list[Sample], source: str, folder: Path) -> dict[str, float]:
    """Seconds of CPU a structure: parser, preparation from the source's own files without and with duplicate removal."""
    prepare_corpus(samples[:50], folder / "warm", progress=False)  # imports, tables
    texts = [sample.crystal.to_cif() for sample in samples[::5]]
    parse(texts[:5])
    options = {"limit": len(samples), "progress": False}
    before = cpu(lambda: parse(texts))
    plain = cpu(lambda: prepare_corpus(source, folder / "plain", deduplicate=False, **options))
    after = cpu(lambda: parse(texts))
    unique = cpu(lambda: prepare_corpus(source, folder / "unique", **options))
    return {"parser": (before + after) / 2 / len(texts), "plain": plain / len(samples), "unique": unique / len(samples)}


def on_dask(source: str, folder: Path, limit: int) -> dict[int, float]:
    """Seconds of the clock with one and two Dask workers of one thread, started and warmed up beforehand."""
    from distributed import Client, LocalCluster

    seconds = {}
    for n in (1, 2):
        with LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            prepare_corpus(source, folder / f"warm{n}", scheduler=client, limit=64 * n, progress=False)
            began = time.perf_counter()
            prepare_corpus(source, folder / f"dask{n}", scheduler=client, limit=limit, progress=False)
            seconds[n] = time.perf_counter() - began
    return seconds


def restarts(samples: list[Sample]) -> None:
    """How many of the crystals that preparation calls unrecoverable recovery would find with its restarts, and the cost."""
    basis, grid, filters = FourierBasis(9), 48, paper_filters()
    crystals = [sample.crystal.right_handed() for sample in samples if not first_reason(sample.crystal, filters)]
    began = time.process_time()
    reasons = recoverability(pack(crystals), basis, grid)
    first = time.process_time() - began
    lost = [crystal for crystal, reason in zip(crystals, reasons, strict=True) if reason == "unrecoverable"]
    began = time.process_time()
    found = recover(encode(lost, basis, grid), basis, grid).crystals if lost else []
    exact = sum(c is not None and atoms_on_nodes(c, grid) == atoms_on_nodes(crystal, grid)
                for c, crystal in zip(found, lost, strict=True))
    print(f"recovery without restarts: {len(crystals)} crystals, {len(lost)} not recovered, {first:.1f} s; "
          f"with restarts, of those {exact} more, {time.process_time() - began:.1f} s")


def atoms_on_nodes(crystal: Crystal, grid: int) -> list[tuple[int, ...]]:
    """Species and node of every atom, sorted."""
    nodes = snap(crystal.frac_coords, grid).tolist()
    return sorted((int(z), *node) for z, node in zip(crystal.numbers, nodes, strict=True))


def estimate(name: str, seconds: float) -> None:
    """Hours and core-hours for LeMat-Bulk."""
    hours = ENTRIES * seconds / 3600
    spread = ", ".join(f"{hours / cores:.3g} h on {cores} cores" for cores in CORES)
    print(f"{ENTRIES} structures like these, {name}: {hours:.1f} core-hours; {spread}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="decorated")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--dask", action="store_true", help="also two Dask workers beside one")
    parser.add_argument("--restarts", action="store_true", help="only count what restarts of recovery would add")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    samples = list(itertools.islice(load_crystals(args.source), args.limit))
    print(f"{args.source}, {len(samples)} structures, one core of {platform.machine()}")
    if args.restarts:
        restarts(samples)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = rates(samples, args.source, folder)
        funnel = prepare_corpus(args.source, folder / "plain", limit=len(samples), deduplicate=False, progress=False).funnel
        size = sum(path.stat().st_size for path in (folder / "plain" / "shards").iterdir())
        atoms = sum(len(sample.crystal) for sample in load_crystals(str(folder / "plain")))
        if args.dask:
            dask = on_dask(args.source, folder, len(samples))
    for what, name in (("pymatgen's CIF parser", "parser"), ("without duplicate removal", "plain"), ("with", "unique")):
        print(f"{what}: {1e3 * seconds[name]:.2f} ms per structure, {seconds['parser'] / seconds[name]:.2f} times the rate")
    kept = funnel["kept"]
    print(f"bytes a structure: {size / kept:.0f} at {atoms / kept:.1f} atoms on average; rejected: {funnel['rejected']}")
    estimate("without duplicate removal", seconds["plain"])
    estimate("with it, at least", seconds["unique"])
    if args.dask:
        print(f"Dask: {dask[1]:.1f} s with one worker, {dask[2]:.1f} s with two, {dask[1] / dask[2]:.2f} times the rate")


if __name__ == "__main__":
    main()
