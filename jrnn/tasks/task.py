"""What a task is: pure functions from parameters and a batch."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jrnn.cell import Key, Params


class Task(NamedTuple):
    """A model together with what is asked of it, as five pure functions.

        init(key)                       -> params
        loss(params, batch, *, key)     -> scalar, a mean over what counts; with noise
        sums(params, batch)             -> sums over what counts; without noise
        figures(sums)                   -> figures of all batches whose sums were added
        predict(params, batch)          -> answers, a pytree of (B, ...)

    `batch` is a `jrnn.data.Batch`; its padding and the rows that are not `real` reach
    none of these. `sums` always has "loss" and "count", so that figures["loss"] is
    their quotient and does not depend on how examples were batched.
    """

    init: Callable[[Key], Params]
    loss: Callable[..., jax.Array]
    sums: Callable[[Params, Any], Mapping[str, jax.Array]]
    figures: Callable[[Mapping[str, Any]], dict[str, Any]]
    predict: Callable[[Params, Any], Any]
