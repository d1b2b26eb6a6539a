"""Random tanh networks of infinite size: variance, stability, the edge of chaos.

    h_t = tanh(a_t),   a_t = h_{t-1} w_h + input_t,   w_h ~ N(0, gain^2 / H)

In a large network every a_t is Gaussian with the same variance q, which then fixes
itself; all else follows from q.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn.dynamics._precision import warn_below_float64
from jrnn.scan import scan

NODES = 2001  # of the trapezoid rule: exact to rounding for gains up to about 20
REACH = 12.0  # in standard deviations
HALVINGS = 100


class MeanField(NamedTuple):
    """The stationary state of an infinite random tanh network."""

    q: jax.Array  # () variance of a unit's total input
    chi: jax.Array  # () factor per step of the mean squared gradient norm
    largest_exponent: jax.Array  # () log(chi) / 2, nats per step
    mean_exponent: jax.Array  # () mean of all Lyapunov exponents, nats per step


def mean_field(gain: ArrayLike, input_variance: ArrayLike = 0.0) -> MeanField:
    """Theory of a random tanh network of infinite size, with or without input.

        q   = gain^2 <tanh^2(sqrt(q) z)> + input_variance,     z ~ N(0, 1)
        chi = gain^2 <tanh'^2(sqrt(q) z)>
        largest exponent = log(chi) / 2
        mean exponent    = log(gain) - 1/2 + <log tanh'(sqrt(q) z)>

    Gradients change as chi^(lag / 2): they vanish for chi < 1 and explode for chi > 1,
    over a time of 1 / |log chi| steps. Without input chi = 1 at gain 1, the transition
    to chaos; input that changes from step to step suppresses chaos (`critical_gain`).

    Args:
        gain: standard deviation of the recurrent weights times sqrt(H), > 0. The
            spectral radius tends to it as H grows. May be traced.
        input_variance: variance of the input to each unit, independent from step to
            step, >= 0. May be traced.

    Returns:
        `MeanField(q, chi, largest_exponent, mean_exponent)`, scalars.

    Example:
        >>> with jax.enable_x64(True):
        ...     theory = mean_field(1.5)
        >>> round(float(theory.largest_exponent), 5)
        0.06522

    References:
        Molgedey, Schuchhardt, Schuster (1992), Suppressing chaos in neural networks by
        noise, doi:10.1103/PhysRevLett.69.3717.
        Chen, Pennington, Schoenholz (2018), Dynamical isometry and a mean field theory
        of RNNs, arXiv:1806.05394.
        Engelken, Wolf, Abbott (2023), Lyapunov spectra of chaotic recurrent neural
        networks, arXiv:2006.02427.
    """
    gain, input_variance = _floats("mean_field", gain, input_variance)
    square = gain * gain

    def above(q):  # the right side of the equation for q exceeds the left
        return square * _mean(_tanh_squared, q) + input_variance > q

    # concave in q, so it crosses the diagonal once above 0
    q = _bisect(above, jnp.zeros_like(gain), square + input_variance)
    chi = square * _mean(_slope_squared, q)
    return MeanField(
        q=q,
        chi=chi,
        largest_exponent=jnp.log(chi) / 2,
        mean_exponent=jnp.log(gain) - 0.5 + _mean(_log_slope, q),
    )


def critical_gain(input_variance: ArrayLike = 0.0) -> jax.Array:
    """Gain at which a random tanh network turns to chaos, by the variance of its input.

        gain^2 = 1 / <tanh'^2(sqrt(q) z)>                      chi = 1
        input_variance = q - gain^2 <tanh^2(sqrt(q) z)>

    1 without input, and higher with it: noise suppresses chaos.

    Args:
        input_variance: variance of the input to each unit, independent from step to
            step, >= 0. May be traced.

    Returns:
        The gain, a scalar.

    Example:
        >>> with jax.enable_x64(True):
        ...     gains = jax.vmap(critical_gain)(jnp.array([0.0, 0.1, 1.0]))
        >>> gains.round(3).tolist()
        [1.0, 1.409, 1.856]

    References:
        Molgedey, Schuchhardt, Schuster (1992), Suppressing chaos in neural networks by
        noise, doi:10.1103/PhysRevLett.69.3717.
    """
    (input_variance,) = _floats("critical_gain", input_variance)
    squared_gain = lambda q: 1 / _mean(_slope_squared, q)

    def below(q):  # the critical network with this q has less input
        return q - squared_gain(q) * _mean(_tanh_squared, q) < input_variance

    q = _bisect(below, jnp.zeros_like(input_variance), 10 * input_variance + 10)
    return jnp.sqrt(squared_gain(q))


def _floats(name: str, *values: ArrayLike) -> list[jax.Array]:
    dtype = jnp.result_type(float)
    warn_below_float64(name, dtype, "near the transition to chaos digits cancel.")
    return [jnp.asarray(value).astype(dtype) for value in values]


def _mean(f: Callable[[jax.Array], jax.Array], q: jax.Array) -> jax.Array:
    """<f(sqrt(q) z)> over a standard Gaussian z.

    The trapezoid rule converges exponentially here, where Gauss-Hermite does not: the
    poles of tanh come close to the real axis as q grows.
    """
    z = jnp.linspace(-REACH, REACH, NODES, dtype=q.dtype)
    weight = jnp.exp(-z * z / 2)
    return (weight * f(jnp.sqrt(q) * z)).sum() / weight.sum()


def _tanh_squared(a: jax.Array) -> jax.Array:
    return jnp.square(jnp.tanh(a))


def _slope_squared(a: jax.Array) -> jax.Array:
    return jnp.exp(2 * _log_slope(a))


def _log_slope(a: jax.Array) -> jax.Array:
    """Log of tanh'(a), -2 log cosh(a), without overflow."""
    a = jnp.abs(a)
    return 2 * (jnp.log(2.0) - a - jnp.log1p(jnp.exp(-2 * a)))


def _bisect(rising: Callable, low: jax.Array, high: jax.Array) -> jax.Array:
    """The point up to which `rising` holds."""

    def halve(ends, _):
        low, high = ends
        middle = (low + high) / 2
        go_up = rising(middle)
        return (jnp.where(go_up, middle, low), jnp.where(go_up, high, middle)), None

    (low, high), _ = scan(halve, (low, high), length=HALVINGS)
    return (low + high) / 2
