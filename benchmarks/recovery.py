"""What recovery loses, and how fast it is: the paper's method beside ours, in one run on one core.

    python benchmarks/recovery.py                             # the embedded prototypes, packings, noise, speed
    python benchmarks/recovery.py A.parquet B.parquet         # any sources that `fwb prepare` takes
    python benchmarks/recovery.py A.parquet --modes 7 --grid 24 --only lost

A crystal is lost when no crystal comes back or its atoms stand on other nodes (atoms that slide unnoticed); both are counted, and
everything `robust` loses is named. `shear` is the same after `encode(shear="search")`. What cannot be encoded at all (collisions
on the grid, more than six species, elements beyond 83) is counted beside it. The paper's method runs on the first `--paper`
crystals of each source, because it is slow. Times are process times.
"""

import argparse
import platform
import time
import warnings
from collections import Counter
from itertools import islice

import numpy as np
import torch
from pymatgen.io.cif import CifParser

from fourier_workbench.data import load_crystals
from fourier_workbench.representation import FourierBasis, FourierCrystals, encode, recover, snap
from fourier_workbench.representation.fourier import coefficients_from_nodes
from fourier_workbench.representation.solver import solve

BINS = {"<=16": 16, "17-32": 32, "33-48": 48, "49-64": 64, ">64": 10**6}


def size_bin(n: int) -> str:
    """Name of the bin of a cell of n atoms."""
    return next(name for name, top in BINS.items() if n <= top)


def nodes(crystal, grid: int) -> list[list[int]]:
    """Atoms as sorted rows of atomic number and node."""
    return sorted([int(z), *node] for z, node in zip(crystal.numbers, snap(crystal.frac_coords, grid).tolist(), strict=True))


def came_back(samples, fc, found, grid: int) -> list[bool]:
    """Whether each crystal came back node for node."""
    return [
        back is not None and nodes(back, grid) == nodes(sample.crystal.right_handed(), grid)
        for sample, back in zip(samples, found.crystals, strict=True)
    ]


def lost(args, basis: FourierBasis) -> None:
    """The share of crystals lost in each size bin."""
    total, tried, refused, failures = Counter(), Counter(), Counter(), []
    counts = {name: Counter() for name in ("paper", "robust", "slid", "shear")}
    for source in args.sources:
        samples = islice(load_crystals(source), args.limit)
        seen = 0
        while part := list(islice(samples, 256)):
            fc = encode([s.crystal for s in part], basis, args.grid)
            usable = [i for i, reason in enumerate(fc.reasons) if reason is None]
            refused.update(reason for reason in fc.reasons if reason is not None)
            part, fc = [part[i] for i in usable], fc[torch.tensor(usable, dtype=torch.int64)]
            bins = [size_bin(len(s.crystal)) for s in part]
            total.update(bins)
            found = recover(fc, basis, args.grid)
            good = came_back(part, fc, found, args.grid)
            counts["robust"].update(b for b, ok in zip(bins, good, strict=True) if not ok)
            counts["slid"].update(b for b, c, ok in zip(bins, found.crystals, good, strict=True) if c is not None and not ok)
            hard = [part[i] for i, ok in enumerate(good) if not ok or not found.unique[i]]
            if hard:
                other = encode([s.crystal for s in hard], basis, args.grid, shear="search")
                again = recover(other, basis, args.grid, original_cell=True)
                for sample, ok in zip(hard, came_back(hard, other, again, args.grid), strict=True):
                    if not ok:
                        counts["shear"][size_bin(len(sample.crystal))] += 1
            for sample, ok, reason in zip(part, good, found.reasons, strict=True):
                if not ok:
                    failures.append(f"{sample.id} ({len(sample.crystal)} atoms, {reason or 'slid'})")
            few = max(0, min(args.paper - seen, len(part)))
            if few:
                tried.update(bins[:few])
                by_paper = came_back(part[:few], fc[:few], recover(fc[:few], basis, args.grid, "paper"), args.grid)
                counts["paper"].update(b for b, ok in zip(bins, by_paper, strict=False) if not ok)
            seen += len(part)
    print(f"{'atoms':>8} {'crystals':>9} {'robust':>16} {'of these slid':>14} {'with shear':>16} {'paper':>18}")
    for bin_ in (*BINS, "all"):
        pick = (lambda c: c.total()) if bin_ == "all" else (lambda c, b=bin_: c[b])
        n, few = pick(total), pick(tried)
        if n:
            robust, slid, shear, paper = (pick(counts[name]) for name in ("robust", "slid", "shear", "paper"))
            cells = f"{robust:>7} {robust / n:>8.3%} {slid:>14} {shear:>7} {shear / n:>8.3%}"
            print(f"{bin_:>8} {n:>9} {cells} {paper:>5} of {few:>5}" + (f" {paper / few:.1%}" if few else ""))
    print(f"not encoded: {dict(refused) or 'none'}")
    print("lost by robust: " + (", ".join(failures) or "none"))


