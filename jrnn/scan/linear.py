"""The linear loop of a derivative, forward and transposed, as operations of JAX.

push    tangents in, tangents out
pull    its transpose: cotangents in, cotangents out

Operations of their own, so that what they are compiled to may differ from the plain
programs by which they are derived, batched and transposed.
"""

import functools
from collections.abc import Sequence
from itertools import compress
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import ad

from jrnn._operation import (
    Function,
    example,
    lower,
    negated,
    operation,
    replaced,
    transposed,
)
from jrnn.scan.fission import Step, run
from jrnn.scan.overwrite import call_overwriting
from jrnn.scan.program import trace
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
        inputs = replaced(undefined, negated(moving), values[:others])
        cts = replaced([None] * len(used), used, values[others:])
        return list(compress(transposed(_push(step, active), inputs, cts), moving))

    return jax.jit(program)


@functools.lru_cache(maxsize=1024)
def _overwriting(step: Step, active: Flags, moving: Flags, used: Flags) -> Function:
    """The same program, needing less memory at a time."""
    rule = derivative(step, active)
    inputs, outs = _input_types(step, active), _push_types(step, active)
    like = [*compress(inputs, negated(moving)), *compress(outs, used)]
    program = trace(_pull(step, active, moving, used), map(example, like))
    first_x = len(inputs) - len(rule.linear.inputs()[2])
    given = list(compress(range(len(inputs)), negated(moving)))
    places = lambda known: [p for p, i in enumerate(given) if i - first_x in known]
    spare, shifted = places(rule.private), places(rule.shifted)
    return lambda *values: call_overwriting(program, values, spare, shifted)


def _pull_types(step: Step, active: Flags, moving: Flags, used: Flags) -> list[Any]:
    del used
    return list(compress(_input_types(step, active), moving))


def _input_types(step: Step, active: Flags) -> list[Any]:
    weights, carry, xs = derivative(step, active).linear.inputs()
    return [v.aval for v in weights + carry] + [_over_time(step, v) for v in xs]


def _over_time(step: Step, atom: Any) -> Any:
    return core.unmapped_aval(step.length, 0, atom.aval)


_push_p = operation("jrnn_push", lambda *_, **given: _push_types(**given), _push)
_pull_p = operation("jrnn_pull", lambda *_, **given: _pull_types(**given), _pull)
# Elsewhere compilers differ in when they copy an array that a loop writes over.
lower(_pull_p, _overwriting, platform="cpu")


def _pull_instead(cts: Sequence[Any], *inputs: Any, **params: Any) -> list[Any]:
    moving = tuple(ad.is_undefined_primal(v) for v in inputs)
    used = tuple(not isinstance(ct, ad.Zero) for ct in cts)
    known, given = compress(inputs, negated(moving)), compress(cts, used)
    found = _pull_p.bind(*known, *given, moving=moving, used=used, **params)
    return replaced([None] * len(inputs), moving, found)


ad.primitive_transposes[_push_p] = _pull_instead
