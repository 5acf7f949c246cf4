"""Validity, uniqueness and novelty of samples: the suite beside straightforward loops over StructureMatcher.

    python benchmarks/evaluation.py CRYSTALS.parquet
    python benchmarks/evaluation.py CRYSTALS.parquet --samples 1000 --references 27000 --workers 2
    python benchmarks/evaluation.py FOLDER --samples 10000 --references 100000 --workers 1 --alone   # too many for plain loops

The crystals of the source are shuffled; the first are the references. Samples are made of four kinds: crystals that come after
them, references moved (0.02 of each edge, 0.05 Å each atom), references written otherwise (a supercell, another origin, another
order), and repeats of other samples.

Two straightforward ways stand beside the suite, both with StructureMatcher.fit (0.2, 0.3, 5°) as it comes and one process: `by
formula` compares crystals of one reduced formula only and is run in full; `every pair` compares all with all and is reckoned: all
pairs of different formulas at the mean time of `--others` of them, plus what `by formula` took. Verdicts are compared one by one.
With `--alone` neither is run: only the suite, and how long it takes.
Times are processor seconds of all processes, because wall time depends on the neighbours; both ways could be shared among cores.
"""

import argparse
import platform
import resource
import time
import warnings
from collections import defaultdict

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher

from fourier_workbench import Crystal
from fourier_workbench.crystal import is_valid
from fourier_workbench.data import load_crystals
from fourier_workbench.evaluation.checks import check_charges
from fourier_workbench.evaluation.context import EvaluationContext
from fourier_workbench.evaluation.metrics import add_verdicts
from fourier_workbench.evaluation.structures import composition, measure_structures
from fourier_workbench.evaluation.uniqueness import match_samples
from fourier_workbench.evaluation.workers import Workers
from fourier_workbench.matching.reduced_cell import PAPER_TOLERANCE


