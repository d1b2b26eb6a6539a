"""Training, measuring and answering: a task on a dataset, with batches by length."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jrnn import _check, optimizers
from jrnn.cell import Key, Params
from jrnn.data import Dataset, Sequences, batching, in_order
from jrnn.logs import Log
from jrnn.tasks.task import Padded, Task
from jrnn.train import Hyper, Metrics, TrainState, init_state, make_step
from jrnn.train.step import OptimizerFactory


class Fitted(NamedTuple):
    """What training on a dataset has found."""

    params: Params  # those of `best_step`
    history: list[dict[str, float]]  # a record each `every` steps
    best_step: int  # updates made before the params were the best


def fit_sequences(
    task: Task,
    train: Dataset,
    *,
    steps: int,
    key: Key,
    batch_size: int = 32,
    learning_rate: ArrayLike = 3e-3,
    max_norm: float = 1.0,
    valid: Dataset | None = None,
    every: int | None = None,
    patience: int = 0,
    optimizer: OptimizerFactory = optimizers.adam,
    log: Log | None = None,
) -> Fitted:
    """Train a task on sequences of unequal length, and keep the best parameters.

        step n:  one update by `task.loss` of batch n of `jrnn.data.batching`

    Every example comes once an epoch, in batches of nearly equal length, each shape of
    which is compiled once, also where the same task is fitted again with another key or
    learning rate. Everything random comes from `key`: the same key gives the same
    result. The figure that decides between parameters is the loss of `valid`.

    Args:
        task: what is learned, such as a `jrnn.tasks.classification`.
        train: examples to learn from.
        steps: updates to make.
        key: random key, for the first parameters, the order of examples and dropout.
        batch_size: examples in an update.
        learning_rate: of the first step, from where it falls to 0 along a cosine; or
            one for every step, (steps,).
        max_norm: threshold of the gradient's global norm.
        valid: examples by which the best parameters are chosen; without them the last
            ones are returned.
        every: steps from one measurement, and record, to the next; a twentieth of all
            if None.
        patience: measurements without a better loss after which training stops; 0 to
            make all steps.
        optimizer: as for `jrnn.train.make_step`.
        log: called with each record, such as one of `jrnn.logs`.

    Returns:
        `Fitted(params, history, best_step)`. A record has "step", "loss", the mean of
        training since the record before, and with `valid` its figures that are single
        numbers, as "valid_loss" and so on.

    Warns:
        RuntimeWarning: a loss was not finite.

    Raises:
        ValueError: a number outside its range; patience without `valid`; no examples.

    Example:
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import classification, numbers
        >>> rng = np.random.default_rng(0)
        >>> xs = [rng.normal(size=(t, 1)) for t in rng.integers(1, 9, 200)]
        >>> data = Dataset(from_arrays(xs), np.array([int(x[0, 0] > 0) for x in xs]))
        >>> task = classification(numbers(1), 2, hidden_size=8)
        >>> key = jax.random.key(0)
        >>> fitted = fit_sequences(task, data, steps=200, key=key, learning_rate=0.03)
        >>> measure(task, fitted.params, data)["accuracy"] > 0.95
        True
    """
    name = "fit_sequences"
    _check.positive(name, "steps", steps)
    every = max(1, steps // 20) if every is None else every
    _check.positive(name, "every", every)
    _check.not_negative(name, "max_norm", max_norm)
    if patience and valid is None:
        raise ValueError(
            f"{name}: patience needs examples to judge by. Pass valid=, such as a part "
            "of jrnn.data.split_sequences."
        )
    rates, update = _rates(learning_rate, steps), _compiled(task, optimizer)
    init_key, order_key, key = jax.random.split(key, 3)
    batches = batching(train, batch_size, int(jax.random.bits(order_key)))
    state = init_state(task.init(init_key), (), optimizer)
    best, best_loss, best_step, waited = state.params, np.inf, 0, 0
    losses, history = [], []
    for n in range(steps):
        hyper = Hyper(rates[n], np.float32(max_norm))
        state, metrics = update(state, batches.batch(n), hyper, key)
        losses.append(metrics.loss)
        if (n + 1) % every and n + 1 < steps:
            continue
        figures = (
            {} if valid is None else measure(task, state.params, valid, batch_size)
        )
        history.append(_record(n + 1, losses, figures))
        losses = []
        if log is not None:
            log(history[-1])
        if valid is None or figures["loss"] < best_loss:
            best, best_step, waited = state.params, n + 1, 0
            best_loss = figures.get("loss", np.inf)
        else:
            waited += 1
        if patience and waited >= patience:
            break
    _warn_of_nonfinite(history)
    if best_step == 0:  # no measurement was a number
        best, best_step = state.params, history[-1]["step"]
    return Fitted(best, history, best_step)


def measure(
    task: Task, params: Params, dataset: Dataset, batch_size: int = 128
) -> dict[str, Any]:
    """Figures of a task on a dataset, each example once.

    Args:
        task: a `Task`.
        params: its parameters.
        dataset: examples with targets.
        batch_size: examples done at once, which changes no figure.

    Returns:
        What `task.figures` makes of all: "loss" and what the task is judged by.

    Raises:
        ValueError: no examples; no targets.

    Example:
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import classification, symbols
        >>> data = Dataset(from_arrays([[0, 1], [1, 1, 0]]), np.array([0, 1]))
        >>> task = classification(symbols(2), 2, hidden_size=4)
        >>> figures = measure(task, task.init(jax.random.key(0)), data)
        >>> figures["confusion"].sum().item()
        2
    """
    if dataset.targets is None:
        raise ValueError(
            "measure: the dataset has no targets to compare with. Call predict for "
            "answers."
        )
    return task.figures(sums_over(jax.jit(task.sums), params, dataset, batch_size))


def predict(task: Task, params: Params, dataset: Dataset, batch_size: int = 128) -> Any:
    """Answers of a task for each example of a dataset, in its order.

    Args:
        task: a `Task`.
        params: its parameters.
        dataset: examples; targets are not looked at.
        batch_size: examples done at once.

    Returns:
        The answers of `task.predict` for all n examples: arrays of NumPy (n, ...), and
        `jrnn.data.Sequences` in place of each `Padded`.

    Raises:
        ValueError: no examples.

    Example:
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import labelling, symbols
        >>> data = Dataset(from_arrays([[0, 1], [1, 1, 0]]))
        >>> task = labelling(symbols(2), 3, hidden_size=4)
        >>> answers = predict(task, task.init(jax.random.key(0)), data)
        >>> answers.label.lengths.tolist(), answers.probability[1].shape
        ([2, 3], (3, 3))
    """
    asked = dataset._replace(targets=None)
    found, place = answers_over(jax.jit(task.predict), params, asked, batch_size)
    return jax.tree.map(
        lambda *parts: _joined(parts, place), *found, is_leaf=_is_padded
    )


def sums_over(
    sums: Callable[[Params, Any], Any],
    params: Params,
    dataset: Dataset,
    batch_size: int,
    buckets: Any = None,
) -> Any:
    """What a compiled `Task.sums` adds up to over a dataset.

    In double precision: single batches are small, their sum need not be.

    Args:
        sums: `sums(params, batch)`.
        params: of the task.
        dataset: examples with targets.
        batch_size: examples done at once.
        buckets: as for `jrnn.data.in_order`.

    Returns:
        The tree of `sums` with arrays of NumPy, for `Task.figures`.

    Example:
        >>> from jrnn.data import from_arrays
        >>> data = Dataset(from_arrays([[1], [2, 3], [4]]))
        >>> count = lambda params, batch: {"steps": batch.lengths.sum()}
        >>> sums_over(count, (), data, 2)["steps"].item()
        4
    """
    parts = [sums(params, batch) for _, batch in in_order(dataset, batch_size, buckets)]
    total = lambda *values: functools.reduce(np.add, map(_wide, values))
    return jax.tree.map(total, *jax.device_get(parts))


def answers_over(
    predict: Callable[[Params, Any], Any],
    params: Params,
    dataset: Dataset,
    batch_size: int,
    buckets: Any = None,
) -> tuple[list[Any], np.ndarray]:
    """What a compiled `Task.predict` answers, batch by batch.

    Args:
        predict: `predict(params, batch)`.
        params: of the task.
        dataset: examples.
        batch_size: examples done at once.
        buckets: as for `jrnn.data.in_order`.

    Returns:
        `(parts, place)`: the answers of each batch, its rows that are real, and where
        each example of the dataset stands among all of them.

    Example:
        >>> from jrnn.data import from_arrays
        >>> data = Dataset(from_arrays([[1, 2], [3]]))
        >>> first = lambda params, batch: batch.inputs[:, 0]
        >>> parts, place = answers_over(first, (), data, 1)
        >>> np.concatenate(parts)[place].tolist()
        [1, 3]
    """
    found, order = [], []
    for which, batch in in_order(dataset, batch_size, buckets):
        answers = jax.device_get(predict(params, batch))
        found.append(jax.tree.map(lambda a, real=batch.real: a[real], answers))
        order.append(which)
    return found, np.argsort(np.concatenate(order))


def update_of(
    task: Task, optimizer: OptimizerFactory, average_decay: float = 0.0
) -> Callable[..., tuple[TrainState, Metrics]]:
    """One update by the loss of a task, not compiled.

    Args:
        task: what is learned.
        optimizer: as for `jrnn.train.make_step`.
        average_decay: the same.

    Returns:
        `update(state, batch, hyper, key) -> (state, Metrics)`: that of step n, the
        updates made before, is random by `fold_in(key, n)`. The carry of the state is
        not looked at.

    Example:
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import classification, symbols
        >>> data = Dataset(from_arrays([[0, 1], [1]]), np.array([0, 1]))
        >>> task = classification(symbols(2), 2, hidden_size=4)
        >>> params, sgd = task.init(jax.random.key(0)), optimizers.sgd
        >>> [(_, batch)] = in_order(data, 2)
        >>> hyper, key = Hyper(np.float32(0.1), np.float32(1)), jax.random.key(1)
        >>> update = jax.jit(update_of(task, sgd))
        >>> state, metrics = update(init_state(params, (), sgd), batch, hyper, key)
        >>> int(state.step), bool(metrics.loss > task.loss(state.params, batch))
        (1, True)
    """

    def loss(params: Params, carry: Any, numbered: Any, *, key: Key | None = None):
        n, batch = numbered
        return task.loss(params, batch, key=key, step=n), carry

    step = make_step(loss, optimizer, average_decay=average_decay)

    def update(state: TrainState, batch: Any, hyper: Hyper, key: Key):
        n = state.step
        return step(state, (n, batch), hyper, jax.random.fold_in(key, n))

    return update


def _rates(learning_rate: ArrayLike, steps: int) -> np.ndarray:
    rates = np.asarray(learning_rate, np.float32)
    if rates.shape == ():
        falls = (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2
        return rates * falls.astype(np.float32)
    if rates.shape != (steps,):
        raise ValueError(
            "fit_sequences: learning_rate must be a number or have one for each of the "
            f"{steps} steps, got shape {rates.shape}."
        )
    return rates


@functools.lru_cache(maxsize=4)  # another key or learning rate compiles nothing
def _compiled(task: Task, optimizer: OptimizerFactory) -> Callable[..., Any]:
    return jax.jit(update_of(task, optimizer))


def _record(step: int, losses: list, figures: dict) -> dict[str, float]:
    numbers = {k: v for k, v in figures.items() if isinstance(v, float)}
    mean = float(np.mean(np.asarray(losses, np.float64)))
    return {"step": step, "loss": mean} | {f"valid_{k}": v for k, v in numbers.items()}


def _warn_of_nonfinite(history: list[dict[str, float]]) -> None:
    lost = [r["step"] for r in history if not np.isfinite(r["loss"])]
    if lost:
        warnings.warn(
            f"fit_sequences: the loss was not finite before step {lost[0]}. Try a "
            "smaller learning rate, or look for NaN in the inputs.",
            RuntimeWarning,
            stacklevel=3,
        )


def _is_padded(node: Any) -> bool:
    return isinstance(node, Padded)


def _wide(array: Any) -> np.ndarray:
    # sums of many batches in few bits would depend on how they were batched
    array = np.asarray(array)
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def _joined(parts: tuple, place: np.ndarray) -> Any:
    """Answers of all batches in the order of the dataset."""
    if not _is_padded(parts[0]):
        return np.concatenate(parts)[place]
    steps = [
        values[:length]
        for part in parts
        for values, length in zip(part.values, part.lengths, strict=True)
    ]
    lengths = np.array([len(step) for step in steps])
    starts = np.cumsum(lengths) - lengths
    return Sequences(np.concatenate(steps), starts, lengths).take(place)
