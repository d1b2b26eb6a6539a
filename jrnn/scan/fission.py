"""Time fission: a step's equations sorted into before, in and after the loop.

    before   depends on the weights and on x_t only: all steps at once, ahead of it
    loop     leads from the carry to the next carry: one step after the other
    after    depends on the carry, but no later step needs it: all steps at once, behind

The same code splits a step and its derivative.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from jrnn.scan import one_hot, operations, products
from jrnn.scan.cut import cheapest_cut
from jrnn.scan.program import (
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
    opened,
    read,
    size,
    variables,
)
from jrnn.scan.store import Parts, storing_loop

ONCE, BEFORE, LOOP = range(3)  # how much a value depends on: weights, x_t, the carry


class Step(NamedTuple):
    """A flat program read as one step, and how often to take it."""

    program: core.ClosedJaxpr  # (weights..., carry..., x...) -> (carry..., y...)
    weights: int  # number of leading inputs that are the same at every step
    carry: int  # number of inputs after them that are fed back
    length: int
    reverse: bool
    unroll: int

    def inputs(self) -> tuple[list[Variable], list[Variable], list[Variable]]:
        """The variables of the weights, of the carry and of x."""
        return self.parts(opened(self.program)[0].invars)

    def parts(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Inputs, one for each of the program's, as weights, carry and x."""
        carry, x = self.weights, self.weights + self.carry
        return list(values[:carry]), list(values[carry:x]), list(values[x:])

    def outputs(self) -> tuple[list[Atom], list[Atom]]:
        """The next carry and y."""
        outvars = opened(self.program)[0].outvars
        return list(outvars[: self.carry]), list(outvars[self.carry :])


class Plan(NamedTuple):
    """Where each equation of a step runs."""

    once: list[Equation]  # needs only weights
    before: list[Equation]
    crossing: list[Variable]  # computed before, read in the loop
    loop: list[Equation]
    kept: list[Variable]  # computed in the loop, read behind it
    after: list[Equation]
    spread: list[Variable]  # the same at every step, yet fed to the loop step by step


def plan(
    step: Step,
    may_repeat: Callable[[Equation], bool] = lambda eqn: True,
    spread: Callable[[Variable], bool] = lambda v: False,
) -> Plan:
    """Decide where each equation of `step` runs.

    Args:
        step: the step.
        may_repeat: equations that may run in the loop although they could run before
            it, where that lets fewer bytes cross.
        spread: weights that elementwise equations of the loop must not read directly.
    """
    next_carry, ys = step.outputs()
    eqns = needed(opened(step.program)[0].eqns, next_carry + ys)
    weights, carry, xs = step.inputs()
    known = [*constants(step.program), *weights]
    depth, at = depths(eqns, known, xs, carry)
    pinned = [
        o for eqn in at[LOOP] if not operations.over_time(eqn) for o in eqn.outvars
    ]
    loop = needed(at[LOOP], next_carry + pinned)
    loop, after = _joined_in_the_loop(at[LOOP], loop, ys)

    # a row of a weight costs as much wherever it is read: only its token need cross
    tokens = one_hot.looked_up(at[ONCE] + at[BEFORE])
    again = lambda eqn: 0 if id(eqn) in tokens else cost_again(eqn, depth)
    early = lambda v: depth[v] == BEFORE
    wanted = [v for v in free(loop, next_carry) if early(v)]
    crossing = cheapest_cut(
        at[BEFORE],
        wanted,
        again=lambda eqn: again(eqn) if may_repeat(eqn) else None,
        cost=size,
        ignored=lambda v: depth[v] == ONCE,
    )
    loop = needed(at[BEFORE], wanted, given=crossing) + loop
    reads_after = free(after, ys)
    before = needed(at[BEFORE], crossing + [v for v in reads_after if early(v)])
    own = set(carry) | {o for eqn in loop for o in eqn.outvars}
    kept = [v for v in reads_after if v in own and depth[v] == LOOP]
    elementwise = [a for eqn in loop if cost_again(eqn, depth) == 0 for a in eqn.invars]
    once = [v for v in variables(elementwise) if depth[v] == ONCE and spread(v)]
    loop = needed(light(at[ONCE]), free(loop, []), given=once) + loop
    return Plan(at[ONCE], before, crossing, loop, kept, after, once)


def _joined_in_the_loop(
    eqns: list[Equation], loop: list[Equation], ys: list[Atom]
) -> tuple[list[Equation], list[Equation]]:
    """The equations in the loop and behind it, where y is joined of parts made there.

    Each part is stored in its place then, and the whole need not be copied once more.
    """
    in_loop = {id(eqn) for eqn in loop}
    joins = [eqn for eqn in eqns if eqn.primitive is lax.concatenate_p]
    for eqn in (eqn for eqn in joins if eqn.outvars[0] in ys):
        more = [e for e in needed(eqns, eqn.outvars) if id(e) not in in_loop]
        mere = all(e is eqn or e.primitive.name in operations.LIGHT for e in more)
        if mere:
            in_loop |= {id(e) for e in more}
    parts: dict[bool, list[Equation]] = {True: [], False: []}
    for eqn in eqns:
        parts[id(eqn) in in_loop].append(eqn)
    return parts[True], parts[False]


