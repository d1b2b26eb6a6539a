"""The linear loop of a derivative, forward and transposed, as operations of JAX.

push    tangents in, tangents out
pull    its transpose: cotangents in, cotangents out

Operations of their own, so that what they are compiled to may differ from the plain
programs by which they are derived, batched and transposed.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from jrnn.scan.fission import Step, run
from jrnn.scan.overwrite import call_overwriting
from jrnn.scan.program import Function, example, trace
from jrnn.scan.tangent import derivative

Flags = tuple[bool, ...]


def push(values: Sequence[Any], step: Step, active: Flags) -> list[Any]:
    """Run the linear step of `derivative(step, active)`.

    Args:
        values: its weights, the first tangents of the carry, and its x.
        step: the step.
        active: inputs of the step that have a tangent.

    Returns:
        The last tangents of the carry, and those of y.
    """
    return _push_p.bind(*values, step=step, active=active)


@functools.lru_cache(maxsize=1024)
def _push(step: Step, active: Flags) -> Function:
    rule = derivative(step, active)
    # Without it, what the loop computes again would be computed ahead and stored.
    again = functools.partial(jax.checkpoint, prevent_cse=False)
    wrap = again if rule.recomputes else lambda body: body

    def program(*values: Any) -> list[Any]:
        last, dys = run(rule.linear, rule.plan, values, wrap, linear=True)
        return [*last, *dys]

    return jax.jit(program)


def _push_types(step: Step, active: Flags) -> list[Any]:
    carry, ys = derivative(step, active).linear.outputs()
    return [a.aval for a in carry] + [_over_time(step, a) for a in ys]


@functools.lru_cache(maxsize=1024)
def _pull(step: Step, active: Flags, moving: Flags, used: Flags) -> Function:
    """The transpose of the push in its `moving` inputs and `used` outputs.

    Its inputs are the other inputs of the push, then the cotangents of those outputs.
    """
    types = _input_types(step, active)

    def program(*values: Any) -> list[Any]:
        others = moving.count(False)
        undefined = [ad.UndefinedPrimal(t) for t in types]
        inputs = _replaced(undefined, _not(moving), values[:others])
        cts = _replaced([None] * len(used), used, values[others:])
        return list(compress(_transposed(_push(step, active), inputs, cts), moving))

    return jax.jit(program)


@functools.lru_cache(maxsize=1024)
def _overwriting(step: Step, active: Flags, moving: Flags, used: Flags) -> Function:
    """The same program, its loop writing over what only it reads."""
    rule = derivative(step, active)
    inputs, outs = _input_types(step, active), _push_types(step, active)
    like = [*compress(inputs, _not(moving)), *compress(outs, used)]
    program = trace(_pull(step, active, moving, used), map(example, like))
    first_x = len(inputs) - len(rule.linear.inputs()[2])
    places = compress(range(len(inputs)), _not(moving))
    private = {first_x + i for i in rule.private}
    spare = [i for i, place in enumerate(places) if place in private]
    return lambda *values: call_overwriting(program, values, spare)


def _pull_types(step: Step, active: Flags, moving: Flags, used: Flags) -> list[Any]:
    del used
    return list(compress(_input_types(step, active), moving))


def _input_types(step: Step, active: Flags) -> list[Any]:
    weights, carry, xs = derivative(step, active).linear.inputs()
    return [v.aval for v in weights + carry] + [_over_time(step, v) for v in xs]


def _over_time(step: Step, atom: Any) -> Any:
    return core.unmapped_aval(step.length, 0, atom.aval)


def _transposed(f: Function, inputs: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """Cotangents of those `inputs` of `f` that are undefined; None for the others.

    `cts` has None for outputs without a cotangent.
    """
    moving = [ad.is_undefined_primal(v) for v in inputs]
    used = [ct is not None for ct in cts]
    like = [example(v.aval) for v in compress(inputs, moving)]

    def forward(*tangents: Any) -> list[Any]:
        return list(compress(f(*_replaced(inputs, moving, tangents)), used))

    found = jax.linear_transpose(forward, *like)(list(compress(cts, used)))
    return _replaced([None] * len(inputs), moving, found)


def _replaced(values: Iterable[Any], on: Iterable[bool], by: Iterable[Any]) -> list:
    """`values`, those that are `on` replaced in order."""
    new = iter(by)
    return [next(new) if flag else v for v, flag in zip(values, on, strict=True)]


def _not(flags: Iterable[bool]) -> list[bool]:
    return [not flag for flag in flags]


def _operation(
    name: str, types: Callable[..., list[Any]], plain: Callable[..., Function]
) -> core.Primitive:
    """An operation that is evaluated, derived, batched and transposed as `plain` is.

    Args:
        name: of the operation.
        types: of its results, from its parameters.
        plain: the function that it stands for, from its parameters.
    """
    operation = core.Primitive(name)
    operation.multiple_results = True
    operation.def_impl(lambda *values, **params: plain(**params)(*values))
    operation.def_abstract_eval(lambda *values, **params: types(**params))

    def derive(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        moving = [not isinstance(t, ad.Zero) for t in tangents]
        moved = lambda *new: plain(**params)(*_replaced(primals, moving, new))
        select = lambda values: list(compress(values, moving))
        return jax.jvp(moved, select(primals), select(tangents))

    def batch(values: Sequence[Any], axes: Sequence[Any], **params: Any) -> Any:
        outs = jax.vmap(plain(**params), axes)(*values)
        return outs, [0] * len(outs)

    def transpose(cts: Sequence[Any], *inputs: Any, **params: Any) -> list[Any]:
        cts = [None if isinstance(ct, ad.Zero) else ct for ct in cts]
        return _transposed(plain(**params), inputs, cts)

    ad.primitive_jvps[operation] = derive
    batching.primitive_batchers[operation] = batch
    ad.primitive_transposes[operation] = transpose
    return operation


def _lower(
    operation: core.Primitive, to: Callable[..., Function], **where: str
) -> None:
    lowered = lambda *values, **params: to(**params)(*values)
    rule = mlir.lower_fun(lowered, multiple_results=True)
    mlir.register_lowering(operation, rule, **where)


_push_p = _operation("jrnn_push", _push_types, _push)
_pull_p = _operation("jrnn_pull", _pull_types, _pull)
_lower(_push_p, _push)
_lower(_pull_p, _pull)
# Elsewhere compilers differ in when they copy an array that a loop writes over.
_lower(_pull_p, _overwriting, platform="cpu")


def _pull_instead(cts: Sequence[Any], *inputs: Any, **params: Any) -> list[Any]:
    moving = tuple(ad.is_undefined_primal(v) for v in inputs)
    used = tuple(not isinstance(ct, ad.Zero) for ct in cts)
    known, given = compress(inputs, _not(moving)), compress(cts, used)
    found = _pull_p.bind(*known, *given, moving=moving, used=used, **params)
    return _replaced([None] * len(inputs), moving, found)


ad.primitive_transposes[_push_p] = _pull_instead
