"""Products with one-hot vectors, found in a step and made an operation of their own.

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
from jrnn._programs.program import (
    Atom,
    Environment,
    Equation,
    Variable,
    is_variable,
    opened,
    read,
    rewritten,
    symbolic,
)


def with_lookups(program: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """A flat program, its products of one-hot vectors with a matrix made lookups."""
    eqns = opened(program)[0].eqns
    made_by = {o: eqn for eqn in eqns for o in eqn.outvars}
    instead = {}
    for eqn in eqns:
        if eqn.primitive is lax.dot_general_p and _contracts_last_with_first(eqn):
            tokens = _tokens(eqn.invars[0], made_by)
            if tokens is not None:
                instead[id(eqn)] = functools.partial(_look_up, eqn, tokens)
    return rewritten(program, instead)


def _look_up(eqn: Equation, tokens: Variable, env: Environment) -> Environment:
    dtype, precision = eqn.outvars[0].aval.dtype, eqn.params["precision"]
    w = read(env, eqn.invars[1])
    made = _rows_p.bind(env[tokens], w, dtype=dtype, precision=precision, batch=0)
    return dict(zip(eqn.outvars, made, strict=True))


def _nested(f: Callable, times: int) -> Callable:
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

    return _nested(rows, batch)


def _gather(dtype: Any, precision: Any, batch: int) -> Callable:
    """The same as a lookup."""
    del precision

    def rows(tokens: Any, w: Any) -> list[Any]:
        tokens = _row_numbers(tokens, w.shape[0])
        if symbolic(tokens.shape):
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

    return _nested(rows, batch)


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

    return _nested(sums, batch)


def _rows_type(tokens: Any, w: Any, dtype: Any, batch: int, **_: Any) -> list[Any]:
    shape = (*tokens.shape, w.shape[-1])
    return [w.update(shape=shape, dtype=dtype, weak_type=False)]


def _sums_type(
    tokens: Any, ct: Any, size: int, of: Any, batch: int, **_: Any
) -> list[Any]:
    shape = (*tokens.shape[:batch], size, ct.shape[-1])
    return [ct.update(shape=shape, dtype=of, weak_type=False)]


def _derive(made: core.Primitive) -> Callable:
    """The derivative of an operation that is linear in its second operand."""

    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        outs = made.bind(*primals, **params)
        if isinstance(tangents[1], ad.Zero):
            return outs, [ad.Zero(jax.typeof(o).to_tangent_aval()) for o in outs]
        return outs, made.bind(primals[0], tangents[1], **params)

    return rule


def _rows_transposed(
    cts: Sequence[Any], tokens: Any, w: Any, dtype: Any, precision: Any, batch: int
) -> list[Any]:
    if isinstance(cts[0], ad.Zero):
        return [None, ad.Zero(w.aval)]
    options = {"dtype": dtype, "precision": precision, "batch": batch}
    size, of = w.aval.shape[-2], w.aval.dtype
    return [None, *_sums_p.bind(tokens, cts[0], size=size, of=of, **options)]


def _sums_transposed(
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
ad.primitive_transposes[_rows_p] = _rows_transposed
ad.primitive_transposes[_sums_p] = _sums_transposed
for made in (_rows_p, _sums_p):
    ad.primitive_jvps[made] = _derive(made)
    batching.primitive_batchers[made] = _batch(made)


def _contracts_last_with_first(eqn: Equation) -> bool:
    x, w = eqn.invars
    (x_axes, w_axes), (batch, _) = eqn.params["dimension_numbers"]
    matrix = is_variable(x) and w.aval.ndim == 2 and not batch
    return matrix and tuple(x_axes) == (x.aval.ndim - 1,) and tuple(w_axes) == (0,)


def _tokens(atom: Atom, made_by: dict[Variable, Equation]) -> Variable | None:
    """The k where `atom` is made as `(k == iota).astype(float)`."""
    cast = made_by.get(atom)
    if cast is None or cast.primitive.name != "convert_element_type":
        return None
    compared = made_by.get(cast.invars[0])
    if compared is None or compared.primitive.name != "eq":
        return None
    places = [a for a in compared.invars if _counts(a, made_by)]
    others = [a for a in compared.invars if not _counts(a, made_by)]
    if len(places) != 1 or len(others) != 1:
        return None
    shape = atom.aval.shape[:-1]
    token = others[0]
    while is_variable(token):
        if token.aval.shape == shape:
            return token if jnp.issubdtype(token.aval.dtype, jnp.integer) else None
        eqn = made_by.get(token)
        if eqn is None or not _repeats_along_last(eqn):
            return None
        token = eqn.invars[0]
    return None


def _counts(atom: Atom, made_by: dict[Variable, Equation]) -> bool:
    """Whether `atom` is 0, 1, 2, ... along its last axis, and never wraps."""
    last = atom.aval.ndim - 1
    if not jnp.issubdtype(atom.aval.dtype, jnp.integer):
        return False
    size = atom.aval.shape[-1] if atom.aval.ndim else 0
    most = min(jnp.iinfo(atom.aval.dtype).max, jnp.iinfo(jnp.int32).max)
    if not isinstance(size, int) or not 0 < size <= most + 1:
        return False
    while is_variable(atom) and atom in made_by:
        eqn = made_by[atom]
        if eqn.primitive.name == "iota":
            return eqn.params["dimension"] == last
        if eqn.primitive.name != "broadcast_in_dim":
            return False
        axes = eqn.params["broadcast_dimensions"]
        atom = eqn.invars[0]
        whole = axes and atom.aval.shape[-1] == eqn.params["shape"][last]
        if not whole or axes[-1] != last:
            return False
        last = len(axes) - 1
    return False


def _repeats_along_last(eqn: Equation) -> bool:
    """Whether the result is the operand, the same all along a last axis."""
    (x,), (out,) = eqn.invars, eqn.outvars
    if eqn.primitive.name == "broadcast_in_dim":
        axes = tuple(eqn.params["broadcast_dimensions"])
        lead = tuple(range(out.aval.ndim - 1))
        same = x.aval.shape[: len(lead)] == out.aval.shape[:-1]
        with_last = axes == (*lead, out.aval.ndim - 1) and x.aval.shape[-1:] == (1,)
        return same and (axes == lead or with_last)
    return eqn.primitive.name == "reshape" and out.aval.shape == (*x.aval.shape, 1)
