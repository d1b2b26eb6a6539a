"""Linear recurrences without mixing: the loop, the pairwise form, and `unroll`."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, example

import jrnn

T, H = 7, 3
NOT_FINITE = pytest.mark.skipif(
    jax.config.jax_debug_nans, reason="its states are not finite, on purpose"
)


def numbers(length=T):
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape))
    tree = lambda *axes: {"p": draw(*axes, H), "q": (draw(*axes, 2, H),)}
    return tree(length), tree(length), tree()


def by_hand(a, u, h, reverse):
    hs = np.zeros_like(u)
    for t in reversed(range(len(a))) if reverse else range(len(a)):
        hs[t] = h = a[t] * h + u[t]
    return hs


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("parallel", [False, True, None])
@pytest.mark.parametrize("length", [0, 1, T])
def test_all_forms_equal_a_loop_by_hand(parallel, reverse, length):
    if jax.config.jax_disable_jit and not length:
        pytest.skip("without jit, JAX refuses a loop of no steps")
    a, u, h = numbers(length)
    run = lambda *args: jrnn.diagonal_scan(*args, reverse=reverse, parallel=parallel)
    expected = jax.tree.map(
        lambda *args: by_hand(*map(np.asarray, args), reverse), a, u, h
    )
    chex.assert_trees_all_close(jax.jit(run)(a, u, h), expected, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("parallel", [True, None])
def test_gradients_and_batches_of_all_forms(parallel, reverse):
    a, u, h = numbers()

    def gradients(parallel):
        options = {"parallel": parallel, "reverse": reverse}
        run = lambda *args: jrnn.diagonal_scan(*args, **options)
        total = lambda *args: sum(jnp.sin(x).sum() for x in jax.tree.leaves(run(*args)))
        twice = lambda tree: jax.tree.map(lambda x: jnp.stack([x, 2 * x]), tree)
        each = jax.vmap(jax.grad(total, (0, 1, 2)))
        return jax.jit(each)(*map(twice, (a, u, h)))

    chex.assert_trees_all_close(gradients(parallel), gradients(False), rtol=1e-11)


def test_shapes_that_do_not_go_together():
    with pytest.raises(ValueError, match="diagonal_scan: a and u must have the same"):
        jrnn.diagonal_scan(jnp.ones((T, H)), jnp.ones((T, 1)), jnp.ones(H))
    with pytest.raises(ValueError, match=r"a must be \(T, ...\) where init is"):
        jrnn.diagonal_scan(jnp.ones((T, H)), jnp.ones((T, H)), jnp.ones(2))


def loops(cell, params, xs):
    jaxpr = jax.make_jaxpr(lambda xs: jrnn.unroll(cell, params, xs))(xs)
    return str(jaxpr).count("platform_index")


def test_only_a_declared_cell_may_run_in_parallel():
    ex = example("diagonal")
    assert "diagonal" in CASES and loops(ex.cell, ex.params, ex.xs) > 0
    changed = jrnn.residual(ex.cell)
    assert not isinstance(changed.step, jrnn.DiagonalStep)
    assert loops(changed, ex.params, ex.xs) == 0


# Stacks: layers one after the other, those that are linear in parallel

STACKS = {
    "one": lambda: jrnn.stack(jrnn.linear(H), jrnn.min_gru(H), jrnn.linear(2)),
    "nested": lambda: jrnn.stack(
        jrnn.stack(jrnn.lru(H), jrnn.activation(jnp.tanh)),
        jrnn.elman(2),
        jrnn.stack(jrnn.sru(H), jrnn.residual(jrnn.min_lstm(H))),
    ),
    "noisy": lambda: jrnn.stack(
        jrnn.dropout(jrnn.linear(H), 0.4),
        jrnn.qrnn(H),
        jrnn.dropout(jrnn.gru(H), 0.3),
    ),
}


def stack_example(name):
    """The model, its params, inputs and a carry that is not zero."""
    model = STACKS[name]()
    xs = jax.random.normal(jax.random.key(1), (T, 2))
    params = model.init(jax.random.key(0), xs[0])
    carry = model.initial_carry(params, key=jax.random.key(2))
    away = lambda h: h + jnp.cos(jnp.arange(1.0, h.size + 1)).astype(h.dtype)
    carry = jax.tree.map(away, carry)
    return model, params, xs, carry, jax.random.key(3)


@pytest.fixture
def as_off_the_cpu(monkeypatch):
    """What `unroll` does on other platforms, done on this one."""

    def other(*args, cpu, default):
        del cpu
        return default(*args)

    monkeypatch.setattr(jax.lax, "platform_dependent", other)


def test_a_stack_may_run_in_parallel_where_a_layer_is_linear():
    for name in STACKS:
        model, params, xs, carry, key = stack_example(name)
        run = lambda xs: jrnn.unroll(model, params, xs, carry, key=key)  # noqa: B023
        assert "platform_index" in str(jax.make_jaxpr(run)(xs)), name
    ex = example("stack-nested")
    assert loops(ex.cell, ex.params, ex.xs) == 0


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", STACKS)
def test_a_stack_layer_by_layer_equals_a_loop_of_steps(name, reverse, as_off_the_cpu):
    """Values with the keys of `unroll`, and gradients."""
    model, params, xs, carry, key = stack_example(name)

    def loop(params, xs, carry):
        keys = jax.random.split(jax.random.split(key)[1], T)
        step = lambda c, now: model.step(params, c, now[0], key=now[1])
        return jax.lax.scan(step, carry, (xs, keys), reverse=reverse)

    def layers(params, xs, carry):
        return jrnn.unroll(model, params, xs, carry, key=key, reverse=reverse)

    def answers(run):
        total = lambda *args: sum(
            jnp.sin(x.real).sum() + jnp.cos(x.imag).sum()
            for x in jax.tree.leaves(run(*args))
        )
        both = lambda *args: (run(*args), jax.grad(total, (0, 1, 2))(*args))
        with jax.debug_key_reuse(False):  # the same noise, by both forms
            return jax.jit(both)(params, xs, carry)

    chex.assert_trees_all_close(answers(layers), answers(loop), rtol=1e-10, atol=1e-11)


def test_no_loop_over_time_is_left_in_a_stack_of_linear_layers():
    model = jrnn.stack(
        jrnn.linear(H), jrnn.lru(H), jrnn.activation(jnp.tanh), jrnn.sru(H)
    )
    xs = jnp.ones((T, 2))
    params = model.init(jax.random.key(0), xs[0])
    run = lambda params: jrnn.unroll(model, params, xs)[1].sum()
    traced = jax.jit(jax.grad(run)).trace(params)
    loops = lambda platform: (
        traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.while")
    )
    assert loops("cuda") == 0 and loops("cpu") > 0


@pytest.mark.skipif(jax.config.jax_disable_jit, reason="a program is made")
def test_no_steps_and_a_symbolic_number_of_them(as_off_the_cpu):
    cell, params, xs, carry, _ = stack_example("one")
    run = lambda xs: jrnn.unroll(cell, params, xs, carry)
    last, ys = run(xs[:0])
    chex.assert_trees_all_equal(last, carry)
    assert ys.shape == (0, 2)
    form = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("T"), 2), xs.dtype)
    program = jax.export.export(jax.jit(lambda xs: run(xs)[1]))(form)
    chex.assert_trees_all_close(program.call(xs), run(xs)[1], rtol=1e-12)


def test_a_stack_with_params_of_another_names_its_entries(as_off_the_cpu):
    model, params, xs, *_ = stack_example("one")
    with pytest.raises(
        ValueError, match="stack: params must be a tuple with 3 entries"
    ):
        jrnn.unroll(model, params[:2], xs)


# Numbers of any magnitude. The oracle is a loop in NumPy's long double, whose range of
# exponents no product here leaves. With H_t = |a_t| H_{t-1} + |u_t|, the sum of the
# magnitudes of all that h_t is made of, joining in any order is promised to be right to
# rounding of H_t, where that is finite.

STEPS, LANES = 37, 400


def lanes(seed, dtype):
    """Recurrences of many kinds whose H stays below the largest number, mostly barely.

    Factors are zero, one, or of any exponent; whole stretches grow from zero.
    """
    rng, info = np.random.default_rng(seed), np.finfo(dtype)
    spread = rng.choice([1, 8, 40, 100, info.maxexp - 3], LANES)
    draw = lambda shape, zeros: np.where(
        rng.random(shape) < zeros,
        0.0,
        rng.choice([-1, 1], shape)
        * np.ldexp(rng.uniform(1, 2, shape), rng.integers(-spread, spread + 1, shape)),
    )
    quiet = rng.choice([0.3, 0.95, 1.0], LANES)
    a, u = draw((STEPS, LANES), 0.04), draw((STEPS, LANES), quiet)
    h = draw(LANES, rng.choice([0.0, 1.0], LANES))
    a, u, h = (np.asarray(x, dtype).astype(np.longdouble) for x in (a, u, h))
    size, largest = np.abs(h), np.longdouble(info.max) / 16
    for t in range(STEPS):
        too_large = np.abs(a[t]) * size + np.abs(u[t]) > largest
        a[t], u[t] = np.where(too_large, 0, a[t]), np.where(too_large, 0, u[t])
        size = np.abs(a[t]) * size + np.abs(u[t])
    return a, u, h


def loop_and_bound(a, u, h, dtype):
    """States, and how far off rounding and what is below the range may put them."""
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    state, size, error = h, np.abs(h), np.zeros_like(h)
    states, errors = np.zeros_like(u), np.zeros_like(u)
    for t in range(len(a)):
        error = np.abs(a[t]) * error + tiny * (size + 16)
        size = np.abs(a[t]) * size + np.abs(u[t])
        states[t] = state = a[t] * state + u[t]
        errors[t] = error + 2 * len(a) * eps * size
    return states, errors


PAIRWISE = jax.jit(
    lambda *args, reverse=False: jrnn.diagonal_scan(
        *args, parallel=True, reverse=reverse
    ),
    static_argnames="reverse",
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_pairwise_equals_the_loop_at_any_magnitude(seed, reverse, dtype):
    a, u, h = lanes(seed, dtype)
    expected, errors = loop_and_bound(a, u, h, dtype)
    turn = (lambda x: x[::-1]) if reverse else (lambda x: x)
    got = PAIRWISE(
        *(turn(x).astype(dtype) for x in (a, u)), h.astype(dtype), reverse=reverse
    )
    got = turn(np.asarray(got)).astype(np.longdouble)
    assert np.isfinite(got).all()
    assert (np.abs(got - expected) <= errors).all()
    product = np.abs(np.cumprod(np.where(a == 0, 1, a), axis=0)).max(axis=0)
    assert (product > np.finfo(dtype).max).mean() > 0.05  # what used to be infinite


@NOT_FINITE
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_pairwise_gradients_at_any_magnitude(seed):
    """g_t = w_t + a_{t+1} g_{t+1};  du = g,  da_t = g_t h_{t-1},  dh_0 = a_1 g_1."""
    dtype = np.float32
    w, bounded, _ = lanes(seed, dtype)  # the recurrence back is drawn, and a made of it
    a, _, h = np.vstack([w[:1] * 0 + 1, w[:0:-1]]), None, np.ones(LANES)
    w = bounded[::-1].copy()
    u = np.zeros_like(a)
    h = h.astype(np.longdouble)
    f = lambda a, u, h: (PAIRWISE(a, u, h) * w.astype(dtype)).sum()
    da, du = jax.grad(f, (0, 1))(*(x.astype(dtype) for x in (a, u, h)))
    zeros = np.zeros(LANES, np.longdouble)
    shifted = np.vstack([zeros[None], a[:0:-1]])
    g, errors = loop_and_bound(shifted, w[::-1], zeros, dtype)
    g, errors = g[::-1], errors[::-1]
    assert (np.abs(np.asarray(du).astype(np.longdouble) - g) <= errors).all()
    states, wrong = loop_and_bound(a, u, h, dtype)
    before, wrong = (
        np.vstack([h[None], states[:-1]]),
        np.vstack([zeros[None], wrong[:-1]]),
    )
    bound = np.abs(before) * errors + np.abs(g) * wrong + errors * wrong
    bound += 4 * np.finfo(dtype).eps * np.abs(g * before) + np.finfo(dtype).tiny
    right = np.abs(np.asarray(da).astype(np.longdouble) - g * before) <= bound
    largest = np.finfo(dtype).max / 16
    fits = np.maximum.accumulate(np.abs(before)) < largest
    fits &= np.abs(g * before) < largest
    assert right[fits].all() and fits.mean() > 0.5


@pytest.mark.slow
def test_a_product_that_overflows_where_the_states_do_not():
    a = np.concatenate([np.full(32, 1e30), np.zeros(32)]).astype("f4")
    zeros = np.zeros(64, "f4")
    for reverse in (False, True):
        got = PAIRWISE(a, zeros, np.float32(0), reverse=reverse)
        np.testing.assert_array_equal(got, zeros)
    # 1e-30, 1, 1e30, 0: the product of all factors and of any two is infinite or zero
    a, u = np.array([1e30, 1e30, 0, 1e30], "f4"), np.array([0, 0, 0, 1], "f4")
    got = PAIRWISE(a, u, np.float32(1e-30))
    np.testing.assert_allclose(got, [1, 1e30, 0, 1], rtol=1e-6)
    down = np.full(4, 1e-30, "f4")
    got = PAIRWISE(down, np.zeros(4, "f4"), np.float32(1e38))
    np.testing.assert_allclose(got, [1e8, 1e-22, 0, 0], rtol=1e-6)


@pytest.mark.slow
def test_complex_products_that_overflow():
    rng = np.random.default_rng(5)
    turn = np.exp(2j * np.pi * rng.random((STEPS, 50)))
    size = np.full((STEPS, 50), 1e30)
    size[1::2] = 1e-29
    a = (turn * size).astype("c8")
    u = np.zeros_like(a)
    h = np.exp(2j * np.pi * rng.random(50)).astype("c8") * np.float32(1e-25)
    loop = by_hand(a.astype("c16"), u.astype("c16"), h.astype("c16"), False)
    got = np.asarray(PAIRWISE(a, u, h))
    assert got.dtype == "c8" and np.log10(size).cumsum(axis=0).max() > 39
    np.testing.assert_allclose(got, loop, rtol=STEPS * 1e-6, atol=1e-36)

    def run(parallel, a, h):
        hs = jrnn.diagonal_scan(a, jnp.zeros_like(a), h, parallel=parallel)
        return (jnp.abs(hs[::5]) ** 2).sum()

    small = lambda x: x.astype("c16")
    got, loop = (
        jax.jit(jax.grad(partial(run, parallel), (0, 1)))(small(a), small(h))
        for parallel in (True, False)
    )
    chex.assert_trees_all_close(got, loop, rtol=1e-11)


@NOT_FINITE
@pytest.mark.parametrize("where", ["a", "u"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_does_not_reach_earlier_states(where, bad):
    a, u, h = (np.array(x["p"]) for x in numbers())
    expected = by_hand(a, u, h, False)[:4]
    dict(a=a, u=u)[where][4, 1] = bad
    got = np.asarray(PAIRWISE(a, u, h))
    np.testing.assert_allclose(got[:4], expected, rtol=1e-12)
    assert not np.isfinite(got[4:, 1]).any() and np.isfinite(got[:, 0]).all()


@pytest.mark.slow
def test_second_derivatives_of_the_pairwise_form():
    a, u, h = (x["p"][:, 0] if x["p"].ndim > 1 else x["p"][0] for x in numbers())

    def total(parallel, packed):
        a, u, h = packed[:T], packed[T:-1], packed[-1]
        return jnp.sin(jrnn.diagonal_scan(a, u, h, parallel=parallel)).sum()

    packed = jnp.concatenate([a, u, h[None]])
    for order in (jax.hessian, lambda f: jax.jacfwd(jax.grad(f))):
        got, expected = (
            jax.jit(order(partial(total, parallel)))(packed)
            for parallel in (True, False)
        )
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
def test_pairwise_in_other_types(dtype):
    rng = np.random.default_rng(2)
    draw = lambda *shape: jnp.asarray(rng.integers(-3, 4, shape), dtype)
    a, u, h = draw(T, H), draw(T, H), draw(H)
    if dtype != "int8":
        a = a / 4
    got = PAIRWISE(a, u, h)
    assert got.dtype == dtype
    loop = jrnn.diagonal_scan(a, u, h, parallel=False)
    if dtype == "int8":  # both wrap
        np.testing.assert_array_equal(got, loop)
    else:
        exact = by_hand(*(np.asarray(x).astype("f8") for x in (a, u, h)), False)
        np.testing.assert_allclose(got.astype("f8"), exact, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [False, True, None])
def test_dtypes_that_do_not_go_together(parallel):
    a, u, h = jnp.ones((T, H), "c8"), jnp.ones((T, H), "f4"), jnp.ones(H, "f4")
    run = partial(jrnn.diagonal_scan, parallel=parallel)
    message = (
        r"diagonal_scan: init must have the dtype of the states that a and u make of "
        r"it, complex64, got complex64, float32 and float32 for a, u and init\. Use "
        r"init\.astype\(jnp\.complex64\)"
    )
    with jax.numpy_dtype_promotion("standard"):
        with pytest.raises(TypeError, match=message):
            run(a, u, h)
        with pytest.raises(
            TypeError, match="float64, got float32, float64 and float32"
        ):
            run(u, u.astype("f8"), h)
        got = run(a, u, h.astype("c8"))  # the remedy
        assert got.dtype == "c8"
        np.testing.assert_allclose(got[:, 0], np.arange(2, T + 2))
        real = run(u, a, h.astype("c8"))  # a real factor of a complex state
        np.testing.assert_allclose(real, got)


@pytest.mark.slow
@pytest.mark.skipif(jax.config.jax_disable_jit, reason="100,000 steps in Python")
@pytest.mark.parametrize("constant", [True, False], ids=["constant", "varying"])
def test_the_error_at_modulus_one_is_what_the_docstring_says(constant):
    """Factors of modulus 1, 100,000 steps in float32; shares of the largest state."""
    length, lanes = 100_000, 8
    rng = np.random.default_rng(0)
    normal = lambda: rng.normal(size=(length, lanes))
    turn = np.exp(1j * rng.uniform(0, np.pi, (length, lanes)))
    a = np.broadcast_to(turn[0], turn.shape) if constant else turn
    a, u = a.astype("c8"), (normal() + 1j * normal()).astype("c8")
    h = np.zeros(lanes, "c8")
    exact = by_hand(a.astype("c16"), u.astype("c16"), h, False)
    run = jax.jit(jrnn.diagonal_scan, static_argnames="parallel")
    loop, pairwise = (
        np.abs(np.asarray(run(a, u, h, parallel=parallel)) - exact).max()
        / np.abs(exact).max()
        for parallel in (False, True)
    )
    assert 0.5e-5 < loop < 2e-5
    low, high = (4e-4, 12e-4) if constant else (0.5e-5, 2e-5)
    assert low < pairwise < high


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 3])
def test_products_within_a_rounding_of_a_power_of_two(level):
    """A product that is rounded in two ways is scaled and counted alike.

    Each pair of factors turns by a multiple of a quarter: its product has a part that
    is 1 up to rounding, above it or below.
    """
    length, lanes = 512, 40
    rng = np.random.default_rng(1)
    angle = rng.uniform(0, 2 * np.pi, (length, lanes))
    angle[1::2] = rng.integers(0, 4, angle[1::2].shape) * (np.pi / 2) - angle[::2]
    a = np.exp(1j * angle).astype("c8")
    u = rng.normal(size=a.shape).astype("c8")
    h = np.zeros(lanes, "c8")
    exact = by_hand(a.astype("c16"), u.astype("c16"), h, False)
    run = lambda a, u, h: jrnn.diagonal_scan(a, u, h, parallel=True)
    options = {"xla_backend_optimization_level": level}
    got = jax.jit(run, compiler_options=options)(a, u, h)
    error = np.abs(np.asarray(got) - exact).max() / np.abs(exact).max()
    assert error < 2e-5


@pytest.mark.slow
def test_a_zero_among_many_large_factors_has_a_derivative():
    """Their product is 0 * 2^e with an e that no float has, going back too."""
    a = np.full(512, 1e38, "f4")
    a[-1] = 0
    of_last = lambda u: PAIRWISE(a, u, np.float32(0))[-1]
    expected = np.zeros(512)
    expected[-1] = 1
    np.testing.assert_array_equal(jax.grad(of_last)(np.zeros(512, "f4")), expected)
