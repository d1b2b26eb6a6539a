"""Gradients carried forward: against backpropagation, by hand, and on average."""

import functools
import itertools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, T, example, new_key
from scipy import sparse

import jrnn
from jrnn import online
from jrnn.online._dependence import columns_of, dependence
from jrnn.online._pattern import layout

# Of the crossing with all cases, what the short suite runs: a plain cell, complex
# states, fields of two sizes in a model, and a first carry that is learnt.
SHORT = ["elman", "lru", "learned_carry", "masked"]


def crossed(names):
    return [pytest.param(n, marks=[pytest.mark.slow] * (n not in SHORT)) for n in names]


def close(got, expected, tolerance=1e-10):
    chex.assert_trees_all_equal_shapes_and_dtypes(got, expected)
    chex.assert_trees_all_close(got, expected, rtol=tolerance, atol=tolerance)


def step_loss(y, scale):
    """A scalar in which every entry of an output counts differently, and not evenly."""
    leaves = [a for a in jax.tree.leaves(y) if jnp.issubdtype(a.dtype, jnp.floating)]
    weigh = lambda a: jnp.cos(jnp.arange(1.0, a.size + 1)).reshape(a.shape) * a
    return scale * sum((weigh(a) + 0.5 * a * a).sum() for a in leaves)


SCALES = jnp.arange(1.0, T + 1)


def at(xs, t):
    return jax.tree.map(lambda a: a[t], xs)


def keys_of(key):
    return (None, None) if key is None else jax.random.split(key)


def stream(algorithm, params, xs, scales, key=None):
    """The gradient over a whole sequence from the initial carry, carried forward."""
    carry_key, step_key = keys_of(key)
    carry, influence = algorithm.init(params, at(xs, 0), key=carry_key)
    return online.accumulate(
        algorithm, params, carry, influence, xs, scales, step_loss, key=step_key
    )


def backward(cell, params, xs, scales, key=None):
    """The same by `jax.grad` through a plain loop."""

    def total(params):
        carry_key, step_key = keys_of(key)
        keys = None if key is None else jax.random.split(step_key, len(scales))
        carry = cell.initial_carry(params, key=carry_key)

        def step(carry, inputs):
            x, scale, key = inputs
            carry, y = cell.step(params, carry, x, key=key)
            return carry, step_loss(y, scale)

        return jax.lax.scan(step, carry, (xs, scales, keys))[1].sum()

    return jax.value_and_grad(total)(params)


@functools.cache
def exact_of(name):
    ex = example(name)
    with jax.debug_key_reuse(False):
        return jax.jit(functools.partial(backward, ex.cell))(
            ex.params, ex.xs, SCALES, new_key(ex.case)
        )


def found_by(make, name):
    ex = example(name)
    return jax.jit(functools.partial(stream, make(ex.cell)))(
        ex.params, ex.xs, SCALES, new_key(ex.case)
    )


# RTRL


@pytest.mark.parametrize("name", crossed(CASES))
def test_rtrl_is_the_gradient_of_the_unrolled_loss(name):
    found = found_by(online.rtrl, name)
    value, expected = exact_of(name)
    close(found.gradient, expected)
    close(found.losses.sum(), value)


def elman_influence(params, xs):
    """dh_T/d(w_x, w_h, b) in NumPy, by the equations of Williams and Zipser (1989)."""
    w_x, w_h, b = map(np.asarray, params)
    n, h = len(b), np.zeros(len(b))
    p = [np.zeros((n, *w.shape)) for w in (w_x, w_h, b)]  # p[k, i, j] = dh_k/dw_ij
    for x in np.asarray(xs):
        new = np.tanh(x @ w_x + h @ w_h + b)
        own = [np.zeros_like(a) for a in p]  # how a weight acts on its own unit
        for k in range(n):
            own[0][k, :, k], own[1][k, :, k], own[2][k, k] = x, h, 1
        slope = (1 - new * new)[:, None]
        p = [
            (slope * ((w_h.T @ a.reshape(n, -1)) + o.reshape(n, -1))).reshape(a.shape)
            for a, o in zip(p, own, strict=True)
        ]
        h = new
    return p


