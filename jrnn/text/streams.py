"""A corpus cut for training: held-out parts, and rows that are read side by side."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Streams(NamedTuple):
    """B pieces of a corpus, to be read from left to right at the same time."""

    inputs: np.ndarray  # (B, N) tokens the model is given
    targets: np.ndarray  # (B, N) the token that follows each input


def streams(tokens: np.ndarray, batch_size: int, window: int = 1) -> Streams:
    """Cut a corpus into contiguous rows for truncated backpropagation in time.

        inputs[b, n] = tokens[b * N + n],   targets[b, n] = tokens[b * N + n + 1]

    N is the largest multiple of `window` for which B rows and one last target fit.
    Column n + 1 continues column n in every row, so the carry of one window is the
    right start of the next. The rows joined are the corpus without its tail: the last
    `len(tokens) - B * N` tokens, at least 1 and at most `B * window`, are no input
    (the first of them is still a target). Nothing is copied: both arrays are views.

    Args:
        tokens: the corpus, `(len,)`.
        batch_size: B, the number of rows.
        window: the number of tokens per row and update; N is a multiple of it.

    Returns:
        `Streams(inputs, targets)`, both `(B, N)`.

    Raises:
        ValueError: sizes below 1; tokens of another rank; a corpus too short for one
            window in every row, with the numbers and what to change.

    Example:
        >>> inputs, targets = streams(np.arange(10), batch_size=2, window=2)
        >>> inputs.tolist(), targets.tolist()
        ([[0, 1, 2, 3], [4, 5, 6, 7]], [[1, 2, 3, 4], [5, 6, 7, 8]])
    """
    for name, size in (("batch_size", batch_size), ("window", window)):
        if size < 1:
            raise ValueError(f"streams: {name} must be >= 1, got {size}.")
    tokens = np.asarray(tokens)
    if tokens.ndim != 1:
        raise ValueError(f"streams: tokens must have shape (len,), got {tokens.shape}.")
    length = (len(tokens) - 1) // batch_size // window * window
    if length < 1:
        raise ValueError(
            f"streams: the text has {len(tokens)} tokens, but {batch_size} rows of one "
            f"window of {window} need {batch_size * window + 1}.\n"
            "Use a longer text, a smaller batch_size or a shorter window."
        )
    end = batch_size * length
    shape = (batch_size, length)
    return Streams(tokens[:end].reshape(shape), tokens[1 : end + 1].reshape(shape))


def split(
    tokens: Any, fractions: Sequence[float] = (0.9, 0.05, 0.05)
) -> tuple[Any, ...]:
    """Cut a corpus into contiguous parts, by default train, validation and test.

        part k = tokens[round(N * sum(fractions[:k])) : round(N * sum(fractions[:k+1]))]

    Args:
        tokens: anything with a length N and slices: an array, a text, bytes.
        fractions: the share of each part, from the start; none negative, sum 1. A
            share of 0 gives an empty part.

    Returns:
        One part per fraction. Joined they are `tokens`.

    Raises:
        ValueError: fractions that are negative or do not sum to 1.

    Example:
        >>> split("abcdefghij", (0.8, 0.1, 0.1))
        ('abcdefgh', 'i', 'j')
    """
    shares = np.asarray(fractions, np.float64)
    if not ((shares >= 0).all() and abs(shares.sum() - 1) < 1e-6):
        raise ValueError(
            "split: fractions must be >= 0 and sum to 1, got "
            f"{tuple(float(s) for s in shares)} with sum {float(shares.sum()):g}."
        )
    ends = np.rint(np.cumsum(shares) * len(tokens)).astype(int).tolist()
    return tuple(tokens[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True))
