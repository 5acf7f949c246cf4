"""What is asked of a model and what is met: elements, formula, size, symmetry, stability, structure prediction, completion.

    python benchmarks/asked_and_met.py [RUN] [--corpus DIR] [-n 100] [--csp 50] [--guesses 20] [--crystals 20] [--steps 50]
        [--seed 0] [--out benchmarks/results/asked_and_met_RUN.json] [--only PART ...]

Requests come from random crystals of the corpus' test split (validation where there is none), one sample each: the exact set
of elements, the reduced formula, the number of atoms, the crystal system; every sample drawn counts, rejected ones as not met.
Structure prediction is told all atoms of the cell and compared with the crystal by pymatgen's StructureMatcher (ltol 0.3,
stol 0.5, 10°), best by residual first. Each part is written when it is done and not repeated while model and arguments stay
as they are. RUN is a directory or a shipped model; without --corpus, the data are made as for the shipped model. Parts that a
model refuses say so.
"""

import argparse
import json
import platform
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from cell_follows_atoms import corpus_of
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest

from fourier_workbench.crystal import Crystal
from fourier_workbench.data import Corpus
from fourier_workbench.diffusion import VolumeGuide
from fourier_workbench.errors import RecipeError
from fourier_workbench.evaluation import structure_table
from fourier_workbench.files import read_json, write_json
from fourier_workbench.generation import (
    Generator,
    RecoveryOptions,
    Request,
    SampleResult,
    complete,
    load_generator,
    predict,
)
from fourier_workbench.generation.asking import Answer, answer_request
from fourier_workbench.generation.folder import model_digest
from fourier_workbench.generation.generator import Drawing, draw_ladders, fitting_batch
from fourier_workbench.generation.requests import space_group_of
from fourier_workbench.generation.tasks import atoms_of, variation_curve
from fourier_workbench.model.conditions import SYSTEMS, Conditions, crystal_systems

LOW = 0.1  # eV/atom above the hull
MATCHER = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)


class Bench:
    """A model, test crystals, and how samples are drawn."""

    def __init__(self, generator: Generator, crystals: list[Crystal], options: argparse.Namespace):
        self.generator, self.crystals, self.options = generator, crystals, options
        self.how: dict[str, Any] = {"seed": options.seed, "steps": options.steps, "progress": False}

    def each(self, ask: Callable[[Crystal], Request]) -> list[SampleResult]:
        """One sample for the request of each of n crystals, sample i for crystal i; those that are only told together."""
        generator, options = self.generator, self.options
        requests = [ask(crystal) for crystal in self.crystals[: options.n]]
        answers = [answer_request(request, generator, options.seed, [i]) for i, request in enumerate(requests)]
        rows = [answer.conditions for answer in answers if answer.conditions is not None]
        if len(rows) < len(answers) or any(answer.steering is not None for answer in answers):
            return [generator.sample(1, request=request, first=i, **self.how) for i, request in enumerate(requests)]
        conditions = Conditions(*map(torch.cat, zip(*rows, strict=True)))
        how = Drawing(options.seed, options.steps, "churn", None, fitting_batch(generator), RecoveryOptions(), False, "first",
                      None, None, 0, hold=0.3, progress=False)
        ladders, _ = draw_ladders(generator, how, 0, len(requests), Answer(conditions))
        result = generator.decode(ladders, seed=options.seed, kind="sample", conditions=conditions)
        return [replace(result.part(i, i + 1), request=request) for i, request in enumerate(requests)]


def rate(met: int, n: int) -> dict[str, Any]:
    """A share with Wilson's 95 % interval."""
    low, high = binomtest(met, n).proportion_ci(method="wilson")
    return {"met": met, "of": n, "rate": round(met / n, 4), "low": round(low, 4), "high": round(high, 4)}


def symbols_of(crystal: Crystal) -> tuple[str, ...]:
    """Elements of a crystal."""
    return tuple(Element.from_Z(z).symbol for z in crystal.species)


def met(bench: Bench, part: str, ask: Callable[[Crystal], Request]) -> dict[str, Any]:
    """Share of single samples that have a part of their request, and what passes all checks among them."""
    results = bench.each(ask)
    good = sum(bool(result.table[f"met_{part}"].iloc[0]) for result in results)
    crystals = [result.crystals[0] for result in results]
    names = [f"{i}" for i in range(len(crystals))]
    checks = structure_table(crystals, names, [result.reasons[0] for result in results], workers=1)
    return rate(good, len(results)) | {"all checks": rate(int(checks["all checks"].sum()), len(results)),
                                       "crystals": sum(c is not None for c in crystals)}


def plain(bench: Bench) -> dict[str, Any]:
    """Unconditional samples: what passes all checks, their crystal systems and sizes."""
    result = bench.generator.sample(bench.options.n, **bench.how)
    checks = structure_table(result.crystals, result.ids, result.reasons, workers=1)
    kept = [c for c in result.crystals if c is not None]
    systems = crystal_systems(torch.tensor([space_group_of(c) for c in kept]))
    return {"all checks": rate(int(checks["all checks"].sum()), len(result)), "crystals": len(kept),
            "systems": {SYSTEMS[s - 1]: n for s, n in sorted(Counter(systems.tolist()).items())}}


