"""Long short-term memory with forget gate.

i, f, g, o = split(x_t w_x + h_{t-1} w_h + b)
c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
h_t = sigmoid(o) * tanh(c_t)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import CandidateStep, Cell
from jrnn.cells._gates import gates
from jrnn.initializers import Initializer, gatewise, orthogonal


class LSTMParams(NamedTuple):
    """Weights of the LSTM, gates i, f, g, o side by side on the last axis."""

    w_x: jax.Array  # (I, 4H)
    w_h: jax.Array  # (H, 4H)
    b: jax.Array  # (4H,)


class LSTMCarry(NamedTuple):
    """State of the LSTM."""

    h: jax.Array  # (H,) hidden state, the output
    c: jax.Array  # (H,) cell state


@described
def lstm(
    hidden_size: int,
    *,
    forget_bias: float = 1.0,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 4),
    w_h_init: Initializer = gatewise(orthogonal(), 4),
) -> Cell:
    """Long short-term memory.

        i, f, g, o = split(x_t w_x + h_{t-1} w_h + b)
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)
        y_t = h_t

    Gate order i, f, g, o is PyTorch's and Keras's. One bias, where PyTorch has two that
    are only ever added. The forget bias is an initial value in `b`, as in Keras;
    Haiku adds it in every step, Flax and PyTorch have none. The carry is named,
    `LSTMCarry(h, c)`; Flax orders it (c, h).

    Args:
        hidden_size: number of units H.
        forget_bias: initial value of the forget gate's bias. 1 remembers by default:
            sigmoid(1) = 0.73 a step.
        w_x_init: initialiser of w_x (I, 4H); Glorot uniform for each gate.
        w_h_init: initialiser of w_h (H, 4H); orthogonal for each gate.

    Returns:
        A cell with `LSTMParams`, carry `LSTMCarry(h, c)` and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.lstm(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.w_x.shape, params.b.tolist()[4:8]
        ((3, 16), [1.0, 1.0, 1.0, 1.0])

    References:
        Hochreiter, Schmidhuber (1997), Long short-term memory,
        doi:10.1162/neco.1997.9.8.1735.
        Gers, Schmidhuber, Cummins (2000), Learning to forget,
        doi:10.1162/089976600300015015, equations 2.1 to 2.4.
        Jozefowicz, Zaremba, Sutskever (2015), An empirical exploration of recurrent
        network architectures, proceedings.mlr.press/v37 (the forget bias).
    """
    _check.positive("lstm", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("lstm", key, x)
        x_key, h_key = jax.random.split(key)
        b = jnp.zeros(4 * H, dtype).at[H : 2 * H].set(forget_bias)
        return LSTMParams(
            w_x=w_x_init(x_key, (size, 4 * H), dtype),
            w_h=w_h_init(h_key, (H, 4 * H), dtype),
            b=b,
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("lstm", params, LSTMParams)
        zeros = jnp.zeros(params.w_h.shape[0], params.w_h.dtype)
        return LSTMCarry(h=zeros, c=zeros)

    def step(params, carry, x, change, *, key=None):
        del key
        _check.params_type("lstm", params, LSTMParams)
        _check.carry_type("lstm", carry, LSTMCarry)
        _check.step_input("lstm", x, params.w_x.shape[0])
        _check.carry_shape("lstm", carry.h, params.w_h.shape[:1])
        _check.carry_shape("lstm", carry.c, params.w_h.shape[:1])
        _check.step_dtype("lstm", x, params.w_h, carry.h)
        z = x @ params.w_x + carry.h @ params.w_h + params.b  # (4H,)
        i, f, g, o = gates(z, "ssts")  # sigmoid, but tanh for g; (H,) each
        c = f * carry.c + i * change(g)  # (H,)
        h = o * jnp.tanh(c)  # (H,)
        return LSTMCarry(h, c), h

    return Cell(init, initial_carry, CandidateStep(step))
