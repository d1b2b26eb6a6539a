"""Unbiased online recurrent optimisation: the influence as a random product."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._state_vector import state_vector
from jrnn.cell import Cell, Params
from jrnn.online._algorithm import Algorithm, StepResult
from jrnn.online._kept import float_leaves, scalar, start_pattern
from jrnn.online._noise import keys_of_step, norm, ratio, signs


class UOROInfluence(NamedTuple):
    """Two vectors whose outer product is the influence on average."""

    state: jax.Array  # (N,) of the state
    params: Params  # of the parameters, in their form


def uoro(cell: Cell) -> Algorithm:
    """Unbiased online recurrent optimisation (UORO): right on average, and cheap.

        s_t = rho_0 D_t s_{t-1} + rho_1 nu              nu in {-1, 1}^N at random
        w_t = w_{t-1} / rho_0 + nu^T I_t / rho_1
        g_t = dL_t/dtheta + (dL_t/dh_{t-1} s_{t-1}) w_{t-1}    through step t only
        rho_0^2 = |w_{t-1}| / |D_t s_{t-1}|,   rho_1^2 = |nu^T I_t| / |nu|

    D_t = dh_t/dh_{t-1} and I_t = dh_t/dtheta at fixed h_{t-1}. The mean of s_t w_t^T
    over all nu is the influence P_t of real-time recurrent learning: the gradient is
    right on average while the parameters stay the same, for any cell. Its noise is
    large, and grows with the number of units. Memory and time are those of one backward
    pass of one step, whatever the cell.

    Where a norm is zero its factor is 1 (the paper adds a small number to the norms).

    Args:
        cell: any cell, with randomness too.

    Returns:
        An `Algorithm`, whose `step` needs a key: for nu, and for the cell. The
        influence is `UOROInfluence(state, params)`. `init` needs a key where the
        initial carry depends on the parameters, as in `learned_carry`.

    Raises:
        TypeError: `cell` is none; parameters that are not real floating-point arrays.
        ValueError: no key; the loss is not a scalar.

    Example:
        >>> import jrnn
        >>> from jrnn import online
        >>> cell = jrnn.stack(jrnn.gru(4), jrnn.linear(1))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(2))
        >>> algorithm = online.uoro(cell)
        >>> carry, influence = algorithm.init(params, jnp.zeros(2))
        >>> loss = lambda y: jnp.square(y[0])
        >>> found = algorithm.step(
        ...     params, carry, influence, jnp.ones(2), loss, key=jax.random.key(1))
        >>> found.influence.state.shape, found.gradient[0].w_h.shape
        ((4,), (4, 12))

    References:
        Tallec, Ollivier (2018), Unbiased online recurrent optimization,
        arXiv:1702.05043, algorithm 1.
    """
    _check.cell("uoro", cell, "Online learning takes one step after the other.")

    def init(params, x, /, carry=None, *, key=None):
        del x
        leaves, tree = float_leaves("uoro", params)
        zeros = lambda vector: UOROInfluence(
            jnp.zeros(vector.size, vector.dtype), jax.tree.map(jnp.zeros_like, params)
        )
        if carry is not None:
            return carry, zeros(state_vector(carry))
        carry_key, nu_key = (None, None) if key is None else jax.random.split(key)
        start = lambda leaves: cell.initial_carry(tree.unflatten(leaves), key=carry_key)
        vector = state_vector(jax.eval_shape(start, leaves))

        def first(leaves):
            carry = start(leaves)
            return vector.flatten(carry), carry

        h, pull, carry = jax.vjp(first, leaves, has_aux=True)
        if not start_pattern(cell, params, vector).different.nnz:
            return carry, zeros(vector)
        if nu_key is None:
            raise ValueError(
                "uoro: the initial carry of this cell depends on its parameters, so "
                "init needs a key: init(params, x, key=key)."
            )
        nu = signs(nu_key, h)
        return carry, UOROInfluence(nu, tree.unflatten(pull(nu)[0]))

    def step(params, carry, influence, x, loss, /, *, key=None):
        nu_key, own_key = keys_of_step("uoro", key)
        vector = state_vector(carry)
        old = influence

        def run(leaves, h):
            params, state = tree.unflatten(leaves), vector.unflatten(h, carry)
            new, y = cell.step(params, state, x, key=own_key)
            value = scalar("uoro", loss(y))
            return (vector.flatten(new), value), (new, y)

        leaves, tree = float_leaves("uoro", params)
        h = vector.flatten(carry)
        made, push, (new, y) = jax.linearize(run, leaves, h, has_aux=True)
        value = made[1]
        pull = jax.linear_transpose(push, leaves, h)
        direct, d_h = pull((jnp.zeros_like(h), jnp.ones_like(value)))
        weight = d_h @ old.state
        gradient = jax.tree.map(
            lambda d, w: d + weight.astype(w.dtype) * w,
            tree.unflatten(direct),
            old.params,
        )
        moved, _ = push([jnp.zeros_like(p) for p in leaves], old.state)  # D_t s_{t-1}
        nu = signs(nu_key, h)
        drawn = tree.unflatten(pull((nu, jnp.zeros_like(value)))[0])  # nu^T I_t
        influence = _joined(old.params, moved, nu, drawn)
        return StepResult(new, influence, y, value, gradient)

    return Algorithm(init, step)


def _joined(w, moved, nu, drawn) -> UOROInfluence:
    """s_t and w_t from w_{t-1}, D_t s_{t-1}, nu and nu^T I_t."""
    size = lambda tree: norm(tree, nu.dtype)
    rho_0 = ratio(size(w), size(moved))
    rho_1 = ratio(size(drawn), size(nu))
    add = lambda w, d: w / rho_0.astype(w.dtype) + d / rho_1.astype(d.dtype)
    return UOROInfluence(rho_0 * moved + rho_1 * nu, jax.tree.map(add, w, drawn))
