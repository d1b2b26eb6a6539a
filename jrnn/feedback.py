"""`feedback`: the last output is part of the next input."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Carry, Cell, Key, Output, Params


class FeedbackParams(NamedTuple):
    """Parameters of a cell that reads its last output."""

    cell: Params
    y: jax.Array  # (O,), y_0: what the first step reads


class FeedbackCarry(NamedTuple):
    """State of a cell that reads its last output."""

    cell: Carry
    y: jax.Array  # (O,), y_{t-1}


@described
def feedback(
    cell: Cell, choose: Callable[[Output, Key | None], jax.Array] | None = None
) -> Cell:
    """Let a cell read its last output: recurrence from outputs to hidden units.

        (x_t, y)    ->  carry_t, o_t = cell(carry_{t-1}, [x_t, y])          given y
        (x_t, None) ->  carry_t, o_t = cell(carry_{t-1}, [x_t, y_{t-1}])    its own
        y_t = choose(o_t)

    The rows of the cell's input weights that belong to y are the matrix R from outputs
    to hidden units. In training give the true output of the step before (teacher
    forcing), then the steps depend on each other by the carry of `cell` only; at test
    give None, and each step reads what the one before has chosen. So

        unroll(net, params, (xs, previous))     training
        unroll(net, params, (xs, None))         test

    Without it the outputs are independent of each other given the inputs; with it the
    product of p(y_t | y_1 .. y_{t-1}, x) is any joint distribution.

    Args:
        cell: a cell that reads one vector, [x, y].
        choose: from an output o and a key to the y that the next step reads: a sample,
            or the most likely label, as a vector. It is called in training too, so one
            that draws needs a key there, and gets None where the caller gave none. The
            output itself if None.

    Returns:
        A cell with `FeedbackParams(cell, y)`, whose y is learned and starts at zero,
        and carry `FeedbackCarry(cell, y)`. It returns the outputs o of `cell`. Its
        input is a pair (x, y) or (x, None); `init` needs an example of y.

    Raises:
        TypeError: the input is not a pair, or `init` gets no example of y; `choose`
            cannot be called in this way.
        ValueError: y is not of the shape that `init` was given.

    Example:
        >>> import jrnn
        >>> net = feedback(jrnn.stack(jrnn.elman(4), jrnn.linear(2)))
        >>> xs, previous = jnp.ones((5, 3)), jnp.zeros((5, 2))
        >>> params = net.init(jax.random.key(0), (xs[0], previous[0]))
        >>> forced = jrnn.unroll(net, params, (xs, previous))[1]
        >>> free = jrnn.unroll(net, params, (xs, None))[1]
        >>> forced.shape, bool((forced[0] == free[0]).all())
        ((5, 2), True)

    References:
        Jordan (1986), Serial order: a parallel distributed processing approach, ICS
        report 8604, University of California, San Diego.
        Goodfellow, Bengio, Courville (2016), Deep Learning, section 10.2.4 and figure
        10.10 (the matrix R).
        Williams, Zipser (1989), doi:10.1162/neco.1989.1.2.270 (teacher forcing).
    """
    _check.cell(
        "feedback", cell, "What it returns at a step is known after the last one only."
    )
    if choose is not None:
        _check.takes("feedback", "choose", choose, "o, key")

    def init(key, x):
        _check.pair("feedback", x, "y")
        x, y = x
        if y is None:
            raise TypeError("feedback: init needs an example (x, y), got (x, None).")
        return FeedbackParams(
            cell.init(key, jax.eval_shape(_join, x, y)), jnp.zeros(y.shape, y.dtype)
        )

    def initial_carry(params, *, key=None):
        _check.params_type("feedback", params, FeedbackParams)
        return FeedbackCarry(cell.initial_carry(params.cell, key=key), params.y)

    def step(params, carry, x, *, key=None):
        _check.params_type("feedback", params, FeedbackParams)
        _check.carry_type("feedback", carry, FeedbackCarry)
        _check.pair("feedback", x, "y")
        x, y = x
        y = carry.y if y is None else y
        _same_shape("y", y, params.y)
        cell_key, own_key = (None, None) if key is None else jax.random.split(key)
        inner, o = cell.step(params.cell, carry.cell, _join(x, y), key=cell_key)
        y = o if choose is None else choose(o, own_key)
        _same_shape("what it reads back", y, params.y)
        return FeedbackCarry(inner, y.astype(params.y.dtype)), o

    return Cell(init, initial_carry, step)


def _join(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.concatenate([x, y])


def _same_shape(name: str, y: jax.Array, start: jax.Array) -> None:
    if jnp.shape(y) != start.shape:
        raise ValueError(
            f"feedback: {name} has shape {jnp.shape(y)}, but y in the example that "
            f"init was given had {start.shape}."
        )
