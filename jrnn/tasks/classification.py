"""The class of a sequence: many to one."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._replacements.largest import index_of_largest
from jrnn.cell import Cell
from jrnn.combine import stack
from jrnn.layers import linear
from jrnn.losses import cross_entropy
from jrnn.models import many_to_one
from jrnn.tasks.metrics import confusion, figures_of_confusion
from jrnn.tasks.reader import (
    Inputs,
    Numbers,
    Pool,
    counted,
    init_of,
    reader,
    rows_of,
    run_rows,
    targets_of,
)
from jrnn.tasks.task import Classified, Read, Task


def classification(
    inputs: Inputs,
    classes: int,
    *,
    cell: str | Callable[[int], Cell] = "gru",
    hidden_size: int = 64,
    layers: int = 1,
    embed_size: int = 32,
    dropout: float = 0.0,
    bidirectional: bool = True,
    pool: Pool = "all",
    chunk: int = 1,
) -> Task:
    """Say which of some classes a sequence belongs to.

        h_t = recurrent layers, in both directions if `bidirectional`
        z = [h_T, mean_t h_t, max_t h_t] w + b          pool = "all"
        L = - log softmax(z)[label]

    The recurrent layers hand on what they found at their end, on average and at most,
    so that neither a long tail nor a single early step is lost; Keras and PyTorch
    leave the last step to be taken by hand, where padding stands.

    Targets of a batch are integers (B,). Those outside 0..C-1, for labels that
    training has not seen, are not learned, do not count in the loss, and count as wrong
    in the accuracy.

    Args:
        inputs: `symbols(V)` or `numbers(D)`.
        classes: number of classes C, at least 2.
        cell: "gru", "lstm", "elman", "irnn", or a cell factory.
        hidden_size: units of each layer, in each direction.
        layers: recurrent layers, one on the other.
        embed_size: length of a symbol's learned row; 0 for a one-hot vector.
        dropout: in training, on learned rows and on what each layer hands on.
        bidirectional: whether the layers read in both directions; not if the class is
            asked for while the sequence still grows.
        pool: "all", or one of "last", "mean", "max".
        chunk: steps read at once, side by side in one vector of numbers, so that a long
            series is short for the layers; zeros fill the last.

    Returns:
        A `Task`. Figures are "loss" and those of
        `jrnn.tasks.metrics.figures_of_confusion`; answers are
        `Classified(label, probability)`, (B,) and (B, C).

    Raises:
        ValueError: a size or rate outside its range, another word; a batch of another
            form.
        TypeError: inputs that are neither symbols nor numbers.

    Example:
        >>> from jrnn.data import Batch
        >>> from jrnn.tasks import numbers
        >>> task = classification(numbers(3), 4, hidden_size=8)
        >>> params = task.init(jax.random.key(0))
        >>> real = jnp.array([True, True])
        >>> xs, lengths, labels = jnp.ones((2, 6, 3)), jnp.array([6, 2]), jnp.arange(2)
        >>> batch = Batch(xs, lengths, labels, None, real)
        >>> task.loss(params, batch).shape, task.predict(params, batch).label.shape
        ((), (2,))

    References:
        Howard, Ruder (2018), Universal language model fine-tuning for text
        classification, arXiv:1801.06146, section 3.3 (last, mean and max, joined).
    """
    name = "classification"
    at_least_two(name, classes)
    read = reader(
        name,
        _of_chunks(name, inputs, chunk),
        cell=cell,
        hidden_size=hidden_size,
        layers=layers,
        embed_size=embed_size,
        dropout_rate=dropout,
        two_ways=bidirectional,
        pooled=pool,
    )
    readout = linear(classes)

    def logits(params, batch, key=None):  # (B, C)
        model = read.evaluate if key is None else read.train
        return run_rows(
            partial(many_to_one, model, readout),
            params,
            _chunks(*rows_of(name, inputs, batch), chunk),
            key,
        )

    def loss(params, batch, *, key=None, step=None):
        del step
        labels, known, _ = labels_of(name, batch, classes, 1)
        return cross_entropy(logits(params, batch, key), labels, known)

    def sums(params, batch):
        labels, known, unknown = labels_of(name, batch, classes, 1)
        return sums_of_choices(logits(params, batch), labels, known, unknown)

    def predict(params, batch):
        z = logits(params, batch)
        return Classified(index_of_largest(z), jax.nn.softmax(z))

    def reads(params, batch):
        rows = _chunks(*rows_of(name, inputs, batch), chunk)
        return Read(read.evaluate, params[0], *rows, chunk)

    init = init_of(stack(read.evaluate, readout), read.example)
    return Task(init, loss, sums, figures_of_choices, predict, reads)


def _of_chunks(name: str, inputs: Inputs, chunk: int) -> Inputs:
    """Inputs as the layers get them."""
    _check.positive(name, "chunk", chunk)
    if chunk == 1:
        return inputs
    if not isinstance(inputs, Numbers):
        raise ValueError(
            f"{name}: chunk puts numbers side by side; of symbols leave it 1, got "
            f"{chunk}."
        )
    return Numbers(chunk * inputs.size)


def _chunks(
    xs: jax.Array, lengths: jax.Array, chunk: int
) -> tuple[jax.Array, jax.Array]:
    """Rows (B, T, D) as rows (B, T / chunk, chunk D), and their lengths."""
    if chunk == 1:
        return xs, lengths
    B, T, D = xs.shape
    valid = jnp.arange(T)[None] < lengths[:, None]
    xs = jnp.where(valid[..., None], xs, jnp.zeros_like(xs))
    xs = jnp.pad(xs, ((0, 0), (0, -T % chunk), (0, 0)))
    return xs.reshape(B, -1, chunk * D), -(-lengths // chunk)


def at_least_two(name: str, classes: int) -> None:
    """Raise unless there are two classes to choose from.

    Args:
        name: of the task.
        classes: their number.

    Raises:
        ValueError: fewer than two.

    Example:
        >>> at_least_two("doc", 2)
    """
    _check.positive(name, "classes", classes)
    if classes < 2:
        raise ValueError(f"{name}: needs at least two classes, got {classes}.")


def labels_of(
    name: str, batch, classes: int, dims: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Labels of a batch, which are known classes, and which are not.

    Args:
        name: of the task, for errors.
        batch: a `jrnn.data.Batch`.
        classes: number of classes C.
        dims: 1 for a label a row, 2 for a label a step.

    Returns:
        `(labels, known, unknown)`: integers, and booleans of the same shape, both false
        at padding and in rows that are not real.

    Raises:
        ValueError: no labels, or another shape.
        TypeError: labels that are not integers.

    Example:
        >>> from jrnn.data import Batch
        >>> real = jnp.array([True, True, False])
        >>> batch = Batch(jnp.ones((3, 4, 2)), jnp.ones(3), [1, -1, 0], None, real)
        >>> _, known, unknown = labels_of("doc", batch, 2, 1)
        >>> known.tolist(), unknown.tolist()
        ([True, False, False], [False, True, False])
    """
    labels = targets_of(name, batch, dims)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"{name}: labels must be integers, got {labels.dtype}.")
    counts = jnp.asarray(batch.real)
    if dims == 2:
        steps = jnp.arange(labels.shape[1])[None] < counted(batch.lengths)[:, None]
        counts = counts[:, None] & steps
    known = (labels >= 0) & (labels < classes)
    return labels, known & counts, ~known & counts


