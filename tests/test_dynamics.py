"""Lyapunov exponents, fixed points, memory and mean-field theory: known values."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jrnn
from jrnn import dynamics
from jrnn.gradients import step_jacobians

LINEAR, TANH, LSTM = jrnn.elman(4, lambda a: a), jrnn.elman(4), jrnn.lstm(3)
spectrum_of = jax.jit(
    dynamics.lyapunov_spectrum, static_argnums=(0, 3), static_argnames="burn_in"
)


search = jax.jit(dynamics.fixed_points, static_argnums=0)


def net(w_h, w_x=None):
    w_h = jnp.asarray(w_h)
    w_x = jnp.ones((1, len(w_h))) if w_x is None else jnp.asarray(w_x)
    return jrnn.ElmanParams(w_x, w_h, jnp.zeros(len(w_h)))


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def gaussian_net(seed, gain, size):
    w_h = gain / np.sqrt(size) * np.random.default_rng(seed).normal(size=(size, size))
    return net(w_h, np.zeros((1, size)))


# Lyapunov exponents


@pytest.mark.slow
def test_exponents_of_a_linear_network_are_the_moduli_of_its_eigenvalues():
    rng, values = np.random.default_rng(1), np.array([1.2, -0.9, 0.5, 0.2])
    basis = rng.normal(size=(4, 4))  # far from orthogonal
    w_h = basis @ np.diag(values) @ np.linalg.inv(basis)
    xs = normal(2, 200, 1)
    got = spectrum_of(LINEAR, net(w_h), xs, None, burn_in=100)
    np.testing.assert_allclose(got, np.log(np.abs(values)), atol=1e-6)
    two = spectrum_of(LINEAR, net(w_h), xs, 2, burn_in=100)
    np.testing.assert_allclose(two, np.log([1.2, 0.9]), atol=1e-6)
    one = dynamics.largest_exponent(LINEAR, net(w_h), xs, burn_in=100)
    np.testing.assert_allclose(one, np.log(1.2), atol=1e-6)


def test_exponents_of_an_orthogonal_network_are_zero():
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    got = spectrum_of(LINEAR, net(q), normal(2, 200, 1), None, burn_in=100)
    np.testing.assert_allclose(got, np.zeros(4), atol=1e-12)


@pytest.mark.slow
def test_all_exponents_sum_to_the_mean_log_determinant():
    specs = jax.eval_shape(lambda: LSTM.init(jax.random.key(0), jnp.zeros(2)))
    rng = np.random.default_rng(3)
    params = jax.tree.map(lambda w: jnp.asarray(rng.normal(size=w.shape)), specs)
    xs, start = normal(4, 30, 2), jrnn.LSTMCarry(normal(5, 3), normal(6, 3))
    got = spectrum_of(LSTM, params, xs, carry=start)
    js = np.asarray(step_jacobians(LSTM, params, xs, start))
    expected = np.log(np.abs(np.linalg.det(js))).mean()
    assert got.shape == (6,) and (np.diff(got) <= 0).all()
    np.testing.assert_allclose(got.sum(), expected, atol=1e-8)


@pytest.mark.slow
def test_directions_are_those_that_the_past_has_chosen():
    """Behind a long past the frame does not depend on its start: one step by numpy."""
    params, xs = net(normal(1, 4, 4)), normal(2, 200, 1)
    q = np.eye(4)
    for j in np.asarray(step_jacobians(TANH, params, xs)):
        q, r = np.linalg.qr(j @ q)
    expected = np.sort(np.log(np.abs(np.diag(r))))[::-1]
    got = spectrum_of(TANH, params, xs, None, burn_in=199)
    np.testing.assert_allclose(got, expected, atol=1e-8)
    one = dynamics.largest_exponent(TANH, params, xs, burn_in=199)
    np.testing.assert_allclose(one, np.log(np.abs(r[0, 0])), atol=1e-8)


@pytest.mark.slow
def test_random_networks_of_400_units_are_as_chaotic_as_the_theory_says():
    """Published: 0.0652, 0.1547, 0.3102 for gains 1.5, 2, 3 at infinite size."""
    size, gains = 400, [1.5, 2.0, 3.0]
    cell, xs = jrnn.elman(size), jnp.zeros((1200, 1))
    nets = [gaussian_net(seed, gain, size) for gain in gains for seed in (0, 1, 2)]
    one = partial(dynamics.lyapunov_spectrum, cell, num_exponents=1, burn_in=300)
    run = jax.jit(lambda p: one(p, xs, carry=normal(9, size))[0])
    got = np.reshape([run(p) for p in nets], (3, 3)).mean(axis=1)
    np.testing.assert_allclose(got, [0.0652, 0.1547, 0.3102], atol=0.02)
    theory = [dynamics.mean_field(g).largest_exponent for g in gains]
    np.testing.assert_allclose(got, theory, atol=0.02)


def test_below_gain_1_the_exponent_is_that_of_the_weight_at_rest():
    cell, params = jrnn.elman(60), gaussian_net(1, 0.5, 60)
    radius = np.abs(np.linalg.eigvals(params.w_h)).max()
    run = jax.jit(partial(dynamics.largest_exponent, cell, burn_in=100))
    start = 1e-3 * normal(9, 60)
    got = run(params, jnp.zeros((4000, 1)), carry=start)
    np.testing.assert_allclose(got, np.log(radius), atol=1e-3)


def test_one_vector_and_a_frame_find_the_same_largest_exponent():
    params, xs = net(normal(1, 4, 4)), normal(2, 200, 1)
    frame = spectrum_of(TANH, params, xs, None, burn_in=100)
    one = dynamics.largest_exponent(TANH, params, xs, burn_in=100)
    np.testing.assert_allclose(frame[0], one, atol=1e-2)


def test_spectrum_under_vmap_equals_a_loop():
    nets = jax.tree.map(
        lambda *a: jnp.stack(a), *(net(normal(s, 4, 4)) for s in (1, 2))
    )
    xs = normal(2, 200, 1)
    run = partial(dynamics.lyapunov_spectrum, TANH, xs=xs, burn_in=100)
    got = jax.jit(jax.vmap(lambda p: run(params=p)))(nets)
    for n in range(2):
        params = jax.tree.map(lambda a: a[n], nets)  # noqa: B023
        np.testing.assert_allclose(
            got[n], spectrum_of(TANH, params, xs, None, burn_in=100), atol=1e-10
        )


@pytest.mark.parametrize(
    ("exponents", "expected"),
    [
        ([-0.1, -1.0], 0.0),
        ([0.0, -1.0], 1.0),
        ([0.42, 0.0, -14.57], 2 + 0.42 / 14.57),  # about Lorenz's attractor
        ([0.5, 0.1, -0.2, -5.0], 3 + 0.4 / 5.0),
        ([0.3, 0.2], 2.0),
    ],
)
def test_kaplan_yorke_dimension(exponents, expected):
    got = dynamics.kaplan_yorke_dimension(jnp.array(exponents))
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    positive = sum(e for e in exponents if e > 0)
    np.testing.assert_allclose(dynamics.entropy_rate(jnp.array(exponents)), positive)


# Fixed points


@pytest.mark.slow
def test_fixed_points_of_two_independent_bistable_units():
    w, cell = 2.0, jrnn.elman(2)
    starts = jnp.asarray(np.random.default_rng(1).uniform(-1.2, 1.2, (60, 2)))
    found = search(cell, net(w * np.eye(2)), jnp.zeros(1), starts)
    x = 0.9  # x = tanh(2 x)
    for _ in range(200):
        x = np.tanh(w * x)
    expected = {(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)}
    points = np.asarray(found.points)[np.asarray(found.distinct & found.fixed)]
    assert {tuple(np.rint(p / x).astype(int)) for p in points} == expected
    assert len(points) == 9
    np.testing.assert_allclose(points / x, np.rint(points / x), atol=1e-9)
    assert found.speeds[found.fixed].max() < 1e-20
    corners = np.abs(np.asarray(found.points)).min(axis=1) > 0.5
    fixed = np.asarray(found.fixed)
    assert (np.asarray(found.stable) == corners)[fixed].all()
    at_rest = np.abs(np.asarray(found.points)).max(axis=1) < 1e-6
    np.testing.assert_allclose(found.eigenvalues[at_rest & fixed], w, atol=1e-9)
    np.testing.assert_allclose(
        np.abs(found.eigenvalues[corners & fixed]), w * (1 - x**2), atol=1e-9
    )


def test_eigenvalues_come_largest_modulus_first_and_may_be_complex():
    rotation = 1.5 * np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 0.1]])
    found = search(jrnn.elman(3), net(rotation), jnp.zeros(1), 0.01 * jnp.ones((1, 3)))
    assert found.fixed.all() and not found.stable.any()
    np.testing.assert_allclose(
        np.sort_complex(found.eigenvalues[0, :2]), [0.9 - 1.2j, 0.9 + 1.2j],
        atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(found.eigenvalues[0, 2], 0.15, atol=1e-9)


def test_slow_points_are_minima_of_speed_that_are_not_fixed():
    """x -> x + 1e-3 + x^2 has no fixed point, and is slowest at 0."""

    def step(params, x, u, *, key=None):
        x = x + params + x * x
        return x, x

    ghost = jrnn.Cell(None, None, step)
    found = search(ghost, 1e-3, 0.0, jnp.linspace(-0.5, 0.5, 5))
    assert found.slow.all() and not found.fixed.any()
    np.testing.assert_allclose(found.points, np.zeros(5), atol=1e-3)
    np.testing.assert_allclose(found.speeds, 0.5e-6, rtol=1e-3)
    assert found.distinct.tolist() == [True] + [False] * 4


@pytest.mark.slow
def test_fixed_points_keep_the_form_of_the_carry():
    params = jrnn.LSTMParams(normal(1, 2, 12), normal(2, 3, 12), normal(3, 12))
    starts = jrnn.LSTMCarry(0.1 * normal(4, 5, 3), 0.1 * normal(5, 5, 3))
    x = jnp.array([0.3, -0.2])
    found = search(LSTM, params, x, starts)
    assert found.fixed.any()
    n = int(np.argmax(found.fixed))
    point = jax.tree.map(lambda leaf: leaf[n], found.points)
    after, _ = LSTM.step(params, point, x)
    np.testing.assert_allclose(after.c, point.c, atol=1e-9)
    assert found.eigenvalues.shape == (5, 6)


# Memory

capacity = jax.jit(
    dynamics.memory_capacity, static_argnums=(0, 3), static_argnames="burn_in"
)


def test_memory_capacity_of_a_delay_line_and_of_a_random_network():
    us = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (3000, 1)))
    line = net(np.eye(4, k=1), np.eye(1, 4))
    got = capacity(LINEAR, line, us, 6)
    np.testing.assert_allclose(got.by_delay[:3], np.ones(3), atol=1e-12)
    assert got.by_delay[3:].max() < 0.01
    # against numpy's regression, delay by delay
    params = net(0.9 * np.asarray(line.w_h.T + line.w_h) / 2, np.eye(1, 4))
    got = capacity(TANH, params, us, 6, burn_in=50)
    hs = np.asarray(jrnn.unroll(TANH, params, us)[1])[50:]
    design = np.column_stack([hs, np.ones(len(hs))])
    for k in range(1, 7):
        u = np.asarray(us)[50 - k : 3000 - k, 0]
        fit = design @ np.linalg.lstsq(design, u, rcond=None)[0]
        np.testing.assert_allclose(
            got.by_delay[k - 1], np.corrcoef(fit, u)[0, 1] ** 2, atol=1e-9
        )
    assert got.total < 4.1


def test_memory_capacity_of_units_that_are_alike_is_that_of_one():
    us = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (500, 1)))
    got = capacity(LINEAR, net(0.1 * np.ones((4, 4))), us, 3)
    assert np.isfinite(got.by_delay).all() and got.total < 1.1


@pytest.mark.parametrize("alpha", [0.9, 1.0, 1.1])
def test_fisher_memory_of_a_chain_by_its_closed_form(alpha):
    """All these chains have spectral radius 0."""
    size, k = 30, np.arange(30)
    w_h, source = alpha * jnp.eye(size, k=1), jnp.eye(size)[0]
    got = dynamics.fisher_memory_curve(w_h, source, size)
    if alpha == 1.0:
        expected = 1 / (k + 1)
    else:
        expected = alpha ** (2 * k) * (alpha**2 - 1) / (alpha ** (2 * (k + 1)) - 1)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_a_normal_network_remembers_no_more_than_one_unit():
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    got = dynamics.fisher_memory_curve(jnp.asarray(0.95 * q), normal(1, 6), 500)
    np.testing.assert_allclose(got.sum(), np.square(normal(1, 6)).sum(), rtol=1e-6)


# Mean-field theory

TABLE = {  # gain: q, chi, largest and mean exponent
    0.5: (0, 0.25, -0.693147, -1.193147),
    0.9: (0, 0.81, -0.105361, -0.605361),
    1.0: (0, 1, 0, -0.5),
    1.2: (0.249513, 1.033501, 0.016476, -0.543100),
    1.5: (0.793354, 1.139323, 0.065217, -0.714346),
    2.0: (2.121474, 1.362673, 0.154724, -1.149023),
    2.5: (3.960961, 1.606975, 0.237177, -1.682760),
    3.0: (6.305391, 1.859855, 0.310249, -2.272805),
    4.0: (12.500601, 2.376802, 0.432878, -3.551018),
    5.0: (20.699367, 2.900421, 0.532428, -4.906771),
}
theory_of = jax.jit(jax.vmap(dynamics.mean_field))


def test_mean_field_equals_the_table():
    gains = jnp.array(list(TABLE))
    got = theory_of(gains, jnp.zeros(len(gains)))
    np.testing.assert_allclose(np.stack(got, 1), list(TABLE.values()), atol=1e-6)


def test_noise_suppresses_chaos():
    variances = jnp.array([0.0, 0.1, 1.0, 4.0])
    gains = jax.jit(jax.vmap(dynamics.critical_gain))(variances)
    np.testing.assert_allclose(gains[0], 1.0, atol=1e-12)
    assert (np.diff(gains) > 0.1).all()
    np.testing.assert_allclose(theory_of(gains, variances).chi, np.ones(4), atol=1e-9)


@pytest.mark.slow
def test_mean_field_with_noise_agrees_with_a_network():
    size, gain, variance = 300, 1.5, 0.25
    cell, params = jrnn.elman(size), gaussian_net(1, gain, size)
    params = params._replace(w_x=jnp.eye(size))
    xs = jnp.sqrt(variance) * normal(2, 600, size)
    run = jax.jit(partial(dynamics.largest_exponent, cell, burn_in=100))
    theory = dynamics.mean_field(gain, variance)
    assert theory.largest_exponent < dynamics.mean_field(gain).largest_exponent - 0.05
    np.testing.assert_allclose(run(params, xs), theory.largest_exponent, atol=0.02)


# Warnings and errors

SINGLE = jax.tree.map(lambda a: a.astype(jnp.float32), net(np.eye(4)))
XS = jnp.zeros((9, 1))
XS32 = XS.astype(jnp.float32)
WARNINGS = {
    "lyapunov_spectrum": lambda: dynamics.lyapunov_spectrum(TANH, SINGLE, XS32),
    "fixed_points": lambda: dynamics.fixed_points(
        TANH, SINGLE, XS32[0], jnp.zeros((2, 4), jnp.float32), steps=1
    ),
    "memory_capacity": lambda: dynamics.memory_capacity(TANH, SINGLE, XS32, 1),
    "fisher_memory_curve": lambda: dynamics.fisher_memory_curve(
        SINGLE.w_h / 2, SINGLE.w_x[0], 2
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_single_precision_is_noticed(name):
    text = f"{name}: computing in float32;.*jax_enable_x64"
    with pytest.warns(UserWarning, match=text) as caught:
        result = jax.eval_shape(WARNINGS[name])
    assert all(file_name(w) == "test_dynamics.py" for w in caught)
    floats = [
        a for a in jax.tree.leaves(result) if jnp.issubdtype(a.dtype, jnp.floating)
    ]
    assert all(a.dtype == jnp.float32 for a in floats)  # warned, not switched


def file_name(warning):
    return warning.filename.rsplit("/", 1)[-1]


@pytest.mark.parametrize("function", [dynamics.mean_field, dynamics.critical_gain])
def test_theory_without_x64_is_noticed(function):
    with (
        jax.enable_x64(False),
        pytest.warns(UserWarning, match=f"{function.__name__}: computing in float32"),
    ):
        jax.eval_shape(lambda: function(1.5))


ERRORS = {
    "exponents": (
        lambda: dynamics.lyapunov_spectrum(TANH, net(np.eye(4)), XS, 5),
        ValueError,
        "lyapunov_spectrum: num_exponents must be from 1 to 4, the entries of the "
        "carry, got 5.",
    ),
    "burn-in": (
        lambda: dynamics.largest_exponent(TANH, net(np.eye(4)), XS, burn_in=9),
        ValueError,
        "largest_exponent: burn_in must leave steps to average, from 0 to 8, got 9.",
    ),
    "no-carry": (
        lambda: dynamics.lyapunov_spectrum(
            jrnn.linear(1), jrnn.LinearParams(XS[:1], XS[0]), XS
        ),
        TypeError,
        "lyapunov_spectrum: the carry must consist of floating-point arrays, got [].",
    ),
    "steps": (
        lambda: dynamics.fixed_points(
            TANH, net(np.eye(4)), XS[0], jnp.zeros((2, 4)), steps=0
        ),
        ValueError,
        "fixed_points: steps must be a positive integer, got 0.",
    ),
    "delay": (
        lambda: dynamics.memory_capacity(TANH, net(np.eye(4)), XS, 0),
        ValueError,
        "memory_capacity: max_delay must be a positive integer, got 0.",
    ),
    "inputs": (
        lambda: dynamics.memory_capacity(TANH, net(np.eye(4)), jnp.zeros((9, 2)), 1),
        ValueError,
        "memory_capacity: xs must have shape (T, 1), got (9, 2).",
    ),
    "short": (
        lambda: dynamics.memory_capacity(TANH, net(np.eye(4)), XS, 4),
        ValueError,
        "memory_capacity: 5 steps are left for a readout of 5 weights. Give a longer "
        "sequence.",
    ),
    "fisher": (
        lambda: dynamics.fisher_memory_curve(jnp.eye(3), jnp.ones(2), 4),
        ValueError,
        "fisher_memory_curve: w_h must have shape (H, H) and w_x (H,), got (3, 3) and "
        "(2,).",
    ),
    "lags": (
        lambda: dynamics.fisher_memory_curve(jnp.eye(3), jnp.ones(3), 0),
        ValueError,
        "fisher_memory_curve: num_lags must be a positive integer, got 0.",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_message(name):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()
