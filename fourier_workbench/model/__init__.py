"""The networks: an autoencoder between Fourier coefficients and ladders, and a diffuser that estimates noise in ladders.

In: tensors of lattice coefficients, species classes and Fourier coefficients. Out: ladders, decoded tensors, noise estimates.
Architecture only: no data sets, losses or files.
"""

from fourier_workbench.model.attention import TransformerConfig
from fourier_workbench.model.autoencoder import Autoencoder, AutoencoderConfig, Decoded
from fourier_workbench.model.diffuser import Diffuser, DiffuserConfig

__all__ = ["Autoencoder", "AutoencoderConfig", "Decoded", "Diffuser", "DiffuserConfig", "TransformerConfig"]
