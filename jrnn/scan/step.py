"""The step of a loop as a flat program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax.extend import core

from jrnn._programs.program import Atom, Variable, dependents, is_variable, opened


class Step(NamedTuple):
    """A flat program read as one step, and how often to take it."""

    program: core.ClosedJaxpr  # (weights..., carry..., x...) -> (carry..., y...)
    weights: int  # number of leading inputs that are the same at every step
    carry: int  # number of inputs after them that are fed back
    length: int
    reverse: bool
    unroll: int
    recompute: bool = False  # whether the derivative keeps nothing but carries
    budget: int | None = None  # bytes that work moved out of the loop may take

    def inputs(self) -> tuple[list[Variable], list[Variable], list[Variable]]:
        """The variables of the weights, of the carry and of x."""
        return self.parts(opened(self.program)[0].invars)

    def parts(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Inputs, one for each of the program's, as weights, carry and x."""
        carry, x = self.weights, self.weights + self.carry
        return list(values[:carry]), list(values[carry:x]), list(values[x:])

    def outputs(self) -> tuple[list[Atom], list[Atom]]:
        """The next carry and y."""
        outvars = opened(self.program)[0].outvars
        return list(outvars[: self.carry]), list(outvars[self.carry :])

    def reached(
        self,
        sources: tuple[bool, ...],
        through: Callable[[Atom], bool] = lambda atom: True,
    ) -> tuple[bool, ...]:
        """The inputs that are `sources`, and the carries that come to depend on them.

        Args:
            sources: a flag for each input.
            through: whether a value hands on what reaches it.
        """
        jaxpr, _ = opened(self.program)
        eqns = [eqn for eqn in jaxpr.eqns if any(map(through, eqn.outvars))]
        while True:
            flags = zip(jaxpr.invars, sources, strict=True)
            found = dependents(eqns, [v for v, on in flags if on])
            depends = [
                is_variable(a) and through(a) and a in found for a in self.outputs()[0]
            ]
            weights, carry, x = self.parts(sources)
            grown = [on or more for on, more in zip(carry, depends, strict=True)]
            if grown == carry:
                return sources
            sources = (*weights, *grown, *x)
