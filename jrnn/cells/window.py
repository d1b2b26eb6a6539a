"""The last inputs as a cell: the memory of a network without recurrence.

y_t = [x_{t-n+1}, ..., x_t]
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer


class WindowParams(NamedTuple):
    """What stands before the first input."""

    start: jax.Array  # (n - 1, I)


@described
def window(size: int, *, start_init: Initializer = jax.nn.initializers.zeros) -> Cell:
    """The last `size` inputs, joined to one vector.

        y_t = [x_{t-n+1}, ..., x_t],   (x_{1-n+1}, ..., x_0) = params.start

    The carry holds the n - 1 inputs before. Followed by feed-forward layers this is
    the fixed-window language model, a causal convolution of width n over time, and
    what a network can do whose memory is exactly n steps. What stands before the first
    input is learned, as a mark for the start would be.

    Args:
        size: number of inputs n seen at once; 1 is no memory at all.
        start_init: initialiser of start (n - 1, I); zeros by default.

    Returns:
        A cell with `WindowParams`, carry (n - 1, I) and output (n I,), the oldest input
        first.

    Raises:
        ValueError: `size` is not a positive integer; x or carry of another size.

    Example:
        >>> import jrnn
        >>> cell, xs = window(2), jnp.array([[1.0], [2.0], [3.0]])
        >>> params = cell.init(jax.random.key(0), xs[0])
        >>> jrnn.unroll(cell, params, xs)[1].tolist()
        [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]

    References:
        Bengio, Ducharme, Vincent, Jauvin (2003), A neural probabilistic language model,
        jmlr.org/papers/v3/bengio03a.html, section 2.
    """
    _check.positive("window", "size", size)

    def init(key, x):
        features, dtype = _check.example_vector("window", key, x)
        return WindowParams(start_init(key, (size - 1, features), dtype))

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("window", params, WindowParams)
        return params.start

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("window", params, WindowParams)
        _check.step_input("window", x, params.start.shape[1])
        _check.carry_shape("window", carry, params.start.shape)
        _check.step_dtype("window", x, params.start, carry)
        seen = jnp.concatenate([carry, x[None]])  # (n, I)
        return seen[1:], seen.reshape(-1)

    return Cell(init, initial_carry, step)
