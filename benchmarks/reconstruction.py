"""How much of the real crystals of a whole test set an autoencoder gives back, judged as CDVAE judged its own.

    python benchmarks/reconstruction.py perov_5_full.parquet OUT --minutes 20   # trained here; 5³ modes on 1/24
    python benchmarks/reconstruction.py carbon_24.parquet OUT --minutes 40
    python benchmarks/reconstruction.py mp_20.parquet OUT --model mp20          # a shipped model, or a run; nothing is trained
    python benchmarks/reconstruction.py mp_20.parquet OUT --model mp20 --refine 60 --tries 5   # crystals fitted to their ladders
    … --first 200                                                               # of a shuffled test set, to try it out

Without `--model`, crystals of the train split are prepared in the primitive cell of the standard setting, and the autoencoder of
`laptop`, with 128 channels kept and a tenth of its penalty, is trained for so many minutes of processor time. Tested is every
row of the test split of CDVAE (`orig_split`), in the same cell: a row that no crystal can be made of, that does not fit on the
grid, that holds an element the model does not know or that does not come back counts as not matched, under its reason. *Exact*:
all species and all atoms on their nodes. *Match*: StructureMatcher (ltol 0.3, stol 0.5, angle 10°); the RMS displacement of those
that match in units of (V/N)^(1/3). *R* is the ladder's signal against its noise; the paper implies 20 to 40, and a greater
`--penalty` lowers it. CDVAE's and FTCP's figures are those of CDVAE's paper (arXiv 2110.06197), on the whole test sets. The same
command goes on where it was stopped, `--chunk` crystals at a time; the result is written to OUT/reconstruction.json.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher

from fourier_workbench import Crystal
from fourier_workbench.config.schema import Recipe, override
from fourier_workbench.data import prepare_corpus
from fourier_workbench.data.batches import CrystalDataset
from fourier_workbench.errors import CrystalError, EvaluationError
from fourier_workbench.evaluation.metrics import METRICS
from fourier_workbench.files import write_json
from fourier_workbench.generation import Generator, RecoveryOptions, evaluate_reconstruction, load_generator
from fourier_workbench.model.layers import to_real
from fourier_workbench.representation import FourierBasis, encode
from fourier_workbench.training import fit, recipes
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.losses import information_ratio
from fourier_workbench.training.stages import AutoencoderTraining

PUBLISHED = {
    "perov_5": {"CDVAE": 97.52, "FTCP": 99.34},
    "carbon_24": {"CDVAE": 55.22, "FTCP": 62.28},
    "mp_20": {"CDVAE": 45.43, "FTCP": 69.89},
}  # match, %
BINS = {"1-4": 4, "5-8": 8, "9-12": 12, "13-16": 16, "17-20": 20, "21-32": 32, ">32": 10**6}
VERDICTS = ("exact", "match", "match, middle", "match, tight")


def seconds_a_step(recipe: Recipe, train) -> float:
    """Processor seconds of one training step, from twenty of them."""
    stage = recipe.autoencoder
    crystals = CrystalDataset(train, FourierBasis(stage.model.bpd), stage.grid)
    training = AutoencoderTraining(recipe, crystals, make_fabric(1))
    for step in range(5):
        training.step(step)
    start = time.process_time()
    for step in range(5, 25):
        training.step(step)
    return (time.process_time() - start) / 20


def trained(args: argparse.Namespace) -> tuple[Generator, dict[str, Any]]:
    """The autoencoder trained on the train split, and what it was trained with."""
    recipe = override(recipes.laptop(), name="reconstruction", diffuser=None, autoencoder__batch_size=args.batch,
                      autoencoder__loss__penalty_weight=args.penalty, autoencoder__model__compression=128 / 1254,
                      **{name: json.loads(value) for name, value in (one.split("=", 1) for one in args.set)})  # fmt: skip
    stage = recipe.autoencoder
    corpus = prepare_corpus(args.source, args.out / "corpus", FourierBasis(stage.model.bpd), stage.grid, cell=args.cell,
                            deduplicate=False, split="given", recovery=None, elements="all")  # fmt: skip
    written = args.out / "run" / "recipe.json"
    if written.is_file():
        recipe = Recipe.from_json(written)
    else:
        steps = int(60 * args.minutes / seconds_a_step(recipe, corpus.split("train")))
        recipe = override(recipe, autoencoder__steps=steps)
    fit(recipe, corpus, args.out / "run")
    return load_generator(args.out / "run"), {
        "trained on": len(corpus.split("train")), "minutes": args.minutes, "steps": recipe.autoencoder.steps,
        "penalty": recipe.autoencoder.loss.penalty_weight,
    }  # fmt: skip


def crystal_of(row, cell: str) -> tuple[Crystal | None, str | None]:
    """The crystal of a row of the source in the cell that models are trained on, or why there is none."""
    try:
        crystal = Crystal(np.reshape(row.lattice, (3, 3)), row.atomic_numbers, np.reshape(row.frac_coords, (-1, 3)))
        return {"given": crystal.right_handed, "niggli": crystal.niggli, "standard": crystal.standard}[cell](), None
    except CrystalError as error:
        return None, error.reason
    except Exception:  # pymatgen and spglib raise several types on cells that they cannot reduce
        return None, "cell"


def rms_of_match(matcher: StructureMatcher, first: Crystal, second: Crystal) -> float | None:
    """RMS displacement of two crystals that match, in units of (V/N)^(1/3)."""
    found = matcher.get_rms_dist(first.to_structure(), second.to_structure())
    return None if found is None else float(found[0])


def judged(rows: pd.DataFrame, generator: Generator, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One record a row: size, verdicts, RMS displacement, why it was lost."""
    pairs = [crystal_of(row, args.cell) for row in rows.itertuples()]
    out = [{"id": str(name), "atoms": int(n), **dict.fromkeys(VERDICTS, False), "rms": None, "reason": reason}
           for name, n, (_, reason) in zip(rows["material_id"], rows["n_sites"], pairs, strict=True)]  # fmt: skip
    there = [(record, crystal) for record, (crystal, _) in zip(out, pairs, strict=True) if crystal is not None]
    try:
        report = evaluate_reconstruction(generator, [crystal for _, crystal in there], workers=args.workers, progress=False,
                                         recovery=RecoveryOptions(refine=args.refine, tries=args.tries))  # fmt: skip
    except EvaluationError:  # none of them fits
        for record, _ in there:
            record["reason"] = "not encoded"
        return out
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    for (record, crystal), found, back in zip(there, report.structures.to_dict("records"), report.crystals, strict=True):
        record |= {name: bool(found[name]) for name in VERDICTS} | {"reason": found["reason"]}
        if record["match"] and back is not None:
            record["rms"] = rms_of_match(matcher, crystal, back)
    return out


