"""Run a step as planned: what comes before the loop, the loop, and what comes after."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jrnn._programs.program import (
    Atom,
    Environment,
    Equation,
    Variable,
    apply,
    constants,
    evaluate,
    is_variable,
    read,
)
from jrnn.scan.emit.chunks import in_chunks
from jrnn.scan.emit.store import Parts, scan_all, storing_loop
from jrnn.scan.normalise import products
from jrnn.scan.normalise.products import How
from jrnn.scan.plan.placement import Plan
from jrnn.scan.step import Step


def run(
    step: Step, where: Plan, values: Sequence[Any], cpu: bool = False
) -> tuple[list[Any], list[Any]]:
    """Run `step` as planned.

    Args:
        step: the step.
        where: its plan.
        values: weights, the first carry, and x with time leading.
        cpu: whether the program is for CPUs.

    Returns:
        The last carry, and y with time leading.
    """
    weight_vars, _, _ = step.inputs()
    weights, carry, xs = step.parts(values)
    env = constants(step.program) | dict(zip(weight_vars, weights, strict=True))
    evaluate(where.once, env)

    def some_steps(carry: list[Any], xs: list[Any], length: Any) -> Any:
        return _some_steps(step._replace(length=length), where, env, carry, xs, cpu)

    if where.chunk is None:
        return some_steps(carry, xs, step.length)
    wrap = _wrapper(where)
    return in_chunks(
        some_steps, carry, xs, step.length, where.chunk, step.reverse, wrap
    )


def _wrapper(where: Plan) -> Callable[[Callable], Callable]:
    """What to wrap the body of a loop in."""
    if not where.checkpoint:
        return lambda body: body
    # Without it, what the loop computes again would be computed ahead and stored.
    return functools.partial(jax.checkpoint, prevent_cse=False)


def _some_steps(
    step: Step,
    where: Plan,
    env: Environment,
    carry: list[Any],
    xs: list[Any],
    cpu: bool,
) -> tuple[list[Any], list[Any]]:
    _, carry_vars, x_vars = step.inputs()
    next_carry, ys = step.outputs()
    seq = dict(zip(x_vars, xs, strict=True))
    _evaluate_over_time(where, where.before, env, seq)
    body = _body(where, carry_vars, next_carry, env, cpu)
    seq |= {v: _repeat(env[v], step.length) for v in where.broadcast}
    over_time = [seq[v] for v in where.entering]
    last, stacks = _loop(step, where, body, carry, over_time, cpu)
    seq |= dict(zip(where.stacked, stacks, strict=True))
    first = dict(zip(carry_vars, carry, strict=True))
    for v, later in where.shifted.items():
        seq[v] = _shift(first[v], seq[later], step.reverse)
    _evaluate_over_time(where, where.after, env, seq)
    over_time = lambda a: (
        seq[a] if _among(a, seq) else _repeat(read(env, a), step.length)
    )
    return last, [over_time(a) for a in ys]


def _body(
    where: Plan,
    carry_vars: list[Variable],
    next_carry: list[Atom],
    env: Environment,
    cpu: bool,
) -> Callable[..., tuple[list[Any], list[Any]]]:
    """The body of the loop: from the carry and x to the next carry and its results."""
    how = where.layouts | (where.on_cpu if cpu else {})
    weights = {
        v: products.lay_out(eqn, how[v], env[eqn.invars[1]])
        for eqn in where.loop
        if how.get(v := eqn.outvars[0]) in (How.TRANSPOSED, How.PADDED)
    }

    def evaluate_one(eqn: Equation, values: list[Any]) -> list[Any]:
        v = eqn.outvars[0]
        if v in weights:
            return products.multiply(eqn, how[v], values[0], weights[v])
        if how.get(v) is How.PARTS:
            return [Parts(values, eqn.params["dimension"])]
        return apply(eqn, values)

    def body(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        inputs = zip(carry_vars + where.entering, [*carry, *x], strict=True)
        local = env | dict(inputs)
        for eqn in where.loop:
            values = [read(local, a) for a in eqn.invars]
            local |= zip(eqn.outvars, evaluate_one(eqn, values), strict=True)
        return [read(local, a) for a in next_carry], [local[v] for v in where.stacked]

    return _wrapper(where)(body)


def _loop(
    step: Step, where: Plan, body: Callable, carry: list[Any], xs: list[Any], cpu: bool
) -> tuple[list[Any], list[Any]]:
    """Run the loop alone; CPUs store what it makes at once in its place."""
    options = {"reverse": step.reverse, "unroll": step.unroll}
    if where.linear or not cpu:
        return scan_all(body, carry, xs, step.length, **options)
    like = [v.aval for v in where.stacked]
    return storing_loop(body, carry, xs, like, step.length, **options)


def _evaluate_over_time(
    where: Plan, eqns: list[Equation], env: Environment, seq: Environment
) -> None:
    """Evaluate `eqns` for all time steps at once, adding what they make to `seq`."""
    for eqn in eqns:
        values = [seq[a] if _among(a, seq) else read(env, a) for a in eqn.invars]
        if eqn.outvars[0] in where.flat:
            made = products.multiply_all_rows(eqn, *values)
        else:
            axes = [0 if _among(a, seq) else None for a in eqn.invars]
            made = jax.vmap(functools.partial(_apply, eqn), axes)(*values)
        seq |= dict(zip(eqn.outvars, made, strict=True))


def _apply(eqn: Equation, *values: Any) -> list[Any]:
    return apply(eqn, values)


def _among(atom: Atom, env: Environment) -> bool:
    return is_variable(atom) and atom in env


def _repeat(value: Any, length: Any) -> Any:
    return jnp.broadcast_to(value, (length, *jnp.shape(value)))


def _shift(first: Any, later: Any, reverse: bool) -> Any:
    """The values before each step, from the first and those after each step."""
    first = jnp.broadcast_to(first, (1, *later.shape[1:]))
    parts = [later[1:], first] if reverse else [first, later[:-1]]
    return lax.concatenate(parts, 0)
