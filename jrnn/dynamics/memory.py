"""How much of its past inputs the state of a network holds."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.dynamics._precision import warn_below_float64
from jrnn.gradients._flat import flat_cell
from jrnn.scan import scan


class MemoryCapacity(NamedTuple):
    """How well a linear readout of the state recalls past inputs."""

    total: jax.Array  # () sum over delays, at most N for independent inputs
    by_delay: jax.Array  # (K,) squared correlation, for delays 1 .. K


def memory_capacity(
    cell: Cell,
    params: Params,
    xs: Input,
    max_delay: int,
    *,
    carry: Carry | None = None,
    burn_in: int = 0,
) -> MemoryCapacity:
    """Linear short-term memory: how well the state recalls the input k steps ago.

        MC_k = squared correlation of u_{t-k} and its best linear readout of carry_t
        MC = sum_k MC_k,   k = 1 .. max_delay

    For independent inputs the sum with k = 0 is at most N, the size of the state; a
    delay line reaches it. So MC is at most N - 1 where the state holds the input of its
    own step, as that of most cells does. The readout is fitted on the same steps that
    it is judged on, which adds about N / (steps used) to every MC_k.

    Args:
        cell: any cell without randomness that reads one number a step.
        params: its parameters.
        xs: the inputs u `(T, 1)`; independent random numbers, many more than N.
        max_delay: the largest delay K.
        carry: state before the first step; `cell.initial_carry(params)` if None.
        burn_in: steps at the beginning that are not used; at least `max_delay` are not.

    Returns:
        `MemoryCapacity(total, by_delay)`.

    Raises:
        ValueError: xs of another shape; `max_delay` is not a positive integer; fewer
            steps left than the readout has weights.
        TypeError: the carry is empty or not floating-point.

    Example:
        >>> import jrnn
        >>> with jax.enable_x64(True):  # four units in a row, each hands on to the next
        ...     line = jrnn.ElmanParams(jnp.eye(1, 4), jnp.eye(4, k=1), jnp.zeros(4))
        ...     us = jax.random.uniform(jax.random.key(0), (2000, 1), minval=-1.0)
        ...     mc = memory_capacity(jrnn.elman(4, lambda a: a), line, us, max_delay=5)
        >>> mc.by_delay.round(2).tolist()
        [1.0, 1.0, 1.0, 0.0, 0.0]

    References:
        Jaeger (2002), Short term memory in echo state networks, GMD Report 152.
    """
    _check.positive("memory_capacity", "max_delay", max_delay)
    if jnp.ndim(xs) != 2 or jnp.shape(xs)[1] != 1:
        raise ValueError(
            f"memory_capacity: xs must have shape (T, 1), got {jnp.shape(xs)}."
        )
    flat = flat_cell("memory_capacity", cell, params, carry)
    used = len(xs) - max(burn_in, max_delay)
    if used <= flat.start.size + 1:
        raise ValueError(
            f"memory_capacity: {used} steps are left for a readout of "
            f"{flat.start.size + 1} weights. Give a longer sequence."
        )
    warn_below_float64(
        "memory_capacity", flat.start.dtype, "faint traces in the state are lost."
    )

    def step(h, x):
        h = flat.step(h, x)
        return h, h

    _, hs = scan(step, flat.start, xs)
    states = _centred(hs[-used:])  # (used, N)
    delayed = jnp.stack(
        [xs[len(xs) - used - k : len(xs) - k, 0] for k in range(1, max_delay + 1)], 1
    )  # (used, K)
    delayed = _centred(delayed)
    u, s, _ = jnp.linalg.svd(states, full_matrices=False)
    kept = (s > s[0] * used * jnp.finfo(s.dtype).eps).astype(s.dtype)
    explained = jnp.square(kept[:, None] * (u.T @ delayed)).sum(axis=0)
    by_delay = explained / jnp.square(delayed).sum(axis=0)
    return MemoryCapacity(by_delay.sum(), by_delay)


def fisher_memory_curve(
    w_h: jax.Array, w_x: jax.Array, num_lags: int, *, doublings: int = 40
) -> jax.Array:
    """Information that a noisy linear network keeps about its input k steps ago.

        h_t = h_{t-1} w_h + u_t w_x + noise_t,   noise ~ N(0, I)
        C = sum_k (w_h^k)^T w_h^k                 covariance of the noise in the state
        J(k) = (w_x w_h^k) C^-1 (w_x w_h^k)^T     Fisher information about u_{t-k}

    For a normal w_h the sum over k is |w_x|^2 at most, whatever its eigenvalues; only
    networks that are not normal, that pass signals along hidden chains, keep more.

    Args:
        w_h: recurrent weight (H, H), spectral radius below 1.
        w_x: direction in which the input enters (H,).
        num_lags: number of lags.
        doublings: C is summed over 2^doublings steps; 40 is enough for a spectral
            radius of 1 - 1e-11.

    Returns:
        J(0), J(1), ... `(num_lags,)`. Not finite where the noise has no bound.

    Raises:
        ValueError: shapes do not match; `num_lags` is not a positive integer.

    Example:
        >>> with jax.enable_x64(True):  # a chain: J(k) = 1 / (k + 1)
        ...     curve = fisher_memory_curve(jnp.eye(5, k=1), jnp.eye(5)[0], 4)
        ...     inverse = (1 / curve).round(6).tolist()
        >>> inverse
        [1.0, 2.0, 3.0, 4.0]

    References:
        Ganguli, Huh, Sompolinsky (2008), Memory traces in dynamical systems,
        doi:10.1073/pnas.0804451105.
        Kerg et al. (2019), Non-normal recurrent neural network (nnRNN): learning long
        time dependencies while improving expressivity, arXiv:1905.12080.
    """
    _check.positive("fisher_memory_curve", "num_lags", num_lags)
    w_h, w_x = jnp.asarray(w_h), jnp.asarray(w_x)
    if w_h.ndim != 2 or w_h.shape != (*w_x.shape, *w_x.shape):
        raise ValueError(
            "fisher_memory_curve: w_h must have shape (H, H) and w_x (H,), got "
            f"{w_h.shape} and {w_x.shape}."
        )
    warn_below_float64(
        "fisher_memory_curve", w_h.dtype, "the noise covariance is hard to invert."
    )

    def double(state, _):  # from n steps to 2 n
        power, c = state
        return (power @ power, c + power.T @ c @ power), None

    eye = jnp.eye(len(w_x), dtype=w_h.dtype)
    (_, c), _ = scan(double, (w_h, eye), length=doublings)
    _, signals = scan(lambda v, _: (v @ w_h, v), w_x, length=num_lags)  # (K, H)
    return (signals.T * jnp.linalg.solve(c, signals.T)).sum(axis=0)


def _centred(a: jax.Array) -> jax.Array:
    return a - a.mean(axis=0, keepdims=True)
