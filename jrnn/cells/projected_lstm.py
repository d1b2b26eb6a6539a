"""LSTM whose output is a projection to fewer units, which is what recurs.

c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
h_t = (sigmoid(o) * tanh(c_t)) w_r
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


class ProjectedLSTMParams(NamedTuple):
    """Weights of the projected LSTM, gates i, f, g, o side by side on the last axis."""

    w_x: jax.Array  # (I, 4H)
    w_h: jax.Array  # (P, 4H)
    b: jax.Array  # (4H,)
    w_r: jax.Array  # (H, P)


@described
def projected_lstm(
    hidden_size: int,
    proj_size: int,
    *,
    forget_bias: float = 1.0,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 4),
    w_h_init: Initializer = gatewise(orthogonal(), 4),
    w_r_init: Initializer = orthogonal(),
) -> Cell:
    """Long short-term memory with a recurrent projection.

        i, f, g, o = split(x_t w_x + h_{t-1} w_h + b)
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = (sigmoid(o) * tanh(c_t)) w_r
        y_t = h_t

    This is PyTorch's LSTM with `proj_size`, whose weight_hr is the transpose of w_r,
    but for its second bias. The paper has peepholes too, and further outputs by a
    second projection, which the gates do not read. Keras and Flax have none.

    Args:
        hidden_size: number of memory cells H.
        proj_size: number of outputs P, usually smaller.
        forget_bias: initial value of the forget gate's bias.
        w_x_init: initialiser of w_x (I, 4H); Glorot uniform for each gate.
        w_h_init: initialiser of w_h (P, 4H); orthogonal for each gate.
        w_r_init: initialiser of w_r (H, P); orthogonal.

    Returns:
        A cell with `ProjectedLSTMParams`, carry `LSTMCarry(h, c)`, of which h is (P,)
        and c is (H,), and output `h` (P,).

    Raises:
        ValueError: a size that is not a positive integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.projected_lstm(8, 3)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(2))
        >>> carry, ys = jrnn.unroll(cell, params, jnp.ones((5, 2)))
        >>> carry.c.shape, ys.shape
        ((8,), (5, 3))

    References:
        Sak, Senior, Beaufays (2014), Long short-term memory based recurrent neural
        network architectures for large vocabulary speech recognition, arXiv:1402.1128,
        section 2.
    """
    _check.positive("projected_lstm", "hidden_size", hidden_size)
    _check.positive("projected_lstm", "proj_size", proj_size)
    H, P = hidden_size, proj_size

    def init(key, x):
        size, dtype = _check.example_vector("projected_lstm", key, x)
        x_key, h_key, r_key = jax.random.split(key, 3)
        return ProjectedLSTMParams(
            w_x=w_x_init(x_key, (size, 4 * H), dtype),
            w_h=w_h_init(h_key, (P, 4 * H), dtype),
            b=jnp.zeros(4 * H, dtype).at[H : 2 * H].set(forget_bias),
            w_r=w_r_init(r_key, (H, P), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("projected_lstm", params, ProjectedLSTMParams)
        c, h = (jnp.zeros(size, params.w_r.dtype) for size in params.w_r.shape)
        return LSTMCarry(h=h, c=c)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("projected_lstm", params, ProjectedLSTMParams)
        _check.carry_type("projected_lstm", carry, LSTMCarry)
        _check.step_input("projected_lstm", x, params.w_x.shape[0])
        _check.carry_shape("projected_lstm", carry.h, params.w_r.shape[1:])
        _check.carry_shape("projected_lstm", carry.c, params.w_r.shape[:1])
        _check.step_dtype("projected_lstm", x, params.w_h, carry.h)
        z = x @ params.w_x + carry.h @ params.w_h + params.b  # (4H,)
        i, f, g, o = gates(z, "ssts")  # (H,) each
        c = f * carry.c + i * g  # (H,)
        h = (o * jnp.tanh(c)) @ params.w_r  # (P,)
        return LSTMCarry(h, c), h

    return Cell(init, initial_carry, step)
