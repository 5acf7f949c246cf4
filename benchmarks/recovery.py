"""What recovery loses, and how fast it is: the paper's method beside ours, in one run on one core.

    python benchmarks/recovery.py                             # the embedded prototypes, packings, noise, speed
    python benchmarks/recovery.py A.parquet B.parquet         # any sources that `fwb prepare` takes
    python benchmarks/recovery.py *.parquet --seven MP20.parquet MPTS52.parquet --paper 50   # every row of the table at the end
    python benchmarks/recovery.py A.parquet --modes 7 --grid 24 --only lost

A crystal is lost when no crystal comes back or its atoms stand on other nodes (atoms that slide unnoticed); both are counted, and
everything `robust` loses is named. `shear` is the same after `encode(shear="search")`. What cannot be encoded at all (collisions
on the grid, more than six species, elements beyond 83) is counted beside it. The paper's method runs on the first `--paper`
crystals of each source, because it is slow. Sources of `--seven` are tried again with 7³ modes on 1/24. `--part 0/4` takes a
quarter of the crystals, for those who have several cores. Times are process times.
"""

import argparse
import platform
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from pymatgen.io.cif import CifParser

from fourier_workbench.data import load_crystals
from fourier_workbench.representation import FourierBasis, FourierCrystals, encode, recover, snap
from fourier_workbench.representation.coefficients import coefficients_from_nodes
from fourier_workbench.representation.recovery.strategy import solve

BINS = {"<=16": 16, "17-32": 32, "33-48": 48, "49-64": 64, ">64": 10**6}


def size_bin(n: int) -> str:
    """Name of the bin of a cell of n atoms."""
    return next(name for name, top in BINS.items() if n <= top)


def nodes(crystal, grid: int) -> list[list[int]]:
    """Atoms as sorted rows of atomic number and node."""
    return sorted([int(z), *node] for z, node in zip(crystal.numbers, snap(crystal.frac_coords, grid).tolist(), strict=True))


def came_back(samples, found, grid: int) -> list[bool]:
    """Whether each crystal came back node for node."""
    return [
        back is not None and nodes(back, grid) == nodes(sample.crystal.right_handed(), grid)
        for sample, back in zip(samples, found.crystals, strict=True)
    ]


@dataclass
class Losses:
    """Counts of a run over sources, by size bin, and the names of what was lost."""

    total: Counter = field(default_factory=Counter)
    tried: Counter = field(default_factory=Counter)  # by the paper's method
    refused: Counter = field(default_factory=Counter)
    paper: Counter = field(default_factory=Counter)
    robust: Counter = field(default_factory=Counter)
    slid: Counter = field(default_factory=Counter)
    shear: Counter = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)

    def add(self, part, args, basis: FourierBasis, grid: int, few: int) -> None:
        """Count a batch of samples; the first `few` are given to the paper's method too."""
        fc = encode([s.crystal for s in part], basis, grid)
        usable = [i for i, reason in enumerate(fc.reasons) if reason is None]
        self.refused.update(reason for reason in fc.reasons if reason is not None)
        part, fc = [part[i] for i in usable], fc[torch.tensor(usable, dtype=torch.int64)]
        bins = [size_bin(len(s.crystal)) for s in part]
        self.total.update(bins)
        found = recover(fc, basis, grid)
        good = came_back(part, found, grid)
        self.robust.update(b for b, ok in zip(bins, good, strict=True) if not ok)
        self.slid.update(b for b, c, ok in zip(bins, found.crystals, good, strict=True) if c is not None and not ok)
        hard = [part[i] for i, ok in enumerate(good) if not ok or not found.identifiable[i]]
        still = set()
        if hard:
            other = encode([s.crystal for s in hard], basis, grid, shear="search")
            again = recover(other, basis, grid, original_cell=True)
            still = {s.id for s, ok in zip(hard, came_back(hard, again, grid), strict=True) if not ok}
        for sample, ok, reason, bin_ in zip(part, good, found.reasons, bins, strict=True):
            if sample.id in still:
                self.shear[bin_] += 1
            if not ok:
                also = "; sheared too" if sample.id in still else ""
                self.names.append(f"{sample.id} ({len(sample.crystal)} atoms, {reason or 'slid'}{also})")
        if few > 0 and part:
            self.tried.update(bins[:few])
            by_paper = came_back(part[:few], recover(fc[:few], basis, grid, "paper"), grid)
            self.paper.update(b for b, ok in zip(bins, by_paper, strict=False) if not ok)

    def share(self, what: str, *bins: str) -> tuple[int, int, float]:
        """How many of how many crystals in these bins (all: none named) were lost by a method, and their share."""
        counts = getattr(self, what), self.tried if what == "paper" else self.total
        some, of = (sum(c[b] for b in bins or BINS) for c in counts)
        return some, of, some / max(of, 1)


