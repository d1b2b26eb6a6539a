"""Sums divided into parts, where some of the parts are added to something else.

    (r, z, n) = split(e + l),   r + f,  z + g,  ...          e, f, g known early

of which r and z need (e_r + f) + l_r and (e_z + g) + l_z only. What is known early is
added up ahead of the loop then, part by part, and less crosses into it: of the tangents
of a GRU's two products the sum for its gates r and z, and both for its new gate.
"""

import functools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from jax import lax
from jax.extend import core

from jrnn.scan.operations import SUMS
from jrnn.scan.program import (
    Atom,
    Environment,
    Equation,
    Variable,
    apply,
    dependents,
    is_variable,
    opened,
    read,
    rewritten,
    variables,
)


class _Division(NamedTuple):
    """How to divide a sum that is split."""

    split: Equation
    early: list[Atom]  # terms of the sum
    late: list[Atom]
    other: Equation  # splits something early into parts of the same sizes
    added: list[bool]  # parts that are only added to that of the other


def divide_sums(
    program: core.ClosedJaxpr, late_inputs: Collection[Variable]
) -> core.ClosedJaxpr:
    """Divide the sums of a flat program, all of whose sums may be reordered.

    Args:
        program: the program.
        late_inputs: those of its inputs that are known late.
    """
    jaxpr, _ = opened(program)
    late = dependents(jaxpr.eqns, late_inputs)
    instead = {
        id(how.split): functools.partial(_divide, how)
        for how in _divisions(jaxpr.eqns, jaxpr.outvars, late)
    }
    # what is early first: the other split may be written behind the one divided
    is_late = lambda eqn: not late.isdisjoint(eqn.outvars)
    return rewritten(program, instead, sorted(jaxpr.eqns, key=is_late))


def _divide(how: _Division, env: Environment) -> Environment:
    """The parts of both splits, where they are added the early ones with the other."""
    split = how.split
    shape = split.invars[0].aval.shape
    early, late = (
        apply(split, [_total([read(env, a) for a in terms], shape)])
        for terms in (how.early, how.late)
    )
    others = [env[v] for v in how.other.outvars]
    for i, added in enumerate(how.added):
        if added:
            others[i] = lax.add(others[i], early[i])
        else:
            late[i] = lax.add(early[i], late[i])
    # joined, to cross into the loop, and come out of its derivative, as one array
    joined = lax.concatenate(others, split.params["axis"])
    parts = [*apply(how.other, [joined]), *late]
    return dict(zip([*how.other.outvars, *split.outvars], parts, strict=True))


def _total(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    total = functools.reduce(lax.add, values)
    if total.shape == shape:
        return total
    return lax.broadcast_in_dim(total, shape, range(len(shape)))


def _divisions(
    eqns: Sequence[Equation], outputs: Sequence[Atom], late: Collection[Variable]
) -> Iterator[_Division]:
    """The divisions that let less cross into the loop."""
    uses = Counter(a for eqn in eqns for a in eqn.invars if is_variable(a))
    uses.update(variables(outputs))
    once = lambda a: is_variable(a) and uses[a] == 1
    is_late = lambda a: is_variable(a) and a in late
    sums = {
        eqn.outvars[0]: eqn
        for eqn in eqns
        if eqn.primitive.name in SUMS and is_late(eqn.outvars[0])
    }

    def terms(total: Variable) -> list[Atom]:
        alike = lambda a: a.aval.shape == total.aval.shape
        inner = lambda a: once(a) and a in sums and alike(a)
        return [
            term for a in sums[total].invars for term in (terms(a) if inner(a) else [a])
        ]

    beside: dict[Atom, set[Atom]] = {}  # of terms read once: what they are added to
    for total in sums:
        found = {a for a in terms(total) if once(a)}
        beside |= {a: found for a in found}

    splits = [eqn for eqn in eqns if eqn.primitive is lax.split_p]
    for split in splits:
        total = split.invars[0]
        found = terms(total) if once(total) and total in sums else []
        early = [a for a in found if not is_late(a)]
        for other in splits:
            if early and _alike(split, other) and not is_late(other.invars[0]):
                zipped = zip(split.outvars, other.outvars, strict=True)
                added = [f in beside.get(part, ()) for part, f in zipped]
                if any(added):
                    later = [a for a in found if is_late(a)]
                    yield _Division(split, early, later, other, added)
                    break


def _alike(a: Equation, b: Equation) -> bool:
    """Whether two splits do the same to arrays of one shape."""
    same_shape = a.invars[0].aval.shape == b.invars[0].aval.shape
    return same_shape and a.params == b.params