def test_the_influence_of_rtrl_is_that_of_the_paper():
    ex = example("elman")
    found = found_by(online.rtrl, "elman")
    for got, expected in zip(
        found.influence, elman_influence(ex.params, ex.xs), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


DIAGONAL = ["diagonal", "indrnn", "min_gru", "min_lstm", "sru", "qrnn", "lru", "s5"]


@pytest.mark.parametrize("name", DIAGONAL)
def test_the_influence_of_a_diagonal_cell_is_no_larger_than_its_parameters(name):
    ex = example(name)
    _, influence = jax.eval_shape(
        lambda p: online.rtrl(ex.cell).init(p, at(ex.xs, 0)), ex.params
    )
    complex_state = 2 if name in ("lru", "s5") else 1
    rows = {a.shape[0] for a in jax.tree.leaves(influence)}
    assert rows <= {0, complex_state} and complex_state in rows


def delay_line():
    """A weight acts on the first of three places, and is heard from the last."""

    def step(p, carry, x, *, key=None):
        first, second, _ = jnp.unstack(carry)
        new = jnp.stack([p * x, first, second])
        return new, new[2]

    return jrnn.Cell(
        lambda key, x: jnp.ones((), x.dtype),
        lambda p, *, key=None: jnp.zeros(3, p.dtype),
        step,
    )


@pytest.mark.parametrize(
    ("make", "heard"),
    [
        (online.rtrl, True),
        (functools.partial(online.snap, order=3), True),
        (functools.partial(online.snap, order=2), False),
    ],
    ids=["rtrl", "snap-3", "snap-2"],
)
def test_a_delay_line_of_three_places_takes_three_steps(make, heard):
    xs, one = jnp.array([1.0, 2.0, 4.0, 8.0, 16.0]), jnp.ones(5)
    gradient = stream(make(delay_line()), jnp.array(1.0), xs, one).gradient
    # y_t = p x_{t-2}, and the loss of a number y is y + y^2 / 2 times cos 1
    expected = sum(np.cos(1) * x + x * x for x in (1, 2, 4))
    assert gradient == pytest.approx(expected if heard else 0.0)


def test_layers_on_top_do_not_reach_those_below():
    cell = jrnn.stack(jrnn.gru(3), jrnn.elman(2), jrnn.linear(4))
    x = jnp.zeros(5)
    params = cell.init(jax.random.key(0), x)
    _, influence = online.rtrl(cell).init(params, x)
    rows = [{a.shape[0] for a in jax.tree.leaves(layer)} for layer in influence]
    assert rows == [{5}, {2}, {0}]


# SnAp


@pytest.mark.parametrize("name", crossed(CASES))
def test_snap_of_many_steps_is_rtrl(name):
    make = functools.partial(online.snap, order=20)
    close(found_by(make, name).gradient, exact_of(name)[1])


@pytest.mark.parametrize("name", DIAGONAL)
def test_snap_of_one_step_is_exact_where_the_jacobian_is_diagonal(name):
    close(found_by(online.snap, name).gradient, exact_of(name)[1])


def with_diagonal_weight(name):
    ex = example(name)
    w_h = ex.params.w_h
    blocks = jnp.split(w_h, w_h.shape[1] // len(w_h), axis=1)
    diagonal = [jnp.diag(jnp.diag(block)) for block in blocks]
    return ex.cell, ex.params._replace(w_h=jnp.concatenate(diagonal, 1)), ex.xs


@pytest.mark.parametrize("name", ["elman", "gru"])
def test_snap_of_one_step_is_exact_with_a_diagonal_recurrent_weight(name):
    cell, params, xs = with_diagonal_weight(name)
    found = jax.jit(functools.partial(stream, online.snap(cell)))(params, xs, SCALES)
    _, expected = jax.jit(functools.partial(backward, cell))(params, xs, SCALES)
    close(found.gradient, expected)


def elman_snap(params, xs, scales):
    """SnAp-1 of a tanh network in NumPy: of each weight, its own unit alone."""
    w_x, w_h, b = map(np.asarray, params)
    h, weigh = np.zeros(len(b)), np.cos(np.arange(1, len(b) + 1))
    p = [np.zeros_like(w) for w in (w_x, w_h, b)]
    gradient = [np.zeros_like(w) for w in p]
    for x, scale in zip(np.asarray(xs), np.asarray(scales), strict=True):
        new = np.tanh(x @ w_x + h @ w_h + b)
        own = x[:, None], h[:, None], 1.0
        p = [(1 - new**2) * (np.diag(w_h) * a + o) for a, o in zip(p, own, strict=True)]
        h = new
        gradient = [
            g + scale * (weigh + h) * a for g, a in zip(gradient, p, strict=True)
        ]
    return gradient


def test_snap_of_one_step_is_that_of_the_paper():
    ex = example("elman")
    found = found_by(online.snap, "elman")
    expected = elman_snap(ex.params, ex.xs, SCALES)
    for got, value in zip(found.gradient, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "rows"), [("elman", 1), ("gru", 1), ("lstm", 2), ("gru-before", 4)]
)
def test_snap_of_one_step_keeps_of_a_weight_its_own_unit(name, rows):
    ex = example(name)
    _, influence = online.snap(ex.cell).init(ex.params, at(ex.xs, 0))
    assert max(a.shape[0] for a in influence) == rows


# e-prop


def lstm_eprop(params, xs, scales):
    """Equations 1, 13 and 14 of Bellec et al. (2020) for an LSTM, in NumPy."""
    w_x, w_h, b = map(np.asarray, params)
    n = len(b) // 4
    h, c = np.zeros(n), np.zeros(n)
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    weigh = np.cos(np.arange(1, n + 1))
    eps = [np.zeros((len(w), 4, n)) for w in (w_x, w_h, b[None])]
    gradient = [np.zeros_like(e) for e in eps]
    for x, scale in zip(np.asarray(xs), np.asarray(scales), strict=True):
        i, f, g, o = np.split(x @ w_x + h @ w_h + b, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new = f * c + i * g
        of_c = np.stack([g * i * (1 - i), c * f * (1 - f), i * (1 - g**2), 0 * o])
        of_h = np.stack([0 * o, 0 * o, 0 * o, np.tanh(new) * o * (1 - o)])
        before = x, h, np.ones(1)
        eps = [
            f * e + a[:, None, None] * of_c for e, a in zip(eps, before, strict=True)
        ]
        traces = [
            o * (1 - np.tanh(new) ** 2) * e + a[:, None, None] * of_h
            for e, a in zip(eps, before, strict=True)
        ]
        h, c = o * np.tanh(new), new
        signal = scale * (weigh + h)  # L_t = dL_t/dh_t
        gradient = [g + signal * e for g, e in zip(gradient, traces, strict=True)]
    return [g.reshape(len(g), -1) for g in gradient]


def test_eprop_of_an_lstm_is_that_of_the_paper():
    ex = example("lstm")
    found = found_by(online.eprop, "lstm")
    w_x, w_h, b = lstm_eprop(ex.params, ex.xs, SCALES)
    for got, value in zip(found.gradient, (w_x, w_h, b[0]), strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-10, atol=1e-12)


def gru_eprop(params, xs, scales):
    """A trace eps_t = z_t eps_{t-1} + dh_t/dtheta and L_t = dL_t/dh_t, in NumPy."""
    w_x, w_h, b_x, b_h = map(np.asarray, params)
    h, weigh = np.zeros(len(w_h)), np.cos(np.arange(1, len(w_h) + 1))
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    eps = [np.zeros((n, 3, len(h))) for n in (len(w_x), len(w_h), 1, 1)]
    gradient = [np.zeros_like(e) for e in eps]
    for x, scale in zip(np.asarray(xs), np.asarray(scales), strict=True):
        r_x, z_x, n_x = np.split(x @ w_x + b_x, 3)
        r_h, z_h, n_h = np.split(h @ w_h + b_h, 3)
        r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
        n = np.tanh(n_x + r * n_h)
        d_n, d_z = (1 - z) * (1 - n * n), (h - n) * z * (1 - z)
        d_r = d_n * n_h * r * (1 - r)
        of_x, of_h = np.stack([d_r, d_z, d_n]), np.stack([d_r, d_z, d_n * r])
        one = np.ones(1)
        pairs = (x, of_x), (h, of_h), (one, of_x), (one, of_h)
        eps = [
            z * e + a[:, None, None] * d for e, (a, d) in zip(eps, pairs, strict=True)
        ]
        h = (1 - z) * n + z * h
        signal = scale * (weigh + h)
        gradient = [g + signal * e for g, e in zip(gradient, eps, strict=True)]
    return [np.squeeze(g.reshape(len(g), -1)) for g in gradient]


def test_eprop_of_a_gru_keeps_what_its_update_gate_keeps():
    ex = example("gru")
    found = found_by(online.eprop, "gru")
    expected = gru_eprop(ex.params, ex.xs, SCALES)
    for got, value in zip(found.gradient, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-10, atol=1e-12)


def stacked(size_of_h):
    """An LSTM under a GRU under a readout, whose recurrent weights are scaled."""
    cell = jrnn.stack(jrnn.lstm(4), jrnn.gru(3), jrnn.linear(2))
    xs = jnp.asarray(np.random.default_rng(3).normal(size=(T, 2)))
    params = cell.init(jax.random.key(1), xs[0])
    scaled = [
        layer._replace(w_h=size_of_h * layer.w_h) if "w_h" in layer._fields else layer
        for layer in params
    ]
    return cell, tuple(scaled), xs


@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "leaky"])
def test_eprop_is_exact_without_recurrent_weights(name):
    ex = example(name)
    params = ex.params._replace(w_h=jnp.zeros_like(ex.params.w_h))
    found = jax.jit(functools.partial(stream, online.eprop(ex.cell)))(
        params, ex.xs, SCALES
    )
    _, expected = jax.jit(functools.partial(backward, ex.cell))(params, ex.xs, SCALES)
    close(found.gradient, expected)


