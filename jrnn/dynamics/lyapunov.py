"""Lyapunov exponents along an input sequence, and what follows from them."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jrnn import _check
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.dynamics._precision import warn_below_float64
from jrnn.gradients._flat import FlatCell, flat_cell, scaled, states_before
from jrnn.scan import scan


def lyapunov_spectrum(
    cell: Cell,
    params: Params,
    xs: Input,
    num_exponents: int | None = None,
    *,
    carry: Carry | None = None,
    burn_in: int = 0,
) -> jax.Array:
    """Lyapunov exponents of a cell driven by a sequence, largest first.

        Q_t R_t = J_t Q_{t-1},   J_t = d carry_t / d carry_{t-1},   Q_t^T Q_t = I
        lambda_i = mean_t log |R_t[i, i]|

    A frame of tangent vectors goes along with the states and is made orthonormal again
    at every step. exp(lambda_1) is the factor per step by which a small change of the
    state grows, and with it, backwards, a gradient; the sum of the first k is the
    growth of k-dimensional volumes. All of them together sum to mean_t log |det J_t|,
    at any length.

    Args:
        cell: any cell without randomness.
        params: its parameters.
        xs: the sequence `(T, ...)`; zeros for a network without input.
        num_exponents: how many, the largest; all N entries of the carry if None. Costs
            N * num_exponents^2 a step.
        carry: state before the first step; `cell.initial_carry(params)` if None. Zeros
            are a fixed point of many networks without input: start elsewhere.
        burn_in: steps at the beginning that do not count, in which the state reaches
            the attractor and the frame its directions.

    Returns:
        `(num_exponents,)`, nats per step. The error falls as 1 / T.

    Raises:
        ValueError: `num_exponents` is not between 1 and N; `burn_in` leaves no step.
        TypeError: the carry is empty or not floating-point.

    Example:
        >>> import jrnn
        >>> with jax.enable_x64(True):
        ...     w_h = jnp.diag(jnp.array([0.5, 0.25]))
        ...     params = jrnn.ElmanParams(jnp.ones((1, 2)), w_h, jnp.zeros(2))
        ...     linear = jrnn.elman(2, lambda a: a)
        ...     exponents = lyapunov_spectrum(
        ...         linear, params, jnp.zeros((200, 1)), burn_in=100)
        >>> jnp.round(jnp.exp(exponents), 6).tolist()
        [0.5, 0.25]

    References:
        Benettin, Galgani, Giorgilli, Strelcyn (1980), Lyapunov characteristic exponents
        for smooth dynamical systems, doi:10.1007/BF02128236.
        Vogt, Puelma Touzel, Shlizerman, Lajoie (2022), On Lyapunov exponents for RNNs,
        doi:10.3389/fams.2022.818799.
        Engelken, Wolf, Abbott (2023), Lyapunov spectra of chaotic recurrent neural
        networks, arXiv:2006.02427.
    """
    flat, hs = _trajectory("lyapunov_spectrum", cell, params, xs, carry, burn_in)
    size = flat.start.size
    m = size if num_exponents is None else num_exponents
    if not 1 <= m <= size:
        raise ValueError(
            f"lyapunov_spectrum: num_exponents must be from 1 to {size}, the entries "
            f"of the carry, got {m}."
        )
    warn_below_float64(
        "lyapunov_spectrum", hs.dtype, "strongly negative exponents will be wrong."
    )

    def step(q, h_and_x):
        h, x = h_and_x
        push = lambda v: jax.jvp(lambda h: flat.step(h, x), (h,), (v,))[1]
        q, r = jnp.linalg.qr(jax.vmap(push, 1, 1)(q))  # (N, m), (m, m)
        return q, jnp.log(jnp.abs(jnp.diagonal(r)))

    frame, _ = jnp.linalg.qr(_generic(size, m, hs.dtype))
    _, logs = scan(step, frame, (hs, xs))  # (T, m)
    return jnp.sort(logs[burn_in:].mean(axis=0), descending=True)


def largest_exponent(
    cell: Cell,
    params: Params,
    xs: Input,
    *,
    carry: Carry | None = None,
    burn_in: int = 0,
) -> jax.Array:
    """Largest Lyapunov exponent, by one tangent vector.

        v_t = J_t v_{t-1} / || J_t v_{t-1} ||,   lambda_1 = mean_t log || J_t v_{t-1} ||

    As cheap as two forward passes, and accurate to about 1e-5 in single precision.

    Args:
        cell: any cell without randomness.
        params: its parameters.
        xs: the sequence `(T, ...)`; zeros for a network without input.
        carry: state before the first step; `cell.initial_carry(params)` if None.
        burn_in: steps at the beginning that do not count.

    Returns:
        A scalar, nats per step. Above 0: chaos, gradients explode. Below 0: the network
        forgets its state in about -1 / lambda steps, gradients vanish.

    Raises:
        ValueError: `burn_in` leaves no step.
        TypeError: the carry is empty or not floating-point.

    Example:
        >>> import jrnn
        >>> net = jrnn.elman(50, w_h_init=jrnn.initializers.gain(3.0))
        >>> params = net.init(jax.random.key(0), jnp.zeros(1))
        >>> start = jax.random.normal(jax.random.key(1), (50,))
        >>> xs = jnp.zeros((400, 1))
        >>> bool(largest_exponent(net, params, xs, carry=start, burn_in=100) > 0.1)
        True

    References:
        Sompolinsky, Crisanti, Sommers (1988), Chaos in random neural networks,
        doi:10.1103/PhysRevLett.61.259.
    """
    flat, hs = _trajectory("largest_exponent", cell, params, xs, carry, burn_in)

    def step(v, h_and_x):
        h, x = h_and_x
        v = jax.jvp(lambda h: flat.step(h, x), (h,), (v,))[1]
        return scaled(v)

    v, _ = scaled(_generic(flat.start.size, 1, hs.dtype)[:, 0])
    _, logs = scan(step, v, (hs, xs))
    return logs[burn_in:].mean()


def kaplan_yorke_dimension(exponents: jax.Array) -> jax.Array:
    """Dimension of the attractor from its Lyapunov exponents.

        D = k + (lambda_1 + ... + lambda_k) / |lambda_{k+1}|

    with k the largest number for which the sum is not negative.

    Args:
        exponents: all exponents, largest first (N,).

    Returns:
        A scalar from 0 (fixed point) to N (no contraction).

    Example:
        >>> float(kaplan_yorke_dimension(jnp.array([0.5, 0.0, -1.0, -3.0])))
        2.5

    References:
        Kaplan, Yorke (1979), Chaotic behavior of multidimensional difference equations,
        doi:10.1007/BFb0064319.
    """
    exponents = jnp.asarray(exponents)
    zero = jnp.zeros(1, exponents.dtype)
    sums = jnp.concatenate([zero, jnp.cumsum(exponents)])  # (N + 1,) of the first k
    # sums rise, then fall: those not negative are the first ones
    k = (sums >= 0).sum() - 1
    following = jnp.append(exponents, zero)[k]  # 0 where nothing contracts
    part = sums[k] / jnp.where(following < 0, -following, jnp.ones_like(following))
    whole = k == exponents.size
    return k.astype(exponents.dtype) + jnp.where(whole, jnp.zeros_like(part), part)


def entropy_rate(exponents: jax.Array) -> jax.Array:
    """Rate at which a chaotic system produces entropy: the sum of positive exponents.

        h = sum_i max(lambda_i, 0)

    Args:
        exponents: exponents in any order (N,); the positive ones suffice.

    Returns:
        A scalar, nats per step (an upper bound; equal for most systems).

    Example:
        >>> float(entropy_rate(jnp.array([0.5, 0.25, 0.0, -3.0])))
        0.75

    References:
        Pesin (1977), Characteristic Lyapunov exponents and smooth ergodic theory,
        doi:10.1070/RM1977v032n04ABEH001639.
    """
    exponents = jnp.asarray(exponents)
    return jnp.maximum(exponents, jnp.zeros_like(exponents)).sum()


def _trajectory(name, cell, params, xs, carry, burn_in) -> tuple[FlatCell, jax.Array]:
    _check.num_steps(name, xs)
    flat = flat_cell(name, cell, params, carry)
    _, hs = states_before(flat, xs)
    if not isinstance(burn_in, int) or not 0 <= burn_in < len(hs):
        raise ValueError(
            f"{name}: burn_in must leave steps to average, from 0 to {len(hs) - 1}, "
            f"got {burn_in}."
        )
    return flat, hs


def _generic(rows: int, columns: int, dtype: DTypeLike) -> jax.Array:
    """Vectors that no network is made for; not random, so that no key is needed."""
    dtype = _check.at_least_float32(dtype)
    i = jnp.arange(1, rows + 1, dtype=dtype)
    j = jnp.arange(1, columns + 1, dtype=dtype)
    return jnp.sin(jnp.sqrt(jnp.asarray(2, dtype)) * jnp.outer(i * i, j) + i[:, None])
