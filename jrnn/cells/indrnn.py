"""Independently recurrent network: every unit sees its own past only.

h_t = f(x_t w_x + u * h_{t-1} + b),   y_t = h_t
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._activation import named
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer


class IndRNNParams(NamedTuple):
    """Weights of the independently recurrent network."""

    w_x: jax.Array  # (I, H)
    u: jax.Array  # (H,) each unit's weight on itself
    b: jax.Array  # (H,)


@described
def indrnn(
    hidden_size: int,
    activation: Callable[[jax.Array], jax.Array] | str = jax.nn.relu,
    *,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    u_init: Initializer = jax.nn.initializers.uniform(1.0),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Independently recurrent network (IndRNN).

        h_t = f(x_t w_x + u * h_{t-1} + b)
        y_t = h_t

    The Jacobian dh_t/dh_{t-1} is diagonal, f' u. With the rectifier, which leaves the
    sign of what passes alone, a unit that is active for n steps hands back u^n of its
    gradient: it neither vanishes nor explodes over T steps while |u| is within
    [epsilon^(1/T), gamma^(1/T)]. Units meet in the next layer: put two in a `stack`.
    Neither PyTorch, Keras nor Flax has it. The recurrent weights are not clipped here;
    the paper clips them to |u| <= gamma^(1/T) after every update.

    Args:
        hidden_size: number of units H.
        activation: the function f, or its name in `jax.nn`; the rectifier by default.
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        u_init: initialiser of u (H,); uniform in [0, 1) by default, so that some units
            forget at once and some hardly.
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `IndRNNParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; no activation of that name;
            x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> layer = jrnn.indrnn(4)
        >>> params = layer.init(jax.random.key(0), jnp.zeros(3))
        >>> params.u.shape, jrnn.unroll(layer, params, jnp.ones((5, 3)))[1].shape
        ((4,), (5, 4))

    References:
        Li, Li, Cook, Zhu, Gao (2018), Independently recurrent neural network (IndRNN):
        building a longer and deeper RNN, arXiv:1803.04831, equation 4.
    """
    _check.positive("indrnn", "hidden_size", hidden_size)
    f = named("indrnn", activation)

    def init(key, x):
        size, dtype = _check.example_vector("indrnn", key, x)
        x_key, u_key, b_key = jax.random.split(key, 3)
        return IndRNNParams(
            w_x=w_x_init(x_key, (size, hidden_size), dtype),
            u=u_init(u_key, (hidden_size,), dtype),
            b=b_init(b_key, (hidden_size,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("indrnn", params, IndRNNParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("indrnn", params, IndRNNParams)
        _check.step_input("indrnn", x, params.w_x.shape[0])
        _check.carry_shape("indrnn", carry, params.b.shape)
        _check.step_dtype("indrnn", x, params.w_x, carry)
        h = f(x @ params.w_x + params.u * carry + params.b)  # (H,)
        return h, h

    return Cell(init, initial_carry, step)
