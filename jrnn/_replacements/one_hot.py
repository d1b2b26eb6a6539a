"""Rows of a matrix, chosen by the product with one-hot vectors or by a lookup.

    one_hot(k, V) @ w = row k of w, or zeros where k is not among the V

On CPUs the row is looked up: G numbers a token instead of V * G, and the derivative by
w adds one row a token, for as little. Elsewhere the product stays one. They differ
where w is not finite: a lookup does not see 0 * NaN in the other rows.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.interpreters import ad, batching

from jrnn._programs.operation import lower, operation
from jrnn._programs.program import is_symbolic


def rows(tokens: jax.Array, w: jax.Array, dtype: Any, precision: Any) -> jax.Array:
    """Rows of w (V, G) for integer tokens (...): (..., G) of `dtype`."""
    return _rows_p.bind(tokens, w, dtype=dtype, precision=precision, batch=0)[0]


def _over_leading_axes(f: Callable, times: int) -> Callable:
    """`f` over so many leading axes of all its operands."""
    for _ in range(times):
        f = jax.vmap(f)
    return f


def _product(dtype: Any, precision: Any, batch: int) -> Callable:
    """The rows (..., G) of w (V, G) for tokens (...), as a product."""

    def rows(tokens: Any, w: Any) -> list[Any]:
        x = jax.nn.one_hot(tokens.reshape(-1), w.shape[0], dtype=w.dtype)  # (N, V)
        made = jnp.matmul(x, w, precision=precision, preferred_element_type=dtype)
        return [made.reshape(*tokens.shape, w.shape[1])]

    return _over_leading_axes(rows, batch)


def _gather(dtype: Any, precision: Any, batch: int) -> Callable:
    """The same as a lookup."""
    del precision

    def rows(tokens: Any, w: Any) -> list[Any]:
        tokens = _row_numbers(tokens, w.shape[0])
        if is_symbolic(tokens.shape):
            found = jnp.take(w, tokens, axis=0, mode="fill", fill_value=0)
            return [found.astype(dtype)]
        row = lax.gather(
            w,
            tokens.reshape(-1, 1),
            # (N, 1, G): without an axis of length 1, XLA's CPU code copies all rows
            lax.GatherDimensionNumbers(
                offset_dims=(1, 2), collapsed_slice_dims=(), start_index_map=(0,)
            ),
            slice_sizes=(1, w.shape[1]),
            mode=lax.GatherScatterMode.FILL_OR_DROP,
            fill_value=0,
        )
        return [row.reshape(*tokens.shape, w.shape[1]).astype(dtype)]

    return _over_leading_axes(rows, batch)


def _row_numbers(tokens: Any, size: int) -> Any:
    """Tokens as int32, in which JAX looks rows up; those out of range stay so."""
    if jnp.iinfo(tokens.dtype).bits < 32 or tokens.dtype == jnp.int32:
        return tokens.astype(jnp.int32)
    known = (tokens >= 0) & (tokens < size)
    return jnp.where(known, tokens, size).astype(jnp.int32)


def _sums(rows: Callable, size: int, of: Any, batch: int, **params: Any) -> Callable:
    """The transpose of `rows` in w: each cotangent (G,) added to its token's row."""

    def sums(tokens: Any, ct: Any) -> list[Any]:
        find = lambda w: rows(**params, batch=0)(tokens, w)
        like = jax.ShapeDtypeStruct((size, ct.shape[-1]), of)
        return jax.linear_transpose(find, like)([ct])

    return _over_leading_axes(sums, batch)


def _rows_type(tokens: Any, w: Any, dtype: Any, batch: int, **_: Any) -> list[Any]:
    shape = (*tokens.shape, w.shape[-1])
    return [w.update(shape=shape, dtype=dtype, weak_type=False)]


def _sums_type(
    tokens: Any, ct: Any, size: int, of: Any, batch: int, **_: Any
) -> list[Any]:
    shape = (*tokens.shape[:batch], size, ct.shape[-1])
    return [ct.update(shape=shape, dtype=of, weak_type=False)]


def _differentiate(made: core.Primitive) -> Callable:
    """The derivative of an operation that is linear in its second operand."""

    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        outs = made.bind(*primals, **params)
        if isinstance(tangents[1], ad.Zero):
            return outs, [ad.Zero(jax.typeof(o).to_tangent_aval()) for o in outs]
        return outs, made.bind(primals[0], tangents[1], **params)

    return rule


def _transpose_rows(
    cts: Sequence[Any], tokens: Any, w: Any, dtype: Any, precision: Any, batch: int
) -> list[Any]:
    if isinstance(cts[0], ad.Zero):
        return [None, ad.Zero(w.aval)]
    options = {"dtype": dtype, "precision": precision, "batch": batch}
    size, of = w.aval.shape[-2], w.aval.dtype
    return [None, *_sums_p.bind(tokens, cts[0], size=size, of=of, **options)]


def _transpose_sums(
    cts: Sequence[Any], tokens: Any, ct: Any, size: int, of: Any, **options: Any
) -> list[Any]:
    del size, of
    if isinstance(cts[0], ad.Zero):
        return [None, ad.Zero(ct.aval)]
    return [None, *_rows_p.bind(tokens, cts[0], **options)]


def _batch(made: core.Primitive) -> Callable:
    def rule(values: Sequence[Any], axes: Sequence[Any], **params: Any) -> Any:
        pairs = list(zip(values, axes, strict=True))
        (size,) = {v.shape[axis] for v, axis in pairs if axis is not None}
        if made is _rows_p and axes[1] is None and not params["batch"]:
            tokens = batching.bdim_at_front(values[0], axes[0], size)
            return made.bind(tokens, values[1], **params), [0]
        front = [batching.bdim_at_front(v, axis, size) for v, axis in pairs]
        params["batch"] += 1
        return made.bind(*front, **params), [0]

    return rule


_rows_p = operation("jrnn_rows", _rows_type, _product)
_sums_p = operation("jrnn_row_sums", _sums_type, functools.partial(_sums, _product))
lower(_rows_p, _gather, platform="cpu")
lower(_sums_p, functools.partial(_sums, _gather), platform="cpu")
ad.primitive_transposes[_rows_p] = _transpose_rows
ad.primitive_transposes[_sums_p] = _transpose_sums
for made in (_rows_p, _sums_p):
    ad.primitive_jvps[made] = _differentiate(made)
    batching.primitive_batchers[made] = _batch(made)
