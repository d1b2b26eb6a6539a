"""LSTM whose two products and whose cell state are normalised.

i, f, g, o = split(LN(x_t w_x) + LN(h_{t-1} w_h) + b)
c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
h_t = sigmoid(o) * tanh(LN(c_t))
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.cells._normal import normalised
from jrnn.cells.lstm import LSTMCarry
from jrnn.initializers import Initializer, gatewise, orthogonal


class LayerNormLSTMParams(NamedTuple):
    """Weights of the normalised LSTM, its gates i, f, g, o side by side."""

    w_x: jax.Array  # (I, 4H)
    w_h: jax.Array  # (H, 4H)
    b: jax.Array  # (4H,)
    scale_x: jax.Array  # (4H,)
    scale_h: jax.Array  # (4H,)
    scale_c: jax.Array  # (H,)
    offset_c: jax.Array  # (H,)


@described
def layer_norm_lstm(
    hidden_size: int,
    *,
    forget_bias: float = 1.0,
    epsilon: float = 1e-6,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 4),
    w_h_init: Initializer = gatewise(orthogonal(), 4),
) -> Cell:
    """Long short-term memory with layer normalisation inside.

        i, f, g, o = split(scale_x * N(x_t w_x) + scale_h * N(h_{t-1} w_h) + b)
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(scale_c * N(c_t) + offset_c)
        y_t = h_t
        N(z) = (z - mean(z)) / sqrt(var(z) + epsilon)

    Each product is normalised as one vector of 4H numbers, as in the paper. The c that
    is carried is not normalised. The paper's offsets of the two products and its b are
    only ever added: they are one b here. PyTorch, Keras and Flax have none;
    `layer_norm(lstm(64))` normalises the output alone.

    At h = 0 and at x = 0 the slope of N is 1 / sqrt(epsilon), a thousand: gradients
    by the first carry, and by an input of zeros, are large.

    Args:
        hidden_size: number of units H.
        forget_bias: initial value of the forget gate's bias.
        epsilon: added to each variance.
        w_x_init: initialiser of w_x (I, 4H); Glorot uniform for each gate.
        w_h_init: initialiser of w_h (H, 4H); orthogonal for each gate.

    Returns:
        A cell with `LayerNormLSTMParams`, carry `LSTMCarry(h, c)` and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.layer_norm_lstm(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.scale_h.shape, jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].shape
        ((16,), (5, 4))

    References:
        Ba, Kiros, Hinton (2016), Layer normalization, arXiv:1607.06450, supplementary
        material (LSTM).
    """
    _check.positive("layer_norm_lstm", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("layer_norm_lstm", key, x)
        x_key, h_key = jax.random.split(key)
        return LayerNormLSTMParams(
            w_x=w_x_init(x_key, (size, 4 * H), dtype),
            w_h=w_h_init(h_key, (H, 4 * H), dtype),
            b=jnp.zeros(4 * H, dtype).at[H : 2 * H].set(forget_bias),
            scale_x=jnp.ones(4 * H, dtype),
            scale_h=jnp.ones(4 * H, dtype),
            scale_c=jnp.ones(H, dtype),
            offset_c=jnp.zeros(H, dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("layer_norm_lstm", params, LayerNormLSTMParams)
        zeros = jnp.zeros(params.w_h.shape[0], params.w_h.dtype)
        return LSTMCarry(h=zeros, c=zeros)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("layer_norm_lstm", params, LayerNormLSTMParams)
        _check.carry_type("layer_norm_lstm", carry, LSTMCarry)
        _check.step_input("layer_norm_lstm", x, params.w_x.shape[0])
        _check.carry_shape("layer_norm_lstm", carry.h, params.w_h.shape[:1])
        _check.carry_shape("layer_norm_lstm", carry.c, params.w_h.shape[:1])
        _check.step_dtype("layer_norm_lstm", x, params.w_h, carry.h)
        z_x = params.scale_x * normalised(x @ params.w_x, epsilon)  # (4H,)
        z_h = params.scale_h * normalised(carry.h @ params.w_h, epsilon)  # (4H,)
        i, f, g, o = gates(z_x + z_h + params.b, "ssts")  # (H,) each
        c = f * carry.c + i * g  # (H,)
        seen = params.scale_c * normalised(c, epsilon) + params.offset_c
        h = o * jnp.tanh(seen)  # (H,)
        return LSTMCarry(h, c), h

    return Cell(init, initial_carry, step)
