"""What the layers of a task do along examples: every state, every gate, every step."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn._description import Description
from jrnn.cell import Cell, Params
from jrnn.data import Batch, Dataset, in_order
from jrnn.inspect.layers import changes_weights, gates, kind_and_units, states
from jrnn.inspect.record import RecordedLayer, in_words
from jrnn.scan import scan
from jrnn.sequence import pools_over_time
from jrnn.tasks import Task

_STEPS = 1 << 16  # that are run at a time, of all examples side by side
_BUCKETS = 2  # lengths to which examples are padded: each has a program
Parts = list[dict[str, dict[str, jax.Array]]]  # of each layer: states, gates (T, H)


class RecordedExamples(NamedTuple):
    """The layers of a task along n examples, one behind the other: N steps in all."""

    layers: list[RecordedLayer]  # those with a state; of parts (N, H)
    lengths: np.ndarray  # (n,) steps of each example


class _Place(NamedTuple):
    """A cell in a model, and the direction in which it reads."""

    cell: Cell
    params: Params
    depth: int  # of the layers with a state, from 1 on
    direction: str  # forward, backward; empty of a model that reads in one direction


def record_task(task: Task, params: Params, dataset: Dataset) -> RecordedExamples:
    """Run the layers of a task along examples, and keep what happens in them.

        carry_t, h_t = layer(carry_{t-1}, x_t)     t = 1 .. T
        carry_t, h_t = layer(carry_{t+1}, x_t)     of a layer that reads backward

    Of a layer that reads backward the values stand at the steps that it has just read,
    so that they are of the same time as those of the others. Where a task reads several
    steps at once, all of these have the values that are there after them. States and
    gates are kept in half precision.

    Args:
        task: of `jrnn.tasks.classification`, `labelling`, `forecasting` or what is made
            of them; `feed_back` is recorded as it reads what is given.
        params: its parameters.
        dataset: examples; targets are not looked at.

    Returns:
        `RecordedExamples`, in the order of the dataset.

    Raises:
        TypeError: a task that does not say what its layers read.
        ValueError: no layer has a state.

    Example:
        >>> from jrnn.data import from_arrays
        >>> from jrnn.tasks import classification, numbers
        >>> task = classification(numbers(2), 3, hidden_size=4)
        >>> data = Dataset(from_arrays([np.ones((5, 2)), np.ones((3, 2))]))
        >>> seen = record_task(task, task.init(jax.random.key(0)), data)
        >>> [layer.name for layer in seen.layers], seen.layers[0].parts["h"].shape
        (['forward layer', 'backward layer'], (8, 4))
    """
    if task.reads is None:
        raise TypeError(
            "record_task: the task does not say what its layers read. Give it `reads`, "
            "see jrnn.tasks.Task, or use a task of jrnn.tasks."
        )
    asked = dataset._replace(targets=None)
    longest = int(dataset.inputs.lengths.max())
    rows = max(1, min(len(dataset.inputs), _STEPS // longest))
    run = jax.jit(functools.partial(_parts_of, task))
    found: list[Any] = [None] * len(dataset.inputs)
    places: list[_Place] = []
    for which, batch in in_order(asked, rows, _BUCKETS):
        places = places or _places_of(task, params, batch)
        parts, chunk = jax.device_get(run(params, batch))
        for row, i in enumerate(which):
            found[i] = _of_row(parts, row, int(chunk), int(dataset.inputs.lengths[i]))
    joined = jax.tree.map(lambda *each: np.concatenate(each), *found)
    layers = [_layer(*pair, places) for pair in zip(places, joined, strict=True)]
    kept = [layer for layer in layers if layer.units]
    if not kept:
        raise ValueError("record_task: the task has no layer with a state to show.")
    return RecordedExamples(kept, dataset.inputs.lengths.copy())


def _of_row(parts: Any, row: int, chunk: int, length: int) -> Any:
    """The valid steps of a row, each as often as the steps that it has read."""
    count = -(-length // chunk)
    of_each = lambda a: np.repeat(a[row, :count], chunk, axis=0)[:length]
    return jax.tree.map(of_each, parts)


def _layer(place: _Place, parts: Any, places: list[_Place]) -> RecordedLayer:
    kind, units = kind_and_units(place.cell, place.params)
    deep = max(p.depth for p in places) > 1
    words = [place.direction, "layer", str(place.depth) if deep else ""]
    name = " ".join(filter(None, words)) if deep or place.direction else ""
    return RecordedLayer(kind, units, *in_words(parts), name)


# Which cells there are


def _places_of(task: Task, params: Params, batch: Batch) -> list[_Place]:
    assert task.reads is not None  # `record_task`
    read = task.reads(params, batch)
    places, depth = [], 0
    for cell, own, direction in _cells(read.model, read.params, ""):
        has_state = kind_and_units(cell, own)[1] > 0
        depth += has_state and direction != "backward"
        places.append(_Place(cell, own, depth, direction))
    return places


def _cells(model: Any, params: Params, way: str) -> Iterator[tuple[Cell, Params, str]]:
    """The cells of a model up to where it pools, in the order of `_run`."""
    parts, two_ways = _inside(model)
    if not parts:
        yield model, params, way
    for k, (part, own) in enumerate(zip(parts, params if parts else (), strict=True)):
        if not two_ways and _only_pools(part):
            return
        yield from _cells(part, own, ("forward", "backward")[k] if two_ways else way)


def _inside(model: Any) -> tuple[tuple[Any, ...], bool]:
    """The parts of a stack, or of a model that reads in both directions."""
    made = model.description
    if isinstance(made, Description) and made.factory == "stack":
        return made.arguments["cells"], False
    if isinstance(made, Description) and made.factory == "bidirectional":
        return (made.arguments["forward"], made.arguments["backward"]), True
    return (), False


def _only_pools(model: Any) -> bool:
    """Whether a part makes one vector of all steps without a state of its own."""
    return pools_over_time(model) and not _inside(model)[0]


# What they do


def _parts_of(task: Task, params: Params, batch: Batch) -> tuple[Parts, int]:
    assert task.reads is not None  # `record_task`
    read = task.reads(params, batch)

    def one(xs, length):
        valid = jnp.arange(len(xs)) < length
        return _run(read.model, read.params, xs, valid, backward=False)[0]

    parts = jax.vmap(one)(read.xs, read.lengths)
    half = lambda a: a.astype(jnp.float16)
    return jax.tree.map(half, parts), read.chunk


def _run(model: Any, params: Params, xs, valid, backward: bool) -> tuple[Parts, Any]:
    """Parts of all cells, and outputs (T, O); these are None behind a pool."""
    parts, two_ways = _inside(model)
    if two_ways:
        ways = zip(parts, params, (False, True), strict=True)
        both = [_run(part, own, xs, valid, way) for part, own, way in ways]
        found, ys = zip(*both, strict=True)
        pooled = any(y is None for y in ys)
        joined = None if pooled else jnp.concatenate(ys, axis=-1)
        return [part for parts in found for part in parts], joined
    if not parts:
        return _run_cell(model, params, xs, valid, backward)
    all_parts: Parts = []
    for part, own in zip(parts, params, strict=True):
        if _only_pools(part):
            return all_parts, None
        found, xs = _run(part, own, xs, valid, backward)
        all_parts += found
    return all_parts, xs


def _run_cell(cell: Cell, params: Params, xs, valid, backward: bool):
    """One cell along a row; a step that is not valid leaves the carry as it is."""
    hidden = changes_weights(cell)

    def step(carry, x_and_valid):
        x, is_valid = x_and_valid
        new, y = cell.step(params, carry, x)
        new = jax.tree.map(lambda a, b: jnp.where(is_valid, a, b), new, carry)
        seen = {} if hidden else gates(params, carry, x)
        return new, ({"states": states(new), "gates": seen}, y)

    carry = cell.initial_carry(params)
    _, (parts, ys) = scan(step, carry, (xs, valid), reverse=backward)
    return [parts], ys
