"""Make arrays around a loop as late as possible; XLA makes them as early as it can.

An array that is made too early takes memory beside those that are needed then. The
gradient of a loop holds few arrays of all steps, so that one more is much; and Linux
clears every piece of more than 32 MiB at each call.
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
    """`value`, made once `over` is known, which is true.

    As `over` depends on the last time of a loop, the compiler cannot make the array
    ahead of the loop, although it is cheap.
    """
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return value
    return jnp.where(over, value, jnp.zeros((), value.dtype))


def zero_after(values: Sequence[Any], over: Any) -> Any:
    """The index 0, known only after `values` and `over`, which is true.

    An array that is updated at this index is not copied: nothing can read it later.
    """
    some = [v.astype(jnp.int32) for v in _first_numbers(values)]
    return jnp.where(over, jnp.int32(0), sum(some, start=jnp.int32(0)))


def uninitialised_after(
    xs: Sequence[Any], like: Sequence[Any], length: int
) -> list[Any]:
    """As `emit.uninitialised`, made once the arrays `xs` are there."""
    some = _first_numbers(xs)
    if not some:
        return uninitialised(like, length)
    mark: Any = sum(some)
    return [
        jnp.full((length, *a.shape), (mark + n).astype(a.dtype))
        for n, a in enumerate(like, 1)
    ]


def _first_numbers(arrays: Sequence[Any]) -> list[Any]:
    """The first number of each array of floats."""
    is_float = lambda x: jnp.issubdtype(x.dtype, jnp.floating) and x.size
    return [x.reshape(-1)[0] for x in arrays if is_float(x)]
