"""Losses over sequences, in nats, with masks; perplexity and bits from nats."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn._likelihood import negative_log_likelihood


def cross_entropy(
    logits: jax.Array, labels: jax.Array, valid: jax.Array | None = None
) -> jax.Array:
    """Mean negative log-likelihood of integer labels, in nats.

        L = - sum_t valid_t log softmax(logits_t)[labels_t] / sum_t valid_t

    Args:
        logits: unnormalised log-probabilities, (..., V).
        labels: integers 0..V-1, (...); any other makes the loss NaN.
        valid: booleans, (...); entries that are false do not count, whatever their
            logits and labels hold. All count if None.

    Returns:
        A scalar; 0 where nothing is valid.

    Raises:
        ValueError: shapes of labels or valid do not match those of logits.

    Example:
        >>> logits = jnp.zeros((3, 4))
        >>> round(float(cross_entropy(logits, jnp.array([0, 1, 2]))), 6)  # log 4
        1.386294

    References:
        Goodfellow, Bengio, Courville (2016), Deep Learning, section 10.2, equation
        10.14 (there summed over time; here the mean).
    """
    _same_shape("labels", labels, logits.shape[:-1])
    if valid is None:
        return negative_log_likelihood(logits, labels).mean()
    _same_shape("valid", valid, logits.shape[:-1])
    # Padding may hold anything: keep it out before the logarithm, not only behind it.
    logits = jnp.where(valid[..., None], logits, jnp.zeros_like(logits))
    labels = jnp.where(valid, labels, jnp.zeros_like(labels))
    losses = negative_log_likelihood(logits, labels)
    count = jnp.maximum(valid.sum(), 1).astype(losses.dtype)
    return jnp.where(valid, losses, jnp.zeros_like(losses)).sum() / count


def perplexity(nats: ArrayLike) -> jax.Array:
    """Perplexity of a mean loss in nats: exp(nats).

    Args:
        nats: mean negative log-likelihood of a token.

    Returns:
        The effective number of equally likely choices, >= 1.

    Example:
        >>> round(float(perplexity(1.386294)), 4)
        4.0
    """
    return jnp.exp(jnp.asarray(nats))


def bits_per_token(nats: ArrayLike) -> jax.Array:
    """Bits of a loss in nats: nats / log 2.

    With characters as tokens these are bits per character.

    Args:
        nats: mean negative log-likelihood of a token.

    Returns:
        The same in bits.

    Example:
        >>> round(float(bits_per_token(1.386294)), 4)
        2.0
    """
    return jnp.asarray(nats) / math.log(2.0)


def _same_shape(argument: str, value: jax.Array, shape: tuple[int, ...]) -> None:
    if jnp.shape(value) != shape:
        raise ValueError(
            f"cross_entropy: {argument} must have the shape of logits without its last "
            f"axis, {shape}, got {jnp.shape(value)}."
        )