@pytest.mark.parametrize("name", DIAGONAL)
def test_eprop_is_exact_for_a_diagonal_cell(name):
    close(found_by(online.eprop, name).gradient, exact_of(name)[1])


def test_eprop_hears_the_loss_through_layers_above():
    """Exact for the first layer but for what the second remembers of it."""
    cell, params, xs = stacked(0.0)
    # the update gate of the second layer is open: it remembers nothing
    second = params[1]
    params = params[0], second._replace(b_h=second.b_h.at[3:6].add(-60)), params[2]
    found = jax.jit(functools.partial(stream, online.eprop(cell)))(params, xs, SCALES)
    _, expected = jax.jit(functools.partial(backward, cell))(params, xs, SCALES)
    close(found.gradient, expected)


@pytest.mark.parametrize(
    ("name", "rows"), [("lstm", 1), ("gru", 1), ("elman", 0), ("lru", 2)]
)
def test_eprop_keeps_a_trace_of_what_a_unit_keeps(name, rows):
    ex = example(name)
    _, trace = online.eprop(ex.cell).init(ex.params, at(ex.xs, 0))
    assert max(a.shape[0] for a in trace) == rows


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("make", [online.snap, online.eprop], ids=["snap", "eprop"])
def test_every_cell_runs(make, name):
    """Right in the last layer, which nothing approximates, and finite everywhere."""
    found = found_by(make, name)
    close(found.losses.sum(), exact_of(name)[0])
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(found.gradient))


