"""Closed-form continuous-time network: a gate that time opens and shuts.

s = sigmoid(-f(x, h) t)
h_t = s * g(x, h) + (1 - s) * k(x, h)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import sigmoid
from jrnn.cells._time import timed
from jrnn.initializers import Initializer, gatewise, orthogonal


class CfCParams(NamedTuple):
    """Weights of the closed-form continuous-time network."""

    w_x: jax.Array  # (I, M) backbone
    w_h: jax.Array  # (H, M)
    b: jax.Array  # (M,)
    w_fgk: jax.Array  # (M, 3H) heads f, g, k side by side
    b_fgk: jax.Array  # (3H,)


@described
def cfc(
    hidden_size: int,
    backbone_size: int = 128,
    *,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    w_h_init: Initializer = orthogonal(),
    w_fgk_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
) -> Cell:
    """Closed-form continuous-time network (CfC).

        u = tanh(x_t w_x + h_{t-1} w_h + b)
        f, g, k = u w_f + b_f,   tanh(u w_g + b_g),   tanh(u w_k + b_k)
        s = sigmoid(-f * elapsed_t)
        h_t = s * g + (1 - s) * k
        y_t = h_t

    The input of a step is x, with 1 for the time elapsed since the last step, or a pair
    (x, elapsed). The paper writes x for the state, I for the input and h for k; f, g
    and k share a backbone of one layer. The authors' package ncps writes s as
    sigmoid(t_a * elapsed + t_b): with t_b = 0 it is this cell, t_a = -f, g its second
    head and k its first. PyTorch, Keras and Flax have none.

    Args:
        hidden_size: number of units H.
        backbone_size: number of units M of the layer that the heads share.
        w_x_init: initialiser of w_x (I, M); Glorot uniform by default.
        w_h_init: initialiser of w_h (H, M); orthogonal by default.
        w_fgk_init: initialiser of w_fgk (M, 3H); Glorot uniform for each head.

    Returns:
        A cell with `CfCParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: a size is not a positive integer; x, elapsed or carry of another
            size.
        TypeError: an input that is neither x nor a pair; an input or a carry that the
            step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.cfc(4, backbone_size=16)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> elapsed = jnp.array([0.1, 2.0, 0.5])
        >>> jrnn.unroll(cell, params, (jnp.ones((3, 3)), elapsed))[1].shape
        (3, 4)

    References:
        Hasani et al. (2022), Closed-form continuous-time neural networks,
        doi:10.1038/s42256-022-00556-7, arXiv:2106.13898.
    """
    _check.positive("cfc", "hidden_size", hidden_size)
    _check.positive("cfc", "backbone_size", backbone_size)
    H, M = hidden_size, backbone_size

    def init(key, x):
        size, dtype = _check.example_vector("cfc", key, timed("cfc", x)[0])
        x_key, h_key, fgk_key = jax.random.split(key, 3)
        return CfCParams(
            w_x=w_x_init(x_key, (size, M), dtype),
            w_h=w_h_init(h_key, (H, M), dtype),
            b=jnp.zeros(M, dtype),
            w_fgk=w_fgk_init(fgk_key, (M, 3 * H), dtype),
            b_fgk=jnp.zeros(3 * H, dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("cfc", params, CfCParams)
        return jnp.zeros(params.w_h.shape[0], params.w_h.dtype)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("cfc", params, CfCParams)
        x, elapsed = timed("cfc", x)
        _check.step_input("cfc", x, params.w_x.shape[0])
        _check.carry_shape("cfc", carry, params.w_h.shape[:1])
        _check.step_dtype("cfc", x, params.w_h, carry)
        u = jnp.tanh(x @ params.w_x + carry @ params.w_h + params.b)  # (M,)
        f, gk = jnp.split(u @ params.w_fgk + params.b_fgk, [H], axis=-1)
        g, k = jnp.split(jnp.tanh(gk), 2, axis=-1)  # (H,) each
        s = sigmoid(-f * jnp.asarray(elapsed).astype(carry.dtype))
        h = s * g + (1 - s) * k  # (H,)
        return h, h

    return Cell(init, initial_carry, step)
