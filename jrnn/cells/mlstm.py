"""mLSTM: a matrix of associations between keys and values, with exponential gates.

C_t = f C_{t-1} + i v k^T,   n_t = f n_{t-1} + i k
h_t = o * C_t q / max(|n_t . q|, 1)
"""

import math
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell, ChunkwiseStep
from jrnn.cells._gates import sigmoid
from jrnn.cells._stabilised import (
    empty,
    exponential_gates,
    exponential_gates_between,
)
from jrnn.initializers import Initializer, gatewise

CHUNK = 64  # steps at once


class MLSTMParams(NamedTuple):
    """Weights of the mLSTM with N heads, each of H / N = D units."""

    w_qkv: jax.Array  # (I, 3H) query, key and value side by side
    b_qkv: jax.Array  # (3H,)
    w_if: jax.Array  # (I, 2N) one input and one forget gate a head
    b_if: jax.Array  # (2N,)
    w_o: jax.Array  # (I, H) output gate
    b_o: jax.Array  # (H,)


class MLSTMCarry(NamedTuple):
    """State of the mLSTM; its C and n are exp(m) times those that are carried."""

    C: jax.Array  # (N, D, D) memory: from key to value
    n: jax.Array  # (N, D) normaliser
    m: jax.Array  # (N,) logarithm of their scale


