"""The five tasks of the leaderboard, on the generators of the other experiments.

A task is what a model reads and answers, a batch of it, the loss to train with and the
figure to judge by.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jrnn
from experiments import _characters, adding_problem, copy_memory, digits

Batch = tuple[jax.Array, jax.Array]  # inputs (B, T, ...) and targets (B, ...)

TEST_KEY = 1_000_000  # apart from the keys of the seeds, which are small numbers


class Task(NamedTuple):
    """What is to be learnt, and how it is judged."""

    guess: float  # score of a model that has learnt nothing but frequencies or means
    front: tuple[jrnn.Cell, ...]  # what a model has ahead of its recurrent layers
    outputs: int
    example: Any  # one input
    data: Any  # arrays that `batch` draws from
    batch: Callable[[Any, jax.Array], Batch]  # (data, key)
    loss: Callable[[jax.Array, jax.Array], jax.Array]  # (outputs (B, T, O), targets)
    score: Callable[[jax.Array, jax.Array], jax.Array]
    test: Batch


class Judged(NamedTuple):
    """What the score of a task is, which tables say without making the task."""

    unit: str
    higher: bool  # whether a higher score is better
    digits: int  # behind the point


JUDGED = {
    "adding": Judged("squared error over 1/6", False, 3),
    "copy": Judged("% of symbols right", True, 1),
    "digits": Judged("% of images right", True, 1),
    "text": Judged("nats a character", False, 3),
    "sine": Judged("distance from the sine", False, 3),
}


def layered(task: Task, cell: Callable[[int], jrnn.Cell], size: int, layers: int):
    """The model that every cell is part of: layers of it, and a linear readout."""
    recurrent = [cell(size) for _ in range(layers)]
    return jrnn.stack(*task.front, *recurrent, jrnn.linear(task.outputs))


def outputs(model: jrnn.Cell, params, inputs: jax.Array) -> jax.Array:
    """What the model says at each step of each sequence, (B, T, O)."""
    return jax.vmap(lambda xs: jrnn.unroll(model, params, xs)[1])(inputs)


def drawn(batch: Callable[[jax.Array], Batch]) -> tuple[Callable, Batch]:
    """A task's batches and its test, where sequences are made and not stored."""
    tests = jax.random.split(jax.random.key(TEST_KEY), 16)
    joined = lambda a: a.reshape(-1, *a.shape[2:])
    test = jax.tree.map(joined, jax.jit(jax.vmap(batch))(tests))
    return lambda _, key: batch(key), test


def rows_of(size: int, data: Batch, key: jax.Array) -> Batch:
    """Rows of stored sequences, drawn with replacement."""
    chosen = jax.random.randint(key, (size,), 0, len(data[0]))
    inputs, targets = data
    return inputs[chosen], targets[chosen]


# The tasks. `cfg` has `batch_size`.


def adding(cfg) -> Task:
    """Of 60 numbers two are marked; the answer at the end is their sum."""
    of = adding_problem.Config(batch_size=cfg.batch_size)
    batch, test = drawn(lambda key: adding_problem.batch(of, 60, key))
    squared = lambda ys, targets: jnp.square(ys[:, -1, 0] - targets).mean()
    over = lambda ys, targets: squared(ys, targets) / adding_problem.BASELINE
    example = jnp.zeros(2)
    return Task(
        1.0, (), 1, example, (), batch, squared, over, test
    )  # fmt: skip


def copying(cfg) -> Task:
    """Five symbols out of eight are read, and written after ten steps."""
    of = copy_memory.Config(batch_size=cfg.batch_size, copied=5)
    batch, test = drawn(lambda key: copy_memory.batch(of, 10, key))

    def right(logits, targets):
        answers = logits.argmax(axis=-1)[:, -of.copied :]
        return 100 * (answers == targets[:, -of.copied :]).mean()

    front, guess = (jrnn.one_hot(of.symbols + 2),), 100 / of.symbols
    return Task(
        guess, front, of.symbols + 1, jnp.int32(0), (), batch,
        jrnn.losses.cross_entropy, right, test,
    )  # fmt: skip


def pixels(cfg) -> Task:
    """Which digit an image of 64 pixels shows, read one pixel at a time."""
    train, test = ((x[..., None], y) for x, y in digits.load())
    shown = np.bincount(train[1]).argmax()
    guess = 100 * float((test[1] == shown).mean())
    loss = lambda logits, ys: jrnn.losses.cross_entropy(logits[:, -1], ys)
    right = lambda logits, ys: 100 * (logits[:, -1].argmax(axis=-1) == ys).mean()
    batch = partial(rows_of, cfg.batch_size)
    return Task(
        guess, (), 10, jnp.zeros(1), train, batch, loss, right, test
    )  # fmt: skip


def text(cfg) -> Task:
    """Which character comes next in Python's reference, in windows of 50."""
    read = _characters.load(0.1)
    parts = (_characters.windows(part, 50) for part in (read.train, read.held_out))
    train, test = ((rows[:, :-1], rows[:, 1:]) for rows in parts)
    test = test[0][::2], test[1][::2]  # windows overlap by half: each character once
    counts = 1 + np.bincount(train[1].ravel(), minlength=read.vocab_size)
    guess = float(-np.log(counts / counts.sum())[test[1]].mean())
    nats, batch = jrnn.losses.cross_entropy, partial(rows_of, cfg.batch_size)
    return Task(
        guess, (jrnn.embed(read.vocab_size, 16),), read.vocab_size, jnp.int32(0),
        train, batch, nats, nats, test,
    )  # fmt: skip


def sine(cfg) -> Task:
    """A sine in noise, of any period from 8 to 32 steps, five steps ahead.

        y_t = sin(2 pi t / period + phase) + 0.3 noise_t

    A model reads 64 numbers, and from half of them on says y_{t+5}. It is judged by
    its distance from the sine alone, the root of the mean square.
    """
    steps, ahead, deviation = 64, 5, 0.3

    def batch(key):
        period_key, phase_key, noise_key = jax.random.split(key, 3)
        shape = (cfg.batch_size, 1)
        octave = jax.random.uniform(period_key, shape, minval=3.0, maxval=5.0)
        phase = jax.random.uniform(phase_key, shape, maxval=2 * jnp.pi)
        clean = jnp.sin(2 * jnp.pi * jnp.arange(steps + ahead) / 2**octave + phase)
        noisy = clean + deviation * jax.random.normal(noise_key, clean.shape)
        both = jnp.stack([noisy, clean], axis=-1)[:, ahead + steps // 2 :]
        return noisy[:, :steps, None], both  # (B, T, 1), (B, T / 2, 2)

    late = lambda ys: ys[:, steps // 2 :, 0]
    squared = lambda ys, both: jnp.square(late(ys) - both[..., 0]).mean()
    off = lambda ys, both: jnp.sqrt(jnp.square(late(ys) - both[..., 1]).mean())
    batches, test = drawn(batch)
    return Task(
        0.5**0.5, (), 1, jnp.zeros(1), (), batches, squared, off, test
    )  # fmt: skip


TASKS: dict[str, Callable[[Any], Task]] = {
    "adding": adding,
    "copy": copying,
    "digits": pixels,
    "text": text,
    "sine": sine,
}
