"""Coupled oscillators: positions y and velocities z, driven by the input.

z_t = z_{t-1} + dt (tanh(x_t w_x + y_{t-1} w_y + z_{t-1} w_z + b)
                    - gamma y_{t-1} - epsilon z_{t-1})
y_t = y_{t-1} + dt z_t
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer


class CoRNNParams(NamedTuple):
    """Weights of the coupled oscillators."""

    w_x: jax.Array  # (I, H)
    w_y: jax.Array  # (H, H) from positions
    w_z: jax.Array  # (H, H) from velocities
    b: jax.Array  # (H,)


class CoRNNCarry(NamedTuple):
    """State of the coupled oscillators."""

    y: jax.Array  # (H,) positions, the output
    z: jax.Array  # (H,) velocities


@described
def cornn(
    hidden_size: int,
    *,
    dt: float = 0.05,
    gamma: float = 2.0,
    epsilon: float = 4.0,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    w_y_init: Initializer = jax.nn.initializers.glorot_uniform(),
    w_z_init: Initializer = jax.nn.initializers.glorot_uniform(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Coupled oscillatory recurrent network (coRNN).

        z_t = z_{t-1} + dt (tanh(x_t w_x + y_{t-1} w_y + z_{t-1} w_z + b)
                            - gamma y_{t-1} - epsilon z_{t-1})
        y_t = y_{t-1} + dt z_t

    Steps of size dt through the equation of damped, driven oscillators,
    y'' = tanh(...) - gamma y - epsilon y'. What drives them is bounded, so positions
    and the gradient are too, for a dt that is small beside 1/gamma and 1/epsilon. The
    form of the paper that takes the damping from the last step; the other takes it from
    the present one, which divides z_t by 1 + dt epsilon. Neither PyTorch, Keras nor
    Flax has it.

    Args:
        hidden_size: number of oscillators H.
        dt: size of a step, above 0: about the inverse of how long things are to be
            remembered. The paper tunes all three for each task, dt from 0.01 to 0.1.
        gamma: pull back to rest, at least 0; sqrt(gamma) is the frequency without
            coupling.
        epsilon: damping, at least 0.
        w_x_init: initialiser of w_x (I, H); Glorot uniform, as of the two that follow.
        w_y_init: initialiser of w_y (H, H).
        w_z_init: initialiser of w_z (H, H).
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `CoRNNParams`, carry `CoRNNCarry(y, z)` and output `y` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `dt` is not above 0,
            `gamma` or `epsilon` negative; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.cornn(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> carry, ys = jrnn.unroll(cell, params, jnp.ones((5, 3)))
        >>> ys.shape, carry.z.shape
        ((5, 4), (4,))

    References:
        Rusch, Mishra (2021), Coupled oscillatory recurrent neural network (coRNN),
        arXiv:2010.00951, equation 3.
    """
    _check.positive("cornn", "hidden_size", hidden_size)
    _check.above_zero("cornn", "dt", dt)
    _check.not_negative("cornn", "gamma", gamma)
    _check.not_negative("cornn", "epsilon", epsilon)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("cornn", key, x)
        x_key, y_key, z_key, b_key = jax.random.split(key, 4)
        return CoRNNParams(
            w_x=w_x_init(x_key, (size, H), dtype),
            w_y=w_y_init(y_key, (H, H), dtype),
            w_z=w_z_init(z_key, (H, H), dtype),
            b=b_init(b_key, (H,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("cornn", params, CoRNNParams)
        return CoRNNCarry(y=jnp.zeros_like(params.b), z=jnp.zeros_like(params.b))

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("cornn", params, CoRNNParams)
        _check.carry_type("cornn", carry, CoRNNCarry)
        _check.step_input("cornn", x, params.w_x.shape[0])
        _check.carry_shape("cornn", carry.y, params.b.shape)
        _check.carry_shape("cornn", carry.z, params.b.shape)
        _check.step_dtype("cornn", x, params.w_y, carry.y)
        y, z = carry
        force = jnp.tanh(x @ params.w_x + y @ params.w_y + z @ params.w_z + params.b)
        z = z + dt * (force - gamma * y - epsilon * z)  # (H,)
        y = y + dt * z  # (H,)
        return CoRNNCarry(y, z), y

    return Cell(init, initial_carry, step)