def system(bench: Bench) -> dict[str, Any]:
    """The crystal system alone, asked and met; chance is that of unconditional samples for the same requests."""
    found = met(bench, "crystal_system", lambda c: Request(crystal_system=system_of(c)))
    free = plain(bench)
    asked = Counter(system_of(c) for c in bench.crystals[: bench.options.n])
    chance = sum(n * free["systems"].get(name, 0) for name, n in asked.items()) / (bench.options.n * asked.total())
    return found | {"chance": round(chance, 4), "asked": dict(asked)}


def system_of(crystal: Crystal) -> str:
    """Crystal system within 0.1 Å."""
    return SYSTEMS[int(crystal_systems(torch.tensor([space_group_of(crystal)]))[0]) - 1]


def csp(bench: Bench) -> dict[str, Any]:
    """Crystal structure prediction: match with the first guess and with any, and the RMSE of the best match."""
    chosen, first, any_, distances = bench.crystals[: bench.options.csp], 0, 0, []
    for i, crystal in enumerate(chosen):
        truth = crystal.to_structure()
        guesses = predict(bench.generator, atoms_of(crystal), bench.options.guesses, cell=True, first=1000 * i, **bench.how)
        rms = [MATCHER.get_rms_dist(truth, guess.to_structure()) for guess in guesses.crystals]
        near = [r[0] for r in rms if r is not None]
        first, any_ = first + bool(rms and rms[0] is not None), any_ + bool(near)
        distances += [min(near)] if near else []
    n = len(chosen)
    return {"guesses": bench.options.guesses, "first": rate(first, n), "any": rate(any_, n),
            "rmse": round(float(np.mean(distances)), 4) if distances else None}


def completion(bench: Bench) -> dict[str, Any]:
    """The most electronegative element kept, the rest drawn: share completed to a match, best of ten."""
    chosen, matched = [c for c in bench.crystals if len(c.species) > 1][: bench.options.crystals], 0
    for i, crystal in enumerate(chosen):
        keep = max(symbols_of(crystal), key=lambda symbol: Element(symbol).X)
        found = complete(bench.generator, crystal, [keep], 10, first=1000 * i, **bench.how)
        truth = crystal.to_structure()
        matched += any(c is not None and MATCHER.fit(truth, c.to_structure()) for c in found.crystals)
    return rate(matched, len(chosen)) | {"guesses": 10}


def variation(bench: Bench) -> dict[str, Any]:
    """How far variations go, by the level φ."""
    chosen = bench.crystals[: bench.options.crystals]
    return {"curve": variation_curve(bench.generator, chosen, n=2, **bench.how).round(4).to_dict("records")}


def sizes(bench: Bench) -> dict[str, Any]:
    """Jensen–Shannon distance of the sizes of samples from those of the test split, with and without the asked histogram."""
    wanted = Counter(len(crystal) for crystal in bench.crystals)
    samples = {"without": bench.generator.sample(bench.options.n, **bench.how),
               "with": bench.generator.sample(bench.options.n, request=Request(sizes=dict(wanted)), **bench.how)}
    found: dict[str, Any] = {}
    for name, result in samples.items():
        drawn = Counter(len(c) for c in result.crystals if c is not None)
        keys = sorted({*wanted, *drawn})
        found[name] = round(float(jensenshannon([wanted[k] for k in keys], [drawn[k] for k in keys], base=2)), 4)
        found[f"at most 16 atoms, {name}"] = round(sum(n for k, n in drawn.items() if k <= 16) / max(drawn.total(), 1), 4)
    keys, drawn = sorted(wanted), np.random.default_rng(0).multinomial(
        len(samples["with"].crystals), np.array([wanted[k] for k in sorted(wanted)]) / wanted.total(), size=200)
    floor = [float(jensenshannon([wanted[k] for k in keys], each, base=2)) for each in drawn]
    found["as many draws from the histogram"] = round(float(np.median(floor)), 4)
    return found | {"at most 16 atoms, test": round(sum(n for k, n in wanted.items() if k <= 16) / wanted.total(), 4)}


