"""A corpus for training from any source.

In: samples. Out: filtered, deduplicated and split Parquet shards, and a funnel that counts every rejection by reason.
"""

from fourier_workbench.data.preparation.prepare import prepare_corpus

__all__ = ["prepare_corpus"]
