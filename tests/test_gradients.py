"""Gradient flow, Jacobians by lag, bounds, penalty and explicit BPTT against theory."""

import math
import re
import time
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jrnn
from jrnn import gradients, models
from jrnn.gradients import bptt, gradient_flow, lag_jacobians

T, I, H, O = 7, 2, 4, 3
identity = lambda a: a

# Compiling takes longest: one program for each cell, loss and shape, shared by tests.
LINEAR, TANH, LSTM = jrnn.elman(H, identity), jrnn.elman(H), jrnn.lstm(H)
flow_of = jax.jit(gradient_flow, static_argnums=(0, 3), static_argnames="vectors")
lags_of = jax.jit(lag_jacobians, static_argnums=0, static_argnames=("every", "part"))
steps_of = jax.jit(gradients.step_jacobians, static_argnums=0)
omega_of = jax.jit(gradients.omega, static_argnums=(0, 3))
omega_slope_of = jax.jit(
    jax.value_and_grad(gradients.omega, argnums=1), static_argnums=(0, 3)
)
squares = lambda ys: (ys**2).sum()
cell_state = lambda carry: carry.c


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def perturbed(cell, seed=3, scale=0.5):
    """Random parameters of the right form."""
    x = jax.ShapeDtypeStruct((I,), jnp.float64)
    specs = jax.eval_shape(lambda: cell.init(jax.random.key(0), x))
    rng = np.random.default_rng(seed)
    draw = lambda w: jnp.asarray(scale * rng.normal(size=w.shape), w.dtype)
    return jax.tree.map(draw, specs)


def orthogonal_net(g, size=H, dtype=np.float64):
    q = np.linalg.qr(np.random.default_rng(7).normal(size=(size, size)))[0]
    arrays = (np.ones((I, size)), g * q, np.full(size, 0.1))
    return jrnn.ElmanParams(*(jnp.asarray(a, dtype) for a in arrays))


def close(got, expected, tolerance=1e-12):
    chex.assert_trees_all_close(got, expected, rtol=tolerance, atol=tolerance)


# gradient_flow


def test_flow_of_a_linear_network_is_a_power_of_its_weight():
    v = np.random.default_rng(5).normal(size=H)
    params, xs = perturbed(LINEAR), normal(1, T, I)
    flow = flow_of(LINEAR, params, xs, lambda ys: ys[-1] @ v, vectors=True)
    w = np.asarray(params.w_h).T  # h_t = W h_{t-1} + ..., as in the paper
    powers = [np.linalg.matrix_power(w.T, T - t) @ v for t in range(1, T + 1)]
    close(flow.vectors, np.stack(powers))
    close(flow.norms, np.linalg.norm(powers, axis=1))


def two_layers(params, xs, h_probes, c_probes, g_probes):
    """An LSTM under a GRU, in a Python loop, each state moved by its probe."""
    lstm, gru, readout = params
    h = c = jnp.zeros(H)
    g, ys = jnp.zeros(3), []
    for t in range(len(xs)):
        z = xs[t] @ lstm.w_x + h @ lstm.w_h + lstm.b
        i, f, u, o = jnp.split(z, 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u) + c_probes[t]
        h = jax.nn.sigmoid(o) * jnp.tanh(c) + h_probes[t]
        r_x, z_x, n_x = jnp.split(h @ gru.w_x + gru.b_x, 3)
        r_h, z_h, n_h = jnp.split(g @ gru.w_h + gru.b_h, 3)
        n = jnp.tanh(n_x + jax.nn.sigmoid(r_x + r_h) * n_h)
        z = jax.nn.sigmoid(z_x + z_h)
        g = (1 - z) * n + z * g + g_probes[t]
        ys.append(g @ readout.w + readout.b)
    return jnp.stack(ys)


