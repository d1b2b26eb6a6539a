"""How much memory moving work out of a loop may take.

What runs ahead of the loop or behind it for all steps at once makes arrays of all
steps, which `jax.lax.scan` never has; and many a loop is there to keep an array small,
one part of it at a time. So what is moved has a budget in bytes. Where it would need
more, only as many steps as fit are done at once, one chunk of them after another.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from jax import lax

from jrnn._programs.program import (
    Atom,
    Equation,
    Variable,
    count,
    inner_programs,
    is_variable,
    size,
    variables,
)
from jrnn.scan.operations import cost_again
from jrnn.scan.step import Step

if TYPE_CHECKING:
    from jrnn.scan.plan.placement import Plan

# Bytes that nobody minds, however little the loop itself holds.
LEAST = 4 * 2**20
# Bytes a step from which on more steps at once gain little, and the most for those.
_LARGE, _MOST = 2**20, 16 * 2**20
# Fewer steps at once than these are not worth a loop of their own.
_FEW = 4
# A product of matrices all of whose sides are as long as this is no faster for being
# computed for many steps at once, if its arrays are no larger than that, in bytes.
_LONG, _CACHED = 256, 4 * 2**20


def steps_at_once(
    step: Step, where: "Plan", spare: Collection[Variable] = ()
) -> int | None:
    """For how many steps at once to do what is moved; None for all of them."""
    moved, length = moved_bytes(step, where, spare), step.length
    if not isinstance(length, int) or not moved:
        return None
    budget = step.budget
    if budget is None:
        if moved >= _LARGE and not any(map(_gains, [*where.before, *where.after])):
            return 1
        held = length * sum(map(size, [*step.inputs()[2], *step.outputs()[1]]))
        # who has values computed again minds the memory more
        budget = held if step.recompute else 2 * held
        budget = max(LEAST, min(budget, _MOST) if moved >= _LARGE else budget)
    most = budget // moved
    if most >= length:
        return None
    return _even(length, most) if most >= _FEW else 1


def _gains(eqn: Equation) -> bool:
    """Whether large arrays pay: whether `eqn` has products with a short side."""
    if eqn.primitive is not lax.dot_general_p:
        inner = [e for program in inner_programs(eqn) for e in program.eqns]
        return any(map(_gains, inner))
    (contracted, _), (batch, _) = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    together = count(shape[d] for d in batch)
    summed = count(shape[d] for d in contracted)
    arrays = [*eqn.invars, *eqn.outvars]
    others = max(together * summed, 1)
    left, right = (count(a.aval.shape) // others for a in eqn.invars)
    return min(left, right, summed) < _LONG or max(map(size, arrays)) > _CACHED


def moved_bytes(step: Step, where: "Plan", spare: Collection[Variable] = ()) -> int:
    """Bytes a step of the arrays that are there only because work was moved.

    Args:
        step: the step.
        where: its plan.
        spare: inputs whose memory small results of the loop of the same size may take.
    """
    own = {*step.inputs()[2], *(a for a in step.outputs()[1] if is_variable(a))}
    new = lambda atoms: Counter(size(v) for v in atoms if v not in own)
    made = new([*where.entering, *where.stacked, *where.shifted])
    made -= Counter(size(v) for v in spare if size(v) < _LARGE)
    total = lambda sizes: sum(n * count for n, count in sizes.items())
    passing = max(_passing(where.before, own), _passing(where.after, own))
    return total(made) + passing


def _passing(eqns: Sequence[Equation], own: Collection[Atom]) -> int:
    """Bytes, at most at a time, of what `eqns` make for each other.

    Cheap results are not stored: compilers fuse them into what reads them.
    """
    last = {v: i for i, eqn in enumerate(eqns) for v in variables(eqn.invars)}
    ends: dict[int, int] = {}
    now = most = 0
    for i, eqn in enumerate(eqns):
        made = [] if cost_again(eqn) == 0 else eqn.outvars
        for v in made:
            if last.get(v, i) > i and v not in own:
                now += size(v)
                ends[last[v]] = ends.get(last[v], 0) + size(v)
        most = max(most, now)
        now -= ends.get(i, 0)
    return most


def _even(length: int, most: int) -> int:
    """The size of chunks of at most so many steps, where possible all equal."""
    divisors = [n for n in range(most, most // 2, -1) if length % n == 0]
    return divisors[0] if divisors else -(-length // -(-length // most))
