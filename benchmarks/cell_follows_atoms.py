"""What symmetry read off the grid does: to samples, to reconstructions, and to crystals that it should leave alone.

    python benchmarks/cell_follows_atoms.py samples [RUN] [-n 1000] [--seed 0] [--max-strain 0.1] [--out FILE]
    python benchmarks/cell_follows_atoms.py limits [RUN] [-n 500]
    python benchmarks/cell_follows_atoms.py distorted [RUN] [-n 300]
    python benchmarks/cell_follows_atoms.py real A.parquet B.parquet [--max-strain 0.1] [--grid 48] [--out FILE]
    python benchmarks/cell_follows_atoms.py speed [RUN]

`samples` draws n crystals and reconstructs n held-out ones, each without and with symmetry. Distances are Jensen–Shannon, of the
space groups that spglib finds, to those of the held-out crystals; `held-out` is one half of these against the other.
`limits` compares limits of strain for samples, reconstructions, and the held-out crystals themselves, by the groups of their
nodes. `distorted` bends the cells of held-out crystals, or moves one of their atoms, by known amounts, encodes and decodes
them, and counts how many come back more symmetric than they went in. `real` idealises the symmetry of crystals (spglib,
0.1 Å), snaps them so that the group survives, and lists those whose cell changes by more than 1e-4, at several limits of
strain: there should be none. `speed` times `follow_atoms` on one core.
"""

import argparse
import platform
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_workbench import Crystal
from fourier_workbench.data import load_crystals, prepare_corpus
from fourier_workbench.errors import CrystalError, RepresentationError
from fourier_workbench.evaluation import evaluate
from fourier_workbench.evaluation.inputs import by_formula
from fourier_workbench.evaluation.reconstruction import atom_sets, evaluate_reconstruction
from fourier_workbench.evaluation.statistics import jensen_shannon
from fourier_workbench.files import write_json
from fourier_workbench.generation import Generator, RecoveryOptions, load_generator
from fourier_workbench.representation import FourierBasis, follow_atoms, snap, snap_symmetric

RATES = ("exact", "match", "match, middle", "match, tight", "lattice RMSE", "lattice RMSE, followed")
SAMPLE_RATES = ("clean", "valid", "all checks", "unique", "novel", "P1 or P-1", "P1 or P-1, 0.01 Å")
APART = ("Jensen–Shannon, space groups", "Jensen–Shannon, space groups (0.01 Å)")


def corpus_of(generator: Generator, source: str, folder: str) -> Any:
    """The corpus that the generator was trained on."""
    model = generator.recipe.autoencoder.model
    basis = FourierBasis(model.bpd, model.truncation)
    return prepare_corpus(source, folder, basis, generator.grid, progress=False, workers=1)


def samples(args: argparse.Namespace) -> None:
    """Samples and reconstructions, without and with symmetry."""
    generator = load_generator(args.run)
    options: dict[str, Any] = {"workers": args.workers, "progress": False}
    with TemporaryDirectory() as folder:
        corpus = corpus_of(generator, args.source, folder)
        held = [sample.crystal for sample in islice(corpus.split("test"), args.n)]
        known, rows = by_formula(corpus), {}
        half = len(held) // 2
        report = evaluate(held[:half], known, target=held[half:], **options)
        rows["held-out"] = rates_of(report, SAMPLE_RATES) | distances_of(report)
        for symmetry in (False, True):
            how, word = RecoveryOptions(symmetry=symmetry, max_strain=args.max_strain), "with" if symmetry else "without"
            back = evaluate_reconstruction(generator, held, recovery=how, **options)
            again = evaluate(generator.reconstruct(held, recovery=how), known, target=held, **options)
            rows[f"reconstructed, {word}"] = rates_of(back, RATES) | rates_of(again, SAMPLE_RATES[-2:]) | distances_of(again)
            start = time.process_time()
            drawn = generator.sample(args.n, args.seed, recovery=how, progress=False)
            took = time.process_time() - start
            report = evaluate(drawn, known, target=held, **options)
            rows[f"samples, {word}"] = rates_of(report, SAMPLE_RATES) | distances_of(report) | {"seconds": took}
            show(rows)
    limit = generator.strain_limit(RecoveryOptions(max_strain=args.max_strain))
    print(f"{args.run}, {args.n} crystals each, seed {args.seed}, cells within a strain of {limit:.3f}; {platform.machine()}")
    if args.out:
        about = {"run": args.run, "data": args.source, "n": args.n, "seed": args.seed, "max_strain": limit,
                 "machine": f"{platform.machine()}, one thread", "table": rows}
        write_json(args.out, about)


