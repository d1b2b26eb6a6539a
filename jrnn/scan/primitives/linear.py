"""The linear loop of a derivative, forward and transposed, as operations of JAX.

push    tangents in, tangents out
pull    its transpose: cotangents in, cotangents out

Operations of their own, so that what they are compiled to may differ from the plain
programs by which they are derived, batched and transposed. Both carry their program: to
trace it later would be too late for custom rules that read tracers around them.
"""

from collections.abc import Sequence
from itertools import compress
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import ad

from jrnn._programs.operation import (
    Function,
    example,
    lower,
    negated,
    operation,
    replaced,
    transposed,
)
from jrnn._programs.program import cached, call, lifted, opened, trace
from jrnn.scan.cpu.overwrite import call_overwriting
from jrnn.scan.derive.tangent import Derivative
from jrnn.scan.emit.run import run


def push(values: Sequence[Any], rule: Derivative) -> list[Any]:
    """Run the linear step of a derivative.

    Args:
        values: its weights, the first tangents of the carry, and its x.
        rule: the derivative.

    Returns:
        The last tangents of the carry, and those of y.
    """
    return _push_p.bind(*values, rule=rule)


@cached
def _push(rule: Derivative) -> Function:
    def program(*values: Any) -> list[Any]:
        last, dys = run(rule.linear, rule.plan, values)
        return [*last, *dys]

    return jax.jit(program)


def _push_types(*_: Any, rule: Derivative) -> list[Any]:
    carry, ys = rule.linear.outputs()
    return [a.aval for a in carry] + [_over_time(rule, a) for a in ys]


def _pull_instead(cts: Sequence[Any], *inputs: Any, rule: Derivative) -> list[Any]:
    """Cotangents of the inputs of a push that are undefined."""
    moving = [ad.is_undefined_primal(v) for v in inputs]
    used = [not isinstance(ct, ad.Zero) for ct in cts]
    known = list(compress(inputs, negated(moving)))
    program, captured = _pull_program(rule, tuple(moving), tuple(used))
    first_x = len(inputs) - len(rule.linear.inputs()[2])
    given = list(compress(range(len(inputs)), negated(moving)))
    places = lambda some: tuple(
        p for p, i in enumerate(given, len(captured)) if i - first_x in some
    )
    found = _pull_p.bind(
        *captured,
        *known,
        *compress(cts, used),
        program=program,
        spare=places(rule.private),
        shifted=places(rule.shifted),
    )
    return replaced([None] * len(inputs), moving, found)


@cached
def _pull_program(
    rule: Derivative, moving: tuple[bool, ...], used: tuple[bool, ...]
) -> tuple[core.ClosedJaxpr, list[Any]]:
    """The transpose of the push in its `moving` inputs and `used` outputs.

    Its inputs are the tracers that custom rules read, which it returns too, the other
    inputs of the push, and the cotangents of those outputs.
    """
    types, outs = _input_types(rule), _push_types(rule=rule)

    def program(*values: Any) -> list[Any]:
        others = moving.count(False)
        undefined = [ad.UndefinedPrimal(t) for t in types]
        inputs = replaced(undefined, negated(moving), values[:others])
        cts = replaced([None] * len(used), used, values[others:])
        return list(compress(transposed(_push(rule), inputs, cts), moving))

    like = [*compress(types, negated(moving)), *compress(outs, used)]
    return lifted(trace(program, map(example, like)))


@cached
def _pull(program: core.ClosedJaxpr) -> Function:
    return jax.jit(lambda *values: call(program, values))


def _pull_types(*_: Any, program: core.ClosedJaxpr, **__: Any) -> list[Any]:
    return [a.aval for a in opened(program)[0].outvars]


def _input_types(rule: Derivative) -> list[Any]:
    weights, carry, xs = rule.linear.inputs()
    return [v.aval for v in weights + carry] + [_over_time(rule, v) for v in xs]


def _over_time(rule: Derivative, atom: Any) -> Any:
    return core.unmapped_aval(rule.linear.length, 0, atom.aval)


def _overwriting(
    program: core.ClosedJaxpr, spare: tuple[int, ...], shifted: tuple[int, ...]
) -> Function:
    """The same program, needing less memory at a time."""
    return lambda *values: call_overwriting(program, values, spare, shifted)


_push_p = operation("jrnn_push", _push_types, _push)
_pull_p = operation("jrnn_pull", _pull_types, lambda program, **_: _pull(program))
# Elsewhere compilers differ in when they copy an array that a loop writes over.
lower(_pull_p, _overwriting, platform="cpu")
ad.primitive_transposes[_push_p] = _pull_instead
