"""Loops that write their results over what they have read.

A transposed loop reads a stored array from its last row to its first, and stores
another of the same size in the same order. Where nothing else reads the first, one
piece of memory is enough for both: a quarter less for the gradient of an LSTM.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.extend.core import primitives

from jrnn._programs.program import (
    Atom,
    Equation,
    Program,
    Variable,
    apply,
    call,
    constants,
    count_uses,
    inline_checkpoints,
    is_symbolic,
    is_variable,
    jaxpr_of,
    loop_arity,
    read,
    select,
    type_of,
    variables,
)
from jrnn.scan.cpu.concatenations import final_results, put_last, updates
from jrnn.scan.cpu.ordering import (
    delay,
    put_loops_first,
    uninitialised_after,
    zero_after,
)
from jrnn.scan.emit import counted_loop, is_unrolled, read_row, write_row


def evaluate_in_place(
    program: Program,
    values: Sequence[Any],
    spare: Sequence[bool],
    shifted: Sequence[bool],
) -> list[Any]:
    """Evaluate `program` on `values`.

    Args:
        program: a flat program.
        values: its inputs.
        spare: flags of its first inputs: whose memory results may take.
        shifted: flags of its first inputs: the carry before each step, a copy.
    """
    jaxpr = jaxpr_of(program)
    if is_symbolic(n for v in jaxpr.invars for n in type_of(v).shape):
        return call(program, values)
    env = constants(program) | dict(zip(jaxpr.invars, values, strict=True))
    once = _read_once(jaxpr, spare)
    late = select(jaxpr.invars[: len(shifted)], shifted)
    over: Any = True
    update = updates(jaxpr.eqns)
    done: list[Equation] = []
    for eqn in put_last(put_loops_first(jaxpr.eqns), update):
        operands = [read(env, a) for a in eqn.invars]
        if eqn.primitive is primitives.scan_p and not _is_unrolled(eqn):
            free = [is_variable(a) and a in once for a in eqn.invars]
            over, made = _run_in_place(eqn, operands, free)
            env |= {v: delay(env[v], over) for v in late}
        elif eqn.outvars and (how := update.get(eqn.outvars[0])):
            zero = zero_after([env[v] for v in final_results(done, how.whole)], over)
            made = [how.apply(env[how.whole], operands, zero)]
        else:
            made = apply(eqn, operands)
        env.update(zip(eqn.outvars, made, strict=True))
        done.append(eqn)
    return [read(env, a) for a in jaxpr.outvars]


def _read_once(jaxpr: core.Jaxpr, spare: Sequence[bool]) -> set[Variable]:
    """Those `spare` inputs whose memory the only equation that reads them may take."""
    uses = count_uses(jaxpr.eqns, jaxpr.outvars)
    return {v for v in select(jaxpr.invars[: len(spare)], spare) if uses[v] == 1}


def _is_unrolled(eqn: Equation) -> bool:
    return is_unrolled(eqn.params["length"], eqn.params["unroll"])


def _run_in_place(
    eqn: Equation, operands: list[Any], free: list[bool]
) -> tuple[Any, list[Any]]:
    """The loop `eqn`, results written over free operands where sizes allow.

    Returns:
        That the loop is over, which is true but known to no compiler, and the results.
    """
    n_consts, n_carry = loop_arity(eqn)
    first_x = n_consts + n_carry
    xs, outs = operands[first_x:], eqn.outvars[n_carry:]
    body = inline_checkpoints(eqn.params["jaxpr"])
    free = [f and not s for f, s in zip(free, _read_by_sums(body), strict=True)]
    pairs = _pairs(outs, xs, free[first_x:])
    length, reverse = eqn.params["length"], eqn.params["reverse"]
    step = _step_in_place(eqn, body, operands[:n_consts], xs, pairs)
    stacks = [xs[i].reshape(length, -1) for i in pairs.values()]
    # what the first step writes is what is there
    rows = [_as_column(s[length - 1 if reverse else 0]) for s in stacks]
    one = lambda v: core.mapped_aval(length, 0, v.aval)
    like = [one(v) for o, v in enumerate(outs) if o not in pairs]
    others = uninitialised_after(xs, like, length)
    state = operands[n_consts:first_x], stacks, rows, others
    options = {"reverse": reverse, "unroll": eqn.params["unroll"]}
    t, (carry, stacks, rows, others) = counted_loop(step, state, length, **options)
    shapes = [type_of(outs[o]).shape for o in pairs]
    last = 0 if reverse else length - 1
    made = dict(zip(pairs, _write_last(stacks, rows, shapes, t, last), strict=True))
    rest = iter(others)
    ys = [made[o] if o in made else next(rest) for o in range(len(outs))]
    return t == (-1 if reverse else length), carry + ys


def _step_in_place(
    eqn: Equation,
    body: Program,
    weights: list[Any],
    xs: list[Any],
    pairs: dict[int, int],
) -> Callable[[Any, Any], Any]:
    """One step of the loop `eqn` of that body: from time and state to the next state.

    A row is written in the step after the one that made it, before this step reads: XLA
    does not compare indices, and copies an array that is written after it is read.
    """
    _, n_carry = loop_arity(eqn)
    last, reverse = eqn.params["length"] - 1, eqn.params["reverse"]
    taken = list(pairs.values())

    def step(t, state):
        carry, stacks, rows, others = state
        before = jnp.minimum(t + 1, last) if reverse else jnp.maximum(t - 1, 0)
        stacks = _write_rows(stacks, rows, before)
        unread = {i: _Row(s, t) for i, s in zip(taken, stacks, strict=True)}
        x = [unread[i] if i in taken else read_row(x, t) for i, x in enumerate(xs)]
        made = _call_on_rows(body, [*weights, *carry, *x])
        carry, ys = made[:n_carry], made[n_carry:]
        rows = [_as_column(ys[o]) for o in pairs]
        ys = [y for o, y in enumerate(ys) if o not in pairs]
        return carry, stacks, rows, _write_rows(others, ys, t)

    return step


def _write_last(
    stacks: list[Any], rows: list[Any], shapes: list[Any], t: Any, last: int
) -> list[Any]:
    """The stacks in their own shapes, with the rows of the last step.

    They are written by a loop of one step: XLA would repeat an update for every reader
    of the stack, and copy the whole stack each time.
    """
    if not stacks:
        return []
    stacks = [s.reshape(shape) for s, shape in zip(stacks, shapes, strict=True)]
    rows = [r.reshape(shape[1:]) for r, shape in zip(rows, shapes, strict=True)]
    _, stacks = lax.while_loop(
        lambda state: state[0] == t,
        lambda state: (state[0] + 1, _write_rows(state[1], rows, jnp.int32(last))),
        (t, stacks),
    )
    return stacks


def _read_by_sums(body: Program) -> list[bool]:
    """Whether each input of `body` is multiplied, and the product added up.

    Such a row is an array of its own. XLA would make it of what is left of the stack
    before the last row was written, and copy the whole stack to have both.
    """
    jaxpr = jaxpr_of(body)
    sums = [e for e in jaxpr.eqns if e.primitive is lax.reduce_sum_p]
    added = {v for eqn in sums for v in variables(eqn.invars)}
    products = [e for e in jaxpr.eqns if e.primitive is lax.mul_p]
    factors = {
        v for e in products if e.outvars[0] in added for v in variables(e.invars)
    }
    return [v in factors for v in jaxpr.invars]


def _pairs(outs: Sequence[Any], xs: Sequence[Any], free: list[bool]) -> dict[int, int]:
    """For places of `outs`, where possible, the place of a free x of the same size."""
    pairs: dict[int, int] = {}
    for o, out in enumerate(outs):
        for i, x in enumerate(xs):
            same = (x.size, x.dtype) == (type_of(out).size, type_of(out).dtype)
            if free[i] and same and i not in pairs.values():
                pairs[o] = i
                break
    return pairs


def _write_rows(stacks: list[Any], rows: list[Any], t: Any) -> list[Any]:
    flat = lambda s, row: row.reshape(s.shape[1:])
    return [write_row(s, flat(s, row), t) for s, row in zip(stacks, rows, strict=True)]


def _as_column(row: Any) -> Any:
    """A row as products with a vector read it, so that it is computed only once."""
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


def _call_on_rows(body: Program, values: list[Any]) -> list[Any]:
    """Evaluate a program, reading of each row only what is asked for.

    One part of a row is contiguous, and read as such by vector instructions.
    """
    jaxpr = jaxpr_of(body)
    env = constants(body) | dict(zip(jaxpr.invars, values, strict=True))
    for eqn in jaxpr.eqns:
        operands = [read(env, a) for a in eqn.invars]
        if operands and isinstance(operands[0], _Row) and _takes_items(eqn):
            (out,) = eqn.outvars
            start = eqn.params["start_indices"][0]
            size = type_of(eqn.invars[0]).size // type_of(eqn.invars[0]).shape[0]
            made = [operands[0].read(start * size, type_of(out).shape)]
        else:
            made = apply(
                eqn, [_whole(x, a) for x, a in zip(operands, eqn.invars, strict=True)]
            )
        env.update(zip(eqn.outvars, made, strict=True))
    return [_whole(read(env, a), a) for a in jaxpr.outvars]


def _whole(value: Any, atom: Atom) -> Any:
    return value.read(0, type_of(atom).shape) if isinstance(value, _Row) else value


def _takes_items(eqn: Equation) -> bool:
    """Whether `eqn` takes some neighbouring items of the first axis."""
    if eqn.primitive is not lax.slice_p:
        return False
    whole, part = type_of(eqn.invars[0]).shape, type_of(eqn.outvars[0]).shape
    return whole[1:] == part[1:] and set(eqn.params["strides"] or [1]) == {1}
