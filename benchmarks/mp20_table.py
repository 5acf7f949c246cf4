"""MP-20: our samples beside those that other generators published and beside controls, all judged alike.

    python benchmarks/mp20_table.py mp_20.parquet peers WORK                          # peers and controls, 500 each
    python benchmarks/mp20_table.py mp_20.parquet peers WORK --rows ours --ours mp20  # then ours, into the same table
    … --steps measured static                                                         # only some of the four steps

Rows: `SGEquiDiff`, `WyFormer, DiffCSP++` and `WyFormer, CrySPR` (relaxed by its authors with CHGNet), the first `--n` of their
files; `training crystals` drawn again, `displaced` (0.3 Å) and `strained` (5 %), and `PyXtal` with their compositions; `ours`,
the first n of 2n draws, and `ours, accepted`, the n of these 2n with the smallest residual of recovery, which is the better half
by its own certificate; `ours, asked near the hull`, n samples of a request for at most 0.1 eV/atom above the hull, which a
model of properties turns into a preference for compositions; `coordinate diffusion` (coordinate_diffusion.py) with `--minutes`
of processor time on the same crystals.

Four steps, in this order over all rows, so that a part is a table too. *measured*: CDVAE validity, unique, novel
(StructureMatcher against the whole training split), distances to `--compare` test crystals. *static*: CHGNet energies as drawn.
*relaxed*: atoms and cell relaxed, from the primitive cell within 0.01 Å. *covered*: CDVAE's coverage of `--coverage` test
crystals. Energies are above the hull of static CHGNet energies of the training split that comes with the package. Every rate is
of all n; what failed counts as not passed, and how many that are stands beside. Intervals are 95 % bootstraps. What is finished
is kept in WORK and not done again.
Needs the extras `evaluation` and, for PyXtal, `baselines`.
"""

import argparse
import gzip
import json
import platform
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coordinate_diffusion
import numpy as np
import pandas as pd
import simple_baselines
import torch
from mp20_tables import crystal_of
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from fourier_workbench import Crystal
from fourier_workbench.errors import CrystalError
from fourier_workbench.evaluation import EvaluationReport, evaluate
from fourier_workbench.evaluation.checks import package_version
from fourier_workbench.evaluation.inputs import Reference
from fourier_workbench.evaluation.stability.energies import Energies
from fourier_workbench.evaluation.stability.hull import shipped_hull, shipped_hulls, stability, stability_rates
from fourier_workbench.evaluation.stability.potentials import CHGNet
from fourier_workbench.files import write_json
from fourier_workbench.generation import Request, load_generator, sample_folder

PEERS = {
    "SGEquiDiff": "sgequidiff_mp20_1000.tar.gz",
    "WyFormer, DiffCSP++": "wyformer_diffcsppp_mp20.json.gz",
    "WyFormer, CrySPR": "wyformer_cryspr_chgnet_mp20.json.gz",
}
CONTROLS = ("training crystals", "displaced", "strained", "PyXtal")
ASKED = "ours, asked near the hull"
OURS = ("ours", "ours, accepted", ASKED)
STEPS = ("measured", "static", "relaxed", "covered")
RELAXED = CHGNet(fmax=0.05, steps=200)
SECONDS = 180.0  # of a relaxation
SHOWN = (
    "CDVAE structure", "CDVAE composition", "CDVAE valid", "all checks", "unique", "novel", "all checks, unique, novel",
    "coverage recall", "coverage precision",
)  # fmt: skip
JUDGED = (
    "stable (0)", "stable (0.1)", "S.U.N. (0)", "S.U.N. (0.1)", "S.U.N. (0), CDVAE valid", "S.U.N. (0.1), CDVAE valid",
    "E above hull, eV/atom", "RMSD to relaxed, Å", "relaxation converged",
)  # fmt: skip
DISTANCES = (
    "Wasserstein, mass density", "Wasserstein, elements", "Wasserstein, atoms", "Jensen–Shannon, space groups",
    "Jensen–Shannon, atoms",
)  # fmt: skip
Draws = dict[str, Any]  # samples (crystal or None, reason) and facts


def as_crystal(structure: Structure) -> tuple[Crystal | None, str | None]:
    """A crystal, or why it is none."""
    try:
        return Crystal.from_structure(structure), None
    except CrystalError as error:
        return None, error.reason


