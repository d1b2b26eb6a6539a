"""A network whose matrix has few dimensions, in continuous time.

tau v' = -v + x w_x + f(v) (n m^T) / H + b
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._activation import named
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer


class LowRankParams(NamedTuple):
    """Weights of the low-rank network."""

    w_x: jax.Array  # (I, H)
    m: jax.Array  # (H, R) directions that the recurrence writes
    n: jax.Array  # (H, R) directions that it reads
    b: jax.Array  # (H,)


@described
def low_rank(
    hidden_size: int,
    rank: int = 2,
    activation: Callable[[jax.Array], jax.Array] | str = jnp.tanh,
    *,
    tau: float = 100.0,
    dt: float = 20.0,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    m_init: Initializer = jax.nn.initializers.normal(1.0),
    n_init: Initializer = jax.nn.initializers.normal(1.0),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Low-rank recurrent network.

        kappa = f(v_{t-1}) n / H                                    (R,)
        v_t = (1 - alpha) v_{t-1} + alpha (x_t w_x + kappa m^T + b),   alpha = dt/tau
        y_t = f(v_t)

    The matrix of the recurrence is J = m n^T / H in the papers, J^T here, where
    products are `x @ w`. Without input, states decay to the R dimensions spanned by m;
    what m, n and w_x have in common says what the network does. Without the random
    matrix of full rank that the papers may add, and without noise. A step costs 2 R H
    products in place of H^2. The carry is v, the output f(v). Neither PyTorch, Keras
    nor Flax has it.

    Args:
        hidden_size: number of units H.
        rank: dimensions R of the recurrence, 1 to H.
        activation: the function f, or its name in `jax.nn`; tanh by default.
        tau: time constant, in the unit of dt.
        dt: time of a step, in (0, tau].
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        m_init: initialiser of m (H, R); standard Gaussian by default.
        n_init: initialiser of n (H, R); standard Gaussian by default.
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `LowRankParams`, carry `v` (H,) and output `f(v)` (H,).

    Raises:
        ValueError: a size is not a positive integer, or `rank` above H; `tau` is not
            above 0, or `dt` outside (0, tau]; no activation of that name; x or carry of
            another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.low_rank(4, rank=1)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params.m.shape, jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].shape
        ((4, 1), (5, 4))

    References:
        Mastrogiuseppe, Ostojic (2018), Linking connectivity, dynamics, and computations
        in low-rank recurrent neural networks, doi:10.1016/j.neuron.2018.07.003.
        Dubreuil, Valente, Beiran, Mastrogiuseppe, Ostojic (2022), The role of
        population structure in computations through neural dynamics,
        doi:10.1038/s41593-022-01088-4, methods.
    """
    name = "low_rank"
    _check.positive(name, "hidden_size", hidden_size)
    _check.positive(name, "rank", rank)
    if rank > hidden_size:
        raise ValueError(
            f"low_rank: rank must be at most hidden_size, {hidden_size}, got {rank}."
        )
    _check.above_zero(name, "tau", tau)
    _check.above_zero(name, "dt", dt, most=tau)
    f, alpha = named(name, activation), dt / tau

    def init(key, x):
        size, dtype = _check.example_vector(name, key, x)
        x_key, m_key, n_key, b_key = jax.random.split(key, 4)
        return LowRankParams(
            w_x=w_x_init(x_key, (size, hidden_size), dtype),
            m=m_init(m_key, (hidden_size, rank), dtype),
            n=n_init(n_key, (hidden_size, rank), dtype),
            b=b_init(b_key, (hidden_size,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type(name, params, LowRankParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type(name, params, LowRankParams)
        _check.step_input(name, x, params.w_x.shape[0])
        _check.carry_shape(name, carry, params.b.shape)
        _check.step_dtype(name, x, params.m, carry)
        kappa = f(carry) @ params.n / hidden_size  # (R,)
        current = x @ params.w_x + kappa @ params.m.T + params.b  # (H,)
        v = (1 - alpha) * carry + alpha * current
        return v, f(v)

    return Cell(init, initial_carry, step)
