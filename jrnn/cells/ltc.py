"""Liquid time-constant network, solved by a few implicit steps.

dh/dt = -(1 / tau + f(x, h)) h + f(x, h) A
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import sigmoid
from jrnn.cells._time import timed
from jrnn.initializers import Initializer, orthogonal


class LTCParams(NamedTuple):
    """Weights of the liquid time-constant network."""

    w_x: jax.Array  # (I, H)
    w_h: jax.Array  # (H, H)
    b: jax.Array  # (H,)
    a: jax.Array  # (H,) the A of the paper, where f pulls the state to
    log_tau: jax.Array  # (H,) logarithm of the time constants


@described
def ltc(
    hidden_size: int,
    unfolds: int = 6,
    *,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    w_h_init: Initializer = orthogonal(),
    a_init: Initializer = jax.nn.initializers.normal(1.0),
) -> Cell:
    """Liquid time-constant network (LTC).

        dt = elapsed_t / unfolds
        `unfolds` times, from h = h_{t-1}:
            f = sigmoid(x_t w_x + h w_h + b)
            h <- (h + dt f a) / (1 + dt (1 / tau + f)),   tau = exp(log_tau)
        h_t = h
        y_t = h_t

    The equation dh/dt = -(1 / tau + f) h + f a, whose time constant 1 / (1 / tau + f)
    depends on input and state, by the paper's fused solver: half explicit, half
    implicit, and stable for steps of any length; each h lies between 0, a and the h
    before. The input of a step is x, with 1 for the time elapsed since the last step,
    or a pair (x, elapsed).

    This is the network of the paper's equations, one f for each unit. The authors'
    package ncps has another under the name LTC: a sigmoid for each synapse, with weight
    and reversal potential of its own, and capacities and leaks for time constants; its
    weights have no counterpart here. PyTorch, Keras and Flax have none.

    Args:
        hidden_size: number of units H.
        unfolds: steps of the solver for each input.
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        w_h_init: initialiser of w_h (H, H); orthogonal by default.
        a_init: initialiser of a (H,); standard Gaussian by default. log_tau starts at
            zero: a time constant of one step.

    Returns:
        A cell with `LTCParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: a size is not a positive integer; x, elapsed or carry of another
            size.
        TypeError: an input that is neither x nor a pair; an input or a carry that the
            step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.ltc(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> xs, elapsed = jnp.ones((2, 3)), jnp.array([0.5, 1e9])
        >>> ys = jrnn.unroll(cell, params, (xs, elapsed))[1]
        >>> bool((jnp.abs(ys) <= jnp.abs(params.a)).all())
        True

    References:
        Hasani, Lechner, Amini, Rus, Grosu (2021), Liquid time-constant networks,
        arXiv:2006.04439, equations 1 and 3 and algorithm 1.
    """
    _check.positive("ltc", "hidden_size", hidden_size)
    _check.positive("ltc", "unfolds", unfolds)
    H = hidden_size

    def init(key, x):
        size, dtype = _check.example_vector("ltc", key, timed("ltc", x)[0])
        x_key, h_key, a_key = jax.random.split(key, 3)
        return LTCParams(
            w_x=w_x_init(x_key, (size, H), dtype),
            w_h=w_h_init(h_key, (H, H), dtype),
            b=jnp.zeros(H, dtype),
            a=a_init(a_key, (H,), dtype),
            log_tau=jnp.zeros(H, dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("ltc", params, LTCParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("ltc", params, LTCParams)
        x, elapsed = timed("ltc", x)
        _check.step_input("ltc", x, params.w_x.shape[0])
        _check.carry_shape("ltc", carry, params.b.shape)
        _check.step_dtype("ltc", x, params.w_h, carry)
        h, dt = carry, jnp.asarray(elapsed).astype(carry.dtype) / unfolds
        a, rate = params.a, jnp.exp(-params.log_tau)  # (H,) each
        drive = x @ params.w_x + params.b
        for _ in range(unfolds):
            f = sigmoid(drive + h @ params.w_h)  # (H,)
            h = (h + dt * f * a) / (1 + dt * (rate + f))
        return h, h

    return Cell(init, initial_carry, step)
