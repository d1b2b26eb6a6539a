"""The engine's loop as one operation of JAX: how to evaluate, derive and batch it.

An operation of its own, rather than a function with a custom derivative, because only
this sees a batch as what it is: `vmap` of the loop is the loop of the `vmap` of its
step, with time leading, before anything is split.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.interpreters import ad, batching, mlir, partial_eval

from jrnn._programs.operation import Function, check_inside, example, transposed
from jrnn._programs.program import (
    Equation,
    Variable,
    cached,
    call,
    dependents,
    differentiable,
    is_variable,
    opened,
    trace,
)
from jrnn.scan.derive.tangent import derivative
from jrnn.scan.emit.run import run
from jrnn.scan.emit.store import scan_all
from jrnn.scan.plan.placement import plan
from jrnn.scan.primitives.linear import push
from jrnn.scan.step import Step

scan_p = core.Primitive("jrnn_scan")
scan_p.multiple_results = True


def recurrence(step: Step, values: Sequence[Any]) -> list[Any]:
    """Take all steps: weights, first carry and x in; last carry and y out."""
    return scan_p.bind(*values, step=step)


def _evaluate(*values: Any, step: Step, cpu: bool = False) -> list[Any]:
    carry, ys = run(step, plan(step), values, cpu=cpu)
    return [*carry, *ys]


@cached
def _compiled(step: Step) -> Callable[..., list[Any]]:
    return jax.jit(functools.partial(scan_p.bind, step=step))


@scan_p.def_impl
def _evaluate_now(*values: Any, step: Step) -> list[Any]:
    if jax.config.jax_debug_nans or jax.config.jax_debug_infs:
        # called to find the step and the operation at fault: jax.lax.scan knows how
        return in_lax_scan(step)(*values)
    return _compiled(step)(*values)


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
    given = tuple(not isinstance(t, ad.Zero) for t in tangents)
    active = step.reached(given, through=differentiable)
    rule = derivative(step, active)
    outs = scan_p.bind(*rule.captured, *primals, step=rule.extended)
    weights, _, xs = step.parts(primals)
    dweights, dcarry, dxs = (
        [ad.instantiate_zeros(t) for t, on in zip(part, flags, strict=True) if on]
        for part, flags in zip(step.parts(tangents), step.parts(active), strict=True)
    )
    available = [*xs, *outs[step.carry :]]
    known = [available[i] for i in rule.known]
    given = [*rule.captured, *weights, *dweights, *dcarry, *known, *dxs]
    pushed = push(given, rule)
    last, dys = pushed[: len(rule.dcarry)], pushed[len(rule.dcarry) :]
    outs = outs[: len(opened(step.program)[0].outvars)]
    douts = [ad.Zero(jax.typeof(out).to_tangent_aval()) for out in outs]
    for place, value in zip(rule.dcarry, last, strict=True):
        douts[place] = value
    for place, value in zip(rule.dys, dys, strict=True):
        douts[step.carry + place] = value
    return outs, douts


ad.primitive_jvps[scan_p] = _differentiate


def in_lax_scan(step: Step) -> Function:
    """The loop as `jax.lax.scan` runs it."""

    def loop(*values: Any) -> list[Any]:
        weights, carry, xs = step.parts(values)

        def body(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            outs = call(step.program, [*weights, *carry, *x])
            return outs[: step.carry], outs[step.carry :]

        options = {"reverse": step.reverse, "unroll": step.unroll}
        last, ys = scan_all(body, carry, xs, step.length, **options)
        return [*last, *ys]

    return loop


def _transpose(cts: Sequence[Any], *inputs: Any, step: Step) -> list[Any]:
    cts = [None if isinstance(ct, ad.Zero) else ct for ct in cts]
    return transposed(in_lax_scan(step), inputs, cts)


ad.primitive_transposes[scan_p] = _transpose
check_inside(scan_p, in_lax_scan)


def _recompute_or_save(
    policy: Callable, unknown: list[bool], there: list[bool], eqn: Equation
) -> tuple[Equation | None, Equation | None, list[bool], list[bool], list[Variable]]:
    """What `jax.checkpoint` keeps of a loop: all it gives out, or nothing.

    All, where the policy would save each product of matrices of the step.

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
        for e in opened(eqn.params["step"].program)[0].eqns
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
    mapped = step.reached(tuple(axis is not None for axis in axes))
    (size,) = {v.shape[a] for v, a in zip(values, axes, strict=True) if a is not None}
    batched, out_mapped = _batched_step(step, mapped, size)
    stacked = [*[0] * (step.weights + step.carry)]
    stacked += [1] * (len(values) - len(stacked))
    values = [
        _move(v, axis, place, size) if on else v
        for v, axis, place, on in zip(values, axes, stacked, mapped, strict=True)
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
    jaxpr, _ = opened(step.program)
    sources = [v for v, on in zip(jaxpr.invars, mapped, strict=True) if on]
    reached = dependents(jaxpr.eqns, sources)
    carry = mapped[step.weights : step.weights + step.carry]
    ys = jaxpr.outvars[step.carry :]
    out_mapped = [*carry, *(is_variable(a) and a in reached for a in ys)]
    axes = lambda flags: [0 if on else None for on in flags]
    like = [
        _widened(example(v.aval), size) if on else example(v.aval)
        for v, on in zip(jaxpr.invars, mapped, strict=True)
    ]
    batched = jax.vmap(
        lambda *args: call(step.program, args),
        in_axes=axes(mapped),
        out_axes=axes(out_mapped),
    )
    return step._replace(program=trace(batched, like)), out_mapped


def _widened(one: jax.ShapeDtypeStruct, size: int) -> jax.ShapeDtypeStruct:
    shape = (size, *one.shape)
    return jax.ShapeDtypeStruct(shape, one.dtype, weak_type=one.weak_type)


batching.primitive_batchers[scan_p] = _batch
