"""Products with a weight: the same numbers, in the form that costs least.

Compilers multiply fastest where the left operand contracts its last axis and the right
one its first, and where an operand has two axes.
"""

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from jrnn._programs.program import (
    Atom,
    Equation,
    apply,
    count,
)

# From so many rows on it matters which way a weight lies.
_FEW = 4
# Columns of a vector-matrix product that are computed side by side; those that are left
# over are computed one by one, and can cost as much as all the others.
_LANES = 8


def is_product_with_weight(eqn: Equation, is_weight: Callable[[Atom], bool]) -> bool:
    """Whether `eqn` is a product `x @ w` of one contracted axis, w being a weight."""
    if eqn.primitive is not lax.dot_general_p:
        return False
    x, w = eqn.invars
    (x_axes, _), (batch, _) = eqn.params["dimension_numbers"]
    return is_weight(w) and not is_weight(x) and len(x_axes) == 1 and not batch


def multiply_all_rows(eqn: Equation, x: Any, w: Any) -> list[Any]:
    """The product over all time steps as one of two matrices.

    Its derivative by the weight, again a product of two matrices, needs no copy of its
    operands then.
    """
    ((axis,), right), batch = eqn.params["dimension_numbers"]
    rows = [n for i, n in enumerate(x.shape) if i != axis + 1]
    x = x if axis + 2 == x.ndim else lax.transpose(x, _last(axis + 1, x.ndim))
    flat = lax.reshape(x, (math.prod(rows), x.shape[-1]))
    numbers = (((1,), right), batch)
    (out,) = apply(_with_numbers(eqn, numbers), [flat, w])
    return [lax.reshape(out, (*rows, *out.shape[1:]))]


def apply_weight_on_the_right(
    eqn: Equation, values: Sequence[Any], is_weight: Callable[[Atom], bool]
) -> list[Any]:
    """Evaluate `eqn`; where it is `w @ x` with a vector x, as `x @ w`.

    Many vectors x, of a batch or of all steps, are then the rows of one left operand.
    """
    if eqn.primitive is lax.dot_general_p:
        w, x = eqn.invars
        (w_axes, x_axes), (batch, _) = eqn.params["dimension_numbers"]
        vector = x.aval.ndim == len(x_axes) and not batch
        if vector and is_weight(w) and not is_weight(x):
            swapped = _with_numbers(eqn, ((x_axes, w_axes), ((), ())))
            return apply(swapped, values[::-1])
    return apply(eqn, values)


class How(enum.Enum):
    """How an equation of the loop runs that does not run as it is written."""

    TRANSPOSED = enum.auto()  # a product, its weight transposed once, ahead of the loop
    PADDED = enum.auto()  # a product, its weight given columns of zeros once, ahead
    PARTS = enum.auto()  # a concatenation, its operands stored each in its place


def weight_layout(eqn: Equation, linear: bool) -> How | None:
    """How the weight of a product of the loop is better laid out; None for as it is.

    Args:
        eqn: a product with a weight.
        linear: whether the loop is to be transposed, and with it its products.
    """
    x, w = eqn.invars
    if w.aval.ndim != 2:
        return None
    (left, (axis,)), _ = eqn.params["dimension_numbers"]
    rows = count(n for i, n in enumerate(x.aval.shape) if i != left[0])
    columns = count([w.aval.shape[1 - axis]])
    if rows >= _FEW and axis != (1 if linear else 0):
        return How.TRANSPOSED
    if rows == 1 and not linear and columns > _LANES and columns % _LANES:
        return How.PADDED
    return None


def lay_out(eqn: Equation, how: How, w: Any) -> Any:
    """The weight of a product in the layout `how`."""
    (_, (axis,)), _ = eqn.params["dimension_numbers"]
    return w.T if how is How.TRANSPOSED else _wider(w, 1 - axis)


def multiply(eqn: Equation, how: How, x: Any, w: Any) -> list[Any]:
    """The product `eqn` of x and a weight in the layout `how`."""
    (left, (axis,)), batch = eqn.params["dimension_numbers"]
    if how is How.TRANSPOSED:
        return apply(_with_numbers(eqn, ((left, (1 - axis,)), batch)), [x, w])
    columns = eqn.invars[1].aval.shape[1 - axis]
    (out,) = apply(eqn, [x, w])
    return [lax.slice_in_dim(out, 0, columns, axis=-1)]


def _wider(w: Any, axis: int) -> Any:
    """Zeros added along `axis` up to a whole number of lanes."""
    missing = [(0, 0, 0)] * w.ndim
    missing[axis] = (0, -w.shape[axis] % _LANES, 0)
    return lax.pad(w, jnp.zeros((), w.dtype), missing)


def _last(axis: int, ndim: int) -> list[int]:
    return [i for i in range(ndim) if i != axis] + [axis]


def _with_numbers(eqn: Equation, numbers: Any) -> Equation:
    return eqn.replace(params={**eqn.params, "dimension_numbers": numbers})
