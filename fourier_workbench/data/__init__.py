"""Crystals from files, libraries and hubs, made ready for training.

In: a source's name or path. Out: samples (id, `Crystal`, properties), a filtered corpus in Parquet shards with every rejection
counted, and batches of Fourier coefficients expanded on the model's device. Knows nothing of models.
"""

from fourier_workbench.data.batches import CrystalDataset, batch_indices
from fourier_workbench.data.corpus import Corpus, CorpusView
from fourier_workbench.data.funnel import Funnel, funnel_figure
from fourier_workbench.data.loader import CrystalLoader
from fourier_workbench.data.preparation import prepare_corpus
from fourier_workbench.data.sources import Sample, load_crystals

__all__ = [
    "Corpus", "CorpusView", "CrystalDataset", "CrystalLoader", "Funnel", "Sample",
    "batch_indices", "funnel_figure", "load_crystals", "prepare_corpus",
]
