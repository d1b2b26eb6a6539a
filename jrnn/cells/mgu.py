"""Minimal gated unit: a GRU whose two gates are one.

f = sigmoid(...)                         forget gate, the only one
n = tanh(... (f * h_{t-1}) ...)          proposal
h_t = (1 - f) * h_{t-1} + f * n
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import sigmoid
from jrnn.initializers import Initializer, gatewise, orthogonal


class MGUParams(NamedTuple):
    """Weights of the minimal gated unit, f and n side by side on the last axis."""

    w_x: jax.Array  # (I, 2H)
    w_h: jax.Array  # (H, 2H)
    b: jax.Array  # (2H,)


@described
def mgu(
    hidden_size: int,
    *,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 2),
    w_h_init: Initializer = gatewise(orthogonal(), 2),
) -> Cell:
    """Minimal gated unit, with one gate in the place of a GRU's two.

        f = sigmoid(x_t w_xf + h_{t-1} w_hf + b_f)
        n = tanh(x_t w_xn + (f * h_{t-1}) w_hn + b_n)
        h_t = (1 - f) * h_{t-1} + f * n
        y_t = h_t

    A large f writes, as in the paper, though it is called the forget gate. It is a
    `gru(reset="before")` with r = f and z = 1 - f. Flax's MGUCell is another network:
    its gate multiplies the product, f * (h w_hn + b), and keeps the state where it is
    large. PyTorch and Keras have none.

    Args:
        hidden_size: number of units H.
        w_x_init: initialiser of w_x (I, 2H); Glorot uniform for each block.
        w_h_init: initialiser of w_h (H, 2H); orthogonal for each block.

    Returns:
        A cell with `MGUParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.mgu(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.w_h.shape, jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].shape
        ((4, 8), (5, 4))

    References:
        Zhou, Wu, Zhang, Zhou (2016), Minimal gated unit for recurrent neural networks,
        arXiv:1603.09420, table 1.
    """
    _check.positive("mgu", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("mgu", key, x)
        x_key, h_key = jax.random.split(key)
        return MGUParams(
            w_x=w_x_init(x_key, (size, 2 * H), dtype),
            w_h=w_h_init(h_key, (H, 2 * H), dtype),
            b=jnp.zeros(2 * H, dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("mgu", params, MGUParams)
        return jnp.zeros(params.w_h.shape[0], params.w_h.dtype)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("mgu", params, MGUParams)
        _check.step_input("mgu", x, params.w_x.shape[0])
        _check.carry_shape("mgu", carry, params.w_h.shape[:1])
        _check.step_dtype("mgu", x, params.w_h, carry)
        h = carry
        f_x, n_x = jnp.split(x @ params.w_x + params.b, 2, axis=-1)
        w_f, w_n = jnp.split(params.w_h, 2, axis=-1)  # (H, H) each
        f = sigmoid(f_x + h @ w_f)  # (H,)
        n = jnp.tanh(n_x + (f * h) @ w_n)
        h = (1 - f) * h + f * n  # (H,)
        return h, h

    return Cell(init, initial_carry, step)
