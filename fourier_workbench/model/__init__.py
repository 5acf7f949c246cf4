"""The networks: Fourier coefficients to a ladder and back, and the estimator of noise in ladders.

In: tensors of lattice coefficients, species slots and Fourier coefficients. Out: ladders, decoded tensors, noise estimates.
Architecture only: knows wave vectors, nothing of data sets, losses or files.
"""

from fourier_workbench.model.attention import TransformerConfig
from fourier_workbench.model.autoencoder import Autoencoder, AutoencoderConfig, Decoded
from fourier_workbench.model.diffuser import Diffuser, DiffuserConfig

__all__ = ["Autoencoder", "AutoencoderConfig", "Decoded", "Diffuser", "DiffuserConfig", "TransformerConfig"]
