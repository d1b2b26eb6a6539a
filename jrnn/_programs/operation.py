"""Operations of JAX that stand for a plain function.

What an operation is compiled to, or how it is batched, may then differ from the plain
function by which all else about it is defined.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from jrnn._programs.program import Function, replace_where, select, transpose_of

try:  # JAX has no public way to say what its checks find inside an operation
    from jax._src.checkify import Error, checkify_jaxpr, error_checks
except ImportError:
    Error, checkify_jaxpr, error_checks = None, None, {}


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
        moved = lambda *new: plain(**params)(*replace_where(primals, moving, new))
        return jax.jvp(moved, select(primals, moving), select(tangents, moving))

    def batch(values: Sequence[Any], axes: Sequence[Any], **params: Any) -> Any:
        outs = jax.vmap(plain(**params), axes)(*values)
        return outs, [0] * len(outs)

    def transpose(cts: Sequence[Any], *inputs: Any, **params: Any) -> list[Any]:
        cts = [None if isinstance(ct, ad.Zero) else ct for ct in cts]
        return transpose_of(plain(**params), inputs, cts)

    ad.primitive_jvps[made] = derive
    batching.primitive_batchers[made] = batch
    ad.primitive_transposes[made] = transpose
    lower(made, plain)
    check_inside(made, plain)
    return made


def check_inside(made: core.Primitive, plain: Callable[..., Function]) -> None:
    """Let `jax.experimental.checkify` check the plain function of an operation."""
    error_type, check = Error, checkify_jaxpr
    if error_type is None or check is None:
        return

    def rule(*args: Any, **params: Any) -> Any:
        # newer versions of JAX pass a context ahead of the error
        at = next(i for i, value in enumerate(args) if isinstance(value, error_type))
        context, error, enabled, *values = args[:at], *args[at:]
        checked = jax.make_jaxpr(plain(**params))(*values)
        return check(*context, checked, enabled, error, *values)

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


def lower(
    made: core.Primitive, to: Callable[..., Function], platform: str | None = None
) -> None:
    """Compile an operation to the function `to(**parameters)`.

    Args:
        made: the operation.
        to: from its parameters to a function like its plain one.
        platform: the one that this is for; every one if None.
    """
    lowered = lambda *values, **params: to(**params)(*values)
    rule = mlir.lower_fun(lowered, multiple_results=True)
    mlir.register_lowering(made, rule, platform=platform)


def without_last_axis(aval: Any, dtype: Any) -> Any:
    """The type of an array with all axes but the last of another, where those are."""
    place = aval.sharding.update(spec=aval.sharding.spec[:-1])
    shape = aval.shape[:-1]
    return aval.update(shape=shape, dtype=dtype, weak_type=False, sharding=place)