# UORO


@functools.cache
def uoro_draws(name, number):
    ex = example(name)
    algorithm = online.uoro(ex.cell)
    one = lambda key: stream(algorithm, ex.params, ex.xs, SCALES, key).gradient
    keys = jax.random.split(jax.random.key(5), number)
    with jax.debug_key_reuse(False):  # it misreads a scan over keys under vmap
        return jax.jit(jax.vmap(one))(keys)


@pytest.mark.parametrize("name", ["gru", "learned_carry"])
def test_uoro_is_right_on_average(name):
    """The mean of n draws is off from the exact gradient by its standard error.

    z = (mean - exact) / (std / sqrt(n)) of each entry has mean square 1. Entries depend
    on each other: over 20 keys the largest |z| was between 1.1 and 3.7, the mean square
    between 0.3 and 2.2. All standard errors together are 2 to 3 % of the gradient, so
    that a bias of a tenth of it is far outside.
    """
    number = 4000
    draws, (_, exact) = uoro_draws(name, number), exact_of(name)
    flat = lambda tree, n: np.concatenate(
        [np.asarray(a).reshape(*n, -1) for a in jax.tree.leaves(tree)], axis=-1
    )
    draws, exact = flat(draws, (number,)), flat(exact, ())
    random = draws.std(axis=0) > 1e-12 * np.abs(exact).max()
    np.testing.assert_allclose(draws[0, ~random], exact[~random], rtol=1e-9, atol=1e-12)
    error = draws.std(axis=0)[random] / np.sqrt(number)
    z = (draws.mean(axis=0) - exact)[random] / error
    assert random.sum() > 40
    assert np.abs(z).max() < 5 and np.square(z).mean() < 3
    assert np.linalg.norm(error) < 0.04 * np.linalg.norm(exact)


