"""A class for every step of a sequence: many to many."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jrnn._replacements.largest import index_of_largest
from jrnn.cell import Cell
from jrnn.combine import stack
from jrnn.layers import linear
from jrnn.losses import cross_entropy
from jrnn.models import many_to_many
from jrnn.tasks.classification import (
    at_least_two,
    figures_of_choices,
    labels_of,
    sums_of_choices,
)
from jrnn.tasks.reader import Inputs, counted, init_of, reader, rows_of, run_rows
from jrnn.tasks.task import Classified, Padded, Read, Task


def labelling(
    inputs: Inputs,
    classes: int,
    *,
    cell: str | Callable[[int], Cell] = "gru",
    hidden_size: int = 64,
    layers: int = 1,
    embed_size: int = 32,
    dropout: float = 0.0,
    bidirectional: bool = True,
) -> Task:
    """Say for every step of a sequence which of some classes it belongs to.

        h_t = recurrent layers, in both directions if `bidirectional`
        z_t = h_t w + b
        L = - mean over all valid steps of log softmax(z_t)[label_t]

    Steps are independent given h: there is no table of transitions between classes, as
    a conditional random field has on top.

    Targets of a batch are integers (B, T). Those outside 0..C-1, for labels that
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
        bidirectional: whether a label may depend on later inputs; not if labels are
            asked for while the sequence still grows.

    Returns:
        A `Task`. Figures are "loss" and those of
        `jrnn.tasks.metrics.figures_of_confusion`, over steps; answers are
        `Classified(label, probability)`, `Padded` (B, T) and (B, T, C).

    Raises:
        ValueError: a size or rate outside its range, another word; a batch of another
            form.
        TypeError: inputs that are neither symbols nor numbers.

    Example:
        >>> from jrnn.data import Batch
        >>> from jrnn.tasks import symbols
        >>> task = labelling(symbols(9), 3, hidden_size=8, embed_size=4)
        >>> params = task.init(jax.random.key(0))
        >>> tokens, lengths = jnp.ones((2, 6), int), jnp.array([6, 2])
        >>> batch = Batch(tokens, lengths, tokens, lengths, jnp.array([True, True]))
        >>> int(task.sums(params, batch)["count"])
        8
        >>> task.predict(params, batch).probability.values.shape
        (2, 6, 3)

    References:
        Graves, Schmidhuber (2005), Framewise phoneme classification with bidirectional
        LSTM and other neural network architectures, doi:10.1016/j.neunet.2005.06.042.
    """
    name = "labelling"
    at_least_two(name, classes)
    read = reader(
        name,
        inputs,
        cell=cell,
        hidden_size=hidden_size,
        layers=layers,
        embed_size=embed_size,
        dropout_rate=dropout,
        two_ways=bidirectional,
    )
    readout = linear(classes)
    train, evaluate = (stack(m, readout) for m in (read.train, read.evaluate))

    def logits(params, batch, key=None):  # (B, T, C)
        model = evaluate if key is None else train
        rows = rows_of(name, inputs, batch)
        return run_rows(partial(many_to_many, model), params, rows, key)

    def labels(batch):
        found = labels_of(name, batch, classes, 2)
        steps = jnp.shape(batch.inputs)[1]
        if found[0].shape[1] < steps:
            raise ValueError(
                f"labelling: there must be a label for each step, (B, {steps}), got "
                f"{found[0].shape}."
            )
        return [value[:, :steps] for value in found]  # what is behind is padding

    def loss(params, batch, *, key=None, step=None):
        del step
        targets, known, _ = labels(batch)
        return cross_entropy(logits(params, batch, key), targets, known)

    def sums(params, batch):
        return sums_of_choices(logits(params, batch), *labels(batch))

    def predict(params, batch):
        z = logits(params, batch)
        padded = lambda values: Padded(values, counted(batch.lengths))
        return Classified(padded(index_of_largest(z)), padded(jax.nn.softmax(z)))

    def reads(params, batch):
        return Read(read.evaluate, params[0], *rows_of(name, inputs, batch))

    init = init_of(evaluate, read.example)
    return Task(init, loss, sums, figures_of_choices, predict, reads)
