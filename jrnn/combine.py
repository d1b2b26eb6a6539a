"""Cells joined into cells: one after the other, side by side, in both directions."""

from typing import Literal

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Carry, Cell, Input, Key, Output, Params, output_spec
from jrnn.unroll import unroll
from jrnn.wrappers import length_mask, masked


@described
def stack(*cells: Cell) -> Cell:
    """Feed each cell's output to the next: layers, or a whole model.

        y^1 = cell_1(x),  y^2 = cell_2(y^1),  ...,  y = y^n

    Args:
        *cells: at least one cell; feed-forward layers are cells too.

    Returns:
        A cell whose params and carry are tuples with one entry for each cell, and
        whose output is the last cell's.

    Raises:
        ValueError: no cell is given, or params or carry have another number of entries.
        TypeError: something else than a cell is given.

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

    return Cell(init, initial_carry, step)


@described
def parallel(*cells: Cell) -> Cell:
    """Give every cell the same input and return the tuple of their outputs.

        y = (cell_1(x), ..., cell_n(x))

    Args:
        *cells: at least one cell.

    Returns:
        A cell whose params, carry and output are tuples with one entry for each cell.

    Raises:
        ValueError: no cell is given, or params or carry have another number of entries.
        TypeError: something else than a cell is given.

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

    return Cell(init, initial_carry, step)


def bidirectional(
    forward: Cell,
    backward: Cell,
    params: tuple[Params, Params],
    xs: Input,
    length: jax.Array | int | None = None,
    *,
    key: Key | None = None,
    remat: Literal["step", "chunk"] | int | None = None,
) -> tuple[tuple[Carry, Carry], Output]:
    """Run one cell forward and another backward and join their outputs.

        y_t = [forward(x_1 .. x_t), backward(x_T .. x_t)]

    With `length`, only the first `length` steps are read: the backward cell starts at
    the last valid step, and outputs behind it are zero. A function and not a cell,
    since its output at t depends on later inputs.

    Args:
        forward: cell for the direction of time.
        backward: cell for the opposite direction.
        params: `(forward params, backward params)`.
        xs: inputs `(T, ...)`.
        length: number of valid steps, 0 to T; may be traced. All of them if None.
        key: for cells that need randomness.
        remat: memory of the backward pass, see `jrnn.scan`.

    Returns:
        `(carries, ys)`: the pair of last carries (of the backward cell: after the first
        step), and outputs joined on the last axis, `(T, O_forward + O_backward)`.

    Example:
        >>> import jrnn
        >>> cell, xs = jrnn.gru(4), jnp.ones((6, 3))
        >>> keys = jax.random.split(jax.random.key(0))
        >>> params = tuple(cell.init(k, xs[0]) for k in keys)
        >>> _, ys = bidirectional(cell, cell, params, xs, length=4)
        >>> ys.shape, bool((ys[4:] == 0).all())
        ((6, 8), True)

    Raises:
        ValueError: the leaves of `xs` disagree about T.
        TypeError: something else than a cell is given.

    References:
        Schuster, Paliwal (1997), Bidirectional recurrent neural networks,
        doi:10.1109/78.650093.
    """
    for cell in (forward, backward):
        _check.cell("bidirectional", cell)
    num_steps = _check.num_steps("bidirectional", xs)
    if length is not None:
        xs = (xs, length_mask(length, num_steps))
        forward, backward = masked(forward), masked(backward)
    f_key, b_key = _split(key, 2)
    f_carry, f_ys = unroll(forward, params[0], xs, key=f_key, remat=remat)
    b_carry, b_ys = unroll(
        backward, params[1], xs, key=b_key, reverse=True, remat=remat
    )
    join = lambda a, b: jnp.concatenate([a, b], axis=-1)
    return (f_carry, b_carry), jax.tree.map(join, f_ys, b_ys)


def _initial_carries(cells, params, key):
    keys = _split(key, len(cells))
    return tuple(
        c.initial_carry(p, key=k) for c, p, k in zip(cells, params, keys, strict=True)
    )


def _split(key: Key | None, n: int):
    return [None] * n if key is None else list(jax.random.split(key, n))


def _at_least_one(name: str, cells) -> None:
    if not cells:
        raise ValueError(f"{name}: needs at least one cell.")
    for cell in cells:
        _check.cell(name, cell)


def _entries(name: str, argument: str, value, cells) -> None:
    if not isinstance(value, tuple) or len(value) != len(cells):
        got = (
            f"{len(value)} entries" if isinstance(value, tuple) else _check.kind(value)
        )
        raise ValueError(
            f"{name}: {argument} must be a tuple with {len(cells)} entries, got {got}."
        )
