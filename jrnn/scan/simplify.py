"""Rewrites that leave a program's meaning and make its loop smaller."""

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
    is_variable,
    read,
    variables,
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
    uses = Counter(a for eqn in eqns for a in eqn.invars if is_variable(a))
    uses.update(variables(targets))
    made_by = {o: eqn for eqn in eqns for o in eqn.outvars}
    is_late_sum = lambda eqn: eqn.primitive.name in SUMS and late(eqn.outvars[0])

    def terms(atom: Atom, root: Equation) -> list[Atom]:
        eqn = made_by.get(atom) if is_variable(atom) else None
        inner = eqn is not None and is_late_sum(eqn)
        if atom is root.outvars[0] or (
            inner and uses[atom] == 1 and _alike(atom, root)
        ):
            return [term for a in (eqn or root).invars for term in terms(a, root)]
        return [atom]

    absorbed = {
        a
        for eqn in eqns
        if is_late_sum(eqn)
        for a in variables(eqn.invars)
        if uses[a] == 1 and a in made_by and is_late_sum(made_by[a]) and _alike(a, eqn)
    }

    def as_written(eqn: Equation) -> Any:
        inner = lambda a: is_variable(a) and a in absorbed
        values = [
            as_written(made_by[a]) if inner(a) else read(env, a) for a in eqn.invars
        ]
        return apply(eqn, values)[0]

    for eqn in eqns:
        result = eqn.outvars[0]
        if not is_late_sum(eqn):
            values = evaluate_one(eqn, [read(env, a) for a in eqn.invars])
            env.update(zip(eqn.outvars, values, strict=True))
        elif result not in absorbed:
            leaves = sorted(
                terms(result, eqn), key=lambda a: is_variable(a) and late(a)
            )
            early = [a for a in leaves if is_variable(a) and not late(a)]
            # The order of a sum is the author's, unless another saves an array.
            if linear or len(early) > 1:
                total = _total([read(env, a) for a in leaves])
            else:
                total = as_written(eqn)
            # The derivative of a sum goes to every term: have it computed once, not
            # once for each term, as a compiler may choose to do.
            share = linear and len(leaves) > 2
            env[result] = lax.optimization_barrier(total) if share else total


def _alike(atom: Variable, root: Equation) -> bool:
    out = root.outvars[0].aval
    return (atom.aval.shape, atom.aval.dtype) == (out.shape, out.dtype)


def _total(values: Sequence[Any]) -> Any:
    """Early values come first; each later one is added to what there is."""
    total = values[0]
    for value in values[1:]:
        total = lax.add(total, value)
    return total
