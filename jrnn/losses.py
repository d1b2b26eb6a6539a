"""Losses over sequences, with masks; accuracy; perplexity and bits from nats."""

import math

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._replacements.largest import index_of_largest
from jrnn._replacements.likelihood import negative_log_likelihood


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
        TypeError: valid is not boolean.

    Example:
        >>> logits = jnp.zeros((3, 4))
        >>> round(float(cross_entropy(logits, jnp.array([0, 1, 2]))), 6)  # log 4
        1.386294

    References:
        Goodfellow, Bengio, Courville (2016), Deep Learning, section 10.2, equation
        10.14 (there summed over time; here the mean).
    """
    _same_shape("cross_entropy", "labels", labels, logits.shape[:-1])
    if valid is None:
        return negative_log_likelihood(logits, labels).mean()
    _same_shape("cross_entropy", "valid", valid, logits.shape[:-1])
    _check.flags("cross_entropy", "valid", valid)
    # Padding may hold anything: keep it out before the logarithm, not only behind it.
    logits = jnp.where(valid[..., None], logits, jnp.zeros_like(logits))
    labels = jnp.where(valid, labels, jnp.zeros_like(labels))
    losses = negative_log_likelihood(logits, labels)
    count = jnp.maximum(valid.sum(), 1).astype(losses.dtype)
    return jnp.where(valid, losses, jnp.zeros_like(losses)).sum() / count


def binary_cross_entropy(
    logits: jax.Array, labels: jax.Array, valid: jax.Array | None = None
) -> jax.Array:
    """Mean negative log-likelihood of labels that are 0 or 1, in nats.

        L = - mean of y log sigmoid(z) + (1 - y) log sigmoid(-z)   over valid z, y

    Optax's `sigmoid_binary_cross_entropy`, as a mean.

    Args:
        logits: log-odds z of a 1, (...).
        labels: y, 0 or 1 of any type, or probabilities, (...).
        valid: booleans, the first axes of (...), such as the steps of sequences; what
            is false does not count, whatever it holds. All count if None.

    Returns:
        A scalar; 0 where nothing is valid.

    Raises:
        ValueError: shapes that do not match.
        TypeError: valid is not boolean.

    Example:
        >>> z, y = jnp.array([0.0, 2.0, 5.0]), jnp.array([1, 1, 0])
        >>> valid = jnp.array([True, True, False])
        >>> round(float(binary_cross_entropy(z, y, valid)), 4)  # log 2, log(1 + e^-2)
        0.41

    References:
        Goodfellow, Bengio, Courville (2016), Deep Learning, section 6.2.2.2.
    """
    name = "binary_cross_entropy"
    _same_shape(name, "labels", labels, logits.shape, of="logits")
    logits, labels = _kept(name, valid, logits, labels.astype(logits.dtype))
    losses = optax.losses.sigmoid_binary_cross_entropy(logits, labels)
    return _mean(losses, valid)


def mean_squared_error(
    predictions: jax.Array, targets: jax.Array, valid: jax.Array | None = None
) -> jax.Array:
    """Mean of squared differences.

        L = mean of (y - target)^2   over valid y and target

    Optax's `squared_error`, as a mean; `optax.l2_loss` has a half in front.

    Args:
        predictions: y, (...).
        targets: numbers, (...).
        valid: booleans, the first axes of (...), such as the steps of sequences; what
            is false does not count, whatever it holds. All count if None.

    Returns:
        A scalar; 0 where nothing is valid.

    Raises:
        ValueError: shapes that do not match.
        TypeError: valid is not boolean.

    Example:
        >>> ys, targets = jnp.array([[1.0, 2.0], [9.0, 9.0]]), jnp.zeros((2, 2))
        >>> float(mean_squared_error(ys, targets, valid=jnp.array([True, False])))
        2.5

    References:
        Goodfellow, Bengio, Courville (2016), Deep Learning, section 5.1.4.
    """
    name = "mean_squared_error"
    _same_shape(name, "targets", targets, predictions.shape, of="predictions")
    predictions, targets = _kept(
        name, valid, predictions, targets.astype(predictions.dtype)
    )
    return _mean(optax.losses.squared_error(predictions, targets), valid)


def accuracy(
    logits: jax.Array, labels: jax.Array, valid: jax.Array | None = None
) -> jax.Array:
    """Share of labels that have the largest logit.

        mean of [argmax_v logits_v = label]   over valid entries

    The first of equal logits counts as the largest; where one is NaN, none is.

    Args:
        logits: (..., V).
        labels: integers, (...).
        valid: booleans, the first axes of (...); what is false does not count. All
            count if None.

    Returns:
        A scalar from 0 to 1; 0 where nothing is valid.

    Raises:
        ValueError: shapes that do not match.
        TypeError: valid is not boolean.

    Example:
        >>> logits = jnp.array([[0.0, 1.0], [3.0, 2.0], [0.0, 5.0]])
        >>> valid = jnp.array([True, True, False])
        >>> float(accuracy(logits, jnp.array([1, 1, 0]), valid))
        0.5
    """
    _same_shape("accuracy", "labels", labels, logits.shape[:-1])
    hits = index_of_largest(logits) == labels.astype(jnp.int32)
    (hits,) = _kept("accuracy", valid, hits)
    return _mean(hits.astype(_check.at_least_float32(logits.dtype)), valid)


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


def _kept(name: str, valid: jax.Array | None, *arrays: jax.Array) -> list[jax.Array]:
    """Arrays with zeros where nothing is valid: padding may hold anything."""
    if valid is None:
        return list(arrays)
    shape = arrays[0].shape[: jnp.ndim(valid)]
    _check.flags(name, "valid", valid)
    if jnp.shape(valid) != shape:
        raise ValueError(
            f"{name}: valid must have the first axes of {arrays[0].shape}, got "
            f"{jnp.shape(valid)}."
        )
    return [jnp.where(_spread(valid, a), a, jnp.zeros_like(a)) for a in arrays]


def _mean(losses: jax.Array, valid: jax.Array | None) -> jax.Array:
    """Mean over valid entries; the loss elsewhere is that of zeros."""
    if valid is None:
        return losses.mean()
    valid = _spread(valid, losses)
    count = jnp.maximum(valid.sum(), 1).astype(losses.dtype)
    return jnp.where(valid, losses, jnp.zeros_like(losses)).sum() / count


def _spread(valid: jax.Array, array: jax.Array) -> jax.Array:
    """Flags of the first axes as flags of all entries."""
    more = array.ndim - jnp.ndim(valid)
    flags = jnp.reshape(valid, (*jnp.shape(valid), *(1,) * more))
    return jnp.broadcast_to(flags, array.shape)


def _same_shape(
    name: str,
    argument: str,
    value: jax.Array,
    shape: tuple[int, ...],
    of: str = "logits without its last axis",
) -> None:
    if jnp.shape(value) != shape:
        raise ValueError(
            f"{name}: {argument} must have the shape of {of}, {shape}, got "
            f"{jnp.shape(value)}."
        )
