"""The table of the small-cell regime (at most 16 atoms): our generator beside baselines that anyone can run.

    python benchmarks/baselines.py decorated                     # beside the checkpoint `laptop` that comes with the package
    python benchmarks/baselines.py CORPUS --ours RUN             # a prepared corpus, a trained run; trained for the same time
    python benchmarks/baselines.py perov_5.parquet --ours RUN --minutes 5 --n 256 --out results.json
    … --energies 64 [--single-point]                             # and CHGNet's S.U.N. of the first 64 of each

Baselines: training crystals drawn again; with strained lattices; with displaced atoms; PyXtal's random crystals of the same
compositions; a compact coordinate-space diffusion model (coordinate_diffusion.py), trained on the same training crystals for
the CPU time that a run of ours took, or for `--minutes` of it. Controls: our decoder on noise and on held-out crystals with
its own noise, the coordinate model's starting noise. Every rate is of everything drawn; a crystal of more than 16 atoms
counts as rejected. Intervals are 95 % bootstraps over the drawn. Distances are to as many held-out test crystals as are
drawn. Energies are of the first few of each but the controls, against one self-consistent hull of the training crystals.
What is finished is kept in `--work` and not done again. Needs the extras `evaluation` and `baselines`.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import coordinate_diffusion
import pandas as pd
import simple_baselines
import torch

from fourier_workbench import Crystal
from fourier_workbench.data import Corpus, prepare_corpus
from fourier_workbench.demo import training_seconds
from fourier_workbench.errors import WorkbenchError
from fourier_workbench.evaluation import EvaluationReport
from fourier_workbench.evaluation.inputs import Reference, SampleSet, by_formula
from fourier_workbench.generation import Generator, evaluate, load_generator
from fourier_workbench.generation.samples import rejection_funnel
from fourier_workbench.representation import FourierBasis
from fourier_workbench.training import Run

LARGEST = 16  # atoms
Draws = tuple[list[Crystal | None], list[str | None]]
SHOWN = (
    "recovered", "valid", "all checks", "unique", "novel", "valid, unique, novel", "all checks, unique, novel", "clean",
    "stable (0)", "stable (0.1)", "S.U.N. (0)", "S.U.N. (0.1)", "hull has rivals", "RMSD to relaxed, Å", "E above hull, eV/atom",
)  # fmt: skip


def prepared(source: str, work: Path, generator: Generator, workers: int) -> Corpus:
    """`source` as a corpus: opened when it is one, else prepared as our generator needs it."""
    if (Path(source) / "manifest.json").is_file():
        return Corpus(source)
    basis = FourierBasis(generator.autoencoder.basis.bpd)
    return prepare_corpus(source, work / "corpus", basis, generator.grid, workers=workers, recovery="robust")


def small(crystals: Iterable[Any]) -> list[Crystal]:
    """The crystals of at most 16 atoms."""
    return [sample.crystal for sample in crystals if len(sample.crystal) <= LARGEST]


def as_rows(draws: Draws) -> list[dict[str, Any]]:
    """Draws as JSON; what is too large is rejected here."""
    rows = []
    for crystal, reason in zip(*draws, strict=True):
        if crystal is not None and len(crystal) > LARGEST:
            crystal, reason = None, "more than 16 atoms"
        arrays = None if crystal is None else [getattr(crystal, name).tolist() for name in ("lattice", "numbers", "frac_coords")]
        rows.append({"crystal": arrays, "reason": reason})
    return rows


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What is in a JSON file, or what `make` gives, which then is."""
    if not path.is_file():
        content = make()
        part = path.with_suffix(".part")
        part.write_text(json.dumps(content) + "\n", encoding="utf-8")
        part.replace(path)
    return json.loads(path.read_text(encoding="utf-8"))


def our_minutes(ours: str) -> float | None:
    """Minutes that a run of ours trained, from its own log; None where it has none."""
    if not (Path(ours) / "metrics.jsonl").is_file():
        return None
    return sum(training_seconds(Run(ours).metrics()).values()) / 60


