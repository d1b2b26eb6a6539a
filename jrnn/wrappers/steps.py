"""Wrappers whose input has a flag: which steps count, and which start anew."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.sequence import run_of
from jrnn.wrappers.form import Model, acting, where, zeros


@described
def masked(cell: Model) -> Model:
    """Skip the steps whose flag is false.

        (x_t, valid_t) ->  carry_t, y_t = cell(carry_{t-1}, x_t)   where valid_t
                           carry_t, y_t = carry_{t-1}, 0           elsewhere

    Padding cannot reach a valid output, the last carry or any gradient, whatever it
    holds; outputs at padding are zero; a row without a valid step returns its initial
    carry. Masks may have holes. For right-padded rows see `length_mask`. A model of
    whole sequences gets all flags at once; its directions both skip the steps, a
    convolution reads zeros there.

    Args:
        cell: any cell, or a model of whole sequences.

    Returns:
        A cell with the params and carry of `cell` and input `(x, valid)`, `valid` a
        boolean scalar. Of a model of whole sequences, another with input `(xs, valid)`,
        `valid` booleans `(T,)`.

    Raises:
        TypeError: the input is not a pair, or its flag not boolean.
        ValueError: `valid` is of another shape.

    Example:
        >>> import jrnn
        >>> cell, xs = masked(jrnn.gru(4)), jnp.ones((5, 3))
        >>> params = cell.init(jax.random.key(0), (xs[0], True))
        >>> h, ys = jrnn.unroll(cell, params, (xs, length_mask(2, 5)))
        >>> bool((ys[2:] == 0).all()), bool(jnp.allclose(h, ys[1]))
        (True, True)
    """
    _check.model("masked", cell)

    def init(key, x):
        _check.pair("masked", x, "valid")
        return cell.init(key, x[0])

    def step(params, carry, x, *, key=None):
        _check.pair("masked", x, "valid")
        x, valid = x
        _check.flag("masked", "valid", valid)
        # Padding may hold anything, even NaN, whose gradient would pass a single
        # `where` behind the step (0 * NaN); so it does not get into the step at all.
        x = where(valid, x, jax.tree.map(zeros, x))
        new_carry, y = cell.step(params, carry, x, key=key)
        y = where(valid, y, jax.tree.map(zeros, y))
        return where(valid, new_carry, carry), y

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _check.pair("masked", xs, "valid")
        xs, own = xs
        _check.time_flags("masked", "valid", own, _check.num_steps("masked", xs))
        own = jnp.asarray(own) if valid is None else own & valid
        return run_of(cell)(params, xs, carry, own, key=key, remat=remat)

    return acting(cell, step, run, init=init)


@described
def reset(cell: Cell) -> Cell:
    """Start again from the initial carry where a flag is true.

        (x_t, start_t) ->  carry' = initial_carry   where start_t, carry_{t-1} elsewhere
                           carry_t, y_t = cell(carry', x_t)

    The reset comes before the step that carries the flag: `start_t` marks the first
    step of a document or an episode.

    Args:
        cell: any cell.

    Returns:
        A cell with the params and carry of `cell` and input `(x, start)`, `start` a
        boolean scalar.

    Raises:
        TypeError: the input is not a pair, or its flag not boolean; a model of whole
            sequences, which has no step to start again before.

    Example:
        >>> import jrnn
        >>> cell, xs = reset(jrnn.gru(4)), jnp.ones((6, 3))
        >>> params = cell.init(jax.random.key(0), (xs[0], True))
        >>> start = jnp.arange(6) % 3 == 0
        >>> ys = jrnn.unroll(cell, params, (xs, start))[1]
        >>> bool((ys[:3] == ys[3:]).all())
        True
    """
    _check.cell(
        "reset",
        cell,
        "Cut the sequence at its starts, and run the pieces as a batch: pad them, and "
        "say by masked(model) which steps are valid.",
    )

    def init(key, x):
        _check.pair("reset", x, "start")
        return cell.init(key, x[0])

    def step(params, carry, x, *, key=None):
        _check.pair("reset", x, "start")
        x, start = x
        _check.flag("reset", "start", start)
        carry_key, step_key = (None, None) if key is None else jax.random.split(key)
        fresh = cell.initial_carry(params, key=carry_key)
        return cell.step(params, where(start, fresh, carry), x, key=step_key)

    return Cell(init, cell.initial_carry, step)


def length_mask(length: ArrayLike, num_steps: int) -> jax.Array:
    """Flags of the valid steps of a right-padded row, for `masked`.

        valid_t = t < length,   t = 0 .. T-1

    Args:
        length: number of valid steps, 0 to T; may be traced.
        num_steps: T, the padded length.

    Returns:
        Booleans, `(T,)`.

    Example:
        >>> length_mask(2, 4).tolist()
        [True, True, False, False]
    """
    return jnp.arange(num_steps) < jnp.asarray(length)
