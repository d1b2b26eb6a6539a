"""What cells promise beyond the laws: stable, linear in the state, of neuroscience."""

import importlib
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from cases import CASES, example
from hypothesis import given, settings
from hypothesis import strategies as st

import jrnn
from jrnn.cells.orthogonal_rnn import _exponential, _of_dtype

T, I, H = 9, 2, 4
X = jax.ShapeDtypeStruct((I,), jnp.float64)


def start(cell, seed=0):
    return cell.init(jax.random.key(seed), X)


def normal(*shape, seed=3):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


# Linear in the state: all states at once equal steps one by one

LINEAR = [n for n, case in CASES.items() if case.brief and "DiagonalStep" in str(
    type(case.factory(jnp.dtype("float64")).step))]  # fmt: skip


def both_forms(cell, params, xs):
    """Outputs and last state with all states joined pairwise, and in a loop."""

    def run(parallel, params, xs, carry):
        a, u = jax.vmap(lambda x: cell.step.coefficients(params, x))(xs)
        hs = jrnn.diagonal_scan(a, u, carry, parallel=parallel)
        ys = jax.vmap(lambda h, x: cell.step.output(params, h, x))(hs, xs)
        return ys, hs

    return partial(run, True), partial(run, False)


def test_the_linear_cells_are_found():
    names = {"lru", "min_gru", "min_lstm", "qrnn", "s5", "sru", "sru-square"}
    assert names <= set(LINEAR)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", LINEAR)
def test_parallel_states_and_gradients_equal_those_of_steps(name, reverse):
    """What `unroll` does off the CPU, against steps in `jax.lax.scan`."""
    ex = example(name)
    all_states = importlib.import_module("jrnn.unroll")._all_states

    def parallel(params, xs, carry):
        return all_states(ex.cell.step, params, xs, carry, None, reverse)

    def loop(params, xs, carry):
        step = lambda carry, x: ex.cell.step(params, carry, x)
        return jax.lax.scan(step, carry, xs, reverse=reverse)

    def total(run, *args):
        last, ys = run(*args)
        return jnp.sin(ys).sum() + jnp.sin(last.real).sum() + jnp.cos(last.imag).sum()

    def answers(run, *args):
        return run(*args), jax.grad(partial(total, run), (0, 1, 2))(*args)

    first = ex.cell.initial_carry(ex.params)
    given = ex.params, ex.xs, first + jnp.asarray(normal(*first.shape), first.dtype)
    got, expected = (jax.jit(partial(answers, run))(*given) for run in (parallel, loop))
    for a, b in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(jax.config.jax_disable_jit, reason="100,000 steps in Python")
@pytest.mark.parametrize("name", ["lru", "min_gru", "min_lstm", "qrnn", "s5", "sru"])
def test_a_hundred_thousand_steps_in_parallel(name):
    """In float32, from the parameters that `init` draws; shares of the largest."""
    cell, rng = getattr(jrnn, name)(8), np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(100_000, 3)), jnp.float32)
    params = cell.init(jax.random.key(0), xs[0])
    forms = [jax.jit(run) for run in both_forms(cell, params, xs)]
    answers = [run(params, xs, cell.initial_carry(params)) for run in forms]
    for a, b in zip(*answers, strict=True):
        difference = jnp.abs(a - b).max() / jnp.abs(b).max()
        print(f"{name}: {difference:.1e}")  # pytest -rP shows it
        assert difference < 1e-5


def paper_log_space(log_a, log_u):
    """Feng et al. (2024), appendix B: exp(a* + log sum exp(log u - a*)), from zero."""
    a_star = np.cumsum(log_a, axis=0, dtype=log_a.dtype)
    return np.exp(a_star + np.logaddexp.accumulate(log_u - a_star, axis=0))


