"""The state of any cell as one vector, for everything that needs its Jacobian."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jrnn import _check
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.scan import scan


class FlatCell(NamedTuple):
    """A cell with its params, seen as a map of vectors."""

    start: jax.Array  # (N,) the first carry
    step: Callable[[jax.Array, Input], jax.Array]  # (N,), x -> (N,)
    unflatten: Callable[[jax.Array], Carry]


def flat_cell(name: str, cell: Cell, params: Params, carry: Carry | None) -> FlatCell:
    """Join all fields of the carry, in the order of `jax.tree.leaves`."""
    _check.cell(name, cell, "Analyse a cell in it, with the inputs that it gets.")
    if carry is None:
        carry = cell.initial_carry(params)
    dtypes = [jnp.result_type(leaf) for leaf in jax.tree.leaves(carry)]
    if not dtypes or not all(jnp.issubdtype(d, jnp.floating) for d in dtypes):
        raise TypeError(
            f"{name}: the carry must consist of floating-point arrays, got "
            f"{[str(d) for d in dtypes]}. Without a recurrent state there is nothing "
            "to differentiate."
        )
    start, unflatten = ravel_pytree(carry)

    def step(h, x):
        return ravel_pytree(cell.step(params, unflatten(h), x)[0])[0]

    return FlatCell(start, step, unflatten)


def states_before(flat: FlatCell, xs: Input) -> tuple[jax.Array, jax.Array]:
    """The last state (N,) and the state before every step (T, N)."""
    return scan(lambda h, x: (flat.step(h, x), h), flat.start, xs)


def scaled(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Divide an array by its norm; returns it and the log of the norm.

    Exact for entries whose squares would over- or underflow. Zeros stay zeros.
    """
    largest = jnp.max(jnp.abs(a))
    a = a / _nonzero(largest)
    norm = jnp.sqrt(jnp.sum(jnp.square(a)))
    return a / _nonzero(norm), jnp.log(largest) + jnp.log(_nonzero(norm))


def _nonzero(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, jnp.ones_like(x))
