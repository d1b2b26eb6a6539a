"""Update gate network: a residual step whose length a gate decides.

g, c = sigmoid, tanh(...)
h_t = g * h_{t-1} + (1 - g) * c
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.initializers import Initializer, gatewise, orthogonal


class UGRNNParams(NamedTuple):
    """Weights of the update gate network, g and c side by side on the last axis."""

    w_x: jax.Array  # (I, 2H)
    w_h: jax.Array  # (H, 2H)
    b: jax.Array  # (2H,)


@described
def ugrnn(
    hidden_size: int,
    *,
    forget_bias: float = 1.0,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 2),
    w_h_init: Initializer = gatewise(orthogonal(), 2),
) -> Cell:
    """Update gate recurrent network.

        g = sigmoid(x_t w_xg + h_{t-1} w_hg + b_g)
        c = tanh(x_t w_xc + h_{t-1} w_hc + b_c)
        h_t = g * h_{t-1} + (1 - g) * c
        y_t = h_t

    A GRU without reset gate. The paper adds a constant b_fg to b_g in every step, which
    is an initial value of b_g here, as the forget bias of `lstm`. PyTorch, Keras and
    Flax have none.

    Args:
        hidden_size: number of units H.
        forget_bias: initial value of b_g.
        w_x_init: initialiser of w_x (I, 2H); Glorot uniform for each block.
        w_h_init: initialiser of w_h (H, 2H); orthogonal for each block.

    Returns:
        A cell with `UGRNNParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.ugrnn(2)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.b.tolist()
        [1.0, 1.0, 0.0, 0.0]

    References:
        Collins, Sohl-Dickstein, Sussillo (2017), Capacity and trainability in recurrent
        neural networks, arXiv:1611.09913, section 1.2.
    """
    _check.positive("ugrnn", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("ugrnn", key, x)
        x_key, h_key = jax.random.split(key)
        return UGRNNParams(
            w_x=w_x_init(x_key, (size, 2 * H), dtype),
            w_h=w_h_init(h_key, (H, 2 * H), dtype),
            b=jnp.zeros(2 * H, dtype).at[:H].set(forget_bias),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("ugrnn", params, UGRNNParams)
        return jnp.zeros(params.w_h.shape[0], params.w_h.dtype)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("ugrnn", params, UGRNNParams)
        _check.step_input("ugrnn", x, params.w_x.shape[0])
        _check.carry_shape("ugrnn", carry, params.w_h.shape[:1])
        _check.step_dtype("ugrnn", x, params.w_h, carry)
        h = carry
        z = x @ params.w_x + h @ params.w_h + params.b  # (2H,)
        g, c = gates(z, "st")  # (H,) each
        h = g * h + (1 - g) * c  # (H,)
        return h, h

    return Cell(init, initial_carry, step)
