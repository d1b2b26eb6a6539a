"""What all tasks have in front: layers that read a sequence of symbols or numbers."""

import difflib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Cell, stateless
from jrnn.combine import bidirectional, parallel, stack
from jrnn.layers import embed, one_hot
from jrnn.models import CELLS
from jrnn.sequence import SequenceModel
from jrnn.sequence_layers import pool
from jrnn.wrappers import dropout

Model = Cell | SequenceModel
Pool = Literal["last", "mean", "max", "all"]


class Symbols(NamedTuple):
    """Sequences of tokens 0..V-1."""

    size: int


class Numbers(NamedTuple):
    """Sequences of vectors of D numbers."""

    size: int


Inputs = Symbols | Numbers


def symbols(size: int) -> Symbols:
    """Say that a task reads tokens, such as characters or words.

    Args:
        size: number of different tokens V. A token outside 0..V-1 is read as zeros.

    Returns:
        `Symbols(size)`.

    Raises:
        ValueError: not a positive integer.

    Example:
        >>> symbols(65)
        Symbols(size=65)
    """
    _check.positive("symbols", "size", size)
    return Symbols(size)


def numbers(size: int) -> Numbers:
    """Say that a task reads vectors of numbers, such as the columns of a table.

    Args:
        size: numbers D at each step.

    Returns:
        `Numbers(size)`.

    Raises:
        ValueError: not a positive integer.

    Example:
        >>> numbers(12)
        Numbers(size=12)
    """
    _check.positive("numbers", "size", size)
    return Numbers(size)


class Reader(NamedTuple):
    """Layers that read a sequence, in two forms that share a parameter tree."""

    train: Model  # with dropout
    evaluate: Model  # without
    example: Any  # one step's input, for `init`


def reader(
    name: str,
    inputs: Inputs,
    *,
    cell: str | Callable[[int], Cell],
    hidden_size: int,
    layers: int,
    embed_size: int,
    dropout_rate: ArrayLike,
    two_ways: bool,
    pooled: Pool | None = None,
) -> Reader:
    """Layers from a sequence of symbols or numbers to its features.

        x_t = a learned row of embed_size numbers, one_hot(token_t), or the vector
        h^l = layer_l(h^{l-1}), in both directions [forward, backward] if `two_ways`
        y = h^layers_t of each step, or pooled over time if `pooled`

    Dropout in training is on learned rows and on what each layer hands on; on what is
    pooled it is behind the pool, where a mean does not take it away again. With
    `two_ways` each direction is pooled by itself: its "last" step is where it ends.

    Args:
        name: of the task, for errors.
        inputs: `symbols(V)` or `numbers(D)`.
        cell: a name in `jrnn.models.CELLS`, or a cell factory.
        hidden_size: units of each layer, of each direction if `two_ways`.
        layers: recurrent layers, one on the other.
        embed_size: length of a symbol's learned row, 0 for a one-hot vector.
        dropout_rate: in [0, 1).
        two_ways: whether the layers read in both directions.
        pooled: "last", "mean", "max", "all" of these side by side, or None.

    Returns:
        A `Reader(train, evaluate, example)`.

    Raises:
        ValueError: a size that is not positive, a rate outside [0, 1), another word.
        TypeError: inputs that are neither symbols nor numbers.

    Example:
        >>> import jax, jrnn
        >>> read = reader("doc", numbers(3), cell="gru", hidden_size=4, layers=1,
        ...     embed_size=0, dropout_rate=0.1, two_ways=True, pooled="max")
        >>> params = read.evaluate.init(jax.random.key(0), read.example)
        >>> jrnn.unroll(read.evaluate, params, jnp.ones((5, 3)))[1].shape
        (8,)
    """
    _check.positive(name, "layers", layers)
    _check.rate(name, dropout_rate)
    if pooled is not None:
        _check.one_of(name, "pool", pooled, get_args(Pool))
    front, example = _front(name, inputs, embed_size)
    recurrent = cell_of(name, cell)(hidden_size)
    _check.cell(name, recurrent, "Pass a cell factory, such as jrnn.gru.")

    def build(noisy: bool) -> Model:
        drop = lambda part: dropout(part, dropout_rate) if noisy else part
        both = lambda part: bidirectional(part, part) if two_ways else part
        parts = [drop(part) for part in front]
        parts += [drop(both(recurrent)) for _ in range(layers - (pooled is not None))]
        if pooled is not None:
            parts.append(drop(both(stack(recurrent, *_pooling(pooled)))))
        return stack(*parts)

    return Reader(build(not _check.is_zero(dropout_rate)), build(False), example)