@pytest.mark.slow
def test_flow_sees_every_layer_and_field():
    model = jrnn.stack(jrnn.lstm(H), jrnn.gru(3), jrnn.linear(2))
    params, xs = perturbed(model), normal(1, T, I)
    loss = lambda ys: jnp.sin(ys).sum()
    flow = flow_of(model, params, xs, loss, vectors=True)
    probes = jnp.zeros((T, H)), jnp.zeros((T, H)), jnp.zeros((T, 3))
    value, expected = jax.jit(
        jax.value_and_grad(lambda probes: loss(two_layers(params, xs, *probes)))
    )(probes)
    lstm, gru, empty = flow.vectors
    close((flow.loss, lstm.h, lstm.c, gru), (value, *expected))
    assert empty == ()
    close(flow.norms[0].c, np.linalg.norm(expected[1], axis=1))


@pytest.mark.slow
def test_flow_with_a_key():
    cell = jrnn.dropout(TANH, 0.5)
    params, xs = perturbed(cell), normal(1, T, I)
    flow = flow_of(cell, params, xs, squares, key=jax.random.key(1))
    _, ys = jrnn.unroll(cell, params, xs, key=jax.random.key(1))
    close(flow.loss, squares(ys))
    assert flow.vectors is None and flow.loss != flow_of(TANH, params, xs, squares).loss


def test_flow_from_a_given_carry_with_a_field_without_a_derivative():
    def step(params, carry, x, *, key=None):  # counts its steps
        h, n = carry
        h = jnp.tanh(x @ params.w_x + h @ params.w_h + params.b)
        return (h, n + 1), h

    counter = jrnn.Cell(None, lambda params, *, key=None: (jnp.zeros(H), 0), step)
    params, xs, start = perturbed(TANH), normal(1, T, I), (normal(3, H), 5)
    flow = flow_of(counter, params, xs, squares, start, vectors=True)
    expected = flow_of(TANH, params, xs, squares, start[0], vectors=True)
    close(flow.vectors[0], expected.vectors)
    assert flow.norms[1] is None


def test_flow_where_the_carry_is_passed_on():
    """A probe of a carry that a step does not change acts from the next step on."""

    def step(params, carry, x, *, key=None):
        h, bias = carry
        h = jnp.tanh(h + x + bias)
        return (h, bias), h

    cell = jrnn.Cell(None, lambda params, *, key=None: (0.1, 0.2), step)
    xs = normal(1, T)
    flow = flow_of(cell, (), xs, lambda ys: ys.sum(), vectors=True)

    def loop(probes):
        h, bias, total = 0.1, 0.2, 0.0
        for t in range(T):
            h = jnp.tanh(h + xs[t] + bias)
            bias, total = bias + probes[t], total + h
        return total

    close(flow.vectors[1], jax.jit(jax.grad(loop))(jnp.zeros(T)))


