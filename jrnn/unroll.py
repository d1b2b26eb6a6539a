"""`unroll`: run a cell, or a model of whole sequences, along one sequence."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from jrnn import _check
from jrnn._reversed import turned
from jrnn._stack import StackStep, has
from jrnn.cell import (
    Carry,
    Cell,
    ChunkwiseStep,
    DiagonalStep,
    Input,
    Key,
    Output,
    Params,
)
from jrnn.scan import diagonal_scan, scan
from jrnn.sequence import SequenceModel


def unroll(
    cell: Cell | SequenceModel,
    params: Params,
    xs: Input,
    carry: Carry | None = None,
    *,
    key: Key | None = None,
    reverse: bool = False,
    remat: Literal["step", "chunk"] | int | None = None,
) -> tuple[Carry, Output]:
    """Run a cell along one sequence and return its last carry and all outputs.

        carry_t, y_t = step(params, carry_{t-1}, x_t)   for t = 1 .. T

    Differs from PyTorch, Keras and Flax: no batch axis (use `jax.vmap`), carry first
    in what is returned, and no options for lengths, masks or resets (wrap the cell in
    `masked` or `reset`, which read their flags from the input).

    A `SequenceModel`, such as `bidirectional(lstm(64), lstm(64))`, runs in the same
    way, once and as a whole:

        carry, ys = run(params, xs, carry)

    Off the CPU, cells declared `diagonal` run in parallel over time, and on every
    platform a cell with a `ChunkwiseStep` (`mlstm`) many steps at once; also those in a
    `stack`, whose layers then run one after the other. A wrapper around them, or
    `remat`, makes it one loop again.

    Args:
        cell: any cell, or a model of whole sequences.
        params: its parameters.
        xs: inputs, a pytree with time first on every leaf, `(T, ...)`.
        carry: state before the first step; `cell.initial_carry(params)` if None. To
            continue a sequence, pass the carry that the part before returned; a model
            that looks ahead needs all of the sequence at once, and starts each of its
            directions from the carry given.
        key: for cells that need randomness. Split into one for the initial carry and
            one for each step, or for the run as a whole.
        reverse: run from the last step to the first. Outputs keep their places, so
            `ys[t]` has seen `xs[t:]`. A model of whole sequences reads them turned
            round, and what it returns is turned back.
        remat: memory of the backward pass, see `jrnn.scan`; for every scan in a model
            of whole sequences.

    Returns:
        `(carry, ys)`: the carry after the last step run, and the outputs with time
        first, `(T, ...)`; without a time axis if the model pools.

    Raises:
        ValueError: the leaves of `xs` disagree about T.
        TypeError: arguments in another order.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> cell = jrnn.gru(4)
        >>> xs = jax.random.normal(jax.random.key(1), (7, 3))
        >>> params = cell.init(jax.random.key(0), xs[0])
        >>> h, ys = unroll(cell, params, xs)
        >>> h.shape, ys.shape, bool((ys[-1] == h).all())
        ((4,), (7, 4), True)

    References:
        Elman (1990), Finding structure in time, doi:10.1207/s15516709cog1402_1.
    """
    _check.order(cell, params, xs)
    num_steps = _check.num_steps("unroll", xs)
    if _check.is_sequence(cell):
        return _whole(cell, params, xs, carry, key, reverse, remat)
    carry_key, step_keys = None, None
    if key is not None:
        carry_key, step_key = jax.random.split(key)
        step_keys = jax.random.split(step_key, num_steps)
    if carry is None:
        carry = cell.initial_carry(params, key=carry_key)

    arguments = cell, params, xs, carry, step_keys, reverse
    # only a loop can have no steps, or a symbolic number of them
    if remat is not None or not isinstance(num_steps, int) or not num_steps:
        return _loop(*arguments, remat=remat)
    if has(cell, DiagonalStep):
        # on CPU `scan` itself decides what is best done for all steps at once
        one_by_one, at_once = (partial(_run, *arguments, p) for p in (False, True))
        return lax.platform_dependent(cpu=one_by_one, default=at_once)
    return _run(*arguments, False)


def _loop(cell: Cell, params, xs, carry, keys, reverse, remat=None):
    """One step after the other."""

    def step(carry, x_and_key):
        x, step_key = x_and_key
        return cell.step(params, carry, x, key=step_key)

    num_steps, by_step = _check.num_steps("unroll", xs), (xs, keys)
    return scan(step, carry, by_step, num_steps, reverse=reverse, remat=remat)


def _run(cell: Cell, params, xs, carry, keys, reverse, parallel):
    """Many steps at once where a cell says how; of diagonal ones where asked to."""
    if isinstance(cell.step, ChunkwiseStep):
        return _in_chunks(cell.step, params, xs, carry, reverse)
    if isinstance(cell.step, StackStep) and (parallel or has(cell, ChunkwiseStep)):
        return _layer_by_layer(
            cell.step.cells, params, xs, carry, keys, reverse, parallel
        )
    if parallel and isinstance(cell.step, DiagonalStep):
        return _all_states(cell.step, params, xs, carry, keys, reverse)
    if parallel and not jax.tree.leaves(carry):
        step = lambda x, key: cell.step(params, carry, x, key=key)[1]
        return carry, jax.vmap(step)(xs, keys)
    return _loop(cell, params, xs, carry, keys, reverse)


def _in_chunks(step: ChunkwiseStep, params, xs, carry, reverse):
    """As many whole chunks as there are, and what is left of the sequence."""
    chunk, length = partial(step.chunk, params), step.length
    num_steps = _check.num_steps("unroll", xs)
    whole, xs = num_steps // length * length, turned(xs, reverse)
    parts = []
    if whole:
        cut = lambda a: a[:whole].reshape(-1, length, *a.shape[1:])
        carry, ys = scan(chunk, carry, jax.tree.map(cut, xs))
        parts.append(jax.tree.map(lambda y: y.reshape(whole, *y.shape[2:]), ys))
    if whole < num_steps:
        carry, ys = chunk(carry, jax.tree.map(lambda a: a[whole:], xs))
        parts.append(ys)
    ys = jax.tree.map(lambda *ys: jnp.concatenate(ys), *parts)
    return carry, turned(ys, reverse)


def _layer_by_layer(cells, params, xs, carry, keys, reverse, parallel):
    """The layers of a stack, each along the whole sequence."""
    by_layer = [None] * len(cells)
    if keys is not None:  # (T,) -> one (T,) for each layer, those that its step draws
        by_layer = jax.vmap(lambda key: list(jax.random.split(key, len(cells))))(keys)
    carries = []
    for cell, p, c, k in zip(cells, params, carry, by_layer, strict=True):
        c, xs = _run(cell, p, xs, c, k, reverse, parallel)
        carries.append(c)
    return tuple(carries), xs


def _all_states(step: DiagonalStep, params, xs, carry, keys, reverse):
    """A linear and diagonal recurrence in parallel."""
    a, u = jax.vmap(lambda x, key: step.coefficients(params, x, key=key))(xs, keys)
    hs = diagonal_scan(a, u, carry, reverse=reverse, parallel=True)
    ys = jax.vmap(lambda h, x: step.output(params, h, x))(hs, xs)
    last = 0 if reverse else -1
    return jax.tree.map(lambda h: h[last], hs), ys


def _whole(model: SequenceModel, params, xs, carry, key, reverse, remat):
    """A model of whole sequences; in reverse it reads them turned round."""
    carry_key, run_key = (None, None) if key is None else jax.random.split(key)
    first = model.initial_carry(params, key=carry_key) if carry is None else carry
    xs = turned(xs, reverse)
    carry, ys = model.run(params, xs, first, key=run_key, remat=remat)
    return carry, ys if model.pools else turned(ys, reverse)