@pytest.mark.slow
@pytest.mark.skipif(jax.config.jax_disable_jit, reason="100,000 steps in Python")
@pytest.mark.parametrize("scale", [1, 10, 100])
@pytest.mark.parametrize("name", ["min_gru", "min_lstm"])
def test_extreme_gates_are_as_safe_without_logarithms(name, scale):
    """A hundred thousand steps in float32, against the paper's own form in float32.

    With weights 100 times those of `init`, gates are 0 and 1 to the last digit.
    """
    cell, rng = getattr(jrnn, name)(8), np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(100_000, 3)), jnp.float32)
    params = cell.init(jax.random.key(0), xs[0])
    params = params._replace(w_x=scale * params.w_x)
    all_states, _ = both_forms(cell, params, xs)
    _, hs = jax.jit(all_states)(params, xs, cell.initial_carry(params))
    a, u = jax.vmap(lambda x: cell.step.coefficients(params, x))(xs)
    exact, h = np.zeros(u.shape), np.zeros(8)
    for t, (factor, add) in enumerate(zip(*np.asarray([a, u], "f8"), strict=True)):
        exact[t] = h = factor * h + add
    error = lambda hs: np.abs(np.asarray(hs) - exact).max() / exact.max()
    with np.errstate(divide="ignore", invalid="ignore"):
        log_space = paper_log_space(np.log(np.asarray(a)), np.log(np.asarray(u)))
    print(f"{name} {scale}: {error(hs):.1e}, log space {error(log_space):.1e}")
    assert error(hs) < 1e-6
    assert not error(log_space) < 100 * error(hs)  # it may be NaN


def test_min_gru_is_the_log_space_form_of_the_paper():
    """Feng et al. (2024), appendix B, for a first state above zero."""
    cell, xs = jrnn.min_gru(H), 3 * np.asarray(normal(T, I))
    w, b, h_0 = (
        2 * np.asarray(normal(I, 2 * H, seed=4)),
        np.ones(2 * H),
        np.full(H, 0.3),
    )
    k, n = np.split(xs @ w + b, 2, axis=1)
    softplus = lambda z: np.logaddexp(0, z)
    log_g = np.where(n >= 0, np.log(np.maximum(n, 0) + 0.5), -softplus(-n))
    log_values = np.vstack([np.log(h_0), -softplus(-k) + log_g])
    a_star = np.vstack([np.zeros(H), np.cumsum(-softplus(k), axis=0)])
    log_h = a_star + np.logaddexp.accumulate(log_values - a_star, axis=0)
    params = jrnn.MinGRUParams(jnp.asarray(w), jnp.asarray(b))
    ys = jrnn.unroll(cell, params, jnp.asarray(xs), jnp.asarray(h_0))[1]
    np.testing.assert_allclose(ys, np.exp(log_h)[1:], rtol=1e-12)


def test_shares_of_min_lstm_where_gates_are_too_small_for_a_float():
    cell = jrnn.min_lstm(1)
    params = jrnn.MinLSTMParams(jnp.eye(3), jnp.zeros(3))
    for f, i, share in [(-2000.0, -2001.0, 1 / (1 + np.exp(-1))), (-2000.0, 50.0, 0.0)]:
        a, u = cell.step.coefficients(params, jnp.array([f, i, 0.5]))
        np.testing.assert_allclose(a, [share], rtol=1e-14)
        np.testing.assert_allclose(u, [1 - share], rtol=1e-14)
        slopes = jax.jacobian(lambda x: cell.step.coefficients(params, x))(
            jnp.array([f, i, 0.5])
        )
        assert all(jnp.isfinite(s).all() for s in slopes)


def test_a_gate_of_min_gru_near_one_keeps_its_digits():
    cell, params = jrnn.min_gru(1), jrnn.MinGRUParams(jnp.eye(2), jnp.zeros(2))
    kept, _ = cell.step.coefficients(params, jnp.array([50.0, 0.0]))
    np.testing.assert_allclose(kept, [np.exp(-50)], rtol=1e-14)


def test_a_window_makes_the_filters_of_a_qrnn_wider():
    """Masked convolution of width 2 over time (Bradbury et al., equation 1)."""
    cell, xs = jrnn.stack(jrnn.window(2), jrnn.qrnn(H)), normal(T, I)
    params = cell.init(jax.random.key(0), xs[0])
    before, now = np.split(np.asarray(params[1].w_x), 2)
    padded = np.vstack([np.zeros(I), xs])
    z, f, o = np.split(padded[:-1] @ before + padded[1:] @ now, 3, axis=1)
    f, o, c, expected = 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(-o)), np.zeros(H), []
    for t in range(T):
        c = f[t] * c + (1 - f[t]) * np.tanh(z[t])
        expected.append(o[t] * c)
    np.testing.assert_allclose(jrnn.unroll(cell, params, xs)[1], expected, atol=1e-12)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.9), st.floats(0.05, 1), st.floats(0.1, 6.2))
