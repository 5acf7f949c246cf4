"""The paper's protocol in small: pretrain on all crystals, fine-tune on the metastable ones, draw, count the sizes of cells.

    fwb prepare FOLDER CORPUS --bpd 5 --grid 24 --max-sites 32 --recovery none
    python benchmarks/two_stages.py CORPUS OUT --share 0.3 --draw 10000

Trains the recipe `laptop` at a share of its steps, fine-tunes its diffuser on the crystals at most 0.1 eV/atom above the hull at
a tenth of its rate, and draws from both diffusers. The size of a sample is the sum of its decoded atom counts, whether its atoms
are recovered or not; recovered ones are counted beside. Steps and samples that are done are kept in OUT: the same command goes on
where it was stopped, and writes OUT/two_stages.json.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fourier_workbench.checkpoints import load_diffuser
from fourier_workbench.config.schema import FineTuneStage, OptimiserConfig, Recipe, override
from fourier_workbench.data import Corpus
from fourier_workbench.data.preparation.splits import above_hull
from fourier_workbench.files import read_json, write_json
from fourier_workbench.generation import Generator, load_generator
from fourier_workbench.reproduction.all_tables import _commit
from fourier_workbench.reproduction.result_table import describe_machine
from fourier_workbench.training import recipes
from fourier_workbench.training.fitting import fine_tune, fit

PAPER = {"drawn": 252_549, "to_16": 250_473, "17_to_32": 2_076, "metastable_to_16": 0.742}
LIMIT = 0.1  # eV/atom above the hull


def make_recipe(share: float, seed: int) -> Recipe:
    """`laptop` at a share of its steps, with the paper's fine-tuning: constant rate, a tenth of the first."""
    base = recipes.laptop()
    steps = lambda n: max(20, round(n * share))  # noqa: E731
    tune = FineTuneStage(steps(600), 64, OptimiserConfig(lr=2e-4, lr_final=1.0, warmup=steps(60)), LIMIT)
    return override(base, seed=seed, fine_tune=tune, autoencoder__steps=steps(base.autoencoder.steps),
                    diffuser__steps=steps(3000), diffuser__guidance=1.0, diffuser__guide_at=0.0)


def drawn_sizes(generator: Generator, path: Path, n: int, chunk: int = 500) -> dict[str, list[int]]:
    """Decoded size of each sample, and that of each valid crystal; both grow in the file `path` chunk by chunk."""
    done: dict[str, Any] = read_json(path) or {"sizes": [], "valid": [], "recovered": [], "cpu_s": 0.0}
    while len(done["sizes"]) < n:
        first, begun = len(done["sizes"]), time.process_time()
        result = generator.sample(min(chunk, n - first), 0, first=first, progress=False)
        alpha, species = result.decoded.coefficients, result.decoded.species
        counts = torch.where(species > 0, alpha[..., alpha.shape[-1] // 2].real.round().clamp(min=0).long(), 0)
        done["sizes"] += counts.sum(1).tolist()
        done["recovered"] += [len(crystal) for crystal in result.crystals if crystal is not None]
        done["valid"] += [int(size) for size in result.table.loc[result.table["valid"], "n_sites"]]
        done["cpu_s"] += time.process_time() - begun
        write_json(path, done)
        print(f"{path.stem}: {len(done['sizes'])} of {n}, {done['cpu_s']:.0f} s", flush=True)
    return done


def histogram(sizes: list[int]) -> dict[str, int]:
    """Numbers of cells by size, in the paper's bins of sixteen atoms."""
    bins = {"0": (0, 0), "1-16": (1, 16), "17-32": (17, 32), "33-48": (33, 48), ">48": (49, 10**9)}
    each = np.asarray(sizes, dtype=int)
    return {name: int(((each >= low) & (each <= high)).sum()) for name, (low, high) in bins.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a prepared corpus of 5³ modes on 1/24 with energies above the hull")
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.3, help="of the steps of `laptop`")
    parser.add_argument("--draw", type=int, default=10_000)
    parser.add_argument("--draw-pretrained", type=int, default=1000, help="samples before fine-tuning, for comparison")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    corpus, recipe = Corpus(args.corpus), make_recipe(args.share, args.seed)
    first, second = args.out / "pretrained", args.out / "fine_tuned"
    fit(override(recipe, fine_tune=None), corpus, first, progress=False)
    if read_json(second / "done.json").get("recipe") != recipe.to_json():
        fine_tune(recipe, corpus, second, start=first, progress=False)
        write_json(second / "done.json", {"recipe": recipe.to_json()})
    before = load_generator(first)
    diffuser, schedule = load_diffuser(second / "weights")
    after = Generator(before.autoencoder, diffuser, schedule, recipe)
    train = list(corpus.split("train"))
    stable = [len(sample.crystal) for sample in train if above_hull(sample.properties) <= LIMIT]
    drawn = {"pretrained": drawn_sizes(before, args.out / "sizes_pretrained.json", args.draw_pretrained),
             "fine_tuned": drawn_sizes(after, args.out / "sizes_fine_tuned.json", args.draw)}
    command = f"python benchmarks/two_stages.py CORPUS OUT --share {args.share:g} --draw {args.draw}"
    result = {
        "about": {"command": command, "commit": _commit(), "machine": describe_machine(), "recipe": recipe.to_json(),
                  "data": {"source": corpus.path.name, "train": len(train), "metastable": len(stable), "hash": corpus.hash}},
        "paper": PAPER, "train": histogram([len(sample.crystal) for sample in train]), "metastable": histogram(stable),
        "drawn": {name: {"n": len(found["sizes"]), "cpu_s": found["cpu_s"],
                         **{kind: histogram(found[kind]) for kind in ("sizes", "recovered", "valid")}}
                  for name, found in drawn.items()},
        "sizes": np.bincount(drawn["fine_tuned"]["sizes"]).tolist(),
    }
    write_json(args.out / "two_stages.json", result)
    print(result["metastable"], result["drawn"])


if __name__ == "__main__":
    main()
