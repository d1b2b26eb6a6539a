"""Random signs, and the factors that keep the noise of a random product small."""

import jax
import jax.numpy as jnp


def signs(key: jax.Array, like: jax.Array) -> jax.Array:
    """Numbers in {-1, 1} at random, of the form of an array."""
    return jax.random.rademacher(key, like.shape, like.dtype)


def norm(tree, dtype) -> jax.Array:
    """Euclidean norm of all numbers in a tree."""
    squares = [jnp.sum(jnp.square(a)).astype(dtype) for a in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares, start=jnp.zeros((), dtype)))


def ratio(above: jax.Array, below: jax.Array) -> jax.Array:
    """sqrt(above / below), 1 where it would be 0 or infinite."""
    usable = (above > 0) & (below > 0)
    one = jnp.ones_like(above)
    return jnp.sqrt(jnp.where(usable, above, one) / jnp.where(usable, below, one))
