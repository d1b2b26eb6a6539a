"""The step of a stack, by which `unroll` knows its layers."""

from dataclasses import dataclass

from jrnn.cell import Carry, Cell, DiagonalStep, Input, Key, Output, Params, StepFn


@dataclass(frozen=True)
class StackStep:
    """A step that is the steps of layers, each with the output of the one before."""

    cells: tuple[Cell, ...]
    step: StepFn

    def __call__(
        self, params: Params, carry: Carry, x: Input, *, key: Key | None = None
    ) -> tuple[Carry, Output]:
        return self.step(params, carry, x, key=key)


def has_diagonal(cell: Cell) -> bool:
    """Whether this is a cell declared `diagonal`, or a stack with one among its layers.

    Args:
        cell: any cell.

    Returns:
        Whether some of its states can be computed in parallel.
    """
    if isinstance(cell.step, StackStep):
        return any(map(has_diagonal, cell.step.cells))
    return isinstance(cell.step, DiagonalStep)
