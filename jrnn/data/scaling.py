"""Scaling of columns to mean 0 and standard deviation 1, fitted on training data."""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jrnn.data.sequences import Sequences

JSON_FORMAT = "jrnn.scaling"
JSON_VERSION = 1
_STEPS = 1 << 18  # at a time, so that memory stays that of the data

Numbers = TypeVar("Numbers", Sequences, np.ndarray)


class Scaling(NamedTuple):
    """What each column is shifted and divided by.

    A part of the columns, such as targets: `Scaling(*(a[[0, 2]] for a in scaling))`.

    Example:
        >>> Scaling(mean=np.zeros(2), std=np.ones(2)).std.tolist()
        [1.0, 1.0]
    """

    mean: np.ndarray  # (D,) float64
    std: np.ndarray  # (D,) float64, positive


def fit_scaling(sequences: Sequences) -> Scaling:
    """Mean and standard deviation of each column over the steps of these sequences.

        mean_d = 1/M sum_m x_md,   std_d^2 = 1/M sum_m (x_md - mean_d)^2

    Fit it on the training part alone, keep it with the model, and scale all parts by
    it. Each step counts once, however many windows it is in. Missing values, NaN, do
    not count. The divisor is M, as in scikit-learn's StandardScaler.

    Two kinds of column are left as they are, mean 0 and std 1: those of 0 and 1 alone,
    which are flags, and those without a value. One that is constant gets std 1.

    Args:
        sequences: numbers, values `(N, D)` or `(N,)`.

    Returns:
        `Scaling` of D columns, or of one.

    Raises:
        TypeError: tokens, which are no numbers to be scaled.
        ValueError: no sequences; an infinite value.

    Example:
        >>> from jrnn.data import from_arrays
        >>> xs = from_arrays([[[1.0, 5.0], [3.0, 5.0]], [[5.0, 5.0]]])
        >>> scaling = fit_scaling(xs)
        >>> scaling.mean.tolist(), scaling.std.round(3).tolist()
        ([3.0, 5.0], [1.633, 1.0])
    """
    values = sequences.values
    if values.dtype.kind != "f":
        raise TypeError(
            f"fit_scaling: {values.dtype} are tokens, which are not scaled. Make "
            "numbers floating-point: values.astype(np.float32)."
        )
    if not sequences.lengths.sum():
        raise ValueError("fit_scaling: there are no steps to fit it on.")
    count, total, flags = 0, 0, True
    for x in _in_parts(sequences):
        known = ~np.isnan(x)
        count += known.sum(0)
        total += np.where(known, x, 0).sum(0)
        flags &= (~known | (x == 0) | (x == 1)).all(0)
    if not np.isfinite(total).all():
        column = int(np.flatnonzero(~np.isfinite(total))[0])
        raise ValueError(f"fit_scaling: column {column} holds an infinite value.")
    mean = total / np.maximum(count, 1)
    squares = 0
    for x in _in_parts(sequences):
        squares += np.where(np.isnan(x), 0, np.square(x - mean)).sum(0)
    std = np.sqrt(squares / np.maximum(count, 1))
    # a constant column has what rounding leaves of it
    std = np.where(flags | (std <= 1e-7 * np.abs(mean)), 1.0, std)
    return Scaling(np.where(flags, 0.0, mean), std)


def scale(scaling: Scaling, numbers: Numbers) -> Numbers:
    """Shift and divide; a missing value, NaN, becomes 0, which is the mean.

        y = (x - mean) / std

    Args:
        scaling: as from `fit_scaling`.
        numbers: `Sequences` of D columns, or an array `(..., D)`.

    Returns:
        The same with scaled values, a copy, of the type that it had.

    Raises:
        ValueError: another number of columns.

    Example:
        >>> scaling = Scaling(mean=np.array([3.0]), std=np.array([2.0]))
        >>> scale(scaling, np.array([[7.0], [np.nan]])).tolist()
        [[2.0], [0.0]]
    """
    return _mapped("scale", scaling, numbers, _scaled)


def unscale(scaling: Scaling, numbers: Numbers) -> Numbers:
    """Back from what `scale` returned: x = y * std + mean.

    Args:
        scaling: the same.
        numbers: `Sequences` of D columns, or an array `(..., D)`, such as forecasts.

    Returns:
        The same in the units of the data, a copy, of the type that it had.

    Raises:
        ValueError: another number of columns.

    Example:
        >>> unscale(Scaling(np.array([3.0]), np.array([2.0])), np.array([[2.0]]))
        array([[7.]])
    """
    return _mapped("unscale", scaling, numbers, _unscaled)