def cell_of(name: str, cell: str | Callable[[int], Cell]) -> Callable[[int], Cell]:
    """The factory that a name stands for; a factory itself.

    Args:
        name: of the function that asks, for errors.
        cell: a name in `jrnn.models.CELLS`, or a cell factory.

    Returns:
        A function from a hidden size to a cell.

    Raises:
        ValueError: another name.

    Example:
        >>> import jrnn
        >>> cell_of("doc", "gru") is jrnn.gru
        True
    """
    if callable(cell):
        return cell
    if cell not in CELLS:
        near = difflib.get_close_matches(cell, CELLS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Pass 'gru', or jrnn.gru."
        raise ValueError(
            f"{name}: cell must be a name in jrnn.models.CELLS or a cell factory, got "
            f"{cell!r}. {hint}"
        )
    return CELLS[cell]


def _front(name: str, inputs: Inputs, embed_size: int) -> tuple[list[Cell], Any]:
    """What makes a vector of a step's input, and an example of that input."""
    if isinstance(inputs, Numbers):
        return [], jnp.zeros(inputs.size)
    if not isinstance(inputs, Symbols):
        raise TypeError(
            f"{name}: inputs must be symbols(V) for tokens or numbers(D) for vectors, "
            f"got {_check.kind(inputs)}."
        )
    V = inputs.size
    return [embed(V, embed_size) if embed_size else one_hot(V)], jnp.int32(0)


def _pooling(how: Pool) -> list[Model]:
    """Parts that make one vector of all steps."""
    if how != "all":
        parts: list[Model] = [pool(how)]
        return parts
    join = lambda params, x, key: jnp.concatenate(x)
    ways = parallel(pool("last"), pool("mean"), pool("max"))
    return [ways, stateless(lambda key, x: (), join)]


def run_rows(
    run: Callable[..., Any], params: Any, rows: tuple, key: jax.Array | None
) -> Any:
    """One function of one sequence over the rows of a batch, each with its own key.

    Args:
        run: `run(params, *row, key=key)`.
        params: the same for all rows.
        rows: arrays (B, ...), one for each argument.
        key: split among the rows; None without noise.

    Returns:
        What `run` returns, with a leading axis (B, ...).

    Example:
        >>> double = lambda params, x, *, key=None: params * x
        >>> run_rows(double, jnp.array(2), (jnp.arange(3),), None).tolist()
        [0, 2, 4]
    """
    keys = None if key is None else jax.random.split(key, rows[0].shape[0])
    one = lambda row, key: run(params, *row, key=key)
    return jax.vmap(one)(rows, keys)


def rows_of(name: str, inputs: Inputs, batch: Any) -> tuple[jax.Array, jax.Array]:
    """Inputs of a batch as a model reads them, and how many steps of each row count.

    Args:
        name: of the task, for errors.
        inputs: `symbols(V)` or `numbers(D)`.
        batch: a `jrnn.data.Batch`.

    Returns:
        `(xs, lengths)`: tokens (B, T) or floats (B, T, D), and integers (B,), 0 for
        rows that are not real.

    Raises:
        ValueError: inputs of another shape.
        TypeError: tokens that are not integers.

    Example:
        >>> from jrnn.data import Batch
        >>> real = jnp.array([True, False])
        >>> batch = Batch(jnp.ones((2, 4, 3)), jnp.array([3, 4]), None, None, real)
        >>> xs, lengths = rows_of("doc", numbers(3), batch)
        >>> xs.shape, lengths.tolist()
        ((2, 4, 3), [3, 0])
    """
    xs, shape = jnp.asarray(batch.inputs), jnp.shape(batch.inputs)
    if isinstance(inputs, Symbols):
        if not jnp.issubdtype(xs.dtype, jnp.integer):
            raise TypeError(
                f"{name}: symbols must be integers, got {xs.dtype}. For vectors of "
                "numbers make the task with numbers(D)."
            )
        if len(shape) != 2:
            raise ValueError(f"{name}: symbols must have shape (B, T), got {shape}.")
    elif len(shape) != 3 or shape[2] != inputs.size:
        raise ValueError(
            f"{name}: inputs must have shape (B, T, {inputs.size}), got {shape}."
        )
    else:
        xs = xs.astype(jnp.result_type(float))
    lengths = counted(batch.lengths)
    return xs, jnp.where(jnp.asarray(batch.real), lengths, jnp.zeros_like(lengths))


def counted(lengths: Any) -> jax.Array:
    """Lengths as integers of JAX's default type, which `jnp.arange` has too.

    Args:
        lengths: integers of any type.

    Returns:
        The same.

    Example:
        >>> counted([3, 4]).tolist()
        [3, 4]
    """
    return jnp.asarray(lengths).astype(jnp.result_type(int))


def targets_of(name: str, batch: Any, dims: int) -> jax.Array:
    """Targets of a batch.

    Args:
        name: of the task, for errors.
        batch: a `jrnn.data.Batch`.
        dims: how many axes they must have.

    Returns:
        An array with so many axes.

    Raises:
        ValueError: there are none, or they have another number of axes.

    Example:
        >>> from jrnn.data import Batch
        >>> batch = Batch(jnp.ones((2, 4, 3)), jnp.array([3, 4]), [0, 1], None, None)
        >>> targets_of("doc", batch, 1).tolist()
        [0, 1]
    """
    if batch.targets is None:
        raise ValueError(
            f"{name}: the batch has no targets. Make the dataset with them, or call "
            "predict, which needs none."
        )
    targets = jnp.asarray(batch.targets)
    if targets.ndim != dims:
        raise ValueError(
            f"{name}: targets must have {dims} ax{'es' if dims > 1 else 'is'}, got "
            f"shape {targets.shape}."
        )
    return targets


def init_of(parts: Model, example: Any) -> Callable[..., Any]:
    """The `init(key)` of a task whose model is a stack.

    Args:
        parts: a model.
        example: one step's input.

    Returns:
        `init(key) -> params`.

    Example:
        >>> import jrnn
        >>> init_of(jrnn.linear(2), jnp.zeros(3))(jax.random.key(0)).w.shape
        (3, 2)
    """
    return lambda key: parts.init(key, example)
