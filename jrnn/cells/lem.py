"""Long expressive memory: two states, each with a time step that the input decides.

dt_1, dt_2 = dt * sigmoid(...)
z_t = (1 - dt_1) * z_{t-1} + dt_1 * tanh(...)
y_t = (1 - dt_2) * y_{t-1} + dt_2 * tanh(...)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.initializers import Initializer, gatewise


class LEMParams(NamedTuple):
    """Weights of the LEM, parts 1, 2, z, y side by side on the last axis."""

    w_x: jax.Array  # (I, 4H) 1, 2, z, y
    w_y: jax.Array  # (H, 3H) 1, 2, z, from y
    w_z: jax.Array  # (H, H) from z to y
    b: jax.Array  # (4H,) 1, 2, z, y


class LEMCarry(NamedTuple):
    """State of the LEM."""

    y: jax.Array  # (H,) the output
    z: jax.Array  # (H,)


@described
def lem(
    hidden_size: int,
    *,
    dt: float = 1.0,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 4),
    w_y_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
    w_z_init: Initializer = jax.nn.initializers.glorot_uniform(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Long expressive memory (LEM).

        dt_1 = dt * sigmoid(x_t w_x1 + y_{t-1} w_y1 + b_1)
        dt_2 = dt * sigmoid(x_t w_x2 + y_{t-1} w_y2 + b_2)
        z_t = (1 - dt_1) * z_{t-1} + dt_1 * tanh(x_t w_xz + y_{t-1} w_yz + b_z)
        y_t = (1 - dt_2) * y_{t-1} + dt_2 * tanh(x_t w_xy + z_t w_z + b_y)

    Two coupled equations with many time scales, by steps whose size is learned for
    every unit and every input. States are means of numbers in (-1, 1) and stay there.
    A GRU is its relative with one state. Neither PyTorch, Keras nor Flax has it.

    Args:
        hidden_size: number of units H.
        dt: largest step, in (0, 1]; 1 by default, smaller ones remember longer.
        w_x_init: initialiser of w_x (I, 4H); Glorot uniform for each part.
        w_y_init: initialiser of w_y (H, 3H); Glorot uniform for each part.
        w_z_init: initialiser of w_z (H, H); Glorot uniform.
        b_init: initialiser of b (4H,); zeros by default.

    Returns:
        A cell with `LEMParams`, carry `LEMCarry(y, z)` and output `y` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `dt` is outside (0, 1]; x
            or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.lem(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> carry, ys = jrnn.unroll(cell, params, jnp.ones((5, 3)))
        >>> ys.shape, bool((carry.y == ys[-1]).all())
        ((5, 4), True)

    References:
        Rusch, Mishra, Erichson, Mahoney (2022), Long expressive memory for sequence
        modeling, arXiv:2110.04744, equation 3.
    """
    _check.positive("lem", "hidden_size", hidden_size)
    _check.above_zero("lem", "dt", dt, most=1)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("lem", key, x)
        x_key, y_key, z_key, b_key = jax.random.split(key, 4)
        return LEMParams(
            w_x=w_x_init(x_key, (size, 4 * H), dtype),
            w_y=w_y_init(y_key, (H, 3 * H), dtype),
            w_z=w_z_init(z_key, (H, H), dtype),
            b=b_init(b_key, (4 * H,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("lem", params, LEMParams)
        zeros = jnp.zeros_like(params.b[:H])
        return LEMCarry(y=zeros, z=zeros)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("lem", params, LEMParams)
        _check.carry_type("lem", carry, LEMCarry)
        _check.step_input("lem", x, params.w_x.shape[0])
        _check.carry_shape("lem", carry.y, (H,))
        _check.carry_shape("lem", carry.z, (H,))
        _check.step_dtype("lem", x, params.w_y, carry.y)
        y, z = carry
        from_x = x @ params.w_x + params.b  # (4H,)
        share_1, share_2, g = gates(from_x[: 3 * H] + y @ params.w_y, "sst")
        dt_1, dt_2 = dt * share_1, dt * share_2
        z = (1 - dt_1) * z + dt_1 * g  # (H,)
        y = (1 - dt_2) * y + dt_2 * jnp.tanh(from_x[3 * H :] + z @ params.w_z)  # (H,)
        return LEMCarry(y, z), y

    return Cell(init, initial_carry, step)
