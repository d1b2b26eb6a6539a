"""Simple recurrent unit: a gated mean of inputs, beside which the input passes by.

f, r = sigmoid(x_t w_f + b_f), sigmoid(x_t w_r + b_r)
c_t = f * c_{t-1} + (1 - f) * (x_t w_n)
h_t = r * c_t + (1 - r) * x_t
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell, DiagonalStep
from jrnn.initializers import Initializer, gatewise


class SRUParams(NamedTuple):
    """Weights of the SRU, side by side: n, f, r, and where I is not H the way by."""

    w_x: jax.Array  # (I, 3H) where I = H, else (I, 4H)
    b: jax.Array  # (2H,) f, r


@described
def sru(
    hidden_size: int,
    *,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Simple recurrent unit (SRU).

        f = sigmoid(x_t w_xf + b_f)
        r = sigmoid(x_t w_xr + b_r)
        c_t = f * c_{t-1} + (1 - f) * (x_t w_xn)
        h_t = r * c_t + (1 - r) * x_t          x_t w_xs in place of x_t where I is not H
        y_t = h_t

    No gate reads the state, so that all states can be computed in parallel: `unroll`
    does so off the CPU, see `diagonal`. This is the form that is linear in c; a later
    version of the paper adds v * c_{t-1} to both gates, which is not, and a factor on
    x_t that keeps its variance. The carry is c, the output h.

    Args:
        hidden_size: number of units H.
        w_x_init: initialiser of each part (I, H) of w_x; Glorot uniform by default.
        b_init: initialiser of b (2H,); zeros by default.

    Returns:
        A cell with `SRUParams`, carry `c` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; x of another size.

    Example:
        >>> import jrnn
        >>> cell = jrnn.sru(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.w_x.shape, cell.init(jax.random.key(0), jnp.zeros(4)).w_x.shape
        ((3, 16), (4, 12))

    References:
        Lei, Zhang, Wang, Dai, Artzi (2018), Simple recurrent units for highly
        parallelizable recurrence, arXiv:1709.02755, equations 1 to 4 without v.
    """
    _check.positive("sru", "hidden_size", hidden_size)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("sru", key, x)
        x_key, b_key = jax.random.split(key)
        parts = 3 if size == H else 4
        return SRUParams(
            w_x=gatewise(w_x_init, parts)(x_key, (size, parts * H), dtype),
            b=b_init(b_key, (2 * H,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("sru", params, SRUParams)
        return jnp.zeros_like(params.b[:H])

    def coefficients(params, x, *, key=None):
        del key
        _check.params_type("sru", params, SRUParams)
        _check.step_input("sru", x, params.w_x.shape[0])
        n, f = jnp.split(x @ params.w_x[:, : 2 * H], 2, axis=-1)
        f = f + params.b[:H]
        return jax.nn.sigmoid(f), jax.nn.sigmoid(-f) * n  # (H,) both

    def output(params, c, x):
        r = x @ params.w_x[:, 2 * H : 3 * H] + params.b[H:]
        by = x if params.w_x.shape[1] == 3 * H else x @ params.w_x[:, 3 * H :]
        return jax.nn.sigmoid(r) * c + jax.nn.sigmoid(-r) * by  # (H,)

    return Cell(init, initial_carry, DiagonalStep(coefficients, output, "sru"))
