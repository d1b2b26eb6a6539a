"""Hessian-free training against matrices written out, and on a task it is known for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jrnn
from jrnn import losses
from jrnn.train import gauss_newton_product, hessian_free

CELL = jrnn.stack(jrnn.elman(4), jrnn.linear(3))


def drawn(seed=0):
    """Parameters, inputs (N, T, D) and classes (N, T)."""
    one, two, three = jax.random.split(jax.random.key(seed), 3)
    rng = np.random.default_rng(seed)
    xs = jax.random.normal(one, (5, 6, 2))
    params = CELL.init(two, xs[0, 0])
    shift = lambda a: a + 0.3 * rng.normal(size=a.shape)
    return jax.tree.map(shift, params), (xs, jax.random.randint(three, (5, 6), 0, 3))


def logits(params, batch):
    return jax.vmap(lambda xs: jrnn.unroll(CELL, params, xs)[1])(batch[0])


def states(params, batch):
    hidden = lambda xs: jrnn.unroll(CELL_BELOW, params[0], xs)[1]
    return jax.vmap(hidden)(batch[0])


CELL_BELOW = jrnn.elman(4)


def loss(ys, batch):
    return losses.cross_entropy(ys, batch[1])


def matrices(params, batch):
    """G and S of the docstring, entry by entry, and g."""
    theta, unravel = ravel_pytree(params)
    ys = logits(params, batch)
    jac = jax.jacfwd(lambda t: logits(unravel(t), batch).ravel())(theta)
    of = lambda flat: loss(flat.reshape(ys.shape), batch)
    hess = jax.hessian(of)(ys.ravel())
    jac_h = jax.jacfwd(lambda t: states(unravel(t), batch).ravel())(theta)
    g = jax.grad(lambda t: loss(logits(unravel(t), batch), batch))(theta)
    return jac.T @ hess @ jac, jac_h.T @ jac_h / 5, g


@pytest.mark.slow
def test_products_with_the_gauss_newton_matrix():
    params, batch = drawn()
    theta, unravel = ravel_pytree(params)
    G, _, _ = matrices(params, batch)
    product = gauss_newton_product(
        lambda p: logits(p, batch), lambda ys: loss(ys, batch), params
    )
    got = jax.vmap(lambda v: ravel_pytree(product(unravel(v)))[0])(jnp.eye(theta.size))
    np.testing.assert_allclose(got, G, atol=1e-12)
    assert np.linalg.eigvalsh(G).min() > -1e-12


@pytest.mark.slow
@pytest.mark.parametrize("structural", [None, 0.7])
def test_a_step_solves_the_damped_system(structural):
    params, batch = drawn()
    more = {} if structural is None else {"states": states, "structural": structural}
    init, step = hessian_free(
        logits, loss, iterations=300, tolerance=1e-14, damping=0.3, **more
    )
    state = init(params)
    new, after, metrics = jax.jit(step)(params, state, batch)
    G, S, g = matrices(params, batch)
    damped = G + 0.3 * (np.eye(len(g)) + (structural or 0) * S)
    d = np.linalg.solve(damped, -g)
    moved = (ravel_pytree(new)[0] - ravel_pytree(params)[0]) / metrics.step_size
    np.testing.assert_allclose(moved, d, atol=1e-9)
    np.testing.assert_allclose(ravel_pytree(after.direction)[0], d, atol=1e-9)
    before, then = (loss(logits(p, batch), batch) for p in (params, new))
    assert then < before
    np.testing.assert_allclose([metrics.loss, metrics.loss_after], [before, then])
    np.testing.assert_allclose(metrics.grad_norm, np.linalg.norm(g))
    full, unravel = ravel_pytree(params)[0] + d, ravel_pytree(params)[1]
    fall = loss(logits(unravel(full), batch), batch) - before
    np.testing.assert_allclose(metrics.ratio, fall / (g @ d + d @ G @ d / 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("damping", "factor"), [(1.0, 2 / 3), (0.2, 1.0), (1e-3, 3 / 2)]
)
def test_damping_follows_how_well_the_quadratic_foretold(damping, factor):
    """L = sqrt(1 + y^2) at y = 2: g = y / L, H = 1 / L^3, d = -g / (H + lambda)."""
    L = lambda y: np.sqrt(1 + y**2)
    g, H = 2 / L(2), 1 / L(2) ** 3
    d = -g / (H + damping)
    ratio = (L(2 + d) - L(2)) / (g * d + H * d**2 / 2)
    init, step = hessian_free(
        lambda theta, _: theta, lambda y, _: jnp.sqrt(1 + y**2), damping=damping
    )
    theta = jnp.float64(2)
    _, state, metrics = step(theta, init(theta), None)
    assert float(metrics.ratio) == pytest.approx(ratio)
    assert (0.75 < ratio, 0.25 < ratio < 0.75, ratio < 0.25)[
        (2 / 3, 1.0, 3 / 2).index(factor)
    ]
    assert float(state.damping) == pytest.approx(damping * factor)


def test_a_step_that_goes_too_far_is_halved_or_left_out():
    init, step = hessian_free(
        lambda theta, _: theta, lambda y, _: jnp.sqrt(1 + y**2), damping=1e-9
    )
    # Newton's step from y goes to -y^3: beyond |y| = 1 it leads away
    theta = jnp.float64(2)
    new, _, metrics = step(theta, init(theta), None)
    assert float(metrics.step_size) == 0.25  # 2 -> -8, -3, -0.5
    np.testing.assert_allclose(new, -0.5, atol=1e-6)
    assert metrics.loss_after < metrics.loss
    stuck = jnp.float64(0)
    new, _, metrics = step(stuck, init(stuck), None)
    assert new == 0 and metrics.loss_after == metrics.loss


def test_where_the_loss_is_not_a_number_nothing_moves():
    init, step = hessian_free(lambda theta, _: theta, lambda y, _: jnp.sqrt(y - 5))
    new, state, metrics = step(jnp.ones(()), init(jnp.ones(())), None)
    assert new == 1 and metrics.step_size == 0 and np.isnan(metrics.loss)
    assert state.damping == 1.5 and state.direction == 0


@pytest.mark.slow
def test_searches_begin_from_the_direction_before():
    params, batch = drawn()
    init, step = hessian_free(logits, loss, iterations=1, momentum=0.5)
    state = init(params)._replace(direction=jax.tree.map(jnp.ones_like, params))
    _, after, _ = step(params, state, batch)
    G, _, g = matrices(params, batch)
    A, x = G + np.eye(len(g)), 0.5 * np.ones(len(g))
    r = -g - A @ x
    expected = x + (r @ r) / (r @ A @ r) * r  # one step of conjugate gradients
    np.testing.assert_allclose(ravel_pytree(after.direction)[0], expected, atol=1e-10)


def test_errors():
    with pytest.raises(ValueError, match="hessian_free: iterations must be a positive"):
        hessian_free(logits, loss, iterations=0)
    with pytest.raises(ValueError, match=r"hessian_free: damping must be > 0, got 0\."):
        hessian_free(logits, loss, damping=0)
