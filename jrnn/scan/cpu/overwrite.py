"""Loops that write their results over what they have read.

A transposed loop reads a stored array from its last row to its first, and stores
another of the same size in the same order. Where nothing else reads the first, one
piece of memory is enough for both: a third less for the gradient of an LSTM.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.extend.core import primitives

from jrnn._programs.program import (
    Atom,
    Equation,
    apply,
    call,
    constants,
    count_uses,
    is_variable,
    opened,
    read,
    symbolic,
    without_checkpoints,
)
from jrnn.scan.cpu.concatenations import ends, joined_last, nearly_at_hand
from jrnn.scan.cpu.ordering import loops_first, once_over, unwritten_beside, zero_behind
from jrnn.scan.emit.store import loop, put, row, written_out
from jrnn.scan.trace import loop_parts


def call_overwriting(
    program: core.ClosedJaxpr,
    values: Sequence[Any],
    spare: Collection[int],
    shifted: Collection[int],
) -> list[Any]:
    """Evaluate `program` on `values`.

    Args:
        program: a flat program.
        values: its inputs.
        spare: places of inputs that are likely to be read by nothing else.
        shifted: places of inputs that are mere copies of others, a step later.
    """
    jaxpr, _ = opened(program)
    if symbolic(n for v in jaxpr.invars for n in v.aval.shape):
        return call(program, values)
    env = constants(program) | dict(zip(jaxpr.invars, values, strict=True))
    uses = count_uses(jaxpr.eqns, jaxpr.outvars)
    once = {jaxpr.invars[i] for i in spare if uses[jaxpr.invars[i]] == 1}
    over: Any = True
    joins = nearly_at_hand(jaxpr.eqns)
    done: list[Equation] = []
    for eqn in joined_last(loops_first(jaxpr.eqns), joins):
        operands = [read(env, a) for a in eqn.invars]
        if eqn.primitive is primitives.scan_p and not _written_out(eqn):
            free = [is_variable(a) and a in once for a in eqn.invars]
            over, made = _loop(eqn, operands, free)
            late = [jaxpr.invars[i] for i in shifted]
            env |= {v: once_over(env[v], over) for v in late}
        elif id(eqn) in joins:
            whole = joins[id(eqn)].whole
            zero = zero_behind([env[v] for v in ends(done, whole)], over)
            made = [joins[id(eqn)].made_of(env[whole], operands, zero)]
        else:
            made = apply(eqn, operands)
        env.update(zip(eqn.outvars, made, strict=True))
        done.append(eqn)
    return [read(env, a) for a in jaxpr.outvars]


def _written_out(eqn: Equation) -> bool:
    return written_out(eqn.params["length"], eqn.params["unroll"])


def _loop(
    eqn: Equation, operands: list[Any], free: list[bool]
) -> tuple[Any, list[Any]]:
    """The loop `eqn`, results written over free operands where sizes allow.

    A row is written in the step after the one that made it, ahead of all that this step
    reads: a compiler sees no index, and would copy an array that is read after, or
    while, it is written.

    Returns:
        That the loop is over, which is true but known to no compiler, and the results.
    """
    n_consts, n_carry = loop_parts(eqn)
    first_x = n_consts + n_carry
    xs, outs = operands[first_x:], eqn.outvars[n_carry:]
    over = _pairs(outs, xs, free[first_x:])
    length, reverse = eqn.params["length"], eqn.params["reverse"]
    first, last = (length - 1, 0) if reverse else (0, length - 1)
    taken = list(over.values())
    body = without_checkpoints(eqn.params["jaxpr"])

    def step(t, state):
        carry, stacks, rows, others = state
        before = jnp.minimum(t + 1, first) if reverse else jnp.maximum(t - 1, first)
        stacks = _put(stacks, rows, before)
        unread = {i: _Row(s, t) for i, s in zip(taken, stacks, strict=True)}
        x = [unread[i] if i in taken else row(x, t) for i, x in enumerate(xs)]
        made = _call_on_rows(body, [*operands[:n_consts], *carry, *x])
        carry, ys = made[:n_carry], made[n_carry:]
        rows = [_column(ys[o]) for o in over]
        ys = [y for o, y in enumerate(ys) if o not in over]
        return carry, stacks, rows, _put(others, ys, t)

    stacks = [xs[i].reshape(length, -1) for i in taken]
    # what the first step writes is what is there
    rows = [_column(s[first]) for s in stacks]
    one = lambda v: core.mapped_aval(length, 0, v.aval)
    like = [one(v) for o, v in enumerate(outs) if o not in over]
    others = unwritten_beside(xs, like, length)
    state = operands[n_consts:first_x], stacks, rows, others
    options = {"reverse": reverse, "unroll": eqn.params["unroll"]}
    t, (carry, stacks, rows, others) = loop(step, state, length, **options)
    # The last row is written by a loop of one step: as a mere update it would be done
    # again for every reader of the stack, each time with a copy of the whole.
    made, rest = {}, iter(others)
    if over:
        shapes = [outs[o].aval.shape for o in over]
        stacks = [s.reshape(shape) for s, shape in zip(stacks, shapes, strict=True)]
        rows = [r.reshape(shape[1:]) for r, shape in zip(rows, shapes, strict=True)]
        _, stacks = lax.while_loop(
            lambda state: state[0] == t,
            lambda state: (state[0] + 1, _put(state[1], rows, jnp.int32(last))),
            (t, stacks),
        )
        made = dict(zip(over, stacks, strict=True))
    ys = [made[o] if o in made else next(rest) for o in range(len(outs))]
    return t == (-1 if reverse else length), carry + ys


def _pairs(outs: Sequence[Any], xs: Sequence[Any], free: list[bool]) -> dict[int, int]:
    """For places of `outs`, where possible, the place of a free x of the same size."""
    pairs: dict[int, int] = {}
    for o, out in enumerate(outs):
        for i, x in enumerate(xs):
            same = (x.size, x.dtype) == (out.aval.size, out.aval.dtype)
            if free[i] and same and i not in pairs.values():
                pairs[o] = i
                break
    return pairs


def _put(stacks: list[Any], rows: list[Any], t: Any) -> list[Any]:
    flat = lambda s, row: row.reshape(s.shape[1:])
    return [put(s, flat(s, row), t) for s, row in zip(stacks, rows, strict=True)]


def _column(row: Any) -> Any:
    """A row as products of a vector read it, lest it be computed once more for them."""
    return row.reshape(-1, 1)


class _Row(NamedTuple):
    """A row of a stack of flat rows, not read yet."""

    stack: Any  # (T, N)
    t: Any

    def read(self, start: int, shape: tuple[int, ...]) -> Any:
        """Some of it: an array of that shape that begins at `start`."""
        size = math.prod(shape)
        # allowing for negative times would keep the loop over N from being vectorised
        some = lax.dynamic_slice(
            self.stack,
            (self.t, jnp.int32(start)),
            (1, size),
            allow_negative_indices=False,
        )
        return some.reshape(shape)


def _call_on_rows(body: core.ClosedJaxpr, values: list[Any]) -> list[Any]:
    """Evaluate a program, reading of each row only what is asked for.

    One part of a row is contiguous, and read as such by vector instructions.
    """
    jaxpr, _ = opened(body)
    env = constants(body) | dict(zip(jaxpr.invars, values, strict=True))
    for eqn in jaxpr.eqns:
        operands = [read(env, a) for a in eqn.invars]
        if operands and isinstance(operands[0], _Row) and _takes_items(eqn):
            (out,) = eqn.outvars
            start = eqn.params["start_indices"][0]
            size = eqn.invars[0].aval.size // eqn.invars[0].aval.shape[0]
            made = [operands[0].read(start * size, out.aval.shape)]
        else:
            made = apply(
                eqn, [_whole(x, a) for x, a in zip(operands, eqn.invars, strict=True)]
            )
        env.update(zip(eqn.outvars, made, strict=True))
    return [_whole(read(env, a), a) for a in jaxpr.outvars]


def _whole(value: Any, atom: Atom) -> Any:
    return value.read(0, atom.aval.shape) if isinstance(value, _Row) else value


def _takes_items(eqn: Equation) -> bool:
    """Whether `eqn` takes some neighbouring items of the first axis."""
    if eqn.primitive is not lax.slice_p:
        return False
    whole, part = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    return whole[1:] == part[1:] and set(eqn.params["strides"] or [1]) == {1}
