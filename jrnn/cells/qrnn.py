"""Quasi-recurrent network: gates from a convolution over time, pooled by a recurrence.

z, f, o = tanh(x_t w_z + b_z), sigmoid(x_t w_f + b_f), sigmoid(x_t w_o + b_o)
c_t = f * c_{t-1} + (1 - f) * z
h_t = o * c_t
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell, DiagonalStep
from jrnn.initializers import Initializer, gatewise


class QRNNParams(NamedTuple):
    """Weights of the QRNN, z, f and o side by side."""

    w_x: jax.Array  # (I, 3H)
    b: jax.Array  # (3H,)


@described
def qrnn(
    hidden_size: int,
    *,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Quasi-recurrent network (QRNN) with fo-pooling.

        z = tanh(x_t w_xz + b_z)
        f = sigmoid(x_t w_xf + b_f)
        o = sigmoid(x_t w_xo + b_o)
        c_t = f * c_{t-1} + (1 - f) * z
        h_t = o * c_t
        y_t = h_t

    No gate reads the state, so that all states can be computed in parallel: `unroll`
    does so off the CPU, see `diagonal`. The paper's filters are k inputs wide: that is
    `stack(window(k), qrnn(H))`, whose rows of w_x are those of the k inputs, the oldest
    first; alone, the cell has k = 1. The paper has no biases. The carry is c, the
    output h.

    Args:
        hidden_size: number of units H.
        w_x_init: initialiser of w_x (I, 3H), z, f and o; Glorot uniform for each.
        b_init: initialiser of b (3H,); zeros by default.

    Returns:
        A cell with `QRNNParams`, carry `c` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x of another size.

    Example:
        >>> import jrnn
        >>> cell = jrnn.stack(jrnn.window(2), jrnn.qrnn(4))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params[1].w_x.shape
        (6, 12)

    References:
        Bradbury, Merity, Xiong, Socher (2017), Quasi-recurrent neural networks,
        arXiv:1611.01576, equations 1 and 4.
    """
    _check.positive("qrnn", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("qrnn", key, x)
        x_key, b_key = jax.random.split(key)
        return QRNNParams(
            w_x=w_x_init(x_key, (size, 3 * H), dtype), b=b_init(b_key, (3 * H,), dtype)
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("qrnn", params, QRNNParams)
        return jnp.zeros_like(params.b[:H])

    def coefficients(params, x, *, key=None):
        del key
        _check.params_type("qrnn", params, QRNNParams)
        _check.step_input("qrnn", x, params.w_x.shape[0])
        z, f = jnp.split(x @ params.w_x[:, : 2 * H] + params.b[: 2 * H], 2, axis=-1)
        return jax.nn.sigmoid(f), jax.nn.sigmoid(-f) * jnp.tanh(z)  # (H,) both

    def output(params, c, x):
        return jax.nn.sigmoid(x @ params.w_x[:, 2 * H :] + params.b[2 * H :]) * c

    return Cell(init, initial_carry, DiagonalStep(coefficients, output, "qrnn"))
