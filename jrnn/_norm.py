"""The norm of a gradient of any magnitude and type.

    || g || = || s g || / s,   s = 1 for ordinary gradients, else a power of two

No square of s g that matters over- or underflows, and multiplying by a power of two
rounds nothing.
"""

from typing import Any

import jax
import jax.numpy as jnp


def scaled_norm(tree: Any) -> tuple[jax.Array, jax.Array]:
    """The norm of s g and s, of which the norm of g itself, n / s, may overflow.

    Leaves that are not floating-point do not count. Half precision is squared and
    summed in float32, a complex number counts with its modulus.
    """
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree) if is_inexact(x)]
    wide = any(jnp.finfo(x.dtype).bits > 32 for x in leaves)
    dtype = jnp.float64 if wide else jnp.float32
    square = _sum_of_squares(leaves, jnp.ones((), dtype))
    s = _scale(square)
    # of constants, XLA would square the numbers first: (g s)^2 as g^2 s^2
    again = lambda: _sum_of_squares(jax.lax.optimization_barrier(leaves), s)
    square = jax.lax.cond(s == 1, lambda: square, again)
    zero = square == 0  # where the root has no slope
    root = jnp.sqrt(jnp.where(zero, jnp.ones_like(square), square))
    return jnp.where(zero, jnp.zeros_like(root), root), s


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf holds floating-point or complex numbers."""
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def at_least_float32(tree: Any) -> Any:
    """Half-precision leaves in float32, all others as they are."""
    half = lambda x: is_inexact(x) and jnp.finfo(jnp.result_type(x)).bits < 32
    return jax.tree.map(lambda x: x.astype(jnp.float32) if half(x) else x, tree)


def _sum_of_squares(leaves: list[jax.Array], s: jax.Array) -> jax.Array:
    total = jnp.zeros_like(s)
    for leaf in leaves:
        parts = [leaf.real, leaf.imag] if jnp.iscomplexobj(leaf) else [leaf]
        for part in parts:
            total += jnp.square(part.astype(s.dtype) * s).sum()
    return total


def _scale(square: jax.Array) -> jax.Array:
    """A power of two for numbers whose plain sum of squares is `square`."""
    limit = jnp.finfo(square.dtype).maxexp  # 128 for float32
    power = lambda e: jnp.asarray(2.0**e, square.dtype)
    large = ~(square <= power(3 * limit // 4))  # or infinite, or NaN
    small = square < power(-limit // 2)
    s = jnp.where(large, power(-5 * limit // 8), power(0))
    return jnp.where(small, power(limit // 2), s)
