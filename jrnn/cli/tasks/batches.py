"""Updates, figures and answers of a task, batch by batch."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from jrnn.cell import Key, Params
from jrnn.cli.tasks.examples import Examples
from jrnn.cli.updates import Intervals, optimizer
from jrnn.cli.workflow import Compiled, Figures, Job
from jrnn.data import Batch, Batching, Dataset, batching
from jrnn.tasks import Task
from jrnn.tasks.fit import answers_over, sums_over, update_of
from jrnn.train import Hyper, TrainState


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
    update = jax.jit(call_of(job.model.task, job.config), donate_argnums=0)
    programs: dict[Any, Any] = {}

    def lowered(batch):
        hyper = Hyper(*[np.zeros((), np.float32)] * 2)
        return update.lower(state, batch, hyper, key)

    def advance(state: TrainState, step: int, hypers: Hyper, key: Key):
        # one step: `TrainingOptions.steps_per_call` is 1
        batch, hyper = stream.batch(step), jax.tree.map(lambda a: a[0], hypers)
        shape = _shape(batch)
        if shape not in programs:  # of a later epoch than the first
            programs[shape] = lowered(batch).compile()
        return programs[shape](state, batch, hyper, key)

    first = _of_each_shape(stream, int(state.step), intervals.steps)
    # now, while it is said that programs are compiled, and side by side
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pending = {shape: lowered(batch) for shape, batch in first.items()}
        compiling = [pool.submit(program.compile) for program in pending.values()]
    programs |= zip(pending, [program.result() for program in compiling], strict=True)
    return Compiled(advance, state, job.config)


def _of_each_shape(stream: Batching, start: int, stop: int) -> dict[Any, Batch]:
    """One batch of each shape, looked for in an epoch at most."""
    found: dict[Any, Batch] = {}
    for n in range(start, min(stop, start + stream.per_epoch)):
        if len(found) == len(stream.shapes):
            break
        batch = stream.batch(n)
        found.setdefault(_shape(batch), batch)
    return found


def _shape(batch: Batch) -> Any:
    return tuple(np.shape(leaf) for leaf in jax.tree.leaves(batch))


def call_of(task: Task, config: Any) -> Callable[..., Any]:
    """A call of one update: `(state, batch, hyper, key) -> (state, metrics (1,))`."""
    update = update_of(task, optimizer(config), config.average)

    def call(state: TrainState, batch, hyper: Hyper, key: Key):
        state, metrics = update(state, batch, hyper, key)
        return state, jax.tree.map(lambda a: a[None], metrics)  # (1,)

    return call


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