def test_flow_under_vmap_over_networks_and_inputs_equals_a_loop():
    xs = normal(1, 3, T, I)
    params = [perturbed(TANH, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *params)
    norms = lambda p, x: gradient_flow(TANH, p, x, squares).norms
    got = jax.jit(jax.vmap(norms))(stacked, xs)
    for n in range(3):
        close(got[n], flow_of(TANH, params[n], xs[n], squares).norms)


def test_norms_are_right_where_their_squares_underflow():
    params, xs = orthogonal_net(0.1, dtype=np.float32), jnp.zeros((36, I), jnp.float32)
    norms = flow_of(LINEAR, params, xs, lambda ys: ys[-1, 0]).norms
    np.testing.assert_allclose(norms[0], 1e-35, rtol=1e-4)


def test_flow_of_10_000_steps_is_quick_and_small():
    steps, size = 10_000, 128
    cell = jrnn.elman(size)
    w_h = np.linalg.qr(np.random.default_rng(7).normal(size=(size, size)))[0]
    arrays = np.ones((I, size)), w_h, np.zeros(size)
    params = jrnn.ElmanParams(*(jnp.asarray(a, jnp.float32) for a in arrays))
    xs = normal(1, steps, I).astype(jnp.float32)
    lowered = flow_of.lower(cell, params, xs, lambda ys: ys[-1].sum())
    program = lowered.compile()
    memory = program.memory_analysis()
    if memory is not None:
        used = memory.temp_size_in_bytes + memory.argument_size_in_bytes
        assert used + memory.output_size_in_bytes < 2**30
    begin = time.process_time()
    flow = jax.block_until_ready(program(params, xs))
    assert time.process_time() - begin < 10
    assert flow.norms.shape == (steps,) and flow.norms[-1] > 0


@pytest.mark.slow
@pytest.mark.parametrize("bias", [1.0, 5.0])
def test_lstm_without_recurrent_weights_forgets_by_its_bias(bias):
    steps = 60
    zeros = jax.tree.map(jnp.zeros_like, perturbed(LSTM))
    params = zeros._replace(b=zeros.b.at[H : 2 * H].set(bias))
    xs, factor = normal(1, steps, I), 1 / (1 + math.exp(-bias))
    by_lag = lags_of(LSTM, params, xs, every=20, part=cell_state)
    expected = factor ** np.array([[20.0], [40], [60]]).repeat(H, 1)
    close(jnp.exp(by_lag.log_singular_values), expected)
    flow = flow_of(RECORDED, params, xs, first_cell)
    close(flow.norms.c, factor ** np.arange(steps - 1.0, -1, -1))


RECORDED, first_cell = jrnn.record(LSTM), lambda ys: ys.carry.c[-1, 0]


def test_irnn_with_all_units_active_passes_gradients_unchanged():
    cell = jrnn.irnn(H)
    params = perturbed(cell)._replace(w_h=jnp.eye(H), b=jnp.full(H, 0.1))
    params = params._replace(w_x=abs(params.w_x))
    js = np.asarray(steps_of(cell, params, abs(normal(1, T, I))))
    assert (js == np.eye(H)).all()
    dead = steps_of(cell, params._replace(b=jnp.full(H, -99.0)), normal(1, T, I))
    assert (dead == 0).all()


# step_jacobians, lag_jacobians


def test_step_jacobians_of_a_tanh_network_by_their_formula():
    params, xs = perturbed(TANH), normal(1, T, I)
    hs = np.asarray(jrnn.unroll(TANH, params, xs)[1])
    expected = np.stack([np.diag(1 - h**2) @ params.w_h.T for h in hs])
    close(steps_of(TANH, params, xs), expected)


@pytest.mark.slow
def test_lag_jacobians_equal_products_of_step_jacobians():
    params, xs = perturbed(LSTM), normal(1, T, I)
    js = np.asarray(steps_of(LSTM, params, xs))
    assert js.shape == (T, 2 * H, 2 * H)
    products = [js[-1]]
    for j in js[-2::-1]:
        products.append(products[-1] @ j)
    got = lags_of(LSTM, params, xs)
    assert got.lags.tolist() == list(range(1, T + 1))
    values = np.linalg.svd(products, compute_uv=False)
    close(got.log_singular_values[:3, :H], np.log(values[:3, :H]), 1e-9)
    close(got.log_norms, np.log(np.linalg.norm(products, axis=(1, 2))))
    every = lags_of(LSTM, params, xs, every=3, part=cell_state)
    assert every.lags.tolist() == [3, 6]
    blocks = [products[2][H:, H:], products[5][H:, H:]]
    close(every.log_norms, np.log(np.linalg.norm(blocks, axis=(1, 2))))
    values = np.linalg.svd(blocks, compute_uv=False)
    close(every.log_singular_values, np.log(values), 1e-9)


@pytest.mark.parametrize("g", [0.7, 1.3])
def test_orthogonal_weight_scales_all_singular_values_alike(g):
    by_lag = lags_of(LINEAR, orthogonal_net(g), normal(1, 40, I))
    expected = np.broadcast_to((g ** np.arange(1, 41))[:, None], (40, H))
    np.testing.assert_allclose(np.exp(by_lag.log_singular_values), expected, rtol=1e-10)
    fit = gradients.decay_rate(by_lag.log_norms, by_lag.lags)
    assert abs(fit.rate - math.log(g)) < 1e-8
    assert fit.error < 1e-8
    assert abs(fit.intercept - math.log(math.sqrt(H))) < 1e-8


@pytest.mark.parametrize("g", [0.1, 10.0])
def test_lag_10_000_in_single_precision(g):  # 1e-10000 and 1e10000
    params, xs = orthogonal_net(g, dtype=np.float32), jnp.zeros((10_000, I), "float32")
    params = params._replace(b=jnp.zeros(H, jnp.float32))
    by_lag = lags_of(LINEAR, params, xs, every=2000)
    assert by_lag.log_norms.dtype == jnp.float32
    expected = (np.log(g) * np.asarray(by_lag.lags))[:, None].repeat(H, 1)
    np.testing.assert_allclose(by_lag.log_singular_values, expected, rtol=1e-4)


def spectral_norms(activation, params, xs):
    cell = jrnn.elman(H, activation)
    return lag_jacobians(cell, params, xs).log_singular_values[:, 0]


bounds_of = jax.jit(gradients.bounds)
SPECTRAL_NORMS = {
    1.0: jax.jit(partial(spectral_norms, jnp.tanh)),
    0.25: jax.jit(partial(spectral_norms, jax.nn.sigmoid)),
}


@pytest.mark.parametrize("slope", SPECTRAL_NORMS)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.floats(0.01, 30), drive=st.floats(0, 10))
def test_jacobians_never_exceed_their_bound(slope, seed, size, drive):
    params, xs = perturbed(TANH, seed, scale=1.0), drive * normal(seed, T, I)
    params = params._replace(w_h=size * params.w_h)
    bounds = bounds_of(params.w_h, slope)
    got = SPECTRAL_NORMS[slope](params, xs)
    assert (got <= np.arange(1, T + 1) * float(bounds.largest_rate) + 1e-9).all()
    if bounds.must_vanish:
        assert got[-1] < 0


