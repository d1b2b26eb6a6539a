"""The sums through which parameters act on a state, z = v w + ... + b, of a step."""

from collections.abc import Sequence
from typing import NamedTuple

from jrnn._programs import program
from jrnn.online._step import StepProgram

_ADDITIONS = ("add", "add_any")


class Term(NamedTuple):
    """One array of parameters in a sum: v w for weights, b itself for a bias."""

    leaf: int  # which array
    vector: program.Atom | None  # v (I,); None for a bias
    axis: int  # of w, the one that v is multiplied with


class WeightedSum(NamedTuple):
    """A sum z with the parameters in it, which act on the state through it alone.

    The derivative of the state by w is then v ⊗ dh_t/dz.
    """

    z: program.Variable
    terms: tuple[Term, ...]


class UnfactoredError(Exception):
    """An array of parameters that acts on the state in another way."""

    def __init__(self, leaf: int, operations: Sequence[str]):
        super().__init__(leaf, operations)
        self.leaf, self.operations = leaf, operations


def sums(step: StepProgram) -> list[WeightedSum]:
    """All sums by which parameters reach the new state.

    Raises:
        UnfactoredError: parameters that reach it in another way.
    """
    eqns = program.backward_slice(step.eqns, step.new)
    found: dict[program.Variable, list[Term]] = {}
    for leaf, w in enumerate(step.params):
        readers = [eqn for eqn in eqns if w in program.variables(eqn.invars)]
        if not readers and w not in program.variables(step.new):
            continue
        term = _term(leaf, w, readers[0]) if len(readers) == 1 else None
        if term is None or w in program.variables(step.new):
            raise UnfactoredError(leaf, [eqn.primitive.name for eqn in readers])
        z = _whole_sum(eqns, step.new, readers[0].outvars[0])
        found.setdefault(z, []).append(term)
    return [WeightedSum(z, tuple(terms)) for z, terms in found.items()]


def _term(leaf: int, w: program.Variable, eqn: program.Equation) -> Term | None:
    """What an equation makes of an array of parameters, None if no term of a sum."""
    if eqn.primitive.name in _ADDITIONS:
        alike = all(_shape(a) == _shape(w) for a in eqn.invars)
        return Term(leaf, None, 0) if alike else None
    if eqn.primitive.name != "dot_general" or len(_shape(w)) != 2:
        return None
    contracted, batch = eqn.params["dimension_numbers"]
    place = eqn.invars.index(w)
    vector = eqn.invars[1 - place]
    if len(_shape(vector)) != 1 or any(batch) or len(contracted[place]) != 1:
        return None
    return Term(leaf, vector, contracted[place][0])


def _whole_sum(eqns, new, z: program.Variable) -> program.Variable:
    """The sum that z is a term of, as long as it is read by an addition alone."""
    while z not in program.variables(new):
        readers = [eqn for eqn in eqns if z in program.variables(eqn.invars)]
        if len(readers) != 1 or readers[0].primitive.name not in _ADDITIONS:
            return z
        one, other = readers[0].invars
        if one is other or _shape(one) != _shape(other):
            return z
        z = readers[0].outvars[0]
    return z


def _shape(atom: program.Atom) -> tuple:
    return program.type_of(atom).shape
