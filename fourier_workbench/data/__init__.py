"""Crystals from files, libraries and hubs, made ready for training.

In: a source's name or path. Out: samples (id, `Crystal`, properties), a filtered corpus in Parquet shards with all that
was rejected counted, and batches of Fourier coefficients expanded on the model's device. Knows nothing of models.
"""

from fourier_workbench.data.batches import CrystalBatch, CrystalTensors, batch_indices
from fourier_workbench.data.corpus import Corpus, CorpusView
from fourier_workbench.data.funnel import Funnel, funnel_figure
from fourier_workbench.data.loader import CrystalDataset, CrystalLoader
from fourier_workbench.data.preparation import prepare_corpus
from fourier_workbench.data.readers import Sample
from fourier_workbench.data.sources import load_crystals

__all__ = [
    "Corpus",
    "CorpusView",
    "CrystalBatch",
    "CrystalDataset",
    "CrystalLoader",
    "CrystalTensors",
    "Funnel",
    "Sample",
    "batch_indices",
    "funnel_figure",
    "load_crystals",
    "prepare_corpus",
]