def scaling_to_json(scaling: Scaling) -> dict[str, Any]:
    """Describe a scaling by what JSON can hold, exactly.

    Args:
        scaling: any.

    Returns:
        A dict of strings, numbers and lists.

    Example:
        >>> scaling_to_json(Scaling(np.array([3.0]), np.array([2.0])))["mean"]
        [3.0]
    """
    return {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "mean": scaling.mean.tolist(),
        "std": scaling.std.tolist(),
    }


def scaling_from_json(data: Any) -> Scaling:
    """Rebuild a scaling from what `scaling_to_json` returned; the exact inverse.

    Args:
        data: the dict, as `json.load` reads it.

    Returns:
        The `Scaling`.

    Raises:
        ValueError: not a scaling, a version from the future, or a broken content.

    Example:
        >>> scaling = Scaling(np.array([3.0]), np.array([2.0]))
        >>> scaling_from_json(scaling_to_json(scaling)).std
        array([2.])
    """
    name = "scaling_from_json"
    if not isinstance(data, dict) or data.get("format") != JSON_FORMAT:
        raise ValueError(
            f'{name}: not a scaling, it has no entry "format": "{JSON_FORMAT}".'
        )
    if data.get("version") != JSON_VERSION:
        raise ValueError(
            f"{name}: the scaling has format version {data.get('version')!r}, but this "
            f"jrnn reads version {JSON_VERSION}."
        )
    try:
        mean, std = (np.array(data.get(n), float) for n in ("mean", "std"))
    except (TypeError, ValueError):
        mean = std = np.array(np.nan)
    finite = np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()
    if mean.ndim != 1 or mean.shape != std.shape or not finite:
        raise ValueError(
            f"{name}: mean and std must be lists of as many numbers, std positive."
        )
    return Scaling(mean, std)


def _in_parts(sequences: Sequences) -> Iterator[np.ndarray]:
    """The steps (M, D) that are in any of the sequences, each once, some at a time."""
    values = sequences.values
    values = values.reshape(len(values), -1)
    order = np.argsort(sequences.starts, kind="stable")
    starts = sequences.starts[order]
    ends = np.maximum.accumulate(starts + sequences.lengths[order])
    for begin in range(0, len(values), _STEPS):
        block = values[begin : begin + _STEPS]
        first = np.searchsorted(ends, begin, "right")
        last = np.searchsorted(starts, begin + len(block), "left")
        here = [a[first:last].clip(begin, begin + len(block)) for a in (starts, ends)]
        # +1 where a sequence begins, -1 where it ends: over 0 in between
        change = np.zeros(len(block) + 1, np.int64)
        for places, by in zip(here, (1, -1), strict=True):
            np.add.at(change, places - begin, by)
        yield block[np.cumsum(change[:-1]) > 0].astype(np.float64)


def _mapped(name: str, scaling: Scaling, numbers: Any, change: Any) -> Any:
    if isinstance(numbers, Sequences):
        values = _mapped(name, scaling, numbers.values, change)
        return Sequences(values, numbers.starts, numbers.lengths)
    x = np.asarray(numbers)
    (columns,) = scaling.mean.shape
    if x.shape[-1:] != (columns,) and not (columns == 1 and x.ndim == 1):
        raise ValueError(
            f"{name}: the scaling has {columns} columns, got an array of shape "
            f"{x.shape}."
        )
    rows = x.reshape(-1, columns)
    y = np.empty(rows.shape, x.dtype if x.dtype.kind == "f" else np.float64)
    for begin in range(0, len(rows), _STEPS):
        here = slice(begin, begin + _STEPS)
        y[here] = change(scaling, rows[here].astype(np.float64))
    return y.reshape(x.shape)


def _scaled(scaling: Scaling, x: np.ndarray) -> np.ndarray:
    y = (x - scaling.mean) / scaling.std
    return np.where(np.isnan(y), 0, y)


def _unscaled(scaling: Scaling, y: np.ndarray) -> np.ndarray:
    return y * scaling.std + scaling.mean
