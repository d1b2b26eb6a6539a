"""Products with a weight: the same numbers, in the form that costs least.

Compilers multiply fastest where the left operand contracts its last axis and the right
one its first, and where an operand has two axes.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from jrnn._programs.program import (
    Atom,
    Environment,
    Equation,
    apply,
    count,
    is_variable,
)

# From so many rows on it matters which way a weight lies.
_FEW = 4
# Columns of a vector-matrix product that are computed side by side; those that are left
# over are computed one by one, and can cost as much as all the others.
_LANES = 8


def with_weight(eqn: Equation, weights: Environment) -> bool:
    """Whether `eqn` is a product `x @ w` of one contracted axis, w being a weight."""
    if eqn.primitive is not lax.dot_general_p:
        return False
    x, w = eqn.invars
    (x_axes, _), (batch, _) = eqn.params["dimension_numbers"]
    is_weight = lambda a: is_variable(a) and a in weights
    return is_weight(w) and not is_weight(x) and len(x_axes) == 1 and not batch


def all_rows_at_once(eqn: Equation, x: Any, w: Any) -> list[Any]:
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


def prepared_products(
    eqns: Iterable[Equation], weights: Environment, linear: bool, cpu: bool
) -> dict[int, Callable[[Any], list[Any]]]:
    """Products of the loop whose weight is better rearranged once, ahead of the loop.

    Args:
        eqns: the equations of the loop.
        weights: values that are the same at every step.
        linear: whether the loop is to be transposed, and with it its products.
        cpu: whether the program is for CPUs; if not, only a linear loop's change.

    Returns:
        For equations by `id`: the product to evaluate instead, a function of x.
    """
    found = {}
    for eqn in eqns if linear or cpu else []:
        if not with_weight(eqn, weights) or eqn.invars[1].aval.ndim != 2:
            continue
        x, w = eqn.invars
        (left, (axis,)), batch = eqn.params["dimension_numbers"]
        rows = count(n for i, n in enumerate(x.aval.shape) if i != left[0])
        columns = count([w.aval.shape[1 - axis]])
        if rows >= _FEW and axis != (1 if linear else 0):
            swapped = _with_numbers(eqn, ((left, (1 - axis,)), batch))
            found[id(eqn)] = functools.partial(_times, swapped, w=weights[w].T)
        elif rows == 1 and not linear and columns > _LANES and columns % _LANES:
            found[id(eqn)] = functools.partial(
                _some_columns, eqn, columns, w=_wider(weights[w], 1 - axis)
            )
    return found


def _times(eqn: Equation, x: Any, w: Any) -> list[Any]:
    return apply(eqn, [x, w])


def _some_columns(eqn: Equation, columns: int, x: Any, w: Any) -> list[Any]:
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
