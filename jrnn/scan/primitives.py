"""The engine's loops as operations of JAX: how to evaluate, derive and batch them.

    jrnn_scan    weights, first carry and x in; last carry and y out
    jrnn_push    its derivative, the pushforward: tangents in, tangents out
    jrnn_pull    the transpose of that, the pullback: cotangents in, cotangents out

The loop is an operation of its own, rather than a function with a custom derivative,
because only this sees a batch as what it is: `vmap` of the loop is the loop of the
`vmap` of its step, with time leading, before anything is split. Its derivative and the
transpose are operations too, so that they may be compiled to something else than the
plain programs by which they are derived, batched and transposed. Both carry their
program, as custom rules may read tracers that are gone when it is traced later.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.interpreters import ad, batching, mlir, partial_eval

from jrnn._programs.operation import check_inside, lower, operation
from jrnn._programs.program import (
    Equation,
    Function,
    Inputs,
    Program,
    Step,
    Variable,
    cached,
    call,
    closure_convert,
    dependents,
    example,
    is_differentiable,
    is_variable,
    jaxpr_of,
    lax_scan,
    negate,
    replace_where,
    select,
    trace,
    transpose_of,
)
from jrnn._setting import setting
from jrnn.scan.cpu.overwrite import evaluate_in_place
from jrnn.scan.derive import Derivative, LinearInputs, derivative
from jrnn.scan.emit import run
from jrnn.scan.plan import plan

scan_p = core.Primitive("jrnn_scan")
scan_p.multiple_results = True


def recurrence(step: Step, values: Sequence[Any]) -> list[Any]:
    """Take all steps: weights, first carry and x in; last carry and y out."""
    return scan_p.bind(*values, step=step)


def _evaluate(*values: Any, step: Step, cpu: bool = False) -> list[Any]:
    carry, ys = run(step, plan(step), values, cpu=cpu)
    return [*carry, *ys]


@cached
def _compile(step: Step) -> Callable[..., list[Any]]:
    return jax.jit(functools.partial(scan_p.bind, step=step))


@scan_p.def_impl
def _evaluate_now(*values: Any, step: Step) -> list[Any]:
    if setting("jax_debug_nans") or setting("jax_debug_infs"):
        # called to find the step and the operation at fault: jax.lax.scan knows how
        return in_lax_scan(step)(*values)
    return _compile(step)(*values)


@scan_p.def_abstract_eval
def _shapes(*values: Any, step: Step) -> list[Any]:
    del values
    carry, ys = step.outputs()
    stacked = [core.unmapped_aval(step.length, 0, a.aval) for a in ys]
    return [a.aval for a in carry] + stacked


mlir.register_lowering(scan_p, mlir.lower_fun(_evaluate, multiple_results=True))
_evaluate_on_cpu = functools.partial(_evaluate, cpu=True)
mlir.register_lowering(
    scan_p, mlir.lower_fun(_evaluate_on_cpu, multiple_results=True), platform="cpu"
)


def _differentiate(
    primals: Sequence[Any], tangents: Sequence[Any], *, step: Step
) -> tuple[list[Any], list[Any]]:
    """The loop of the extended step, then that of the linear step."""
    given = [not isinstance(t, ad.Zero) for t in tangents]
    active = step.propagate(given, through=is_differentiable)
    rule = derivative(step, active)
    outs = recurrence(rule.extended, [*rule.captured, *primals])
    carry, ys, saved = rule.as_extended_outputs(outs)
    primal, tangent, on = map(step.as_inputs, (primals, tangents, active))
    tangent = Inputs(*map(_instantiate, tangent, on))
    xs_and_ys = [*primal.xs, *ys]
    dcarry_and_dys = push(
        LinearInputs(
            weights=[*rule.captured, *primal.weights],
            dweights=tangent.weights,
            dcarry=tangent.carry,
            shared=[xs_and_ys[i] for i in rule.shared],
            saved=saved,
            dxs=tangent.xs,
        ),
        rule,
    )
    outs = [*carry, *ys]
    zeros = [ad.Zero(jax.typeof(out).to_tangent_aval()) for out in outs]
    return outs, replace_where(zeros, rule.moving.flat(), dcarry_and_dys)


def _instantiate(tangents: list[Any], on: list[bool]) -> list[Any]:
    """Those tangents that are `on` as arrays, though they be zero."""
    return [ad.instantiate_zeros(t) for t in select(tangents, on)]


ad.primitive_jvps[scan_p] = _differentiate


def in_lax_scan(step: Step) -> Function:
    """The loop as `jax.lax.scan` runs it."""

    def loop(*values: Any) -> list[Any]:
        weights, carry, xs = step.as_inputs(values)

        def body(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            outs = call(step.program, [*weights, *carry, *x])
            return outs[: step.carry], outs[step.carry :]

        options = {"reverse": step.reverse, "unroll": step.unroll}
        last, ys = lax_scan(body, carry, xs, step.length, **options)
        return [*last, *ys]

    return loop


def _transpose(cts: Sequence[Any], *inputs: Any, step: Step) -> list[Any]:
    cts = [None if isinstance(ct, ad.Zero) else ct for ct in cts]
    return transpose_of(in_lax_scan(step), inputs, cts)


ad.primitive_transposes[scan_p] = _transpose
check_inside(scan_p, in_lax_scan)


def _recompute_or_save(
    policy: Callable, unknown: Sequence[bool], there: Sequence[bool], eqn: Equation
) -> tuple[Equation | None, Equation | None, list[bool], list[bool], list[Variable]]:
    """What `jax.checkpoint` keeps of a loop: all that it returns, or nothing.

    It keeps all if the policy would save each product of matrices of the step.

    Args:
        policy: from an operation, the types of its operands and its parameters.
        unknown: inputs that only the backward pass knows.
        there: inputs that the backward pass has already.
        eqn: the loop.

    Returns:
        The loop in the forward and in the backward pass, the flags of its outputs like
        those of its inputs, and inputs that the backward pass needs besides.
    """
    count = len(eqn.outvars)
    products = [
        e
        for e in jaxpr_of(eqn.params["step"].program).eqns
        if e.primitive is lax.dot_general_p
    ]
    saves = lambda e: policy(e.primitive, *(a.aval for a in e.invars), **e.params)
    saved = products and all(map(_says_save, map(saves, products)))
    if saved and not any(unknown):
        return eqn, None, [False] * count, [False] * count, []
    missing = zip(eqn.invars, there, strict=True)
    needs = [a for a, have in missing if is_variable(a) and not have]
    if any(unknown):
        return None, eqn, [True] * count, [True] * count, needs
    return eqn, eqn, [False] * count, [True] * count, needs


def _says_save(answer: Any) -> bool:
    return answer is True or type(answer).__name__ == "SaveableType"


partial_eval.partial_eval_jaxpr_custom_rules[scan_p] = _recompute_or_save


def _batch(
    values: Sequence[Any], axes: Sequence[int | None], *, step: Step
) -> tuple[list[Any], list[int | None]]:
    mapped = step.propagate(tuple(axis is not None for axis in axes))
    (size,) = {v.shape[a] for v, a in zip(values, axes, strict=True) if a is not None}
    batched, out_mapped = _batched_step(step, mapped, size)
    outside = step.weights + step.carry  # the others have time leading
    values = [
        _move(v, axis, int(i >= outside), size) if on else v
        for i, (v, axis, on) in enumerate(zip(values, axes, mapped, strict=True))
    ]
    outs = scan_p.bind(*values, step=batched)
    places = [0] * step.carry + [1] * (len(outs) - step.carry)
    out_axes = [
        place if on else None for place, on in zip(places, out_mapped, strict=True)
    ]
    return outs, out_axes


def _move(value: Any, axis: int | None, place: int, size: int) -> Any:
    if axis is None:
        shape = (size, *value.shape)
        return jnp.moveaxis(jnp.broadcast_to(value, shape), 0, place)
    return jnp.moveaxis(value, axis, place)


@cached
def _batched_step(
    step: Step, mapped: tuple[bool, ...], size: int
) -> tuple[Step, list[bool]]:
    jaxpr = jaxpr_of(step.program)
    reached = dependents(jaxpr.eqns, select(jaxpr.invars, mapped))
    carry, ys = step.as_inputs(mapped).carry, step.outputs().ys
    out_mapped = [*carry, *(is_variable(a) and a in reached for a in ys)]
    axes = lambda flags: [0 if on else None for on in flags]
    like = [
        _batched_example(example(v.aval), size) if on else example(v.aval)
        for v, on in zip(jaxpr.invars, mapped, strict=True)
    ]
    batched = jax.vmap(
        lambda *args: call(step.program, args),
        in_axes=axes(mapped),
        out_axes=axes(out_mapped),
    )
    return step._replace(program=trace(batched, like)), out_mapped


def _batched_example(one: jax.ShapeDtypeStruct, size: int) -> jax.ShapeDtypeStruct:
    shape = (size, *one.shape)
    return jax.ShapeDtypeStruct(shape, one.dtype, weak_type=one.weak_type)


batching.primitive_batchers[scan_p] = _batch


# The derivative -----------------------------------------------------------------------


def push(inputs: LinearInputs, rule: Derivative) -> list[Any]:
    """Run the linear step of a derivative.

    Args:
        inputs: what it reads; what differs from step to step with time leading.
        rule: the derivative.

    Returns:
        The last tangents of the carry, and those of y.
    """
    return _push_p.bind(*jax.tree.leaves(inputs), rule=rule)


@cached
def _push(rule: Derivative) -> Function:
    def program(*values: Any) -> list[Any]:
        last, dys = run(rule.linear, rule.plan, values)
        return [*last, *dys]

    return jax.jit(program)


def _push_types(*_: Any, rule: Derivative) -> list[Any]:
    carry, ys = rule.linear.outputs()
    return [a.aval for a in carry] + [_over_time(rule, a) for a in ys]


def _transpose_push(cts: Sequence[Any], *inputs: Any, rule: Derivative) -> list[Any]:
    """Cotangents of the inputs of a push that are undefined."""
    moving = [ad.is_undefined_primal(v) for v in inputs]
    used = [not isinstance(ct, ad.Zero) for ct in cts]
    known = negate(moving)
    program, captured = _pull_program(rule, tuple(moving), tuple(used))
    flags = lambda tree: (
        *[False] * len(captured),
        *select(jax.tree.leaves(tree), known),
    )
    found = _pull_p.bind(
        *captured,
        *select(inputs, known),
        *select(cts, used),
        program=program,
        spare=flags(rule.spare),
        shifted=flags(rule.shifted),
    )
    return replace_where([None] * len(inputs), moving, found)


@cached
def _pull_program(
    rule: Derivative, moving: tuple[bool, ...], used: tuple[bool, ...]
) -> tuple[Program, list[Any]]:
    """The transpose of the push in its `moving` inputs and `used` outputs.

    Its inputs are the tracers that custom rules read, which it returns too, the other
    inputs of the push, and the cotangents of those outputs.
    """
    types, outs = _input_types(rule), _push_types(rule=rule)

    def program(*values: Any) -> list[Any]:
        others = moving.count(False)
        undefined = [ad.UndefinedPrimal(t) for t in types]
        inputs = replace_where(undefined, negate(moving), values[:others])
        cts = replace_where([None] * len(used), used, values[others:])
        return select(transpose_of(_push(rule), inputs, cts), moving)

    like = [*select(types, negate(moving)), *select(outs, used)]
    return closure_convert(trace(program, map(example, like)))


@cached
def _pull(program: Program) -> Function:
    return jax.jit(lambda *values: call(program, values))


def _pull_types(*_: Any, program: Program, **__: Any) -> list[Any]:
    return [a.aval for a in jaxpr_of(program).outvars]


def _input_types(rule: Derivative) -> list[Any]:
    weights, carry, xs = rule.linear.inputs()
    return [v.aval for v in weights + carry] + [_over_time(rule, v) for v in xs]


def _over_time(rule: Derivative, atom: Any) -> Any:
    return core.unmapped_aval(rule.linear.length, 0, atom.aval)


def _pull_in_place(
    program: Program, spare: tuple[bool, ...], shifted: tuple[bool, ...]
) -> Function:
    """The same program, needing less memory at a time."""
    return lambda *values: evaluate_in_place(program, values, spare, shifted)


_push_p = operation("jrnn_push", _push_types, _push)
_pull_p = operation("jrnn_pull", _pull_types, lambda program, **_: _pull(program))
# Elsewhere compilers differ in when they copy an array that a loop writes over.
lower(_pull_p, _pull_in_place, platform="cpu")
ad.primitive_transposes[_push_p] = _transpose_push
