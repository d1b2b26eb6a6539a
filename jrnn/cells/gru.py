"""Gated recurrent unit, in both forms of the reset gate.

r, z = sigmoid(...)           reset and update
n = tanh(...)                 proposal
h_t = (1 - z) * n + z * h_{t-1}
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import CandidateStep, Cell
from jrnn.cells._gates import gates
from jrnn.initializers import Initializer, gatewise, orthogonal


class GRUParams(NamedTuple):
    """Weights of the GRU, gates r, z, n side by side on the last axis."""

    w_x: jax.Array  # (I, 3H)
    w_h: jax.Array  # (H, 3H)
    b_x: jax.Array  # (3H,)
    b_h: jax.Array  # (3H,)


@described
def gru(
    hidden_size: int,
    reset: Literal["after", "before"] = "after",
    *,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
    w_h_init: Initializer = gatewise(orthogonal(), 3),
) -> Cell:
    """Gated recurrent unit.

        r = sigmoid(x_t w_xr + h_{t-1} w_hr + b_xr + b_hr)
        z = sigmoid(x_t w_xz + h_{t-1} w_hz + b_xz + b_hz)
        n = tanh(x_t w_xn + b_xn + r * (h_{t-1} w_hn + b_hn))     reset="after"
        n = tanh(x_t w_xn + b_xn + (r * h_{t-1}) w_hn + b_hn)     reset="before"
        h_t = (1 - z) * n + z * h_{t-1}
        y_t = h_t

    Gate order r, z, n and two biases are PyTorch's and cuDNN's; with "after" only the
    second bias of n is not redundant. Keras calls the forms `reset_after=True` and
    `False` and orders z, r, n. Flax and Equinox have "after" only, Haiku "before" only,
    with 1 - z and z exchanged.

    Args:
        hidden_size: number of units H.
        reset: where the reset gate acts: "after" the product with w_hn (default) or
            "before" it, as in the paper.
        w_x_init: initialiser of w_x (I, 3H); Glorot uniform for each gate.
        w_h_init: initialiser of w_h (H, 3H); orthogonal for each gate.

    Returns:
        A cell with `GRUParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `reset` is neither form;
            x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.gru(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.w_h.shape, cell.initial_carry(params).shape
        ((4, 12), (4,))

    References:
        Cho et al. (2014), Learning phrase representations using RNN encoder-decoder
        for statistical machine translation, arXiv:1406.1078, equations 5 to 8.
        Appleyard, Kocisky, Blunsom (2016), Optimizing performance of recurrent neural
        networks on GPUs, arXiv:1604.01946 (the form with the reset after the product).
    """
    _check.positive("gru", "hidden_size", hidden_size)
    if reset not in ("after", "before"):
        raise ValueError(f"gru: reset must be 'after' or 'before', got {reset!r}.")
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("gru", key, x)
        x_key, h_key = jax.random.split(key)
        return GRUParams(
            w_x=w_x_init(x_key, (size, 3 * H), dtype),
            w_h=w_h_init(h_key, (H, 3 * H), dtype),
            b_x=jnp.zeros(3 * H, dtype),
            b_h=jnp.zeros(3 * H, dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("gru", params, GRUParams)
        return jnp.zeros(params.w_h.shape[0], params.w_h.dtype)

    def step(params, carry, x, change, *, key=None):
        del key
        _check.params_type("gru", params, GRUParams)
        _check.step_input("gru", x, params.w_x.shape[0])
        _check.carry_shape("gru", carry, params.w_h.shape[:1])
        _check.step_dtype("gru", x, params.w_h, carry)
        h = carry
        rz_x, n_x = jnp.split(x @ params.w_x + params.b_x, [2 * H], axis=-1)
        if reset == "after":
            rz_h, n_h = jnp.split(h @ params.w_h + params.b_h, [2 * H], axis=-1)
            r, z = gates(rz_x + rz_h, "ss")  # sigmoid, (H,) each
            n = jnp.tanh(n_x + r * n_h)
        else:
            w_rz, w_n = jnp.split(params.w_h, [2 * H], axis=-1)  # (H, 2H), (H, H)
            b_rz, b_n = jnp.split(params.b_h, [2 * H], axis=-1)
            r, z = gates(rz_x + h @ w_rz + b_rz, "ss")
            n = jnp.tanh(n_x + (r * h) @ w_n + b_n)
        n = change(n)
        h = (1 - z) * n + z * h  # (H,)
        return h, h

    return Cell(init, initial_carry, CandidateStep(step))