def test_lru_starts_on_the_ring_with_the_variance_of_its_input(low, width, phase):
    high = min(low + width, 1.0)
    cell = jrnn.lru(4, 500, r_min=low, r_max=high, max_phase=phase)
    params = start(cell)
    size = np.exp(-np.exp(params.nu))
    assert low - 1e-6 <= size.min() and size.max() <= high + 1e-6
    assert 0 < np.exp(params.theta).min() and np.exp(params.theta).max() <= phase
    # |gamma|^2 / (1 - |lambda|^2) = 1: the state's variance by white input
    np.testing.assert_allclose(np.exp(2 * params.gamma), 1 - size**2, rtol=1e-5)
    share = (size**2 - low**2) / (high**2 - low**2)  # uniform over the ring's area
    assert abs(share.mean() - 0.5) < 0.08


def test_lru_cannot_grow():
    params = jax.tree.map(lambda a: 5 * jnp.ones_like(a), start(jrnn.lru(H)))
    for nu in (-30.0, 0.0, 5.0):
        a, _ = jrnn.lru(H).step.coefficients(
            params._replace(nu=jnp.full(H, nu)), jnp.ones(I)
        )
        assert (jnp.abs(a) <= 1).all()


def test_s5_starts_as_the_normal_part_of_hippo():
    """HiPPO-LegS + p p^T, p_n = sqrt(n + 1/2), has these eigenvalues (S5, B.1)."""
    N = 5
    n = np.arange(2 * N)
    legs = -np.sqrt(2 * n[:, None] + 1) * np.sqrt(2 * n + 1) * (n[:, None] > n)
    legs -= np.diag(n + 1)
    p = np.sqrt(n + 0.5)
    values = np.linalg.eigvals(legs + np.outer(p, p))
    params = start(jrnn.s5(H, N, dt_min=0.01, dt_max=0.2))
    np.testing.assert_allclose(values.real, -np.exp(params.log_decay[0]), atol=1e-10)
    np.testing.assert_allclose(
        np.sort(values.imag[values.imag > 0]), np.sort(params.frequency), rtol=1e-10
    )
    dt = np.exp(params.log_dt)
    assert (0.01 <= dt).all() and (dt <= 0.2).all() and len(set(dt.tolist())) == N


def test_s5_is_the_solution_of_its_equation_with_the_input_held():
    """Of the full system x' = A x + B u, y = C x, by its matrix exponential."""
    N, seed = 3, 5
    cell = jrnn.s5(H, N, dt_min=0.1, dt_max=0.1)
    params = cell.init(jax.random.key(seed), X)
    size = 2 * N
    keys = jax.random.split(jax.random.key(seed), 4)
    lecun = jax.nn.initializers.lecun_normal()
    b, c = lecun(keys[1], (I, size), float), lecun(keys[2], (size, H), float)
    root = np.sqrt(np.arange(size) + 0.5)
    upper = np.triu(np.outer(root, root), 1)
    a = -0.5 * np.eye(size) + upper - upper.T
    system = np.zeros((size + I, size + I))
    system[:size, :size], system[:size, size:] = a, b.T
    held = scipy.linalg.expm(0.1 * system)
    state, expected, xs = np.zeros(size), [], np.asarray(normal(T, I))
    for x in xs:
        state = held[:size, :size] @ state + held[:size, size:] @ x
        expected.append(state @ c + x @ params.w_y)
    ys = jrnn.unroll(cell, params, jnp.asarray(xs))[1]
    np.testing.assert_allclose(ys, expected, atol=1e-10)


# Stable by construction


PLANE = {
    # Chang et al. (2019), figure 2: the matrix of h' = tanh(W h), and max |1 + e l|
    "growing": ([[2.0, -2.0], [0.0, 2.0]], 1.2),
    "decaying": ([[-2.0, 2.0], [0.0, -2.0]], 0.8),
    "turning": ([[0.0, -2.0], [2.0, 0.0]], 1.019804),
    "damped": ([[-0.15, -2.0], [2.0, -0.15]], 1.005100),
}


