"""GRU whose products are normalised.

r, z = sigmoid(LN(x_t w_x) + LN(h_{t-1} w_h))
n = tanh(LN(x_t w_xn) + r * LN(h_{t-1} w_hn))
h_t = (1 - z) * n + z * h_{t-1}
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.cells._normal import normalised
from jrnn.initializers import Initializer, gatewise, orthogonal


class LayerNormGRUParams(NamedTuple):
    """Weights of the normalised GRU, gates r, z, n side by side on the last axis."""

    w_x: jax.Array  # (I, 3H)
    w_h: jax.Array  # (H, 3H)
    scale_x: jax.Array  # (3H,)
    scale_h: jax.Array  # (3H,)
    b_x: jax.Array  # (3H,)
    b_h: jax.Array  # (3H,)


@described
def layer_norm_gru(
    hidden_size: int,
    *,
    epsilon: float = 1e-6,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
    w_h_init: Initializer = gatewise(orthogonal(), 3),
) -> Cell:
    """Gated recurrent unit with layer normalisation inside.

        a_rz = scale_x * N(x_t w_x) + b_x,   a_n alike      over 2H, and over H
        u_rz = scale_h * N(h_{t-1} w_h) + b_h,   u_n alike
        r, z = sigmoid(a_rz + u_rz)
        n = tanh(a_n + r * u_n)
        h_t = (1 - z) * n + z * h_{t-1}
        y_t = h_t
        N(v) = (v - mean(v)) / sqrt(var(v) + epsilon)

    As in the paper, the two gates are normalised together and the proposal by itself,
    and the reset gate is behind the product and its norm. In the paper a large z
    writes; here it keeps, as in `gru`, whose layout this is. PyTorch, Keras and Flax
    have none; `layer_norm(gru(64))` normalises the output alone.

    At h = 0 and at x = 0 the slope of N is 1 / sqrt(epsilon), a thousand: gradients
    by the first carry, and by an input of zeros, are large.

    Args:
        hidden_size: number of units H.
        epsilon: added to each variance.
        w_x_init: initialiser of w_x (I, 3H); Glorot uniform for each gate.
        w_h_init: initialiser of w_h (H, 3H); orthogonal for each gate.

    Returns:
        A cell with `LayerNormGRUParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.layer_norm_gru(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.scale_h.shape, jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].shape
        ((12,), (5, 4))

    References:
        Ba, Kiros, Hinton (2016), Layer normalization, arXiv:1607.06450, supplementary
        material (GRU).
    """
    _check.positive("layer_norm_gru", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("layer_norm_gru", key, x)
        x_key, h_key = jax.random.split(key)
        return LayerNormGRUParams(
            w_x=w_x_init(x_key, (size, 3 * H), dtype),
            w_h=w_h_init(h_key, (H, 3 * H), dtype),
            scale_x=jnp.ones(3 * H, dtype),
            scale_h=jnp.ones(3 * H, dtype),
            b_x=jnp.zeros(3 * H, dtype),
            b_h=jnp.zeros(3 * H, dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("layer_norm_gru", params, LayerNormGRUParams)
        return jnp.zeros(params.w_h.shape[0], params.w_h.dtype)

    def normal(product, scale, offset):
        """The gates (2H,) and the proposal (H,) of one product."""
        parts = [jnp.split(v, [2 * H], axis=-1) for v in (product, scale, offset)]
        return [s * normalised(v, epsilon) + b for v, s, b in zip(*parts, strict=True)]

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("layer_norm_gru", params, LayerNormGRUParams)
        _check.step_input("layer_norm_gru", x, params.w_x.shape[0])
        _check.carry_shape("layer_norm_gru", carry, params.w_h.shape[:1])
        _check.step_dtype("layer_norm_gru", x, params.w_h, carry)
        h = carry
        a_rz, a_n = normal(x @ params.w_x, params.scale_x, params.b_x)
        u_rz, u_n = normal(h @ params.w_h, params.scale_h, params.b_h)
        r, z = gates(a_rz + u_rz, "ss")  # (H,) each
        n = jnp.tanh(a_n + r * u_n)
        h = (1 - z) * n + z * h  # (H,)
        return h, h

    return Cell(init, initial_carry, step)