def test_uoro_carries_two_vectors_whose_product_has_rank_one():
    ex = example("gru")
    found = jax.jit(functools.partial(stream, online.uoro(ex.cell)))(
        ex.params, ex.xs, SCALES, jax.random.key(0)
    )
    assert found.influence.state.shape == (4,)
    chex.assert_trees_all_equal_shapes(found.influence.params, ex.params)


# KF-RTRL


def all_numbers(tree, *lead):
    """The arrays of a tree as one, behind some leading axes."""
    leaves = [np.asarray(a).reshape(*lead, -1) for a in jax.tree.leaves(tree)]
    return np.concatenate(leaves, axis=-1)


def two_layers():
    """A GRU under an Elman network: three sums, of which one is in a layer above."""
    cell = jrnn.stack(jrnn.gru(3), jrnn.elman(2), jrnn.linear(2))
    xs = jnp.asarray(np.random.default_rng(11).normal(size=(T, 2)))
    params = cell.init(jax.random.key(1), xs[0])
    return cell, jax.tree.map(lambda p: p + 0.1 * jnp.cos(p), params), xs


@pytest.mark.parametrize(
    "name", ["elman", pytest.param("lstm", marks=pytest.mark.slow)]
)
def test_kf_rtrl_is_exact_while_the_influence_is_one_product(name):
    """Of the first loss and the second one, whatever the signs."""
    ex = example(name)
    xs, scales = ex.xs[:2], SCALES[:2]
    found = jax.jit(functools.partial(stream, online.kf_rtrl(ex.cell)))(
        ex.params, xs, scales, jax.random.key(3)
    )
    _, expected = jax.jit(functools.partial(backward, ex.cell))(ex.params, xs, scales)
    close(found.gradient, expected)


@functools.cache
def draws_of_two_layers(make, number):
    cell, params, xs = two_layers()
    one = lambda key: stream(make(cell), params, xs, SCALES, key).gradient
    keys = jax.random.split(jax.random.key(5), number)
    with jax.debug_key_reuse(False):  # it misreads a scan over keys under vmap
        return all_numbers(jax.jit(jax.vmap(one))(keys), number)


