"""sLSTM: an LSTM with exponential gates, a normaliser and a scale that is carried.

c_t = f c_{t-1} + i z,   n_t = f n_{t-1} + i,   h_t = o c_t / n_t
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.cells._stabilised import empty, exponential_gates
from jrnn.initializers import Initializer, gatewise, orthogonal


class SLSTMParams(NamedTuple):
    """Weights of the sLSTM, gates i, f, z, o side by side on the last axis."""

    w_x: jax.Array  # (I, 4H)
    w_h: jax.Array  # (H, 4H)
    b: jax.Array  # (4H,)


class SLSTMCarry(NamedTuple):
    """State of the sLSTM; its c and n are exp(m) times those that are carried."""

    h: jax.Array  # (H,) hidden state, the output
    c: jax.Array  # (H,) cell state
    n: jax.Array  # (H,) normaliser
    m: jax.Array  # (H,) logarithm of their scale


@described
def slstm(
    hidden_size: int,
    forget: Literal["sigmoid", "exp"] = "sigmoid",
    *,
    forget_bias: float = 1.0,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 4),
    w_h_init: Initializer = gatewise(orthogonal(), 4),
) -> Cell:
    """The LSTM of xLSTM with scalar memory (sLSTM), stabilised.

        i, f, z, o = split(x_t w_x + h_{t-1} w_h + b)
        log f = log sigmoid(f)   forget="sigmoid",   or f   forget="exp"
        m_t = max(log f + m_{t-1}, i)
        i' = exp(i - m_t),   f' = exp(log f + m_{t-1} - m_t)
        c_t = f' * c_{t-1} + i' * tanh(z)
        n_t = f' * n_{t-1} + i'
        h_t = sigmoid(o) * c_t / n_t
        y_t = h_t

    The input gate is exp(i), so that a new input may outweigh all that is stored;
    c / n is a weighted mean of the proposals. Gates stay within range by m, which
    leaves h as it is; an empty memory has no scale, and m starts far below any i.

    One head: w_h is full. The paper's heads are `parallel(slstm(H), slstm(H))` on one
    input, as each has a block of w_h to itself. Convolution, norm and projections of
    its blocks are layers of their own. PyTorch, Keras and Flax have none.

    Args:
        hidden_size: number of units H.
        forget: what the forget gate is, a sigmoid or an exponential.
        forget_bias: initial value of the forget gate's bias.
        w_x_init: initialiser of w_x (I, 4H); Glorot uniform for each gate.
        w_h_init: initialiser of w_h (H, 4H); orthogonal for each gate.

    Returns:
        A cell with `SLSTMParams`, carry `SLSTMCarry(h, c, n, m)` and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `forget` is neither form; x
            or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.slstm(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> carry, ys = jrnn.unroll(cell, params, 1e4 * jnp.ones((5, 3)))
        >>> bool(jnp.abs(ys).max() <= 1)
        True

    References:
        Beck et al. (2024), xLSTM: extended long short-term memory, arXiv:2405.04517,
        equations 8 to 17.
    """
    _check.positive("slstm", "hidden_size", hidden_size)
    _check.one_of("slstm", "forget", forget, ("sigmoid", "exp"))
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("slstm", key, x)
        x_key, h_key = jax.random.split(key)
        return SLSTMParams(
            w_x=w_x_init(x_key, (size, 4 * H), dtype),
            w_h=w_h_init(h_key, (H, 4 * H), dtype),
            b=jnp.zeros(4 * H, dtype).at[H : 2 * H].set(forget_bias),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("slstm", params, SLSTMParams)
        zeros = jnp.zeros(params.w_h.shape[0], params.w_h.dtype)
        return SLSTMCarry(zeros, zeros, zeros, m=zeros + empty(zeros.dtype))

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("slstm", params, SLSTMParams)
        _check.carry_type("slstm", carry, SLSTMCarry)
        _check.step_input("slstm", x, params.w_x.shape[0])
        for field in carry:
            _check.carry_shape("slstm", field, params.w_h.shape[:1])
        _check.step_dtype("slstm", x, params.w_h, carry.h)
        a = x @ params.w_x + carry.h @ params.w_h + params.b  # (4H,)
        i, f, a = jnp.split(a, [H, 2 * H], axis=-1)
        z, o = gates(a, "ts")  # (H,) each
        i, f, m = exponential_gates(i, f, carry.m, forget)
        c = f * carry.c + i * z  # (H,)
        n = f * carry.n + i  # (H,)
        h = o * (c / n)  # (H,)
        return SLSTMCarry(h, c, n, m), h

    return Cell(init, initial_carry, step)