def lost(sources: list[str], args, basis: FourierBasis, grid: int) -> Losses:
    """The share of crystals lost in each size bin."""
    out, which, of = Losses(), *map(int, args.part.split("/"))
    for source in sources:
        samples, seen = islice(load_crystals(source), which, args.limit, of), 0
        while part := list(islice(samples, 256)):
            out.add(part, args, basis, grid, min(args.paper - seen, len(part)))
            seen += len(part)
    print(f"lost with {basis.bpd}³ modes on 1/{grid}")
    print(f"{'atoms':>8} {'crystals':>9} {'robust':>16} {'of these slid':>14} {'with shear':>16} {'paper':>18}")
    for bins in (*((b,) for b in BINS), tuple(BINS)[:-1], ()):
        n = out.share("robust", *bins)[1]
        if not n:
            continue
        (robust, _, a), (slid, _, _), (shear, _, b), (paper, few, c) = (
            out.share(what, *bins) for what in ("robust", "slid", "shear", "paper")
        )
        name = bins[0] if len(bins) == 1 else "<=64" if bins else "all"
        ours = f"{robust:>7} {a:>8.3%} {slid:>14} {shear:>7} {b:>8.3%}"
        print(f"{name:>8} {n:>9} {ours} {paper:>5} of {few:>5}" + (f" {c:.1%}" if few else ""))
    print(f"not encoded: {dict(out.refused) or 'none'}")
    print("lost by robust: " + (", ".join(out.names) or "none"), flush=True)
    return out


