"""A vector with mean 0 and variance 1."""

import jax
import jax.numpy as jnp


def normalised(z: jax.Array, epsilon: float) -> jax.Array:
    """(z - mean(z)) / sqrt(var(z) + epsilon), over the last axis."""
    z = z - z.mean(axis=-1, keepdims=True)
    return z * jax.lax.rsqrt(jnp.square(z).mean(axis=-1, keepdims=True) + epsilon)
