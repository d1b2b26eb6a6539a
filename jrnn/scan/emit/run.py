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
    differentiable,
    evaluate,
    free,
    is_variable,
    needed,
    read,
    symbolic,
    variables,
)
from jrnn.scan.emit.chunks import in_chunks
from jrnn.scan.emit.store import Parts, scan_all, storing_loop
from jrnn.scan.normalise import products
from jrnn.scan.plan.placement import Plan
from jrnn.scan.step import Step

Wrapper = Callable[[Callable], Callable]


def run(
    step: Step,
    where: Plan,
    values: Sequence[Any],
    wrap: Wrapper = lambda body: body,
    linear: bool = False,
    cpu: bool = False,
) -> tuple[list[Any], list[Any]]:
    """Run `step` split as in `where`.

    Args:
        step: the step.
        where: its plan.
        values: weights, the first carry, and x with time leading.
        wrap: applied to the body of the loop.
        linear: whether the step is linear, and likely to be transposed.
        cpu: whether the program is for CPUs.

    Returns:
        The last carry, and y with time leading.
    """
    weight_vars, _, _ = step.inputs()
    weights, carry, xs = step.parts(values)
    env = constants(step.program) | dict(zip(weight_vars, weights, strict=True))
    evaluate(where.once, env)

    def some_steps(carry: list[Any], xs: list[Any], length: Any) -> Any:
        part = step._replace(length=length)
        return _some_steps(part, where, env, carry, xs, wrap, linear, cpu)

    if where.at_once is None:
        return some_steps(carry, xs, step.length)
    return in_chunks(
        some_steps, carry, xs, step.length, where.at_once, step.reverse, wrap
    )


def _some_steps(
    step: Step,
    where: Plan,
    env: Environment,
    carry: list[Any],
    xs: list[Any],
    wrap: Wrapper,
    linear: bool,
    cpu: bool,
) -> tuple[list[Any], list[Any]]:
    _, _, x_vars = step.inputs()
    _, ys = step.outputs()
    seq = dict(zip(x_vars, xs, strict=True))
    reads = where.crossing + free(where.after, ys)
    _all_at_once(where.before, reads, env, seq)
    last = _loop(step, where, carry, env, seq, wrap, linear, cpu)
    _all_at_once(where.after, variables(ys), env, seq)
    over_time = lambda a: (
        seq[a] if _among(a, seq) else _repeat(read(env, a), step.length)
    )
    return last, [over_time(a) for a in ys]


def _loop(
    step: Step,
    where: Plan,
    carry: list[Any],
    env: Environment,
    seq: Environment,
    wrap: Wrapper,
    linear: bool,
    cpu: bool,
) -> list[Any]:
    """Run the loop alone, adding what it keeps to `seq`; returns the last carry."""
    _, carry_vars, _ = step.inputs()
    next_carry, _ = step.outputs()
    # A carry read behind the loop is the next carry, one step later: not stored twice.
    shifted = {
        v: n
        for v, n in zip(carry_vars, next_carry, strict=True)
        if n in where.kept and n not in carry_vars
    }
    stored = [v for v in where.kept if v not in shifted]
    entering = where.crossing + where.spread
    prepared = products.prepared_products(where.loop, env, linear, cpu)
    joins = set() if linear or not cpu else _only_stored(where.loop, next_carry)

    @wrap
    def body(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        local = env | dict(zip(carry_vars + entering, [*carry, *x], strict=True))
        for eqn in where.loop:
            values = [read(local, a) for a in eqn.invars]
            if id(eqn) in joins:
                made = [Parts(values, eqn.params["dimension"])]
            elif id(eqn) in prepared:
                made = prepared[id(eqn)](values[0])
            else:
                made = apply(eqn, values)
            local |= zip(eqn.outvars, made, strict=True)
        return [read(local, a) for a in next_carry], [local[v] for v in stored]

    seq |= {v: _repeat(env[v], step.length) for v in where.spread}
    xs = [seq[v] for v in entering]
    options = {"reverse": step.reverse, "unroll": step.unroll}
    if linear or not cpu:
        last, stacks = scan_all(body, carry, xs, step.length, **options)
    else:
        like = [v.aval for v in stored]
        last, stacks = storing_loop(body, carry, xs, like, step.length, **options)
    seq |= dict(zip(stored, stacks, strict=True))
    for v, first in zip(carry_vars, carry, strict=True):
        if v in where.kept and v in shifted:
            seq[v] = _shift(first, seq[shifted[v]], step.reverse)
    return last


def _only_stored(loop: list[Equation], next_carry: list[Atom]) -> set[int]:
    """Equations by `id` that join floats which nothing in the loop reads joined."""
    read_in_loop = {
        *variables(next_carry),
        *variables(a for e in loop for a in e.invars),
    }
    return {
        id(eqn)
        for eqn in loop
        if eqn.primitive is lax.concatenate_p
        and eqn.outvars[0] not in read_in_loop
        and differentiable(eqn.outvars[0])
    }


def _all_at_once(
    eqns: list[Equation], results: list[Variable], env: Environment, seq: Environment
) -> None:
    """Evaluate `eqns` for all time steps, adding what they make to `seq`."""
    for eqn in needed(eqns, results, given=seq):
        values = [seq[a] if _among(a, seq) else read(env, a) for a in eqn.invars]
        sizes = [n for v in values for n in jnp.shape(v)]
        if products.with_weight(eqn, env) and not symbolic(sizes):
            made = products.all_rows_at_once(eqn, *values)
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
