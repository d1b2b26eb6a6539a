"""Products in half precision, all else as it is."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jrnn import _check
from jrnn._description import described
from jrnn._programs.program import (
    CALLS,
    Equation,
    Program,
    apply,
    constants,
    jaxpr_of,
    read,
    type_of,
)
from jrnn.cell import Cell
from jrnn.wrappers.form import wrap_inside


@described
def mixed_precision(cell: Cell, dtype: DTypeLike = jnp.bfloat16) -> Cell:
    """Multiply matrices in half precision, and do all else in that of the parameters.

        a @ b  ->  round(a) @ round(b),   summed up in the dtype of a and b

    With float32 parameters and inputs, and bfloat16:

        in bfloat16   both factors of every product of the step
        in float32    parameters, inputs, sums of a product, biases, gates, carry,
                      outputs, and the gradients of all of these

    The weights are rounded once for a sequence. In the derivative a product of a
    cotangent, float32, with a rounded factor is summed up in float32, and the sum
    rounded once to bfloat16, which is what the gradient of a weight then holds, as
    float32. bfloat16 has the range of float32, so that losses need not be scaled; with
    float16 they do. Convolutions and products within inner loops and functions with a
    derivative of their own stay as they are.

    In Flax `dtype=bfloat16`, and in Keras `mixed_bfloat16`, biases, gates and carry are
    bfloat16 too, which loses what a carry sums up in small steps; PyTorch's `autocast`
    rounds both factors as here, and returns bfloat16.

    On a CPU without instructions for bfloat16 it costs time; it is meant for
    accelerators.

    Args:
        cell: any cell.
        dtype: of the factors, a floating type; factors that are no wider stay.

    Returns:
        A cell with the params and carry of `cell`, and outputs of the same dtype.

    Raises:
        TypeError: `dtype` is no floating type; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> cell, x = mixed_precision(jrnn.lstm(4)), jnp.ones(3)
        >>> params = cell.init(jax.random.key(0), x)
        >>> y = cell.step(params, cell.initial_carry(params), x)[1]
        >>> exact = jrnn.lstm(4).step(params, cell.initial_carry(params), x)[1]
        >>> y.dtype == exact.dtype, bool(jnp.abs(y - exact).max() < 0.01)
        (True, True)

    References:
        Micikevicius et al. (2018), Mixed precision training, arXiv:1710.03740, section
        3 (sums of products in float32; master weights).
        Kalamkar et al. (2019), A study of bfloat16 for deep learning training,
        arXiv:1905.12322.
    """
    name = "mixed_precision"
    _check.cell(name, cell, wrap_inside("mixed_precision(lstm(64))"))
    if not _is_floating(dtype):
        raise TypeError(
            f"{name}: dtype must be a floating type, such as jnp.bfloat16, got "
            f"{dtype!r}."
        )
    narrow = jnp.dtype(dtype)

    def step(params, carry, x, *, key=None):
        given = params, carry, x, key
        run = lambda params, carry, x, key: cell.step(params, carry, x, key=key)
        program, form = jax.make_jaxpr(run, return_shape=True)(*given)
        results = _evaluate(program, jax.tree.leaves(given), narrow)
        return jax.tree.unflatten(jax.tree.structure(form), results)

    return cell._replace(step=step)


def _is_floating(dtype: Any) -> bool:
    try:
        return jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
    except TypeError:
        return False


def _evaluate(program: Program, values: Sequence[Any], narrow: jnp.dtype) -> list[Any]:
    """The results of a program, with its products in another precision."""
    jaxpr = jaxpr_of(program)
    env = constants(program) | dict(zip(jaxpr.invars, values, strict=True))
    for eqn in jaxpr.eqns:
        given = [read(env, atom) for atom in eqn.invars]
        if eqn.primitive.name == "dot_general":
            results = [_product(eqn, given, narrow)]
        elif eqn.primitive.name in CALLS:
            inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
            results = _evaluate(inner, given, narrow)
        else:
            results = apply(eqn, given)
        env.update(zip(eqn.outvars, results, strict=True))
    return [read(env, atom) for atom in jaxpr.outvars]


def _product(eqn: Equation, factors: Sequence[Any], narrow: jnp.dtype) -> jax.Array:
    """A product of factors rounded to a dtype, summed up in what it was before."""
    a, b = factors
    wider = lambda x: (
        jnp.issubdtype(x.dtype, jnp.floating)
        and jnp.finfo(x.dtype).bits > jnp.finfo(narrow).bits
    )
    if not (wider(a) and wider(b)):
        return apply(eqn, factors)[0]
    return jax.lax.dot_general(
        a.astype(narrow),
        b.astype(narrow),
        eqn.params["dimension_numbers"],
        preferred_element_type=type_of(eqn.outvars[0]).dtype,
    )
