"""Excitatory and inhibitory units: outgoing weights have one sign for each unit.

tau v' = -v + x w_x + r (sign * max(0, w_h)) + b,   r = f(v)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._activation import named
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer, spectral_radius


class DaleParams(NamedTuple):
    """Weights of the excitatory-inhibitory network."""

    w_x: jax.Array  # (I, H)
    w_h: jax.Array  # (H, H) strengths, of which those above 0 act
    b: jax.Array  # (H,)


@described
def dale(
    hidden_size: int,
    activation: Callable[[jax.Array], jax.Array] | str = jax.nn.relu,
    *,
    excitatory: float = 0.8,
    radius: float = 1.0,
    tau: float = 100.0,
    dt: float = 20.0,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Network of excitatory and inhibitory units that obeys Dale's principle.

        r_{t-1} = f(v_{t-1})
        v_t = (1 - alpha) v_{t-1} + alpha (x_t w_x + r_{t-1} W + b),   alpha = dt/tau
        W = sign * max(0, w_h),   sign (H, 1) is 1 or -1
        y_t = f(v_t)

    The first units excite (row of W >= 0), the others inhibit (<= 0), however they are
    trained. At the start W is balanced, the strengths that excite a unit add up to
    those that inhibit it, and its spectral radius is `radius`: strengths are half
    normal, inhibitory ones are scaled for every target, and all of W by its eigenvalues
    afterwards. (Drawing it with a radius and giving it signs then would change the
    radius.) Self-connections are allowed, and w_x and the readout may have any sign.
    Without noise. The carry is v, the output r. Neither PyTorch, Keras nor Flax has it.

    Args:
        hidden_size: number of units H.
        activation: the function f from currents to rates, or its name in `jax.nn`; the
            rectifier by default. One with negative values breaks the principle.
        excitatory: share of the units that excite; at least one unit of either kind.
        radius: spectral radius of W at the start, above 0.
        tau: time constant, in the unit of dt.
        dt: time of a step, in (0, tau].
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `DaleParams`, carry `v` (H,) and output `r` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; a share that leaves no unit
            of one kind; `radius` or `tau` is not above 0, or `dt` outside (0, tau]; no
            activation of that name; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> params = jrnn.dale(10, radius=1.5).init(jax.random.key(0), jnp.zeros(3))
        >>> w = jnp.where(jnp.arange(10) < 8, 1, -1)[:, None] * params.w_h
        >>> bool(jnp.abs(w.sum(axis=0)).max() < 1e-5)
        True
        >>> round(float(jnp.abs(jnp.linalg.eigvals(w)).max()), 4)
        1.5

    References:
        Song, Yang, Wang (2016), Training excitatory-inhibitory recurrent neural
        networks for cognitive tasks: a simple and flexible framework,
        doi:10.1371/journal.pcbi.1004792, equations 5 to 10.
        Rajan, Abbott (2006), Eigenvalue spectra of random matrices for neural networks,
        doi:10.1103/PhysRevLett.97.188104 (why to balance).
    """
    _check.positive("dale", "hidden_size", hidden_size)
    _check.above_zero("dale", "radius", radius)
    _check.above_zero("dale", "tau", tau)
    _check.above_zero("dale", "dt", dt, most=tau)
    f, alpha, H = named("dale", activation), dt / tau, hidden_size
    exciting = _number_of_exciting(H, excitatory)

    def sign(dtype):
        return jnp.where(jnp.arange(H) < exciting, 1, -1)[:, None].astype(dtype)

    def init(key, x):
        size, dtype = _check.example_vector("dale", key, x)
        x_key, h_key, b_key = jax.random.split(key, 3)
        w = spectral_radius(radius, _balanced(exciting))(h_key, (H, H), dtype)
        return DaleParams(
            w_x=w_x_init(x_key, (size, H), dtype),
            w_h=jnp.abs(w),
            b=b_init(b_key, (H,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("dale", params, DaleParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("dale", params, DaleParams)
        _check.step_input("dale", x, params.w_x.shape[0])
        _check.carry_shape("dale", carry, params.b.shape)
        _check.step_dtype("dale", x, params.w_h, carry)
        w = sign(params.w_h.dtype) * jax.nn.relu(params.w_h)  # the same in every step
        current = x @ params.w_x + f(carry) @ w + params.b  # (H,)
        v = (1 - alpha) * carry + alpha * current
        return v, f(v)

    return Cell(init, initial_carry, step)


def _number_of_exciting(hidden_size: int, excitatory: float) -> int:
    number = round(excitatory * hidden_size)
    if not 0 < number < hidden_size:
        raise ValueError(
            f"dale: excitatory must leave units of both kinds, got {excitatory} of "
            f"{hidden_size} units: {number} excitatory ones."
        )
    return number


def _balanced(exciting: int) -> Initializer:
    """Half normal strengths with signs, the sum of every column being zero."""

    def init(key, shape, dtype=float):
        w = jnp.abs(jax.random.normal(key, shape, dtype))
        e, i = w[:exciting], w[exciting:]
        ratio = e.sum(axis=0, keepdims=True) / i.sum(axis=0, keepdims=True)  # (1, H)
        return jnp.concatenate([e, -i * ratio])

    return init
