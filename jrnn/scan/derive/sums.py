"""Sums divided into parts, where some of the parts are added to something else.

    (r, z, n) = split(e + l),   r + f,  z + g,  ...          e, f, g known early

of which r and z need (e_r + f) + l_r and (e_z + g) + l_z only. What is known early is
added up ahead of the loop then, part by part, and less crosses into it: of the tangents
of a GRU's two products the sum for its gates r and z, and both for its new gate.
"""

import functools
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.extend import core

from jrnn._programs.program import (
    Atom,
    Environment,
    Equation,
    Variable,
    apply,
    count_uses,
    dependents,
    is_variable,
    opened,
    read,
    rewritten,
)
from jrnn.scan.normalise.simplify import late_sums, total, whole_sums


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
        apply(split, [jnp.broadcast_to(total([read(env, a) for a in atoms]), shape)])
        for atoms in (how.early, how.late)
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


def _divisions(
    eqns: Sequence[Equation], outputs: Sequence[Atom], late: Collection[Variable]
) -> Iterator[_Division]:
    """The divisions that let less cross into the loop."""
    uses = count_uses(eqns, outputs)
    once = lambda a: is_variable(a) and uses[a] == 1
    is_late = lambda a: is_variable(a) and a in late
    sums = whole_sums(late_sums(eqns, is_late), uses)

    beside: dict[Atom, set[Atom]] = {}  # of terms read once: what they are added to
    for whole in sums.values():
        found = {a for a in whole.terms if once(a)}
        beside |= {a: found for a in found}

    splits = [eqn for eqn in eqns if eqn.primitive is lax.split_p]
    for split in splits:
        result = split.invars[0]
        alone = once(result) and result in sums
        found = sums[result].terms if alone else []
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
