"""An LSTM with its forget gate alone: "just another network".

s, n = x_t w_x + h_{t-1} w_h + b
h_t = sigmoid(s) * h_{t-1} + (1 - sigmoid(s - beta)) * tanh(n)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.initializers import Initializer, gatewise, orthogonal


class JANETParams(NamedTuple):
    """Weights of JANET, s and n side by side on the last axis."""

    w_x: jax.Array  # (I, 2H)
    w_h: jax.Array  # (H, 2H)
    b: jax.Array  # (2H,)


@described
def janet(
    hidden_size: int,
    *,
    beta: float = 1.0,
    longest: int | None = None,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 2),
    w_h_init: Initializer = gatewise(orthogonal(), 2),
) -> Cell:
    """LSTM with a forget gate only (JANET).

        s = x_t w_xs + h_{t-1} w_hs + b_s
        n = tanh(x_t w_xn + h_{t-1} w_hn + b_n)
        h_t = sigmoid(s) * h_{t-1} + (1 - sigmoid(s - beta)) * n
        y_t = h_t

    The cell state is the output, so one array is carried where an LSTM carries two.
    With beta > 0 more is written than is forgotten: with beta = 0 it is a `ugrnn`.
    PyTorch, Keras and Flax have none.

    Args:
        hidden_size: number of units H.
        beta: what the pre-activation of the gate that writes is lowered by.
        longest: the longest dependency to be expected, in steps, at least 3. Then b_s
            starts at log u, u uniform in [1, longest - 1], so that the units forget at
            rates of these lengths; at 1, as in `lstm`, if None.
        w_x_init: initialiser of w_x (I, 2H); Glorot uniform for each block.
        w_h_init: initialiser of w_h (H, 2H); orthogonal for each block.

    Returns:
        A cell with `JANETParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `longest` is not an
            integer from 3 on; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.janet(4, longest=784)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> remembered = jax.nn.sigmoid(params.b[:4])
        >>> bool((remembered >= 0.5).all() and (remembered <= 1 - 1 / 784).all())
        True

    References:
        van der Westhuizen, Lasenby (2018), The unreasonable effectiveness of the forget
        gate, arXiv:1804.04849, section 2.
        Tallec, Ollivier (2018), Can recurrent neural networks warp time?,
        arXiv:1804.11188 (the biases of `longest`).
    """
    _check.positive("janet", "hidden_size", hidden_size)
    if longest is not None:
        _check.positive("janet", "longest", longest)
        if longest < 3:
            raise ValueError(f"janet: longest must be at least 3 steps, got {longest}.")
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("janet", key, x)
        x_key, h_key, b_key = jax.random.split(key, 3)
        wide = _check.at_least_float32(dtype)  # u is too coarse in half precision
        b_s = jnp.ones(H, wide)
        if longest is not None:
            b_s = jnp.log(jax.random.uniform(b_key, (H,), wide, 1, longest - 1))
        return JANETParams(
            w_x=w_x_init(x_key, (size, 2 * H), dtype),
            w_h=w_h_init(h_key, (H, 2 * H), dtype),
            b=jnp.concatenate([b_s, jnp.zeros_like(b_s)]).astype(dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("janet", params, JANETParams)
        return jnp.zeros(params.w_h.shape[0], params.w_h.dtype)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("janet", params, JANETParams)
        _check.step_input("janet", x, params.w_x.shape[0])
        _check.carry_shape("janet", carry, params.w_h.shape[:1])
        _check.step_dtype("janet", x, params.w_h, carry)
        h = carry
        s, n = jnp.split(x @ params.w_x + h @ params.w_h + params.b, 2, axis=-1)
        f, i, n = gates(jnp.concatenate([s, beta - s, n], axis=-1), "sst")
        h = f * h + i * n  # i = sigmoid(beta - s) = 1 - sigmoid(s - beta)
        return h, h

    return Cell(init, initial_carry, step)
