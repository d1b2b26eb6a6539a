"""One small task of each kind, examples for it, and batches padded by hand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.data import Batch
from jrnn.tasks import (
    Task,
    classification,
    feed_back,
    forecasting,
    labelling,
    numbers,
    symbols,
    translation,
)

D, V, C, N = 2, 6, 3, 4  # columns, tokens, classes, horizon
COLUMNS = (1, 0)


class Case(NamedTuple):
    task: Task
    example: Callable[[np.random.Generator, int], tuple[Any, Any]]  # inputs, target
    float_inputs: bool
    ragged: bool  # whether targets have lengths of their own


def vectors(rng, length):
    return rng.normal(size=(length, D))


def tokens(rng, length, size=V):
    return rng.integers(0, size, length).astype(np.int32)


def one_class(rng, length):
    return np.int32(rng.integers(-1, C))  # -1: unknown


def a_class_each(rng, length):
    return rng.integers(-1, C, length).astype(np.int32)


def another_text(rng, length):
    return rng.integers(-1, V, rng.integers(0, 6)).astype(np.int32)


def what_follows(rng, length):
    ys = rng.normal(size=(N, len(COLUMNS)))
    return np.where(rng.random(ys.shape) < 0.2, np.nan, ys)  # some are missing


def case(task, inputs, target, float_inputs, ragged=False):
    return Case(
        task,
        lambda rng, length: (inputs(rng, length), target(rng, length)),
        float_inputs,
        ragged,
    )


small = {"hidden_size": 3}
CASES = {
    "classification": case(
        classification(numbers(D), C, bidirectional=True, dropout=0.3, **small),
        vectors,
        one_class,
        True,
    ),
    "classification-chunks": case(
        classification(numbers(D), C, chunk=3, bidirectional=False, **small),
        vectors,
        one_class,
        True,
    ),
    "classification-symbols": case(
        classification(symbols(V), C, pool="last", embed_size=2, layers=2, **small),
        tokens,
        one_class,
        False,
    ),
    "labelling": case(
        labelling(symbols(V), C, embed_size=2, dropout=0.2, **small),
        tokens,
        a_class_each,
        False,
        ragged=True,
    ),
    "labelling-numbers": case(
        labelling(numbers(D), C, cell="lstm", bidirectional=False, **small),
        vectors,
        a_class_each,
        True,
        ragged=True,
    ),
    "translation": case(
        translation(
            V, V, embed_size=2, longest=7, beam_size=2, layers=2, dropout=0.1, **small
        ),
        tokens,
        another_text,
        False,
        ragged=True,
    ),
    "forecasting": case(
        forecasting(D, COLUMNS, N, season=3, centre=True, **small),
        vectors,
        what_follows,
        True,
    ),
    "feed-back": case(feed_back(D, COLUMNS, N, **small), vectors, what_follows, True),
}


def examples(name: str, lengths, seed: int = 0) -> list[tuple]:
    rng = np.random.default_rng(seed)
    return [CASES[name].example(rng, length) for length in lengths]


def batch_of(name: str, found, rows=None, steps=None, target_steps=None) -> Batch:
    """Examples side by side; padding and rows that are not real hold NaN or nonsense.

    Sizes are those of the examples where they are not given.
    """
    case = CASES[name]
    inputs, targets = zip(*found, strict=True)
    rows = len(found) if rows is None else rows
    xs, lengths = padded(inputs, rows, steps, case.float_inputs)
    if case.ragged:
        ys, target_lengths = padded(targets, rows, target_steps, False)
    else:
        first = np.asarray(targets[0])
        ys = nonsense((rows, *first.shape), first.dtype.kind == "f")
        ys[: len(found)] = targets
        target_lengths = None
    return Batch(xs, lengths, ys, target_lengths, np.arange(rows) < len(found))


def padded(parts, rows, steps, floats):
    own = [len(part) for part in parts]
    steps = max(own) if steps is None else steps
    values = nonsense((rows, steps, *parts[0].shape[1:]), floats)
    lengths = np.full(rows, steps, np.int32)  # of rows that are not real too
    for n, part in enumerate(parts):
        values[n, : len(part)] = part
        lengths[n] = len(part)
    return values, lengths


def nonsense(shape, floats):
    return np.full(shape, np.nan) if floats else np.full(shape, 99, np.int32)


def params_of(name: str, seed: int = 1):
    """Parameters, all of them away from zero."""
    key, noise = jax.random.split(jax.random.key(seed))
    params = CASES[name].task.init(key)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(noise, len(leaves))
    moved = [
        leaf + 0.3 * jax.random.normal(k, leaf.shape, leaf.dtype)
        for leaf, k in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(tree, moved)


def added(sums):
    return jax.tree.map(lambda *parts: jnp.stack(parts).sum(axis=0), *sums)