def sums_of_choices(
    logits: jax.Array, labels: jax.Array, known: jax.Array, unknown: jax.Array
) -> dict[str, jax.Array]:
    """Sums of a batch from which `figures_of_choices` makes figures.

    Args:
        logits: `(..., C)`.
        labels: integers `(...)`.
        known: booleans `(...)`, labels that count.
        unknown: booleans `(...)`, labels to which no answer is right.

    Returns:
        "loss", "count", "confusion" (C, C) and "unknown".

    Example:
        >>> yes, no = jnp.ones(2, bool), jnp.zeros(2, bool)
        >>> sums = sums_of_choices(jnp.eye(2), jnp.array([0, 0]), yes, no)
        >>> sums["confusion"].tolist()
        [[1, 1], [0, 0]]
    """
    count = known.sum().astype(logits.dtype)
    return {
        "loss": cross_entropy(logits, labels, known) * count,
        "count": count,
        "confusion": confusion(
            labels, index_of_largest(logits), logits.shape[-1], known
        ),
        "unknown": unknown.sum(),
    }


def figures_of_choices(sums) -> dict:
    """Figures of sums of choices that were added over batches.

    Args:
        sums: of `sums_of_choices`.

    Returns:
        "loss" in nats, and the figures of `figures_of_confusion`.

    Example:
        >>> sums = {"loss": 2.0, "count": 4.0, "confusion": [[2, 0], [1, 1]]}
        >>> figures = figures_of_choices(sums | {"unknown": 0})
        >>> figures["loss"], figures["accuracy"]
        (0.5, 0.75)
    """
    count = float(sums["count"])
    loss = float(sums["loss"]) / count if count else float("nan")
    return {"loss": loss} | figures_of_confusion(sums["confusion"], sums["unknown"])
