"""One training step of each stage and one sampled ladder at the paper's full size, on whatever machine this is.

    python benchmarks/paper_size.py [--recipe paper_baseline] [--batch 2] [--levels 2]

Prints parameter counts, losses, seconds and peak memory. The batch is smaller than the paper's 8 so that it fits in 24 GiB; the
networks have the paper's size. The diffuser sees the ladder as it is from step 160 000 of 333 727 on, when pruning has ended.
"""

import argparse
import platform
import resource
import time
from dataclasses import replace

import numpy as np
import torch

from fourier_workbench import Crystal
from fourier_workbench.config.recipes import get_recipe
from fourier_workbench.data.batches import CrystalDataset
from fourier_workbench.diffusion import LadderNoise, denoiser, get_sampler, noise_levels, sample_generators
from fourier_workbench.model.layers import to_real
from fourier_workbench.representation import FourierBasis
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.stages import AutoencoderTraining, DiffuserTraining


def crystals(n: int) -> list[Crystal]:
    """Perovskites of slightly different size: the numbers do not matter here, only that they are crystals."""
    sites = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return [Crystal(np.eye(3) * (3.8 + 0.02 * i), [20 + i, 22, 8, 8, 8], sites) for i in range(n)]


def timed(label: str, work):
    """Run `work`, say how long it took."""
    start = time.perf_counter()
    result = work()
    print(f"{label:34} {time.perf_counter() - start:8.1f} s", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="paper_baseline")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--levels", type=int, default=2, help="noise levels of the one sampled ladder")
    args = parser.parse_args()
    recipe = get_recipe(args.recipe)
    recipe = replace(recipe, autoencoder=replace(recipe.autoencoder, batch_size=args.batch),
                     diffuser=replace(recipe.diffuser, batch_size=args.batch))
    config = recipe.autoencoder.model
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{recipe.name} on {machine}, batch {args.batch}")
    basis = FourierBasis(config.bpd, config.truncation)
    data = CrystalDataset(crystals(args.batch), basis, recipe.autoencoder.grid)
    fabric = make_fabric()

    stage = timed("build the autoencoder", lambda: AutoencoderTraining(recipe, data, fabric))
    print(f"{'autoencoder parameters':34} {sum(p.numel() for p in stage.model.parameters()):>12,}")
    row = timed("one autoencoder training step", lambda: stage.step(0))
    print(f"{'loss':34} {float(row['loss']):12.4f}")
    assert np.isfinite(float(row["loss"])), "the autoencoder's loss is not finite"

    autoencoder = stage.averaged()
    autoencoder.ladder.prune(config.nnz_final)
    del stage  # the optimiser's moments are not needed any more
    stage = timed("build the diffuser", lambda: DiffuserTraining(recipe, recipe.diffuser, autoencoder, data, fabric))
    print(f"{'diffuser parameters':34} {sum(p.numel() for p in stage.model.parameters()):>12,}")
    row = timed("one diffuser training step", lambda: stage.step(0))
    print(f"{'loss':34} {float(row['loss']):12.4f}")
    assert np.isfinite(float(row["loss"])), "the diffuser's loss is not finite"

    diffuser = stage.model.eval()
    noise = LadderNoise(diffuser.tau, diffuser.selector, sample_generators(0, [0]))
    ladder = timed(f"one ladder, {args.levels} levels", lambda: get_sampler("ancestral")(
        denoiser(diffuser, stage.schedule), stage.schedule, noise, noise_levels(args.levels)))
    kept = int(diffuser.selector.sum())
    print(f"{'ladder channels kept':34} {kept:>12,} of {len(diffuser.selector):,}")
    assert torch.isfinite(to_real(ladder)).all() and not ladder[:, ~diffuser.selector].any()
    with torch.no_grad():
        decoded = timed("decode it", lambda: autoencoder.decode(ladder))
    assert torch.isfinite(torch.view_as_real(decoded.coefficients)).all()
    print(f"{'peak memory':34} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:12.1f} GiB")


if __name__ == "__main__":
    main()