@pytest.mark.slow
def test_kf_rtrl_is_right_on_average():
    """As in `test_uoro_is_right_on_average`, of a stack of two layers."""
    number = 4000
    cell, params, xs = two_layers()
    draws = draws_of_two_layers(online.kf_rtrl, number)
    exact = all_numbers(
        jax.jit(functools.partial(backward, cell))(params, xs, SCALES)[1]
    )
    random = draws.std(axis=0) > 1e-12 * np.abs(exact).max()
    np.testing.assert_allclose(draws[0, ~random], exact[~random], rtol=1e-9, atol=1e-12)
    error = draws.std(axis=0)[random] / np.sqrt(number)
    z = (draws.mean(axis=0) - exact)[random] / error
    assert random.sum() > 60 and np.abs(z).max() < 5 and np.square(z).mean() < 3
    assert np.linalg.norm(error) < 0.02 * np.linalg.norm(exact)


@pytest.mark.slow
def test_kf_rtrl_has_less_noise_than_uoro():
    noise = [
        np.linalg.norm(draws_of_two_layers(make, 4000).std(axis=0))
        for make in (online.kf_rtrl, online.uoro)
    ]
    assert noise[0] < 0.7 * noise[1]


# Streams


def gru_stream(steps=12):
    cell = jrnn.stack(jrnn.gru(3), jrnn.linear(2))
    xs = jnp.asarray(np.random.default_rng(8).normal(size=(steps, 2)))
    return cell, cell.init(jax.random.key(1), xs[0]), xs, jnp.ones(steps)


# the longest to compile is run in the whole suite only
def made_by(makers):
    marks = lambda name: [pytest.mark.slow] * (name == "kf_rtrl")
    return [pytest.param(makers[n], id=n, marks=marks(n)) for n in makers]


MAKERS = {
    "rtrl": online.rtrl,
    "snap": online.snap,
    "eprop": online.eprop,
    "uoro": online.uoro,
    "kf_rtrl": online.kf_rtrl,
}


@pytest.mark.parametrize("make", made_by(MAKERS))
def test_a_stream_goes_on_where_it_was_left(make):
    cell, params, xs, scales = gru_stream()
    algorithm, keys = make(cell), jax.random.split(jax.random.key(2), 12)
    step = jax.jit(
        lambda carry, influence, x, key: algorithm.step(
            params, carry, influence, x, lambda y: step_loss(y, 1.0), key=key
        )
    )
    carry, influence = algorithm.init(params, xs[0])
    gradients = []
    for x, key in zip(xs, keys, strict=True):
        made = step(carry, influence, x, key)
        carry, influence = made.carry, made.influence
        gradients.append(made.gradient)
    total = jax.tree.map(lambda *g: sum(g), *gradients)
    start = algorithm.init(params, xs[0])
    whole = jax.jit(
        lambda carry, influence: online.accumulate(
            algorithm,
            params,
            carry,
            influence,
            xs,
            scales,
            step_loss,
            key=jax.random.key(2),
        )
    )(*start)
    close(whole.gradient, total)
    close((whole.carry, whole.influence), (carry, influence))
    close(whole.ys[-1], made.y)


@pytest.mark.parametrize("make", made_by(MAKERS))
def test_a_batch_of_streams_is_the_streams(make):
    cell, params, xs, scales = gru_stream()
    batch = jnp.stack([xs, 2 * xs, -xs])
    keys = jax.random.split(jax.random.key(3), 3)
    one = functools.partial(stream, make(cell), params)
    with jax.debug_key_reuse(False):  # it misreads a scan over keys under vmap
        together = jax.jit(jax.vmap(lambda xs, key: one(xs, scales, key)))(batch, keys)
    alone = jax.jit(lambda xs, key: one(xs, scales, key))
    for n in range(3):
        close(at(together, n), alone(batch[n], keys[n]))


def test_a_carry_that_is_given_is_a_constant():
    ex = example("learned_carry")
    algorithm = online.rtrl(ex.cell)
    given = jax.tree.map(lambda c: c + 0.3, ex.params.carry)
    carry, influence = algorithm.init(ex.params, at(ex.xs, 0), given)
    close(carry, given)
    assert all((a == 0).all() for a in jax.tree.leaves(influence))
    found = online.accumulate(
        algorithm, ex.params, carry, influence, ex.xs, SCALES, step_loss
    )
    assert all((g == 0).all() for g in found.gradient.carry)
    assert (found.gradient.cell.w_h != 0).all()