@pytest.mark.parametrize("name", ["turning", "damped"])
def test_antisymmetric_steps_have_the_eigenvalues_of_the_paper(name):
    matrix, expected = PLANE[name]
    gamma = -matrix[0][0]
    cell = jrnn.antisymmetric(2, epsilon=0.1, gamma=gamma)
    w_h = jnp.array([[0.0, matrix[1][0]], [0.0, 0.0]])
    params = jrnn.AntisymmetricParams(jnp.zeros((I, 2)), w_h, jnp.zeros(2))
    step = lambda h: cell.step(params, h, jnp.zeros(I))[0]
    jacobian = jax.jacobian(step)(jnp.zeros(2))
    size = np.abs(np.linalg.eigvals(np.asarray(jacobian))).max()
    assert abs(size - expected) < 1e-6


def test_indrnn_hands_back_powers_of_its_weights():
    cell = jrnn.indrnn(H)
    u = jnp.array([0.5, 0.9, 1.0, 1.1])
    params = jrnn.IndRNNParams(jnp.zeros((I, H)), u, jnp.ones(H))
    last = lambda h: jrnn.unroll(cell, params, jnp.zeros((T, I)), h)[0]
    jacobian = jax.jacobian(last)(jnp.ones(H))
    np.testing.assert_allclose(jacobian, jnp.diag(u**T), rtol=1e-12)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(["exponential", "cayley"]),
    st.sampled_from([1, 2, 5]),
    st.floats(0, 20),
)
def test_orthogonal_for_any_weights(form, size, scale):
    cell = jrnn.orthogonal_rnn(size, form)
    a = scale * np.random.default_rng(size).normal(size=(size, size))
    params = jrnn.OrthogonalRNNParams(
        jnp.zeros((I, size)), jnp.asarray(a), jnp.zeros(size)
    )
    w = jax.jacobian(lambda h: cell.step(params, h, jnp.zeros(I))[0])(jnp.ones(size))
    np.testing.assert_allclose(w @ w.T, np.eye(size), atol=1e-9)


def turned(a):
    """The rotation that orthogonal_rnn makes of weights a."""
    size = len(a)
    params = jrnn.OrthogonalRNNParams(jnp.zeros((I, size), a.dtype), a, a[0] * 0)
    return _of_dtype(_exponential, params.a)


@pytest.mark.parametrize(
    "dtype, near, off", [(np.float32, 2e-5, 1e-6), (float, 1e-11, 1e-14)]
)
@pytest.mark.parametrize("scale", [0.0, 1e-8, 0.3, 30.0, 1000.0])
def test_the_exponential_is_that_of_scipy_and_more_orthogonal(scale, dtype, near, off):
    a = (scale * np.random.default_rng(4).normal(size=(12, 12))).astype(dtype)
    w = np.asarray(jax.jit(turned)(jnp.asarray(a)), float)
    expected = scipy.linalg.expm(a.astype(float) - a.T.astype(float))
    # what a rounding of A changes grows with its norm
    np.testing.assert_allclose(w, expected, atol=near * max(1.0, scale))
    np.testing.assert_allclose(w.T @ w, np.eye(12), atol=off)


def test_weights_too_large_for_an_exponential_give_nan():
    assert np.isnan(turned(1e4 * jnp.arange(16.0).reshape(4, 4))).all()


@pytest.mark.parametrize("form", ["exponential", "cayley"])
def test_no_systems_are_solved_in_a_batch(form):
    """Several batches may wait for each other's threads for good on CPUs."""
    cell, xs = jrnn.orthogonal_rnn(4, form), jnp.ones((3, I))
    params = jax.vmap(lambda k: cell.init(k, X))(jax.random.split(jax.random.key(0), 2))
    loss = lambda params: jrnn.unroll(cell, params, xs)[1].sum()
    program = jax.jit(jax.vmap(jax.grad(loss))).lower(params).as_text()
    counts = set(re.findall(r'num_batch_dims = "(\d)"', program))
    assert counts == ({"0"} if form == "cayley" else set())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["exponential", "cayley"])