def depths(
    eqns: Sequence[Equation],
    once: Iterable[Variable],
    before: Iterable[Variable],
    loop: Iterable[Variable],
) -> tuple[dict[Variable, int], tuple[list[Equation], ...]]:
    """What every variable depends on, and `eqns` sorted by what they depend on."""
    depth = dict.fromkeys(once, ONCE) | dict.fromkeys(before, BEFORE)
    depth |= dict.fromkeys(loop, LOOP)
    at: tuple[list[Equation], ...] = ([], [], [])
    for eqn in eqns:
        deepest = max((depth[v] for v in variables(eqn.invars)), default=ONCE)
        if deepest == BEFORE and not operations.over_time(eqn):
            deepest = LOOP
        depth |= dict.fromkeys(eqn.outvars, deepest)
        at[deepest].append(eqn)
    return depth, at


def cost_again(eqn: Equation, depth: dict[Variable, int]) -> float | None:
    """The price of computing `eqn` a second time, as in `operations.cost_again`."""
    first = eqn.invars[0] if eqn.invars else None
    of_weights = not is_variable(first) or depth[first] == ONCE
    return operations.cost_again(eqn, of_weights)


def light(eqns: Iterable[Equation]) -> list[Equation]:
    """Equations that make much out of little, and are never better done beforehand."""
    return [eqn for eqn in eqns if eqn.primitive.name in operations.LIGHT]


def run(
    step: Step,
    where: Plan,
    values: Sequence[Any],
    wrap: Callable[[Callable], Callable] = lambda body: body,
    linear: bool = False,
) -> tuple[list[Any], list[Any]]:
    """Run `step` split as in `where`.

    Args:
        step: the step.
        where: its plan.
        values: weights, the first carry, and x with time leading.
        wrap: applied to the body of the loop.
        linear: whether the step is linear, and likely to be transposed.

    Returns:
        The last carry, and y with time leading.
    """
    weight_vars, _, x_vars = step.inputs()
    _, ys = step.outputs()
    weights, carry, xs = step.parts(values)
    env = constants(step.program) | dict(zip(weight_vars, weights, strict=True))
    evaluate(where.once, env)
    seq = dict(zip(x_vars, xs, strict=True))
    reads = where.crossing + free(where.after, ys)
    tokens = one_hot.looked_up(where.once + where.before)
    _all_at_once(where.before, reads, env, seq, tokens)
    last = _loop(step, where, carry, env, seq, wrap, linear)
    _all_at_once(where.after, variables(ys), env, seq, {})
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
    wrap: Callable[[Callable], Callable],
    linear: bool,
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
    prepared = products.prepared_products(where.loop, env, linear)
    tokens = one_hot.looked_up(where.once + where.loop)
    joins = set() if linear else _only_stored(where.loop, next_carry)

    @wrap
    def body(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        local = env | dict(zip(carry_vars + entering, [*carry, *x], strict=True))
        for eqn in where.loop:
            values = [read(local, a) for a in eqn.invars]
            if id(eqn) in joins:
                made = [Parts(values, eqn.params["dimension"])]
            elif id(eqn) in tokens:
                made = one_hot.rows(eqn, local[tokens[id(eqn)]], values[1])
            elif id(eqn) in prepared:
                made = prepared[id(eqn)](values[0])
            else:
                made = apply(eqn, values)
            local |= zip(eqn.outvars, made, strict=True)
        return [read(local, a) for a in next_carry], [local[v] for v in stored]

    seq |= {v: _repeat(env[v], step.length) for v in where.spread}
    xs = [seq[v] for v in entering]
    options = {"reverse": step.reverse, "unroll": step.unroll}
    if linear:
        last, stacks = lax.scan(body, carry, xs, step.length, **options)
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
    eqns: list[Equation],
    results: list[Variable],
    env: Environment,
    seq: Environment,
    tokens: dict[int, Variable],
) -> None:
    """Evaluate `eqns` for all time steps, adding what they make to `seq`."""
    for eqn in needed(eqns, results, given=seq):
        values = [seq[a] if _among(a, seq) else read(env, a) for a in eqn.invars]
        if products.with_weight(eqn, env) and _among(tokens.get(id(eqn)), seq):
            made = one_hot.rows(eqn, seq[tokens[id(eqn)]], values[1])
        elif products.with_weight(eqn, env):
            made = products.all_rows_at_once(eqn, *values)
        else:
            axes = [0 if _among(a, seq) else None for a in eqn.invars]
            made = jax.vmap(functools.partial(_apply, eqn), axes)(*values)
        seq |= dict(zip(eqn.outvars, made, strict=True))


def _apply(eqn: Equation, *values: Any) -> list[Any]:
    return apply(eqn, values)


def _among(atom: Atom, env: Environment) -> bool:
    return is_variable(atom) and atom in env


def _repeat(value: Any, length: int) -> Any:
    return jnp.broadcast_to(value, (length, *jnp.shape(value)))


def _shift(first: Any, later: Any, reverse: bool) -> Any:
    """The values before each step, from the first and those after each step."""
    first = jnp.broadcast_to(first, (1, *later.shape[1:]))
    parts = [later[1:], first] if reverse else [first, later[:-1]]
    return lax.concatenate(parts, 0)
