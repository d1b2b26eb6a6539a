"""Settings that work for a dataset of a given size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jrnn import _check
from jrnn.data import Dataset
from jrnn.tasks.baselines import seasons


class Defaults(NamedTuple):
    """How large a model to take, and how to train it."""

    hidden_size: int
    embed_size: int  # of symbols
    dropout: float
    batch_size: int
    steps: int
    chunk: int  # steps of a long series that are read at once
    learning_rate: float  # of Adam at the start; it falls to 0 along a cosine


def defaults(examples: int, longest: int = 1) -> Defaults:
    """Settings for a task, from the number of examples to learn from.

        batch_size    = 16, 32 or 64: the largest that makes 16 batches an epoch, or 16
        steps         = 40 epochs, but at least 600 and at most 4000
        hidden_size   = 64, from 2000 examples on 128
        chunk         = as many steps as leave 32 of the longest series, at least 1
        embed_size    = 32
        dropout       = 0.2
        learning_rate = 0.004

    Windows of a series overlap: the examples of a forecast are the steps of the series
    over the steps of a window, if there are fewer of these than windows.

    Args:
        examples: sequences for training.
        longest: steps of the longest of them, where numbers are classified.

    Returns:
        `Defaults`, for the factory of a task and `fit_sequences`.

    Raises:
        ValueError: no examples; no steps.

    Example:
        >>> settings = defaults(270, longest=251)
        >>> settings.batch_size, settings.steps, settings.chunk
        (16, 675, 8)
    """
    _check.positive("defaults", "examples", examples)
    _check.positive("defaults", "longest", longest)
    batch_size = next((b for b in (64, 32) if examples >= 16 * b), 16)
    epochs = 40 * examples // batch_size
    return Defaults(
        hidden_size=128 if examples >= 2000 else 64,
        embed_size=32,
        dropout=0.2,
        batch_size=batch_size,
        steps=min(max(epochs, 600), 4000),
        chunk=-(-longest // 32),
        learning_rate=4e-3,
    )


def wanders(train: Dataset, targets: Sequence[int]) -> bool:
    """Whether series go where they have not been, so that their level says little.

        mean |y_n - x_T| < mean |y_n - m|,   m the mean of all y

    The last value is then a better forecast than the mean, as of a random walk or a
    trend, and `forecasting(..., centre=True)` is advised; of a series that returns to
    its mean the level is worth knowing.

    Args:
        train: windows (T, D), and what follows each, (N, K).
        targets: which K columns of the windows are forecast.

    Returns:
        True where the last value is better.

    Example:
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import forecast_windows
        >>> cut = lambda x: forecast_windows(
        ...     from_arrays([x[:, None]]), (0,), context=9, horizon=4)
        >>> noise = np.random.default_rng(0).normal(size=200)
        >>> wanders(cut(noise), (0,)), wanders(cut(noise.cumsum()), (0,))
        (False, True)
    """
    last, y = seasons(train, targets, 1)
    by_mean = np.abs(y - np.nanmean(y, axis=(0, 1)))
    return bool(np.nanmean(np.abs(y - last)) < np.nanmean(by_mean))


def drifts(train: Dataset, targets: Sequence[int], season: int) -> bool:
    """Whether the next season differs from the last one as that did from its own.

        mean |y_n - x_{T+n-pc} - c (x_T - x_{T-p})| < mean |y_n - x_{T+n-pc}|

    Then `forecasting(..., drift=True)` is advised, as of a series that grows from
    season to season; of one without a trend it would double the noise.

    Args:
        train: windows (T, D), and what follows each, (N, K).
        targets: which K columns of the windows are forecast.
        season: p, steps; c = ceil(n / p) of them lie between.

    Returns:
        True where the change makes forecasts better; False where there is no season,
        or windows are no longer than one.

    Example:
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import forecast_windows
        >>> cut = lambda x: forecast_windows(
        ...     from_arrays([x[:, None]]), (0,), context=9, horizon=4)
        >>> n = np.arange(200)
        >>> rng = np.random.default_rng(0)
        >>> wave = np.sin(np.pi * n / 2) + rng.normal(size=200)
        >>> drifts(cut(wave), (0,), 4), drifts(cut(wave + n), (0,), 4)
        (False, True)
    """
    if season < 2 or train.inputs.lengths.min() <= season:
        return False
    off = [
        np.nanmean(np.abs(y - f))
        for f, y in (seasons(train, targets, season, drift=d) for d in (True, False))
    ]
    return bool(off[0] < off[1])


def spreads(
    train: Dataset, targets: Sequence[int], season: int = 1, *, drift: bool = False
) -> np.ndarray:
    """How far what comes is from where forecasts start.

        r_n = sqrt(mean (y_n - s_n)^2)

    Args:
        train: windows (T, D), and what follows each, (N, K).
        targets: which K columns of the windows are forecast.
        season: as of `forecasting`, with s_n; not 0.
        drift: likewise.

    Returns:
        r, (N, K); 1 where it is 0 or nothing is known.

    Example:
        >>> from jrnn.data import from_arrays
        >>> xs = from_arrays([np.array([[1.0], [2.0], [3.0]])])
        >>> spreads(Dataset(xs, np.array([[[5.0], [3.0]]])), (0,)).ravel().tolist()
        [2.0, 1.0]
    """
    f, y = seasons(train, targets, season, drift=drift)
    known = ~np.isnan(y)
    total = np.where(known, np.square(y - f), 0).sum(axis=0)
    r = np.sqrt(total / np.maximum(known.sum(axis=0), 1))
    return np.where(r > 0, r, 1)
