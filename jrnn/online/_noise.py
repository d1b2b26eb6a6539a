"""Random signs and their keys, and factors that keep the noise of a product small."""

import jax
import jax.numpy as jnp


def keys_of_step(name: str, key: jax.Array | None) -> jax.Array:
    """Two keys, for the signs of a step and for the cell; `name` is the algorithm's."""
    if key is None:
        raise ValueError(
            f"{name}: needs a key for every step: step(..., key=key), or "
            "accumulate(..., key=key)."
        )
    return jax.random.split(key)


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
