"""What the cells share whose state is linear: positive proposals, complex states."""

import jax
import jax.numpy as jnp
from jax import lax

from jrnn import _check


def above_zero(z: jax.Array) -> jax.Array:
    """The function g of Feng et al. (2024): z + 1/2 where z >= 0, else sigmoid(z)."""
    return jnp.where(z >= 0, z + 0.5, jax.nn.sigmoid(z))


def complex_of(parts: jax.Array) -> jax.Array:
    """Real parts (..., N) and imaginary parts (..., N) side by side, as (..., N)."""
    re, im = jnp.split(parts.astype(_check.at_least_float32(parts.dtype)), 2, axis=-1)
    return lax.complex(re, im)


def parts_of(z: jax.Array) -> jax.Array:
    """Real parts and imaginary parts side by side."""
    return jnp.concatenate([z.real, z.imag], axis=-1)


def complex_zeros(size: int, dtype) -> jax.Array:
    """A state of complex numbers for parameters of this dtype."""
    return complex_of(jnp.zeros(2 * size, dtype))