def test_the_bound_is_reached_by_a_network_at_rest():
    """So that the property above is not true for lack of anything large."""
    params = orthogonal_net(0.5)._replace(b=jnp.zeros(H))
    got = SPECTRAL_NORMS[1.0](params, jnp.zeros((T, I)))
    close(got, np.log(0.5) * np.arange(1, T + 1), 1e-9)


# decay_rate, bounds


@pytest.mark.slow
def test_decay_rate_against_numpy():
    k = np.arange(3, 40, 2)
    y = -0.3 * k + 2 + 0.1 * np.asarray(normal(1, len(k)))
    (rate, intercept), cov = np.polyfit(k, y, 1, cov=True)
    fit = gradients.decay_rate(jnp.asarray(y), jnp.asarray(k))
    close(
        (fit.rate, fit.intercept, fit.error), (rate, intercept, cov[0, 0] ** 0.5), 1e-9
    )
    with_hole = jnp.append(jnp.asarray(y), -jnp.inf)
    close(gradients.decay_rate(with_hole, jnp.append(k, 99)), fit)


def test_bounds_of_a_matrix_that_is_not_normal():
    w_h = jnp.array([[0.9, 5.0], [0.0, 0.9]])
    b = gradients.bounds(w_h, 0.5)
    close(b.spectral_radius, 0.9, 1e-7)  # a double eigenvalue is hard
    sigma = np.linalg.svd(w_h, compute_uv=False)[0]
    close((b.largest_singular_value, b.largest_rate), (sigma, np.log(0.5 * sigma)))
    assert not b.must_vanish and b.may_explode and not b.linear_explodes
    batch = jax.vmap(gradients.bounds)(jnp.stack([w_h, 0.1 * w_h, 2 * w_h]))
    assert batch.must_vanish.tolist() == [False, True, False]
    assert batch.linear_explodes.tolist() == [False, False, True]


