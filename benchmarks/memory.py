"""Memory that one crystal takes in a training step at the paper's size, with and without recomputed activations.

    python benchmarks/memory.py [--recipe paper_baseline]

Counts the bytes of all tensors that are kept between the forward and the backward pass of the autoencoder's loss, each
storage once, parameters and buffers left out; where activations are recomputed, what goes into each block is kept, and one
block's activations come back at a time. Counted at one and two layers and at one and two crystals, which gives what a layer
and a crystal add, and from that the whole network: exact, and the same on any machine. `predicted` is what the recipe
announces before it starts.
"""

import argparse
from dataclasses import replace

import torch
from torch import nn

from fourier_workbench.config.recipes import get_recipe
from fourier_workbench.config.schema import AutoencoderStage
from fourier_workbench.model import Autoencoder
from fourier_workbench.model.attention import Block
from fourier_workbench.model.execution import ExecutionConfig, accelerate
from fourier_workbench.training.cost import autoencoder_cost
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.losses import autoencoder_loss


def kept_bytes(stage: AutoencoderStage, layers: int, engine: ExecutionConfig, batch: int) -> int:
    """Bytes kept for the backward pass of a batch."""
    shape, whole = stage.model.transformer, stage.model
    compression = whole.compression * layers / shape.n_layers
    config = replace(whole, transformer=replace(shape, n_layers=layers), compression=compression)
    fabric, model = make_fabric(engine=engine), Autoencoder(config)
    model = model.to(fabric.device)
    accelerate(model, engine, fabric.device)
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    def enters(block: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        keep(inputs[0])

    if engine.checkpointing:
        for module in model.modules():
            if isinstance(module, Block):
                module.register_forward_pre_hook(enters)
    alpha = torch.randn(batch, 6, len(model.basis), dtype=torch.complex64, device=fabric.device)
    lattice, species = torch.randn(batch, 6, device=fabric.device), torch.randint(0, 84, (batch, 6), device=fabric.device)
    noise = torch.randn(batch, 2 * config.n_channels, device=fabric.device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), fabric.autocast():
        loss, _, _ = autoencoder_loss(model, stage.loss, lattice, species, model.token_coefficients(alpha), noise, 0.5)
    assert torch.isfinite(loss)  # the graph, hence every storage, lives until here
    return sum(seen.values())


def per_crystal(stage: AutoencoderStage, engine: ExecutionConfig) -> tuple[float, float]:
    """Bytes a crystal adds in the whole network, and in one block."""
    one, two = (kept_bytes(stage, n, engine, 2) - kept_bytes(stage, n, engine, 1) for n in (1, 2))
    return one + (stage.model.transformer.n_layers - 1) * (two - one), (two - one) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="paper_baseline")
    args = parser.parse_args()
    print(f"{args.recipe}: MiB that one crystal keeps for the backward pass\n")
    print(f"{'tokens':8}{'precision':>11}{'kept':>10}{'recomputed':>12}{'ratio':>8}{'predicted':>11}{'recomputed':>12}")
    for tokens in ("full", "half"):
        stage = get_recipe(args.recipe).autoencoder
        stage = replace(stage, model=replace(stage.model, tokens=tokens))
        for precision in ("fp32", "bf16"):
            whole, block = per_crystal(stage, ExecutionConfig(precision))
            thrifty = per_crystal(stage, ExecutionConfig(precision, checkpointing=True))[0] + block
            said = [autoencoder_cost(stage.model, half_precision=precision == "bf16", checkpointing=again).activations
                    for again in (False, True)]
            print(f"{tokens:8}{precision:>11}{whole / 2**20:10,.0f}{thrifty / 2**20:12,.0f}{whole / thrifty:8.1f}"
                  f"{said[0] / 2**20:11,.0f}{said[1] / 2**20:12,.0f}", flush=True)
    weights = 4 * autoencoder_cost(stage.model).parameters
    print(f"\nwhatever the batch: weights {weights / 2**20:,.0f} MiB, gradients as much, Adam's moments twice as much")


if __name__ == "__main__":
    main()
