"""What a derivative's loop reads, side by side in arrays as large as its results.

The loop that goes back in time reads what was stored at each step, and stores a
cotangent of, say, an LSTM's four gates. With the four values of the gates in one array
of the same size, the cotangents can take their place.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

from jrnn._programs.operation import example
from jrnn._programs.program import Variable, count, symbolic
from jrnn.scan.plan.placement import Linear, Plan, read_only_in_loop

Group = list[Variable]


def groups(
    where: Plan,
    linear: Linear,
    saved: Sequence[Group],
) -> list[Group]:
    """Group what is saved so that results of the loop can take its place.

    Args:
        where: the plan of the linear step.
        linear: its tangents, and its inputs for what is saved.
        saved: one group, of one variable, for each of these.

    Returns:
        The same variables in other groups; those of a group are alike.
    """
    private = read_only_in_loop(where, linear.saved)
    left = [group for v, group in zip(linear.saved, saved, strict=True) if v in private]
    others = [group for group in saved if group not in left]
    rows = [v.aval for v in where.entering if v in linear.tangents]
    found = []
    for row in sorted(rows, key=lambda row: count(row.shape), reverse=True):
        for (first,) in left:
            alike = [group for group in left if _same(group[0], first)]
            if symbolic([*row.shape, *first.aval.shape]):
                continue
            fit = row.size // max(1, first.aval.size)
            fills = fit * first.aval.size == row.size
            if fills and first.aval.dtype == row.dtype and 0 < fit <= len(alike):
                found.append([v for group in alike[:fit] for v in group])
                left = [group for group in left if group not in alike[:fit]]
                break
    return found + left + others


def pack(values: Sequence[Any]) -> Any:
    """Arrays of one shape side by side on a new leading axis; one array as it is."""
    if len(values) == 1:
        return values[0]
    return lax.concatenate([lax.expand_dims(v, [0]) for v in values], 0)


def unpack(array: Any, count: int) -> list[Any]:
    """The arrays that were packed."""
    if count == 1:
        return [array]
    return [lax.index_in_dim(array, i, keepdims=False) for i in range(count)]


def packed_example(group: Group) -> jax.ShapeDtypeStruct:
    """What the variables of a group look like packed."""
    one = example(group[0].aval)
    if len(group) == 1:
        return one
    return jax.ShapeDtypeStruct((len(group), *one.shape), one.dtype)


def _same(a: Variable, b: Variable) -> bool:
    return (a.aval.shape, a.aval.dtype) == (b.aval.shape, b.aval.dtype)
