"""Recursive least squares: the regression of a readout, one row after the other."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.layers import LinearParams


class LeastSquares(NamedTuple):
    """A readout, and what is kept of the rows that it was fitted to."""

    readout: LinearParams  # w (H, O) and b (O,), fitted to all rows so far
    p: jax.Array  # (H, H), inverse of the correlations of h with the penalty
    n: jax.Array  # () rows so far, each with its weight
    mean_h: jax.Array  # (H,) of these rows
    mean_y: jax.Array  # (O,)


class StartFitFn(Protocol):
    """The start of a regression, `init(h, y, readout=None)`.

    Of `h` (H,) and `y` (O,), examples or their specs, only the form counts. Returns
    `LeastSquares` with the readout, of zeros if None.
    """

    def __call__(  # noqa: D102
        self, h: jax.Array, y: jax.Array, readout: LinearParams | None = None, /
    ) -> LeastSquares: ...


class FitStepFn(Protocol):
    """One row, `step(state, h, y)`.

    Returns `(state, guess)`, where the guess (O,) is what the readout said to h before
    it was told y.
    """

    def __call__(  # noqa: D102
        self, state: LeastSquares, h: jax.Array, y: jax.Array, /
    ) -> tuple[LeastSquares, jax.Array]: ...


class Regression(NamedTuple):
    """A regression of a readout from a stream as two pure functions.

    `init(h, y, readout=None)` starts it, and `step(state, h, y)` takes one row.
    """

    init: StartFitFn
    step: FitStepFn


def recursive_least_squares(
    penalty: ArrayLike, *, forgetting: ArrayLike = 1.0, bias: bool = True
) -> Regression:
    """Recursive least squares (RLS): `ridge_readout` of a stream, one row at a time.

        w_t, b_t = argmin  sum_s lambda^(t - s) |h_s w + b - y_s|^2
                           + lambda^t penalty |w - w_0|^2

        d   = h_t - mean of h before it,   h_t itself without a bias
        e   = y_t - (h_t w_{t-1} + b_{t-1})
        k   = P_{t-1} d / (lambda + 1/n + d^T P_{t-1} d),   without 1/n if no bias
        w_t = w_{t-1} + k e^T,   b_t = mean of y - mean of h w_t
        P_t = (P_{t-1} - k d^T P_{t-1}) / lambda,           P_0 = I / penalty

    lambda is `forgetting`, and n the number of rows before, each with its weight. After
    every row the readout is the solution for all rows so far, not a step towards it.
    With lambda = 1 and w_0 = 0 it is that of `ridge_readout` with the same penalty,
    whose bias is not penalised either. The bias follows from the means of h and y, and
    w is fitted to what deviates from them: hence d and 1/n. From P the outer product of
    one vector with itself is subtracted, so that it stays symmetric to the last bit. A
    step takes about 2 H^2 products, whatever the number of rows.

    Errors of rounding add up: with small penalties and long streams compute in float64.
    Where lambda is below 1, P grows in directions in which h does not move.

    Args:
        penalty: above 0; may be traced. Small ones learn fast.
        forgetting: weight lambda of a row relative to the next, in (0, 1]; the last
            1 / (1 - lambda) rows or so count. May be traced.
        bias: whether there is one; if not, b stays as it is.

    Returns:
        A `Regression`, whose `init(h, y, readout=None)` returns `LeastSquares(readout,
        p, n, mean_h, mean_y)` and whose `step(state, h, y)` returns `(state, guess)`.
        `state.readout` is the `LinearParams` of `linear(O)`.

    Raises:
        ValueError: `penalty` is not above 0, or `forgetting` outside (0, 1]; h or y is
            not a vector, or not of the size that `init` was given.
        TypeError: a state that is none.

    Example:
        >>> import jrnn
        >>> from jrnn import online
        >>> hs = jax.random.normal(jax.random.key(0), (200, 3))
        >>> ys = hs @ jnp.array([[1.0], [-2.0], [0.5]]) + 3.0
        >>> rls = online.recursive_least_squares(1e-3)
        >>> start = rls.init(hs[0], ys[0])
        >>> row = lambda state, hy: rls.step(state, *hy)
        >>> state, guesses = jax.lax.scan(row, start, (hs, ys))
        >>> state.readout.w[:, 0].round(2).tolist(), state.readout.b.round(2).tolist()
        ([1.0, -2.0, 0.5], [3.0])

    References:
        Haykin (2002), Adaptive filter theory, 4th edition, Prentice Hall, the chapter
        on recursive least squares (without a bias).
        Jaeger (2003), Adaptive nonlinear system identification with echo state
        networks, Advances in Neural Information Processing Systems 15 (of a reservoir).
    """
    name = "recursive_least_squares"
    _check.above_zero(name, "penalty", penalty)
    _check.above_zero(name, "forgetting", forgetting, most=1)

    def init(h, y, readout=None, /):
        for argument, vector in (("h", h), ("y", y)):
            _vector(argument, vector)
        (h_size,), (y_size,), dtype = h.shape, y.shape, h.dtype
        if readout is None:
            readout = LinearParams(
                jnp.zeros((h_size, y_size), dtype), jnp.zeros(y_size, dtype)
            )
        _check.params_type(name, readout, LinearParams)
        return LeastSquares(
            readout,
            p=jnp.eye(h_size, dtype=dtype) / jnp.asarray(penalty, dtype),
            n=jnp.zeros((), dtype),
            mean_h=jnp.zeros(h_size, dtype),
            mean_y=jnp.zeros(y_size, dtype),
        )

    def step(state, h, y, /):
        if not isinstance(state, LeastSquares):
            raise TypeError(
                f"{name}: the state must be LeastSquares, got {_check.kind(state)}. It "
                "comes from init(h, y) or an earlier step."
            )
        _vector("h", h, state.mean_h.shape)
        _vector("y", y, state.mean_y.shape)
        guess = h @ state.readout.w + state.readout.b
        factor = jnp.asarray(forgetting, state.p.dtype)
        return (_with_bias if bias else _without)(state, h, y, guess, factor), guess

    return Regression(init, step)


def _without(state, h, y, guess, forgetting) -> LeastSquares:
    ph = state.p @ h  # (H,)
    share = 1 / (forgetting + h @ ph)
    w, p = _updated(state, ph, share, y - guess, forgetting)
    return state._replace(
        readout=LinearParams(w, state.readout.b), p=p, n=forgetting * state.n + 1
    )


def _with_bias(state, h, y, guess, forgetting) -> LeastSquares:
    d = h - state.mean_h
    pd = state.p @ d  # (H,)
    share = state.n / (1 + state.n * (forgetting + d @ pd))  # 0 for the first row
    w, p = _updated(state, pd, share, y - guess, forgetting)
    n = forgetting * state.n + 1
    mean_h = state.mean_h + d / n
    mean_y = state.mean_y + (y - state.mean_y) / n
    return LeastSquares(LinearParams(w, mean_y - mean_h @ w), p, n, mean_h, mean_y)


def _updated(state, pd, share, e, forgetting) -> tuple[jax.Array, jax.Array]:
    """w_t and P_t, of P_{t-1} d and what it is multiplied by to be k."""
    w = state.readout.w + jnp.outer(share * pd, e)
    part = jnp.sqrt(share) * pd  # symmetric: every product is that of the other side
    return w, (state.p - jnp.outer(part, part)) / forgetting


def _vector(argument: str, value, shape: tuple[int, ...] | None = None) -> None:
    got = jnp.shape(value)
    if len(got) != 1 or (shape is not None and got != shape):
        form = ("(H,)" if argument == "h" else "(O,)") if shape is None else shape
        raise ValueError(
            f"recursive_least_squares: {argument} must have shape {form}, one row, got "
            f"{got}. Use jax.lax.scan for rows of a stream, jax.vmap for many streams."
        )
