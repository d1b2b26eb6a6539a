"""Updates, figures and answers of a task, batch by batch."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jrnn.cell import Key, Params
from jrnn.cli.tasks.examples import Examples
from jrnn.cli.updates import Intervals, optimizer
from jrnn.cli.workflow import Compiled, Figures, Job
from jrnn.data import Batching, Dataset, batching
from jrnn.tasks import Task
from jrnn.tasks.fit import answers_over, sums_over
from jrnn.train import Hyper, TrainState, make_step


class TaskModel(NamedTuple):
    """What `Job.model` is: a task and its batches, each program compiled once."""

    task: Task
    stream: Batching
    sums: Callable[[Params, Any], Any]
    predict: Callable[[Params, Any], Any]


def model_of(task: Task, data: Examples, batch_size: int, seed: int) -> TaskModel:
    """A task with the batches that it is trained on."""
    stream = batching(data.train, batch_size, seed)
    return TaskModel(task, stream, jax.jit(task.sums), jax.jit(task.predict))


def compiled(job: Job, intervals: Intervals, state: TrainState, key: Key) -> Compiled:
    """The updates: step n takes batch n, and each shape of a batch has its program."""
    stream = job.model.stream
    update = jax.jit(update_of(job.model.task, job.config), donate_argnums=0)
    programs: dict[Any, Any] = {}

    def program(state, batch, hyper, key):
        shape = tuple(np.shape(leaf) for leaf in jax.tree.leaves(batch))
        if shape not in programs:
            programs[shape] = update.lower(state, batch, hyper, key).compile()
        return programs[shape]

    def advance(state: TrainState, step: int, hypers: Hyper, key: Key):
        # one step: `TrainingOptions.steps_per_call` is 1
        arguments = stream.batch(step), jax.tree.map(lambda a: a[0], hypers), key
        return program(state, *arguments)(state, *arguments)

    first = stream.batch(int(state.step)), Hyper(*[np.zeros((), np.float32)] * 2), key
    program(state, *first)  # now, while it is said that programs are compiled
    return Compiled(advance, state, job.config)


def update_of(task: Task, config: Any):
    """One update, whose randomness is that of `fold_in(key, n)` at step n.

    Returns `update(state, batch, hyper, key) -> (state, metrics (1,))`.
    """

    def loss(params: Params, carry, numbered, *, key: Key | None = None):
        n, batch = numbered
        return task.loss(params, batch, key=key, step=n), carry

    step = make_step(loss, optimizer(config), average_decay=config.average)

    def update(state: TrainState, batch, hyper: Hyper, key: Key):
        n = state.step
        state, metrics = step(state, (n, batch), hyper, jax.random.fold_in(key, n))
        return state, jax.tree.map(lambda a: a[None], metrics)  # (1,)

    return update


def measured(model: TaskModel, params: Params, dataset: Dataset, size: int) -> Figures:
    """The figures of a dataset, which do not depend on the size of its batches."""
    total = sums_over(model.sums, params, dataset, size, model.stream.shapes)
    return {name: plain(value) for name, value in model.task.figures(total).items()}


def answered(model: TaskModel, params: Params, dataset: Dataset, size: int) -> Any:
    """The answers of a task, in the order of the dataset, padded to one length."""
    return answers_of(model.predict, params, dataset, size, model.stream.shapes)


def answers_of(
    predict: Callable[[Params, Any], Any],
    params: Params,
    dataset: Dataset,
    size: int,
    shapes: Any = None,
) -> Any:
    """The same of a compiled `Task.predict`, in batches of these shapes."""
    parts, places = answers_over(predict, params, dataset, size, shapes)
    return jax.tree.map(lambda *a: _joined(a)[places], *parts)


def plain(value: Any) -> Any:
    """Numbers as JSON can hold them: arrays as lists, what is no number as None."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _joined(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    """Arrays (B, ...) one after the other, each padded to the largest on other axes."""
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    most = np.max([part.shape[1:] for part in parts], axis=0)
    pad = lambda a: [(0, 0), *[(0, n) for n in most - a.shape[1:]]]
    return np.concatenate([np.pad(part, pad(part)) for part in parts])