# omega


def test_omega_is_zero_for_an_orthogonal_linear_network_only():
    xs = normal(1, T, I)
    assert omega_of(LINEAR, orthogonal_net(1.0), xs, squares) < 1e-24
    half = omega_of(LINEAR, orthogonal_net(0.5), xs, squares)
    close(half, T * 0.25)  # every ratio is 1/2


@pytest.mark.slow
def test_omega_of_a_tanh_network_and_its_immediate_derivative():
    params, xs = perturbed(TANH), normal(1, T, I)
    gs = flow_of(TANH, params, xs, squares, vectors=True).vectors
    hs = jnp.concatenate([jnp.zeros((1, H)), jrnn.unroll(TANH, params, xs)[1]])

    def expected(params):  # with states and gradients as constants
        total = 0.0
        for t in range(T):
            h = jnp.tanh(xs[t] @ params.w_x + hs[t] @ params.w_h + params.b)
            back = params.w_h @ (gs[t] * (1 - h**2))
            total += (jnp.linalg.norm(back) / jnp.linalg.norm(gs[t]) - 1) ** 2
        return total

    got = omega_slope_of(TANH, params, xs, squares)
    close(got, jax.jit(jax.value_and_grad(expected))(params))


def test_omega_of_a_cell_with_two_fields_follows_the_whole_carry():
    """The whole carry as one vector, so that no path is counted twice."""
    params, xs = perturbed(LSTM), normal(1, T, I)
    js = np.asarray(steps_of(LSTM, params, xs))
    g, expected = np.r_[np.ones(H), np.zeros(H)], 0.0
    for j in js[::-1]:
        back = g @ j
        expected += (np.linalg.norm(back) / np.linalg.norm(g) - 1) ** 2
        g = back
    close(omega_of(LSTM, params, xs, lambda ys: ys[-1].sum()), expected, 1e-10)


def test_omega_passes_over_steps_without_gradient():
    params, xs, early = perturbed(TANH), normal(1, T, I), lambda ys: ys[2].sum()
    value, slope = omega_slope_of(TANH, params, xs, early)
    close(value, omega_of(TANH, params, xs[:3], early))
    chex.assert_tree_all_finite(slope)
    zero = jax.tree.map(jnp.zeros_like, params)  # every Jacobian is zero: ratio 0
    value, slope = omega_slope_of(TANH, zero, xs, early)
    close(value, 1.0)
    chex.assert_tree_all_finite(slope)


# gate_saturation


def test_gate_saturation_against_numpy():
    for cell, gates in ((jrnn.lstm(H), "ifo"), (jrnn.gru(H), "rz")):
        params, xs = perturbed(cell, scale=1.5), 3 * normal(1, 50, I)
        got = gradients.gate_saturation(cell, params, xs, low=0.2, high=0.7)
        hs = np.asarray(jrnn.unroll(cell, params, xs)[1])
        before = np.concatenate([np.zeros((1, H)), hs[:-1]])
        params = jax.tree.map(np.asarray, params)
        bias = params.b if gates == "ifo" else params.b_x + params.b_h
        z = np.asarray(xs) @ params.w_x + before @ params.w_h + bias
        seen = np.split(1 / (1 + np.exp(-z)), 4 if gates == "ifo" else 3, axis=1)
        place = {"i": 0, "f": 1, "o": 3, "r": 0, "z": 1}
        assert set(got) == set(gates)
        for letter, share in got.items():
            gate = seen[place[letter]]
            close(share.shut, (gate < 0.2).mean(0))
            close(share.open, (gate > 0.7).mean(0))
            assert 0 < share.open.mean() < 1


# vmap


BATCHED = {
    "step_jacobians": lambda p, x: gradients.step_jacobians(TANH, p, x),
    "lag_jacobians": lambda p, x: lag_jacobians(TANH, p, x, every=2).log_norms,
    "omega": lambda p, x: gradients.omega(TANH, p, x, squares),
}


