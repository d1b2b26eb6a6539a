"""LSTM whose input gate is what its forget gate leaves.

c_t = sigmoid(f) * c_{t-1} + (1 - sigmoid(f)) * tanh(g)
h_t = sigmoid(o) * tanh(c_t)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.cells.lstm import LSTMCarry
from jrnn.initializers import Initializer, gatewise, orthogonal


class CoupledLSTMParams(NamedTuple):
    """Weights of the coupled LSTM, gates f, g, o side by side on the last axis."""

    w_x: jax.Array  # (I, 3H)
    w_h: jax.Array  # (H, 3H)
    b: jax.Array  # (3H,)


@described
def coupled_lstm(
    hidden_size: int,
    *,
    forget_bias: float = 1.0,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
    w_h_init: Initializer = gatewise(orthogonal(), 3),
) -> Cell:
    """Long short-term memory with coupled input and forget gates (CIFG).

        f, g, o = split(x_t w_x + h_{t-1} w_h + b)
        c_t = sigmoid(f) * c_{t-1} + (1 - sigmoid(f)) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)
        y_t = h_t

    An LSTM whose weights of i are those of f with the other sign, as 1 - sigmoid(f) is
    sigmoid(-f): a quarter fewer parameters, and |c| <= 1. The paper has peepholes too,
    and gives the gate that stays the name of i. PyTorch, Keras and Flax have none.

    Args:
        hidden_size: number of units H.
        forget_bias: initial value of the forget gate's bias.
        w_x_init: initialiser of w_x (I, 3H); Glorot uniform for each gate.
        w_h_init: initialiser of w_h (H, 3H); orthogonal for each gate.

    Returns:
        A cell with `CoupledLSTMParams`, carry `LSTMCarry(h, c)` and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.coupled_lstm(2)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.w_x.shape, params.b.tolist()
        ((3, 6), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0])

    References:
        Greff, Srivastava, Koutnik, Steunebrink, Schmidhuber (2017), LSTM: a search
        space odyssey, arXiv:1503.04069, section 3 (CIFG).
    """
    _check.positive("coupled_lstm", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("coupled_lstm", key, x)
        x_key, h_key = jax.random.split(key)
        return CoupledLSTMParams(
            w_x=w_x_init(x_key, (size, 3 * H), dtype),
            w_h=w_h_init(h_key, (H, 3 * H), dtype),
            b=jnp.zeros(3 * H, dtype).at[:H].set(forget_bias),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("coupled_lstm", params, CoupledLSTMParams)
        zeros = jnp.zeros(params.w_h.shape[0], params.w_h.dtype)
        return LSTMCarry(h=zeros, c=zeros)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("coupled_lstm", params, CoupledLSTMParams)
        _check.carry_type("coupled_lstm", carry, LSTMCarry)
        _check.step_input("coupled_lstm", x, params.w_x.shape[0])
        _check.carry_shape("coupled_lstm", carry.h, params.w_h.shape[:1])
        _check.carry_shape("coupled_lstm", carry.c, params.w_h.shape[:1])
        _check.step_dtype("coupled_lstm", x, params.w_h, carry.h)
        z = x @ params.w_x + carry.h @ params.w_h + params.b  # (3H,)
        f, g, o = gates(z, "sts")  # (H,) each
        c = f * carry.c + (1 - f) * g  # (H,)
        h = o * jnp.tanh(c)  # (H,)
        return LSTMCarry(h, c), h

    return Cell(init, initial_carry, step)