def rates_of(report: Any, names: Sequence[str]) -> dict[str, float]:
    """Those rates that the report has."""
    return {name: report[name] for name in names if name in set(report.rates["metric"])}


def distances_of(report: Any) -> dict[str, float]:
    """Distances of space groups."""
    values = report.distances.set_index("metric")["value"]
    return {name: float(values[name]) for name in APART}


def show(rows: dict[str, dict[str, float]]) -> None:
    """The rows so far."""
    print(pd.DataFrame(rows).map(lambda x: "" if pd.isna(x) else f"{x:.3f}").to_string(), flush=True)


def limits(args: argparse.Namespace) -> None:
    """Groups of the nodes at several limits of strain, without a search in the coefficients."""
    generator, how = load_generator(args.run), RecoveryOptions(symmetry=False)
    grid = generator.grid
    with TemporaryDirectory() as folder:
        held = [sample.crystal for sample in islice(corpus_of(generator, args.source, folder).split("test"), 2 * args.n)]
    held = [Crystal(c.lattice, c.numbers, snap(c.frac_coords, grid) / grid) for c in held]
    wanted = np.array([s.space_group[0] for s in follow_atoms(held, grid, 0.02)])
    sets = {"samples": generator.sample(args.n, args.seed, recovery=how, progress=False).crystals,
            "reconstructed": generator.reconstruct(held[: args.n], recovery=how).crystals, "held-out": held}
    print(f"{'':16}" + "".join(f"{word:>16}" for word in ("limit", "JS distance", "P1 or P-1", "cells changed")))
    for name, crystals in sets.items():
        for limit in (0.05, 0.117, 0.15, 0.175, 0.2):
            found = follow_atoms([c for c in crystals if c is not None], grid, limit)
            groups = np.array([s.space_group[0] for s in found])
            print(f"{name:16}{limit:>16}{jensen_shannon(groups, wanted):>16.3f}{np.mean(groups <= 2):>16.1%}"
                  f"{np.mean([s.strain > 1e-4 for s in found]):>16.1%}", flush=True)


def distorted(args: argparse.Namespace) -> None:
    """Share of distorted crystals that come back more symmetric than they went in."""
    generator, rng = load_generator(args.run), np.random.default_rng(args.seed)
    grid, limit = generator.grid, generator.strain_limit(RecoveryOptions(max_strain=args.max_strain)) or 0.0
    with TemporaryDirectory() as folder:
        held = [sample.crystal for sample in islice(corpus_of(generator, args.source, folder).split("test"), args.n)]
    held = [Crystal(c.lattice, c.numbers, snap(c.frac_coords, grid) / grid) for c in held]
    whole = follow_atoms(held, grid, 1e-4)
    whole = [s for s in whole if len(s) > 2]
    held = [s.crystal for s in whole]
    print(f"{len(held)} crystals with more symmetry than inversion; limit of strain {limit:.3f}, grid {grid}")
    print(f"{'distortion':>28}{'exact data':>14}{'decoded':>10}")
    for size in (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15):
        bent = [Crystal(c.lattice @ (np.eye(3) + np.diag(size * rng.permutation([1, 0, -1]))), c.numbers, c.frac_coords)
                for c in held]
        print_row(f"strain {size:.3f}", generator, bent, grid, limit)
    for nodes in (1, 2):
        pairs = []
        for c in held:
            frac = np.array(c.frac_coords)
            frac[rng.integers(len(frac))] += nodes * np.eye(3)[rng.integers(3)] / grid
            pairs.append((Crystal(c.lattice, c.numbers, frac), c))
        orders = [s.order for s in follow_atoms([moved for moved, _ in pairs], grid, 1e-4)]
        pairs = [pair for pair, order, parent in zip(pairs, orders, whole, strict=True) if order < parent.order]
        count_forced(f"one atom {nodes}/{grid} off", generator, *zip(*pairs, strict=True))


def print_row(name: str, generator: Generator, crystals: list[Crystal], grid: int, limit: float) -> None:
    """How many of the distorted crystals gain operations, from their own nodes and after the model."""
    before = [s.order for s in follow_atoms(crystals, grid, 1e-4)]
    exact = np.mean([s.order > k for s, k in zip(follow_atoms(crystals, grid, limit), before, strict=True)])
    found = generator.reconstruct(crystals).symmetries or []
    decoded = np.mean([s is not None and s.order > k for s, k in zip(found, before, strict=True)])
    print(f"{name:>28}{exact:>14.1%}{decoded:>10.1%}", flush=True)


