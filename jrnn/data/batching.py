"""Batches by length: every example once an epoch, in few shapes, from any step on.

Not by grain, though its shuffled order is a function of n too: it has no buckets by
length, so that order and padding would be one's own all the same, and copying slices,
which is all that is left, needs none of the packages that it brings.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jrnn.data.buckets import Shape, bucket_of, lengths_of, shapes_of
from jrnn.data.padding import padded_batch
from jrnn.data.sequences import Batch, Dataset


class Batching(NamedTuple):
    """An endless shuffled stream of batches, as functions of a batch's number.

    Batch n is that of epoch n // per_epoch; nothing is kept from one batch to the next.
    """

    batch: Callable[[int], Batch]  # batch n of the stream, n = 0, 1, ...
    examples: Callable[[int], np.ndarray]  # the examples in its rows that are real
    per_epoch: int  # batches in which each example comes once
    padding: float  # share of steps in the first epoch that are padding, 0 to 1
    shapes: tuple[Shape, ...]  # (T,) or (T, T') that a batch may have


class _Order(NamedTuple):
    """The batches of one epoch."""

    examples: np.ndarray  # (n,), those of a batch side by side
    bounds: np.ndarray  # (per_epoch + 1,), where batches begin and end
    bucket: np.ndarray  # (per_epoch,), of the longest example of each


def batching(
    dataset: Dataset,
    batch_size: int,
    seed: int,
    buckets: int | Sequence[int | Shape] | None = None,
) -> Batching:
    """Batches of examples of nearly the same length, shuffled anew in each epoch.

        order_e   = examples by (bucket, Philox(seed, e)), cut every batch_size
        batch n   = a cut of order_e, e = n // per_epoch, drawn without replacement

    Each example comes exactly once an epoch. A batch is padded to the length of its
    bucket; each bucket is a shape, compiled once. One batch of an epoch, another each
    time, has the examples that are left over, and rows that are not `real`.

    Batch n depends on the data, the arguments and n alone: a run goes on at step n
    without going through the steps before it. (PyTorch's DataLoader has to replay its
    sampler, and pads each batch to a length of its own.)

    Args:
        dataset: inputs, and targets if there are any.
        batch_size: rows of a batch; no more than there are examples are used.
        seed: of the order, from 0 to 2^64 - 1.
        buckets: how many lengths to pad to, placed for the least padding; or these
            lengths themselves, `(50, 200)`, or pairs `((50, 60), (200, 220))` where
            targets are sequences, such as the `shapes` of other data, to which the
            longest is added if need be. None: the fewest for which less than a tenth is
            padding, at most 16 and at most half as many as batches.

    Returns:
        `Batching(batch, examples, per_epoch, padding, shapes)`.

    Raises:
        ValueError: no examples; a batch size below 1; a seed out of range; targets or
            groups for another number of examples; buckets that are no lengths.

    Example:
        >>> from jrnn.data import from_arrays
        >>> xs = from_arrays([np.ones((t, 2)) for t in (2, 9, 3, 8, 2, 9)])
        >>> stream = batching(Dataset(xs), batch_size=2, seed=0, buckets=2)
        >>> stream.per_epoch, stream.shapes, round(stream.padding, 3)
        (3, ((3,), (9,)), 0.214)
        >>> sorted(i for n in (3, 4, 5) for i in stream.examples(n).tolist())
        [0, 1, 2, 3, 4, 5]
        >>> stream.batch(1000).inputs.shape[::2]
        (2, 2)

    References:
        Khomenko, Shyshkov, Radyvonenko, Bokhan (2016), Accelerating recurrent neural
        network training using sequence bucketing and multi-GPU data parallelization,
        arXiv:1708.05604. Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as
        easy as 1, 2, 3, doi:10.1145/2063384.2063405 (Philox).
    """
    num_rows, shapes, bucket = _prepare("batching", dataset, batch_size, buckets)
    if not 0 <= seed < 2**64:
        raise ValueError(f"batching: seed must be from 0 to 2^64 - 1, got {seed}.")
    n = len(bucket)
    per_epoch = -(-n // num_rows)

    @functools.lru_cache(maxsize=2)  # an order serves a whole epoch
    def order(epoch: int) -> _Order:
        return _shuffled(bucket, num_rows, per_epoch, seed, epoch)

    def place(number: int) -> tuple[_Order, int]:
        if number < 0:
            raise ValueError(f"batching: batches count from 0, got {number}.")
        epoch, k = divmod(int(number), per_epoch)
        return order(epoch), k

    def examples(number: int) -> np.ndarray:
        found, k = place(number)
        return found.examples[found.bounds[k] : found.bounds[k + 1]]

    def batch(number: int) -> Batch:
        found, k = place(number)
        shape = shapes[found.bucket[k]]
        return padded_batch(dataset, examples(number), shape, num_rows)

    padding = _padding(dataset, order(0), shapes, num_rows)
    return Batching(batch, examples, per_epoch, padding, shapes)


def in_order(
    dataset: Dataset,
    batch_size: int,
    buckets: int | Sequence[int | Shape] | None = None,
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Each example once, for evaluation and prediction: batches from short to long.

    Args:
        dataset: inputs, and targets if there are any.
        batch_size: rows of a batch; the last has rows that are not `real`.
        buckets: as for `batching`; with the `shapes` of the training data, programs
            compiled for these serve again.

    Returns:
        An iterator of `(examples, batch)`: rows `batch.real` of the batch are those
        examples, so `answers[examples] = rows[batch.real]` puts what was found for them
        back into the order of the dataset.

    Raises:
        ValueError: as `batching`.

    Example:
        >>> from jrnn.data import from_arrays
        >>> data = Dataset(from_arrays([np.ones(t) for t in (3, 1, 2)]))
        >>> for examples, batch in in_order(data, batch_size=2):
        ...     print(examples, batch.inputs.sum(1), batch.real)
        [1 2] [1. 2.] [ True  True]
        [0] [3. 0.] [ True False]
    """
    num_rows, shapes, bucket = _prepare("in_order", dataset, batch_size, buckets)

    def batches():
        order = np.argsort(lengths_of(dataset).sum(1), kind="stable")
        for start in range(0, len(order), num_rows):
            which = order[start : start + num_rows]
            shape = shapes[bucket[which].max()]
            yield which, padded_batch(dataset, which, shape, num_rows)

    return batches()


