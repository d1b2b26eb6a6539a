"""What a task is: pure functions from parameters and a batch."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jrnn.cell import Key, Params


class Read(NamedTuple):
    """What the recurrent layers of a task are given of a batch, to look into them."""

    model: Any  # the layers without noise, a `Cell` or a `SequenceModel`
    params: Params  # of the model
    xs: jax.Array  # (B, T, ...), as the model reads it
    lengths: jax.Array  # (B,) steps that count, integers
    chunk: int = 1  # steps of the batch in one step of the model


class Task(NamedTuple):
    """A model together with what is asked of it, as five pure functions.

        init(key)                                   -> params
        loss(params, batch, *, key=None, step=None) -> scalar, a mean over what counts
        sums(params, batch)                         -> sums over what counts
        figures(sums)                               -> figures of all batches whose sums
                                                       were added
        predict(params, batch)                      -> answers, a pytree of (B, ...)

    `batch` is a `jrnn.data.Batch`; its padding and the rows that are not `real` reach
    none of these. With a key `loss` has the noise of training, such as dropout, without
    one it has none; `step` is the number of the update, for a task that changes while
    it is learned. `sums` and `predict` are without noise. `sums` always has "loss" and
    "count", so that figures["loss"] is their quotient and does not depend on how
    examples were batched. Answers whose number of steps differs from row to row are
    `Padded`.

    To ask another thing of the same model, replace one function:
    `task._replace(loss=my_loss)`.

    `reads(params, batch)` is what the layers see of a batch, a `Read`; `jrnn.inspect`
    asks for it. It is None of a task that has no such layers.
    """

    init: Callable[[Key], Params]
    loss: Callable[..., jax.Array]
    sums: Callable[[Params, Any], Mapping[str, jax.Array]]
    figures: Callable[[Mapping[str, Any]], dict[str, Any]]
    predict: Callable[[Params, Any], Any]
    reads: Callable[[Params, Any], Read] | None = None


class Padded(NamedTuple):
    """Answers of unequal length side by side; what stands behind a length is padding.

    `jrnn.tasks.predict` makes a `jrnn.data.Sequences` of it, without the padding.
    """

    values: jax.Array  # (B, T, ...)
    lengths: jax.Array  # (B,), integers


class Classified(NamedTuple):
    """The class of a sequence or of each of its steps, and how likely each is."""

    label: Any  # (B,), or Padded (B, T): integers
    probability: Any  # (B, C), or Padded (B, T, C): of each class
