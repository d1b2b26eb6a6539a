"""Sequences of unequal length: readers, splits, scaling, batches by length.

NumPy and polars: nothing here imports JAX.
"""

from jrnn.data.batching import Batching, batching, in_order
from jrnn.data.scaling import (
    Scaling,
    fit_scaling,
    scale,
    scaling_from_json,
    scaling_to_json,
    unscale,
)
from jrnn.data.sequences import Batch, Dataset, Sequences, from_arrays, windows
from jrnn.data.splits import split_sequences, split_time

__all__ = [
    "Batch",
    "Batching",
    "Dataset",
    "Scaling",
    "Sequences",
    "batching",
    "fit_scaling",
    "from_arrays",
    "in_order",
    "scale",
    "scaling_from_json",
    "scaling_to_json",
    "split_sequences",
    "split_time",
    "unscale",
    "windows",
]
