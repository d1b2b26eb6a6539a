"""LSTM whose gates see the cell state.

i, f = sigmoid(... + c_{t-1} * w_c),   o = sigmoid(... + c_t * w_c)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates, sigmoid
from jrnn.cells.lstm import LSTMCarry
from jrnn.initializers import Initializer, gatewise, orthogonal


class PeepholeLSTMParams(NamedTuple):
    """Weights of the peephole LSTM, gates i, f, g, o side by side on the last axis."""

    w_x: jax.Array  # (I, 4H)
    w_h: jax.Array  # (H, 4H)
    w_c: jax.Array  # (3H,) peepholes of i, f, o, each unit its own
    b: jax.Array  # (4H,)


@described
def peephole_lstm(
    hidden_size: int,
    *,
    forget_bias: float = 1.0,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 4),
    w_h_init: Initializer = gatewise(orthogonal(), 4),
    w_c_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Long short-term memory with peepholes.

        i = sigmoid(x_t w_xi + h_{t-1} w_hi + c_{t-1} * w_ci + b_i)
        f = sigmoid(x_t w_xf + h_{t-1} w_hf + c_{t-1} * w_cf + b_f)
        g = tanh(x_t w_xg + h_{t-1} w_hg + b_g)
        c_t = f * c_{t-1} + i * g
        o = sigmoid(x_t w_xo + h_{t-1} w_ho + c_t * w_co + b_o)
        h_t = o * tanh(c_t)
        y_t = h_t

    The output gate sees the new cell state. With w_c = 0, where it starts, it is
    `lstm`, whose weights it can take over. PyTorch, Keras and Flax have none.

    Args:
        hidden_size: number of units H.
        forget_bias: initial value of the forget gate's bias.
        w_x_init: initialiser of w_x (I, 4H); Glorot uniform for each gate.
        w_h_init: initialiser of w_h (H, 4H); orthogonal for each gate.
        w_c_init: initialiser of w_c (3H,); zeros by default.

    Returns:
        A cell with `PeepholeLSTMParams`, carry `LSTMCarry(h, c)` and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.peephole_lstm(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.w_x.shape, params.w_c.shape
        ((3, 16), (12,))

    References:
        Gers, Schraudolph, Schmidhuber (2002), Learning precise timing with LSTM
        recurrent networks, jmlr.org/papers/v3/gers02a.html.
        Graves (2013), Generating sequences with recurrent neural networks,
        arXiv:1308.0850, equations 7 to 11 (this form).
    """
    _check.positive("peephole_lstm", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("peephole_lstm", key, x)
        x_key, h_key, c_key = jax.random.split(key, 3)
        return PeepholeLSTMParams(
            w_x=w_x_init(x_key, (size, 4 * H), dtype),
            w_h=w_h_init(h_key, (H, 4 * H), dtype),
            w_c=w_c_init(c_key, (3 * H,), dtype),
            b=jnp.zeros(4 * H, dtype).at[H : 2 * H].set(forget_bias),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("peephole_lstm", params, PeepholeLSTMParams)
        zeros = jnp.zeros(params.w_h.shape[0], params.w_h.dtype)
        return LSTMCarry(h=zeros, c=zeros)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("peephole_lstm", params, PeepholeLSTMParams)
        _check.carry_type("peephole_lstm", carry, LSTMCarry)
        _check.step_input("peephole_lstm", x, params.w_x.shape[0])
        _check.carry_shape("peephole_lstm", carry.h, params.w_h.shape[:1])
        _check.carry_shape("peephole_lstm", carry.c, params.w_h.shape[:1])
        _check.step_dtype("peephole_lstm", x, params.w_h, carry.h)
        z = x @ params.w_x + carry.h @ params.w_h + params.b  # (4H,)
        z_i, z_f, z_g, z_o = jnp.split(z, 4, axis=-1)  # (H,) each
        w_i, w_f, w_o = jnp.split(params.w_c, 3, axis=-1)  # (H,) each
        seen = [z_i + carry.c * w_i, z_f + carry.c * w_f, z_g]
        i, f, g = gates(jnp.concatenate(seen, axis=-1), "sst")
        c = f * carry.c + i * g  # (H,)
        o = sigmoid(z_o + c * w_o)
        h = o * jnp.tanh(c)  # (H,)
        return LSTMCarry(h, c), h

    return Cell(init, initial_carry, step)
