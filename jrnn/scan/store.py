"""A loop that stores its outputs in arrays of its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax


class Parts(NamedTuple):
    """An array in parts, to be stored without being joined first."""

    values: list[Any]
    axis: int  # along which they lie side by side


def storing_scan(
    body: Callable[..., Any],
    carry: list[Any],
    xs: list[Any],
    like: list[Any],
    length: int,
    **options: Any,
) -> tuple[list[Any], list[Any]]:
    """`lax.scan`, with the arrays that store its outputs made here.

    Every entry is written, so what they hold at first does not matter; but equal arrays
    would be made once and then copied, for each loop and each output.

    Args:
        body: from carry and x to carry and a list of outputs; floats may be `Parts`.
        carry: the first carry.
        xs: with time leading.
        like: the shape and dtype of each output of one step.
        length: number of steps.
        options: `reverse` and `unroll`.
    """
    own = [jnp.issubdtype(a.dtype, jnp.inexact) for a in like]
    stacks = [
        lax.full((length, *a.shape), n, a.dtype)
        for n, a in enumerate(like, start=1)
        if own[n - 1]
    ]

    def step(state, now):
        carry, stacks = state
        t, x = now
        carry, ys = body(carry, x)
        mine = [y for y, on in zip(ys, own, strict=True) if on]
        stacks = [put(s, y, t) for s, y in zip(stacks, mine, strict=True)]
        return (carry, stacks), [y for y, on in zip(ys, own, strict=True) if not on]

    steps = lax.iota(jnp.int32, length)
    (carry, stacks), rest = lax.scan(
        step, (carry, stacks), (steps, xs), length, **options
    )
    made = {True: iter(stacks), False: iter(rest)}
    return carry, [next(made[on]) for on in own]


def put(stack: Any, row: Any, t: Any) -> Any:
    """`stack` with `row` at time t."""
    if not isinstance(row, Parts):
        return lax.dynamic_update_index_in_dim(stack, row, t, 0)
    start = 0
    for part in row.values:
        at = [start if i == row.axis else 0 for i in range(part.ndim)]
        at = [t, *(jnp.asarray(i, jnp.result_type(t)) for i in at)]
        stack = lax.dynamic_update_slice(stack, part[None], at)
        start += part.shape[row.axis]
    return stack
