"""Rewrites that leave a program's meaning and make its loop smaller."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax import lax
from jax.interpreters import ad

from jrnn._programs.operation import batch_as_itself, lower, operation
from jrnn._programs.program import (
    Atom,
    Environment,
    Equation,
    Variable,
    apply,
    count_uses,
    differentiable,
    in_place_of,
    is_variable,
    read,
    variables,
)
from jrnn.scan.operations import SUMS


def evaluate_sums_early(
    eqns: Sequence[Equation],
    env: Environment,
    targets: Sequence[Atom],
    late: Callable[[Variable], bool],
    evaluate_one: Callable[[Equation, list[Any]], list[Any]] = apply,
    linear: bool = False,
) -> None:
    """Evaluate `eqns`, adding up first what is not late, so that one value crosses.

    The order of a sum is the author's, unless its terms are floats, one of them is a
    product of matrices, and another order saves an array.

    Args:
        eqns: the equations.
        env: values by variable; the results are added.
        targets: what is read of the results.
        late: whether a variable is known only inside the loop.
        evaluate_one: how to evaluate an equation that is not a late sum.
        linear: whether the equations are to be transposed: all sums may be reordered.
    """
    sums = whole_sums(late_sums(eqns, late), count_uses(eqns, targets))
    products = {v for e in eqns if e.primitive is lax.dot_general_p for v in e.outvars}
    is_late = lambda a: is_variable(a) and late(a)

    def pays(result: Variable) -> bool:
        """Whether another order than the author's may be taken, and saves an array."""
        leaves = sums[result].terms
        early = [a for a in leaves if is_variable(a) and not late(a)]
        of_products = not products.isdisjoint(variables(leaves))
        return len(early) > 1 and differentiable(result) and of_products

    reordered = {v: w for v, w in sums.items() if linear or pays(v)}
    given_up = {v for whole in reordered.values() for v in whole.inside}
    for eqn in eqns:
        result = eqn.outvars[0]
        if result in reordered:
            leaves = sorted(reordered[result].terms, key=is_late)
            with in_place_of(eqn):
                value = total([read(env, a) for a in leaves])
                # The derivative of a sum goes to every term: computed once, not once
                # for each term, as a compiler may choose to do.
                env[result] = shared(value) if linear and len(leaves) > 2 else value
        elif result not in given_up:
            values = evaluate_one(eqn, [read(env, a) for a in eqn.invars])
            env.update(zip(eqn.outvars, values, strict=True))


def late_sums(
    eqns: Sequence[Equation], late: Callable[[Variable], bool]
) -> dict[Variable, Equation]:
    """The equations that add to something late, by their results."""
    results = [(eqn.outvars[0], eqn) for eqn in eqns if eqn.primitive.name in SUMS]
    return {v: eqn for v, eqn in results if late(v)}


class Sum(NamedTuple):
    """What a sum adds up, and the sums inside it that nothing else reads."""

    terms: list[Atom]
    inside: list[Variable]


def whole_sums(
    sums: dict[Variable, Equation], uses: Counter[Variable]
) -> dict[Variable, Sum]:
    """The sums that are no mere part of another, each taken apart to its terms."""
    parts: set[Variable] = set()
    found = {}
    for result in reversed(sums):  # a sum comes behind its parts
        if result not in parts:
            found[result] = _taken_apart(result, sums, uses)
            parts.update(found[result].inside)
    return dict(reversed(found.items()))


def _taken_apart(
    result: Variable, sums: dict[Variable, Equation], uses: Counter[Variable]
) -> Sum:
    """One of `sums`, in the order written; without recursion, for sums are long."""
    kind = lambda a: (a.aval.shape, a.aval.dtype)
    whole = Sum([], [])
    left: list[Atom] = [*reversed(sums[result].invars)]
    while left:
        atom = left.pop()
        alone = is_variable(atom) and atom in sums and uses[atom] == 1
        if alone and kind(atom) == kind(result):
            whole.inside.append(atom)
            left.extend(reversed(sums[atom].invars))
        else:
            whole.terms.append(atom)
    return whole


def total(values: Sequence[Any]) -> Any:
    """Early values come first; each later one is added to what there is."""
    return functools.reduce(lax.add, values)


def shared(value: Any) -> Any:
    """`value`, whose cotangent CPUs compute once, and not once for each that reads it.

    A compiler for CPUs may choose to compute a cheap value again for every reader.
    """
    return _shared_p.bind(value)[0]


def _share_cotangent(cts: Sequence[Any], x: Any) -> list[Any]:
    return [ad.Zero(x.aval) if isinstance(cts[0], ad.Zero) else shared(cts[0])]


_shared_p = operation("jrnn_shared", lambda x: [x], lambda: lambda x: [x])
ad.primitive_transposes[_shared_p] = _share_cotangent
batch_as_itself(_shared_p)
lower(_shared_p, lambda: lambda x: [lax.optimization_barrier(x)], platform="cpu")
