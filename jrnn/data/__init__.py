"""Sequences of unequal length: readers, splits, scaling, batches by length.

NumPy and polars: nothing here imports JAX.
"""

from jrnn.data.batching import Batching, batching, in_order
from jrnn.data.sequences import Batch, Dataset, Sequences, from_arrays, windows

__all__ = [
    "Batch",
    "Batching",
    "Dataset",
    "Sequences",
    "batching",
    "from_arrays",
    "in_order",
    "windows",
]