def count_forced(name: str, generator: Generator, moved: tuple[Crystal, ...], parents: tuple[Crystal, ...]) -> None:
    """Whether crystals with a moved atom come back as they are or as their parents, without symmetry and with it."""
    back = [generator.reconstruct(moved, RecoveryOptions(symmetry=on)).crystals for on in (False, True)]
    sets = [atom_sets(crystals, generator.grid) for crystals in back]
    same, parent = ([[a is not None and a == b for a, b in zip(found, atom_sets(wanted, generator.grid), strict=True)]
                     for found in sets] for wanted in (moved, parents))
    forced = sum(a and not b for a, b in zip(*same, strict=True))
    print(f"{name} ({len(moved)}): decoded as moved {np.mean(same[0]):.1%}, with symmetry {np.mean(same[1]):.1%}, {forced} forced"
          f"; as the symmetric parent {np.mean(parent[0]):.1%}, with symmetry {np.mean(parent[1]):.1%}", flush=True)


def real(args: argparse.Namespace) -> None:
    """Crystals of files that should not change."""
    total = trivial = left = 0
    limits = (0.01, 0.02, 0.05, 0.1) if args.max_strain is None else (args.max_strain,)
    changed: dict[float, list[str]] = {limit: [] for limit in limits}
    began = time.process_time()
    for source in args.sources:
        entries = islice(load_crystals(source), args.limit)
        while part := list(islice(entries, 256)):
            snapped = []
            for sample in part:
                try:
                    snapped.append((sample, snap_symmetric(sample.crystal.standard(0.1, idealise=True), args.grid, 0.01)))
                except (CrystalError, RepresentationError):
                    left += 1
            total, trivial = total + len(snapped), trivial + sum(snap.number <= 1 for _, snap in snapped)
            for limit, names in changed.items():
                found = follow_atoms([snap.crystal for _, snap in snapped], args.grid, limit)
                names += [f"{sample.id} {sample.crystal.formula}: {snap.number} → {each}"
                          for (sample, snap), each in zip(snapped, found, strict=True) if each.strain > 1e-4]
    for limit, names in changed.items():
        print(f"strain {limit}: {len(names)} of {total} changed ({len(names) / max(total, 1):.3%})\n  " + "\n  ".join(names))
    seconds = time.process_time() - began
    print(f"{trivial} crystals are P1; {left} left out, as spglib finds no group or their atoms share nodes; grid {args.grid}; "
          f"{seconds:.0f} s on one core of {platform.machine()}")
    if args.out:
        names = " ".join(Path(source).name for source in args.sources)
        about = {"command": f"python benchmarks/cell_follows_atoms.py real {names} --grid {args.grid}",
                 "machine": f"{platform.machine()}, one thread", "seconds": seconds, "grid": args.grid,
                 "crystals": total, "P1": trivial, "left out": left,
                 "changed": {str(limit): found for limit, found in changed.items()}}
        write_json(args.out, about)


def speed(args: argparse.Namespace) -> None:
    """Crystals a second on one core."""
    result = load_generator(args.run).sample(1000, 0, recovery=RecoveryOptions(symmetry=False), progress=False)
    crystals, grid = [c for c in result.crystals if c is not None], load_generator(args.run).grid
    follow_atoms(crystals[:64], grid)
    for limit in (0.05, 0.1, 0.2):
        start = time.process_time()
        follow_atoms(crystals, grid, limit)
        took = time.process_time() - start
        print(f"strain {limit}: {len(crystals) / took:.0f} crystals per second, {1e3 * took / len(crystals):.2f} ms each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("samples", "limits", "distorted", "real", "speed"))
    parser.add_argument("sources", nargs="*", help="a run or shipped model; for `real` files of crystals")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", default="decorated", help="what the run was trained on")
    parser.add_argument("--max-strain", type=float, help="default: the model's")
    parser.add_argument("--grid", type=int, default=48)
    parser.add_argument("--limit", type=int, help="only the first crystals of each file")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.run = args.sources[0] if args.sources else "laptop"
    torch.set_num_threads(1)
    {"samples": samples, "limits": limits, "distorted": distorted, "real": real, "speed": speed}[args.what](args)


if __name__ == "__main__":
    main()
