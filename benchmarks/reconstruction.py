"""How much of held-back real crystals an autoencoder gives back: trained here, judged as CDVAE judged its own.

    python benchmarks/reconstruction.py perov_5.parquet OUT --minutes 20        # 5³ modes on 1/24, the test rows of CDVAE's split
    python benchmarks/reconstruction.py carbon_24.parquet OUT --minutes 40
    python benchmarks/reconstruction.py mp_mp20.parquet OUT --split formula --minutes 15 --elements paper

Crystals of all elements up to bismuth (or of those the paper keeps) are prepared in the primitive cell of the standard setting;
the autoencoder of `laptop`, with 128 channels kept and a tenth of its penalty, is trained for so many minutes of processor time
and gives back the crystals of the test split. A crystal that cannot be encoded or does not come back counts as a failure; those
that preparation rejects are not among them, and are counted beside (`rejected`). *Exact*: all species and all atoms on their
nodes. *Match*: StructureMatcher
(ltol 0.3, stol 0.5, angle 10°) against the crystal as prepared; the RMS displacement of those that match in units of (V/N)^(1/3).
*R* is the ladder's signal against its noise; the paper implies 20 to 40, and a greater `--penalty` lowers it. CDVAE's and FTCP's
figures are those of CDVAE's paper (arXiv 2110.06197), on the whole test sets. The same command goes on where it was stopped; the
result is written to OUT/reconstruction.json.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher

from fourier_workbench.config.schema import Recipe, override
from fourier_workbench.data import prepare_corpus
from fourier_workbench.data.batches import CrystalDataset
from fourier_workbench.generation import evaluate_reconstruction, load_generator
from fourier_workbench.model.layers import to_real
from fourier_workbench.representation import FourierBasis, encode
from fourier_workbench.training import fit, recipes
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.losses import information_ratio
from fourier_workbench.training.stages import AutoencoderTraining

PUBLISHED = {"perov_5": {"CDVAE": 97.52, "FTCP": 99.34}, "carbon_24": {"CDVAE": 55.22, "FTCP": 62.28}}  # match, %


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


def rms_of_matches(pairs) -> float:
    """Mean RMS displacement of pairs of crystals that match, in units of (V/N)^(1/3)."""
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    found = [matcher.get_rms_dist(a.to_structure(), b.to_structure()) for a, b in pairs]
    return float(np.mean([one[0] for one in found if one is not None])) if pairs else float("nan")


BINS = {"<=8": 8, "9-16": 16, "17-32": 32, ">32": 10**6}


def show(args, corpus, recipe: Recipe, generator, crystals) -> None:
    """Print the table by size, and write it."""
    report = evaluate_reconstruction(generator, crystals)
    rows, model = report.structures, generator.autoencoder
    able = [i for i, reason in enumerate(encode(crystals, model.basis, generator.grid).reasons) if reason is None]
    fourier = encode([crystals[i] for i in able], model.basis, generator.grid)
    with torch.no_grad():
        means = model.encode(fourier.lattice.float(), fourier.species, fourier.coefficients)
    back = dict(zip(able, generator.reconstruct([crystals[i] for i in able]).crystals, strict=True))
    sizes = np.array([len(crystal) for crystal in crystals])
    low, table = 0, []
    for name, top in {**BINS, "all": 10**6}.items():
        here = np.flatnonzero((sizes > (0 if name == "all" else low)) & (sizes <= top))
        low = top
        if len(here):
            pairs = [(crystals[i], back[i]) for i in here if rows["match"].iloc[i]]
            table.append({"atoms": name, "crystals": len(here), "exact": rows["exact"].iloc[here].mean(),
                          "match": rows["match"].iloc[here].mean(), "rms": rms_of_matches(pairs)})
    result = {
        "data": Path(args.source).name, "trained on": len(corpus.split("train")), "tested on": len(crystals),
        "rejected": corpus.funnel["rejected"], "table": table,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread", "minutes": args.minutes,
        "parameters": sum(p.numel() for p in model.parameters()), "steps": recipe.autoencoder.steps,
        "penalty": recipe.autoencoder.loss.penalty_weight, "R": float(information_ratio(model, to_real(means))),
        **{name: report[name] for name in ("species per slot", "L_four RMS", "lattice RMSE")},
        "published match, %": PUBLISHED.get(Path(args.source).stem),
    }
    (args.out / "reconstruction.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(pd.DataFrame(table).to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    print(*(f"{key}: {value}" for key, value in result.items() if key != "table"), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0, help="processor time of the training")
    parser.add_argument("--split", choices=("given", "formula"), default="given")
    parser.add_argument("--cell", choices=("given", "niggli", "standard"), default="standard")
    parser.add_argument("--elements", choices=("all", "paper"), default="all")
    parser.add_argument("--max-sites", type=int)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--penalty", type=float, default=0.01, help="λ_μ")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=JSON", help="other fields, as autoencoder__model__n_aux=6")
    args = parser.parse_args()
    recipe = override(recipes.laptop(), name="reconstruction", diffuser=None, autoencoder__batch_size=args.batch,
                      autoencoder__loss__penalty_weight=args.penalty, autoencoder__model__compression=128 / 1254,
                      **{name: json.loads(value) for name, value in (one.split("=", 1) for one in args.set)})
    stage = recipe.autoencoder
    corpus = prepare_corpus(args.source, args.out / "corpus", FourierBasis(stage.model.bpd), stage.grid, cell=args.cell,
                            deduplicate=False, split=args.split, recovery=None, max_sites=args.max_sites, elements=args.elements)
    written = args.out / "run" / "recipe.json"
    if written.is_file():
        recipe = Recipe.from_json(written)
    else:
        steps = int(60 * args.minutes / seconds_a_step(recipe, corpus.split("train")))
        recipe = override(recipe, autoencoder__steps=steps)
    fit(recipe, corpus, args.out / "run")
    show(args, corpus, recipe, load_generator(args.out / "run"), [sample.crystal for sample in corpus.split("test")])


if __name__ == "__main__":
    main()