def test_both_forms_start_as_the_same_turns(form):
    """Eigenvalues at the start are exp(+-i angle), angles uniform over the circle."""
    params = jrnn.orthogonal_rnn(400, form).init(jax.random.key(1), X)
    a = np.asarray(params.a - params.a.T)
    one = np.eye(400)
    w = scipy.linalg.expm(a) if form == "exponential" else (
        np.linalg.solve(one - a, one + a)
    )  # fmt: skip
    angles = np.angle(np.linalg.eigvals(w))
    positive = np.sort(angles[angles > 0]) / np.pi
    assert len(positive) == 200
    assert np.abs(positive - (np.arange(200) + 0.5) / 200).max() < 0.1  # uniform
    other = jrnn.orthogonal_rnn(400).init(jax.random.key(1), X).a
    expected = scipy.linalg.expm(np.asarray(other - other.T))
    np.testing.assert_allclose(w, expected, atol=1e-9)


@pytest.mark.slow
def test_gradients_of_the_orthogonal_network_keep_their_norm():
    cell = jrnn.orthogonal_rnn(8)
    params = start(cell)
    last = lambda h, steps: jrnn.unroll(cell, params, jnp.zeros((steps, I)), h)[0]
    for steps in (1, 200):
        jacobian = jax.jacobian(last)(jnp.ones(8), steps)
        values = np.linalg.svd(np.asarray(jacobian), compute_uv=False)
        np.testing.assert_allclose(values, 1, atol=1e-9)


def test_states_of_lem_stay_within_one_and_cornn_within_its_bound():
    xs = 50 * normal(200, I)
    lem = jrnn.lem(H)
    params = jax.tree.map(lambda a: 20 * a, start(lem))
    carry, ys = jrnn.unroll(lem, params, xs)
    assert jnp.abs(ys).max() <= 1 and jnp.abs(carry.z).max() <= 1
    # an overdamped oscillator under a force within 1 stays within 1/gamma
    cornn = jrnn.cornn(H, dt=0.05, gamma=2.0, epsilon=4.0)
    _, ys = jrnn.unroll(cornn, jax.tree.map(lambda a: 20 * a, start(cornn)), xs)
    assert 0.05 < jnp.abs(ys).max() <= 0.5 + 1e-9


def test_modules_of_clockwork_wait_and_listen_to_slower_ones_only():
    cell, xs = jrnn.clockwork(6, (1, 2, 4)), normal(T, I)
    params = start(cell)
    carry, ys = jrnn.unroll(cell, params, xs)
    moved = np.asarray(ys[1:] != ys[:-1])
    for module, period in enumerate((1, 2, 4)):
        expected = np.arange(1, T) % period == 0
        for unit in (2 * module, 2 * module + 1):
            np.testing.assert_array_equal(moved[:, unit], expected)
    np.testing.assert_array_equal(carry.wait, [(-T) % p for p in (1, 2, 4)])
    slope = jax.grad(lambda p: jnp.sin(jrnn.unroll(cell, p, xs)[1]).sum())(params).w_h
    heard = np.kron([[1, 0, 0], [1, 1, 0], [1, 1, 1]], np.ones((2, 2)))
    np.testing.assert_array_equal(np.asarray(slope != 0), heard != 0)


# Of neuroscience


def radius(w):
    return np.abs(np.linalg.eigvals(np.asarray(w))).max()


SIZES = st.sampled_from([2, 5, 24])


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(SIZES, st.floats(0.1, 0.9), st.floats(0.1, 3), st.integers(0, 99))
def test_dale_starts_balanced_with_the_radius_asked_for(size, share, rho, seed):
    number = round(share * size)
    if not 0 < number < size:
        return
    cell = jrnn.dale(size, excitatory=share, radius=rho)
    params = cell.init(jax.random.key(seed), X)
    assert (params.w_h >= 0).all()
    sign = np.where(np.arange(size) < number, 1, -1)
    w = sign[:, None] * np.asarray(params.w_h)
    np.testing.assert_allclose(w.sum(axis=0), 0, atol=1e-8 * np.abs(w).max())
    np.testing.assert_allclose(radius(w), rho, rtol=1e-6)


