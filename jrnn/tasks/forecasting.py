"""What comes next in a series of numbers: quantiles of several horizons."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Cell
from jrnn.combine import stack
from jrnn.data import Dataset, Sequences, windows
from jrnn.layers import linear
from jrnn.models import many_to_one
from jrnn.scan import scan
from jrnn.sequence import only_valid
from jrnn.tasks.metrics import forecast_figures, forecast_sums, middle
from jrnn.tasks.reader import (
    Model,
    init_of,
    numbers,
    reader,
    rows_of,
    run_rows,
    targets_of,
)
from jrnn.tasks.task import Read, Task
from jrnn.wrappers import length_mask

# forecast(params, xs (T, D), length, *, key=None) -> (N, K, Q)
Forecast = Callable[..., jax.Array]


class _Asked(NamedTuple):
    """What is to be forecast."""

    features: int  # D
    targets: tuple[int, ...]  # K columns of the features
    horizon: int  # N
    quantiles: np.ndarray  # (Q,), rising
    unit: ArrayLike  # what 1 stands for


class _Start(NamedTuple):
    """Where forecasts start, and how far from there what comes is wont to be."""

    season: int
    drift: bool
    centre: bool
    spread: ArrayLike  # (N, K), or a number


def forecasting(
    features: int,
    targets: Sequence[int],
    horizon: int,
    *,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    cell: str | Callable[[int], Cell] = "gru",
    hidden_size: int = 64,
    layers: int = 1,
    dropout: float = 0.0,
    season: int = 1,
    centre: bool = False,
    drift: bool = False,
    spread: ArrayLike = 1.0,
    unit: ArrayLike = 1.0,
) -> Task:
    """Forecast quantiles of some columns of a series, all horizons at once.

        h_T = recurrent layers over x_1 .. x_T
        u = h_T w + b                                   (N, K, Q)
        v_{n,m} = u_{n,m}                               m the quantile next to 1/2
        v_{n,j+1} = v_{n,j} + softplus(u_{n,j+1})       above it, and down below it
        f_n = s_n + r_n v_n
        L = mean of max(q (y - f), (q - 1) (y - f))     pinball loss

    s_n is the last value known a whole number of seasons before step T + n (with season
    1 the last value, with 0 it is 0), with a drift that and what the last season has
    added to it, y_T - y_{T-p}, for each season that lies between. The network learns by
    how much this is wrong, in units of the spread r_n. Quantiles cannot cross, since
    they are sums of positive steps. All horizons come
    from one state, the direct form; `feed_back` is the iterated one.

    Inputs of a batch are windows (B, T, D), scaled (`jrnn.data` does it); targets are
    the columns `targets` of the N steps that follow each, (B, N, K). What is NaN among
    the targets is missing and does not count.

    Args:
        features: columns D of the inputs.
        targets: which of them are forecast, K places from 0 to D-1.
        horizon: steps N to forecast.
        quantiles: in (0, 1), rising.
        cell: "gru", "lstm", "elman", "irnn", or a cell factory.
        hidden_size: units of each layer.
        layers: recurrent layers, one on the other.
        dropout: in training, on what each layer hands on.
        season: steps of a season, 1 for the last value, 0 for none.
        centre: whether target columns are read relative to their last value: for series
            that drift away from where they were in training, where the level itself
            says nothing. They are read in units of r_N, too.
        drift: whether s_n goes on to change as in the last season; windows have a step
            more than that, at least. See `jrnn.tasks.drifts`.
        spread: r, a number or (N, K): how far from s_n what comes is wont to be, such
            as `jrnn.tasks.spreads` finds. A network of which numbers of about 1 are
            asked learns faster.
        unit: what 1 in the targets stands for, a number or one for each target (K,),
            such as the deviation by which they were divided; figures but the loss are
            in its units.

    Returns:
        A `Task`. Figures are "loss" and those of `jrnn.tasks.metrics.forecast_figures`;
        answers are quantiles (B, N, K, Q), scaled like the targets.

    Raises:
        ValueError: a size, rate, quantile or column outside its range; a batch of
            another form.

    Example:
        >>> from jrnn.data import Batch
        >>> task = forecasting(2, (0,), 4, hidden_size=8)
        >>> params = task.init(jax.random.key(0))
        >>> xs, ys, yes = jnp.ones((3, 9, 2)), jnp.ones((3, 4, 1)), jnp.ones(3, bool)
        >>> batch = Batch(xs, jnp.full(3, 9), ys, None, yes)
        >>> forecasts = task.predict(params, batch)
        >>> forecasts.shape, bool((jnp.diff(forecasts, axis=-1) > 0).all())
        ((3, 4, 1, 3), True)

    References:
        Wen, Torkkola, Narayanaswamy, Madeka (2017), A multi-horizon quantile recurrent
        forecaster, arXiv:1711.11053 (direct forecasts of quantiles).
        Gasthaus et al. (2019), Probabilistic forecasting with spline quantile function
        RNNs, proceedings.mlr.press/v89 (quantiles that do not cross, by positive
        steps).
    """
    asked = _asked("forecasting", features, targets, horizon, quantiles, season, unit)
    start = _Start(season, drift, centre, spread)
    options = (cell, hidden_size, layers, dropout, start)
    network = _network("forecasting", asked, *options)
    return _task("forecasting", asked, network)


def feed_back(
    features: int,
    targets: Sequence[int],
    horizon: int,
    *,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    cell: str | Callable[[int], Cell] = "gru",
    hidden_size: int = 64,
    layers: int = 1,
    dropout: float = 0.0,
    season: int = 1,
    centre: bool = False,
    drift: bool = False,
    spread: ArrayLike = 1.0,
    unit: ArrayLike = 1.0,
) -> Task:
    """Forecast one step ahead and read the own median as if it had come true.

        f_1 = forecast of one step from x_1 .. x_T
        f_n = forecast of one step from x_n .. x_T, m_1 .. m_{n-1}

    m_n is the quantile of f_n next to 1/2. The window moves on with the forecasts, so
    that it is as long as those of training. The parameters are those of `forecasting`
    with `horizon=1` and the same options: train with that on targets (B, 1, K), and
    answer with this for any horizon. What the bands of later steps leave out is how
    wrong m_1 .. m_{n-1} may be: they are too narrow, which "coverage_by_horizon" shows;
    the direct form has no such fault.

    Args:
        features: columns D of the inputs.
        targets: all of them in any order, since later steps must be known whole.
        horizon: steps N to forecast.
        quantiles: as in `forecasting`, like the rest.
        cell: the same.
        hidden_size: the same.
        layers: the same.
        dropout: the same.
        season: the same.
        centre: the same.
        drift: the same.
        spread: that of one step ahead, a number or (1, K).
        unit: the same.

    Returns:
        A `Task` for targets (B, N, K), with figures and answers as of `forecasting`.
        Its loss is that of all horizons, and can be trained on too.

    Raises:
        ValueError: some columns are not forecast; else as in `forecasting`.

    Example:
        >>> from jrnn.data import Batch
        >>> one = forecasting(1, (0,), 1, hidden_size=8)
        >>> params = one.init(jax.random.key(0))
        >>> xs, ys, yes = jnp.ones((3, 9, 1)), jnp.ones((3, 4, 1)), jnp.ones(3, bool)
        >>> batch = Batch(xs, jnp.full(3, 9), ys, None, yes)
        >>> feed_back(1, (0,), 4, hidden_size=8).predict(params, batch).shape
        (3, 4, 1, 3)

    References:
        Ben Taieb, Bontempi, Atiya, Sorjamaa (2012), A review and comparison of
        strategies for multi-step ahead time series forecasting, arXiv:1108.3259
        (direct and recursive).
    """
    asked = _asked("feed_back", features, targets, horizon, quantiles, season, unit)
    if set(asked.targets) != set(range(features)):
        left = sorted(set(range(features)) - set(asked.targets))
        raise ValueError(
            f"feed_back: needs forecasts of all {features} columns to go on from, but "
            f"{left} are not among the targets. Forecast them too, or all horizons at "
            "once by forecasting(...)."
        )
    start = _Start(season, drift, centre, spread)
    options = (cell, hidden_size, layers, dropout, start)
    one = asked._replace(horizon=1)
    network = _network("feed_back", one, *options)
    iterated = [_iterated(f, asked) for f in (network.train, network.evaluate)]
    of_all = network._replace(train=iterated[0], evaluate=iterated[1])
    return _task("feed_back", asked, of_all)


def forecast_windows(
    series: Sequences,
    targets: Sequence[int],
    *,
    context: int,
    horizon: int,
    stride: int = 1,
) -> Dataset:
    """Windows of series, and what follows each: the examples of a forecast.

        inputs = x_{t+1} .. x_{t+context},   targets = the N steps behind them

    Nothing is copied but the columns that are forecast.

    Args:
        series: one or more series (T, D), scaled.
        targets: which K columns are forecast.
        context: steps that are read.
        horizon: steps N that are forecast.
        stride: steps from one window to the next; 1 for all of them.

    Returns:
        A `jrnn.data.Dataset` of windows (context, D) and targets (N, K).

    Raises:
        ValueError: every series is shorter than context and horizon together.

    Example:
        >>> from jrnn.data import from_arrays
        >>> series = from_arrays([np.arange(12.0).reshape(6, 2)])
        >>> data = forecast_windows(series, (1,), context=3, horizon=2)
        >>> len(data.inputs), data.targets[1].ravel().tolist()
        (2, [9.0, 11.0])
    """
    whole = windows(series, context + horizon, stride)
    size = np.ones_like(whole.lengths)
    inputs = Sequences(whole.values, whole.starts, context * size)
    columns = whole.values[:, list(targets)]
    return Dataset(inputs, Sequences(columns, whole.starts + context, horizon * size))


class _Network(NamedTuple):
    """Functions of one window."""

    init: Callable[..., Any]
    train: Forecast
    evaluate: Forecast  # the same without noise
    model: Model  # the layers, without noise
    seen: Callable[..., jax.Array]  # (xs, length): what the layers read of a window


def _network(name, asked: _Asked, cell, hidden_size, layers, rate, start: _Start):
    read = reader(
        name,
        numbers(asked.features),
        cell=cell,
        hidden_size=hidden_size,
        layers=layers,
        embed_size=0,
        dropout_rate=rate,
        two_ways=False,
        pooled="last",
    )
    columns = jnp.array(asked.targets)
    shape = asked.horizon, len(asked.targets), len(asked.quantiles)
    spread = _spread_of(name, start.spread, shape[:2])
    readout = linear(shape[0] * shape[1] * shape[2])

    def seen(xs, length):
        xs = only_valid(length_mask(length, xs.shape[0]), xs)
        if not start.centre:
            return xs
        ys = xs[:, columns]
        last = ys[jnp.maximum(length - 1, 0)]
        scaled = (ys - last[None]) / jnp.asarray(spread[-1:], ys.dtype)
        return xs.at[:, columns].set(scaled)

    def forecast(model) -> Forecast:
        def run(params, xs, length, *, key=None):
            ys = only_valid(length_mask(length, xs.shape[0]), xs)[:, columns]
            s = _last_seasons(ys, length, asked.horizon, start.season, start.drift)
            xs = seen(xs, length)
            u = many_to_one(model, readout, params, xs, length, key=key)
            v = _rising(u.reshape(shape), middle(asked.quantiles))
            return s[..., None] + jnp.asarray(spread, v.dtype)[..., None] * v

        return run

    init = init_of(stack(read.evaluate, readout), read.example)
    noisy, plain = forecast(read.train), forecast(read.evaluate)
    return _Network(init, noisy, plain, read.evaluate, seen)


def _spread_of(name: str, spread: ArrayLike, shape: tuple[int, int]) -> np.ndarray:
    found = np.asarray(spread, float)
    if found.shape not in ((), shape) or not (found > 0).all():
        raise ValueError(
            f"{name}: spread must be a number above 0, or one for each horizon and "
            f"target, {shape}, got shape {found.shape}."
        )
    return np.broadcast_to(found, shape)


def _last_seasons(
    ys: jax.Array, length: jax.Array, horizon: int, season: int, drift: bool
) -> jax.Array:
    """The last known values whole seasons before each horizon, (N, K)."""
    if season == 0:
        return jnp.zeros((horizon, ys.shape[1]), ys.dtype)
    n = np.arange(1, horizon + 1)
    ago = -(-n // season)  # seasons
    back = season * ago - n + 1  # steps before the first unknown one
    start = ys[jnp.maximum(length - back, 0)]
    if not drift:
        return start
    last, before = (ys[jnp.maximum(length - 1 - p, 0)] for p in (0, season))
    return start + jnp.asarray(ago, ys.dtype)[:, None] * (last - before)[None]


def _rising(u: jax.Array, m: int) -> jax.Array:
    """Quantiles that do not cross: from the m-th by positive steps up and down."""
    steps = jax.nn.softplus(u)
    mid = u[..., m]
    up = mid[..., None] + jnp.cumsum(steps[..., m + 1 :], axis=-1)
    down = mid[..., None] - jnp.cumsum(steps[..., :m][..., ::-1], axis=-1)
    return jnp.concatenate([down[..., ::-1], mid[..., None], up], axis=-1)


def _iterated(forecast: Forecast, asked: _Asked) -> Forecast:
    """Forecasts of one step, each from a window that ends with the one before."""
    columns, m = jnp.array(asked.targets), middle(asked.quantiles)

    def run(params, xs, length, *, key=None):
        keys = None if key is None else jax.random.split(key, asked.horizon)

        def step(xs, key):
            f = forecast(params, xs, length, key=key)[0]  # (K, Q)
            new = jnp.zeros_like(xs[0]).at[columns].set(f[:, m])
            moved = jnp.roll(xs, -1, axis=0)
            return moved.at[jnp.maximum(length - 1, 0)].set(new), f

        xs = only_valid(length_mask(length, xs.shape[0]), xs)
        return scan(step, xs, keys, length=asked.horizon)[1]

    return run


def _task(name, asked: _Asked, network: _Network) -> Task:
    inputs, q = numbers(asked.features), asked.quantiles
    shape = asked.horizon, len(asked.targets)

    def targets(batch):
        ys = targets_of(name, batch, 3)
        if ys.shape[1] < shape[0] or ys.shape[2] != shape[1]:
            raise ValueError(
                f"{name}: targets must have shape (B, {shape[0]}, {shape[1]}), for "
                f"horizon and columns, got {ys.shape}."
            )
        return ys[:, : shape[0]]  # what is behind is padding

    def forecasts(params, batch, key=None):
        forecast = network.evaluate if key is None else network.train
        return run_rows(forecast, params, rows_of(name, inputs, batch), key)

    def all_sums(params, batch, key=None):
        fs = forecasts(params, batch, key)
        found = forecast_sums(fs, targets(batch), q, batch.real)
        return {
            "loss": found["pinball"].sum(),
            "count": found["counts"].sum(),
        } | found

    def loss(params, batch, *, key=None, step=None):
        del step
        found = all_sums(params, batch, key)
        return found["loss"] / jnp.maximum(found["count"], 1)

    def figures(sums):
        count = float(sums["count"])
        value = float(sums["loss"]) / count if count else float("nan")
        return {"loss": value} | forecast_figures(sums, q, asked.unit)

    def reads(params, batch):
        xs, lengths = rows_of(name, inputs, batch)
        return Read(
            network.model, params[0], jax.vmap(network.seen)(xs, lengths), lengths
        )

    return Task(network.init, loss, all_sums, figures, forecasts, reads)


def _asked(name, features, targets, horizon, quantiles, season, unit) -> _Asked:
    _check.positive(name, "features", features)
    _check.positive(name, "horizon", horizon)
    columns, q = tuple(targets), np.asarray(quantiles, float)
    if not columns or not set(columns) <= set(range(features)):
        raise ValueError(
            f"{name}: targets must be columns from 0 to {features - 1}, got {columns}."
        )
    if q.ndim != 1 or not q.size or (q <= 0).any() or (q >= 1).any():
        raise ValueError(f"{name}: quantiles must be in (0, 1), got {quantiles}.")
    if (np.diff(q) <= 0).any():
        raise ValueError(f"{name}: quantiles must rise, got {quantiles}.")
    if not isinstance(season, int) or season < 0:
        raise ValueError(f"{name}: season must be an integer >= 0, got {season!r}.")
    return _Asked(features, columns, horizon, q, unit)
