"""GRU whose gate reads the input alone: linear in the state.

z = sigmoid(x_t w_z + b_z)
h_t = (1 - z) * h_{t-1} + z * g(x_t w_n + b_n)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell, DiagonalStep
from jrnn.cells._linear import above_zero
from jrnn.initializers import Initializer, gatewise


class MinGRUParams(NamedTuple):
    """Weights of the minimal GRU of Feng et al., z and n side by side."""

    w_x: jax.Array  # (I, 2H)
    b: jax.Array  # (2H,)


@described
def min_gru(
    hidden_size: int,
    *,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 2),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """GRU without recurrent weights (minGRU).

        z = sigmoid(x_t w_xz + b_z)
        n = g(x_t w_xn + b_n),   g(a) = a + 1/2 where a >= 0, else sigmoid(a)
        h_t = (1 - z) * h_{t-1} + z * n
        y_t = h_t

    No gate reads the state, so that all states can be computed in parallel: `unroll`
    does so off the CPU, see `diagonal`. g is positive; the paper needs that because it
    works with logarithms of states. Here no logarithm is taken, and a state may have
    any sign. 1 - z is computed as sigmoid(-...), so that a gate near 1 keeps its
    digits. h_0 is zero; in the paper's code for parallel steps it is g(h_0).
    `mgu` and the like, whose gates read the state, are other cells.

    Args:
        hidden_size: number of units H.
        w_x_init: initialiser of w_x (I, 2H), z and n; Glorot uniform for each.
        b_init: initialiser of b (2H,); zeros by default.

    Returns:
        A cell with `MinGRUParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x of another size.

    Example:
        >>> import jrnn
        >>> cell = jrnn.min_gru(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].shape
        (5, 4)

    References:
        Feng, Tung, Ahmed, Bengio, Hajimirsadeghi (2024), Were RNNs all we needed?,
        arXiv:2410.01201, section 3.1 and appendix B.
    """
    _check.positive("min_gru", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("min_gru", key, x)
        x_key, b_key = jax.random.split(key)
        return MinGRUParams(
            w_x=w_x_init(x_key, (size, 2 * H), dtype), b=b_init(b_key, (2 * H,), dtype)
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("min_gru", params, MinGRUParams)
        return jnp.zeros_like(params.b[:H])

    def coefficients(params, x, *, key=None):
        del key
        _check.params_type("min_gru", params, MinGRUParams)
        _check.step_input("min_gru", x, params.w_x.shape[0])
        z, n = jnp.split(x @ params.w_x + params.b, 2, axis=-1)
        return jax.nn.sigmoid(-z), jax.nn.sigmoid(z) * above_zero(n)  # (H,) both

    def output(params, h, x):
        del params, x
        return h

    return Cell(init, initial_carry, DiagonalStep(coefficients, output, "min_gru"))
