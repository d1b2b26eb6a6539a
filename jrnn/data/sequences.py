"""Sequences of unequal length as one value: flat arrays, and where each one lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of unequal length, never padded: all their steps in one array.

        sequence i  =  values[starts[i] : starts[i] + lengths[i]]

    Sequences may overlap, as windows of one series do, without being copied.

    Args:
        values: all steps, `(N, ...)`: numbers `(N, D)`, or tokens and classes `(N,)`.
        starts: where each sequence begins, integers `(n,)`.
        lengths: steps of each, integers `(n,)`.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> np.ndarray:
        start = self.starts[i]
        return self.values[start : start + self.lengths[i]]

    def take(self, which: np.ndarray | Sequence[int] | slice) -> "Sequences":
        """Some of the sequences, in the order given; their steps are not copied."""
        return Sequences(self.values, self.starts[which], self.lengths[which])


class Dataset(NamedTuple):
    """Examples: what is read, and what is asked about it.

    `targets` are None, one row for each sequence `(n, ...)`, or `Sequences`: a label
    for each step, or the sequence to be written.
    """

    inputs: Sequences
    targets: Any = None
    groups: np.ndarray | None = None  # (n,): examples of a group stay on one side


class Batch(NamedTuple):
    """Examples side by side, padded with zeros to the length of the longest."""

    inputs: Any  # (B, T, ...)
    lengths: Any  # (B,) int32
    targets: Any  # None, (B, ...) or (B, T', ...)
    target_lengths: Any  # (B,) int32 where targets are sequences, else None
    real: Any  # (B,) bool: False where a row only fills the batch
