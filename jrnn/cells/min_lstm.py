"""LSTM whose gates read the input alone and add up to one: linear in the state.

f, i = sigmoid(...)
h_t = f / (f + i) * h_{t-1} + i / (f + i) * g(x_t w_n + b_n)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell, DiagonalStep
from jrnn.cells._linear import above_zero
from jrnn.initializers import Initializer, gatewise


class MinLSTMParams(NamedTuple):
    """Weights of the minimal LSTM, f, i and n side by side."""

    w_x: jax.Array  # (I, 3H)
    b: jax.Array  # (3H,)


@described
def min_lstm(
    hidden_size: int,
    *,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """LSTM without recurrent weights (minLSTM).

        f = sigmoid(x_t w_xf + b_f)
        i = sigmoid(x_t w_xi + b_i)
        n = g(x_t w_xn + b_n),   g(a) = a + 1/2 where a >= 0, else sigmoid(a)
        h_t = f / (f + i) * h_{t-1} + i / (f + i) * n
        y_t = h_t

    No gate reads the state, so that all states can be computed in parallel: `unroll`
    does so off the CPU, see `diagonal`. The two shares are sigmoid(d) and sigmoid(-d)
    with d = log f - log i, from logarithms of gates as in the paper's own form, which
    is right where f and i are too small for a float. There is neither a cell state
    beside h nor an output gate. h_0 is zero; in the paper's code for parallel steps it
    is g(h_0).

    Args:
        hidden_size: number of units H.
        w_x_init: initialiser of w_x (I, 3H), f, i and n; Glorot uniform for each.
        b_init: initialiser of b (3H,); zeros by default.

    Returns:
        A cell with `MinLSTMParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x of another size.

    Example:
        >>> import jrnn
        >>> cell = jrnn.min_lstm(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].shape
        (5, 4)

    References:
        Feng, Tung, Ahmed, Bengio, Hajimirsadeghi (2024), Were RNNs all we needed?,
        arXiv:2410.01201, section 3.2 and appendix B.
    """
    _check.positive("min_lstm", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("min_lstm", key, x)
        x_key, b_key = jax.random.split(key)
        return MinLSTMParams(
            w_x=w_x_init(x_key, (size, 3 * H), dtype), b=b_init(b_key, (3 * H,), dtype)
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("min_lstm", params, MinLSTMParams)
        return jnp.zeros_like(params.b[:H])

    def coefficients(params, x, *, key=None):
        del key
        _check.params_type("min_lstm", params, MinLSTMParams)
        _check.step_input("min_lstm", x, params.w_x.shape[0])
        f, i, n = jnp.split(x @ params.w_x + params.b, 3, axis=-1)
        d = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)  # log of f / i
        return jax.nn.sigmoid(d), jax.nn.sigmoid(-d) * above_zero(n)  # (H,) both

    def output(params, h, x):
        del params, x
        return h

    return Cell(init, initial_carry, DiagonalStep(coefficients, output, "min_lstm"))
