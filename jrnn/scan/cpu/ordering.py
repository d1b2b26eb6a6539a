"""Around a loop, make later what its compiler would make as early as it can.

An array that is made before it is needed lies in memory beside those that are. The
gradient of a loop holds all of its steps, so that one array of all steps more or less
is much; and pieces of more than 32 MiB, Linux clears at each call.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend.core import primitives

from jrnn._programs.program import Equation, backward_slice, variables
from jrnn.scan.emit import uninitialised


def put_loops_first(eqns: Sequence[Equation]) -> list[Equation]:
    """The loops among `eqns` and what they need, then all others."""
    loops = [eqn for eqn in eqns if eqn.primitive is primitives.scan_p]
    needed = backward_slice(eqns, [a for eqn in loops for a in eqn.invars])
    early = set(variables(v for eqn in [*loops, *needed] for v in eqn.outvars))
    return sorted(eqns, key=lambda eqn: early.isdisjoint(eqn.outvars))


def delay(value: Any, over: Any) -> Any:
    """`value`, but made not before `over` is known, which is true.

    To a compiler, it depends on a loop's last time: an array that is cheap to make, and
    read behind the loop only, is not made ahead of it.
    """
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return value
    return jnp.where(over, value, jnp.zeros((), value.dtype))


def zero_after(values: Sequence[Any], over: Any) -> Any:
    """The time 0, but not known before `values` and `over`, which is true.

    An array is written at once where it is, and not copied, if nothing can read it
    after.
    """
    some = [v.astype(jnp.int32) for v in _first_numbers(values)]
    return jnp.where(over, jnp.int32(0), sum(some, start=jnp.int32(0)))


def uninitialised_after(
    xs: Sequence[Any], like: Sequence[Any], length: int
) -> list[Any]:
    """As `emit.uninitialised`, but made not before the arrays `xs` are there."""
    some = _first_numbers(xs)
    if not some:
        return uninitialised(like, length)
    mark = sum(some)
    return [
        jnp.full((length, *a.shape), (mark + n).astype(a.dtype))
        for n, a in enumerate(like, 1)
    ]


def _first_numbers(arrays: Sequence[Any]) -> list[Any]:
    """A number of each, for which one has to wait for the whole."""
    is_float = lambda x: jnp.issubdtype(x.dtype, jnp.floating) and x.size
    return [x.reshape(-1)[0] for x in arrays if is_float(x)]
