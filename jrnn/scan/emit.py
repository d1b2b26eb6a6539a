"""Emit a plan: what runs before the loop, the loop, and what runs behind it.

Nothing is decided here: the plan says how each equation runs, and whether the program
is for CPUs is known when it is lowered.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
from jax import lax

from jrnn._programs.program import (
    Atom,
    Environment,
    Equation,
    Inputs,
    Outputs,
    Step,
    Variable,
    apply,
    constants,
    evaluate,
    is_symbolic,
    is_variable,
    lax_scan,
    read,
    replace_where,
    select,
    type_of,
)
from jrnn.scan.plan import LANES, How, Plan

PyTree = Any
State = Any
Wrapper = Callable[[Callable], Callable]


def run(
    step: Step, where: Plan, values: Sequence[Any], cpu: bool = False
) -> tuple[list[Any], list[Any]]:
    """Run `step` as planned.

    Args:
        step: the step.
        where: its plan.
        values: weights, the first carry, and x with time leading.
        cpu: whether the program is for CPUs.

    Returns:
        The last carry, and y with time leading.
    """
    weights, carry, xs = step.as_inputs(values)
    env = constants(step.program)
    env |= dict(zip(step.inputs().weights, weights, strict=True))
    evaluate(where.once, env)

    def some_steps(carry: list[Any], xs: list[Any], length: Any) -> Any:
        return _some_steps(step._replace(length=length), where, env, carry, xs, cpu)

    if where.chunk is None:
        return some_steps(carry, xs, step.length)
    wrap = _wrapper(where)
    return in_chunks(
        some_steps, carry, xs, step.length, where.chunk, step.reverse, wrap
    )


def _wrapper(where: Plan) -> Wrapper:
    """What to wrap the body of a loop in."""
    if not where.checkpoint:
        return lambda body: body
    # Without a checkpoint, what the loop rematerialises would be stored by JAX.
    return functools.partial(jax.checkpoint, prevent_cse=False)


def _some_steps(
    step: Step,
    where: Plan,
    env: Environment,
    carry: list[Any],
    xs: list[Any],
    cpu: bool,
) -> tuple[list[Any], list[Any]]:
    inputs, outputs = step.inputs(), step.outputs()
    seq = dict(zip(inputs.xs, xs, strict=True))
    _evaluate_all_steps(where, where.before, env, seq)
    body = _body(where, inputs, outputs, env, cpu)
    seq |= {v: _repeat(env[v], step.length) for v in where.broadcast}
    entering = [seq[v] for v in where.crossing + where.broadcast]
    last, stacks = _loop(step, where, body, carry, entering, cpu)
    seq |= dict(zip(where.stacked, stacks, strict=True))
    first = dict(zip(inputs.carry, carry, strict=True))
    for v, later in where.shifted.items():
        seq[v] = _shift(first[v], seq[later], step.reverse)
    _evaluate_all_steps(where, where.after, env, seq)
    over_time = lambda a: (
        seq[a] if _among(a, seq) else _repeat(read(env, a), step.length)
    )
    return last, [over_time(a) for a in outputs.ys]


def _body(
    where: Plan,
    inputs: Inputs,
    outputs: Outputs,
    env: Environment,
    cpu: bool,
) -> Callable[..., tuple[list[Any], list[Any]]]:
    """The body of the loop: from the carry and x to the next carry and its results."""
    how = where.layouts | (where.on_cpu if cpu else {})
    weights = {
        v: lay_out(eqn, how[v], read(env, eqn.invars[1]))
        for eqn in where.loop
        if how.get(v := eqn.outvars[0]) in ("transposed", "padded")
    }

    def evaluate_one(eqn: Equation, values: list[Any]) -> list[Any]:
        v = eqn.outvars[0]
        if v in weights:
            return multiply(eqn, how[v], values[0], weights[v])
        if how.get(v) == "parts":
            return [Parts(values, eqn.params["dimension"])]
        return apply(eqn, values)

    def body(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        local = env | dict(zip(inputs.carry, carry, strict=True))
        local |= zip(where.crossing + where.broadcast, x, strict=True)
        for eqn in where.loop:
            values = [read(local, a) for a in eqn.invars]
            local |= zip(eqn.outvars, evaluate_one(eqn, values), strict=True)
        made = [local[v] for v in where.stacked]
        return [read(local, a) for a in outputs.carry], made

    return _wrapper(where)(body)


def _loop(
    step: Step, where: Plan, body: Callable, carry: list[Any], xs: list[Any], cpu: bool
) -> tuple[list[Any], list[Any]]:
    """Run the loop alone; CPUs store what it makes at once in its place."""
    options = {"reverse": step.reverse, "unroll": step.unroll}
    if where.linear or not cpu:
        return lax_scan(body, carry, xs, step.length, **options)
    like = [v.aval for v in where.stacked]
    ahead = [v in where.ahead for v in where.crossing + where.broadcast]
    return storing_loop(body, carry, xs, like, ahead, step.length, **options)


def _evaluate_all_steps(
    where: Plan, eqns: list[Equation], env: Environment, seq: Environment
) -> None:
    """Evaluate `eqns` for all time steps at once, adding what they make to `seq`."""
    for eqn in eqns:
        values = [seq[a] if _among(a, seq) else read(env, a) for a in eqn.invars]
        if eqn.outvars[0] in where.flat:
            made = multiply_all_rows(eqn, *values)
        else:
            axes = [0 if _among(a, seq) else None for a in eqn.invars]
            made = jax.vmap(functools.partial(_apply, eqn), axes)(*values)
        seq |= dict(zip(eqn.outvars, made, strict=True))


def _apply(eqn: Equation, *values: Any) -> list[Any]:
    return apply(eqn, values)


def _among(atom: Atom, env: Environment) -> TypeGuard[Variable]:
    return is_variable(atom) and atom in env


def _repeat(value: Any, length: Any) -> Any:
    return jnp.broadcast_to(value, (length, *jnp.shape(value)))


def _shift(first: Any, later: Any, reverse: bool) -> Any:
    """The values before each step, from the first and those after each step."""
    first = jnp.broadcast_to(first, (1, *later.shape[1:]))
    parts = [later[1:], first] if reverse else [first, later[:-1]]
    return lax.concatenate(parts, 0)


# Products -----------------------------------------------------------------------------


def multiply_all_rows(eqn: Equation, x: Any, w: Any) -> list[Any]:
    """The product over all time steps as one of two matrices.

    Its derivative by the weight, again a product of two matrices, needs no copy of its
    operands then.
    """
    ((axis,), right), batch = eqn.params["dimension_numbers"]
    rows = [n for i, n in enumerate(x.shape) if i != axis + 1]
    x = x if axis + 2 == x.ndim else lax.transpose(x, _axes_with_last(axis + 1, x.ndim))
    flat = lax.reshape(x, (math.prod(rows), x.shape[-1]))
    numbers = (((1,), right), batch)
    (out,) = apply(_with_dimension_numbers(eqn, numbers), [flat, w])
    return [lax.reshape(out, (*rows, *out.shape[1:]))]


def lay_out(eqn: Equation, how: How, w: Any) -> Any:
    """The weight of a product in the layout `how`."""
    (_, (axis,)), _ = eqn.params["dimension_numbers"]
    return w.T if how == "transposed" else _pad_columns(w, 1 - axis)


def multiply(eqn: Equation, how: How, x: Any, w: Any) -> list[Any]:
    """The product `eqn` of x and a weight in the layout `how`."""
    (left, (axis,)), batch = eqn.params["dimension_numbers"]
    if how == "transposed":
        return apply(_with_dimension_numbers(eqn, ((left, (1 - axis,)), batch)), [x, w])
    columns = type_of(eqn.invars[1]).shape[1 - axis]
    (out,) = apply(eqn, [x, w])
    return [lax.slice_in_dim(out, 0, columns, axis=-1)]


def _pad_columns(w: Any, axis: int) -> Any:
    """Zeros added along `axis` up to a whole number of lanes."""
    missing = [(0, 0, 0)] * w.ndim
    missing[axis] = (0, -w.shape[axis] % LANES, 0)
    return lax.pad(w, jnp.zeros((), w.dtype), missing)


def _axes_with_last(axis: int, ndim: int) -> list[int]:
    return [i for i in range(ndim) if i != axis] + [axis]


def _with_dimension_numbers(eqn: Equation, numbers: Any) -> Equation:
    return eqn.replace(params={**eqn.params, "dimension_numbers": numbers})


# Chunks -------------------------------------------------------------------------------


def in_chunks(
    some_steps: Callable[[PyTree, PyTree, int], tuple[PyTree, PyTree]],
    carry: PyTree,
    xs: PyTree,
    length: int,
    size: int,
    reverse: bool,
    wrap: Wrapper,
) -> tuple[PyTree, PyTree]:
    """Run `length` steps, `size` of them at a time: a loop over chunks of time.

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