def published(path: Path, n: int) -> Draws:
    """The first `n` samples of a file, in their own order."""
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            members.sort(key=lambda member: int(member.name.split("-")[1]))  # by the number of the draw
            texts = [archive.extractfile(member).read().decode() for member in members[:n]]  # type: ignore[union-attr]
        structures = [Poscar.from_str(text).structure for text in texts]
        total = len(members)
    else:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            entries = json.load(file)
        structures, total = [Structure.from_dict(entry["structure"]) for entry in entries[:n]], len(entries)
    return as_json([as_crystal(structure) for structure in structures], {"file": path.name, "samples in it": total})


def as_json(pairs: list[tuple[Crystal | None, str | None]], facts: dict[str, Any]) -> Draws:
    """Draws as JSON."""
    rows = [{"crystal": None if c is None else [c.lattice.tolist(), c.numbers.tolist(), c.frac_coords.tolist()], "reason": why}
            for c, why in pairs]  # fmt: skip
    return {"samples": rows, "facts": facts}


def control(name: str, train: list[Crystal], args: argparse.Namespace) -> Draws:
    """A control: training crystals drawn again or perturbed, PyXtal, or the coordinate model."""
    start = time.perf_counter()
    if name == "coordinate diffusion":
        cells = coordinate_diffusion.Cells.of(train)
        model, facts = coordinate_diffusion.train(cells, 60 * args.minutes, args.seed)
        start = time.perf_counter()
        pairs = coordinate_diffusion.Sampler(model, cells, seed=args.seed).draw(args.n)
    else:
        make = {"training crystals": simple_baselines.resampled, "displaced": simple_baselines.displaced,
                "strained": simple_baselines.strained, "PyXtal": simple_baselines.random_symmetric}[name]  # fmt: skip
        pairs, facts = make(train, args.n, args.seed), {}
    return as_json(list(zip(*pairs, strict=True)), facts | {"seconds a crystal": (time.perf_counter() - start) / args.n})


def our_draws(args: argparse.Namespace) -> dict[str, Draws]:
    """Both of our rows, from the same 2n draws."""
    generator, start = load_generator(args.ours), time.perf_counter()
    drawn = sample_folder(generator, args.work / f"ours_{Path(args.ours).name}", 2 * args.n, args.seed, formats=("parquet",))
    each, table = (time.perf_counter() - start) / (2 * args.n), drawn.table
    pairs = pairs_of(table)
    residual = np.where([crystal is None for crystal, _ in pairs], np.inf, table["residual"].astype(float))
    best = np.sort(np.argsort(residual, kind="stable")[: args.n])
    facts = {"model": Path(args.ours).name, "settings": {k: v for k, v in drawn.settings.items() if k != "model"}}
    accepted = [pairs[i] for i in best]
    told = {"largest residual accepted": float(residual[best].max()), "drawn": 2 * args.n, "seconds a crystal": 2 * each}
    return {"ours": as_json(pairs[: args.n], facts | {"seconds a crystal": each}),
            "ours, accepted": as_json(accepted, facts | told)}  # fmt: skip


def asked_draws(args: argparse.Namespace) -> Draws:
    """n samples that were asked to lie near the hull."""
    generator, start = load_generator(args.ours), time.perf_counter()
    folder, request = args.work / f"asked_{Path(args.ours).name}", Request(e_above_hull=0.1)
    drawn = sample_folder(generator, folder, args.n, args.seed, request=request, formats=("parquet",))
    facts = {"model": Path(args.ours).name, "seconds a crystal": (time.perf_counter() - start) / args.n,
             "settings": {k: v for k, v in drawn.settings.items() if k != "model"}}
    return as_json(pairs_of(drawn.table), facts)


