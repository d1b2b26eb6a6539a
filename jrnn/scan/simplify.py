"""Rewrites that leave a program's meaning and make its loop smaller."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from jax import lax

from jrnn.scan.operations import SUMS
from jrnn.scan.program import (
    Atom,
    Environment,
    Equation,
    Variable,
    apply,
    count_uses,
    is_variable,
    read,
)


def evaluate_sums_early(
    eqns: Sequence[Equation],
    env: Environment,
    targets: Sequence[Atom],
    late: Callable[[Variable], bool],
    evaluate_one: Callable[[Equation, list[Any]], list[Any]] = apply,
    linear: bool = False,
) -> None:
    """Evaluate `eqns`, adding up first what is not late, so that one value crosses.

    Args:
        eqns: the equations.
        env: values by variable; the results are added.
        targets: what is read of the results.
        late: whether a variable is known only inside the loop.
        evaluate_one: how to evaluate an equation that is not a late sum.
        linear: whether the equations are to be transposed.
    """
    uses = count_uses(eqns, targets)
    sums = late_sums(eqns, late)
    absorbed = {
        a for eqn in sums.values() for a in eqn.invars if _inner(a, eqn, sums, uses)
    }

    def as_written(eqn: Equation) -> Any:
        inner = lambda a: is_variable(a) and a in absorbed
        values = [as_written(sums[a]) if inner(a) else read(env, a) for a in eqn.invars]
        return apply(eqn, values)[0]

    for eqn in eqns:
        result = eqn.outvars[0]
        if result not in sums:
            values = evaluate_one(eqn, [read(env, a) for a in eqn.invars])
            env.update(zip(eqn.outvars, values, strict=True))
        elif result not in absorbed:
            is_late = lambda a: is_variable(a) and late(a)
            leaves = sorted(terms(result, sums, uses), key=is_late)
            early = [a for a in leaves if is_variable(a) and not late(a)]
            # The order of a sum is the author's, unless another saves an array.
            if linear or len(early) > 1:
                value = total([read(env, a) for a in leaves])
            else:
                value = as_written(eqn)
            # The derivative of a sum goes to every term: have it computed once, not
            # once for each term, as a compiler may choose to do.
            share = linear and len(leaves) > 2
            env[result] = lax.optimization_barrier(value) if share else value


def late_sums(
    eqns: Sequence[Equation], late: Callable[[Variable], bool]
) -> dict[Variable, Equation]:
    """The equations that add to something late, by their results."""
    results = [(eqn.outvars[0], eqn) for eqn in eqns if eqn.primitive.name in SUMS]
    return {v: eqn for v, eqn in results if late(v)}


def terms(
    result: Variable, sums: dict[Variable, Equation], uses: Counter[Variable]
) -> list[Atom]:
    """What one of `sums` adds up, those of them that only it reads taken apart."""
    eqn = sums[result]
    inner = lambda a: _inner(a, eqn, sums, uses)
    return [t for a in eqn.invars for t in (terms(a, sums, uses) if inner(a) else [a])]


def total(values: Sequence[Any]) -> Any:
    """Early values come first; each later one is added to what there is."""
    return functools.reduce(lax.add, values)


def _inner(
    atom: Atom, eqn: Equation, sums: dict[Variable, Equation], uses: Counter[Variable]
) -> bool:
    """Whether `atom` is a sum that only `eqn` reads, and of the shape of its result."""
    kind = lambda a: (a.aval.shape, a.aval.dtype)
    alone = is_variable(atom) and atom in sums and uses[atom] == 1
    return alone and kind(atom) == kind(eqn.outvars[0])
