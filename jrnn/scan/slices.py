"""Slices that share an array out among them, made one split.

The derivative of a slice is an array of zeros but for one place, and that of several
the sum of those arrays. The derivative of a split joins those of its parts, which can
be stored one beside the other. Gates cut out one by one, z[:H], z[H:2 * H], then cost
no more than those of `jnp.split`.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.extend import core

from jrnn.scan.program import (
    Equation,
    Variable,
    apply,
    constants,
    examples,
    is_variable,
    opened,
    read,
    trace,
    variables,
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
    uses = Counter(a for eqn in jaxpr.eqns for a in eqn.invars if is_variable(a))
    uses.update(variables(jaxpr.outvars))
    differentiable = lambda v: jnp.issubdtype(v.aval.dtype, jnp.inexact)
    slices: dict[Variable, list[_Cut | None]] = {}
    for eqn in jaxpr.eqns:
        is_slice = eqn.primitive is lax.slice_p and eqn.invars[0] in among
        if is_slice and differentiable(eqn.invars[0]):
            slices.setdefault(eqn.invars[0], []).append(_cut(eqn))
    shared = {
        v: sorted(set(cuts))
        for v, cuts in slices.items()
        if len(cuts) == uses[v] and _cover(set(cuts), v.aval.shape)
    }
    if not shared:
        return program

    def split(*args: Any) -> list[Any]:
        env = constants(program) | dict(zip(jaxpr.invars, args, strict=True))
        parts: dict[Variable, list[Any]] = {}
        for eqn in jaxpr.eqns:
            v = eqn.invars[0] if eqn.invars else None
            if eqn.primitive is lax.slice_p and is_variable(v) and v in shared:
                cuts = shared[v]
                if v not in parts:
                    sizes = [cut.limit - cut.start for cut in cuts]
                    parts[v] = lax.split(env[v], sizes, cuts[0].axis)
                made = [parts[v][cuts.index(_cut(eqn))]]
            else:
                made = apply(eqn, [read(env, a) for a in eqn.invars])
            env |= zip(eqn.outvars, made, strict=True)
        return [read(env, a) for a in jaxpr.outvars]

    return trace(split, examples(jaxpr.invars))


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


def _cover(cuts: Collection[_Cut | None], shape: tuple[int, ...]) -> bool:
    """Whether each element is in one of the cuts, and in no other."""
    if None in cuts or len({cut.axis for cut in cuts}) > 1:
        return False
    *_, last = ordered = sorted(cuts)
    limits = [0, *(cut.limit for cut in ordered)]
    starts = [*(cut.start for cut in ordered), shape[last.axis]]
    return limits == starts