@pytest.mark.parametrize("name", BATCHED)
def test_functions_under_vmap_over_networks_and_inputs_equal_a_loop(name):
    function, xs = BATCHED[name], normal(1, 2, T, I)
    params = [perturbed(TANH, seed) for seed in range(2)]
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *params)
    got = jax.jit(jax.vmap(function))(stacked, xs)
    one = jax.jit(function)
    close(got, jnp.stack([one(p, x) for p, x in zip(params, xs, strict=True)]))


# bptt


@pytest.fixture(scope="module")
def tagger():
    model = jrnn.stack(jrnn.elman(H), jrnn.linear(O))
    labels = jnp.asarray(np.random.default_rng(8).integers(0, O, T))
    return model, perturbed(model), normal(1, T, I), labels


def by_windows(model, params, xs, labels, h_0, window, probes):
    """The loss by jax, cut into windows; probes move a_t and h_t."""
    cell, readout = params
    h, total = h_0, 0.0
    for t in range(T):
        if t % window == 0:
            h = jax.lax.stop_gradient(h)
        a = xs[t] @ cell.w_x + h @ cell.w_h + cell.b + probes[0][t]
        h = jnp.tanh(a) + probes[1][t]
        log_p = jax.nn.log_softmax(h @ readout.w + readout.b)
        total -= log_p[labels[t]]
    return total


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 3, 1])
def test_bptt_equals_jax(tagger, window):
    model, params, xs, labels = tagger
    h_0 = normal(9, H)
    got = jax.jit(partial(bptt, window=window))(params, xs, labels, h_0)
    probes = jnp.zeros((2, T, H))
    loss = lambda p, probes: by_windows(model, p, xs, labels, h_0, window or T, probes)
    value, (d_params, d_probes) = jax.value_and_grad(loss, (0, 1))(params, probes)
    close(got, gradients.BPTT(value, d_probes[1], d_probes[0], d_params))


def test_errors_bear_the_name_of_the_function_called():
    cell = jrnn.elman(4)
    params = cell.init(jax.random.key(0), jnp.zeros(2))
    lstm = jrnn.lstm(4)
    loss = lambda ys: ys.sum()
    xs = jnp.zeros((3, 2)), jnp.zeros(4)
    calls = {
        "omega": lambda: gradients.omega(cell, params, xs, loss),
        "gradient_flow": lambda: gradient_flow(cell, params, xs, loss),
        "step_jacobians": lambda: gradients.step_jacobians(cell, params, xs),
        "lag_jacobians": lambda: lag_jacobians(cell, params, xs),
        "gate_saturation": lambda: gradients.gate_saturation(
            lstm, lstm.init(jax.random.key(0), jnp.zeros(2)), xs
        ),
        "lyapunov_spectrum": lambda: jrnn.dynamics.lyapunov_spectrum(cell, params, xs),
        "largest_exponent": lambda: jrnn.dynamics.largest_exponent(cell, params, xs),
        "unroll": lambda: jrnn.unroll(
            jrnn.bidirectional(cell, cell), (params, params), xs
        ),
        "many_to_many": lambda: models.many_to_many(cell, params, xs),
    }
    for name, call in calls.items():
        message = rf"{name}: xs must share one leading time axis, got lengths \[3, 4\]"
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.slow
@pytest.mark.parametrize("bad", [-1, 3])
def test_bptt_of_a_label_that_does_not_exist_is_nan(bad):
    model = jrnn.stack(jrnn.elman(4), jrnn.linear(3))
    params = model.init(jax.random.key(0), jnp.zeros(2))
    xs = jnp.ones((3, 2))
    assert np.isfinite(bptt(params, xs, jnp.array([0, 2, 1])).loss)
    assert np.isnan(bptt(params, xs, jnp.array([0, bad, 1])).loss)