def drawn_by(name: str, args: argparse.Namespace, generator: Generator, corpus: Corpus) -> Callable[[], dict[str, Any]]:
    """How one column of the table is drawn: rows and facts."""
    train, test = small(corpus.split("train")), small(corpus.split("test"))

    def ours() -> Any:
        if name == "ours":
            return generator.sample(args.n, args.seed)
        if name == "ours: noise":
            return generator.noise_control(args.n, args.seed)
        return generator.ceiling((test * (args.n // max(1, len(test)) + 1))[: args.n], args.seed)

    def coordinates() -> dict[str, Any]:
        cells = coordinate_diffusion.Cells.of(train)
        model, facts = coordinate_diffusion.train(cells, 60 * args.minutes, args.seed)
        sampler = coordinate_diffusion.Sampler(model, cells, seed=args.seed)
        return {"samples": as_rows(sampler.draw(args.n)), "noise": as_rows(sampler.noise(args.n)), "facts": facts}

    simple = {"resampled": simple_baselines.resampled, "strained": simple_baselines.strained,
              "displaced": simple_baselines.displaced, "PyXtal": simple_baselines.random_symmetric}  # fmt: skip
    if name == "coordinates":
        return coordinates
    if name in simple:
        return lambda: {"samples": as_rows(simple[name](train, args.n, args.seed)), "facts": {}}

    def judged() -> dict[str, Any]:
        result = ours()
        clean = result.table["clean"].tolist()
        return {"samples": as_rows((result.crystals, result.reasons)), "facts": {"generator": repr(generator)}, "clean": clean}

    return judged


def as_drawn(rows: list[dict[str, Any]]) -> SampleSet:
    """Rows of JSON as what `evaluate` judges."""
    crystals = [None if row["crystal"] is None else Crystal(*row["crystal"]) for row in rows]
    return SampleSet([str(i) for i in range(len(rows))], crystals, [row["reason"] for row in rows])


def finished(folder: Path) -> EvaluationReport | None:
    """The report that an earlier call left in `folder`."""
    if not (folder / "summary.json").is_file():
        return None
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    structures = pd.read_parquet(folder / "structures.parquet")
    return EvaluationReport(pd.DataFrame(told["rates"]), structures, told["funnel"], pd.DataFrame(told["distances"]))


def judge(
    name: str, drawn: SampleSet, clean: list[bool] | None, reference: Reference, test: list[Crystal], args: argparse.Namespace
) -> EvaluationReport:
    """The report of one column."""
    folder = args.work / "evaluation" / name.replace(": ", "_").replace(" ", "_")
    report = finished(folder) or evaluate(
        drawn.crystals, reference, target=test, compare=args.n, directory=folder, workers=args.workers, progress=False
    )
    report = replace(report, funnel=rejection_funnel(drawn.reasons))
    if clean is not None:
        there = [c and crystal is not None for c, crystal in zip(clean, drawn.crystals, strict=True)]
        report = report.with_verdicts({"clean": there}, {"clean": "valid, no ghost, no empty, every |Re α₀ − n| ≤ 0.25"})
    return report


def show(reports: dict[str, EvaluationReport]) -> str:
    """Rates with their intervals, then distances, one column a method."""
    width = max(18, *(len(name) + 2 for name in reports))
    lines = [" " * 34 + "".join(f"{name:>{width}}" for name in reports)]
    for metric in dict.fromkeys(m for m in SHOWN if any(m in set(r.rates["metric"]) for r in reports.values())):
        cells = []
        for report in reports.values():
            rows = report.rates[report.rates["metric"] == metric]
            row = None if rows.empty else rows.iloc[0]
            unit = 1.0 if "Å" in metric or "eV" in metric else 100.0
            digits = 2 if unit == 1.0 else 1 if row is None or row.value < 0.995 else 0
            text = "–" if row is None or row.value != row.value else (
                f"{unit * row.value:.{digits}f} [{unit * row.low:.{digits}f}, {unit * row.high:.{digits}f}]")  # fmt: skip
            cells.append(f"{text:>{width}}")
        lines.append(f"{metric + ('' if 'Å' in metric or 'eV' in metric else ', %'):<34}" + "".join(cells))
    for metric in next(iter(reports.values())).distances["metric"]:
        values = [r.distances.set_index("metric").loc[metric] for r in reports.values()]
        lines.append(f"{metric:<34}" + "".join(f"{f'{v.value:.2f} [{v.low:.2f}, {v.high:.2f}]':>{width}}" for v in values))
    return "\n".join(lines)


def as_json(reports: dict[str, EvaluationReport], facts: dict[str, Any]) -> str:
    """Everything that was printed, and what it was made of."""
    tables = {
        name: {
            "rates": json.loads(report.rates.to_json(orient="records")),
            "distances": json.loads(report.distances.to_json(orient="records")),
            "funnel": report.funnel,
        }
        for name, report in reports.items()
    }
    return json.dumps({**facts, "table": tables}, indent=1, ensure_ascii=False) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a prepared corpus, or any source that `fwb prepare` takes")
    parser.add_argument("--ours", default="laptop", help="a run's directory, or a shipped checkpoint")
    parser.add_argument("--minutes", type=float, help="CPU minutes of the coordinate model (default: what our run took, or 10)")
    parser.add_argument("--n", type=int, default=256, help="how many are drawn by each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--energies", type=int, default=0, help="how many of each get CHGNet energies")
    parser.add_argument("--single-point", action="store_true", help="energies as drawn: nothing is relaxed, the hull neither")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--work", type=Path, help="where parts are kept (default: a folder that is named by what is asked)")
    parser.add_argument("--out", type=Path, help="JSON file for the table")
    args = parser.parse_args()
    took = our_minutes(args.ours)
    args.minutes = args.minutes or took or 10.0
    asked = f"{args.source} {args.ours} {args.minutes} {args.n} {args.seed}"
    args.work = args.work or Path(tempfile.gettempdir()) / f"baselines-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    args.work.mkdir(parents=True, exist_ok=True)
    return args


def origins(args: argparse.Namespace, corpus: Corpus) -> dict[str, Any]:
    """How the corpus was prepared and what was trained for how long, from their own records."""
    options = {name: corpus.manifest["options"][name] for name in ("bpd", "grid", "recovery", "deduplicate", "split")}
    told: dict[str, Any] = {"corpus": {"source": Path(corpus.manifest["source"]).name, **options}}
    if (Path(args.ours) / "run.json").is_file():
        recipe = Run(args.ours).recipe
        steps = {name: stage.steps for name in ("autoencoder", "diffuser") if (stage := getattr(recipe, name)) is not None}
        told["run"] = {"recipe": recipe.name, "steps": steps, "minutes": our_minutes(args.ours)}
    return told


def machine() -> str:
    """What this runs on, in words."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    model = next((line.split(":")[1].strip() for line in told.splitlines() if line.startswith("model name")), platform.machine())
    return f"one thread of {os.cpu_count()} cores, {model}; torch {torch.__version__}"


def with_energies(reports: dict[str, EvaluationReport], columns: dict[str, SampleSet], reference: Reference,
                  args: argparse.Namespace) -> tuple[dict[str, EvaluationReport], str]:
    """The reports of the first few of each column with CHGNet's stability, all against one hull; and the hull's words."""
    from fourier_workbench.evaluation.stability.energies import Energies
    from fourier_workbench.evaluation.stability.hull import self_consistent_hull, stability, stability_rates
    from fourier_workbench.evaluation.stability.potentials import CHGNet

    energies = Energies(CHGNet(relax=not args.single_point), workers=args.workers, directory=args.work)
    firsts = {name: drawn.crystals[: args.energies] for name, drawn in columns.items() if ": " not in name}
    hull = self_consistent_hull(reference, energies, [c for crystals in firsts.values() for c in crystals])
    out = dict(reports)
    for name, crystals in firsts.items():
        report, found = reports[name], stability(energies(crystals), crystals, hull)
        found = found.assign(**{word: report.structures[word][: args.energies].to_numpy() for word in ("unique", "novel")})
        rows = pd.DataFrame(stability_rates(found, hull, energies.potential.description))
        out[name] = replace(report, rates=pd.concat([report.rates, rows], ignore_index=True))
    return out, hull.source


def main() -> None:
    args, began = arguments(), time.perf_counter()
    torch.set_num_threads(1)
    generator = load_generator(args.ours)
    corpus = prepared(args.source, args.work, generator, args.workers)
    test = small(corpus.split("test"))
    reference = by_formula(sample for sample in corpus.split("train") if len(sample.crystal) <= LARGEST)
    names = ("ours", "coordinates", "resampled", "strained", "displaced", "PyXtal", "ours: noise", "ours: ceiling")
    columns: dict[str, SampleSet] = {}
    reports: dict[str, EvaluationReport] = {}
    about: dict[str, Any] = {}
    for name in names:
        content = kept(args.work / f"{name.replace(': ', '_')}.json", drawn_by(name, args, generator, corpus))
        about[name] = content["facts"]
        parts = {name: content["samples"]} | ({f"{name}: noise": content["noise"]} if "noise" in content else {})
        for part, rows in parts.items():
            columns[part] = as_drawn(rows)
            reports[part] = judge(part, columns[part], content.get("clean"), reference, test, args)
            print(f"{part}: {reports[part].funnel}", file=sys.stderr, flush=True)
    facts: dict[str, Any] = {
        "command": f"python benchmarks/baselines.py {Path(args.source).name} --ours {Path(args.ours).name} "
                   f"--minutes {args.minutes:g} --n {args.n} --seed {args.seed}"
                   + (f" --energies {args.energies}" if args.energies else "") + " --single-point" * args.single_point,
        "machine": machine(),
        "data": f"{Path(args.source).name}: {sum(map(len, reference.values()))} training crystals of at most {LARGEST} atoms, "
                f"{len(test)} test crystals",
        **origins(args, corpus), "ours": Path(args.ours).name, "coordinate model": about["coordinates"],
        "n": args.n, "seed": args.seed,
    }  # fmt: skip
    if args.energies:
        reports, facts["hull"] = with_energies(reports, columns, reference, args)
        facts["energies of the first"] = args.energies
    facts["seconds of this call"] = round(time.perf_counter() - began)
    print(json.dumps(facts, indent=1, ensure_ascii=False))
    print(show(reports))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(as_json(reports, facts), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except WorkbenchError as error:
        sys.exit(f"baselines: {error}")