def packing(n: int, grid: int, rng: np.random.Generator) -> torch.Tensor:
    """Random nodes no closer than half the mean spacing of n atoms in a unit cell."""
    placed, least = np.zeros((0, 3), dtype=np.int64), (0.5 * grid / n ** (1 / 3)) ** 2
    while len(placed) < n:
        node = rng.integers(0, grid, 3)
        apart = (placed - node + grid // 2) % grid - grid // 2
        if not len(placed) or (apart**2).sum(1).min() >= least:
            placed = np.vstack([placed, node])
    return torch.from_numpy(placed)


def packings(args, basis: FourierBasis) -> None:
    """Random packings of one species, twenty of each size."""
    for bpd, grid, sizes in ((9, 48, (96, 108, 120, 125)), (7, 24, (48, 56, 64, 72))):
        basis, rng = FourierBasis(bpd), np.random.default_rng(0)
        for n in sizes:
            placed = torch.cat([packing(n, grid, rng) for _ in range(20)])
            alpha = coefficients_from_nodes(placed, torch.arange(20).repeat_interleave(n), 20, basis, grid)
            began = time.process_time()
            good = int((solve(alpha, torch.full((20,), n), basis, grid).residual < 1e-5).sum())
            spent = (time.process_time() - began) / 20
            paper = int((solve(alpha[:5], torch.full((5,), n), basis, grid, "paper").residual < 1e-5).sum())
            print(f"packing of {n:>3} at {bpd}³ on 1/{grid}: robust {good} of 20 ({spent * 1e3:.0f} ms each), paper {paper} of 5")


def noise(args, basis: FourierBasis) -> None:
    """Hermitian noise of a mean square of 0.2 on each mode, the number of atoms unknown."""
    samples = [s for source in args.sources for s in islice(load_crystals(source), 20_000) if 24 <= len(s.crystal) <= 32][:120]
    if not samples:
        print("noise: no cells of 24 to 32 atoms in these sources")
        return
    fc = encode([s.crystal for s in samples], basis, args.grid)
    good = [i for i, reason in enumerate(fc.reasons) if reason is None]
    samples, fc = [samples[i] for i in good], fc[torch.tensor(good)]
    draws = torch.randn(2, *fc.coefficients.shape, generator=torch.Generator().manual_seed(0))
    crooked = torch.complex(*draws) * 0.1**0.5  # 0.1 in each part; the projection on real densities halves it again
    spoilt = basis.hermitian(crooked) * 2**0.5 * (fc.species > 0).unsqueeze(-1)
    noisy = FourierCrystals(fc.lattice, fc.species, fc.coefficients + spoilt, fc.reasons)
    for counts in ("round", "search"):
        found = recover(noisy, basis, args.grid, tolerance=torch.inf, policy="trust_species", counts=counts)
        exact = sum(came_back(samples, noisy, found, args.grid))
        what = f"noise of MSE 0.2 a mode, {len(samples)} cells of 24–32 atoms, counts={counts!r}"
        print(f"{what}: {exact / len(samples):.1%} exact")


def speed(args, basis: FourierBasis) -> None:
    """Encode and recover against pymatgen's CIF parser and the paper's method, the same structures, in turn."""
    for low, high in ((8, 12), (26, 30)):
        everything = (s.crystal for source in args.sources for s in islice(load_crystals(source), 20_000))
        crystals = list(islice((c for c in everything if low <= len(c) <= high and len(c.species) <= 6), 1024))
        if len(crystals) < 32:
            continue
        texts = [c.to_structure().to(fmt="cif") for c in crystals[:64]]
        clock = {"ours": [], "cif": [], "paper": []}
        for _ in range(3):
            began = time.process_time()
            for start in range(0, len(crystals), 512):
                recover(encode(crystals[start : start + 512], basis, args.grid), basis, args.grid)
            clock["ours"].append((time.process_time() - began) / len(crystals))
            began = time.process_time()
            for text in texts:
                CifParser.from_str(text).parse_structures(primitive=False)
            clock["cif"].append((time.process_time() - began) / len(texts))
            began = time.process_time()
            recover(encode(crystals[:64], basis, args.grid), basis, args.grid, "paper")
            clock["paper"].append((time.process_time() - began) / 64)
        ours, cif, paper = (min(clock[name]) for name in ("ours", "cif", "paper"))
        rates = f"encode + recover {1 / ours:,.0f}/s, pymatgen's CIF parser {1 / cif:,.0f}/s, paper {1 / paper:,.0f}/s"
        ratios = f"{cif / ours:.1f}× the parser, {paper / ours:.0f}× the paper"
        print(f"{len(crystals)} cells of {low}–{high} atoms: {rates}; {ratios}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--limit", type=int, default=None, help="only the first crystals of each source")
    parser.add_argument("--paper", type=int, default=200, help="crystals of each source that the paper's method is tried on")
    parser.add_argument("--modes", type=int, default=9)
    parser.add_argument("--grid", type=int, default=48)
    parts = {"lost": lost, "packings": packings, "noise": noise, "speed": speed}
    parser.add_argument("--only", choices=tuple(parts), help="one part instead of all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")  # coordinates that it rounded
    print(f"{', '.join(args.sources)}; {args.modes}³ modes on 1/{args.grid}; one core of {platform.machine()}\n")
    for name, part in parts.items():
        if args.only in (None, name):
            part(args, FourierBasis(args.modes))
            print(flush=True)


if __name__ == "__main__":
    main()
