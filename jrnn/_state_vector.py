"""The state of any cell as one real vector."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jrnn.cell import Carry


class StateVector(NamedTuple):
    """How the differentiable fields of a carry lie in a vector (N,).

    In the order of `jax.tree.leaves`; a complex field as all its real parts, then all
    its imaginary parts. Integers and keys are not among them: they have no derivative.
    """

    size: int  # N
    dtype: Any
    flatten: Callable[[Carry], jax.Array]  # carry -> (N,)
    unflatten: Callable[[jax.Array, Carry], Carry]  # the rest is taken from a carry


def state_vector(carry: Carry) -> StateVector:
    """The vector for carries of this form, arrays or their specs."""
    leaves = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in jax.tree.leaves(carry)]
    differentiable = [jnp.issubdtype(a.dtype, jnp.inexact) for a in leaves]
    moving = [a for a, on in zip(leaves, differentiable, strict=True) if on]
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(*(_real(a) for a in moving)) if moving else jnp.float32
    size = sum(a.size * (1 + _is_complex(a)) for a in moving)

    def flatten(carry):
        leaves = [
            part.astype(dtype).ravel()
            for a in jax.tree.leaves(carry)
            if jnp.issubdtype(a.dtype, jnp.inexact)
            for part in ((a.real, a.imag) if _is_complex(a) else (a,))
        ]
        return jnp.concatenate(leaves) if leaves else jnp.zeros(0, dtype)

    def unflatten(state, carry):
        leaves, tree = jax.tree.flatten(carry)
        start = 0
        for n, (a, on) in enumerate(zip(leaves, differentiable, strict=True)):
            if not on:
                continue
            take = a.size * (1 + _is_complex(a))
            values = state[start : start + take].astype(_real(a))
            if _is_complex(a):
                values = jax.lax.complex(*jnp.split(values, 2))
            leaves[n] = values.reshape(a.shape)
            start += take
        return tree.unflatten(leaves)

    return StateVector(size, dtype, flatten, unflatten)


def _is_complex(a: Any) -> bool:
    return jnp.issubdtype(a.dtype, jnp.complexfloating)


def _real(a: Any) -> Any:
    return jnp.finfo(a.dtype).dtype