def packing(n: int, grid: int, rng: np.random.Generator, apart: float = 0.5) -> torch.Tensor:
    """Random nodes no closer than a share `apart` of the mean spacing of n atoms in a unit cell."""
    placed, least = np.zeros((0, 3), dtype=np.int64), (apart * grid / n ** (1 / 3)) ** 2
    while len(placed) < n:
        node = rng.integers(0, grid, 3)
        off = (placed - node + grid // 2) % grid - grid // 2
        if not len(placed) or (off**2).sum(1).min() >= least:
            placed = np.vstack([placed, node])
    return torch.from_numpy(placed)


def packings() -> dict[tuple[int, int], int]:
    """Random packings of one species, twenty of each size: how many are found; roomy ones, which the paper's stages need, too."""
    found = {}
    for bpd, grid, sizes in ((9, 48, (96, 108, 120, 125, 132)), (7, 24, (48, 56, 64, 72))):
        basis, rng = FourierBasis(bpd), np.random.default_rng(0)
        for n in sizes:
            placed = torch.cat([packing(n, grid, rng) for _ in range(20)])
            alpha = coefficients_from_nodes(placed, torch.arange(20).repeat_interleave(n), 20, basis, grid)
            began = time.process_time()
            good = int((solve(alpha, torch.full((20,), n), basis, grid).residual < 1e-5).sum())
            spent = (time.process_time() - began) / 20
            roomy = torch.cat([packing(n, grid, np.random.default_rng(k), 0.8) for k in range(5)])
            roomy = coefficients_from_nodes(roomy, torch.arange(5).repeat_interleave(n), 5, basis, grid)
            tight, wide = (
                int((solve(some, torch.full((5,), n), basis, grid, "paper").residual < 1e-5).sum()) for some in (alpha[:5], roomy)
            )
            found[bpd, n] = good
            ours = f"robust {good} of 20 ({spent * 1e3:.0f} ms each)"
            paper = f"paper {tight} of 5, {wide} of 5 where atoms keep 0.8 of the mean spacing"
            print(f"packing of {n:>3} at {bpd}³ on 1/{grid}: {ours}, {paper}", flush=True)
    return found


def noise(args, basis: FourierBasis) -> float | None:
    """Hermitian noise of a mean square of 0.2 on each mode, the number of atoms unknown: the share that comes back exactly."""
    samples = [s for source in args.sources for s in islice(load_crystals(source), 20_000) if 24 <= len(s.crystal) <= 32][:240]
    if not samples:
        print("noise: no cells of 24 to 32 atoms in these sources")
        return None
    fc = encode([s.crystal for s in samples], basis, args.grid)
    good = [i for i, reason in enumerate(fc.reasons) if reason is None]
    samples, fc = [samples[i] for i in good], fc[torch.tensor(good)]
    draws = torch.randn(2, *fc.coefficients.shape, generator=torch.Generator().manual_seed(0))
    crooked = torch.complex(*draws) * 0.1**0.5  # 0.1 in each part; the projection on real densities halves it again
    spoilt = basis.hermitian(crooked) * 2**0.5 * (fc.species > 0).unsqueeze(-1)
    noisy = FourierCrystals(fc.lattice, fc.species, fc.coefficients + spoilt, fc.reasons)
    for counts in ("round", "search"):
        found = recover(noisy, basis, args.grid, tolerance=torch.inf, policy="trust_species", counts=counts)
        exact = sum(came_back(samples, found, args.grid))
        what = f"noise of MSE 0.2 a mode, {len(samples)} cells of 24–32 atoms, counts={counts!r}"
        print(f"{what}: {exact / len(samples):.1%} exact", flush=True)
    return exact / len(samples)


def speed(args, basis: FourierBasis) -> list[tuple[float, float]]:
    """Encode and recover against pymatgen's CIF parser and the paper's method, in turn, on the very same structures."""
    ratios = []
    for low, high in ((8, 12), (26, 30)):
        everything = (s.crystal for source in args.sources for s in islice(load_crystals(source), 20_000))
        crystals = list(islice((c for c in everything if low <= len(c) <= high and len(c.species) <= 6), 768))
        if len(crystals) < 32:
            continue
        texts = [c.to_structure().to(fmt="cif") for c in crystals]
        clock = {"ours": [], "cif": [], "paper": []}
        for attempt in range(3):
            for _ in range(3):  # it is over so soon that whoever else is on the machine may disturb all of it
                began = time.process_time()
                recover(encode(crystals, basis, args.grid), basis, args.grid)
                clock["ours"].append(time.process_time() - began)
            began = time.process_time()
            for text in texts:
                CifParser.from_str(text).parse_structures(primitive=False)
            clock["cif"].append(time.process_time() - began)
            if attempt < 2:
                began = time.process_time()
                recover(encode(crystals, basis, args.grid), basis, args.grid, "paper")
                clock["paper"].append(time.process_time() - began)
        ours, cif, paper = (min(clock[name]) / len(crystals) for name in ("ours", "cif", "paper"))
        rates = f"encode + recover {1 / ours:,.0f}/s, pymatgen's CIF parser {1 / cif:,.0f}/s, paper {1 / paper:,.0f}/s"
        ratios.append((cif / ours, paper / ours))
        times = f"{cif / ours:.1f}× the parser, {paper / ours:.0f}× the paper"
        print(f"{len(crystals)} cells of {low}–{high} atoms: {rates}; {times}", flush=True)
    return ratios


def table(rows: list[tuple[str, str, str]]) -> None:
    """The measures this project holds itself to, and where they stand."""
    print(f"{'measure':<62} {'bar':<12} measured")
    for name, bar, value in rows:
        print(f"{name:<62} {bar:<12} {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--seven", nargs="*", default=[], help="sources that are tried with 7³ modes on 1/24 too")
    parser.add_argument("--limit", type=int, default=None, help="only the first crystals of each source")
    parser.add_argument("--part", default="0/1", help="the k-th of n parts of each source, k/n counted from 0")
    parser.add_argument("--paper", type=int, default=200, help="crystals of each source that the paper's method is tried on")
    parser.add_argument("--modes", type=int, default=9)
    parser.add_argument("--grid", type=int, default=48)
    parser.add_argument("--only", choices=("lost", "packings", "noise", "speed"), help="one part instead of all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")  # coordinates that it rounded
    print(f"{', '.join(args.sources)}; {args.modes}³ modes on 1/{args.grid}; one core of {platform.machine()}\n")
    basis, rows = FourierBasis(args.modes), []

    def add(name: str, bar: str, losses: Losses, what: str, *bins: str) -> None:
        some, of, share = losses.share(what, *bins)
        rows.append((name, bar, f"{some} of {of} = {share:.3%}"))

    if args.only in (None, "lost"):
        losses = lost(args.sources, args, basis, args.grid)
        small = tuple(BINS)[:-1]
        add(f"lost, {args.modes}³ on 1/{args.grid}, cells <= 64 atoms, no shear", "<= 0.10 %", losses, "robust", *small)
        add("the same, with shear search, any size", "<= 0.02 %", losses, "shear")
        add("the same by the paper's method, cells <= 64 atoms, first of each source", "", losses, "paper", *small)
    if args.only in (None, "lost") and args.seven:
        print()
        losses = lost(args.seven, args, FourierBasis(7), 24)
        add("lost, 7³ on 1/24, sources of --seven, no shear", "<= 0.8 %", losses, "robust")
        add("the same, with shear search", "<= 0.02 %", losses, "shear")
    if args.only in (None, "packings"):
        print()
        rows += [
            (f"random packings of {n} at {bpd}³", "20 of 20", f"{good} of 20") for (bpd, n), good in packings().items()
        ]
    if args.only in (None, "noise"):
        print()
        exact = noise(args, basis)
        if exact is not None:
            rows.append(("noise of MSE 0.2 a mode, counts unknown, 24–32 atoms, exact", ">= 99 %", f"{exact:.1%}"))
    if args.only in (None, "speed"):
        print()
        for (cif, paper), size, bar in zip(speed(args, basis), ("8–12", "26–30"), (20, 10), strict=False):
            rows.append((f"encode + recover against the CIF parser, {size} atoms", f">= {bar}×", f"{cif:.1f}×"))
            rows.append((f"encode + recover against the paper's method, {size} atoms", ">= 50×", f"{paper:.0f}×"))
    print()
    table(rows)


if __name__ == "__main__":
    main()
