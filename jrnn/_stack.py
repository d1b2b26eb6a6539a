"""The step of a stack, by which `unroll` knows its layers."""

from dataclasses import dataclass

from jrnn.cell import Carry, Cell, Input, Key, Output, Params, StepFn


@dataclass(frozen=True)
class StackStep:
    """A step that is the steps of layers, each with the output of the one before."""

    cells: tuple[Cell, ...]
    step: StepFn

    def __call__(
        self, params: Params, carry: Carry, x: Input, *, key: Key | None = None
    ) -> tuple[Carry, Output]:
        return self.step(params, carry, x, key=key)


def has(cell: Cell, kind: type) -> bool:
    """Whether the step of this cell is of a kind, or that of a layer in a stack.

    Args:
        cell: any cell.
        kind: `DiagonalStep`, for instance.

    Returns:
        Whether some of its steps need not be run one after the other.
    """
    if isinstance(cell.step, StackStep):
        return any(has(layer, kind) for layer in cell.step.cells)
    return isinstance(cell.step, kind)
