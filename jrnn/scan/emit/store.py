"""Loops over time that store what they make in arrays given to them.

As `jax.lax.scan`, but counting the time itself: the time is then an index at hand, not
a number computed for each access, which would keep compilers from vectorising it.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jrnn._programs.program import symbolic

State = Any

# Bytes of a row that is better joined and stored at once than part by part.
_SMALL = 4096


class Parts(NamedTuple):
    """An array in parts, to be stored without being joined first."""

    values: list[Any]
    axis: int  # along which they lie side by side


def loop(
    step: Callable[[Any, State], State],
    state: State,
    length: int,
    *,
    reverse: bool,
    unroll: int,
) -> tuple[Any, State]:
    """Apply `state = step(t, state)` for t = 0 .. length - 1, or backwards.

    Returns:
        The time after the last, which no compiler knows beforehand, and the state.
    """
    first, by = (length - 1, -1) if reverse else (0, 1)
    whole = length - length % unroll
    end = first + by * whole

    def steps(count: int, t: Any, state: State) -> tuple[Any, State]:
        for _ in range(count):
            t, state = t + by, step(t, state)
        return t, state

    t, state = lax.while_loop(
        lambda now: now[0] > end if reverse else now[0] < end,
        lambda now: steps(unroll, *now),
        (jnp.int32(first), state),
    )
    return steps(length - whole, t, state)


def scan_all(f: Callable, carry: Any, xs: Any, length: Any, **options: Any) -> Any:
    """`jax.lax.scan`, which takes a length that has no number yet from `xs` only."""
    known = None if jax.tree.leaves(xs) else length
    return lax.scan(f, carry, xs, known, **options)


def written_out(length: Any, unroll: int) -> bool:
    """Whether there is no loop: it has no steps, or is to be unrolled whole."""
    return isinstance(length, int) and (
        length == 0 or (unroll != 1 and unroll >= length)
    )


def storing_loop(
    body: Callable[..., Any],
    carry: list[Any],
    xs: list[Any],
    like: Iterable[Any],
    length: int,
    **options: Any,
) -> tuple[list[Any], list[Any]]:
    """The loop of `lax.scan`, its outputs stored at once in their places.

    Args:
        body: from carry and x to carry and a list of outputs, which may be `Parts`.
        carry: the first carry.
        xs: with time leading.
        like: the shape and dtype of each output of one step.
        length: number of steps.
        options: `reverse` and `unroll`.
    """
    like = list(like)
    # JAX's check that no key is used twice takes storing one for a use
    keys = any(jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key) for a in like)
    unknown = symbolic([length, *(n for a in like for n in a.shape)])
    if keys or unknown or written_out(length, options["unroll"]):
        joined = lambda carry, x: jax.tree.map(_join, body(carry, x), is_leaf=_in_parts)
        return scan_all(joined, carry, xs, length, **options)

    groups = _small_together(like)

    def step(t, state):
        carry, stacks = state
        carry, ys = body(carry, [row(x, t) for x in xs])
        rows = [_side_by_side([ys[i] for i in group]) for group in groups]
        return carry, [put(s, y, t) for s, y in zip(stacks, rows, strict=True)]

    rows = [_row_type([like[i] for i in group]) for group in groups]
    _, (carry, stacks) = loop(step, (carry, unwritten(rows, length)), length, **options)
    made = {}
    for group, stack in zip(groups, stacks, strict=True):
        made |= zip(group, _apart(stack, [like[i] for i in group]), strict=True)
    return carry, [made[i] for i in range(len(like))]


def _small_together(like: list[Any]) -> list[list[int]]:
    """Places of outputs in groups: small ones of one dtype together, others alone.

    To store a small row takes as long as several of them side by side.
    """
    groups: dict[Any, list[int]] = {}
    for i, a in enumerate(like):
        small = 0 < a.size * a.dtype.itemsize < _SMALL
        groups.setdefault(a.dtype if small else i, []).append(i)
    return list(groups.values())


def _side_by_side(values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    return lax.concatenate([_join(v).reshape(-1) for v in values], 0)


def _row_type(like: list[Any]) -> Any:
    if len(like) == 1:
        return like[0]
    return jax.ShapeDtypeStruct((sum(a.size for a in like),), like[0].dtype)


def _apart(stack: Any, like: list[Any]) -> list[Any]:
    if len(like) == 1:
        return [stack]
    parts = jnp.split(
        stack, list(itertools.accumulate(a.size for a in like))[:-1], axis=1
    )
    return [part.reshape(-1, *a.shape) for part, a in zip(parts, like, strict=True)]


def unwritten(like: Iterable[Any], length: int) -> list[Any]:
    """Arrays for rows of the shapes and dtypes of `like`.

    Every row will be written, so what they hold at first does not matter; but equal
    arrays would be made once and then copied, for each loop and each output.
    """
    return [lax.full((length, *a.shape), n, a.dtype) for n, a in enumerate(like, 1)]


def row(stack: Any, t: Any) -> Any:
    """What `stack` holds at time t."""
    return lax.dynamic_index_in_dim(
        stack, t, keepdims=False, allow_negative_indices=False
    )


def put(stack: Any, value: Any, t: Any) -> Any:
    """`stack` with `value` at time t."""
    if not _in_parts(value):
        value = Parts([value], 0)
    elif stack.nbytes < _SMALL * len(stack):
        value = Parts([_join(value)], 0)
    start = 0
    for part in value.values:
        at = [jnp.int32(start if i == value.axis else 0) for i in range(part.ndim)]
        stack = lax.dynamic_update_slice(
            stack, part[None], [t, *at], allow_negative_indices=False
        )
        start += part.shape[value.axis] if part.ndim else 0
    return stack


def _in_parts(value: Any) -> bool:
    return isinstance(value, Parts)


def _join(value: Any) -> Any:
    return lax.concatenate(value.values, value.axis) if _in_parts(value) else value
