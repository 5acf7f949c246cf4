"""Predicted against measured: how well `cost` foretells a training step of the autoencoder, from small to paper width.

    OMP_NUM_THREADS=1 python benchmarks/cost.py

One table: channels, batch, seconds measured (least of four steps, processor time over threads), seconds predicted from three
numbers that are measured in the same run, and their ratio. Takes half a minute.
"""

import argparse
import time

import torch

from fourier_workbench.config.recipes import laptop
from fourier_workbench.config.schema import AutoencoderLoss
from fourier_workbench.model import Autoencoder, AutoencoderConfig, TransformerConfig
from fourier_workbench.reproduction.result_table import describe_machine
from fourier_workbench.training.cost import autoencoder_cost
from fourier_workbench.training.losses import autoencoder_loss
from fourier_workbench.training.machines import this_machine


def measured(config: AutoencoderConfig, samples: int) -> float:
    """Seconds of a step, gradient and optimiser included."""
    model = Autoencoder(config)
    tokens = len(model.basis.half) if config.tokens == "half" else len(model.basis)
    inputs = torch.randn(samples, 6), torch.ones(samples, 6, dtype=torch.int64), torch.randn(samples, 6, tokens) + 0j
    optimiser, took = torch.optim.Adam(model.parameters(), 1e-4), []
    for _ in range(5):
        start = time.process_time()
        optimiser.zero_grad()
        autoencoder_loss(model, AutoencoderLoss(), *inputs, torch.randn(samples, 2 * config.n_channels))[0].backward()
        optimiser.step()
        took.append((time.process_time() - start) / torch.get_num_threads())
    return min(took[1:])


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    machine = this_machine()
    print(f"{describe_machine()}\n{machine}, {machine.launch * 1e6:.1f} µs an operation")
    print(f"{'channels':>8} {'layers':>6} {'tokens':>6} {'batch':>5} {'measured s':>10} {'predicted s':>11} {'ratio':>6}")
    shapes = [(laptop().autoencoder.model.transformer, 5, batch, "half") for batch in (1, 8, 32)]
    shapes += [(TransformerConfig(d_head, 6, 2), 5, 8, "half") for d_head in (12, 24, 48)]
    shapes += [(TransformerConfig(48, 12, 1), 7, 2, "full")]
    for shape, bpd, batch, layout in shapes:
        config = AutoencoderConfig(shape, bpd=bpd, n_aux=4, tokens=layout, compression=0.05)
        work, took = autoencoder_cost(config), measured(config, batch)
        moved = machine.passes * work.activations * batch + 72 * work.parameters
        foretold = machine.seconds(batch * work.both, shape.d_model, moved, work.operations)
        tokens = (bpd**3 + 1) // 2 if layout == "half" else bpd**3
        about = f"{shape.d_model:>8} {2 * shape.n_layers:>6} {tokens:>6} {batch:>5}"
        print(f"{about} {took:>10.4f} {foretold:>11.4f} {foretold / took:>6.2f}")


if __name__ == "__main__":
    main()
