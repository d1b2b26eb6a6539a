"""The simple recurrent network and its rectified, identity-started form.

h_t = f(x_t w_x + h_{t-1} w_h + b),   y_t = h_t
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._activation import named
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer, identity, orthogonal


class ElmanParams(NamedTuple):
    """Weights of the simple recurrent network."""

    w_x: jax.Array  # (I, H)
    w_h: jax.Array  # (H, H)
    b: jax.Array  # (H,)


@described
def elman(
    hidden_size: int,
    activation: Callable[[jax.Array], jax.Array] | str = jnp.tanh,
    *,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    w_h_init: Initializer = orthogonal(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Simple (Elman) recurrent network.

        h_t = f(x_t w_x + h_{t-1} w_h + b)
        y_t = h_t

    One bias; PyTorch has two that are only ever added. Products are `x @ w`, so weights
    are the transposes of PyTorch's.

    Args:
        hidden_size: number of units H.
        activation: the function f, or its name in `jax.nn`; tanh by default.
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        w_h_init: initialiser of w_h (H, H); orthogonal by default.
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `ElmanParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; no activation of that name;
            x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.elman(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> h, y = cell.step(params, cell.initial_carry(params), jnp.ones(3))
        >>> y.shape
        (4,)

    References:
        Elman (1990), Finding structure in time, doi:10.1207/s15516709cog1402_1.
    """
    return _elman("elman", hidden_size, activation, w_x_init, w_h_init, b_init)


@described
def irnn(hidden_size: int, scale: float = 1.0) -> Cell:
    """Recurrent network of rectified units that starts as an integrator.

        h_t = max(0, x_t w_x + h_{t-1} w_h + b),   w_h = scale * I,  b = 0 at the start

    As long as every unit is active the hidden state is the running sum of its inputs
    and dh_T/dh_t is the identity. Input weights are Gaussian with standard deviation
    0.001, as in the paper.

    Args:
        hidden_size: number of units H.
        scale: factor of the identity; below 1 the network forgets.

    Returns:
        A cell with `ElmanParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer.

    Example:
        >>> import jrnn
        >>> cell = jrnn.irnn(2, scale=0.5)
        >>> cell.init(jax.random.key(0), jnp.zeros(3)).w_h.tolist()
        [[0.5, 0.0], [0.0, 0.5]]

    References:
        Le, Jaitly, Hinton (2015), A simple way to initialize recurrent networks of
        rectified linear units, arXiv:1504.00941.
    """
    return _elman(
        "irnn",
        hidden_size,
        jax.nn.relu,
        w_x_init=jax.nn.initializers.normal(1e-3),
        w_h_init=identity(scale),
        b_init=jax.nn.initializers.zeros,
    )


def _elman(name: str, hidden_size, activation, w_x_init, w_h_init, b_init) -> Cell:
    _check.positive(name, "hidden_size", hidden_size)
    f = named(name, activation)

    def init(key, x):
        size, dtype = _check.example_vector(name, key, x)
        x_key, h_key, b_key = jax.random.split(key, 3)
        return ElmanParams(
            w_x=w_x_init(x_key, (size, hidden_size), dtype),
            w_h=w_h_init(h_key, (hidden_size, hidden_size), dtype),
            b=b_init(b_key, (hidden_size,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type(name, params, ElmanParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type(name, params, ElmanParams)
        _check.step_input(name, x, params.w_x.shape[0])
        _check.carry_shape(name, carry, params.b.shape)
        _check.step_dtype(name, x, params.w_h, carry)
        h = f(x @ params.w_x + carry @ params.w_h + params.b)  # (H,)
        return h, h

    return Cell(init, initial_carry, step)
