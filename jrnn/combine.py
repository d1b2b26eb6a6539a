"""Models joined into models: one after the other, side by side, in both directions.

Of cells, `stack` and `parallel` make a cell. With a part that reads the whole sequence
they make a `SequenceModel`, in which neighbouring cells still share one scan.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Literal, overload

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn._stack import StackStep
from jrnn.cell import Cell, Key, Output, output_spec
from jrnn.sequence import RunFn, SequenceModel, pools_over_time
from jrnn.unroll import unroll
from jrnn.wrappers import masked

Part = Cell | SequenceModel


@overload
def stack(*cells: Cell) -> Cell: ...
@overload
def stack(*cells: Part) -> Part: ...
@described
def stack(*cells: Part) -> Part:
    """Feed each cell's output to the next: layers, or a whole model.

        y^1 = cell_1(x),  y^2 = cell_2(y^1),  ...,  y = y^n

    With a model of whole sequences among them, such as `bidirectional` or `conv`, the
    stack is one too; cells between two of these run together in one scan. Behind a
    part that pools over time cells make one step, from their initial carry.

    Args:
        *cells: at least one cell, or model of whole sequences; feed-forward layers are
            cells too.

    Returns:
        A cell, or a model of whole sequences, whose params and carry are tuples with
        one entry for each part, and whose output is the last one's.

    Raises:
        ValueError: no cell is given, or params or carry have another number of entries;
            a part that reads a sequence stands behind one that pools.
        TypeError: something else than a cell or a model is given.

    Example:
        >>> import jrnn
        >>> model = stack(jrnn.embed(5, 3), jrnn.lstm(4), jrnn.linear(5))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> _, logits = jrnn.unroll(model, params, jnp.array([0, 3, 1, 4]))
        >>> logits.shape
        (4, 5)
    """
    _at_least_one("stack", cells)

    def init(key, x):
        _check.random_key("stack", key)
        params = []
        for cell, cell_key in zip(
            cells, jax.random.split(key, len(cells)), strict=True
        ):
            params.append(cell.init(cell_key, x))
            x = output_spec(cell, params[-1], x)
        return tuple(params)

    def initial_carry(params, *, key=None):
        _entries("stack", "params", params, cells)
        return _initial_carries(cells, params, key)

    def step(params, carry, x, *, key=None):
        _entries("stack", "params", params, cells)
        _entries("stack", "carry", carry, cells)
        carries = []
        for cell, p, c, k in zip(
            cells, params, carry, _split(key, len(cells)), strict=True
        ):
            c, x = cell.step(p, c, x, key=k)
            carries.append(c)
        return tuple(carries), x

    layers = tuple(cell for cell in cells if not _check.is_sequence(cell))
    if len(layers) < len(cells):
        pools = any(map(pools_over_time, cells))
        return SequenceModel(init, initial_carry, _stack_run(cells), pools)
    return Cell(init, initial_carry, StackStep(layers, step))


@overload
def parallel(*cells: Cell) -> Cell: ...
@overload
def parallel(*cells: Part) -> Part: ...
@described
def parallel(*cells: Part) -> Part:
    """Give every cell the same input and return the tuple of their outputs.

        y = (cell_1(x), ..., cell_n(x))

    Args:
        *cells: at least one cell, or model of whole sequences.

    Returns:
        A cell whose params, carry and output are tuples with one entry for each part;
        a model of whole sequences if one of them is.

    Raises:
        ValueError: no cell is given, or params or carry have another number of entries;
            some parts pool over time and some do not.
        TypeError: something else than a cell or a model is given.

    Example:
        >>> import jrnn
        >>> both = parallel(jrnn.gru(2), jrnn.lstm(3))
        >>> params = both.init(jax.random.key(0), jnp.zeros(4))
        >>> a, b = jrnn.unroll(both, params, jnp.ones((5, 4)))[1]
        >>> a.shape, b.shape
        ((5, 2), (5, 3))
    """
    _at_least_one("parallel", cells)

    def init(key, x):
        _check.random_key("parallel", key)
        keys = jax.random.split(key, len(cells))
        return tuple(c.init(k, x) for c, k in zip(cells, keys, strict=True))

    def initial_carry(params, *, key=None):
        _entries("parallel", "params", params, cells)
        return _initial_carries(cells, params, key)

    def step(params, carry, x, *, key=None):
        _entries("parallel", "params", params, cells)
        _entries("parallel", "carry", carry, cells)
        keys = _split(key, len(cells))
        pairs = [
            cell.step(p, c, x, key=k)
            for cell, p, c, k in zip(cells, params, carry, keys, strict=True)
        ]
        return tuple(c for c, _ in pairs), tuple(y for _, y in pairs)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _entries("parallel", "params", params, cells)
        _entries("parallel", "carry", carry, cells)
        keys = _split(key, len(cells))
        pairs = [
            _unrolled(cell, p, xs, c, valid, key=k, remat=remat)
            for cell, p, c, k in zip(cells, params, carry, keys, strict=True)
        ]
        return tuple(c for c, _ in pairs), tuple(ys for _, ys in pairs)

    if any(map(_check.is_sequence, cells)):
        return SequenceModel(init, initial_carry, run, _pools("parallel", cells))
    return Cell(init, initial_carry, step)


@described
def concat_states(*cells: Cell) -> Cell:
    """Feed each cell's output to the next, and return all of them joined.

        y^1 = cell_1(x),  y^i = cell_i(y^{i-1}),   y = [y^1, ..., y^n]

    The readout behind it sees every layer, and every layer gets the gradient of the
    readout without passing those above it. `skip` gives every layer the input too.

    Args:
        *cells: at least one cell, whose outputs are vectors.

    Returns:
        A cell whose params and carry are tuples with one entry for each cell, as those
        of `stack`, and whose output has the sizes of all together.

    Raises:
        ValueError: no cell is given, or params or carry have another number of entries.
        TypeError: something else than a cell is given; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> model = stack(concat_states(jrnn.lstm(4), jrnn.gru(3)), jrnn.linear(2))
        >>> params = model.init(jax.random.key(0), jnp.zeros(5))
        >>> params[1].w.shape, jrnn.unroll(model, params, jnp.ones((6, 5)))[1].shape
        ((7, 2), (6, 2))

    References:
        Graves (2013), Generating sequences with recurrent neural networks,
        arXiv:1308.0850, section 2 (hidden layers to the outputs).
    """
    return _layered("concat_states", cells, lambda x, y: y, _join)


@described
def skip(*cells: Cell, outputs: Literal["all", "last"] = "all") -> Cell:
    """Feed each cell the input of the first beside the output of the one before.

        y^1 = cell_1(x),  y^i = cell_i([x, y^{i-1}])
        y = [y^1, ..., y^n]   outputs="all"
            y^n               outputs="last"

    With "all" it is the deep network of Graves, and Haiku's
    `deep_rnn_with_skip_connections`, to which weights can be copied; where the paper
    has a matrix for each of several inputs of a layer, their rows lie in one here. With
    one cell it is that cell.

    Args:
        *cells: at least one cell, whose input and outputs are vectors.
        outputs: what is returned, the outputs of all cells joined or the last one's.

    Returns:
        A cell whose params and carry are tuples with one entry for each cell.

    Raises:
        ValueError: no cell is given, or params or carry have another number of entries;
            `outputs` is neither.
        TypeError: something else than a cell is given; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> model = skip(jrnn.lstm(4), jrnn.lstm(3))
        >>> params = model.init(jax.random.key(0), jnp.zeros(5))
        >>> params[1].w_x.shape, jrnn.unroll(model, params, jnp.ones((6, 5)))[1].shape
        ((9, 12), (6, 7))

    References:
        Graves (2013), Generating sequences with recurrent neural networks,
        arXiv:1308.0850, section 2 (inputs to all layers, all layers to the outputs).
    """
    _check.one_of("skip", "outputs", outputs, ("all", "last"))
    last = lambda ys: ys[-1]

    def beside(x, y):
        if jnp.ndim(x) == 0:
            raise ValueError(
                "skip: x must be a vector, got a scalar. Put one_hot(V) or embed(V, D) "
                "in front: stack(embed(V, D), skip(...))."
            )
        return _join([x, y])

    return _layered("skip", cells, beside, _join if outputs == "all" else last)


def _join(vectors: Sequence[jax.Array]) -> jax.Array:
    """One vector of several."""
    return jnp.concatenate(vectors, axis=-1)


def _layered(name: str, cells: tuple[Cell, ...], read: Callable, give: Callable):
    """Cells one after the other: what each reads, and what all of them give.

    y^1 = cell_1(x),  y^i = cell_i(read(x, y^{i-1})),   y = give([y^1, ..., y^n])
    """
    _at_least_one(name, cells)
    for cell in cells:
        _check.cell(
            name, cell, f"Put {name}(lstm(64), ...) of cells in each direction."
        )

    def init(key, x):
        _check.random_key(name, key)
        params, given = [], x
        for cell, cell_key in zip(
            cells, jax.random.split(key, len(cells)), strict=True
        ):
            params.append(cell.init(cell_key, given))
            y = output_spec(cell, params[-1], given)
            given = jax.eval_shape(read, x, y)
        return tuple(params)

    def initial_carry(params, *, key=None):
        _entries(name, "params", params, cells)
        return _initial_carries(cells, params, key)

    def step(params, carry, x, *, key=None):
        _entries(name, "params", params, cells)
        _entries(name, "carry", carry, cells)
        carries, ys, given = [], [], x
        for cell, p, c, k in zip(
            cells, params, carry, _split(key, len(cells)), strict=True
        ):
            c, y = cell.step(p, c, given, key=k)
            carries.append(c)
            ys.append(y)
            given = read(x, y)
        return tuple(carries), give(ys)

    return Cell(init, initial_carry, step)


def _with_its_new_form(factory: Callable[..., SequenceModel]):
    """Say the new form to a call that runs cells, as earlier versions had it."""

    @functools.wraps(factory)
    def make(*args, **kwargs):
        if len(args) > 2 or kwargs.keys() - {"forward", "backward"}:
            raise TypeError(
                "bidirectional: takes two cells and returns a model. In place of "
                "bidirectional(forward, backward, params, xs, length) write model = "
                "bidirectional(forward, backward) and unroll(model, params, xs), or "
                "unroll(masked(model), params, (xs, length_mask(length, len(xs))))."
            )
        return factory(*args, **kwargs)

    return make


@_with_its_new_form
@described
def bidirectional(forward: Part, backward: Part) -> SequenceModel:
    """Run one model forward and another backward and join their outputs.

        y_t = [forward(x_1 .. x_t), backward(x_T .. x_t)]

    A model of whole sequences, since its output at t depends on later inputs: put it
    into a `stack` with others, and run it by `unroll`. With masks (`masked`) the
    backward part starts at the last valid step.

        layers = stack(bidirectional(lstm(64), lstm(64)),
                       bidirectional(lstm(64), lstm(64)), linear(10))

    In PyTorch the output of the last step is often taken for a class, where the
    backward part has read one step only. What each direction has found at its end is
    `bidirectional(stack(lstm(64), pool("last")), stack(lstm(64), pool("last")))`.

    Args:
        forward: a cell, or a model of whole sequences, for the direction of time.
        backward: the same for the opposite direction.

    Returns:
        A `SequenceModel` with params `(forward params, backward params)`, a pair of
        carries (the first ones lie before the first step and behind the last one, the
        last ones the other way round), and outputs joined on the last axis,
        `(T, O_forward + O_backward)`.

    Raises:
        TypeError: something else than a cell or a model is given; params and inputs
            too, as in the function of this name that earlier versions had.
        ValueError: only one of the two pools; outputs that differ in their form.

    Example:
        >>> import jrnn
        >>> model, xs = bidirectional(jrnn.gru(4), jrnn.gru(2)), jnp.ones((6, 3))
        >>> params = model.init(jax.random.key(0), xs[0])
        >>> jrnn.unroll(model, params, xs)[1].shape
        (6, 6)
        >>> valid = jrnn.length_mask(4, 6)
        >>> _, ys = jrnn.unroll(jrnn.masked(model), params, (xs, valid))
        >>> bool((ys[4:] == 0).all())
        True

    References:
        Schuster, Paliwal (1997), Bidirectional recurrent neural networks,
        doi:10.1109/78.650093.
    """
    both = forward, backward
    _at_least_one("bidirectional", both)
    pools = _pools("bidirectional", both)

    def init(key, x):
        _check.random_key("bidirectional", key)
        f_key, b_key = jax.random.split(key)
        return forward.init(f_key, x), backward.init(b_key, x)

    def initial_carry(params, *, key=None):
        _entries("bidirectional", "params", params, both)
        return _initial_carries(both, params, key)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _entries("bidirectional", "params", params, both)
        _entries("bidirectional", "carry", carry, both)
        f_key, b_key = _split(key, 2)
        f_carry, f_ys = _unrolled(
            forward, params[0], xs, carry[0], valid, key=f_key, remat=remat
        )
        b_carry, b_ys = _unrolled(
            backward,
            params[1],
            xs,
            carry[1],
            valid,
            key=b_key,
            reverse=True,
            remat=remat,
        )
        _same_form("bidirectional", f_ys, b_ys)
        join = lambda a, b: jnp.concatenate([a, b], axis=-1)
        return (f_carry, b_carry), jax.tree.map(join, f_ys, b_ys)

    return SequenceModel(init, initial_carry, run, pools)


def _stack_run(parts: tuple[Part, ...]) -> RunFn:
    """One run after the other, where neighbouring cells make one run."""
    runs = _runs(parts)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _entries("stack", "params", params, parts)
        _entries("stack", "carry", carry, parts)
        carries = ()
        for (places, run), k in zip(runs, _split(key, len(runs)), strict=True):
            c, xs = run(params[places], xs, carry[places], valid, key=k, remat=remat)
            carries += c
        return carries, xs

    return run


def _runs(parts: tuple[Part, ...]) -> list[tuple[slice, RunFn]]:
    """Places in the stack, and what runs the parts there."""
    runs, start, pooled = [], 0, False
    for _, group in itertools.groupby(parts, _check.is_sequence):
        neighbours = tuple(group)
        models = [part for part in neighbours if _check.is_sequence(part)]
        if not models:
            run = functools.partial(_once if pooled else _unrolled, stack(*neighbours))
            runs.append((slice(start, start + len(neighbours)), run))
        for n, part in enumerate(models, start):
            if pooled:
                raise ValueError(
                    f"stack: part {n}, counted from 0, reads a sequence, but a part "
                    "before it pools over time and leaves one output. Exchange them."
                )
            runs.append((slice(n, n + 1), functools.partial(_alone, part.run)))
            pooled = pools_over_time(part)
        start += len(neighbours)
    return runs


def _alone(run: RunFn, params, xs, carry, valid, **options):
    """A part of a stack, with its entries of params and carry."""
    carry, ys = run(params[0], xs, carry[0], valid, **options)
    return (carry,), ys


def _once(cell: Cell, params, x, carry, valid, *, key, remat):
    """A cell behind a pool, where one output is left, which is always valid."""
    del valid, remat
    return cell.step(params, carry, x, key=key)


def _unrolled(model: Part, params, xs, carry, valid, **options):
    """Any model along a sequence of which only some steps may be valid."""
    if valid is None:
        return unroll(model, params, xs, carry, **options)
    return unroll(masked(model), params, (xs, valid), carry, **options)


def _pools(name: str, parts: Sequence[Part]) -> bool:
    """Whether all parts take away the time axis, if one does."""
    pools = [pools_over_time(part) for part in parts]
    if any(pools) and not all(pools):
        raise ValueError(
            f"{name}: part {pools.index(True)}, counted from 0, pools over time and "
            f"part {pools.index(False)} does not. Pool in all of them, or behind them."
        )
    return any(pools)


def _initial_carries(cells, params, key):
    keys = _split(key, len(cells))
    return tuple(
        c.initial_carry(p, key=k) for c, p, k in zip(cells, params, keys, strict=True)
    )


def _split(key: Key | None, n: int):
    return [None] * n if key is None else list(jax.random.split(key, n))


def _same_form(name: str, a: Output, b: Output) -> None:
    forms = [jax.tree.structure(ys) for ys in (a, b)]
    if forms[0] != forms[1]:
        raise ValueError(
            f"{name}: the outputs of both directions must have one form to be joined, "
            f"got {forms[0]} and {forms[1]}."
        )


def _at_least_one(name: str, cells) -> None:
    if not cells:
        raise ValueError(f"{name}: needs at least one cell.")
    for cell in cells:
        _check.model(name, cell)


def _entries(name: str, argument: str, value, cells) -> None:
    if not isinstance(value, tuple) or len(value) != len(cells):
        got = (
            f"{len(value)} entries" if isinstance(value, tuple) else _check.kind(value)
        )
        raise ValueError(
            f"{name}: {argument} must be a tuple with {len(cells)} entries, got {got}."
        )