@pytest.mark.slow
def test_bptt_equals_the_gradient_of_the_library_and_its_flow(tagger):
    model, params, xs, labels = tagger
    loss = lambda ys: T * jrnn.losses.cross_entropy(ys, labels)
    got = bptt(params, xs, labels)
    whole = jax.grad(lambda p: loss(jrnn.unroll(model, p, xs)[1]))
    close(got.d_params, jax.jit(whole)(params))
    flow = flow_of(model, params, xs, loss, vectors=True)
    close((got.loss, got.d_h), (flow.loss, flow.vectors[0]))


# errors

ELMAN = jrnn.elman(H)
PARAMS = perturbed(ELMAN)
XS = jnp.zeros((T, I))
BPTT_PARAMS = (PARAMS, jrnn.LinearParams(jnp.zeros((H, O)), jnp.zeros(O)))
LABELS = jnp.zeros(T, int)

ERRORS = {
    "flow-loss": (
        lambda: gradient_flow(ELMAN, PARAMS, XS, lambda ys: ys[-1]),
        ValueError,
        "gradient_flow: loss must return a scalar, got shape (4,).",
    ),
    "omega-loss": (
        lambda: gradients.omega(ELMAN, PARAMS, XS, lambda ys: ys),
        ValueError,
        "omega: loss must return a scalar, got shape (7, 4).",
    ),
    "carry": (
        lambda: lag_jacobians(jrnn.linear(H), BPTT_PARAMS[1], XS),
        TypeError,
        "lag_jacobians: the carry must consist of floating-point arrays, got []. "
        "Without a recurrent state there is nothing to differentiate.",
    ),
    "carry-integer": (
        lambda: gradients.step_jacobians(ELMAN, PARAMS, XS, jnp.zeros(H, int)),
        TypeError,
        "step_jacobians: the carry must consist of floating-point arrays, got "
        "['int64'].",
    ),
    "every-positive": (
        lambda: lag_jacobians(ELMAN, PARAMS, XS, every=0),
        ValueError,
        "lag_jacobians: every must be a positive integer, got 0.",
    ),
    "every-steps": (
        lambda: lag_jacobians(ELMAN, PARAMS, XS, every=8),
        ValueError,
        "lag_jacobians: every must be at most the number of steps, 7, got 8.",
    ),
    "decay-norms": (
        lambda: gradients.decay_rate(jnp.zeros((5, 2))),
        ValueError,
        "decay_rate: log_norms must have shape (K,) with K >= 3, got (5, 2). Use "
        "jax.vmap for more than one curve.",
    ),
    "decay-lags": (
        lambda: gradients.decay_rate(jnp.zeros(5), jnp.zeros(4)),
        ValueError,
        "decay_rate: lags must have the shape of log_norms, (5,), got (4,).",
    ),
    "bounds": (
        lambda: gradients.bounds(jnp.zeros((2, 3))),
        ValueError,
        "bounds: w_h must be a square matrix, got (2, 3).",
    ),
    "saturation": (
        lambda: gradients.gate_saturation(ELMAN, PARAMS, XS),
        TypeError,
        "gate_saturation: expected LSTMParams or GRUParams, got ElmanParams. Of a "
        "stack, pass one layer and its inputs.",
    ),
    "bptt-params": (
        lambda: bptt((PARAMS, PARAMS), XS, LABELS),
        TypeError,
        "bptt: params must be those of stack(elman(H), linear(O)), (ElmanParams, "
        "LinearParams), got ['ElmanParams', 'ElmanParams'].",
    ),
    "bptt-dict": (
        lambda: bptt({"w": 1}, XS, LABELS),
        TypeError,
        "LinearParams), got dict.",
    ),
    "bptt-labels": (
        lambda: bptt(BPTT_PARAMS, XS, LABELS[1:]),
        ValueError,
        "bptt: labels must have shape (7,), one for each step, got (6,).",
    ),
    "bptt-window": (
        lambda: bptt(BPTT_PARAMS, XS, LABELS, window=0),
        ValueError,
        "bptt: window must be a positive integer, got 0.",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_message(name):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()
