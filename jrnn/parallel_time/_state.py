"""The carry of any cell as one vector of real numbers, and what is no number."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._reversed import turned
from jrnn._state_vector import state_vector
from jrnn.cell import Carry, Cell, Key, Output, Params, spec

Rest = list[jax.Array]  # leaves of a carry that have no derivative: counters, flags


class Split(NamedTuple):
    """A pytree as its leaves of floating point, the others, and the way back."""

    floats: list[jax.Array]
    rest: list[Any]
    join: Callable[[list, list], Any]


def split(tree: Any) -> Split:
    """Take apart what has derivatives and what has none."""
    leaves, form = jax.tree.flatten(tree)
    kept = [jnp.issubdtype(_dtype(x), jnp.inexact) for x in leaves]

    def join(floats, rest):
        sources = {True: iter(floats), False: iter(rest)}
        return jax.tree.unflatten(form, [next(sources[k]) for k in kept])

    pick = lambda which: [x for x, k in zip(leaves, kept, strict=True) if k is which]
    return Split(pick(True), pick(False), join)


def _dtype(x):
    return getattr(x, "dtype", None) or jnp.result_type(x)


class Form(NamedTuple):
    """How a carry becomes a vector (N,), and a vector a carry."""

    flatten: Callable[[Carry], tuple[jax.Array, Rest]]
    unflatten: Callable[[jax.Array, Rest], Carry]


def form_of(carry: Carry) -> Form:
    """That of a `StateVector`, with what is no number beside it."""
    vector, (floats, _, join) = state_vector(carry), split(spec(carry))

    def flatten(carry):
        return vector.flatten(carry), split(carry).rest

    def unflatten(h, rest):
        return vector.unflatten(h, join(floats, rest))

    return Form(flatten, unflatten)


# (params, h, rest, x, key) -> (h, rest, y)
FlatStep = Callable[
    [Params, jax.Array, Rest, Any, Key | None], tuple[jax.Array, Rest, Output]
]


def flat_step(cell: Cell, form: Form) -> FlatStep:
    """The step of a cell as a map of vectors."""

    def step(params, h, rest, x, key):
        carry, y = cell.step(params, form.unflatten(h, rest), x, key=key)
        return *form.flatten(carry), y

    return step


class Problem(NamedTuple):
    """All that the states of one sequence depend on."""

    params: Params
    carry: Carry
    xs: Any
    keys: Key | None  # of the steps


def problem(
    name: str,
    cell: Cell,
    params: Params,
    xs: Any,
    carry: Carry | None,
    key: Key | None,
    reverse: bool,
) -> Problem:
    """Check what was given, and draw keys, as `unroll` does; time forward."""
    _check.cell(name, cell, "Run it by unroll(model, params, xs).")
    _check.order(cell, params, xs)
    num_steps = _check.num_steps(name, xs)
    carry_key = keys = None
    if key is not None:
        carry_key, step_key = jax.random.split(key)
        keys = jax.random.split(step_key, num_steps)
    if carry is None:
        carry = cell.initial_carry(params, key=carry_key)
    carry = jax.tree.map(jnp.asarray, carry)
    dtypes = {str(x.real.dtype) for x in split(carry).floats}
    if len(dtypes) > 1:
        raise TypeError(
            f"{name}: the arrays of the carry must have one dtype, got "
            f"{', '.join(sorted(dtypes))}."
        )
    return Problem(params, carry, *turned((xs, keys), reverse))