def _prepare(
    name: str,
    dataset: Dataset,
    batch_size: int,
    buckets: int | Sequence[int | Shape] | None,
) -> tuple[int, tuple[Shape, ...], np.ndarray]:
    """Rows of a batch, shapes that batches may have, the bucket of each example."""
    n = len(dataset.inputs)
    if n == 0:
        raise ValueError(f"{name}: the dataset has no examples.")
    if batch_size < 1:
        raise ValueError(f"{name}: batch_size must be at least 1, got {batch_size}.")
    for part in ("targets", "groups"):
        value = getattr(dataset, part)
        if value is not None and len(value) != n:
            raise ValueError(
                f"{name}: the dataset has {n} inputs, but {len(value)} {part}."
            )
    num_rows = min(int(batch_size), n)
    lengths = lengths_of(dataset)
    shapes = shapes_of(lengths, buckets, -(-n // num_rows))
    shapes_in_use = tuple(tuple(shape) for shape in shapes.tolist())
    return num_rows, shapes_in_use, bucket_of(lengths, shapes)


def _shuffled(
    bucket: np.ndarray, num_rows: int, per_epoch: int, seed: int, epoch: int
) -> _Order:
    # raw bits, which NumPy keeps from version to version, unlike its permutations
    bits = np.random.Philox(key=seed + (epoch << 64)).random_raw(
        len(bucket) + per_epoch + 1
    )
    by_bucket = np.lexsort((bits[: len(bucket)], bucket))
    sizes = np.full(per_epoch, num_rows)
    sizes[int(bits[-1]) % per_epoch] -= per_epoch * num_rows - len(bucket)
    ends = np.cumsum(sizes)
    drawn = np.argsort(bits[len(bucket) : -1], kind="stable")
    parts = [by_bucket[ends[k] - sizes[k] : ends[k]] for k in drawn]
    bounds = np.append(0, np.cumsum(sizes[drawn]))
    return _Order(np.concatenate(parts), bounds, bucket[by_bucket[ends - 1]][drawn])


def _padding(
    dataset: Dataset, order: _Order, shapes: tuple[Shape, ...], num_rows: int
) -> float:
    sizes = np.array(shapes).sum(1)[order.bucket]
    lengths = dataset.inputs.lengths.sum()
    if len(shapes[0]) == 2:
        lengths = lengths + dataset.targets.lengths.sum()
    return float(1 - lengths / (num_rows * sizes.sum()))
