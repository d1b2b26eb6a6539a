"""A regulariser that keeps the norm of gradients on their way back."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jrnn._norm import scaled_norm
from jrnn.cell import Carry, Cell, Input, Output, Params
from jrnn.gradients._flat import flat_cell, states_before
from jrnn.gradients.flow import state_gradients


def omega(
    cell: Cell,
    params: Params,
    xs: Input,
    loss: Callable[[Output], jax.Array],
    carry: Carry | None = None,
) -> jax.Array:
    """Penalty on every step that shrinks or stretches the gradient that passes it.

        Omega = sum_t (|| g_t J_t || / || g_t || - 1)^2
        g_t = dL / d carry_t,   J_t = d carry_t / d carry_{t-1}

    Add it to the loss with a weight (the paper's runs use 0.5 to 4). Its derivative is
    the immediate one of the paper: g_t and carry_{t-1} are held constant, and only the
    way the parameters enter step t itself counts. Only the direction that the gradient
    has is kept, where an orthogonal weight keeps all of them. Steps that no gradient
    reaches do not count.

    Args:
        cell: any cell without randomness.
        params: its parameters.
        xs: inputs `(T, ...)`.
        loss: from the outputs `ys` `(T, ...)` to a scalar.
        carry: state before the first step; `cell.initial_carry(params)` if None.

    Returns:
        A scalar, >= 0.

    Raises:
        ValueError: the loss is not a scalar.
        TypeError: the carry is empty or not floating-point.

    Example:
        >>> import jrnn
        >>> linear = jrnn.elman(3, lambda a: a)  # orthogonal weight
        >>> params = linear.init(jax.random.key(0), jnp.zeros(2))
        >>> penalty = omega(linear, params, jnp.ones((9, 2)), lambda ys: ys[-1, 0])
        >>> bool(penalty < 1e-9)
        True

    References:
        Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural
        networks, arXiv:1211.5063, equations 9 and 10.
    """
    flat = flat_cell("omega", cell, params, carry)
    fixed = jax.lax.stop_gradient(params)
    _, gradients = state_gradients(
        "omega", cell, fixed, xs, loss, carry, independent=True
    )
    gs = jax.vmap(lambda g: ravel_pytree(g)[0])(gradients)  # (T, N)
    _, hs = states_before(flat, xs)
    gs, hs = jax.lax.stop_gradient((gs, hs))

    def deviation(h, x, g):
        largest = jnp.max(jnp.abs(g))
        reached = largest > 0
        # where nothing arrives, any other vector: the square root has no slope at 0
        g = jnp.where(reached, g / jnp.where(reached, largest, 1), jnp.ones_like(g))
        _, pull = jax.vjp(lambda h: flat.step(h, x), h)
        ratio = _norm(pull(g)[0]) / _norm(g)
        return jnp.where(reached, jnp.square(ratio - 1), jnp.zeros_like(ratio))

    return jax.vmap(deviation)(hs, xs, gs).sum()


def _norm(v: jax.Array) -> jax.Array:
    n, scale = scaled_norm(v)
    return n / scale
