"""How fast gradients decay: measured, and bounded by the weights."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check


class DecayRate(NamedTuple):
    """A straight line through logarithms of norms."""

    rate: jax.Array  # () change of the log norm per step of lag; below 0: vanishing
    error: jax.Array  # () standard error of the rate
    intercept: jax.Array  # () log norm at lag 0


class Bounds(NamedTuple):
    """What a recurrent weight says about gradients in advance."""

    spectral_radius: jax.Array  # () largest modulus of an eigenvalue
    largest_singular_value: jax.Array  # ()
    largest_rate: jax.Array  # () log(slope * largest singular value), per step
    must_vanish: jax.Array  # () bool, largest_rate < 0
    may_explode: jax.Array  # () bool, largest_rate > 0
    linear_explodes: jax.Array  # () bool, spectral radius > 1


def decay_rate(log_norms: jax.Array, lags: jax.Array | None = None) -> DecayRate:
    """Rate of decay by lag: slope of the least-squares line, with its uncertainty.

        log_norms[k] = intercept + rate * lags[k] + residual[k]
        error^2 = sum residual^2 / (K - 2) / sum (lags - mean lag)^2

    The error supposes independent residuals. Those of one network follow one another,
    so between networks expect more spread than it says.

    Args:
        log_norms: logarithms of norms (K,), K >= 3, as `lag_jacobians` gives them.
            Entries that are not finite (norms of zero) do not count.
        lags: their lags (K,); 0, 1, 2, ... if None.

    Returns:
        `DecayRate(rate, error, intercept)`. exp(rate) is the factor per step, and
        -1 / rate the number of steps in which a gradient falls by e.

    Raises:
        ValueError: fewer than three norms, or lags of another shape.

    Example:
        >>> fit = decay_rate(jnp.log(0.5) * jnp.arange(20.0))
        >>> round(float(jnp.exp(fit.rate)), 5), bool(fit.error < 1e-6)
        (0.5, True)
    """
    log_norms = jnp.asarray(log_norms)
    if log_norms.ndim != 1 or log_norms.shape[0] < 3:
        raise ValueError(
            "decay_rate: log_norms must have shape (K,) with K >= 3, got "
            f"{log_norms.shape}. Use jax.vmap for more than one curve."
        )
    k = jnp.arange(log_norms.shape[0]) if lags is None else jnp.asarray(lags)
    if k.shape != log_norms.shape:
        raise ValueError(
            f"decay_rate: lags must have the shape of log_norms, {log_norms.shape}, "
            f"got {k.shape}."
        )
    valid = jnp.isfinite(log_norms)
    y = jnp.where(valid, log_norms, jnp.zeros_like(log_norms))
    w = valid.astype(y.dtype)
    k = k.astype(y.dtype)
    n = w.sum()
    dk = w * (k - (w * k).sum() / n)  # centred: the line through the middle
    y_mean = (w * y).sum() / n
    dy = w * (y - y_mean)
    rate = (dk * dy).sum() / (dk * dk).sum()
    residual = dy - rate * dk
    error = jnp.sqrt((residual * residual).sum() / (n - 2) / (dk * dk).sum())
    return DecayRate(rate, error, y_mean - rate * (w * k).sum() / n)


def bounds(w_h: jax.Array, slope: ArrayLike = 1.0) -> Bounds:
    """What the recurrent weight alone says about vanishing and exploding gradients.

        || dh_T / dh_{T-k} ||_2 <= (slope * sigma_max)^k      whatever the inputs are

    With `slope * sigma_max < 1` gradients must vanish (sufficient); above 1 they may
    explode (necessary, not sufficient). In a linear network the spectral radius rho
    decides about long lags: || W^k ||^(1/k) -> rho. The two differ where w_h is not a
    normal matrix: gradients can then grow for a while although rho < 1.

    Args:
        w_h: recurrent weight (H, H).
        slope: largest slope of the activation: 1 for tanh, relu and the identity,
            1/4 for the logistic function.

    Returns:
        `Bounds`. The eigenvalues are computed on CPU (and on GPU in newer versions of
        JAX).

    Raises:
        ValueError: `w_h` is not square.

    Example:
        >>> w_h = jnp.array([[0.9, 5.0], [0.0, 0.9]])
        >>> b = bounds(w_h)
        >>> round(float(b.spectral_radius), 4), bool(b.may_explode)
        (0.9, True)
        >>> bool(bounds(w_h, slope=0.15).must_vanish)
        True

    References:
        Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural
        networks, arXiv:1211.5063, section 2.1.
    """
    w_h = jnp.asarray(w_h)
    if w_h.ndim != 2 or w_h.shape[0] != w_h.shape[1]:
        raise ValueError(f"bounds: w_h must be a square matrix, got {w_h.shape}.")
    w_h = w_h.astype(_check.at_least_float32(w_h.dtype))
    radius = jnp.max(jnp.abs(jnp.linalg.eigvals(w_h))).astype(w_h.dtype)
    sigma = jnp.linalg.svd(w_h, compute_uv=False)[0]
    rate = jnp.log(jnp.asarray(slope).astype(w_h.dtype) * sigma)
    return Bounds(radius, sigma, rate, rate < 0, rate > 0, radius > 1)