def pairs_of(table: pd.DataFrame) -> list[tuple[Crystal | None, str | None]]:
    """Crystals of a table of samples, and why some are none."""
    return [(None if row.lattice is None else crystal_of(row), row.reason if isinstance(row.reason, str) else None)
            for row in table.itertuples()]  # fmt: skip


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What is in a JSON file, or what `make` gives, which then is."""
    if not path.is_file():
        write_json(path, make())
    return json.loads(path.read_text(encoding="utf-8"))


class Data:
    """MP-20: crystals by split, read when they are needed."""

    def __init__(self, path: Path):
        self.table = pd.read_parquet(path)
        self.train = self._split("train")
        self.test = [crystal for _, crystal in self._split("test")]
        self.reference: Reference = {}
        for name, crystal in self.train:
            self.reference.setdefault(crystal.reduced_formula, {})[name] = crystal

    def _split(self, name: str) -> list[tuple[str, Crystal]]:
        rows = self.table[self.table["orig_split"] == name].itertuples()
        return [(row.material_id, crystal_of(row)) for row in rows]


def file_name(row: str, args: argparse.Namespace) -> str:
    """A row's part of file names."""
    model = f"_{Path(args.ours).name}" if row in OURS else ""
    return row.replace(", ", "_").replace(" ", "_").replace("++", "pp") + model + f"_{args.n}"


def drawn(row: str, data: Data, args: argparse.Namespace) -> Draws:
    """The samples of a row."""

    def make() -> Draws:
        if row in PEERS:
            return published(args.peers / PEERS[row], args.n)
        if row == ASKED:
            return asked_draws(args)
        if row in OURS:
            both = our_draws(args)
            for name, draws in both.items():
                write_json(args.work / f"{file_name(name, args)}.json", draws)
            return both[row]
        return control(row, [crystal for _, crystal in data.train], args)

    return kept(args.work / f"{file_name(row, args)}.json", make)


def primitive(crystal: Crystal | None) -> Crystal | None:
    """The primitive cell within 0.01 Å: the same crystal, relaxed in a fraction of the time."""
    if crystal is None:
        return None
    found = Crystal.from_structure(crystal.to_structure().get_primitive_structure(tolerance=0.01))
    return found if len(found) < len(crystal) else crystal


def energies_of(step: str, crystals: list[Crystal | None], args: argparse.Namespace) -> pd.DataFrame:
    """Energies of a row, static or relaxed: a table of `Energies`."""
    if step == "relaxed":
        return Energies(RELAXED, SECONDS, args.workers, args.work)([primitive(c) for c in crystals], progress=False)
    there = [i for i, crystal in enumerate(crystals) if crystal is not None and crystal.min_distance() >= 0.5]
    values = dict(zip(there, CHGNet().static_energies([c for i in there if (c := crystals[i]) is not None]), strict=True))
    table = pd.DataFrame({"energy": [values.get(i) for i in range(len(crystals))]}, dtype=float)
    table["energy_failure"] = ["no energy" if one != one else None for one in table["energy"]]
    return table.assign(converged=pd.NA, rmsd=np.nan)


