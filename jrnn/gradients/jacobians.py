"""Jacobians of one step and of many, without the size of their product mattering."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jrnn import _check
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.gradients._flat import FlatCell, flat_cell, scaled, states_before
from jrnn.scan import scan


class LagJacobians(NamedTuple):
    """The Jacobian of the last state by lag, in logarithms."""

    lags: jax.Array  # (K,) integers k
    log_norms: jax.Array  # (K,) log of the Frobenius norm
    log_singular_values: jax.Array  # (K, N), largest first


def step_jacobians(
    cell: Cell, params: Params, xs: Input, carry: Carry | None = None
) -> jax.Array:
    """Jacobian of every step along a sequence.

        J_t = d carry_t / d carry_{t-1},   J_t[i, j] = d carry_t[i] / d carry_{t-1}[j]

    The fields of the carry are joined to one vector, in the order of their names: of an
    LSTM first h, then c.

    Args:
        cell: any cell without randomness.
        params: its parameters.
        xs: inputs `(T, ...)`.
        carry: state before the first step; `cell.initial_carry(params)` if None.

    Returns:
        `(T, N, N)`, N the number of entries of the carry.

    Raises:
        TypeError: the carry is empty or not floating-point.

    Example:
        >>> import jrnn
        >>> cell = jrnn.irnn(2, scale=0.5)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params = params._replace(b=jnp.ones(2))  # all units active
        >>> step_jacobians(cell, params, jnp.zeros((7, 3)))[-1].tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    _check.num_steps("step_jacobians", xs)
    flat = flat_cell("step_jacobians", cell, params, carry)
    _, hs = states_before(flat, xs)
    return jax.vmap(jax.jacfwd(flat.step))(hs, xs)


def lag_jacobians(
    cell: Cell,
    params: Params,
    xs: Input,
    carry: Carry | None = None,
    *,
    every: int = 1,
    part: Callable[[Carry], Any] | None = None,
) -> LagJacobians:
    """Size of the Jacobian of the last state with respect to the state k steps before.

        P_k = d carry_T / d carry_{T-k} = J_T J_{T-1} ... J_{T-k+1}

    P_k is kept divided by its norm, and the logarithm of the norm beside it, so that
    neither overflows nor underflows at any lag. Singular values further below the
    largest than the precision of the dtype (1e-16, or 1e-7 in single precision) are
    rounding; for all rates of a long product see `jrnn.dynamics.lyapunov_spectrum`.

    Args:
        cell: any cell without randomness.
        params: its parameters.
        xs: inputs `(T, ...)`.
        carry: state before the first step; `cell.initial_carry(params)` if None.
        every: spacing of the lags reported: every, 2 every, ... up to T. Singular
            values cost N^3 for each, so take it large for long sequences.
        part: from a carry to the part of it that is meant at both ends, such as
            `lambda carry: carry.c`; all of it if None.

    Returns:
        `LagJacobians(lags, log_norms, log_singular_values)`, with K = T // every lags.
        The first singular value is the spectral norm. -inf stands for 0.

    Raises:
        ValueError: `every` is not a positive integer or is larger than T.
        TypeError: the carry is empty or not floating-point.

    Example:
        >>> import jrnn
        >>> cell = jrnn.elman(3, lambda a: a, w_h_init=jrnn.initializers.orthogonal(2.))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(1))
        >>> by_lag = lag_jacobians(cell, params, jnp.zeros((600, 1)), every=300)
        >>> by_lag.lags.tolist()  # 2^600 is no float32
        [300, 600]
        >>> (by_lag.log_singular_values[-1] / jnp.log(2)).round().tolist()
        [600.0, 600.0, 600.0]

    References:
        Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural
        networks, arXiv:1211.5063, equation 5.
    """
    _check.positive("lag_jacobians", "every", every)
    _check.num_steps("lag_jacobians", xs)
    flat = flat_cell("lag_jacobians", cell, params, carry)
    _, hs = states_before(flat, xs)
    num_steps = len(hs)
    if every > num_steps:
        raise ValueError(
            f"lag_jacobians: every must be at most the number of steps, {num_steps}, "
            f"got {every}."
        )
    blocks = num_steps // every
    cut = lambda a: a[num_steps - blocks * every :].reshape(blocks, every, *a.shape[1:])
    rows, log_scale, select = _start(flat, part)

    def step_back(state, h_and_x):  # P_k = P_{k-1} J, divided by its norm
        rows, log_scale = state
        h, x = h_and_x
        _, pull = jax.vjp(lambda h: flat.step(h, x), h)
        rows, log_norm = scaled(jax.vmap(pull)(rows)[0])
        return (rows, log_scale + log_norm), None

    def block_back(state, block):
        state, _ = scan(step_back, state, block, reverse=True)
        return state, (select(state[0]), state[1])

    _, (ps, logs) = scan(
        block_back, (rows, log_scale), jax.tree.map(cut, (hs, xs)), reverse=True
    )
    ps, logs = ps[::-1], logs[::-1]  # by lag
    values = jnp.linalg.svd(ps, compute_uv=False)
    return LagJacobians(
        lags=every * jnp.arange(1, blocks + 1),
        log_norms=logs + jax.vmap(scaled)(ps)[1],
        log_singular_values=logs[:, None] + jnp.log(values),
    )


def _start(flat: FlatCell, part: Callable | None):
    """Rows of the identity for the part meant, and the choice of its columns."""
    eye = jnp.eye(flat.start.size, dtype=flat.start.dtype)
    if part is not None:
        chosen = lambda h: ravel_pytree(part(flat.unflatten(h)))[0]
        eye = jax.vmap(chosen, out_axes=1)(eye)  # (N_part, N)
    rows, log_scale = scaled(eye)
    return rows, log_scale, lambda p: p if part is None else p @ eye.T
