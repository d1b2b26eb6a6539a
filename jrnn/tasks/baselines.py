"""What a network has to be better than: answers that need no training by gradients.

All go from a dataset to learn from and one to be asked about to figures of the same
names as those of the task; what has no probabilities has no loss.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jrnn.data import Dataset, Sequences
from jrnn.tasks.metrics import (
    confusion,
    figures_of_confusion,
    forecast_figures,
    forecast_sums,
)

POINTS = 16  # of a sequence of numbers, by which it is compared with others


def most_frequent_class(train: Dataset, test: Dataset, classes: int) -> dict[str, Any]:
    """Always the class that training has most often.

    Args:
        train: with a class for each sequence, or for each step.
        test: the same.
        classes: their number C.

    Returns:
        Figures of `jrnn.tasks.metrics.figures_of_confusion`.

    Example:
        >>> from jrnn.data import from_arrays
        >>> data = Dataset(from_arrays([[1.0]] * 3), np.array([0, 1, 1]))
        >>> round(most_frequent_class(data, data, 2)["accuracy"], 3)
        0.667
    """
    labels = _labels(test)
    most = _counts(_labels(train), classes).argmax()
    return _figures(labels, np.full(labels.shape, most), classes)


def nearest_mean(train: Dataset, test: Dataset, classes: int) -> dict[str, Any]:
    """The class whose mean is nearest, of features of the whole sequence.

        phi = 16 steps evenly spaced from first to last, each number over its deviation
        phi = share of each symbol                  of tokens
        class = argmin_c |phi - mean of phi over class c|^2

    Args:
        train: numbers (T, D) or tokens (T,), and a class for each sequence.
        test: the same.
        classes: number of classes C.

    Returns:
        Figures of `jrnn.tasks.metrics.figures_of_confusion`.

    Example:
        >>> from jrnn.data import from_arrays
        >>> xs = from_arrays([[0, 0], [1, 0], [1, 1, 1]])
        >>> data = Dataset(xs, np.array([0, 0, 1]))
        >>> nearest_mean(data, data, 2)["accuracy"]
        1.0
    """
    labels, (phi, asked) = np.asarray(train.targets), _features(train, test)
    means = np.full((classes, phi.shape[1]), np.inf)  # a class without examples
    for c in np.unique(labels[(labels >= 0) & (labels < classes)]):
        means[c] = phi[labels == c].mean(axis=0)
    distance = [np.square(asked - mean).sum(axis=1) for mean in means]
    return _figures(np.asarray(test.targets), np.argmin(distance, axis=0), classes)


def token_majority(train: Dataset, test: Dataset, classes: int) -> dict[str, Any]:
    """For each token the class that it has most often in training.

    For tokens that training has not seen, the most frequent class of all.

    Args:
        train: tokens (T,), and a class for each step.
        test: the same.
        classes: number of classes C.

    Returns:
        Figures of `jrnn.tasks.metrics.figures_of_confusion`, over steps.

    Raises:
        ValueError: sequences of numbers, not tokens.

    Example:
        >>> from jrnn.data import from_arrays
        >>> words, tags = from_arrays([[5, 7], [5, 5]]), from_arrays([[0, 1], [0, 1]])
        >>> token_majority(Dataset(words, tags), Dataset(words, tags), 2)["accuracy"]
        0.75
    """
    if train.inputs.values.ndim != 1:
        raise ValueError(
            "token_majority: needs tokens (T,), got numbers. Compare with "
            "most_frequent_class."
        )
    tokens, labels = _steps(train.inputs), _labels(train)
    asked = _steps(test.inputs)
    table = np.zeros((1 + max(tokens.max(), asked.max()), classes), int)
    known = (tokens >= 0) & (labels >= 0) & (labels < classes)
    np.add.at(table, (tokens[known], labels[known]), 1)
    most = table.sum(axis=0).argmax()
    best = np.where(table.any(axis=1), table.argmax(axis=1), most)
    answers = np.where(asked >= 0, best[np.maximum(asked, 0)], most)
    return _figures(_labels(test), answers, classes)


def copying(test: Dataset, to_target: ArrayLike | None = None) -> dict[str, float]:
    """The source itself, as if it were the target.

    Args:
        test: sources and targets, tokens.
        to_target: for each token of the sources that of the targets with the same
            meaning, (V_source,), -1 where there is none; their own numbers if None.

    Returns:
        "token_accuracy" and "exact_match", as of `jrnn.tasks.translation`.

    Example:
        >>> from jrnn.data import from_arrays
        >>> data = Dataset(from_arrays([[1, 2], [3]]), from_arrays([[1, 2], [3, 4, 5]]))
        >>> copying(data)  # of 7 tokens, the ends among them, 5 are right
        {'token_accuracy': 0.7142857142857143, 'exact_match': 0.5}
    """
    right = tokens = exact = 0
    table = None if to_target is None else np.asarray(to_target)
    for n in range(len(test.inputs)):
        source, target = test.inputs[n], test.targets[n]
        copy = source if table is None else table[source]
        size = min(len(copy), len(target))
        hits = int((copy[:size] == target[:size]).sum())
        # behind its end a copy has nothing but ends, as what a network writes
        hits += len(copy) <= len(target)
        right, tokens = right + hits, tokens + len(target) + 1
        exact += hits == len(target) + 1
    return {"token_accuracy": right / tokens, "exact_match": exact / len(test.inputs)}


def last_season(
    train: Dataset,
    test: Dataset,
    targets: Sequence[int],
    *,
    season: int = 1,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    unit: ArrayLike = 1.0,
) -> dict[str, Any]:
    """The last value known a whole number of seasons before; with season 1 the last.

        f_n = x_{T + n - p ceil(n / p)}                     p the season

    The band around it is made of how much it misses in training: quantile q of that,
    by horizon and column, is added.

    Args:
        train: windows (T, D), and what follows each, (N, K).
        test: the same.
        targets: which K columns of the windows are forecast.
        season: p, steps.
        quantiles: of the band, rising, in (0, 1).
        unit: as in `jrnn.tasks.forecasting`.

    Returns:
        Figures of `jrnn.tasks.metrics.forecast_figures`; the errors are those of f_n
        itself.

    Raises:
        ValueError: a window is shorter than a season.

    Example:
        >>> from jrnn.data import from_arrays
        >>> xs = from_arrays([np.array([[1.0], [2.0], [3.0]])])
        >>> data = Dataset(xs, np.array([[[3.0], [5.0]]]))
        >>> last_season(data, data, (0,))["mean_absolute_error_by_horizon"]
        [0.0, 2.0]

    References:
        Hyndman, Athanasopoulos (2021), Forecasting: principles and practice, sections
        5.2 and 5.5, otexts.com/fpp3.
    """
    (f, y), (f_train, y_train) = (seasons(d, targets, season) for d in (test, train))
    misses = np.nanquantile(y_train - f_train, quantiles, axis=0)  # (Q, N, K)
    band = f[..., None] + np.moveaxis(misses, 0, -1)[None]
    as_band = forecast_sums(jnp.asarray(band), y, quantiles)
    point = np.repeat(f[..., None], len(quantiles), axis=-1)
    as_point = forecast_sums(jnp.asarray(point), y, quantiles)
    errors = {name: as_point[name] for name in ("absolute", "squared")}
    return forecast_figures(as_band | errors, quantiles, unit)


def seasons(
    dataset: Dataset, targets: Sequence[int], season: int, *, drift: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts of `last_season`, and what came.

        f_n = x_{T + n - p c} + c (x_T - x_{T - p}),   c = ceil(n / p), with a drift

    Args:
        dataset: windows (T, D), and what follows each, (N, K).
        targets: which K columns of the windows are forecast.
        season: steps.
        drift: whether what the last season has added is added for each one more.

    Returns:
        Both (n, N, K).

    Raises:
        ValueError: a window is shorter than a season, or with a drift no longer.

    Example:
        >>> from jrnn.data import from_arrays
        >>> xs = from_arrays([np.array([[1.0], [2.0], [3.0]])])
        >>> data = Dataset(xs, np.array([[[3.0], [5.0]]]))
        >>> seasons(data, (0,), 3)[0].ravel().tolist()
        [1.0, 2.0]
        >>> seasons(data, (0,), 1, drift=True)[0].ravel().tolist()
        [4.0, 5.0]
    """
    inputs, ys = dataset.inputs, dataset.targets
    if isinstance(ys, Sequences):
        ys = np.stack([*ys])
    if inputs.lengths.min() < season + drift:
        raise ValueError(
            f"last_season: a season of {season} steps, but a window of "
            f"{inputs.lengths.min()}. Take longer windows."
        )
    n = np.arange(1, ys.shape[1] + 1)
    ago = -(-n // season)  # seasons
    ends = inputs.starts + inputs.lengths
    known = inputs.values[:, list(targets)]
    f = known[ends[:, None] - (season * ago - n + 1)[None]]
    if drift:
        added = known[ends - 1] - known[ends - 1 - season]  # (n, K)
        f = f + ago[:, None] * added[:, None]
    return f, np.asarray(ys)


def _features(train: Dataset, test: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Features of the sequences of both, (n, F)."""
    if train.inputs.values.ndim == 1:
        size = 1 + max(int(d.inputs.values.max()) for d in (train, test))
        return _shares(train.inputs, size), _shares(test.inputs, size)
    phi, asked = _points(train.inputs), _points(test.inputs)
    deviation = phi.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1)
    return phi / deviation, asked / deviation


def _points(inputs: Sequences) -> np.ndarray:
    place = np.linspace(0, 1, POINTS)[None] * (inputs.lengths - 1)[:, None]
    at = inputs.starts[:, None] + np.rint(place).astype(int)
    return inputs.values[at].reshape(len(inputs), -1)


def _shares(inputs: Sequences, size: int) -> np.ndarray:
    rows = np.repeat(np.arange(len(inputs)), inputs.lengths)
    tokens = _steps(inputs)
    counts = np.zeros((len(inputs), size))
    np.add.at(counts, (rows[tokens >= 0], tokens[tokens >= 0]), 1)
    return counts / np.maximum(inputs.lengths, 1)[:, None]


def _steps(sequences: Sequences) -> np.ndarray:
    """The steps of all sequences, one after the other."""
    ends = np.cumsum(sequences.lengths)
    within = np.arange(ends[-1]) - np.repeat(
        ends - sequences.lengths, sequences.lengths
    )
    return sequences.values[np.repeat(sequences.starts, sequences.lengths) + within]


def _labels(dataset: Dataset) -> np.ndarray:
    targets = dataset.targets
    return _steps(targets) if isinstance(targets, Sequences) else np.asarray(targets)


def _counts(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)


def _figures(labels: np.ndarray, answers: np.ndarray, classes: int) -> dict[str, Any]:
    unknown = ((labels < 0) | (labels >= classes)).sum()
    return figures_of_confusion(confusion(labels, answers, classes), unknown)
