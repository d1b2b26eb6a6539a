"""Recurrent network that is a stable differential equation, stepped by Euler's rule.

h_t = h_{t-1} + epsilon * tanh(x_t w_x + h_{t-1} (w_h - w_h^T - gamma I) + b)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer, gain


class AntisymmetricParams(NamedTuple):
    """Weights of the antisymmetric network."""

    w_x: jax.Array  # (I, H)
    w_h: jax.Array  # (H, H), of which the antisymmetric part acts
    b: jax.Array  # (H,)


@described
def antisymmetric(
    hidden_size: int,
    *,
    epsilon: float = 0.1,
    gamma: float = 0.01,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    w_h_init: Initializer = gain(1.0),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Antisymmetric recurrent network (AntisymmetricRNN).

        h_t = h_{t-1} + epsilon * tanh(x_t w_x + h_{t-1} (w_h - w_h^T - gamma I) + b)
        y_t = h_t

    The eigenvalues of an antisymmetric matrix are imaginary: the differential equation
    h' = tanh(h (w_h - w_h^T) + ...) neither forgets nor explodes. Euler's steps of size
    epsilon grow a little, which the diffusion gamma takes back: with all units in the
    linear range, a step multiplies by 1 + epsilon (i omega - gamma). Neither PyTorch,
    Keras nor Flax has it. The form without gates; states are not bounded, since they
    are sums.

    Args:
        hidden_size: number of units H.
        epsilon: size of a step, above 0. A unit changes by at most this much.
        gamma: diffusion, at least 0.
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        w_h_init: initialiser of w_h (H, H); Gaussian of variance 1/H by default.
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `AntisymmetricParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `epsilon` is not above 0,
            `gamma` is negative; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.antisymmetric(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> h, y = cell.step(params, cell.initial_carry(params), jnp.ones(3))
        >>> y.shape, bool((jnp.abs(y) < 0.1).all())
        ((4,), True)

    References:
        Chang, Chen, Haber, Chi (2019), AntisymmetricRNN: a dynamical system view on
        recurrent neural networks, arXiv:1902.09689, equation 14.
    """
    name = "antisymmetric"
    _check.positive(name, "hidden_size", hidden_size)
    _check.above_zero(name, "epsilon", epsilon)
    _check.not_negative(name, "gamma", gamma)

    def init(key, x):
        size, dtype = _check.example_vector(name, key, x)
        x_key, h_key, b_key = jax.random.split(key, 3)
        return AntisymmetricParams(
            w_x=w_x_init(x_key, (size, hidden_size), dtype),
            w_h=w_h_init(h_key, (hidden_size, hidden_size), dtype),
            b=b_init(b_key, (hidden_size,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type(name, params, AntisymmetricParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type(name, params, AntisymmetricParams)
        _check.step_input(name, x, params.w_x.shape[0])
        _check.carry_shape(name, carry, params.b.shape)
        _check.step_dtype(name, x, params.w_h, carry)
        diffusion = gamma * jnp.eye(hidden_size, dtype=params.w_h.dtype)
        a = params.w_h - params.w_h.T - diffusion  # (H, H), the same in every step
        h = carry + epsilon * jnp.tanh(x @ params.w_x + carry @ a + params.b)  # (H,)
        return h, h

    return Cell(init, initial_carry, step)
