"""Clockwork network: modules that work at different rates.

h_t = tanh(x_t w_x + h_{t-1} w_h + b)   in modules with t mod period = 0
h_t = h_{t-1}                           in the others
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer, orthogonal


class ClockworkParams(NamedTuple):
    """Weights of the clockwork network."""

    w_x: jax.Array  # (I, H)
    w_h: jax.Array  # (H, H), used from slower modules to faster ones only
    b: jax.Array  # (H,)


class ClockworkCarry(NamedTuple):
    """State of the clockwork network."""

    h: jax.Array  # (H,) hidden state, the output
    wait: jax.Array  # (G,) steps until each module works again; 0 for now


@described
def clockwork(
    hidden_size: int,
    periods: tuple[int, ...] = (1, 2, 4, 8),
    *,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    w_h_init: Initializer = orthogonal(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Clockwork recurrent network (CW-RNN).

        h_t = tanh(x_t w_x + h_{t-1} w_h + b)   units whose period divides t
        h_t = h_{t-1}                           the others
        y_t = h_t,   t = 0, 1, 2, ...

    The units are parted into G = len(periods) modules of equal size, in the order of
    `periods`. A module listens to itself and to modules of the same or a longer period;
    the rest of w_h is not read, and its gradient is zero. All modules work at the first
    step. Time is counted in the carry, by numbers that count down, so that a sequence
    goes on where it was. Neither PyTorch, Keras nor Flax has it.

    In reverse, `unroll` begins to count at the last input.

    Args:
        hidden_size: number of units H, divisible by the number of modules.
        periods: how often each module works: every so many steps. Powers of 2 in the
            paper.
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        w_h_init: initialiser of w_h (H, H); orthogonal by default.
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `ClockworkParams`, carry `ClockworkCarry(h, wait)` and output `h`
        (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer that the number of modules
            divides; `periods` are not positive integers, or longer than the dtype can
            count (256 in bfloat16); x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell, xs = jrnn.clockwork(2, (1, 3)), jnp.ones((7, 1))
        >>> params = cell.init(jax.random.key(0), xs[0])
        >>> ys = jrnn.unroll(cell, params, xs)[1]
        >>> (ys[1:, 1] != ys[:-1, 1]).tolist()
        [False, False, True, False, False, True]

    References:
        Koutnik, Greff, Gomez, Schmidhuber (2014), A clockwork RNN, arXiv:1402.3511,
        section 3.
    """
    name = "clockwork"
    _check.positive(name, "hidden_size", hidden_size)
    size = _size_of_modules(hidden_size, periods)
    period = np.repeat(np.array(periods), size)  # (H,) of each unit
    heard = period[:, None] >= period  # (H, H) from slower units to faster ones

    def init(key, x):
        inputs, dtype = _check.example_vector(name, key, x)
        x_key, h_key, b_key = jax.random.split(key, 3)
        return ClockworkParams(
            w_x=w_x_init(x_key, (inputs, hidden_size), dtype),
            w_h=w_h_init(h_key, (hidden_size, hidden_size), dtype),
            b=b_init(b_key, (hidden_size,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type(name, params, ClockworkParams)
        _countable(periods, params.b.dtype)
        wait = jnp.zeros(len(periods), params.b.dtype)
        return ClockworkCarry(h=jnp.zeros_like(params.b), wait=wait)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type(name, params, ClockworkParams)
        _check.carry_type(name, carry, ClockworkCarry)
        _check.step_input(name, x, params.w_x.shape[0])
        _check.carry_shape(name, carry.h, params.b.shape)
        _check.carry_shape(name, carry.wait, (len(periods),))
        _check.step_dtype(name, x, params.w_h, carry.h)
        works = carry.wait <= 0  # (G,)
        w_h = jnp.where(heard, params.w_h, 0)
        h = jnp.tanh(x @ params.w_x + carry.h @ w_h + params.b)  # (H,)
        h = jnp.where(jnp.repeat(works, size), h, carry.h)
        full = jnp.array(periods, carry.wait.dtype)
        wait = jnp.where(works, full, carry.wait) - 1
        return ClockworkCarry(h, wait), h

    return Cell(init, initial_carry, step)


def _size_of_modules(hidden_size: int, periods: tuple[int, ...]) -> int:
    if not isinstance(periods, tuple) or not periods:
        raise ValueError(
            f"clockwork: periods must be a tuple of positive integers, got {periods!r}."
        )
    for period in periods:
        _check.positive("clockwork", "each of periods", period)
    if hidden_size % len(periods):
        raise ValueError(
            f"clockwork: hidden_size must be divisible by the {len(periods)} modules, "
            f"one for each of periods, got {hidden_size}."
        )
    return hidden_size // len(periods)


def _countable(periods: tuple[int, ...], dtype) -> None:
    most = 2 ** (jnp.finfo(dtype).nmant + 1)
    if max(periods) > most:
        raise ValueError(
            f"clockwork: {dtype} counts to {most}, but periods has {max(periods)}. Use "
            "float32."
        )