def table_of(records: pd.DataFrame) -> list[dict[str, Any]]:
    """Rates by size, of every row."""
    table, low = [], 0
    for name, top in {**BINS, "all": 10**6}.items():
        here = records[(records["atoms"] > (0 if name == "all" else low)) & (records["atoms"] <= top)]
        low = top
        if len(here):
            rates = {verdict: float(here[verdict].mean()) for verdict in VERDICTS}
            table.append({"atoms": name, "crystals": len(here), **rates, "rms": float(here["rms"].astype(float).mean())})
    return table


def tell(records: pd.DataFrame, generator: Generator, rows: pd.DataFrame, told: dict[str, Any], args: argparse.Namespace) -> None:
    """Print the table by size, and write it."""
    model, table = generator.autoencoder, table_of(records)
    crystals = [crystal for row in rows.head(500).itertuples() if (crystal := crystal_of(row, args.cell)[0]) is not None]
    fourier = encode(crystals, model.basis, generator.grid, max_atomic_number=generator.max_atomic_number)
    able = torch.tensor([i for i, reason in enumerate(fourier.reasons or [None] * len(crystals)) if reason is None])
    fourier = fourier[able]
    with torch.no_grad():
        means = model.encode(fourier.lattice.float(), fourier.species, fourier.coefficients)
    match, stem = METRICS["match"], Path(args.source).stem.removesuffix("_full")
    result = {
        "data": Path(args.source).name, "model": args.model or "trained here", "refine": args.refine, "tries": args.tries, **told,
        "tested on": len(records), "of a test split of": int((pd.read_parquet(args.source, columns=["orig_split"])["orig_split"]
                                                              == "test").sum()),
        "lost": records["reason"].dropna().value_counts().to_dict(), "table": table,
        "match": {key: value for key, value in match.rate(records["match"]).items() if key in ("value", "low", "high")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "parameters": sum(p.numel() for p in model.parameters()), "R": float(information_ratio(model, to_real(means))),
        "published match, %": PUBLISHED.get(stem),
    }  # fmt: skip
    write_json(args.out / "reconstruction.json", result)
    print(pd.DataFrame(table).to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    print(*(f"{key}: {value}" for key, value in result.items() if key != "table"), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", help="a shipped checkpoint or a run; default: an autoencoder is trained here")
    parser.add_argument("--refine", type=int, default=0, help="steps in which crystals are fitted to their ladders")
    parser.add_argument("--tries", type=int, default=1, help="decodings of a ladder that the first crystal does not fit")
    parser.add_argument("--minutes", type=float, default=20.0, help="processor time of the training")
    parser.add_argument("--cell", choices=("given", "niggli", "standard"), default="standard")
    parser.add_argument("--first", type=int, help="so many of the shuffled test rows; default: every row")
    parser.add_argument("--chunk", type=int, default=128, help="crystals that a kill can lose")
    parser.add_argument("--workers", type=int, default=1, help="processes that compare")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--penalty", type=float, default=0.01, help="λ_μ")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=JSON", help="other fields, as autoencoder__model__n_aux=6")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    generator, told = (load_generator(args.model), {}) if args.model else trained(args)
    data = pd.read_parquet(args.source)
    rows = data[data["orig_split"] == "test"].sample(frac=1.0, random_state=0)
    rows = rows.head(args.first) if args.first else rows
    path = args.out / f"reconstructed_{Path(args.model or 'run').name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    done = {record["id"]: record for line in lines if line.endswith("}") for record in [json.loads(line)]}
    left = rows[~rows["material_id"].astype(str).isin(list(done))]
    with path.open("a", encoding="utf-8") as file:
        for start in range(0, len(left), args.chunk):
            for record in judged(left.iloc[start : start + args.chunk], generator, args):
                done[record["id"]] = record
                file.write(json.dumps(record) + "\n")
            file.flush()
            print(f"{len(rows) - len(left) + min(start + args.chunk, len(left))} of {len(rows)}", flush=True)
    records = pd.DataFrame([done[str(name)] for name in rows["material_id"]])
    tell(records, generator, rows, told, args)


if __name__ == "__main__":
    main()