def test_parameters_may_change_between_steps():
    """A stream learns: the influence is that of the parameters as they were."""
    cell, params, xs, _ = gru_stream(60)
    algorithm = online.rtrl(cell)

    def step(state, x):
        params, carry, influence = state
        made = algorithm.step(
            params, carry, influence, x, lambda y: jnp.square(y - 0.7).sum()
        )
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, made.gradient)
        return (params, made.carry, made.influence), made.loss

    start = params, *algorithm.init(params, xs[0])
    losses = jax.jit(lambda start: jax.lax.scan(step, start, xs)[1])(start)
    assert losses[-10:].mean() < 0.2 * losses[:10].mean()


def temporary_bytes(steps):
    cell, params, _, _ = gru_stream(2)
    algorithm = online.rtrl(cell)

    def learn(params, xs, scales):
        carry, influence = algorithm.init(params, xs[0])
        return online.accumulate(
            algorithm, params, carry, influence, xs, scales, step_loss
        ).gradient

    xs = jax.ShapeDtypeStruct((steps, 2), jnp.float64)
    scales = jax.ShapeDtypeStruct((steps,), jnp.float64)
    compiled = jax.jit(learn).lower(params, xs, scales).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_memory_does_not_grow_with_the_stream():
    """But for the outputs and losses of all steps, 24 bytes of each, unused here."""
    short, long = temporary_bytes(1000), temporary_bytes(10000)
    assert long - short <= 24 * 9000
    assert short < 24 * 1000 + 20_000


# What may differ from zero


def test_dependence_of_products_moves_and_sums_is_that_of_their_jacobians():
    w = jnp.asarray(np.random.default_rng(4).normal(size=(3, 4)))

    def function(h, w):
        a, b = jnp.split(jnp.tanh(h @ w), 2)
        c = jnp.concatenate([a[::-1] * b, h[1:, None].T.ravel()])
        batched = jnp.einsum("bi,bij->bj", w[:2, :2], w.T.reshape(2, 2, 3))
        return [c, batched.sum(axis=0), jax.nn.relu(w).max(axis=1), h > 0]

    h = jnp.array([0.3, -0.2, 0.5])
    found = dependence(function, [h, w]).expanded().toarray()
    flat = lambda h, w: jnp.concatenate(
        [jnp.asarray(a, float).ravel() for a in function(h, w)]
    )
    jacobian = jnp.concatenate(
        [
            j.reshape(-1, a.size)
            for j, a in zip(jax.jacobian(flat, (0, 1))(h, w), (h, w), strict=True)
        ],
        axis=1,
    )
    maxima = slice(7, 10)  # of a row: any of its entries may be the largest
    rest = np.delete(np.arange(len(found)), np.arange(7, 10))
    np.testing.assert_array_equal(found[rest], np.asarray(jacobian != 0)[rest])
    assert found[maxima, 3:].sum() == 12 and not found[maxima, :3].any()


def test_what_is_unknown_is_taken_to_mix_everything():
    found = dependence(lambda a: [jnp.sort(a), jax.lax.stop_gradient(a)], [jnp.ones(3)])
    found = found.expanded().toarray()
    np.testing.assert_array_equal(found, [[True] * 3] * 3 + [[False] * 3] * 3)


