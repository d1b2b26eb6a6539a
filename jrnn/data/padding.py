"""Examples side by side: sequences padded with zeros, rows that only fill."""

from typing import Any

import numpy as np

from jrnn.data.sequences import Batch, Dataset, Sequences


def padded_batch(
    dataset: Dataset, which: np.ndarray, shape: tuple[int, ...], num_rows: int
) -> Batch:
    """The examples `which`, padded to a shape, `(T,)` or `(T, T')`, in rows."""
    inputs, lengths = _padded(dataset.inputs, which, shape[0], num_rows)
    targets, target_lengths = dataset.targets, None
    if isinstance(targets, Sequences):
        targets, target_lengths = _padded(targets, which, shape[1], num_rows)
    elif targets is not None:
        targets = _filled(np.asarray(targets)[which], num_rows)
    real = np.arange(num_rows) < len(which)
    return Batch(inputs, lengths, targets, target_lengths, real)


def _padded(
    sequences: Sequences, which: np.ndarray, num_steps: int, num_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    values = sequences.values
    lengths = _filled(sequences.lengths[which].astype(np.int32), num_rows)
    padded = np.zeros((num_rows, num_steps, *values.shape[1:]), values.dtype)
    for row, i in enumerate(which):
        padded[row, : lengths[row]] = sequences[i]
    return padded, lengths


def _filled(rows: np.ndarray, num_rows: int) -> Any:
    more = np.zeros((num_rows - len(rows), *rows.shape[1:]), rows.dtype)
    return np.concatenate([rows, more])
