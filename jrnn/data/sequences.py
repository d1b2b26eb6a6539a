"""Sequences of unequal length as one value: flat arrays, and where each one lies."""

from collections.abc import Iterable, Sequence
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

    Raises:
        ValueError: other shapes; a sequence that does not lie in the values.

    Example:
        >>> xs = Sequences(np.arange(5), np.array([0, 3]), np.array([3, 2]))
        >>> len(xs), xs[1].tolist(), xs.take([1, 1]).lengths.tolist()
        (2, [3, 4], [2, 2])
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def __post_init__(self) -> None:
        _check(self)

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

    `groups` are for what must not be torn apart, such as all recordings of one person:
    `split_sequences` puts the examples of a group into the same part.

    Example:
        >>> xs = from_arrays([np.zeros((3, 2)), np.ones((5, 2))])
        >>> data = Dataset(xs, targets=np.array([0, 1]))
        >>> len(data.inputs), data.groups is None
        (2, True)
    """

    inputs: Sequences
    targets: Any = None
    groups: np.ndarray | None = None  # (n,): examples of a group stay on one side

    def take(self, which: np.ndarray | Sequence[int] | slice) -> "Dataset":
        """Some of the examples, in the order given; their steps are not copied."""
        targets, groups = self.targets, self.groups
        if isinstance(targets, Sequences):
            targets = targets.take(which)
        elif targets is not None:
            targets = np.asarray(targets)[which]
        groups = None if groups is None else np.asarray(groups)[which]
        return Dataset(self.inputs.take(which), targets, groups)


class Batch(NamedTuple):
    """Examples side by side, padded with zeros.

    The length T is that of the batch's bucket, so that few shapes occur; see
    `batching`. Rows that only fill the batch have length 0 and zeros everywhere.

    Example:
        >>> from jrnn.data import Dataset, from_arrays, in_order
        >>> xs = from_arrays([np.array([1, 2, 3]), np.array([4])])
        >>> [(_, batch)] = in_order(Dataset(xs), batch_size=2)
        >>> batch.inputs.tolist(), batch.lengths.tolist()
        ([[4, 0, 0], [1, 2, 3]], [1, 3])
    """

    inputs: Any  # (B, T, ...)
    lengths: Any  # (B,) int32
    targets: Any  # None, (B, ...) or (B, T', ...)
    target_lengths: Any  # (B,) int32 where targets are sequences, else None
    real: Any  # (B,) bool: False where a row only fills the batch


def from_arrays(arrays: Iterable[Any]) -> Sequences:
    """Put arrays of unequal length into one value.

    Integers become int32, as JAX has them; floating-point numbers keep their type.

    Args:
        arrays: one array for each sequence: numbers `(T, D)`, or tokens `(T,)`; T may
            differ, the other axes not.

    Returns:
        `Sequences`, in the order given; the steps are copied once.

    Raises:
        ValueError: no arrays; one without steps; one whose steps have another shape.
        TypeError: an array that holds no numbers.

    Example:
        >>> xs = from_arrays([np.ones((3, 2)), np.zeros((1, 2))])
        >>> len(xs), xs.values.shape, xs.lengths.tolist()
        (2, (4, 2), [3, 1])
    """
    parts = [np.asarray(array) for array in arrays]
    if not parts:
        raise ValueError("from_arrays: there are no sequences. Pass a list of arrays.")
    for i, part in enumerate(parts):
        _check_part(i, part, parts[0])
    lengths = np.array([len(part) for part in parts])
    values = numbers("from_arrays", np.concatenate(parts))
    return Sequences(values, np.cumsum(lengths) - lengths, lengths)


def windows(series: Sequences, length: int, stride: int = 1) -> Sequences:
    """All windows of a length, each of them inside one sequence.

        window k of sequence i  =  sequence i [k * stride : k * stride + length]

    Windows overlap where `stride` is less than `length`; no step is copied. Split by
    time before (`split_time`), or by sequence after: `split_sequences` keeps windows
    that overlap together.

    Args:
        series: one or more sequences.
        length: steps of a window, positive.
        stride: steps from the start of a window to that of the next, positive.

    Returns:
        `Sequences` on the same values, in the order of `series`, then by time. A
        sequence shorter than `length` has no window.

    Raises:
        ValueError: a length or stride below 1; every sequence is too short.

    Example:
        >>> series = from_arrays([np.arange(5), np.arange(2), np.arange(3)])
        >>> [w.tolist() for w in windows(series, length=3)]
        [[0, 1, 2], [1, 2, 3], [2, 3, 4], [0, 1, 2]]
    """
    for name, value in (("length", length), ("stride", stride)):
        if value < 1:
            raise ValueError(f"windows: {name} must be at least 1, got {value}.")
    counts = np.maximum(0, (series.lengths - length) // stride + 1)
    if not counts.sum():
        raise ValueError(
            f"windows: no sequence has {length} steps; the longest has "
            f"{series.lengths.max(initial=0)}. Choose shorter windows."
        )
    k = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(series.starts, counts) + k * stride
    return Sequences(series.values, starts, np.full(len(starts), length))


def numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Values as JAX has them: integers and flags as int32, floats as they are.

    Example:
        >>> numbers("f", np.array([True, False])).dtype
        dtype('int32')
    """
    if values.dtype.kind == "f":
        return values
    if values.dtype.kind not in "iub":
        raise TypeError(
            f"{name}: sequences hold numbers, got {values.dtype}. Turn text into "
            "tokens by jrnn.text.encode, and classes into integers."
        )
    if values.dtype.kind != "b" and values.size:
        low, high = values.min(), values.max()
        if low < -(2**31) or high >= 2**31:
            raise ValueError(
                f"{name}: integers from {low} to {high} do not fit int32. Make them "
                "floating-point numbers."
            )
    return values.astype(np.int32, copy=False)


def _check(self: Sequences) -> None:
    starts, lengths = self.starts, self.lengths
    integers = all(
        isinstance(a, np.ndarray) and a.dtype.kind in "iu" and a.ndim == 1
        for a in (starts, lengths)
    )
    if not integers or starts.shape != lengths.shape:
        raise ValueError(
            "Sequences: starts and lengths must be arrays of as many integers each, "
            f"got {np.shape(starts)} and {np.shape(lengths)}."
        )
    outside = (starts < 0) | (lengths < 0) | (starts + lengths > len(self.values))
    if outside.any():
        i = int(outside.argmax())
        raise ValueError(
            f"Sequences: sequence {i} begins at {starts[i]} and has {lengths[i]} "
            f"steps, but there are {len(self.values)} steps in all."
        )


def _check_part(i: int, part: np.ndarray, first: np.ndarray) -> None:
    if part.ndim == 0:
        raise ValueError(
            f"from_arrays: sequence {i} is one number. Pass a list of arrays, one for "
            "each sequence, with time first."
        )
    if len(part) == 0:
        raise ValueError(f"from_arrays: sequence {i} has no steps. Leave it out.")
    if part.shape[1:] != first.shape[1:]:
        raise ValueError(
            f"from_arrays: a step of sequence {i} has shape {part.shape[1:]}, of "
            f"sequence 0 {first.shape[1:]}. Time comes first; other axes must agree."
        )