# Loops that store what they make ------------------------------------------------------
#
# As `jax.lax.scan`, but with the time as the counter of the loop: an index computed for
# each access would keep compilers from vectorising it.

# Rows of fewer bytes are concatenated and stored at once, and not part by part.
_SMALL = 4096


class Parts(NamedTuple):
    """The operands of a concatenation that is stored part by part."""

    values: list[Any]
    axis: int  # along which they lie side by side


def counted_loop(
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


def is_unrolled(length: Any, unroll: int) -> bool:
    """Whether there is no loop: it has no steps, or is to be unrolled whole."""
    return isinstance(length, int) and (
        length == 0 or (unroll != 1 and unroll >= length)
    )


def storing_loop(
    body: Callable[..., Any],
    carry: list[Any],
    xs: list[Any],
    like: Iterable[Any],
    ahead: Sequence[bool],
    length: int,
    **options: Any,
) -> tuple[list[Any], list[Any]]:
    """The loop of `lax.scan`, with each output written into its stack at once.

    Args:
        body: from carry and x to carry and a list of outputs, which may be `Parts`.
        carry: the first carry.
        xs: with time leading.
        like: the shape and dtype of each output of one step.
        ahead: whose rows of `xs` are read in the step before the one that needs them.
        length: number of steps.
        options: `reverse` and `unroll`.
    """
    like = list(like)
    # JAX's check that no key is used twice takes storing one for a use
    keys = any(jnp.issubdtype(a.dtype, jax.dtypes.prng_key) for a in like)
    unknown = is_symbolic([length, *(n for a in like for n in a.shape)])
    if keys or unknown or is_unrolled(length, options["unroll"]):
        whole = lambda carry, x: jax.tree.map(
            _concatenate, body(carry, x), is_leaf=_is_parts
        )
        return lax_scan(whole, carry, xs, length, **options)

    groups = _group_small(like)
    first, by = (length - 1, -1) if options["reverse"] else (0, 1)

    def step(t, state):
        carry, stacks, early = state
        read_now = [x if a else read_row(x, t) for x, a in zip(xs, ahead, strict=True)]
        carry, ys = body(carry, replace_where(read_now, ahead, early))
        rows = [_concatenate_flat([ys[i] for i in group]) for group in groups]
        stacks = [write_row(s, y, t) for s, y in zip(stacks, rows, strict=True)]
        # behind the last step, the last row again
        return carry, stacks, [read_row(x, t + by) for x in select(xs, ahead)]

    rows = [_flat_row_type([like[i] for i in group]) for group in groups]
    early = [read_row(x, first) for x in select(xs, ahead)]
    state = carry, uninitialised(rows, length), early
    _, (carry, stacks, _) = counted_loop(step, state, length, **options)
    made = {}
    for group, stack in zip(groups, stacks, strict=True):
        made |= zip(group, _split_flat(stack, [like[i] for i in group]), strict=True)
    return carry, [made[i] for i in range(len(like))]


def _group_small(like: list[Any]) -> list[list[int]]:
    """Places of outputs in groups: small ones of one dtype together, others alone.

    To store a small row takes as long as several of them side by side.
    """
    groups: dict[Any, list[int]] = {}
    for i, a in enumerate(like):
        small = 0 < a.size * a.dtype.itemsize < _SMALL
        groups.setdefault(a.dtype if small else i, []).append(i)
    return list(groups.values())


def _concatenate_flat(values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    return lax.concatenate([_concatenate(v).reshape(-1) for v in values], 0)


def _flat_row_type(like: list[Any]) -> Any:
    if len(like) == 1:
        return like[0]
    return jax.ShapeDtypeStruct((sum(a.size for a in like),), like[0].dtype)


def _split_flat(stack: Any, like: list[Any]) -> list[Any]:
    if len(like) == 1:
        return [stack]
    parts = jnp.split(
        stack, list(itertools.accumulate(a.size for a in like))[:-1], axis=1
    )
    return [part.reshape(-1, *a.shape) for part, a in zip(parts, like, strict=True)]


def uninitialised(like: Iterable[Any], length: int) -> list[Any]:
    """Arrays for rows of the shapes and dtypes of `like`.

    Every row will be written, so what they hold at first does not matter; but equal
    arrays would be made once and then copied, for each loop and each output.
    """
    return [lax.full((length, *a.shape), n, a.dtype) for n, a in enumerate(like, 1)]


def read_row(stack: Any, t: Any) -> Any:
    """What `stack` holds at time t."""
    return lax.dynamic_index_in_dim(
        stack, t, keepdims=False, allow_negative_indices=False
    )


def write_row(stack: Any, value: Any, t: Any) -> Any:
    """`stack` with `value` at time t."""
    if not _is_parts(value):
        value = Parts([value], 0)
    elif stack.nbytes < _SMALL * len(stack):
        value = Parts([_concatenate(value)], 0)
    start = 0
    for part in value.values:
        at = [jnp.int32(start if i == value.axis else 0) for i in range(part.ndim)]
        stack = lax.dynamic_update_slice(
            stack, part[None], [t, *at], allow_negative_indices=False
        )
        start += part.shape[value.axis] if part.ndim else 0
    return stack


def _is_parts(value: Any) -> bool:
    return isinstance(value, Parts)


def _concatenate(value: Any) -> Any:
    return lax.concatenate(value.values, value.axis) if _is_parts(value) else value
