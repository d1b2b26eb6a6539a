"""Diagonal state space layer: linear differential equations, held between inputs.

h' = lambda h + x B,   exactly, over a time of exp(log_dt) with x_t held
y_t = 2 Re(h_t C) + x_t D
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell, DiagonalStep
from jrnn.cells._linear import complex_of, complex_zeros, parts_of
from jrnn.initializers import Initializer


class S5Params(NamedTuple):
    """Weights of the diagonal state space layer, all real."""

    log_decay: jax.Array  # (N,) logarithm of -Re(lambda)
    frequency: jax.Array  # (N,) Im(lambda)
    log_dt: jax.Array  # (N,) logarithm of the time between inputs
    w_x: jax.Array  # (I, 2N) B, real parts and imaginary parts
    w_h: jax.Array  # (2N, H) C, real parts above negative imaginary parts
    w_y: jax.Array  # (I, H) D, from the input to the output


@described
def s5(
    hidden_size: int,
    state_size: int | None = None,
    *,
    dt_min: float = 0.001,
    dt_max: float = 0.1,
    b_init: Initializer = jax.nn.initializers.lecun_normal(),
    c_init: Initializer = jax.nn.initializers.lecun_normal(),
    w_y_init: Initializer = jax.nn.initializers.lecun_normal(),
) -> Cell:
    """Diagonal state space layer (S5, with S4D's guard against growth).

        a = exp(lambda dt),   lambda = -exp(log_decay) + i frequency,  dt = exp(log_dt)
        h_t = a * h_{t-1} + (a - 1) / lambda * (x_t B)
        y_t = 2 Re(h_t C) + x_t D

    The solution of h' = lambda h + x B over a time dt in which the input is held. As
    decays are negative whatever is learned, |a| < 1. The recurrence can be computed in
    parallel: `unroll` does so off the CPU, see `diagonal`. N numbers stand for 2N, the
    other half being their conjugates. At the start lambda are eigenvalues of the
    HiPPO-LegS matrix's normal part, and B and C are turned into its eigenvectors, as in
    S5; the logarithm of decays is S4D's. All parameters are real: [Re B, Im B] and
    [Re C; -Im C]. D is a matrix, where the paper has a vector for inputs as long as
    outputs. A linear layer only: the papers put a nonlinear one behind each.

    Args:
        hidden_size: length H of the output.
        state_size: complex numbers N in the state; H if None.
        dt_min: least time between inputs at the start, above 0.
        dt_max: largest one; they are drawn log-uniformly, one for each number.
        b_init: initialiser of B before it is turned, (I, 2N); Gaussian of variance 1/I.
        c_init: initialiser of C before it is turned, (2N, H); Gaussian of variance
            1/(2N).
        w_y_init: initialiser of w_y (I, H); Gaussian of variance 1/I.

    Returns:
        A cell with `S5Params`, carry `h` (N,) of complex numbers and output `y` (H,).

    Raises:
        ValueError: a size is not a positive integer; `dt_min` is not above 0, or
            `dt_max` below it; x of another size.

    Example:
        >>> import jrnn
        >>> cell = jrnn.s5(4, 6)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> h, ys = jrnn.unroll(cell, params, jnp.ones((5, 3)))
        >>> h.shape, str(h.dtype), ys.shape
        ((6,), 'complex64', (5, 4))

    References:
        Smith, Warrington, Linderman (2023), Simplified state space layers for sequence
        modeling, arXiv:2208.04933, section 3 and appendix B.
        Gu, Gupta, Goel, Re (2022), On the parameterization and initialization of
        diagonal state space models, arXiv:2206.11893, section 3.
    """
    _check.positive("s5", "hidden_size", hidden_size)
    H, N = hidden_size, hidden_size if state_size is None else state_size
    _check.positive("s5", "state_size", N)
    _check.above_zero("s5", "dt_min", dt_min)
    if not dt_max >= dt_min:
        raise ValueError(f"s5: dt_max must be at least dt_min, {dt_min}, got {dt_max}.")

    def init(key, x):
        size, dtype = _check.example_vector("s5", key, x)
        dt_key, b_key, c_key, y_key = jax.random.split(key, 4)
        frequency, v = _hippo_normal(N)  # (N,), (2N, N)
        low, high = math.log(dt_min), math.log(dt_max)
        b, c = b_init(b_key, (size, 2 * N), dtype), c_init(c_key, (2 * N, H), dtype)
        turn = lambda a: jnp.asarray(a, dtype)
        re, im = turn(np.real(v)), turn(np.imag(v))
        return S5Params(
            log_decay=jnp.full(N, math.log(0.5), dtype),
            frequency=turn(frequency),
            log_dt=jax.random.uniform(dt_key, (N,), minval=low, maxval=high).astype(
                dtype
            ),
            w_x=jnp.concatenate([b @ re, -b @ im], axis=1),  # b times conj(v)
            w_h=jnp.concatenate([re.T @ c, -im.T @ c]),  # v times c
            w_y=w_y_init(y_key, (size, H), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("s5", params, S5Params)
        return complex_zeros(N, params.frequency.dtype)

    def coefficients(params, x, *, key=None):
        del key
        _check.params_type("s5", params, S5Params)
        _check.step_input("s5", x, params.w_x.shape[0])
        dt = jnp.exp(params.log_dt)
        parts = jnp.concatenate([-jnp.exp(params.log_decay), params.frequency])
        rate, over = complex_of(parts), complex_of(jnp.tile(dt, 2) * parts)
        held = jnp.expm1(over) / rate  # (N,)
        return jnp.exp(over), held * complex_of(x @ params.w_x)

    def output(params, h, x):
        return 2 * (parts_of(h).astype(x.dtype) @ params.w_h) + x @ params.w_y  # (H,)

    return Cell(init, initial_carry, DiagonalStep(coefficients, output, "s5"))


def _hippo_normal(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and eigenvectors of the normal part of HiPPO-LegS, 2N by 2N.

    -1/2 on the diagonal and -+sqrt((n + 1/2) (k + 1/2)) below and above it: the
    eigenvalues are -1/2 + i frequency, of which those with frequency > 0 are returned.
    """
    root = np.sqrt(np.arange(2 * size) + 0.5)
    skew = np.triu(np.outer(root, root), 1)
    frequency, v = np.linalg.eigh(
        -1j * (skew - skew.T)
    )  # i times a real one: Hermitian
    return frequency[size:], v[:, size:]
