"""Leaky rates: a network in continuous time, stepped by Euler's rule.

tau h' = -h + f(x w_x + h w_h + b)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._activation import named
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer, orthogonal


class LeakyParams(NamedTuple):
    """Weights of the leaky network."""

    w_x: jax.Array  # (I, H)
    w_h: jax.Array  # (H, H)
    b: jax.Array  # (H,)


@described
def leaky(
    hidden_size: int,
    activation: Callable[[jax.Array], jax.Array] | str = jnp.tanh,
    *,
    tau: float = 100.0,
    dt: float = 20.0,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    w_h_init: Initializer = orthogonal(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Leaky rate network: a recurrent network in continuous time (CTRNN).

        tau dh/dt = -h + f(x w_x + h w_h + b)
        h_t = (1 - alpha) h_{t-1} + alpha f(x_t w_x + h_{t-1} w_h + b),  alpha = dt/tau
        y_t = h_t

    h are firing rates, a low-pass filter of f over a time tau. With dt = tau it is
    `elman`. Other papers filter the current and apply f to what comes out, as `dale`
    and `low_rank` do; without input noise, both describe the same networks. Neither
    PyTorch, Keras nor Flax has it.

    Args:
        hidden_size: number of units H.
        activation: the function f, or its name in `jax.nn`; tanh by default.
        tau: time constant, in the unit of dt; milliseconds are usual.
        dt: time of a step, in (0, tau]. Smaller steps are nearer to the equation.
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        w_h_init: initialiser of w_h (H, H); orthogonal by default.
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `LeakyParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `tau` is not above 0, or
            `dt` outside (0, tau]; no activation of that name; x or carry of another
            size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.leaky(4, tau=100.0, dt=10.0)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> still = jax.tree.map(jnp.zeros_like, params)
        >>> h, _ = cell.step(still, jnp.ones(4), jnp.zeros(3))
        >>> round(float(h[0]), 4)
        0.9

    References:
        Jaeger, Lukosevicius, Popovici, Siewert (2007), Optimization and applications of
        echo state networks with leaky-integrator neurons,
        doi:10.1016/j.neunet.2007.04.016, equations 1 and 2.
        Yang, Joglekar, Song, Newsome, Wang (2019), Task representations in neural
        networks trained to perform many cognitive tasks,
        doi:10.1038/s41593-018-0310-2, methods (without noise).
    """
    _check.positive("leaky", "hidden_size", hidden_size)
    _check.above_zero("leaky", "tau", tau)
    _check.above_zero("leaky", "dt", dt, most=tau)
    f, alpha = named("leaky", activation), dt / tau

    def init(key, x):
        size, dtype = _check.example_vector("leaky", key, x)
        x_key, h_key, b_key = jax.random.split(key, 3)
        return LeakyParams(
            w_x=w_x_init(x_key, (size, hidden_size), dtype),
            w_h=w_h_init(h_key, (hidden_size, hidden_size), dtype),
            b=b_init(b_key, (hidden_size,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("leaky", params, LeakyParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("leaky", params, LeakyParams)
        _check.step_input("leaky", x, params.w_x.shape[0])
        _check.carry_shape("leaky", carry, params.b.shape)
        _check.step_dtype("leaky", x, params.w_h, carry)
        rate = f(x @ params.w_x + carry @ params.w_h + params.b)  # (H,)
        h = (1 - alpha) * carry + alpha * rate
        return h, h

    return Cell(init, initial_carry, step)
