"""Buckets: the few lengths to which sequences are padded, and how they are chosen.

A shape is `(T,)`, or `(T, T')` where targets are sequences too. Shapes grow from bucket
to bucket in both, and an example goes to the first that holds it.
"""

from collections.abc import Sequence

import numpy as np

from jrnn.data.sequences import Dataset, Sequences

MOST = 16  # each shape is one more program to compile
SHARE = 0.1  # of steps that are padding, which fewer buckets must not exceed
EDGES = 512  # lengths among which the best are looked for

Shape = tuple[int, ...]


def lengths_of(dataset: Dataset) -> np.ndarray:
    """Lengths (n, 1) of inputs, or (n, 2) of inputs and of what is to be written."""
    columns = [dataset.inputs.lengths]
    if isinstance(dataset.targets, Sequences):
        columns.append(dataset.targets.lengths)
    return np.maximum(1, np.stack(columns, axis=1))


def shapes_of(
    lengths: np.ndarray,
    buckets: int | Sequence[int | Shape] | None,
    num_batches: int,
) -> np.ndarray:
    """Shapes (K, 1) or (K, 2) of the buckets, growing.

    A number asks for that many, None for the fewest whose padding is under a tenth, at
    most 16, and not so many that most batches would be of several buckets.
    """
    if buckets is None:
        return _best(lengths, min(MOST, max(1, num_batches // 2)), SHARE)
    if isinstance(buckets, int | np.integer):
        if buckets < 1:
            raise ValueError(f"batching: buckets must be at least 1, got {buckets}.")
        return _best(lengths, int(buckets), 0.0)
    shapes = np.array([np.ravel(shape) for shape in buckets])
    if shapes.ndim != 2 or shapes.shape[1] != lengths.shape[1] or shapes.min() < 1:
        raise ValueError(
            "batching: buckets must be a number, or lengths such as (10, 50), or pairs "
            f"of lengths where targets are sequences, got {buckets!r}."
        )
    longest = np.maximum(shapes.max(0), lengths.max(0))  # one more if it needs it
    return np.unique(np.maximum.accumulate([*np.sort(shapes, 0), longest]), axis=0)


def bucket_of(lengths: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """The first bucket (n,) that holds each example in all its lengths."""
    columns = zip(shapes.T, lengths.T, strict=True)
    return np.max([np.searchsorted(edge, length) for edge, length in columns], axis=0)


def _best(lengths: np.ndarray, most: int, share: float) -> np.ndarray:
    """Shapes with the least padding: the fewest with no more than `share`, or `most`.

    Examples in order of their total length are cut into K runs, each padded to its
    longest; the cost of all up to j, in k runs, is

        cost_k(j) = min over i < j of  cost_{k-1}(i) + (count_j - count_i) * size_j
    """
    order = np.argsort(lengths.sum(1), kind="stable")
    longest = np.maximum.accumulate(lengths[order], axis=0)  # (n, 1 or 2)
    ends = np.flatnonzero(np.append((np.diff(longest, axis=0) > 0).any(1), True))
    if len(ends) > EDGES:
        ends = ends[np.linspace(0, len(ends) - 1, EDGES).round().astype(int)]
    count = np.append(0, ends + 1)  # (U + 1,)
    size = longest[ends].sum(1)
    real = lengths.sum()
    added = (count[1:, None] - count) * size[:, None].astype(float)  # (U, U + 1): j, i
    added[np.arange(len(count)) > np.arange(len(ends))[:, None]] = np.inf
    cost = np.append(0.0, np.full(len(ends), np.inf))
    cuts = []
    for _ in range(min(most, len(ends))):
        total = cost + added
        cuts.append(total.argmin(1))
        cost = np.append(np.inf, total.min(1))
        if 1 - real / cost[-1] <= share:
            break
    chosen, j = [], len(ends)
    for cut in reversed(cuts):
        chosen.append(j - 1)
        j = cut[j - 1]
    return longest[ends[chosen[::-1]]]
