"""Operations of JAX that stand for a plain function.

What an operation is compiled to, or how it is batched, may then differ from the plain
function by which all else about it is defined.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import ad, batching, mlir

try:  # JAX has no public way to say what its checks find inside an operation
    from jax._src.checkify import Error, checkify_jaxpr, error_checks
except ImportError:
    Error, checkify_jaxpr, error_checks = None, None, {}

Function = Callable[..., list[Any]]


def operation(
    name: str, types: Callable[..., list[Any]], plain: Callable[..., Function]
) -> core.Primitive:
    """An operation that is evaluated, derived, batched and transposed as `plain` is.

    Args:
        name: of the operation.
        types: of its results, from those of its operands and its parameters.
        plain: the function that it stands for, from its parameters; it returns a list.
    """
    made = core.Primitive(name)
    made.multiple_results = True
    made.def_impl(lambda *values, **params: plain(**params)(*values))
    made.def_abstract_eval(types)

    def derive(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        moving = [not isinstance(t, ad.Zero) for t in tangents]
        moved = lambda *new: plain(**params)(*replaced(primals, moving, new))
        select = lambda values: list(compress(values, moving))
        return jax.jvp(moved, select(primals), select(tangents))

    def batch(values: Sequence[Any], axes: Sequence[Any], **params: Any) -> Any:
        outs = jax.vmap(plain(**params), axes)(*values)
        return outs, [0] * len(outs)

    def transpose(cts: Sequence[Any], *inputs: Any, **params: Any) -> list[Any]:
        cts = [None if isinstance(ct, ad.Zero) else ct for ct in cts]
        return transposed(plain(**params), inputs, cts)

    ad.primitive_jvps[made] = derive
    batching.primitive_batchers[made] = batch
    ad.primitive_transposes[made] = transpose
    lower(made, plain)
    check_inside(made, plain)
    return made


def check_inside(made: core.Primitive, plain: Callable[..., Function]) -> None:
    """Let `jax.experimental.checkify` check the plain function of an operation."""

    def rule(*args: Any, **params: Any) -> Any:
        # newer versions of JAX pass a context ahead of the error
        at = next(i for i, value in enumerate(args) if isinstance(value, Error))
        context, error, enabled, *values = args[:at], *args[at:]
        checked = jax.make_jaxpr(plain(**params))(*values)
        return checkify_jaxpr(*context, checked, enabled, error, *values)

    error_checks[made] = rule


def batch_as_itself(made: core.Primitive) -> None:
    """Batch an operation that takes any leading axes, the same for all its operands."""

    def batch(values: Sequence[Any], axes: Sequence[Any], **params: Any) -> Any:
        pairs = list(zip(values, axes, strict=True))
        (size,) = {v.shape[axis] for v, axis in pairs if axis is not None}
        front = [batching.bdim_at_front(v, axis, size) for v, axis in pairs]
        outs = made.bind(*front, **params)
        return outs, [0] * len(outs)

    batching.primitive_batchers[made] = batch


def lower(made: core.Primitive, to: Callable[..., Function], **where: str) -> None:
    """Compile an operation to the function `to(**parameters)`, everywhere or `where`.

    Args:
        made: the operation.
        to: from its parameters to a function like its plain one.
        where: `platform`, if it is for one.
    """
    lowered = lambda *values, **params: to(**params)(*values)
    rule = mlir.lower_fun(lowered, multiple_results=True)
    mlir.register_lowering(made, rule, **where)


def transposed(f: Function, inputs: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """Cotangents of those `inputs` of `f` that are undefined; None for the others.

    `cts` has None for outputs without a cotangent.
    """
    moving = [ad.is_undefined_primal(v) for v in inputs]
    used = [ct is not None for ct in cts]
    like = [example(v.aval) for v in compress(inputs, moving)]

    def forward(*tangents: Any) -> list[Any]:
        return list(compress(f(*replaced(inputs, moving, tangents)), used))

    found = jax.linear_transpose(forward, *like)(list(compress(cts, used)))
    return replaced([None] * len(inputs), moving, found)


def example(aval: Any) -> jax.ShapeDtypeStruct:
    """The shape, dtype and weak type of an abstract value."""
    return jax.ShapeDtypeStruct(
        aval.shape, aval.dtype, weak_type=getattr(aval, "weak_type", False)
    )


def replaced(values: Iterable[Any], on: Iterable[bool], by: Iterable[Any]) -> list:
    """`values`, those that are `on` replaced in order."""
    new = iter(by)
    return [next(new) if flag else v for v, flag in zip(values, on, strict=True)]


def negated(flags: Iterable[bool]) -> list[bool]:
    """The opposite of each."""
    return [not flag for flag in flags]
