"""Time fission: a step's equations sorted into before, in and after the loop.

    before   depends on the weights and on x_t only: all steps at once, ahead of it
    loop     leads from the carry to the next carry: one step after the other
    after    depends on the carry, but no later step needs it: all steps at once, behind

The same code splits a step and its derivative.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from jax import lax

from jrnn._programs.program import (
    Atom,
    Equation,
    Variable,
    constants,
    free,
    is_variable,
    needed,
    opened,
    size,
    variables,
)
from jrnn.scan import operations
from jrnn.scan.plan import budget
from jrnn.scan.plan.min_cut import cheapest_cut
from jrnn.scan.step import Step

ONCE, BEFORE, LOOP = range(3)  # how much a value depends on: weights, x_t, the carry


class Plan(NamedTuple):
    """Where each equation of a step runs."""

    once: list[Equation]  # needs only weights
    before: list[Equation]
    crossing: list[Variable]  # computed before, read in the loop
    loop: list[Equation]
    kept: list[Variable]  # computed in the loop, read behind it
    after: list[Equation]
    spread: list[Variable]  # the same at every step, yet fed to the loop step by step
    at_once: int | None = None  # steps in a chunk; None: all are run at once


Price = Callable[[Equation, dict[Variable, int]], float | None]


def plan(step: Step) -> Plan:
    """Decide where a step that will not be derived any more runs, within its budget."""
    return within_budget(step, split(step, final=True), final=True)


def within_budget(
    step: Step,
    where: Plan,
    again: Price | None = None,
    spread: Callable[[Variable], bool] = lambda v: False,
    spare: Collection[Variable] = (),
    final: bool = False,
) -> Plan:
    """A plan that takes no more memory than its step may.

    Args:
        step: the step.
        where: how it is split.
        again: as of `split`.
        spread: as of `split`.
        spare: inputs whose memory the loop's results may take.
        final: as of `split`.
    """
    at_once = budget.steps_at_once(step, where, spare)
    if at_once == 1:
        return split(step._replace(budget=0), again, spread, final)
    return where._replace(at_once=at_once)


def split(
    step: Step,
    again: Price | None = None,
    spread: Callable[[Variable], bool] = lambda v: False,
    final: bool = False,
) -> Plan:
    """Decide where each equation of `step` runs.

    Args:
        step: the step.
        again: the price of running an equation in the loop although it could run before
            it, from the equation and depths; as `cost_again`.
        spread: weights that elementwise equations of the loop must not read directly.
        final: whether the step will not be derived any more.
    """
    again = cost_again if again is None else again
    next_carry, ys = step.outputs()
    eqns = needed(opened(step.program)[0].eqns, next_carry + ys)
    weights, carry, xs = step.inputs()
    known = [*constants(step.program), *weights]
    depth, at = depths(eqns, known, xs, carry, final, fixed=step.budget == 0)
    loop = needed(at[LOOP], next_carry + _pinned(at[LOOP], depth, step.budget == 0))
    loop, after = _joined_in_the_loop(at[LOOP], loop, ys)

    early = lambda v: depth[v] == BEFORE
    wanted = [v for v in free(loop, next_carry) if early(v)]
    crossing = cheapest_cut(
        at[BEFORE],
        wanted,
        # a row of a matrix costs as much wherever it is read: its token alone crosses
        again=lambda e: 0 if e.primitive.name == "jrnn_rows" else again(e, depth),
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


def _pinned(
    eqns: list[Equation], depth: dict[Variable, int], all_of_them: bool
) -> list[Variable]:
    """What stays in the loop of `eqns`, though no later step may need it.

    With what may not run for many steps at once stays what reads a value that is the
    same at every step, and in the loop for the sake of its derivative: a weight would
    be stored for each step.
    """
    pinned: list[Variable] = []
    same: set[Variable] = set()
    for eqn in eqns:
        inputs = variables(eqn.invars)
        if all(depth[v] == ONCE or v in same for v in inputs):
            same.update(eqn.outvars)
        reads = not same.isdisjoint(inputs)
        if all_of_them or reads or not operations.over_time(eqn):
            pinned += eqn.outvars
    return pinned


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
    final: bool = False,
    fixed: bool = False,
) -> tuple[dict[Variable, int], tuple[list[Equation], ...]]:
    """What every variable depends on, and `eqns` sorted by what they depend on.

    Args:
        eqns: the equations.
        once: variables that are the same at every step.
        before: variables that are known for all steps ahead of the loop.
        loop: the carry.
        final: whether the equations will not be derived any more.
        fixed: whether what depends on x_t stays in the loop in any case.
    """
    depth = dict.fromkeys(once, ONCE) | dict.fromkeys(before, BEFORE)
    depth |= dict.fromkeys(loop, LOOP)
    at: tuple[list[Equation], ...] = ([], [], [])
    for eqn in eqns:
        deepest = max((depth[v] for v in variables(eqn.invars)), default=ONCE)
        if deepest == BEFORE and (fixed or not operations.over_time(eqn)):
            deepest = LOOP
        if deepest == ONCE and not final and operations.own_rule(eqn):
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