def stability(bench: Bench) -> dict[str, Any]:
    """Energy above the hull asked low against nothing asked: CHGNet as drawn, and what that costs in variety."""
    requests = {"asked": Request(e_above_hull=LOW), "not asked": None}
    found: dict[str, Any] = {"at most, eV/atom": LOW}
    for name, request in requests.items():
        result = bench.generator.sample(bench.options.n, request=request, **bench.how)
        energies = result.energies(relax=False, workers=1, progress=False)["e_above_hull"].astype(float)
        known, n = energies.dropna(), len(result)
        checks = structure_table(result.crystals, result.ids, result.reasons, workers=1)
        new, low = result.compare_known()["not known by hash"].to_numpy(dtype=bool), (energies <= LOW).to_numpy()
        formulas = [c.reduced_formula for c in result.crystals if c is not None]
        found[name] = {
            "median": round(float(known.median()), 4), "quarters": [round(float(known.quantile(q)), 4) for q in (0.25, 0.75)],
            "without an energy": n - len(known), "met": rate(int(low.sum()), n),
            "stable": rate(int((energies <= 1e-4).sum()), n), "all checks": rate(int(checks["all checks"].sum()), n),
            "new by hash": rate(int(new.sum()), n), "met and new by hash": rate(int((new & low).sum()), n),
            "different formulas": len(set(formulas)), "atoms, median": float(np.median([len(c) for c in result.crystals if c])),
        }
    found["lower by"] = round(1 - found["asked"]["median"] / found["not asked"]["median"], 4)
    return found


def cost(bench: Bench, rounds: int = 3) -> dict[str, Any]:
    """Time of guided sampling over plain sampling, neither held to its composition, the median of alternating rounds."""
    usual = 1.0 if bench.generator.recipe.diffuser is None else bench.generator.recipe.diffuser.guidance
    ways: dict[str, dict[str, Any]] = {"plain": {"guidance": 1.0}, "callable": {"guidance": 1.0, "guide": VolumeGuide(10, 20)}}
    if usual != 1:
        ways["classifier-free"] = {"guidance": usual}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, arguments in ways.items():
            start = time.perf_counter()
            bench.generator.sample(16, **arguments, **bench.how | {"steps": 20, "hold": 0.0})
            took[name].append(time.perf_counter() - start)
    middle = {name: float(np.median(seconds)) for name, seconds in took.items()}
    return {name: round(seconds / middle["plain"], 2) for name, seconds in middle.items() if name != "plain"}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "unconditional": plain,
    "elements": lambda b: met(b, "elements", lambda c: Request(required=symbols_of(c))),
    "formula": lambda b: met(b, "formula", lambda c: Request(formula=c.reduced_formula, n_atoms=(1, 20))),
    "n_atoms": lambda b: met(b, "n_atoms", lambda c: Request(n_atoms=len(c))),
    "crystal_system": system, "csp": csp, "complete": completion, "vary": variation, "sizes": sizes, "cost": cost,
    "e_above_hull": stability,
}  # fmt: skip
BARS = {"elements": 0.9, "formula": 0.8, "n_atoms": 0.9, "crystal_system": 0.6, "csp": "0.25 first, 0.5 any", "complete": 0.5,
        "sizes": "at most 0.1 with", "e_above_hull": "lower by 0.3",
        "cost": "at most 2.1 classifier-free, 5 callable"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="laptop")
    parser.add_argument("--corpus", type=Path, help="prepared corpus with a test split")
    parser.add_argument("-n", type=int, default=100, help="requests of each kind")
    parser.add_argument("--csp", type=int, default=50, help="crystals whose structure is predicted")
    parser.add_argument("--guesses", type=int, default=20)
    parser.add_argument("--crystals", type=int, default=20, help="crystals that are varied and completed")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = options.out or Path("benchmarks/results") / f"asked_and_met_{Path(options.run).name}.json"
    with TemporaryDirectory() as scratch:
        corpus = Corpus(options.corpus) if options.corpus else corpus_of(load_generator(options.run), "decorated", scratch)
        crystals = test_crystals(corpus, options.seed)
    generator = load_generator(options.run)
    about = {"model": model_digest(generator), "n": options.n, "csp": options.csp, "guesses": options.guesses,
             "crystals": options.crystals, "steps": options.steps, "seed": options.seed, "test crystals": len(crystals)}
    found = read_json(out) if out.is_file() else {}
    if found.get("about") != about:
        found = {"about": about, "parts": {}}
    bench = Bench(generator, crystals, options)
    for name in options.only:
        if name in found["parts"]:
            continue
        start = time.perf_counter()
        try:
            result = PARTS[name](bench)
        except RecipeError as error:
            result = {"refused": str(error)}
        if out.is_file() and (beside := read_json(out)).get("about") == about:  # other parts may have been measured meanwhile
            found = beside
        found["parts"][name] = result | {"bar": BARS.get(name), "seconds": round(time.perf_counter() - start, 1)}
        words = shlex.join(["python", "benchmarks/asked_and_met.py", *sys.argv[1:]]).split(" --only ")[0]
        found |= {"command": words, "machine": platform.platform(),
                  "data": options.corpus.name if options.corpus else "decorated prototypes",
                  "torch": torch.__version__}
        write_json(out, found)
        print(f"{name:<15} {json.dumps(found['parts'][name], ensure_ascii=False)[:300]}", flush=True)


def test_crystals(corpus: Corpus, seed: int) -> list[Crystal]:
    """Crystals of the test split, or of the validation split where there is none, in an order of the seed."""
    split = corpus.split("test")
    split = split if len(split) else corpus.split("val")
    order = np.random.default_rng(seed).permutation(len(split))
    return [split[int(i)].crystal for i in order]


if __name__ == "__main__":
    main()
