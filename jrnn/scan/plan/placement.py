"""The plan of a step: where each of its equations runs, and how.

    once     depends on the weights only: a single time
    before   depends on the weights and on x_t only: all steps at once, ahead of it
    loop     leads from the carry to the next carry: one step after the other
    after    depends on the carry, but no later step needs it: all steps at once, behind

This is known as loop fission. The same code plans a step and its derivative; what
emits a plan decides nothing but what is for CPUs, of which the plan says how.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from jax import lax

from jrnn._programs.program import (
    Atom,
    Equation,
    Variable,
    constants,
    differentiable,
    free,
    is_variable,
    needed,
    opened,
    size,
    symbolic,
    variables,
)
from jrnn.scan import operations
from jrnn.scan.normalise import products
from jrnn.scan.normalise.products import How
from jrnn.scan.plan import budget
from jrnn.scan.plan.min_cut import cheapest_cut
from jrnn.scan.step import Step

ONCE, BEFORE, LOOP = range(3)  # how much a value depends on: weights, x_t, the carry


class Linear(NamedTuple):
    """What a plan has to know of a step that is the derivative of another."""

    tangents: set[Variable]  # its variables that are linear in its tangents
    saved: list[Variable]  # its inputs that were stored for it


class Plan(NamedTuple):
    """Where and how each equation of a step runs."""

    once: list[Equation]  # needs only weights
    before: list[Equation]
    crossing: list[Variable]  # computed before, read in the loop
    broadcast: list[Variable]  # of weights, yet fed to the loop step by step
    loop: list[Equation]
    stacked: list[Variable]  # computed in the loop, read behind it
    shifted: dict[Variable, Variable]  # carries read behind it, made of stacked ones
    after: list[Equation]
    # By the first result of an equation, how it runs if not as it is written:
    flat: set[Variable]  # products before and after the loop, as one of two matrices
    layouts: dict[Variable, How]  # products of the loop
    on_cpu: dict[Variable, How]  # equations of the loop, on CPUs only
    linear: bool  # whether it is to be transposed
    checkpoint: bool  # whether the loop's body is rematerialised by `jax.checkpoint`
    chunk: int | None = None  # steps that are run at once; None for all

    @property
    def entering(self) -> list[Variable]:
        """The x of the loop, as variables of the step."""
        return self.crossing + self.broadcast


def plan(step: Step, linear: Linear | None = None) -> Plan:
    """Decide where and how a step runs, within its budget.

    Args:
        step: the step.
        linear: what it is the derivative by; None: it will not be derived any more.
    """
    return fit_budget(step, split(step, linear), linear)


def fit_budget(step: Step, where: Plan, linear: Linear | None) -> Plan:
    """The plan `where`, changed to take no more memory than its step may."""
    spare = read_only_in_loop(where, linear.saved) if linear else ()
    chunk = budget.steps_at_once(step, where, spare)
    if chunk == 1:
        return split(step._replace(budget=0), linear)
    return where._replace(chunk=chunk)


def read_only_in_loop(where: Plan, xs: Sequence[Variable]) -> set[Variable]:
    """Those of the inputs `xs` that a step reads in its loop and nowhere else."""
    crossing = {v for v in xs if v in where.crossing}
    return crossing - set(free([*where.before, *where.after], []))


def split(step: Step, linear: Linear | None = None) -> Plan:
    """Plan a step as if memory did not matter.

    Args:
        step: the step.
        linear: as of `plan`.
    """
    next_carry, ys = step.outputs()
    eqns = needed(opened(step.program)[0].eqns, next_carry + ys)
    weights, carry, xs = step.inputs()
    known = [*constants(step.program), *weights]
    final, fixed = linear is None, step.budget == 0
    depth, at = depths(eqns, known, xs, carry, final, fixed)
    again = _price_in_loop(step, linear, depth)
    loop = needed(at[LOOP], next_carry + _pinned(at[LOOP], depth, fixed))
    loop, after = _joined_in_the_loop(at[LOOP], loop, ys)

    early = lambda v: depth[v] == BEFORE
    wanted = [v for v in free(loop, next_carry) if early(v)]
    crossing = cheapest_cut(
        at[BEFORE],
        wanted,
        # a row of a matrix costs as much wherever it is read: its token alone crosses
        again=lambda e: 0 if e.primitive.name == "jrnn_rows" else again(e),
        cost=size,
        ignored=lambda v: depth[v] == ONCE,
    )
    loop = needed(at[BEFORE], wanted, given=crossing) + loop
    reads_after = free(after, ys)
    before = needed(at[BEFORE], crossing + [v for v in reads_after if early(v)])
    own = set(carry) | {o for eqn in loop for o in eqn.outvars}
    kept = [v for v in reads_after if v in own and depth[v] == LOOP]
    elementwise = [a for eqn in loop if cost_again(eqn, depth) == 0 for a in eqn.invars]
    # elementwise equations of the loop must not read tangents of weights directly
    tangents = linear.tangents if linear else ()
    broadcast = [
        v for v in variables(elementwise) if depth[v] == ONCE and v in tangents
    ]
    loop = needed(light(at[ONCE]), free(loop, []), given=broadcast) + loop
    # A carry read behind the loop is the next carry, one step later: not stored twice.
    shifted = {
        v: n
        for v, n in zip(carry, next_carry, strict=True)
        if v in kept and n in kept and n not in carry
    }
    layouts = _layouts(loop, depth, linear is not None)
    return Plan(
        at[ONCE],
        before,
        crossing,
        broadcast,
        loop,
        [v for v in kept if v not in shifted],
        shifted,
        after,
        _flat(step, before + after, depth),
        layouts if linear else {},
        {} if linear else layouts | _stored_in_parts(loop, next_carry),
        linear is not None,
        linear is not None and not all(map(_makes(tangents), loop)),
    )


def _makes(some: Collection[Variable]) -> Callable[[Equation], bool]:
    """Whether an equation makes any of `some` variables."""
    return lambda eqn: any(v in some for v in eqn.outvars)


def _price_in_loop(
    step: Step, linear: Linear | None, depth: dict[Variable, int]
) -> Callable[[Equation], float | None]:
    """The price of running an equation in the loop although it could run before it."""
    if linear is None:
        return lambda eqn: cost_again(eqn, depth)
    is_tangent = _makes(linear.tangents)

    def price(eqn: Equation) -> float | None:
        if is_tangent(eqn):
            part = eqn.primitive.name in operations.PARTS
            return cost_again(eqn, depth) if part else None
        return cost_again(eqn, depth, step.recompute)

    return price


def _flat(
    step: Step, eqns: Iterable[Equation], depth: dict[Variable, int]
) -> set[Variable]:
    """Products over all steps that are one of two matrices."""
    is_weight = lambda a: is_variable(a) and depth[a] == ONCE
    sizes = lambda eqn: [step.length, *(n for a in eqn.invars for n in a.aval.shape)]
    return {
        eqn.outvars[0]
        for eqn in eqns
        if products.is_product_with_weight(eqn, is_weight) and not symbolic(sizes(eqn))
    }


def _layouts(
    loop: Iterable[Equation], depth: dict[Variable, int], linear: bool
) -> dict[Variable, How]:
    """Products of the loop whose weight is better laid out anew, ahead of the loop."""
    is_weight = lambda a: is_variable(a) and depth[a] == ONCE
    with_weight = [e for e in loop if products.is_product_with_weight(e, is_weight)]
    found = {e.outvars[0]: products.weight_layout(e, linear) for e in with_weight}
    return {v: how for v, how in found.items() if how}


def _stored_in_parts(
    loop: list[Equation], next_carry: list[Atom]
) -> dict[Variable, How]:
    """Concatenations of floats that nothing in the loop reads whole."""
    read = {*variables(next_carry), *variables(a for e in loop for a in e.invars)}
    joins = [e.outvars[0] for e in loop if e.primitive is lax.concatenate_p]
    return {v: How.PARTS for v in joins if v not in read and differentiable(v)}


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
    in_loop = {v for eqn in loop for v in variables(eqn.outvars)}
    inside = lambda eqn: not in_loop.isdisjoint(eqn.outvars)
    joins = [eqn for eqn in eqns if eqn.primitive is lax.concatenate_p]
    for eqn in (eqn for eqn in joins if eqn.outvars[0] in ys):
        more = [e for e in needed(eqns, eqn.outvars) if not inside(e)]
        mere = all(e is eqn or e.primitive.name in operations.LIGHT for e in more)
        if mere:
            in_loop.update(v for e in more for v in variables(e.outvars))
    return [e for e in eqns if inside(e)], [e for e in eqns if not inside(e)]


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


def cost_again(
    eqn: Equation, depth: dict[Variable, int], recompute: bool = False
) -> float | None:
    """The price of computing `eqn` a second time, as in `operations.cost_again`.

    It is next to nothing where all but carries is to be recomputed.
    """
    first = eqn.invars[0] if eqn.invars else None
    of_weights = not is_variable(first) or depth[first] == ONCE
    price = operations.cost_again(eqn, of_weights)
    return price if price == 0 or not recompute else 1e-3


def light(eqns: Iterable[Equation]) -> list[Equation]:
    """Equations that make much out of little, and are never better done beforehand."""
    return [eqn for eqn in eqns if eqn.primitive.name in operations.LIGHT]