def as_rates(rows: list[dict[str, Any]], wanted: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Rows of rates by label, without their definitions."""
    return {row["metric"]: {key: row[key] for key in ("value", "low", "high", "count", "denominator", "failures")}
            for row in rows if row["metric"] in wanted}  # fmt: skip


def judged(step: str, draws: Draws, data: Data, args: argparse.Namespace) -> dict[str, Any]:
    """What one step finds out about a row."""
    crystals = [None if row["crystal"] is None else Crystal(*row["crystal"]) for row in draws["samples"]]
    coverage = args.coverage if step == "covered" else 0
    report: EvaluationReport = evaluate(
        crystals, data.reference, target=data.test, compare=args.compare, coverage=coverage, workers=args.workers,
        cache=args.work / "measurements.jsonl", progress=False)  # fmt: skip
    rows = report.rates.to_dict("records")
    if step == "covered":
        return {"rates": as_rates(rows, ("coverage recall", "coverage precision"))}
    if step == "measured":
        apart = {row["metric"]: {key: row[key] for key in ("value", "low", "high", "missing")}
                 for row in report.distances.to_dict("records") if row["metric"] in DISTANCES}  # fmt: skip
        return {"rates": as_rates(rows, SHOWN), "distances": apart, "remarks": report.remarks, "funnel": report.funnel,
                "not known by hash": report["not known by hash"]}  # fmt: skip
    hull = shipped_hull()
    table = stability(energies_of(step, crystals, args), crystals, hull)
    table = table.assign(**{name: report.structures[name].to_numpy() for name in ("unique", "novel", "CDVAE valid")})
    found = stability_rates(table, hull, RELAXED.description)
    known = table["e_above_hull"].dropna()
    return {"rates": as_rates(found, JUDGED), "median above hull": float(known.median()) if len(known) else None,
            "failures": table["stability_failure"].value_counts().to_dict()}  # fmt: skip


def results(rows: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Everything that is finished."""
    table = {}
    for row in rows:
        paths = {step: args.work / "results" / f"{file_name(row, args)}_{step}.json" for step in STEPS}
        draws = args.work / f"{file_name(row, args)}.json"
        if draws.is_file():
            done = {step: json.loads(path.read_text(encoding="utf-8")) for step, path in paths.items() if path.is_file()}
            table[row] = {"facts": json.loads(draws.read_text(encoding="utf-8"))["facts"], **done}
    versions = {name: package_version(name) for name in
                ("fourier_workbench", "chgnet", "smact", "matminer", "pymatgen", "spglib", "pyxtal")}  # fmt: skip
    return {
        "command": f"python benchmarks/mp20_table.py {args.source.name} {args.peers.name} WORK --n {args.n} "
                   f"--compare {args.compare} --coverage {args.coverage} --ours {Path(args.ours).name} --seed {args.seed}",
        "n": args.n, "machine": f"{platform.machine()}, one thread, shared with other processes", "versions": versions,
        "relaxed": RELAXED.description, "hull": shipped_hull().source if shipped_hulls() else None,
        "reference": "MP-20's training split, 27 111 crystals", "target": f"{args.compare} crystals of MP-20's test split",
        "rows": table,
    }  # fmt: skip


def text_of(cell: dict[str, Any] | None, metric: str) -> str:
    """A value with its interval."""
    if not cell or cell["value"] is None or cell["value"] != cell["value"]:
        return "–"
    unit = metric.startswith(("E above", "RMSD", "Wasserstein", "Jensen"))
    scale, digits = (1.0, 3) if unit else (100.0, 1)
    low, high = (scale * cell[key] for key in ("low", "high"))
    return f"{scale * cell['value']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def show(found: dict[str, Any]) -> str:
    """The table, a row for each metric and a column for each generator."""
    rows, lines = found["rows"], []
    lines.append(f"{'':<44}" + "".join(f"{name:>24}" for name in rows))
    groups = (("measured", "rates", SHOWN[:7]), ("covered", "rates", SHOWN[7:]), ("measured", "distances", DISTANCES),
              ("static", "rates", JUDGED[:7]), ("relaxed", "rates", JUDGED))  # fmt: skip
    for step, group, names in groups:
        for name in names:
            cells = [text_of(row.get(step, {}).get(group, {}).get(name), name) for row in rows.values()]
            prefix = f"{step}: " if step in ("static", "relaxed") else ""
            lines.append(f"{prefix + name:<44}" + "".join(f"{cell:>24}" for cell in cells))
    seconds = [row["facts"].get("seconds a crystal") for row in rows.values()]
    lines.append(f"{'seconds a crystal':<44}" + "".join(f"{'–' if s is None else f'{s:.3f}':>24}" for s in seconds))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="mp_20.parquet")
    parser.add_argument("peers", type=Path, help="folder of published samples")
    parser.add_argument("work", type=Path, help="where parts are kept")
    parser.add_argument("--rows", nargs="+", default=["peers", "controls"],
                        help="names of rows, or ours, peers, controls")  # fmt: skip
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--ours", default="mp20", help="a shipped checkpoint, or a run's directory")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--compare", type=int, default=1000)
    parser.add_argument("--coverage", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the coordinate model's training")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mp20_table.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    (args.work / "results").mkdir(parents=True, exist_ok=True)
    groups = {"peers": tuple(PEERS), "controls": CONTROLS, "ours": OURS}
    wanted = [row for name in args.rows for row in groups.get(name, (name,))]
    every = [*OURS, *PEERS, *CONTROLS, "coordinate diffusion"]
    if unknown := [row for row in wanted if row not in every]:
        parser.error(f"no row {unknown[0]!r}; choose from {', '.join(every)}")
    data = Data(args.source)
    for step in args.steps:
        for row in wanted:
            draws = drawn(row, data, args)
            start = time.perf_counter()
            path = args.work / "results" / f"{file_name(row, args)}_{step}.json"
            kept(path, lambda step=step, draws=draws: judged(step, draws, data, args))
            write_json(args.out, results(every, args))
            print(f"{step}: {row}, {time.perf_counter() - start:.0f} s", flush=True)
    print(show(results(every, args)))


if __name__ == "__main__":
    main()
