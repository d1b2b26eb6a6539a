"""`jrnn regress FILE`: a command that trains, as small as one can be.

A line of FILE is a number to be said, and behind it the sequence that says it. Tests
put the command into the tables; run as a program, this is `jrnn` with it.
"""

import dataclasses
import hashlib
import sys
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

import jrnn
from jrnn.cli import main, parsing
from jrnn.cli.config import TRAINING
from jrnn.cli.options import SequenceOptions
from jrnn.cli.tasks import WORKFLOWS
from jrnn.cli.tasks.examples import Command, Examples
from jrnn.cli.tasks.sequences import workflow_for
from jrnn.cli.workflow import Guess
from jrnn.data import Dataset, from_arrays, split_sequences
from jrnn.tasks import Task
from jrnn.text.files import read_files
from jrnn.unroll import unroll


@dataclass(frozen=True)
class Regress(SequenceOptions):
    """Say the number that a sequence stands for."""

    from_data: ClassVar[str] = "steps"

    noise: float = 0.1
    """Standard deviation of what is added to each step while training."""
    steps: int = 0
    """Updates of the weights. (default: 10 passes over the data)"""
    hidden_size: int = 6


def read(config, known, content):
    if content is None:
        content = read_files(config.files, "byte")
    rows = [np.array(line.split(), np.float32) for line in content.splitlines()]
    if any(len(row) < 2 for row in rows):
        raise ValueError(f"{config.files[0]} has a line without a sequence.")
    data = Dataset(
        from_arrays([row[1:, None] for row in rows]), np.array([row[0] for row in rows])
    )
    train, valid, test = split_sequences(data, config.split, config.seed)
    known = known or {"mean": float(np.mean(train.targets))}
    files = tuple(file if str(file) == "-" else file.resolve() for file in config.files)
    return Examples(
        train,
        valid,
        test,
        source=", ".join(file.name for file in files),
        sha256=hashlib.sha256(content).hexdigest(),
        files=files,
        known=known,
        kept=content if str(files[0]) == "-" else None,
    )


def settle(config, data):
    per_epoch = -(-len(data.train.inputs) // config.batch_size)
    return dataclasses.replace(config, steps=config.steps or 10 * per_epoch)


def task(config, known):
    cell, readout = jrnn.gru(config.hidden_size), jrnn.linear(1)

    def init(key):
        one, other = jax.random.split(key)
        x = jnp.zeros(1, jnp.float32)
        h = jnp.zeros(config.hidden_size, x.dtype)
        return cell.init(one, x), readout.init(other, h)

    def answers(params, batch, key=None):  # (B,)
        xs = jnp.asarray(batch.inputs)  # (B, T, 1)
        if key is not None:
            xs = xs + config.noise * jax.random.normal(key, xs.shape, xs.dtype)

        def one(xs, length):
            _, hs = unroll(cell, params[0], xs)
            last = jnp.take(hs, jnp.maximum(length - 1, 0), axis=0)
            return readout.step(params[1], (), last)[1][0] + known["mean"]

        return jax.vmap(one)(xs, batch.lengths)

    def squares(params, batch, key=None):
        error = answers(params, batch, key) - batch.targets
        return jnp.where(batch.real, error**2, jnp.zeros_like(error)).sum()

    def loss(params, batch, *, key=None, step=None):
        del step
        return squares(params, batch, key) / batch.real.sum()

    def sums(params, batch):
        return {"loss": squares(params, batch), "count": batch.real.sum()}

    def figures(sums):
        loss = sums["loss"] / sums["count"]
        return {"loss": loss, "rmse": np.sqrt(loss), "of": [sums["count"], np.nan]}

    return Task(init, loss, sums, figures, answers)


def mean_of_training(config, data):
    error = data.test.targets - data.known["mean"]
    return {"mean of training": {"loss": float(np.square(error).mean())}}


def shown(figures):
    rmse = f", off by {figures['rmse']:.2f}" if "rmse" in figures else ""
    return f"{figures['loss']:.4f}{rmse}"


def told(known, dataset, answers):
    pairs = zip(dataset.targets, answers, strict=True)
    return [f"{y:.2f}, answered {answer:.2f}" for y, answer in pairs]


def draw(tested, path):
    path.write_bytes(repr(tested.answers.tolist()).encode())


COMMAND = Command(
    name="regress",
    read=read,
    settle=settle,
    task=task,
    guess=lambda data: Guess(float(np.var(data.train.targets)), "the mean"),
    baselines=mean_of_training,
    curves=("rmse",),
    shown=shown,
    about=lambda data: [f"Mean: {data.known['mean']:.2f}."],
    told=told,
    details=lambda known, figures: [f"Root mean square: {figures['rmse']:.3f}."],
    draw=draw,
)


def tables():
    """The three tables that a command that trains is in, and its row of each."""
    return (
        (TRAINING, "regress", Regress),
        (parsing.COMMANDS, "regress", Regress),
        (WORKFLOWS, Regress, workflow_for(COMMAND)),
    )


if __name__ == "__main__":
    for table, name, row in tables():
        table[name] = row
    sys.exit(main())
