"""Many trainings of a task side by side: batches cut out of the data by what is traced.

Batch n of a seed is that of `jrnn.data.batching`. Trainings with other seeds have other
examples in it; side by side all are padded to the bucket of the longest, which changes
nothing but rounding. Which bucket that is depends on n alone, so only its program runs.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.cell import Key, Params
from jrnn.cli.tasks.examples import Command, Examples
from jrnn.cli.updates import optimizer
from jrnn.cli.words import plain_errors
from jrnn.cli.workflow import Seeds, Traced
from jrnn.data import Batch, Dataset, Sequences, batching, in_order
from jrnn.data.buckets import Shape, bucket_of, lengths_of
from jrnn.tasks import Task
from jrnn.tasks.fit import update_of
from jrnn.train import Hyper, Metrics, TrainState


class _Order(NamedTuple):
    """The batches of all steps and seeds."""

    examples: np.ndarray  # (S, N, B); 0 in rows that only fill
    real: np.ndarray  # (S, N), how many rows are
    bucket: np.ndarray  # (N,) of the longest example of any seed
    shapes: tuple[Shape, ...]  # of the buckets


def traced(command: Command, config: Any, data: Examples, seeds: Seeds) -> Traced:
    """A training as the command makes it, of options that are settled."""
    with plain_errors(ValueError):
        task = command.task(config, data.known)

    def advance(state: TrainState, step: Any, hypers: Hyper, key: Key):
        order = _order(data.train, config, seeds.number)
        examples = jnp.asarray(order.examples)[seeds.this]  # (N, B)
        real = jnp.asarray(order.real)[seeds.this]
        used, way = np.unique(order.bucket, return_inverse=True)
        update = update_of(task, optimizer(config), config.average)

        def one(shape: Shape, n, state: TrainState, hyper: Hyper):
            batch = _cut(data.train, examples[n], real[n], shape)
            return update(state, batch, hyper, key)

        ways: list[Any] = [partial(one, order.shapes[k]) for k in used]
        like = jax.eval_shape(ways[0], 0, state, jax.tree.map(lambda a: a[0], hypers))
        ways.append(lambda n, state, hyper: (state, _nothing(like[1])))
        way = jnp.asarray(np.append(way, len(used)))  # behind the last step: nothing

        def next_step(state: TrainState, numbered):
            n, hyper = numbered
            which = way[jnp.minimum(n, len(way) - 1)]
            return jax.lax.switch(which, ways, n, state, hyper)

        steps = step + jnp.arange(jnp.shape(hypers.learning_rate)[0])
        return jax.lax.scan(next_step, state, (steps, hypers))

    def loss(params: Params) -> jax.Array:
        return _heldout(task, params, data, config)

    return Traced(task.init, lambda params, key: (), advance, loss)


def _order(train: Dataset, config: Any, seeds: int) -> _Order:
    streams = [batching(train, config.batch_size, seed) for seed in range(seeds)]
    shapes, steps = streams[0].shapes, range(config.steps)
    bucket = bucket_of(lengths_of(train), np.array(shapes))  # of each example
    drawn = [[stream.examples(n) for n in steps] for stream in streams]
    most = min(config.batch_size, len(train.inputs))
    fill = lambda which: np.pad(which, (0, most - len(which)))
    of_all = lambda f: np.array([[f(which) for which in each] for each in drawn])
    return _Order(
        examples=of_all(fill).astype(np.int32),
        real=of_all(len).astype(np.int32),
        bucket=of_all(lambda which: bucket[which].max()).max(0),
        shapes=shapes,
    )


def _nothing(like: Metrics) -> Metrics:
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)


def _cut(train: Dataset, examples: jax.Array, count: jax.Array, shape: Shape) -> Batch:
    """A batch of these examples, as `jrnn.data.padding.padded_batch` makes it."""
    real = jnp.arange(len(examples)) < count  # (B,)
    inputs, lengths = _padded(train.inputs, examples, real, shape[0])
    targets, target_lengths = train.targets, None
    if isinstance(targets, Sequences):
        targets, target_lengths = _padded(targets, examples, real, shape[1])
    elif targets is not None:
        rows = jnp.asarray(targets)[examples]
        there = real.reshape(-1, *[1] * (rows.ndim - 1))
        targets = jnp.where(there, rows, jnp.zeros_like(rows))
    return Batch(inputs, lengths, targets, target_lengths, real)


def _padded(
    sequences: Sequences, examples: jax.Array, real: jax.Array, num_steps: int
) -> tuple[jax.Array, jax.Array]:
    of = lambda numbers: jnp.asarray(numbers.astype(np.int32))[examples]
    lengths = jnp.where(real, of(sequences.lengths), 0)  # (B,)
    t = jnp.arange(num_steps, dtype=jnp.int32)[None]
    inside = t < lengths[:, None]  # (B, T)
    values = jnp.asarray(sequences.values)
    steps = values[jnp.where(inside, of(sequences.starts)[:, None] + t, 0)]
    inside = inside.reshape(*inside.shape, *[1] * (steps.ndim - 2))
    return jnp.where(inside, steps, jnp.zeros_like(steps)), lengths


def _heldout(task: Task, params: Params, data: Examples, config: Any) -> jax.Array:
    """The loss of the validation part."""
    shapes = batching(data.train, config.batch_size, 0).shapes
    groups: dict[Any, list[Batch]] = {}  # batches of one shape
    for _, batch in in_order(data.valid, config.batch_size, shapes):
        shape = tuple(np.shape(leaf) for leaf in jax.tree.leaves(batch))
        groups.setdefault(shape, []).append(batch)

    def sums(batch: Batch) -> jax.Array:
        found = task.sums(params, batch)
        return jnp.stack([found["loss"], found["count"].astype(found["loss"].dtype)])

    stack = lambda *leaves: jnp.asarray(np.stack(leaves))
    total = jnp.zeros(2)
    for batches in groups.values():
        total += jax.lax.map(sums, jax.tree.map(stack, *batches)).sum(0)
    return total[0] / total[1]
