"""States of all steps at once: affine recurrences, the adjoint, Newton's method."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, B, T, example, new_key
from jax import lax
from test_laws import (
    THOROUGH,
    close,
    lax_unroll,
    loss_arguments,
    make_loss,
    run,
    value_and_grads,
)

import jrnn
from jrnn.parallel_time import adjoint_unroll, affine_scan, newton_unroll

N = 3
WITHOUT_JIT = pytest.mark.skipif(
    jax.config.jax_disable_jit, reason="thousands of steps in Python"
)
NOT_FINITE = pytest.mark.skipif(
    jax.config.jax_debug_nans, reason="some numbers are not finite, on purpose"
)


def normal(*shape, seed=0, dtype="f8"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# Affine recurrences


def by_hand(a, u, h, reverse=False):
    hs = np.zeros_like(u)
    for t in reversed(range(len(a))) if reverse else range(len(a)):
        hs[t] = h = a[t] @ h + u[t]
    return hs


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 7])
def test_an_affine_recurrence_equals_a_loop_by_hand(length, reverse):
    a, u, h = normal(length, N, N), normal(length, N, seed=1), normal(N, seed=2)
    got = jax.jit(affine_scan, static_argnames="reverse")(a, u, h, reverse=reverse)
    np.testing.assert_allclose(got, by_hand(a, u, h, reverse), rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives_of_an_affine_recurrence(reverse):
    """First and second ones, in both modes, batched, against those of a loop."""
    args = normal(2, 7, N, N), normal(2, 7, N, seed=1), normal(2, N, seed=2)

    def loop(a, u, h):
        step = lambda h, now: (now[0] @ h + now[1],) * 2
        return lax.scan(step, h, (a, u), reverse=reverse)[1]

    def answers(form):
        total = lambda *args: jnp.sin(form(*args)).sum()
        first = jax.grad(total, (0, 1, 2))
        directional = lambda *args: jax.jvp(first, args, args)[1]
        forward = lambda *args: jax.jvp(total, args, args)[1]
        each = lambda *args: (first(*args), directional(*args), forward(*args))
        return jax.jit(jax.vmap(each))(*args)

    parallel = functools.partial(affine_scan, reverse=reverse)
    chex.assert_trees_all_close(answers(parallel), answers(loop), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_products_of_matrices_leave_the_range_of_floats_and_states_do_not():
    """Sixteen factors of 1e30 in a row, and then as many of 1e-30, in float32."""
    turn = np.linalg.qr(normal(64, N, N))[0]
    size = np.repeat([1e30, 1e-30, 1e30, 1e-30], 16)[:, None, None]
    a, u = (turn * size).astype("f4"), normal(64, N, seed=1, dtype="f4")
    a[31], u[31], u[:16], u[32:47] = 0, 0, 0, 0  # what grows is zero
    h = np.zeros(N, "f4")
    expected = by_hand(*(x.astype("f8") for x in (a, u, h)))
    got = jax.jit(affine_scan)(a, u, h)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    pull = jax.jit(jax.grad(lambda u: affine_scan(a, u, h)[-1].sum()))(u)
    np.testing.assert_allclose(pull[-1], np.ones(N))
    np.testing.assert_allclose(pull[:32], 0)


@pytest.mark.slow
def test_an_affine_recurrence_in_half_precision():
    a, u, h = (jnp.asarray(x / 2, "bfloat16") for x in (
        normal(7, N, N), normal(7, N), normal(N)))  # fmt: skip
    got = jax.jit(affine_scan)(a, u, h)
    assert got.dtype == "bfloat16"
    exact = by_hand(*(np.asarray(x).astype("f8") for x in (a, u, h)))
    np.testing.assert_allclose(got.astype("f8"), exact, rtol=1e-2, atol=1e-2)


# The adjoint: laws over every cell


def adjoint(cell, params, xs, carry, *, key=None, reverse=False, remat=None):
    assert remat is None
    return adjoint_unroll(cell, params, xs, carry, key=key, reverse=reverse)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_adjoint_equals_the_gradient_of_a_loop(name):
    got = value_and_grads(name, adjoint, False)
    close(got, value_and_grads(name, lax_unroll, False), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", THOROUGH)
def test_the_adjoint_in_reverse_equals_the_gradient_of_a_loop(name):
    got = value_and_grads(name, adjoint, True)
    close(got, value_and_grads(name, lax_unroll, True), 1e-10)


def test_the_adjoint_has_the_values_of_unroll():
    ex = example("lstm")
    got = jax.jit(functools.partial(adjoint_unroll, ex.cell))(ex.params, ex.xs)
    close(got, run("lstm")(ex.params, ex.xs, None, None))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "lru", "clockwork"])
def test_other_derivatives_of_the_adjoint(name):
    """Forward mode, and the second derivative along a direction."""
    ex = example(name)
    args = loss_arguments(ex)

    def answers(unroll):
        loss = make_loss(ex, unroll)
        forward = lambda *args: jax.jvp(loss, args, args)[1]
        second = lambda *args: jax.jvp(jax.grad(loss, (0, 1, 2)), args, args)[1]
        return jax.jit(lambda *args: (forward(*args), second(*args)))(*args)

    close(answers(adjoint_unroll), answers(lax_unroll), 1e-9)


@pytest.mark.slow
def test_the_adjoint_of_a_cell_that_counts():
    """What has no derivative is followed: every third step reads its input."""

    def step(params, carry, x, *, key=None):
        h, count = carry
        h = jnp.where(count % 3 == 0, jnp.tanh(params * h + x), params * h)
        return (h, count + 1), h * count.astype(h.dtype)

    cell, xs = jrnn.Cell(None, None, step), jnp.asarray(normal(7, N))
    params, start = jnp.asarray(normal(N)), jnp.asarray(normal(N, seed=1))

    def gradient(unroll):
        def total(params, xs, h):
            (h, count), ys = unroll(cell, params, xs, (h, jnp.int32(1)))
            return jnp.sin(ys).sum() + (h * count.astype(h.dtype)).sum()

        return jax.jit(jax.value_and_grad(total, (0, 1, 2)))(params, xs, start)

    close(gradient(adjoint_unroll), gradient(lax_unroll), 1e-12)


def operations(function, *args):
    """Names of the operations of a program, also within others, and loops over T."""
    names, loops = [], 0

    def visit(jaxpr):
        nonlocal loops
        for eqn in jaxpr.eqns:
            names.append(eqn.primitive.name)
            loops += eqn.params.get("length") == T
            for inner in jax.tree.leaves(eqn.params):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    visit(inner)

    visit(jax.make_jaxpr(function)(*args).jaxpr)
    return names, loops


def gradient_of(unroll):
    ex = example("elman")
    loss = lambda params: jnp.sin(unroll(ex.cell, params, ex.xs)[1]).sum()
    return jax.grad(loss), ex.params


def test_no_loop_goes_back_over_time():
    sequential, _ = operations(*gradient_of(jrnn.unroll))
    assert "jrnn_scan" in sequential and "jrnn_pull" in sequential
    names, loops = operations(*gradient_of(adjoint_unroll))
    assert names.count("jrnn_scan") == 1 and "jrnn_pull" not in names  # forward only
    assert loops == 0
    names, loops = operations(*gradient_of(newton_unroll))
    assert "while" in names and not loops and "jrnn_scan" not in names


# Newton's method


def newton(name, **options):
    ex = example(name)
    form = functools.partial(newton_unroll, ex.cell, **options)
    return jax.jit(form)(ex.params, ex.xs, key=new_key(ex.case))


def same_as_unroll(name, got):
    ex = example(name)
    assert got.report.converged and got.report.residual <= 1e-13
    expected = run(name)(ex.params, ex.xs, None, new_key(ex.case))
    close((got.carry, got.ys), expected, 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_newton_equals_a_loop_after_at_most_as_many_iterations_as_steps(name):
    got = newton(name, tolerance=1e-13)
    same_as_unroll(name, got)
    assert got.report.iterations <= T
    if isinstance(example(name).cell.step, jrnn.DiagonalStep):
        assert got.report.iterations <= 2  # one, up to rounding


OTHERS = {
    "diagonal": {"jacobian": "diagonal"},
    "damped": {"damping": 0.3},
    "damped-diagonal": {"jacobian": "diagonal", "damping": 0.3},
    "no-jacobian": {"damping": 1.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("name", [*THOROUGH, "stack-nested", "lru", "slstm-exp"])
def test_other_forms_of_newton_need_no_more_iterations_than_steps(name, options):
    got = newton(name, tolerance=1e-13, **options)
    same_as_unroll(name, got)
    assert got.report.iterations <= T


def test_the_diagonal_form_takes_the_diagonal():
    """One iteration from h = 0, by hand: A = diag(w_h) * (1 - tanh(a)^2)."""
    ex = example("elman")
    w_x, w_h, b = map(np.asarray, ex.params)
    f = np.tanh(np.asarray(ex.xs) @ w_x + b)
    a = 0.6 * np.diag(w_h) * (1 - f**2)
    hs, d = [], np.zeros(len(b))
    for t in range(T):
        hs.append(f[t] + a[t] * d)
        d = a[t] * d + f[t]
    options = {"jacobian": "diagonal", "damping": 0.4, "max_iterations": 1}
    form = jax.jit(functools.partial(newton_unroll, ex.cell, **options))
    carry, _, report = form(ex.params, ex.xs)
    np.testing.assert_allclose(carry, hs[-1], rtol=1e-12)
    assert report.iterations == 1 and not report.converged and report.residual > 1e-3


def test_states_that_grow_far_do_not_hide_the_others():
    """Twelve steps of 4 h (1 - h), which need a few iterations, then ten of 1e3 h."""

    def step(params, h, grows, *, key=None):
        h = jnp.where(grows, 1e3 * h, 4 * h * (1 - h))
        return h, h

    start = lambda params, *, key=None: jnp.full((), 0.3)
    cell, xs = jrnn.Cell(None, start, step), jnp.arange(22) >= 12
    expected, h = [], 0.3
    for grows in np.asarray(xs):
        expected.append(h := 1e3 * h if grows else 4 * h * (1 - h))
    run = lambda most: newton_unroll(cell, (), xs, max_iterations=most)
    for most in (1, 3, 22):
        _, ys, report = jax.jit(run, static_argnums=0)(most)
        error = np.abs(ys / np.asarray(expected) - 1).max()
        assert bool(report.converged) == (error < 1e-9) == (most == 22), (most, error)


@NOT_FINITE
def test_a_correction_that_is_not_finite_is_left_out():
    """From h = 0 the slope is 1e25 at all steps; of the states themselves it is 0."""

    def step(params, h, x, *, key=None):
        h = jnp.tanh(1e25 * h + x)
        return h, h

    start = lambda params, *, key=None: jnp.zeros((), "f4")
    cell, xs = jrnn.Cell(None, start, step), jnp.asarray(abs(normal(20)), "f4")
    _, ys, report = jax.jit(functools.partial(newton_unroll, cell, ()))(xs)
    np.testing.assert_array_equal(ys[1:], np.ones(19))
    assert report.converged and report.iterations <= 4


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "reset-variational"])
def test_the_gradient_through_newton_is_that_of_a_loop(name, reverse):
    def unroll(cell, params, xs, carry, *, key=None, reverse=False, remat=None):
        assert remat is None
        options = {"key": key, "reverse": reverse, "jacobian": "diagonal"}
        return newton_unroll(cell, params, xs, carry, tolerance=1e-14, **options)[:2]

    got = value_and_grads(name, unroll, reverse)
    close(got, value_and_grads(name, lax_unroll, reverse), 1e-10)


@pytest.mark.slow
def test_each_sequence_of_a_batch_has_its_own_report():
    ex = example("gru")
    alone = lambda xs: newton_unroll(ex.cell, ex.params, xs)
    scale = jnp.asarray([0.0, 1.0, 9.0])[:, None, None]
    assert len(scale) == B
    batched = jax.jit(jax.vmap(alone))(scale * ex.batch)
    single = [jax.jit(alone)(xs) for xs in scale * ex.batch]
    assert len({int(r.iterations) for *_, r in single}) > 1
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *single)
    np.testing.assert_array_equal(batched.report.iterations, stacked.report.iterations)
    close(batched[:2], stacked[:2])


@NOT_FINITE
@pytest.mark.slow
def test_what_has_no_states_is_said_to_have_none():
    ex = example("gru")
    xs = ex.xs.at[2].set(jnp.nan)
    carry, ys, report = jax.jit(functools.partial(newton_unroll, ex.cell))(
        ex.params, xs
    )
    assert not report.converged and report.iterations == 100
    expected = run("gru")(ex.params, xs, None, None)[1]
    np.testing.assert_allclose(ys[:2], expected[:2], rtol=1e-12)
    assert jnp.isnan(carry).all()


def long_example(make, w_h_scale, dtype, length=1000, size=8):
    cell, xs = make(size), jnp.asarray(normal(length, N), dtype)
    params = cell.init(jax.random.key(0), xs[0])
    return cell, params._replace(w_h=w_h_scale * params.w_h), xs


@pytest.mark.slow
@WITHOUT_JIT
@pytest.mark.parametrize("make", [jrnn.gru, jrnn.lstm])
def test_a_thousand_steps_by_newton(make):
    """As `init` draws them, in float32."""
    cell, params, xs = long_example(make, 1.0, "f4", size=16)
    _, ys, report = jax.jit(functools.partial(newton_unroll, cell))(params, xs)
    difference = jnp.abs(
        ys - lax_unroll(cell, params, xs, cell.initial_carry(params))[1]
    )
    print(f"{make.__name__}: {report}, {difference.max():.1e}")  # pytest -rP shows it
    assert ys.dtype == "f4" and report.converged and report.iterations < 10
    assert difference.max() < 1e-5


@pytest.mark.slow
@WITHOUT_JIT
@pytest.mark.parametrize(
    ("make", "size", "damping"), [(jrnn.gru, 16, 0.1), (jrnn.lstm, 8, 0.2)]
)
def test_damping_converges_where_newton_diverges(make, size, damping):
    """Recurrent weights three times those that `init` draws, a thousand steps."""
    cell, params, xs = long_example(make, 3.0, "f8", size=size)
    form = jax.jit(
        lambda damping: newton_unroll(
            cell, params, xs, damping=damping, tolerance=1e-10, max_iterations=200
        )
    )
    expected = lax_unroll(cell, params, xs, cell.initial_carry(params))[1]
    plain, damped = form(0.0), form(damping)
    difference = jnp.abs(damped.ys - expected).max()
    print(plain.report, damped.report, f"{difference:.1e}")
    assert not plain.report.converged and plain.report.residual > 0.1
    assert damped.report.converged and difference < 1e-5


# Errors

CELL = jrnn.gru(N)
PARAMS = CELL.init(jax.random.key(0), jnp.zeros(2))
XS = jnp.zeros((T, 2))
BOTH = jrnn.bidirectional(CELL, CELL)
MIXED = {"a": jnp.zeros(2), "b": jnp.zeros(2, "f4")}
ERRORS = {
    "jacobian": (
        lambda: newton_unroll(CELL, PARAMS, XS, jacobian="none"),
        "newton_unroll: jacobian must be 'full' or 'diagonal', got 'none'.",
    ),
    "damping": (
        lambda: newton_unroll(CELL, PARAMS, XS, damping=1.5),
        "newton_unroll: damping must be at most 1, got 1.5.",
    ),
    "damping-negative": (
        lambda: newton_unroll(CELL, PARAMS, XS, damping=-0.1),
        "newton_unroll: damping must be at least 0, got -0.1.",
    ),
    "tolerance": (
        lambda: newton_unroll(CELL, PARAMS, XS, tolerance=-1.0),
        "newton_unroll: tolerance must be at least 0, got -1.0.",
    ),
    "iterations": (
        lambda: newton_unroll(CELL, PARAMS, XS, max_iterations=0),
        "newton_unroll: max_iterations must be a positive integer, got 0.",
    ),
    "counter": (
        lambda: newton_unroll(CELL, PARAMS, XS, jnp.zeros(N, int)),
        "newton_unroll: the carry must be floating-point, got an array of int64",
    ),
    "sequence": (
        lambda: adjoint_unroll(BOTH, (PARAMS, PARAMS), XS),
        "adjoint_unroll: the model, by its bidirectional, reads the whole sequence",
    ),
    "lengths": (
        lambda: newton_unroll(CELL, PARAMS, (XS, XS[1:])),
        "newton_unroll: xs must share one leading time axis, got lengths [4, 5].",
    ),
    "dtypes": (
        lambda: adjoint_unroll(CELL, PARAMS, XS, MIXED),
        "adjoint_unroll: the arrays of the carry must have one dtype, got "
        "float32, float64.",
    ),
    "affine-shapes": (
        lambda: affine_scan(jnp.ones((T, N, N)), jnp.ones((T, 2)), jnp.ones(N)),
        "affine_scan: a, u and init must have shapes (T, N, N), (T, N) and (N,), got "
        "(5, 3, 3), (5, 2) and (3,).",
    ),
    "affine-dtypes": (
        lambda: affine_scan(*(jnp.ones(s, d) for s, d in (
            ((T, N, N), "f4"), ((T, N), "f8"), (N, "f8")))),
        "affine_scan: a, u and init must have one dtype of floating point, got "
        "float32, float64, float64.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_function_and_the_argument(name):
    call, text = ERRORS[name]
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert text in str(error.value)
