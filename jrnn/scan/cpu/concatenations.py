"""Concatenations that share most of their parts with an array that exists already.

The cotangents of a GRU's two products are equal for its gates r and z. After the last
equation that reads the first array of them, the second is made in its memory, by
changing the part that differs.
"""

import itertools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from jax import lax

from jrnn._programs.program import (
    Equation,
    Variable,
    dependents,
    is_variable,
    type_of,
    variables,
)


class Update(NamedTuple):
    """How to make a concatenation of another array, by changing some of its parts."""

    whole: Variable  # the other array
    axis: int
    new: list[tuple[int, int]]  # operands that are no part of it, and where they begin

    def apply(self, whole: Any, operands: Sequence[Any], shift: Any) -> Any:
        """The concatenation; `shift` is 0."""
        for i, start in self.new:
            at = start + shift
            whole = lax.dynamic_update_slice_in_dim(whole, operands[i], at, self.axis)
        return whole


class _Part(NamedTuple):
    """A variable's place in another, of which it is a part."""

    whole: Variable
    axis: int
    start: int


def updates(eqns: Sequence[Equation]) -> dict[Variable, Update]:
    """By result, the concatenations that share some of their parts with an array."""
    parts = {v: part for eqn in eqns for v, part in _parts(eqn).items()}
    found = {}
    for eqn in eqns:
        if eqn.primitive is lax.concatenate_p:
            axis = eqn.params["dimension"]
            starts = _starts([type_of(a).shape[axis] for a in eqn.invars])
            at = [parts.get(a) if is_variable(a) else None for a in eqn.invars]
            for whole in dict.fromkeys(part.whole for part in at if part):
                places = [_Part(whole, axis, start) for start in starts]
                new = [(i, p.start) for i, p in enumerate(places) if at[i] != p]
                alike = type_of(whole).shape == type_of(eqn.outvars[0]).shape
                if alike and 0 < len(new) < len(at):
                    found[eqn.outvars[0]] = Update(whole, axis, new)
    return found


def put_last(eqns: Sequence[Equation], some: Collection[Variable]) -> list[Equation]:
    """The same equations, those that make or need `some` variables last."""
    late = dependents(eqns, some)
    return sorted(eqns, key=lambda eqn: not late.isdisjoint(eqn.outvars))


def final_results(eqns: Sequence[Equation], source: Variable) -> list[Variable]:
    """What depends on `source` and no equation reads, but for its parts."""
    parts = {v for eqn in eqns for v in _parts(eqn)}
    reached = dependents(eqns, [source]) - {source} - parts
    read = set(variables([a for eqn in eqns for a in eqn.invars]))
    made = [v for eqn in eqns for v in variables(eqn.outvars)]
    return [v for v in made if v in reached and v not in read]


def _parts(eqn: Equation) -> dict[Variable, _Part]:
    """The results of `eqn` that are parts of its operand."""
    if eqn.primitive is not lax.split_p or not is_variable(eqn.invars[0]):
        return {}
    starts = _starts(eqn.params["sizes"])
    whole, axis = eqn.invars[0], eqn.params["axis"]
    zipped = zip(eqn.outvars, starts, strict=True)
    return {v: _Part(whole, axis, start) for v, start in zipped}


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *itertools.accumulate(map(int, sizes[:-1]))]