def test_units_of_dale_keep_their_signs_whatever_is_trained():
    cell = jrnn.dale(5, excitatory=0.6)
    params = jax.tree.map(lambda a: normal(*a.shape), start(cell))
    rates = jnp.ones(5)
    w = jax.jacobian(lambda v: cell.step(params, v, jnp.zeros(I))[0])(rates)
    weights = np.asarray(w.T) - 0.8 * np.eye(5)  # dt / tau = 0.2
    assert (weights[:3] >= 0).all() and (weights[3:] <= 0).all()
    assert (weights != 0).sum() > 8


def test_low_rank_states_decay_to_the_dimensions_written():
    cell = jrnn.low_rank(20, 2, dt=50.0)
    params = start(cell)
    v, _ = jrnn.unroll(cell, params, jnp.zeros((60, I)), normal(20))
    m = np.asarray(params.m)
    outside = v - m @ np.linalg.lstsq(m, np.asarray(v), rcond=None)[0]
    assert jnp.abs(outside).max() < 1e-12 * 2**10
    jacobian = jax.jacobian(lambda v: cell.step(params, v, jnp.zeros(I))[0])(v)
    assert np.linalg.matrix_rank(np.asarray(jacobian) - 0.5 * np.eye(20)) == 2


def test_leaky_with_the_whole_step_is_elman():
    leaky, elman, xs = jrnn.leaky(H, tau=20.0, dt=20.0), jrnn.elman(H), normal(T, I)
    params = start(leaky)
    expected = jrnn.unroll(elman, jrnn.ElmanParams(*params), xs)[1]
    np.testing.assert_allclose(jrnn.unroll(leaky, params, xs)[1], expected, atol=1e-14)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(SIZES, st.floats(0.01, 1), st.floats(0.1, 2), st.integers(0, 99))
def test_reservoirs_have_the_radius_and_the_density_asked_for(size, share, rho, seed):
    cell = jrnn.echo_state(size, radius=rho, density=share, input_scale=0.5)
    params = cell.init(jax.random.key(seed), X)
    np.testing.assert_allclose(radius(params.w_h), rho, rtol=1e-5)
    entries = np.asarray(params.w_h != 0).sum(axis=0)
    assert (entries == max(1, round(share * size))).all()
    assert jnp.abs(params.w_x).max() <= 0.5 and not params.b.any()


def test_reservoirs_forget_how_they_started():
    cell, xs = jrnn.echo_state(30, leak=0.5, bias_scale=0.1), normal(300, I)
    params = start(cell)
    assert params.b.any()
    ends = [jrnn.unroll(cell, params, xs, h)[0] for h in (jnp.zeros(30), jnp.ones(30))]
    assert 0 < jnp.abs(ends[0]).max() and jnp.abs(ends[0] - ends[1]).max() < 1e-8


@pytest.mark.parametrize("penalty", [0.0, 1e-3, 10.0])
def test_a_ridge_readout_solves_the_equations(penalty):
    hs, ys = normal(3, 11, H), normal(3, 11, 2, seed=4)
    readout = jrnn.ridge_readout(hs, ys, penalty)
    h, y = np.asarray(hs).reshape(33, H), np.asarray(ys).reshape(33, 2)
    h_0, y_0 = h - h.mean(axis=0), y - y.mean(axis=0)
    w = np.linalg.solve(h_0.T @ h_0 + penalty * np.eye(H), h_0.T @ y_0)
    np.testing.assert_allclose(readout.w, w, rtol=1e-10)
    np.testing.assert_allclose(readout.b, y.mean(axis=0) - h.mean(axis=0) @ w)


def test_a_ridge_readout_of_states_that_do_not_differ_is_finite():
    hs = jnp.concatenate([normal(9, 2), normal(9, 2), jnp.ones((9, 1))], axis=1)
    hs = hs.at[:, 2:4].set(hs[:, :2])
    ys = hs[:, :1] + 2
    readout = jrnn.ridge_readout(hs, ys, 0.0)
    got = np.asarray(hs @ readout.w) + np.asarray(readout.b)
    np.testing.assert_allclose(got, ys, atol=1e-10)
    assert jnp.abs(readout.w).max() <= 0.5 + 1e-9  # the shortest of all that fit
