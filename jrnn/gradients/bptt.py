"""Backpropagation through time written out, for an Elman network with a softmax.

Nothing here is needed to train: `jax.grad` finds the same numbers, faster. This is the
algorithm of the courses, line by line, for those who want to read it or to see the
gradient of every intermediate value.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn.cells import ElmanParams
from jrnn.layers import LinearParams
from jrnn.scan import scan


class BPTT(NamedTuple):
    """The loss and its derivative with respect to everything."""

    loss: jax.Array  # ()
    d_h: jax.Array  # (T, H) dL/dh_t
    d_a: jax.Array  # (T, H) dL/da_t
    d_params: tuple[ElmanParams, LinearParams]


class _Step(NamedTuple):
    """What the backward pass needs to know about step t."""

    x: jax.Array  # (I,)
    h_prev: jax.Array  # (H,)
    h: jax.Array  # (H,)
    d_o: jax.Array  # (O,)
    last: jax.Array  # () bool, whether the gradient of step t + 1 is cut off


def bptt(
    params: tuple[ElmanParams, LinearParams],
    xs: jax.Array,
    labels: jax.Array,
    h_0: jax.Array | None = None,
    *,
    window: int | None = None,
) -> BPTT:
    """Backpropagation through time, the explicit algorithm.

        forward, t = 1 .. T:      a_t = x_t w_x + h_{t-1} w_h + b
                                  h_t = tanh(a_t)
                                  o_t = h_t w + c
                                  L = sum_t -log softmax(o_t)[label_t]
        backward, t = T .. 1:     do_t = softmax(o_t) - onehot(label_t)
                                  dh_t = do_t w^T + da_{t+1} w_h^T
                                  da_t = dh_t * (1 - h_t^2)
                                  dw_h += h_{t-1} da_t^T,  dw_x += x_t da_t^T
                                  dw   += h_t do_t^T,  db += da_t,  dc += do_t

    The output bias c is `params[1].b`. With `window`, the sequence is cut into windows
    of that many steps: states go on from one to the next, gradients do not
    (dh at the end of a window lacks the term with da_{t+1}).

    Args:
        params: of `jrnn.stack(jrnn.elman(H), jrnn.linear(O))`.
        xs: inputs `(T, I)`.
        labels: integers `(T,)`, from 0 to O - 1; any other makes the loss NaN.
        h_0: state before the first step (H,); zeros if None.
        window: steps in a window; the whole sequence if None.

    Returns:
        `BPTT(loss, d_h, d_a, d_params)`, the loss being the sum over all steps.

    Raises:
        TypeError: the parameters are not those of an Elman network and a linear layer.
        ValueError: `window` is not a positive integer; labels of another length.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.elman(4), jrnn.linear(3))
        >>> params = model.init(jax.random.key(0), jnp.zeros(2))
        >>> result = bptt(params, jnp.ones((6, 2)), jnp.array([0, 1, 2, 0, 1, 2]))
        >>> result.d_h.shape, result.d_params[0].w_h.shape
        ((6, 4), (4, 4))

    References:
        Werbos (1990), Backpropagation through time: what it does and how to do it,
        doi:10.1109/5.58337.
        Williams, Peng (1990), An efficient gradient-based algorithm for on-line
        training of recurrent network trajectories, doi:10.1162/neco.1990.2.4.490
        (truncation).
    """
    cell, readout = _checked(params, xs, labels)
    num_steps = len(xs)
    if window is not None:
        _check.positive("bptt", "window", window)
    h_0 = jnp.zeros_like(cell.b) if h_0 is None else h_0

    def forward(h_prev, x):
        h = jnp.tanh(x @ cell.w_x + h_prev @ cell.w_h + cell.b)  # (H,)
        o = h @ readout.w + readout.b  # (O,)
        return h, (h_prev, h, jax.nn.log_softmax(o))

    _, (h_prevs, hs, log_p) = scan(forward, h_0, xs)
    one_hot = jax.nn.one_hot(labels, log_p.shape[1], dtype=log_p.dtype)
    loss = -(one_hot * log_p).sum()
    known = (labels >= 0) & (labels < log_p.shape[1])
    loss = jnp.where(known.all(), loss, jnp.nan)

    def backward(state, step):
        d_params, d_a_next = state
        d_a_next = jnp.where(step.last, jnp.zeros_like(d_a_next), d_a_next)
        d_h = step.d_o @ readout.w.T + d_a_next @ cell.w_h.T  # (H,)
        d_a = d_h * (1 - step.h * step.h)  # (H,)
        d_params = jax.tree.map(jnp.add, d_params, _of_step(step, d_a))
        return (d_params, d_a), (d_h, d_a)

    t = jnp.arange(1, num_steps + 1)
    last = t % (num_steps if window is None else window) == 0
    steps = _Step(xs, h_prevs, hs, jnp.exp(log_p) - one_hot, last)
    zeros = jax.tree.map(jnp.zeros_like, params), jnp.zeros_like(h_0)
    (d_params, _), (d_h, d_a) = scan(backward, zeros, steps, reverse=True)
    return BPTT(loss, d_h, d_a, d_params)


def _of_step(step: _Step, d_a: jax.Array) -> tuple[ElmanParams, LinearParams]:
    """What step t adds to the gradients of the weights, used at every step."""
    return (
        ElmanParams(w_x=jnp.outer(step.x, d_a), w_h=jnp.outer(step.h_prev, d_a), b=d_a),
        LinearParams(w=jnp.outer(step.h, step.d_o), b=step.d_o),
    )


def _checked(params, xs, labels) -> tuple[ElmanParams, LinearParams]:
    kinds = [type(p).__name__ for p in params] if isinstance(params, tuple) else params
    if kinds != ["ElmanParams", "LinearParams"]:
        raise TypeError(
            "bptt: params must be those of stack(elman(H), linear(O)), (ElmanParams, "
            f"LinearParams), got {type(params).__name__ if kinds is params else kinds}."
        )
    if jnp.shape(labels) != jnp.shape(xs)[:1]:
        raise ValueError(
            f"bptt: labels must have shape {jnp.shape(xs)[:1]}, one for each step, got "
            f"{jnp.shape(labels)}."
        )
    return params
