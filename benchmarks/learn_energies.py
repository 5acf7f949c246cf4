"""Which compositions does a model draw well? Energy above the hull of its own samples, learned from composition and space group.

    fwb sample RUN SAMPLES -n 3000 --seed 5 --formats parquet --energies chgnet --no-relax
    python benchmarks/learn_energies.py RUN SAMPLES TRAINED [--corpus DIR --properties formation_energy_per_atom] [--steps 1500]
        [--data WORDS] [--out benchmarks/results/learn_energies_RUN.json]

Reads samples.parquet and energies.parquet of the first command, and trains the model of properties on what was asked of each
sample and the energy it got; with --corpus also on properties of the corpus' training crystals. Every tenth sample is held
out: how much better than chance its energy is foretold, in nats and as a rank correlation, and the median energy of the
quarter that is ranked best beside that of all. The weights, TRAINED/weights/properties.*, work as soon as they lie beside
those of RUN.
"""

import argparse
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Composition
from scipy.stats import spearmanr

from fourier_workbench.config.schema import PropertyStage, override
from fourier_workbench.data import Corpus
from fourier_workbench.files import write_json
from fourier_workbench.generation import load_generator
from fourier_workbench.model.conditions import Conditions, crystal_systems
from fourier_workbench.model.properties import PropertyConfig, PropertyModel
from fourier_workbench.training.fitting import fit_properties
from fourier_workbench.training.known import training_conditions

NAME = "e_above_hull"


def asked_conditions(table: pd.DataFrame, others: int) -> Conditions:
    """What each sample was asked for, and its energy before `others` properties that samples do not have."""
    conditions = Conditions.nothing(len(table), properties=1 + others)
    conditions.properties[:, 0] = torch.tensor(table[NAME].to_numpy(dtype=np.float32))
    for row, formula in enumerate(table["asked"]):
        atoms = sorted((element.Z, round(n)) for element, n in Composition(formula).items())
        for slot, (z, n) in enumerate(atoms):
            conditions.species[row, slot], conditions.counts[row, slot] = z, n
    group = torch.tensor(table["asked_group"].fillna(0).astype(int).to_numpy())
    return conditions._replace(space_group=group, crystal_system=crystal_systems(group))


def with_corpus(samples: Conditions, path: Path, names: list[str], most: int) -> Conditions:
    """The samples, and the training crystals of a corpus, whose energy is not known."""
    crystals = training_conditions(Corpus(path).split("train"), most, names)
    unknown = torch.full((len(crystals.species), 1), torch.nan)
    crystals = crystals._replace(properties=torch.cat([unknown, crystals.properties], 1))
    return Conditions(*map(torch.cat, zip(samples, crystals, strict=True)))


@torch.no_grad()
def quality(model: PropertyModel, held: Conditions) -> dict[str, Any]:
    """How well energies of samples that were not trained on are foretold."""
    energies, gain = held.properties[:, 0].numpy(), float(model(held).mean()) + float(np.log(model.config.bins))
    low = model.probability(held, NAME, -np.inf, 0.1).numpy()
    best = np.argsort(-low)[: len(low) // 4]
    return {"held out": len(energies), "nats above chance": round(gain, 3),
            "rank correlation": round(float(-spearmanr(low, energies)[0]), 3), "median": round(float(np.median(energies)), 3),
            "median of the quarter ranked best": round(float(np.median(energies[best])), 3)}


def learn(options: argparse.Namespace) -> dict[str, Any]:
    """Train on what the samples got, and judge by those held out."""
    generator, names = load_generator(options.run), [NAME, *options.properties]
    if generator.composer is None:
        raise SystemExit(f"{options.run} draws no compositions that could be preferred; use one such as mp20")
    table = pd.read_parquet(options.samples / "samples.parquet", columns=["id", "asked", "asked_group"])
    table = table.merge(pd.read_parquet(options.samples / "energies.parquet", columns=["id", NAME]), on="id")
    known = asked_conditions(table.dropna(subset=["asked", NAME]), len(options.properties))
    last = torch.arange(len(known.species)) % 10 == 9
    config, trained = generator.composer.config, known.at(~last)
    if options.corpus is not None:
        trained = with_corpus(trained, options.corpus, options.properties, config.max_count)
    shape = PropertyConfig(tuple(names), max_atomic_number=config.max_atomic_number, max_count=config.max_count)
    recipe = override(generator.recipe, properties=PropertyStage(shape, steps=options.steps))
    values = {NAME: f"CHGNet, as drawn, above the hull of MP-20's training crystals, of {len(known.species)} samples"}
    values |= dict.fromkeys(options.properties, "the corpus")
    about = {"values": values} | ({} if options.data is None else {"data": options.data})
    model = fit_properties(recipe, trained, options.trained, progress=False, about=about)
    assert model is not None, "nobody stopped it"
    return {"samples": len(table), "without an energy": int(table[NAME].isna().sum()), **quality(model, known.at(last))}


def main() -> None:
    """Read the arguments, train, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="directory or name of the model that drew the samples")
    parser.add_argument("samples", type=Path)
    parser.add_argument("trained", type=Path, help="directory of the new run")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--properties", nargs="*", default=[], help="of the corpus")
    parser.add_argument("--data", help="source and licence of the data, written beside the weights")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    words = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(shlex.quote, sys.argv[1:])])
    found = {"command": words, "machine": platform.platform(), **learn(options)}
    print("\n".join(f"{name:<36} {value}" for name, value in found.items()))
    if options.out is not None:
        write_json(options.out, found)


if __name__ == "__main__":
    main()
