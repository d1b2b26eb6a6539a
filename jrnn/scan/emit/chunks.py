"""Loops in two levels: over chunks of time, and over the steps of each."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

PyTree = Any


def in_chunks(
    some_steps: Callable[[PyTree, PyTree, int], tuple[PyTree, PyTree]],
    carry: PyTree,
    xs: PyTree,
    length: int,
    size: int,
    reverse: bool,
    wrap: Callable[[Callable], Callable],
) -> tuple[PyTree, PyTree]:
    """Run `length` steps, `size` of them at a time.

    Args:
        some_steps: runs some steps, from the carry, their x and their number to the
            next carry and their y.
        carry: the first carry.
        xs: with time leading.
        length: number of steps.
        size: of a chunk; the last in time may be shorter.
        reverse: whether to run from the last step to the first.
        wrap: applied to what runs a chunk.
    """
    whole = length - length % size
    # In reverse the incomplete chunk runs first, so that it is last in time either way.
    parts = [(0, whole), (whole, length)]
    if reverse:
        parts = parts[::-1]
    outs = []
    for start, stop in parts:
        n, chunk = ((stop - start) // size, size) if start == 0 else (1, stop - start)
        if start == stop and (outs or length):
            continue
        split = lambda x: x[start:stop].reshape(n, chunk, *x.shape[1:])  # noqa: B023
        one = wrap(lambda c, x: some_steps(c, x, chunk))  # noqa: B023
        carry, ys = lax.scan(one, carry, jax.tree.map(split, xs), n, reverse=reverse)
        join = lambda y: y.reshape(n * chunk, *y.shape[2:])  # noqa: B023
        outs.append(jax.tree.map(join, ys))
    outs = outs[::-1] if reverse else outs
    return carry, jax.tree.map(lambda *y: jnp.concatenate(y), *outs)