@pytest.mark.parametrize("seed", range(5))
def test_a_row_never_holds_two_entries_that_share_a_parameter(seed):
    rng = np.random.default_rng(seed)
    kept = sparse.csr_matrix(rng.random((6, 20)) < 0.2)
    jacobian = sparse.csr_matrix(rng.random((6, 6)) < 0.3)
    where = layout(jacobian, columns_of(kept), [(4, 2), (3, 4)])
    starts = itertools.accumulate([0, 8])
    for rows, shape, start in zip(where.rows, [(4, 2), (3, 4)], starts, strict=True):
        units = np.broadcast_to(rows.units, (len(rows.seeds), *shape))
        units = units.reshape(len(rows.seeds), -1)
        for column in range(units.shape[1]):
            own = [u for u in units[:, column] if u < 6]
            expected = np.flatnonzero(kept.toarray()[:, start + column])
            assert sorted(own) == expected.tolist()
    assert (where.seeds.sum(axis=0) == jacobian.toarray().any(axis=1)).all()


# Errors


def step_of(make, params=None, loss=jnp.sum, influence=None, key=None):
    cell, own, xs, _ = gru_stream()
    algorithm = make(cell)
    carry, start = algorithm.init(own, xs[0])
    influence = start if influence is None else influence(start)
    params = own if params is None else params(own)
    return jax.eval_shape(
        lambda: algorithm.step(params, carry, influence, xs[0], loss, key=key)
    )


def start_of(name):
    ex = example(name)
    return online.kf_rtrl(ex.cell).init(ex.params, at(ex.xs, 0))


ERRORS = {
    "rtrl: expected a cell, got type. Call it": lambda: online.rtrl(int),
    "snap: order must be a positive integer, got 0": lambda: online.snap(
        jrnn.gru(2), 0
    ),
    "rtrl: the model, by its bidirectional, reads the whole": lambda: online.rtrl(
        jrnn.bidirectional(jrnn.gru(2), jrnn.gru(2))
    ),
    "rtrl: loss must return a scalar, got shape (2,)": lambda: step_of(
        online.rtrl, loss=lambda y: y
    ),
    "snap: loss must return a scalar, got shape (2,)": lambda: step_of(
        online.snap, loss=lambda y: y
    ),
    "eprop: loss must return a scalar, got shape (2,)": lambda: step_of(
        online.eprop, loss=lambda y: y
    ),
    "uoro: loss must return a scalar, got shape (2,)": lambda: step_of(
        online.uoro, loss=lambda y: y, key=jax.random.key(0)
    ),
    "uoro: needs a key for every step": lambda: step_of(online.uoro),
    "uoro: the initial carry of this cell depends": lambda: online.uoro(
        example("learned_carry").cell
    ).init(example("learned_carry").params, jnp.zeros(2)),
    "rtrl: params must consist of real floating-point arrays, got int": lambda: step_of(
        online.rtrl, params=lambda p: jax.tree.map(lambda a: a.astype(int), p)
    ),
    "rtrl: influence must have leaves of shapes [(3, 2, 9)": lambda: step_of(
        online.rtrl, influence=lambda i: jax.tree.map(lambda a: a[:1], i)
    ),
    "kf_rtrl: loss must return a scalar, got shape (2,)": lambda: step_of(
        online.kf_rtrl, loss=lambda y: y, key=jax.random.key(0)
    ),
    "kf_rtrl: needs a key for every step": lambda: step_of(online.kf_rtrl),
    "kf_rtrl: influence must have leaves of shapes [(2,), (3,), (), (), (0,)": (
        lambda: step_of(
            online.kf_rtrl,
            influence=lambda i: i._replace(matrices=i.matrices[:1]),
            key=jax.random.key(0),
        )
    ),
    "kf_rtrl: the initial carry of this cell depends": lambda: start_of(
        "learned_carry"
    ),
    "kf_rtrl: params.u must reach the state by one product with a vector, or as a bias "
    "added to one, got mul. Take uoro": lambda: start_of("indrnn"),
    "kf_rtrl: params.w_h must reach the state by one product with a vector, or as a "
    "bias added to one, got split": lambda: start_of("gru-before"),
    "accumulate: targets must have 3 rows, one for each": lambda: online.accumulate(
        online.rtrl(jrnn.gru(2)), None, None, None, jnp.ones((3, 2)), jnp.ones(4), None
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_name_function_argument_and_fix(message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        ERRORS[message]()
