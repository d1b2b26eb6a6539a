"""Bands of forecasts that hold what they promise: widened by what held-out data show.

A network learns the quantiles of its training data, which it may know by heart: what
comes later lies outside of its band more often. What a part that it has not been
trained on shows of this is put right, each quantile by itself.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Params
from jrnn.data import Dataset
from jrnn.tasks.fit import predict
from jrnn.tasks.metrics import Quantiles, forecast_sums, middle
from jrnn.tasks.task import Task


class Calibrated(NamedTuple):
    """Parameters of a forecast, and how far its quantiles are moved."""

    weights: Params
    margins: jax.Array  # (N, K, Q), added to the forecasts; 0 at the middle


def margins(forecasts: ArrayLike, targets: ArrayLike, quantiles: Quantiles):
    """How far to move quantiles outwards so that they hold what they say.

        s_i = y_i - f_{i,q}                  above the middle, of n held-out examples
        s_i = f_{i,q} - y_i                  below it
        margin = max(0, s_(k)),              s_(k) the k-th smallest of them,
                                             k = ceil((n + 1) max(q, 1 - q))

    For another example, exchangeable with these, y <= f_q + s_(k) has probability
    k / (n + 1), which is q or a little more; likewise on the side below. Unlike in the
    reference no band becomes narrower: the weights were chosen by the same examples,
    which look better for it than others do. Of fewer than 1 / (1 - q) - 1 examples none
    can promise so much: the largest s_i is taken. The quantile next to 1/2, the
    forecast itself, stays where it is.

    Windows of one series overlap, and are nearly exchangeable only where it goes on as
    it was: "coverage" of a later part shows how nearly.

    Args:
        forecasts: f, `(n, N, K, Q)`: example, horizon, target, quantile.
        targets: y, `(n, N, K)`; what is NaN is missing and does not count.
        quantiles: q, `(Q,)`, rising.

    Returns:
        What is to be added to each quantile, float32 `(N, K, Q)`: negative below the
        middle; 0 where nothing is known.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> f, y = np.zeros((9, 1, 1, 3)), np.arange(-3.0, 6.0).reshape(9, 1, 1)
        >>> margins(f, y, [0.1, 0.5, 0.8])[0, 0].tolist()
        [-3.0, 0.0, 4.0]

    References:
        Romano, Patterson, Candès (2019), Conformalized quantile regression,
        arXiv:1905.03222, theorem 2 (each side by itself).
    """
    f, y, q = (np.asarray(a, float) for a in (forecasts, targets, quantiles))
    if f.ndim != 4 or y.shape != f.shape[:3] or q.shape != f.shape[3:]:
        raise ValueError(
            "margins: forecasts must have shape (n, N, K, Q), targets (n, N, K) and "
            f"quantiles (Q,), got {f.shape}, {y.shape} and {q.shape}."
        )
    m, found = middle(q), np.zeros(f.shape[1:], np.float32)
    for j, share in enumerate(q):
        sign = np.sign(j - m)
        score = np.sort(sign * (y - f[..., j]), axis=0)  # NaN comes last
        n = (~np.isnan(score)).sum(axis=0)
        k = np.ceil((n + 1) * max(share, 1 - share) - 1e-9).astype(int)
        at = np.maximum(np.minimum(k, n) - 1, 0)
        value = np.take_along_axis(score, at[None], axis=0)[0] if len(score) else n
        found[..., j] = np.where(n > 0, sign * np.maximum(value, 0), 0) + 0.0
    return found


def moved(forecasts: jax.Array, margins: ArrayLike, quantiles: Quantiles) -> jax.Array:
    """Quantiles with their margins, none of which crosses another.

        f'_q = max of f_p + margin_p over p from the middle up to q;   min down to q

    Args:
        forecasts: f, `(..., N, K, Q)`.
        margins: of `margins`, `(N, K, Q)`.
        quantiles: `(Q,)`, rising.

    Returns:
        Quantiles `(..., N, K, Q)`; where all margins are 0, the same as before.

    Example:
        >>> q, f = [0.1, 0.5, 0.8, 0.9], jnp.array([[[1.0, 2.0, 3.0, 4.0]]])
        >>> moved(f, [[[-0.5, 0.0, 2.0, 0.0]]], q).tolist()
        [[[0.5, 2.0, 5.0, 5.0]]]
    """
    m, f = middle(quantiles), forecasts + jnp.asarray(margins, forecasts.dtype)
    up = jax.lax.cummax(f[..., m:], axis=f.ndim - 1)
    down = jax.lax.cummin(f[..., : m + 1], axis=f.ndim - 1, reverse=True)
    return jnp.concatenate([down, up[..., 1:]], axis=-1)


def calibrated(
    task: Task, horizon: int, targets: int, quantiles: Sequence[float] = (0.1, 0.5, 0.9)
) -> Task:
    """A forecast whose quantiles are moved by margins that are kept with its weights.

        params = Calibrated(weights, margins),   margins 0 until `calibrate` sets them

    Training is that of the task: its loss knows nothing of margins. Figures and answers
    are of the quantiles that were moved.

    Args:
        task: of `jrnn.tasks.forecasting` or `feed_back`.
        horizon: its N.
        targets: how many columns it forecasts, K.
        quantiles: its quantiles.

    Returns:
        A `Task`; `calibrate` finds its margins once it is trained.

    Raises:
        ValueError: a size that is not positive.

    Example:
        >>> from jrnn.tasks import forecasting
        >>> task = calibrated(forecasting(1, (0,), 4, hidden_size=8), 4, 1)
        >>> task.init(jax.random.key(0)).margins.shape
        (4, 1, 3)
    """
    _check.positive("calibrated", "horizon", horizon)
    _check.positive("calibrated", "targets", targets)
    q = np.asarray(quantiles, float)
    shape = horizon, targets, len(q)

    def init(key):
        weights = task.init(key)
        dtype = jnp.result_type(*jax.tree.leaves(weights))
        return Calibrated(weights, jnp.zeros(shape, dtype))

    def loss(params, batch, *, key=None, step=None):
        return task.loss(params.weights, batch, key=key, step=step)

    def predict(params, batch):
        return moved(task.predict(params.weights, batch), params.margins, q)

    def sums(params, batch):
        ys = jnp.asarray(batch.targets)[:, :horizon]
        found = forecast_sums(predict(params, batch), ys, q, batch.real)
        total = {"loss": found["pinball"].sum(), "count": found["counts"].sum()}
        return total | found

    inner = task.reads
    reads = inner and (lambda params, batch: inner(params.weights, batch))
    return Task(init, loss, sums, task.figures, predict, reads)


def calibrate(
    task: Task,
    params: Calibrated,
    valid: Dataset,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    batch_size: int = 128,
) -> Calibrated:
    """Set the margins of a trained forecast by a part that it has not learned from.

    Args:
        task: of `calibrated`.
        params: its parameters; margins that they have are replaced.
        valid: windows, and what follows each, (N, K).
        quantiles: those of the task.
        batch_size: windows done at once.

    Returns:
        The same weights with new margins, see `margins`.

    Raises:
        ValueError: no windows; other quantiles than those of the task.

    Example:
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import forecasting
        >>> xs = from_arrays(np.zeros((9, 5, 1)))
        >>> data = Dataset(xs, np.arange(9.0).reshape(9, 1, 1))
        >>> task = calibrated(forecasting(1, (0,), 1, hidden_size=2), 1, 1)
        >>> params = calibrate(task, task.init(jax.random.key(0)), data)
        >>> predict(task, params, data)[0, 0, 0, -1].round(4).item()
        8.0
    """
    raw = params._replace(margins=jnp.zeros_like(params.margins))
    forecasts: Any = predict(task, raw, valid, batch_size)
    targets = np.stack([*valid.targets])[:, : forecasts.shape[1]]
    found = margins(forecasts, targets, quantiles)
    return params._replace(margins=jnp.asarray(found, params.margins.dtype))
