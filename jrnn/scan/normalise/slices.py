"""Slices that share an array out among them, made one split.

The derivative of a slice is an array of zeros but for one place, and that of several
the sum of those arrays. The derivative of a split joins those of its parts, which can
be stored one beside the other. Gates cut out one by one, z[:H], z[H:2 * H], then cost
no more than those of `jnp.split`.
"""

import functools
from collections.abc import Callable, Collection
from typing import NamedTuple

from jax import lax
from jax.extend import core

from jrnn._programs.program import (
    Environment,
    Equation,
    Variable,
    count_uses,
    differentiable,
    is_variable,
    opened,
    rewritten,
)


class _Cut(NamedTuple):
    """What a slice takes of its operand, along the only axis that it cuts."""

    axis: int
    start: int
    limit: int


def split_slices(
    program: core.ClosedJaxpr, among: Collection[Variable]
) -> core.ClosedJaxpr:
    """Make slices of one variable a split, where they take all of it and nothing twice.

    Args:
        program: a flat program.
        among: the variables whose slices matter.
    """
    jaxpr, _ = opened(program)
    uses = count_uses(jaxpr.eqns, jaxpr.outvars)
    slices: dict[Variable, list[Equation]] = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive is lax.slice_p and is_variable(v := eqn.invars[0]):
            if v in among and differentiable(v):
                slices.setdefault(v, []).append(eqn)
    instead: dict[int, Callable[[Environment], Environment]] = {}
    for v, readers in slices.items():
        if len(readers) == uses[v] and _cover(readers):
            # the first makes what all of them do
            instead |= {id(eqn): lambda env: {} for eqn in readers}
            instead[id(readers[0])] = functools.partial(_parts, v, readers)
    return rewritten(program, instead)


def _parts(v: Variable, slices: list[Equation], env: Environment) -> Environment:
    """The results of `slices` of `v`, by one split."""
    cuts = sorted({_cut(eqn) for eqn in slices})
    sizes = [cut.limit - cut.start for cut in cuts]
    parts = lax.split(env[v], sizes, cuts[0].axis)
    return {eqn.outvars[0]: parts[cuts.index(_cut(eqn))] for eqn in slices}


def _cut(eqn: Equation) -> _Cut | None:
    """What a slice takes; None if it cuts several axes or leaves gaps."""
    shape = eqn.invars[0].aval.shape
    starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
    cut = [
        _Cut(axis, start, limit)
        for axis, (start, limit) in enumerate(zip(starts, limits, strict=True))
        if (start, limit) != (0, shape[axis])
    ]
    gaps = set(eqn.params["strides"] or [1]) != {1}
    return None if gaps or len(cut) != 1 else cut[0]


def _cover(slices: Collection[Equation]) -> bool:
    """Whether each element of their operand is in one slice, or in equal ones only."""
    cuts = {_cut(eqn) for eqn in slices}
    if None in cuts or len({cut.axis for cut in cuts}) > 1:
        return False
    *_, last = ordered = sorted(cuts)
    size = next(iter(slices)).invars[0].aval.shape[last.axis]
    limits = [0, *(cut.limit for cut in ordered)]
    return limits == [*(cut.start for cut in ordered), size]
