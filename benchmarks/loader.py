"""How long the training step of the laptop recipe waits for its data, which are expanded from grid indices on the fly.

    python benchmarks/loader.py                        # the decorated prototypes
    python benchmarks/loader.py CORPUS --steps 40      # a prepared corpus

Runs steps of the recipe's autoencoder stage as `fit` does, and takes the time of every batch within its step: one ratio
within one run. Then the bytes that a worker of `CrystalLoader` sends for a crystal beside those of its coefficients.
"""

import argparse
import time

import torch

from fourier_workbench.data import Corpus, CrystalDataset, load_crystals
from fourier_workbench.data.packed import pack
from fourier_workbench.data.preparation.filters import recoverability
from fourier_workbench.representation import FourierBasis
from fourier_workbench.training import recipes
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.stages import AutoencoderTraining

SPENT: list[float] = []


class Timed(CrystalDataset):
    """Crystals that note how long each batch took."""

    def batch(self, *arguments, **options):
        """A batch, timed."""
        began = time.perf_counter()
        made = super().batch(*arguments, **options)
        SPENT.append(time.perf_counter() - began)
        return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    recipe = recipes.laptop()
    basis, grid = FourierBasis(recipe.autoencoder.model.bpd), recipe.autoencoder.grid
    if args.corpus:
        crystals = [sample.crystal for sample in Corpus(args.corpus).split("train")[:4096]]
    else:
        small = [s.crystal for s in load_crystals("decorated") if len(s.crystal) <= 20 and s.crystal.species[-1] <= 83][:4096]
        reasons = recoverability(pack(small), basis, grid)
        crystals = [crystal for crystal, reason in zip(small, reasons, strict=True) if reason is None]
    stage = AutoencoderTraining(recipe, Timed(crystals, basis, grid), make_fabric(accelerator="cpu"))
    for step in range(3):
        stage.step(step)
    SPENT.clear()
    began = time.perf_counter()
    for step in range(3, 3 + args.steps):
        stage.step(step)
    whole = time.perf_counter() - began
    print(f"{len(crystals)} crystals, batches of {recipe.autoencoder.batch_size}, {basis.bpd}³ coefficients, one core")
    print(f"a step: {1e3 * whole / args.steps:.1f} ms, of which its data {1e3 * sum(SPENT) / args.steps:.2f} ms: "
          f"{100 * sum(SPENT) / whole:.2f} % of the time")
    dataset = CrystalDataset(crystals, basis, grid)
    sent = dataset[list(range(min(256, len(dataset))))]
    size = sum(tensor.nbytes for tensor in sent) / len(sent.sizes)
    print(f"a worker sends {size:.0f} bytes a crystal instead of {6 * len(basis) * 8} of coefficients")


if __name__ == "__main__":
    main()
