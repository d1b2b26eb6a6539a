"""Least squares of a stream, and networks whose readout it trains while they run."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jrnn
from jrnn import online

T, H, O = 31, 4, 2


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def fitted(rls, hs, ys, readout=None):
    """The state after every row, time first, and the guesses."""

    def row(state, inputs):
        state, guess = rls.step(state, *inputs)
        return state, (state, guess)

    return jax.lax.scan(row, rls.init(hs[0], ys[0], readout), (hs, ys))[1]


def weighted(hs, ys, penalty, forgetting, bias, w_0):
    """The minimum of what `recursive_least_squares` promises to minimise, in NumPy.

    The bias is a column of ones without a penalty.
    """
    n, size = hs.shape
    weight = forgetting ** np.arange(n)[::-1, None]
    h = np.concatenate([hs, np.ones((n, int(bias)))], axis=1)
    ridge = forgetting**n * penalty * np.diag([1.0] * size + [0.0] * bias)
    target = ridge[:, :size] @ w_0
    w = np.linalg.solve(h.T @ (weight * h) + ridge, h.T @ (weight * ys) + target)
    return w[:size], (w[size] if bias else np.zeros(ys.shape[1]))


# Recursive least squares


@jax.jit
def both(penalty, hs, ys):
    """Row by row and all at once, after T rows and after fewer than weights."""
    found = fitted(online.recursive_least_squares(penalty), hs, ys)[0].readout
    after = lambda t: jax.tree.map(lambda a: a[t - 1], found)
    at_once = lambda t: jrnn.ridge_readout(hs[:t], ys[:t], penalty)
    return [(after(t), at_once(t)) for t in (1, 3, T)]


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 2), st.integers(0, 99))
def test_it_is_ridge_regression_on_all_rows_so_far(exponent, seed):
    hs, ys = 3 + normal(T, H, seed=seed), normal(T, O, seed=seed + 100)
    for got, expected in both(10.0**exponent, hs, ys):
        np.testing.assert_allclose(got.w, expected.w, atol=1e-10)
        np.testing.assert_allclose(got.b, expected.b, atol=1e-10)


@pytest.mark.parametrize(
    ("forgetting", "bias"), [(1.0, False), (0.8, True), (0.8, False)]
)
def test_rows_lose_weight_and_the_start_counts_as_the_penalty_says(forgetting, bias):
    hs, ys, w_0 = 1 + normal(T, H), normal(T, O, seed=1), normal(H, O, seed=2)
    rls = online.recursive_least_squares(0.5, forgetting=forgetting, bias=bias)
    states, guesses = fitted(rls, hs, ys, jrnn.LinearParams(w_0, jnp.zeros(O)))
    for t in (2, T):
        w, b = weighted(*map(np.asarray, (hs[:t], ys[:t])), 0.5, forgetting, bias, w_0)
        np.testing.assert_allclose(states.readout.w[t - 1], w, atol=1e-10)
        np.testing.assert_allclose(states.readout.b[t - 1], b, atol=1e-10)
    before = hs[-1] @ states.readout.w[-2] + states.readout.b[-2]
    np.testing.assert_allclose(guesses[-1], before, atol=1e-12)


def test_p_is_the_inverse_and_symmetric_to_the_last_bit():
    hs, ys = normal(500, H) * jnp.array([[1.0, 30.0, 0.1, 3.0]]), normal(500, O, seed=1)
    rls = online.recursive_least_squares(1e-3, forgetting=0.98)
    p = np.asarray(jax.jit(lambda: fitted(rls, hs, ys)[0].p)())
    assert (p == p.transpose(0, 2, 1)).all()
    weight = 0.98 ** np.arange(500)[::-1, None]
    h = np.asarray(hs) - (weight * np.asarray(hs)).sum(axis=0) / weight.sum()
    inverse = h.T @ (weight * h) + 0.98**500 * 1e-3 * np.eye(H)
    np.testing.assert_allclose(p[-1] @ inverse, np.eye(H), atol=1e-9)


@pytest.mark.slow
def test_its_numbers_may_be_traced_and_batched_and_keep_their_type():
    hs, ys = normal(3, T, H), normal(3, T, O, seed=1)
    numbers = jnp.array([0.1, 1.0, 9.0]), jnp.array([1.0, 0.9, 0.5])

    def run(penalty, forgetting, hs, ys):
        rls = online.recursive_least_squares(penalty, forgetting=forgetting)
        return fitted(rls, hs, ys)[0].readout

    got = jax.jit(jax.vmap(run))(*numbers, hs, ys)
    alone = run(*(float(a[1]) for a in numbers), hs[1], ys[1])
    np.testing.assert_allclose(got.w[1], alone.w, atol=1e-12)
    single = run(0.1, 0.9, hs[0].astype(jnp.float32), ys[0].astype(jnp.float32))
    assert single.w.dtype == single.b.dtype == jnp.float32
    np.testing.assert_allclose(single.w, run(0.1, 0.9, hs[0], ys[0]).w, atol=1e-4)


# FORCE


def network(cell, inputs=3, seed=0):
    net = jrnn.feedback(jrnn.stack(cell, jrnn.linear(O)))
    params = net.init(jax.random.key(seed), (jnp.zeros(inputs), jnp.zeros(O)))
    leaves, tree = jax.tree.flatten(params)
    moved = [p + 0.3 * normal(*p.shape, seed=n) for n, p in enumerate(leaves)]
    return net, tree.unflatten(moved)


def learnt(learner, start, xs, targets, learn, loop):
    def step(state, inputs):
        x, target, on = inputs
        state, y = learner.step(state, x, target, learn=on)
        return state, (state, y)

    return loop(step, start, (xs, targets, learn))[1]


@pytest.mark.parametrize(
    "loop", [jrnn.scan, pytest.param(jax.lax.scan, marks=pytest.mark.slow)]
)
def test_force_is_the_loop_of_the_paper(loop):
    """In NumPy, with a solution of the equations at every step in place of P."""
    _, params = network(jrnn.leaky(H, tau=4.0, dt=1.0))
    (w_x, w_h, b), (w, _) = jax.tree.map(np.asarray, params.cell)
    params = params._replace(cell=(params.cell[0], jrnn.LinearParams(w, jnp.zeros(O))))
    xs, targets = np.asarray(normal(T, 3)), np.asarray(normal(T, O, seed=1))
    learn = np.arange(T) % 3 != 1
    h, z, w_0 = np.zeros(H), np.asarray(params.y), w
    rows, ys, ws = [], [], []
    for x, target, on in zip(xs, targets, learn, strict=True):
        h = 0.75 * h + 0.25 * np.tanh(np.concatenate([x, z]) @ w_x + h @ w_h + b)
        ys.append(h @ w)
        if on:
            rows.append((h, target))
            r, f = map(np.array, zip(*rows, strict=True))
            w = np.linalg.solve(r.T @ r + 2 * np.eye(H), r.T @ f + 2 * w_0)
        z = h @ w
        ws.append(w)
    learner = online.force(jrnn.leaky(H, tau=4.0, dt=1.0), 2.0)
    start = learner.init(params)
    run = lambda: learnt(learner, start, xs, targets, learn, loop)
    states, got = jax.jit(run)()
    np.testing.assert_allclose(got, ys, atol=1e-10)
    np.testing.assert_allclose(states.params.cell[1].w, ws, atol=1e-10)


CELLS = {
    "lstm": jrnn.lstm(H),
    "dropout": jrnn.dropout(jrnn.gru(H), 0.5),
    "two layers": jrnn.stack(jrnn.elman(3), jrnn.echo_state(H)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_any_cell_runs_as_its_network_until_it_learns(name):
    net, params = network(CELLS[name])
    learner = online.force(CELLS[name], 0.5, bias=True)
    x, target, keys = normal(3), normal(O, seed=1), jax.random.split(jax.random.key(0))
    state = learner.init(params)
    carry = net.initial_carry(params)
    own, free = jax.jit(net.step), jax.jit(learner.step)
    for key in keys:
        with jax.debug_key_reuse(False):  # the same key for both is the point
            carry, expected = own(params, carry, (x, None), key=key)
            state, y = free(state, x, target, learn=False, key=key)
        np.testing.assert_allclose(y, expected, atol=1e-14)
    assert jax.tree.structure(state.params) == jax.tree.structure(params)
    np.testing.assert_allclose(carry.y, state.carry.y, atol=1e-14)
    state, _ = free(state, x, target, learn=True, key=jax.random.key(1))
    np.testing.assert_allclose(state.carry.y, target, atol=1e-12)  # the bias says it
    same = jax.tree.map(jnp.array_equal, state.params.cell[0], params.cell[0])
    assert all(jax.tree.leaves(same))


def test_a_given_carry_is_where_it_starts():
    net, params = network(jrnn.elman(H))
    learner, x = online.force(jrnn.elman(H)), normal(3)
    carry = net.step(params, net.initial_carry(params), (x, None))[0]
    _, got = learner.step(learner.init(params, carry), x, jnp.ones(O))
    np.testing.assert_allclose(got, net.step(params, carry, (x, None))[1], atol=1e-14)


ERRORS = {
    "penalty": (
        lambda: online.recursive_least_squares(0.0),
        "recursive_least_squares: penalty must be a number above 0, got 0.0.",
    ),
    "forgetting": (
        lambda: online.force(jrnn.elman(H), forgetting=1.5),
        "force: forgetting must be in (0, 1], got 1.5.",
    ),
    "many rows": (
        lambda: online.recursive_least_squares(1.0).init(normal(T, H), normal(O)),
        "recursive_least_squares: h must have shape (H,), one row, got (31, 4). Use "
        "jax.lax.scan for rows of a stream",
    ),
    "another size": (
        lambda: online.recursive_least_squares(1.0).step(
            online.recursive_least_squares(1.0).init(normal(H), normal(O)),
            normal(H),
            normal(3),
        ),
        "recursive_least_squares: y must have shape (2,), one row, got (3,).",
    ),
    "no state": (
        lambda: online.recursive_least_squares(1.0).step((), normal(H), normal(O)),
        "recursive_least_squares: the state must be LeastSquares, got tuple. It comes",
    ),
    "no cell": (lambda: online.force(jrnn.elman), "force: expected a cell, got"),
    "another network": (
        lambda: online.force(jrnn.elman(H)).init(
            jrnn.FeedbackParams(network(jrnn.elman(H))[1].cell[0], jnp.zeros(O))
        ),
        "force: params must be those of feedback(stack(cell, linear(O))), which has "
        "(cell, LinearParams) inside, got ElmanParams.",
    ),
    "no state of force": (
        lambda: online.force(jrnn.elman(H)).step((), normal(3), normal(O)),
        "force: the state must be ForceState, got tuple. It comes from init(params)",
    ),
    "target": (
        lambda: online.force(jrnn.elman(H)).step(
            online.force(jrnn.elman(H)).init(network(jrnn.elman(H))[1]),
            normal(3),
            normal(3),
        ),
        "force: the target must have shape (2,), that of y, got (3,).",
    ),
    "learn": (
        lambda: online.force(jrnn.elman(H)).step(
            online.force(jrnn.elman(H)).init(network(jrnn.elman(H))[1]),
            normal(3),
            normal(O),
            learn=1,
        ),
        "force: learn must be boolean, got",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, message = ERRORS[name]
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        call()