@described
def mlstm(
    hidden_size: int,
    num_heads: int = 1,
    forget: Literal["sigmoid", "exp"] = "sigmoid",
    *,
    forget_bias: float = 1.0,
    w_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
) -> Cell:
    """The LSTM of xLSTM with matrix memory (mLSTM), stabilised.

        q, k, v = x_t w_q + b_q,   x_t w_k / sqrt(D) + b_k,   x_t w_v + b_v
        i, f = split(x_t w_if + b_if)                     two numbers a head
        log f = log sigmoid(f)   forget="sigmoid",   or f   forget="exp"
        m_t = max(log f + m_{t-1}, i)
        i' = exp(i - m_t),   f' = exp(log f + m_{t-1} - m_t)
        C_t = f' C_{t-1} + i' v k^T
        n_t = f' n_{t-1} + i' k
        h_t = sigmoid(x_t w_o + b_o) * (C_t q / max(|n_t . q|, exp(-m_t)))
        y_t = h_t

    Nothing but C, n and m is carried: no gate sees the last output. m keeps the gates
    within range and leaves h as it is: exp(-m) is the 1 of the paper's max(|n . q|, 1)
    on that scale. An empty memory has no scale, and m starts far below any i. Heads are
    D = H / N units each. Convolution, norm and projections of the paper's blocks are
    layers of their own. PyTorch, Keras and Flax have none.

    `unroll` takes up to 64 steps at once. As no gate sees a state, with l_ts = i_s +
    sum of log f_r over s < r <= t and l_t = m_0 + sum of log f_r over r <= t

        m_t = max(l_t, max_s l_ts)
        C_t q_t = exp(l_t - m_t) C_0 q_t + sum_s exp(l_ts - m_t) (k_s . q_t) v_s

    where C_0 is the memory before them: products of all queries with all keys, and one
    memory for many steps. A wrapper that changes the step, or `remat`, makes it a loop
    of steps again.

    Args:
        hidden_size: number of units H, a multiple of `num_heads`.
        num_heads: heads N; the memory has H^2 / N numbers.
        forget: what the forget gate is, a sigmoid or an exponential.
        forget_bias: initial value of the forget gates' biases.
        w_init: initialiser of w_qkv (I, 3H); Glorot uniform for each of the three, as
            w_if and w_o always are.

    Returns:
        A cell with `MLSTMParams`, carry `MLSTMCarry(C, n, m)` and output (H,).

    Raises:
        ValueError: a size is not a positive integer, or `hidden_size` no multiple of
            `num_heads`; `forget` is neither form; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.mlstm(8, num_heads=2)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> carry, ys = jrnn.unroll(cell, params, jnp.ones((5, 3)))
        >>> carry.C.shape, ys.shape
        ((2, 4, 4), (5, 8))

    References:
        Beck et al. (2024), xLSTM: extended long short-term memory, arXiv:2405.04517,
        equations 19 to 27.
        Beck et al. (2025), Tiled flash linear attention, arXiv:2503.14376, for many
        steps at once.
    """
    _check.positive("mlstm", "hidden_size", hidden_size)
    _check.positive("mlstm", "num_heads", num_heads)
    _check.one_of("mlstm", "forget", forget, ("sigmoid", "exp"))
    H, N = hidden_size, num_heads
    if H % N:
        raise ValueError(
            f"mlstm: hidden_size must be a multiple of num_heads, got {H} and {N}."
        )
    D = H // N
    glorot = jax.nn.initializers.glorot_uniform()

    def init(key, x):
        size, dtype = _check.example_vector("mlstm", key, x)
        qkv_key, if_key, o_key = jax.random.split(key, 3)
        return MLSTMParams(
            w_qkv=w_init(qkv_key, (size, 3 * H), dtype),
            b_qkv=jnp.zeros(3 * H, dtype),
            w_if=glorot(if_key, (size, 2 * N), dtype),
            b_if=jnp.zeros(2 * N, dtype).at[N:].set(forget_bias),
            w_o=glorot(o_key, (size, H), dtype),
            b_o=jnp.zeros(H, dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("mlstm", params, MLSTMParams)
        zeros = lambda *shape: jnp.zeros(shape, params.w_o.dtype)
        start = zeros(N) + empty(params.w_o.dtype)
        return MLSTMCarry(C=zeros(N, D, D), n=zeros(N, D), m=start)

    def step(params, carry, x, *, key=None):
        del key
        check(params, carry, x)
        q, k, v, i, f, o = inputs(params, x)
        i, f, m = exponential_gates(i, f, carry.m, forget)
        # C_t q = f C_{t-1} q + i v (k . q): only the memory before need be kept for it
        old = jnp.einsum("nvk,nk->nv", carry.C, q)  # (N, D)
        read = f[:, None] * old + (i * (k * q).sum(-1))[:, None] * v
        # as an einsum, whose derivative is a product; that of broadcasts would be sums
        new = jnp.einsum("nv,nk->nvk", i[:, None] * v, k)  # (N, D, D)
        C = f[:, None, None] * carry.C + new
        n = f[:, None] * carry.n + i[:, None] * k  # (N, D)
        size = jnp.maximum(jnp.abs((n * q).sum(-1)), one(m))  # (N,)
        return MLSTMCarry(C, n, m), o * (read / size[:, None]).reshape(H)

    def chunk(params, carry, xs):
        check(params, carry, xs[0])
        *of_heads, o = jax.vmap(partial(inputs, params))(xs)
        # (L, N, ...) -> (N, L, ...), and back
        carry, reads = jax.vmap(head, (0, 1), (0, 1))(carry, of_heads)
        return carry, o * reads.reshape(o.shape)

    def head(carry, inputs):
        """L steps of one head; what is left of step s at step t is i_ts, (L, L)."""
        (C, n, m), (q, k, v, i, f) = carry, inputs  # (L, D) three, (L,) two
        i, f, m = exponential_gates_between(i, f, m, forget)
        weights = i * (q @ k.T)  # (L, L): how much step t reads of step s
        reads = weights @ v + f[:, None] * (q @ C.T)  # (L, D)
        size = jnp.maximum(jnp.abs(weights.sum(-1) + f * (q @ n)), one(m))  # (L,)
        new, left = i[-1, :, None] * k, f[-1]  # what there is at the last step
        carry = MLSTMCarry(left * C + v.T @ new, left * n + new.sum(0), m[-1])
        return carry, reads / size[:, None]

    def check(params, carry, x):
        _check.params_type("mlstm", params, MLSTMParams)
        _check.carry_type("mlstm", carry, MLSTMCarry)
        _check.step_input("mlstm", x, params.w_o.shape[0])
        for field, shape in zip(carry, ((N, D, D), (N, D), (N,)), strict=True):
            _check.carry_shape("mlstm", field, shape)
        _check.step_dtype("mlstm", x, params.w_o, carry.C)

    def one(m):
        """1 on the scale of m; a number too small to be told from 0 in h is enough."""
        largest = 0.9 * math.log(float(jnp.finfo(m.dtype).max))
        return jnp.exp(-jnp.maximum(m, -largest))

    def inputs(params, x):
        """Query, key and value (N, D), i and f (N,) of each head, and o (H,)."""
        w_q, w_k, w_v = jnp.split(params.w_qkv, 3, axis=-1)
        w_k = w_k / math.sqrt(D)
        w = jnp.concatenate([w_q, w_k, w_v], axis=-1)
        q, k, v = (x @ w + params.b_qkv).reshape(3, N, D)
        i, f = jnp.split(x @ params.w_if + params.b_if, 2, axis=-1)
        return q, k, v, i, f, sigmoid(x @ params.w_o + params.b_o)

    return Cell(init, initial_carry, ChunkwiseStep(step, chunk, CHUNK))
