"""Linear recurrent unit: complex numbers that turn and decay, each by its own factor.

h_t = lambda * h_{t-1} + gamma * (x_t B),   lambda = exp(-exp(nu) + i exp(theta))
y_t = Re(h_t C) + x_t D
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell, DiagonalStep
from jrnn.cells._linear import complex_of, complex_zeros, parts_of
from jrnn.initializers import Initializer


class LRUParams(NamedTuple):
    """Weights of the linear recurrent unit, all real."""

    nu: jax.Array  # (N,) |lambda| = exp(-exp(nu))
    theta: jax.Array  # (N,) the angle of lambda is exp(theta)
    gamma: jax.Array  # (N,) logarithm of the factor of inputs
    w_x: jax.Array  # (I, 2N) B, real parts and imaginary parts
    w_h: jax.Array  # (2N, H) C, real parts above negative imaginary parts
    w_y: jax.Array  # (I, H) D, from the input to the output


@described
def lru(
    hidden_size: int,
    state_size: int | None = None,
    *,
    r_min: float = 0.0,
    r_max: float = 1.0,
    max_phase: float = 2 * math.pi,
    w_x_init: Initializer = jax.nn.initializers.lecun_normal(),
    w_h_init: Initializer = jax.nn.initializers.lecun_normal(),
    w_y_init: Initializer = jax.nn.initializers.lecun_normal(),
) -> Cell:
    """Linear recurrent unit (LRU).

        lambda = exp(-exp(nu) + i exp(theta))
        h_t = lambda * h_{t-1} + exp(gamma) * (x_t B)
        y_t = Re(h_t C) + x_t D

    A linear recurrence with any matrix is one of N complex numbers that do not mix; by
    the two exponentials |lambda| < 1 whatever is learned. The recurrence can be
    computed in parallel: `unroll` does so off the CPU, see `diagonal`. At the start
    lambda is uniform over a ring, gamma makes the state's variance that of its input,
    and B and C have variances 1/(2I) and 1/N. All parameters are real: [Re B, Im B] and
    [Re C; -Im C]. D is a matrix, where the paper has a vector for inputs as long as
    outputs. A linear layer only: the paper puts a nonlinear one behind each.

    Args:
        hidden_size: length H of the output.
        state_size: complex numbers N in the state; H if None.
        r_min: inner radius of the ring, at least 0.
        r_max: outer radius, above `r_min` and at most 1. Near 1 the memory is long.
        max_phase: largest angle of lambda at the start, above 0.
        w_x_init: initialiser of w_x (I, 2N); Gaussian of variance 1/I, over sqrt(2).
        w_h_init: initialiser of w_h (2N, H); Gaussian of variance 1/(2N), times
            sqrt(2).
        w_y_init: initialiser of w_y (I, H); Gaussian of variance 1/I.

    Returns:
        A cell with `LRUParams`, carry `h` (N,) of complex numbers and output `y` (H,).

    Raises:
        ValueError: a size is not a positive integer; radii that make no ring in the
            unit circle; `max_phase` is not above 0; x of another size.

    Example:
        >>> import jrnn
        >>> cell = jrnn.lru(4, 6)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> h, ys = jrnn.unroll(cell, params, jnp.ones((5, 3)))
        >>> h.shape, str(h.dtype), ys.shape
        ((6,), 'complex64', (5, 4))

    References:
        Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu, De (2023), Resurrecting
        recurrent neural networks for long sequences, arXiv:2303.06349, section 3 and
        lemma 3.2.
    """
    _check.positive("lru", "hidden_size", hidden_size)
    H, N = hidden_size, hidden_size if state_size is None else state_size
    _check.positive("lru", "state_size", N)
    _ring(r_min, r_max)
    _check.above_zero("lru", "max_phase", max_phase)

    def init(key, x):
        size, dtype = _check.example_vector("lru", key, x)
        r_key, phase_key, x_key, h_key, y_key = jax.random.split(key, 5)
        r2 = jax.random.uniform(r_key, (N,), minval=r_min**2, maxval=r_max**2)
        r2 = jnp.clip(r2, 1e-12, 1 - 1e-6)  # 0 and 1 have no nu
        phase = jax.random.uniform(phase_key, (N,), minval=1e-6, maxval=max_phase)
        root2 = jnp.asarray(math.sqrt(2), dtype)
        return LRUParams(
            nu=jnp.log(-0.5 * jnp.log(r2)).astype(dtype),
            theta=jnp.log(phase).astype(dtype),
            gamma=(0.5 * jnp.log1p(-r2)).astype(dtype),
            w_x=w_x_init(x_key, (size, 2 * N), dtype) / root2,
            w_h=w_h_init(h_key, (2 * N, H), dtype) * root2,
            w_y=w_y_init(y_key, (size, H), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("lru", params, LRUParams)
        return complex_zeros(N, params.nu.dtype)

    def coefficients(params, x, *, key=None):
        del key
        _check.params_type("lru", params, LRUParams)
        _check.step_input("lru", x, params.w_x.shape[0])
        logs = jnp.concatenate([-jnp.exp(params.nu), jnp.exp(params.theta)])
        factor = jnp.exp(jnp.tile(params.gamma, 2))  # (2N,)
        return jnp.exp(complex_of(logs)), complex_of(factor * (x @ params.w_x))  # (N,)

    def output(params, h, x):
        return parts_of(h).astype(x.dtype) @ params.w_h + x @ params.w_y  # (H,)

    return Cell(init, initial_carry, DiagonalStep(coefficients, output, "lru"))


def _ring(r_min: float, r_max: float) -> None:
    if not 0 <= r_min < r_max <= 1:
        raise ValueError(
            f"lru: r_min and r_max must satisfy 0 <= r_min < r_max <= 1, got {r_min} "
            f"and {r_max}."
        )
