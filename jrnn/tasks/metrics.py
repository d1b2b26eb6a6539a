"""What answers are judged by: confusion, recall, F1; errors and bands of forecasts.

`confusion` and the sums of forecasts run in JAX, on batches, and are added up; figures
are made of the totals, in NumPy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Quantiles = ArrayLike | Sequence[float]


def confusion(
    labels: ArrayLike,
    answers: ArrayLike,
    classes: int,
    valid: ArrayLike | None = None,
) -> jax.Array:
    """How often each class was given which answer.

        n_{ij} = number of valid entries with label i and answer j

    The layout is that of scikit-learn. Labels and answers outside 0..C-1 are left out.

    Args:
        labels: the true classes, integers `(...)`.
        answers: the classes answered, integers `(...)`.
        classes: number of classes C.
        valid: booleans `(...)`; all count if None.

    Returns:
        Counts, int32 (C, C): true, answered.

    Example:
        >>> confusion(jnp.array([0, 0, 1]), jnp.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    labels, answers = jnp.ravel(jnp.asarray(labels)), jnp.ravel(jnp.asarray(answers))
    among = lambda which: (which >= 0) & (which < classes)
    counts = among(labels) & among(answers)
    if valid is not None:
        counts &= jnp.ravel(jnp.asarray(valid))
    cell = labels.astype(jnp.int32) * classes + answers.astype(jnp.int32)
    cell = jnp.where(counts, cell, classes * classes)  # out of range: dropped
    flat = jnp.zeros(classes * classes, jnp.int32).at[cell].add(1, mode="drop")
    return flat.reshape(classes, classes)


def figures_of_confusion(counts: ArrayLike, unknown: ArrayLike = 0) -> dict[str, Any]:
    """Accuracy, and recall, precision and F1 of each class, of a confusion matrix.

        accuracy    = sum_i n_ii / (sum n + unknown)
        recall_i    = n_ii / sum_j n_ij
        precision_i = n_ii / sum_j n_ji
        F1_i        = 2 n_ii / (sum_j n_ij + sum_j n_ji)

    A class that does not occur has recall NaN, one that is never answered precision
    NaN, one of which both is true F1 NaN (scikit-learn warns and puts 0 unless told
    otherwise). The macro F1 is the mean over the classes whose F1 is a number.

    Args:
        counts: n, `(C, C)`: true, answered.
        unknown: how many more there were whose true class is none of these; no answer
            to them can be right.

    Returns:
        "accuracy", "per_class_recall", "per_class_precision", "per_class_f1" (each a
        list of C), "macro_f1" and "confusion" (C, C).

    Example:
        >>> figures = figures_of_confusion([[3, 1], [0, 4]])
        >>> figures["accuracy"], figures["per_class_recall"]
        (0.875, [0.75, 1.0])

    References:
        van Rijsbergen (1979), Information retrieval, chapter 7 (F).
    """
    n = np.asarray(counts, np.int64)
    right, true, answered = np.diag(n), n.sum(axis=1), n.sum(axis=0)
    f1 = _quotient(2 * right, true + answered)
    known = f1[~np.isnan(f1)]
    return {
        "accuracy": float(_quotient(right.sum(), n.sum() + np.asarray(unknown))),
        "per_class_recall": _quotient(right, true).tolist(),
        "per_class_precision": _quotient(right, answered).tolist(),
        "per_class_f1": f1.tolist(),
        "macro_f1": float(known.mean()) if known.size else float("nan"),
        "confusion": n,
    }


def pinball(
    forecasts: jax.Array, targets: ArrayLike, quantiles: Quantiles
) -> jax.Array:
    """Pinball loss of forecasts of quantiles: least on average where they are right.

        l_q(y, f) = max(q (y - f), (q - 1) (y - f))

    For q = 1/2 it is half the absolute error.

    Args:
        forecasts: f, one for each quantile, `(..., Q)`.
        targets: y, `(...)`.
        quantiles: q in (0, 1), `(Q,)`.

    Returns:
        Losses `(..., Q)`.

    Example:
        >>> pinball(jnp.array([[1.0, 6.0]]), jnp.array([2.0]), [0.25, 0.75]).tolist()
        [[0.25, 1.0]]

    References:
        Koenker, Bassett (1978), Regression quantiles, doi:10.2307/1913643.
    """
    forecasts = jnp.asarray(forecasts)
    q = jnp.asarray(quantiles, forecasts.dtype)
    q = q.reshape(*(1,) * (forecasts.ndim - 1), -1)
    missed = jnp.asarray(targets, forecasts.dtype)[..., None] - forecasts
    return jnp.maximum(q * missed, (q - 1) * missed)


def forecast_sums(
    forecasts: jax.Array,
    targets: ArrayLike,
    quantiles: Quantiles,
    valid: ArrayLike | None = None,
) -> dict[str, jax.Array]:
    """Sums over a batch of forecasts, from which `forecast_figures` makes figures.

    Args:
        forecasts: `(B, N, K, Q)`: row, horizon, target, quantile.
        targets: `(B, N, K)`; what is NaN is missing and does not count.
        quantiles: `(Q,)`, rising.
        valid: booleans `(B,)`, rows that count; all of them if None.

    Returns:
        Sums by horizon and target (N, K): "absolute", "squared" (errors of the
        quantile next to 1/2), "pinball" (mean over the quantiles) and "counts"; "below"
        (N, K, Q), how many targets are at most each quantile; and "inside" (N, K), how
        many lie between the first and the last.

    Example:
        >>> sums = forecast_sums(jnp.zeros((2, 1, 1, 1)), jnp.ones((2, 1, 1)), [0.5])
        >>> float(sums["absolute"][0, 0]), float(sums["pinball"][0, 0])
        (2.0, 1.0)
    """
    y = jnp.asarray(targets, forecasts.dtype)
    counts = ~jnp.isnan(y)
    if valid is not None:
        counts &= jnp.asarray(valid)[:, None, None]
    each = counts[..., None]
    # before any arithmetic: what does not count may hold anything
    f = jnp.where(each, forecasts, jnp.zeros_like(forecasts))
    y = jnp.where(counts, y, jnp.zeros_like(y))
    missed = y - f[..., middle(quantiles)]
    below = (y[..., None] <= f) & each
    inside = (y >= f[..., 0]) & (y <= f[..., -1]) & counts
    total = lambda a: a.astype(f.dtype).sum(axis=0)
    return {
        "absolute": total(jnp.abs(missed)),
        "squared": total(jnp.square(missed)),
        "pinball": total(pinball(f, y, quantiles).mean(axis=-1)),
        "counts": total(counts),
        "below": total(below),
        "inside": total(inside),
    }


def forecast_figures(
    sums: Mapping[str, Any], quantiles: Quantiles, unit: ArrayLike = 1.0
) -> dict[str, Any]:
    """Errors and coverage of forecasts, in all and by horizon, from their sums.

        MAE = mean |y - f|,   RMSE = sqrt(mean (y - f)^2),   f at the middle quantile
        coverage = share of targets from the first quantile to the last
        calibration_q = share of targets at most quantile q, which should be q

    Args:
        sums: of `forecast_sums`, added over batches.
        quantiles: `(Q,)`, rising.
        unit: what 1 stands for, a number or one for each target (K,), such as the
            deviation by which it was divided: errors are reported in its units.

    Returns:
        "mean_absolute_error", "root_mean_squared_error", "pinball", "coverage", each
        again with "_by_horizon" behind it as a list of N; "nominal_coverage" and
        "calibration", a list of Q. NaN where nothing counts.

    Example:
        >>> sums = forecast_sums(jnp.zeros((2, 1, 1, 1)), jnp.ones((2, 1, 1)), [0.5])
        >>> forecast_figures(sums, [0.5], unit=3.0)["mean_absolute_error"]
        3.0
    """
    s = {name: np.asarray(value, float) for name, value in sums.items()}
    unit = np.asarray(unit, float) * np.ones(s["counts"].shape[1])
    totals = {
        "mean_absolute_error": s["absolute"] * unit,
        "root_mean_squared_error": s["squared"] * unit**2,
        "pinball": s["pinball"] * unit,
        "coverage": s["inside"],
    }
    figures: dict[str, Any] = {}
    for name, value in totals.items():
        whole = _quotient(value.sum(), s["counts"].sum())
        each = _quotient(value.sum(axis=1), s["counts"].sum(axis=1))
        if name.startswith("root"):
            whole, each = np.sqrt(whole), np.sqrt(each)
        figures |= {name: float(whole), f"{name}_by_horizon": each.tolist()}
    q = np.asarray(quantiles, float)
    at_most = _quotient(s["below"].sum(axis=(0, 1)), s["counts"].sum())
    return figures | {
        "nominal_coverage": float(q[-1] - q[0]),
        "calibration": at_most.tolist(),
    }


def middle(quantiles: Quantiles) -> int:
    """The place of the quantile next to 1/2, the forecast if there is to be one.

    Args:
        quantiles: `(Q,)`.

    Returns:
        An index; the first of equally near ones.

    Example:
        >>> middle([0.1, 0.5, 0.9])
        1
    """
    return int(np.argmin(np.abs(np.asarray(quantiles, float) - 0.5)))


def _quotient(a, b) -> np.ndarray:
    """The quotient a / b, NaN where b is zero."""
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)