def seconds() -> float:
    """Processor seconds of this process and of those it waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def draw(later: list[Crystal], references: list[Crystal], n: int, seed: int) -> list[Crystal]:
    """Samples of the four kinds, shuffled."""
    rng = np.random.default_rng(seed)
    samples = later[: int(0.4 * n)]
    for crystal in (references[int(i)] for i in rng.integers(0, len(references), int(0.3 * n))):
        edges = crystal.lattice * rng.normal(1, 0.02, (3, 1))
        moved = crystal.frac_coords + rng.normal(0, 0.05, (len(crystal), 3)) @ np.linalg.inv(edges)
        samples.append(Crystal(edges, crystal.numbers, moved))
    for crystal in (references[int(i)] for i in rng.integers(0, len(references), int(0.2 * n))):
        larger, order = crystal.supercell([1, 1, 2]), rng.permutation(2 * len(crystal))
        samples.append(Crystal(larger.lattice, larger.numbers[order], larger.frac_coords[order] + rng.random(3)))
    samples += [samples[int(i)] for i in rng.integers(0, len(samples), n - len(samples))]
    return [samples[int(i)] for i in rng.permutation(n)]


def straightforward(samples: list[Crystal], known: dict[str, list[Crystal]]) -> tuple[list[tuple], int]:
    """Verdicts (valid, neutral, unique, novel) by loops within formulas, and how many pairs were compared."""
    matcher, firsts, verdicts, pairs = StructureMatcher(*PAPER_TOLERANCE), defaultdict(list), [], 0

    def among(structure, others) -> bool:
        nonlocal pairs
        for other in others:
            pairs += 1
            if matcher.fit(other, structure):
                return True
        return False

    structures = {formula: [c.to_structure() for c in crystals] for formula, crystals in known.items()}
    for crystal in samples:
        structure, formula = crystal.to_structure(), crystal.reduced_formula
        unique = not among(structure, firsts[formula])
        novel = not among(structure, structures.get(formula, ()))
        if unique:
            firsts[formula].append(structure)
        verdicts.append((is_valid(crystal), check_charges(composition(crystal))["charges_as_pauling"], unique, novel))
    return verdicts, pairs


def suite(samples: list[Crystal], known: dict[str, list[Crystal]], workers: int) -> list[tuple]:
    """The same verdicts by the suite."""
    with Workers(workers) as pool:
        context = EvaluationContext(pool)
        table = measure_structures(samples, None, None, context, ("sizes", "charges"))
        table, _ = add_verdicts(table, ("sizes", "radii", "charges"))
        named = {formula: {str(i): c for i, c in enumerate(crystals)} for formula, crystals in known.items()}
        matches = match_samples(context, samples, named, [PAPER_TOLERANCE])[0][0]
    return [
        (bool(valid), bool(charges), match.duplicate_of is None, match.reference is None)
        for valid, charges, match in zip(table["valid"], table["electronegativity"], matches, strict=True)
    ]


def other_pairs(samples: list[Crystal], references: list[Crystal], n: int) -> float:
    """Mean processor seconds of one comparison of different formulas."""
    rng, matcher = np.random.default_rng(1), StructureMatcher(*PAPER_TOLERANCE)
    pairs = [(samples[int(i)], references[int(j)]) for i, j in zip(rng.integers(0, len(samples), n),
                                                                  rng.integers(0, len(references), n), strict=True)]
    ready = [(a.to_structure(), b.to_structure()) for a, b in pairs if a.reduced_formula != b.reduced_formula]
    start = seconds()
    for a, b in ready:
        matcher.fit(a, b)
    return (seconds() - start) / len(ready)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--references", type=int, default=27000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--others", type=int, default=3000)
    parser.add_argument("--alone", action="store_true", help="only the suite")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    crystals = [sample.crystal for sample in load_crystals(args.source)]
    order = np.random.default_rng(args.seed).permutation(len(crystals)).tolist()
    references, later = ([crystals[i] for i in some] for some in (order[: args.references], order[args.references :]))
    if len(references) < args.references or len(later) < 0.4 * args.samples:
        raise SystemExit(f"{args.source} holds {len(crystals)} crystals: too few references and samples beside them")
    samples = draw(later, references, args.samples, args.seed)
    known: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in references:
        known[crystal.reduced_formula].append(crystal)
    known = {c.reduced_formula: known[c.reduced_formula] for c in samples if c.reduced_formula in known}
    print(f"{len(samples)} samples, {len(references)} references, {platform.machine()}, {args.workers} workers")
    start, wall = seconds(), time.perf_counter()
    ours = suite(samples, known, args.workers)
    took, wall = seconds() - start, time.perf_counter() - wall
    names = ("valid", "neutral", "unique", "novel")
    counts = [f"{name} {sum(column)}" for name, column in zip(names, zip(*ours, strict=True), strict=True)]
    print("verdicts (suite): " + ", ".join(counts), flush=True)
    if args.alone:
        print(f"suite: {took:.1f} processor s, wall {wall:.1f} s")
        return
    start = seconds()
    theirs, pairs = straightforward(samples, known)
    by_formula = seconds() - start
    each = other_pairs(samples, references, args.others)
    all_pairs = len(samples) * (len(references) + (len(samples) - 1) / 2)
    every = each * (all_pairs - pairs) + by_formula
    differ = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    print(f"verdicts that differ: {len(differ)} of {len(ours)}" + (f" {differ[:5]}" if differ else ""))
    print(f"{'':<34}{'processor s':>12}{'suite is':>12}")
    print(f"{'suite':<34}{took:>12.1f}{'':>12}   (wall {wall:.1f} s)")
    words = f"by formula, {pairs} pairs"
    print(f"{words:<34}{by_formula:>12.1f}{by_formula / took:>11.1f}x")
    words = f"every pair, {all_pairs / 1e6:.1f} million"
    print(f"{words:<34}{every:>12.1f}{every / took:>11.0f}x   (reckoned, {1e3 * each:.2f} ms a pair)")


if __name__ == "__main__":
    main()
