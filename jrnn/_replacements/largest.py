"""The place of the largest number, as an operation that is two passes on CPUs.

    k = argmax_v x_v    is    m = max_v x_v,   k = min {v : x_v = m}

XLA's argmax is one loop that carries a number and its index together, which CPUs cannot
do for several elements at once; a maximum and a minimum are two loops that take two
thirds to a quarter of its time, but for a few elements.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad

from jrnn._programs.operation import (
    batch_as_itself,
    lower,
    operation,
    without_last_axis,
)
from jrnn._programs.program import is_sharded

# Sizes from which on two passes are faster, of a row and of all rows together.
_WIDE, _MANY = 32, 100


def index_of_largest(x: jax.Array) -> jax.Array:
    """Index of the largest along the last axis: (..., V) to int32 (...).

    The first of equals; -1 in rows that hold NaN.
    """
    if is_sharded(jax.typeof(x)):
        return _argmax(x)[0]
    (index,) = _largest_p.bind(x)
    return index


def _argmax(x: jax.Array) -> list[jax.Array]:
    index = lax.argmax(x, x.ndim - 1, jnp.int32)  # of the NaN, if there is one
    largest = jnp.take_along_axis(x, index[..., None], axis=-1, mode="clip")[..., 0]
    return [jnp.where(jnp.isnan(largest), jnp.int32(-1), index)]


def _in_two_passes(x: jax.Array) -> list[jax.Array]:
    if x.shape[-1] < _WIDE or x.size < _MANY:
        return _argmax(x)
    m = x.max(axis=-1, keepdims=True)
    v = lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    # Where x or m is NaN, x is neither less nor equal; of many rows, XLA's maximum
    # overlooks NaN
    place = jnp.where(x == m, v, jnp.int32(-1))
    return [jnp.where(x < m, x.shape[-1], place).min(axis=-1)]


def _index_type(x: Any) -> list[Any]:
    return [without_last_axis(x, jnp.dtype("int32"))]


def _derive(primals: list[Any], tangents: list[Any]) -> Any:
    outs = _largest_p.bind(*primals)
    return outs, [ad.Zero(jax.typeof(outs[0]).to_tangent_aval())]


_largest_p = operation("jrnn_largest", _index_type, lambda: jax.jit(_argmax))
ad.primitive_jvps[_largest_p] = _derive
batch_as_itself(_largest_p)
lower(_largest_p, lambda: _in_two_passes, platform="cpu")
