"""What the examples of a task cost without one unit: its state set to zero."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.cell import Cell, Params
from jrnn.data import Batch, Dataset, Sequences
from jrnn.data.padding import padded_batch
from jrnn.inspect.ablate import Effect, effect_of
from jrnn.inspect.silence import gives_its_state, is_silenced, silenced, with_factors
from jrnn.tasks import Task

FIGURES = "accuracy", "mean_absolute_error"  # the first that a task has
_NUMBERS = 5e7  # states that are held at once


def task_effects(
    make: Callable[[Callable[[int], Cell]], Task],
    cell: Callable[[int], Cell],
    params: Params,
    dataset: Dataset,
    *,
    groups: int = 8,
) -> list[Effect]:
    """Measure each unit of a task by what its examples cost without it.

        effect_j = L with h_j = 0 at all steps - L

    L is the loss of the task, a mean over what counts in it. Every layer has effects of
    its own, and so has each direction. The error comes from how groups of examples
    differ, every n-th of them in each.

    Args:
        make: from a cell factory to the task.
        cell: the factory that the task was trained with.
        params: of `make(cell)`.
        dataset: examples with targets.
        groups: how many groups; fewer of few examples.

    Returns:
        An `Effect` for each layer, in the order of `record_task`, with the change of
        the accuracy, or else of the mean absolute error, as `figure`. All are NaN if a
        layer's output is not its state.

    Raises:
        ValueError: examples without targets.

    Example:
        >>> import jrnn
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import classification, numbers
        >>> make = lambda cell: classification(numbers(2), 3, cell=cell, hidden_size=4)
        >>> params = make(jrnn.gru).init(jax.random.key(0))
        >>> xs = from_arrays(np.ones((6, 5, 2)))
        >>> data = Dataset(xs, np.array([0, 1, 2, 0, 1, 2]))
        >>> found = task_effects(make, jrnn.gru, params, data)
        >>> len(found), found[0].nats.shape, found[0].figure.shape
        (2, (4,), (4,))
    """
    if dataset.targets is None:
        raise ValueError(
            "task_effects: the examples have no targets, so there is no loss. Give a "
            "Dataset(inputs, targets)."
        )
    task = make(lambda size: silenced(cell(size)))
    like = jax.eval_shape(task.init, jax.random.key(0))
    cells = [c for c in jax.tree.leaves(like, is_leaf=is_silenced) if is_silenced(c)]
    sizes = [len(c.factors) for c in cells]
    if not _can_be_silenced(cell):
        nan = [np.full(size, np.nan, np.float32) for size in sizes]
        return [Effect(each, each, each) for each in nan]
    factors = np.vstack(
        [np.ones(sum(sizes)), 1 - np.eye(sum(sizes))]
    )  # row j: unit j-1
    sums = _sums(task, like, params, _batches(dataset, groups), factors, sizes)
    change, counts, figure = _changes(task, sums)
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(change, ends), np.split(figure, ends), strict=True)
    return [effect_of(own, counts)._replace(figure=f) for own, f in parts]


def _can_be_silenced(cell: Callable[[int], Cell]) -> bool:
    one, x = cell(4), jnp.ones(3)
    return gives_its_state(one, one.init(jax.random.key(0), x), x)


def _batches(dataset: Dataset, groups: int) -> list[Batch]:
    """Groups of examples, all of one shape."""
    n = len(dataset.inputs)
    groups = max(1, min(groups, n))
    shape = (int(dataset.inputs.lengths.max()),)
    if isinstance(dataset.targets, Sequences):
        shape += (int(dataset.targets.lengths.max()),)
    rows = -(-n // groups)
    return [
        padded_batch(dataset, np.arange(first, n, groups), shape, rows)
        for first in range(groups)
    ]


def _sums(task: Task, like: Params, params: Params, batches, factors, sizes) -> Any:
    """`Task.sums` with each row of factors (R, ...) on each batch (G, ...)."""

    def of_row(row, batch):
        each = jnp.split(row, np.cumsum(sizes)[:-1])
        return task.sums(with_factors(like, params, each), batch)

    run = jax.jit(jax.vmap(of_row, (0, None)))
    rows, steps = np.shape(batches[0].inputs)[:2]
    count = len(factors)
    size = int(max(1, min(count, _NUMBERS // (rows * steps * sum(sizes)))))
    found = []
    for batch in batches:
        parts = []
        for first in range(0, count, size):
            # the last one is repeated: another number of them is another program
            chosen = np.minimum(np.arange(first, first + size), count - 1)
            some = jnp.asarray(factors[chosen], jnp.result_type(float))
            parts.append(jax.device_get(run(some, batch)))
        join = lambda *each: np.concatenate(each)[:count]
        found.append(jax.tree.map(join, *parts))
    return jax.tree.map(lambda *each: np.stack(each, axis=1).astype(float), *found)


def _changes(task: Task, sums: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By unit and group what the loss changes by (R - 1, G), counts (G,), a figure."""
    counts = sums["count"][0]  # (G,)
    some = counts > 0
    change = (sums["loss"][1:] - sums["loss"][:1])[:, some]
    total = jax.tree.map(lambda a: a.sum(axis=1), dict(sums))  # (R, ...)
    rows = range(len(sums["loss"]))
    of_rows = [task.figures({k: a[r] for k, a in total.items()}) for r in rows]
    name = next((n for n in FIGURES if of_rows[0].get(n) is not None), None)
    values = [np.nan if name is None else float(f[name]) for f in of_rows]
    figure = np.array(values[1:], np.float32) - np.float32(values[0])
    return change, counts[some], figure
