"""Sequences of unequal length: readers, splits, scaling, batches by length.

NumPy and polars: nothing here imports JAX.
"""

from jrnn.data.sequences import Batch, Dataset, Sequences

__all__ = ["Batch", "Dataset", "Sequences"]
