"""What works on `jax.lax.scan` works on `jrnn.scan`: every tool of JAX, every number.

Expected values come from `jax.lax.scan`, a Python loop, or arithmetic by hand. Sections
go by the kind of what could be lost: rules of the user's own, checks, sums, transposes,
sizes, names, memory, types, arguments, depth, platforms.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax._src.ad_checkpoint import saved_residuals
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import checkify
from leaks import checking_leaks

import jrnn
from jrnn.scan import scan

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("engine_runs")]
EAGER = pytest.mark.eager


def in_jit(run):
    """`run`, compiled: the engine takes the step apart there, and nowhere else."""

    def compiled(f, init, xs=None, *args, **options):
        return jax.jit(lambda init, xs: run(f, init, xs, *args, **options))(init, xs)

    return compiled


def assert_close(got, expected, rtol=1e-12):
    """The same shapes, the same dtypes, and numbers that differ by rounding only."""
    for a, b in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def assert_same_bits(got, expected):
    """The same shapes, dtypes and numbers; NaN equals NaN."""
    for a, b in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


# Derivative rules of the user's own -------------------------------------------------


def rule(backward):
    """The identity, with a backward pass of its own."""
    q = jax.custom_vjp(lambda w: w)
    q.defvjp(lambda w: (w, None), lambda _, g: (backward(g),))
    return q


clipped = rule(lambda g: jnp.clip(g, -1.0, 1.0))
# One value has a gradient of its own where the backward pass is not linear.
RULES = {
    "clip": clipped,
    "sign": rule(jnp.sign),
    "square": rule(lambda g: g * g),
    "affine": rule(lambda g: 2.0 * g + 1.0),
    "scaled down": rule(lambda g: g / (1.0 + jnp.abs(g))),
    "custom_gradient": jax.custom_gradient(lambda w: (w, lambda g: jnp.clip(g, -1, 1))),
    "rounded": lambda w: lax.stop_gradient(jnp.round(w)) + clipped(w) - w,
    "jit": lambda w: jax.jit(clipped)(w),
    "checkpoint": lambda w: jax.checkpoint(clipped)(w),
    "vmap": lambda w: jax.vmap(clipped)(jnp.stack([w, 2.0 * w])).sum(),
    "cond": lambda w: lax.cond(w > 0.0, clipped, lambda w: 3.0 * w, w),
    "inner scan": lambda w: lax.scan(lambda c, _: (clipped(c), w), w, None, 2)[0],
    "inner jrnn.scan": lambda w: scan(lambda c, _: (clipped(c), w), w, None, 2)[0],
    "product": lambda w: clipped(w) * clipped(w),
}
PLACES = {
    "weight": lambda q: lambda w: lambda h, x: (h + q(w) * x, h),
    "weight of y": lambda q: lambda w: lambda h, x: (0.5 * h + x, q(w) * h),
    "function of a weight": lambda q: lambda w: lambda h, x: (h + q(w * w) * x, h),
    "input": lambda q: lambda w: lambda h, x: (h + w * q(x), h),
    "weight times input": lambda q: lambda w: lambda h, x: (h + q(w * x), h),
    "carry": lambda q: lambda w: lambda h, x: (q(3.0 * h) + w * x, h),
    "output": lambda q: lambda w: lambda h, x: (0.5 * h + w * x, q(h)),
}
EVERYWHERE = "clip", "custom_gradient", "inner scan"
XS = jnp.array([5.0, -2.0, 0.25])


RULED = [(n, p) for n in RULES for p in PLACES if p == "weight" or n in EVERYWHERE]


def by_rule(run, make, w, xs):
    """Gradients of a number in which every step counts more than 1 or less."""

    def loss(w, xs):
        h, ys = run(make(w), jnp.float64(0.5), xs)
        return h * h + jnp.sum(3.0 * ys)

    many = lambda w: jax.vmap(lambda v: loss(v * w, xs))(jnp.array([1.0, -0.3])).sum()
    each = jax.vmap(jax.grad(loss), (0, None))(jnp.array([1.0, -0.3]) * w, xs)
    return jax.grad(loss, (0, 1))(w, xs), jax.grad(many)(w), each


@pytest.mark.parametrize(("name", "place"), RULED)
def test_a_rule_of_the_users_own_is_applied_at_every_step(name, place):
    make = PLACES[place](RULES[name])
    both = jax.jit(lambda w: [by_rule(run, make, w, XS) for run in (scan, lax.scan)])
    assert_close(*both(jnp.float64(1.3)))


@pytest.mark.parametrize("remat", [None, "step", "chunk", 1, 2, 3])
def test_a_clip_of_a_weights_gradient_by_hand(remat):
    """The gradient of w at every step is 5, clipped 1: three of them are 3."""
    step = lambda w: lambda h, x: (h + clipped(w) * x, None)
    loss = lambda w: scan(step(w), 0.0, jnp.full(3, 5.0), remat=remat)[0]
    assert jax.grad(loss)(1.0) == 3.0
    assert (jax.vmap(jax.grad(loss))(jnp.ones(2)) == 3.0).all()


def test_a_rule_inside_a_cell():
    """Weights whose gradient is clipped at every step, in a cell of the library."""
    cell = jrnn.elman(4)
    xs = jax.random.normal(jax.random.key(0), (5, 2)) * 20.0
    params = cell.init(jax.random.key(1), xs[0])
    tight = rule(lambda g: jnp.clip(g, -0.01, 0.01))

    def step(params, carry, x, *, key=None):
        return cell.step(jax.tree.map(tight, params), carry, x, key=key)

    own = cell._replace(step=step)
    loss = lambda params: jnp.sum(jrnn.unroll(own, params, xs)[1])

    def by_hand(params):
        h, total = cell.initial_carry(params), 0.0
        for x in xs:
            h, y = step(params, h, x)
            total = total + jnp.sum(y)
        return total

    expected = jax.grad(by_hand)(params)
    jax.tree.map(np.testing.assert_allclose, jax.grad(loss)(params), expected)


@pytest.mark.parametrize("place", [p for p in PLACES if p != "input"])
def test_a_derivative_that_lax_scan_refuses_is_refused(place):
    """Forward mode through a rule for reverse mode only."""
    f = lambda run: jax.jvp(
        lambda w: run(PLACES[place](clipped)(w), 0.5, XS), (1.0,), (1.0,)
    )
    for run in (lax.scan, scan):
        with pytest.raises(TypeError, match="forward-mode"):
            f(run)


@pytest.mark.parametrize("mode", ["grad", "value", "vmap", "vmap of grad"])
def test_a_rule_may_read_a_traced_value_from_outside_the_loop(mode):
    def loss(run, w, s):
        @jax.custom_jvp
        def g(x):
            return jnp.sin(x)

        @g.defjvp
        def _(primals, tangents):
            return g(*primals), tangents[0] * s * jnp.cos(primals[0])

        return run(lambda h, x: (g(h * w) + x, None), 0.5, XS)[0]

    transform = {
        "grad": lambda f: jax.grad(f),
        "value": lambda f: f,
        "vmap": lambda f: lambda w: jax.vmap(f)(jnp.stack([w, 2 * w])),
        "vmap of grad": lambda f: lambda w: jax.vmap(jax.grad(f))(jnp.stack([w, w])),
    }[mode]
    derived = lambda run: jax.jit(lambda w, s: transform(lambda w: loss(run, w, s))(w))
    assert_close(derived(scan)(0.7, 3.0), derived(lax.scan)(0.7, 3.0))


def test_a_tangent_rule_that_is_not_linear_acts_at_every_step():
    g = jax.custom_jvp(lambda x: x)
    g.defjvp(lambda p, t: (p[0], jnp.clip(t[0], -1.0, 1.0)))
    for make in (
        PLACES["weight"](g),
        PLACES["carry"](g),
        PLACES["weight times input"](g),
    ):
        got, expected = (
            jax.jvp(lambda w: run(make(w), 0.5, XS), (1.0,), (3.0,))  # noqa: B023
            for run in (scan, lax.scan)
        )
        assert_close(got, expected)


# Checks that look into a loop -------------------------------------------------------


def bad_log(run, bad):
    return run(lambda c, x: (c + jnp.log(x), c), 0.0, jnp.array([1.0, bad, 2.0]))


def bad_log_of_the_carry(run, bad):
    return run(lambda c, x: (jnp.log(c) + x, c), 1.0, jnp.array([1.0, bad - 1.0, 2.0]))


def bad_log_of_a_weight(run, bad):
    w = jnp.asarray(bad)
    return run(lambda c, x: (c + jnp.log(w) * x, c), 0.0, jnp.ones(3))


def bad_log_behind_the_loop(run, bad):
    return run(lambda c, x: (c + x, jnp.log(c)), bad, jnp.ones(3))


def bad_index(run, bad):
    table = jnp.arange(4.0)
    xs = jnp.array([0, 7 if bad < 0 else 3, 1])
    return run(lambda c, k: (c + table[k], c), 0.0, xs)


def bad_index_of_the_carry(run, bad):
    table = jnp.arange(4.0)
    return run(
        lambda k, x: (k + x, table[k]), 0, jnp.array([1, 7 if bad < 0 else 1, 1])
    )


def bad_division(run, bad):
    xs = jnp.array([1.0, 0.0 if bad < 0 else 2.0, 2.0])
    return run(lambda c, x: (c + 6.0 / x, c), 0.0, xs)


def bad_check(run, bad):
    def step(c, x):
        checkify.check(x > 0, "not positive: {x}", x=x)
        return c + x, c

    return run(step, 0.0, jnp.array([1.0, bad, 2.0]))


CHECKED = {
    f.__name__: (f, errors)
    for f, errors in (
        (bad_log, checkify.float_checks),
        (bad_log_of_the_carry, checkify.float_checks),
        (bad_log_of_a_weight, checkify.float_checks),
        (bad_log_behind_the_loop, checkify.float_checks),
        (bad_index, checkify.index_checks),
        (bad_index_of_the_carry, checkify.index_checks),
        (bad_division, checkify.div_checks),
        (bad_check, checkify.user_checks),
    )
}


def complaint(f, errors):
    """The first line of what checkify reports; None where it reports nothing."""
    error, _ = checkify.checkify(f, errors=errors)()
    message = error.get()
    return message and re.sub(r" \(.*?\)", "", message.splitlines()[0])


@pytest.mark.parametrize("how", ["plain", "jit", "grad", "vmap", "jit inside"])
@pytest.mark.parametrize("name", CHECKED)
def test_checkify_sees_into_the_loop(name, how):
    f, errors = CHECKED[name]

    def report(run, bad):
        if how == "grad":
            smooth = lambda s: sum(
                jnp.sum(x).astype(s.dtype) * s for x in jax.tree.leaves(f(run, bad))
            )
            return complaint(lambda: jax.grad(smooth)(jnp.float64(1)), errors)
        if how == "vmap":
            each = lambda s: jax.tree.map(lambda x: x * s, f(run, bad))
            scale = jnp.ones(2, jnp.int64 if "index" in name else float)
            with jax.numpy_dtype_promotion("standard"):
                return complaint(lambda: jax.vmap(each)(scale), errors)
        wrap = {"jit": jax.jit, "jit inside": jax.jit}.get(how, lambda g: g)
        return complaint(wrap(lambda: f(run, bad)), errors)

    assert report(lax.scan, -1.0) is not None
    assert report(scan, -1.0) == report(lax.scan, -1.0)
    assert report(scan, 3.0) is None


def test_checkify_sees_into_unroll():
    cell = jrnn.stack(jrnn.elman(3), jrnn.activation(jnp.log))
    xs = jnp.ones((4, 2))
    params = cell.init(jax.random.key(0), xs[0])
    f = lambda params: jrnn.unroll(cell, params, xs)
    negative = jax.tree.map(lambda p: -jnp.abs(p), params)
    error, _ = checkify.checkify(f, errors=checkify.float_checks)(negative)
    assert "nan generated by primitive: log" in error.get()


@pytest.mark.parametrize("remat", ["step", "chunk", 2])
def test_checkify_sees_into_loops_that_recompute(remat):
    run = lambda *args: scan(*args, remat=remat)
    error, _ = checkify.checkify(
        lambda: bad_log(run, -1.0), errors=checkify.float_checks
    )()
    assert "nan generated by primitive: log" in error.get()


def test_checkify_may_stand_inside_the_step():
    def step(c, x):
        error, y = checkify.checkify(jnp.log, errors=checkify.float_checks)(x)
        return c + y, error

    for run in (scan, in_jit(scan)):
        _, error = run(step, 0.0, jnp.array([1.0, -1.0]))
        assert "nan generated by primitive: log" in error.get()


@pytest.mark.parametrize("jitted", [pytest.param(False, marks=EAGER), True])
def test_debug_nans_stops_at_a_nan_in_the_loop(jitted):
    for run in (lax.scan, scan):
        f = lambda: bad_log(run, -1.0)  # noqa: B023
        with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
            (jax.jit(f) if jitted else f)()


@pytest.mark.parametrize(
    "how",
    [pytest.param(lambda f: f, marks=EAGER), jax.jit, jax.grad],
    ids=["eager", "jit", "grad"],
)
def test_debug_infs_stops_at_an_infinity_in_the_loop(how):
    for run in (lax.scan, scan):
        f = lambda w: bad_log(run, w)[0]  # noqa: B023
        with jax.debug_infs(True), pytest.raises(FloatingPointError, match="inf"):
            how(f)(0.0)


@pytest.mark.parametrize("run", [lax.scan, scan])
def test_debug_nans_lets_a_finite_loop_pass(run):
    with jax.debug_nans(True):
        value, slope = jax.value_and_grad(lambda w: bad_log(run, w)[0])(3.0)
    np.testing.assert_allclose((value, slope), (np.log(6.0), 1 / 3.0), rtol=1e-12)


# Sums in the order and the width in which they were written -------------------------


F32 = lambda *x: jnp.array(x, jnp.float32)
BIG = jnp.float32(12582912)  # 1.5 * 2**23: adding it rounds a float32 to an integer
HALVES = F32(0.6, 0.8, 0.5, 1.0, 1.0, 1.2)


def compensated(c, x):
    """Kahan (1965): the sum loses nothing if its order is kept."""
    total, lost = c
    y = x - lost
    new = total + y
    return (new, (new - total) - y), total


def exact_sum_of_two(h, x):
    """Knuth's two-sum: the rounding error of h + x, exactly."""
    s = h + x
    b = s - h
    return s, (h - (s - b)) + (x - b)


F64 = jnp.float64
INT8 = lambda *x: jnp.array(x, jnp.int8)
SUMS = {  # name: step of the weights, weights, first carry, inputs
    "rounding": (
        lambda w: lambda c, x: (c, (x + w) - w), BIG, jnp.float32(0), HALVES),
    "rounding of a sum": (
        lambda w: lambda c, x: (c + x, ((c + x) + w) - w), BIG, jnp.float32(0), HALVES),
    "rounding in the carry": (
        lambda w: lambda c, x: (((c + x) + w) - w, c), BIG, jnp.float32(0), HALVES),
    "rounding of a product": (
        lambda w: lambda c, x: (c + x, (c * x + w) - w), BIG, jnp.float32(1), HALVES),
    "cancelling at the edge": (
        lambda w: lambda h, x: ((h + x) + w, h), jnp.float32(3e38), jnp.float32(0),
        F32(-3e38, -3e38)),
    "overflow of the early terms": (
        lambda w: lambda h, x: ((h + x) + w, h), jnp.float32(3e38), jnp.float32(-3e38),
        F32(3e38, -3e38)),
    "twice the input": (
        lambda w: lambda c, x: (c + x + x, c), F64(0), F64(-1.7e308),
        jnp.array([1.7e308])),
    "twice the weight": (
        lambda w: lambda c, x: (c + w + w, c), F64(1.7e308), F64(-1.7e308),
        jnp.ones(1)),
    "two inputs, bfloat16": (
        lambda w: lambda c, x: ((c + x[0]) + x[1], c), F64(0), jnp.bfloat16(256),
        jnp.ones((6, 2), jnp.bfloat16)),
    "two inputs, float16": (
        lambda w: lambda c, x: ((c + x[0]) + x[1], c), F64(0), jnp.float16(2048),
        jnp.ones((6, 2), jnp.float16)),
    "two weights, float32": (
        lambda w: lambda c, x: ((c + w[0]) + w[1], c), F32(1, 1), jnp.float32(2**24),
        jnp.ones(4)),
    "weight and input": (
        lambda w: lambda c, x: ((c + w) + x, c), jnp.float32(1), jnp.float32(2**24),
        jnp.ones(4, jnp.float32)),
    "compensated": (
        lambda w: compensated, F64(0), (F64(0), F64(0)),
        jnp.array([1.0] + 4 * [1e-16])),
    "exact sum of two": (
        lambda w: exact_sum_of_two, F64(0), F64(1e3), jnp.array([0.1, 1e-9, 3.3, 1e8])),
    "three inputs": (
        lambda w: lambda c, x: (((c + x[0]) + x[1]) + x[2], c), F64(0), F64(0),
        jnp.array([[1e16, 1.0, 1.0], [-1e16, 1.0, 1.0]])),
    "differences": (
        lambda w: lambda c, x: ((c - x[0]) - x[1], c), F64(0), F64(1.7e308),
        jnp.array([[1.7e308, 1.7e308], [-1.7e308, 1.0]])),
    "negated sums": (
        lambda w: lambda c, x: (-(-(c + x[0]) - x[1]), c), F64(0), F64(-1.7e308),
        jnp.array([[1.7e308, -1.7e308], [-1.7e308, 1.0]])),
    "in y only": (
        lambda w: lambda c, x: (c, ((c + x[0]) + x[1]) + w), F64(1.7e308),
        F64(-1.7e308), jnp.array([[1.7e308, 1.7e308], [1.0, 1.0]])),
    "int8": (
        lambda w: lambda c, x: (c + x + x + w, c * x), jnp.int8(90), jnp.int8(100),
        INT8(100, 100, -128, 7)),
    "int8 products": (
        lambda w: lambda c, x: (c + x @ w, x @ w),
        INT8([3, 100], [5, -128], [1, 1]), INT8(0, 0),
        INT8([100, 100, 3], [-128, 7, 5])),
    "int8 sums made int32": (
        lambda w: lambda c, x: (c + (x[0] + x[1] + w).astype(jnp.int32), c),
        jnp.int8(100), jnp.int32(0), INT8([100, 100], [-128, -1])),
    "int8 one-hot": (
        lambda w: lambda c, k: (c + (jax.nn.one_hot(k, 3, dtype=jnp.int8) @ w), c),
        INT8([100, -128], [127, 3], [5, 6]), INT8(100, -100), jnp.array([0, 2, 1, 5])),
    "int8 one-hot made int32": (
        lambda w: lambda c, k: (
            c + jnp.matmul(jax.nn.one_hot(k, 3, dtype=jnp.int8), w,
                           preferred_element_type=jnp.int32), c),
        INT8([100, -128], [127, 3], [5, 6]), jnp.array([100, -100], jnp.int32),
        jnp.array([0, 2, 1, 5])),
    "uint8": (
        lambda w: lambda c, x: (c + x - w, c - x), jnp.uint8(250), jnp.uint8(9),
        jnp.array([200, 100, 255], jnp.uint8)),
    "int16 products": (
        lambda w: lambda c, x: (c + (c @ w.T + x) @ w, x @ w),
        jnp.array([[3], [30000]], jnp.int16), jnp.ones(1, jnp.int16),
        jnp.array([[30000, 2], [7, -32768]], jnp.int16)),
    "int32": (
        lambda w: lambda c, x: ((c + x) * w - x, c), jnp.int32(2**30), jnp.int32(3),
        jnp.array([2**31 - 1, 5, -(2**31)], jnp.int32)),
    "int64 made int32": (
        lambda w: lambda c, x: (c + (x + w).astype(jnp.int32), c),
        jnp.int64(2**31), jnp.int32(3), jnp.array([2**31 - 1, 5, -(2**31)])),
}  # fmt: skip


def loop(f, init, xs):
    """The meaning of `jax.lax.scan`, as a Python loop of single operations."""
    ys = []
    for i in range(len(jax.tree.leaves(xs)[0])):
        init, y = f(init, jax.tree.map(lambda x: x[i], xs))  # noqa: B023
        ys.append(y)
    return init, jax.tree.map(lambda *y: jnp.stack(y), *ys)


@pytest.mark.parametrize("name", SUMS)
def test_sums_keep_their_order_and_their_width(name):
    """Bit for bit what a Python loop of the same operations gives."""
    step, *args = SUMS[name]
    run = lambda how: lambda w, init, xs: how(step(w), init, xs)
    expected = run(loop)(*args)
    assert_same_bits(run(scan)(*args), expected)
    assert_same_bits(jax.jit(run(scan))(*args), expected)
    assert_same_bits(jax.vmap(run(scan))(*twice(args)), twice(expected))


@pytest.mark.parametrize("name", [n for n in SUMS if "int" not in n])
def test_sums_keep_their_order_where_they_are_derived(name):
    step, *args = SUMS[name]
    f = lambda *args: scan(step(args[0]), *args[1:])
    got, _ = jax.jvp(f, args, jax.tree.map(jnp.zeros_like, args))
    assert_same_bits(got, loop(step(args[0]), *args[1:]))


def twice(tree):
    return jax.tree.map(lambda x: jnp.stack([x, x]), tree)


def test_sums_by_hand():
    """Halves go to the even neighbour, as IEEE 754 says; integers wrap."""
    xs = F32(0.6, 1.4, 2.5, 3.5, 4.5)
    step = lambda w: lambda c, x: (c, ((c + x) + w) - w)
    run = lambda step, *args: jax.jit(lambda w, *rest: scan(step(w), *rest))(*args)
    assert run(step, BIG, jnp.float32(0), xs)[1].tolist() == [1.0, 1.0, 2.0, 4.0, 4.0]
    value = lambda name: run(*SUMS[name])[0]
    assert value("twice the input") == 1.7e308
    assert value("two inputs, bfloat16") == 256.0
    assert value("two inputs, float16") == 2048.0
    assert value("int8") == (100 + 2 * (100 + 100 - 128 + 7) + 4 * 90 + 128) % 256 - 128


# Products with one-hot vectors ------------------------------------------------------


def one_hot_by_hand(k, n, dtype):
    """As users write it, with integers of any width."""
    return (k == jnp.arange(n, dtype=k.dtype)).astype(dtype)


TOKENS = {
    "int8": jnp.array([3, -1, 127, 44], jnp.int8),
    "uint8": jnp.array([3, 255, 200, 44], jnp.uint8),
    "int16": jnp.array([3, -1, 299, 300], jnp.int16),
    "int32": jnp.array([3, -1, 299, 300], jnp.int32),
    "int64": jnp.array([3, -(2**32) + 5, 299, 2**32 + 3], jnp.int64),
    "uint32": jnp.array([3, 2**32 - 1, 299, 300], jnp.uint32),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16, jnp.int8])
@pytest.mark.parametrize("kind", TOKENS)
def test_tokens_of_every_width_mean_the_product(kind, dtype):
    """300 classes in 8 bits: the count wraps, and a token k has rows k and k + 256."""
    table = (jnp.arange(600.0).reshape(300, 2) / 8).astype(dtype)
    ks = TOKENS[kind]

    def results(run):
        def value(table):
            step = lambda c, k: (c + c, one_hot_by_hand(k, 300, dtype) @ table)
            return run(step, jnp.ones((), dtype), ks)[1]

        if dtype == jnp.int8:
            return value(table)
        weight = jnp.arange(8, dtype=dtype).reshape(4, 2)
        return value(table), jax.grad(lambda t: jnp.sum(value(t) * weight))(table)

    assert_same_bits(jax.jit(lambda: results(scan))(), jax.jit(lambda: results(loop))())


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_table_with_a_number_that_is_not_finite(bad):
    """0 * nan is nan in a product; a row looked up says nothing of other rows.

    One holds for tokens of every kind, and the second only if `scan` says so.
    """
    table = jnp.arange(8.0).reshape(4, 2).at[2].set(bad)
    step = lambda c, k: (c + 1, jax.nn.one_hot(k, 4, dtype=float) @ table)
    ks = jnp.array([0, 3, 1])
    lookup = "one-hot" in (scan.__doc__ or "")
    expected = table[ks] if lookup else loop(step, jnp.asarray(0), ks)[1]
    run = jax.jit(lambda ks: scan(step, 0, ks)[1])
    for kind in "int32", "int64", "uint8", "int16":
        np.testing.assert_array_equal(run(ks.astype(kind)), expected)


def test_one_hot_vectors_of_other_makes_are_products():
    """What only looks like a one-hot vector is none."""
    table = jnp.arange(12.0).reshape(4, 3)
    xs = jnp.array([0, 2, 3])
    makes = {
        "soft": lambda k: jax.nn.one_hot(k, 4, dtype=float) * 0.9 + 0.025,
        "two hot": lambda k: (k == jnp.arange(4) // 2).astype(float),
        "reversed": lambda k: (k == jnp.arange(4)[::-1]).astype(float),
        "shifted": lambda k: (k + 1 == jnp.arange(4)).astype(float),
        "less": lambda k: (jnp.arange(4) < k).astype(float),
        "float count": lambda k: (k == jnp.arange(4.0)).astype(float),
        "float token": lambda k: (k.astype(float) + 0.5 == jnp.arange(4.0)).astype(
            float
        ),
        "other axis": lambda k: (
            (k - jnp.arange(4))[:, None] == lax.broadcasted_iota(xs.dtype, (4, 4), 0)
        ).astype(float),
    }
    with jax.numpy_dtype_promotion("standard"):
        for make in makes.values():
            step = lambda c, k: (c + 1, make(k) @ table)  # noqa: B023
            run = jax.jit(lambda xs: scan(step, 0, xs))  # noqa: B023
            assert_close(run(xs), loop(step, jnp.asarray(0), xs))


# Transposing ------------------------------------------------------------------------


W = jnp.array([[0.4, -1.2, 0.3], [0.9, 0.2, -0.5], [-0.7, 0.6, 0.8]])
LINEAR = {
    "cumulative sum": (lambda c, x: (c + x, c + x)),
    "matrix": lambda c, x: (c @ W + x, jnp.sum(c) * W[0] + 2.0 * c - x[::-1]),
    "no carry in y": lambda c, x: (c @ W, x @ W),
    "difference": lambda c, x: (x, x - c),
    "y only": lambda c, x: (c, W @ x),
    "slices": lambda c, x: (jnp.concatenate([x[:1], c[:2] + x[1:]]), c[1] * 3.0),
    "where": lambda c, x: (jnp.where(W[0] > 0, c, x), c),
}


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"unroll": 2}], ids=str)
@pytest.mark.parametrize("name", LINEAR)
def test_linear_transpose(name, options):
    """<u, A v> = <A^T u, v>, and A^T as `jax.lax.scan` has it."""
    rng = np.random.default_rng(0)
    init, xs = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=(5, 3)))

    def transposed(run):
        f = lambda init, xs: run(LINEAR[name], init, xs, **options)
        out = f(init, xs)
        ct = jax.tree.map(lambda x: jnp.cos(1.0 + x), out)
        back = jax.linear_transpose(f, init, xs)(ct)
        left = sum(map(jnp.vdot, jax.tree.leaves(ct), jax.tree.leaves(out)))
        right = sum(map(jnp.vdot, back, (init, xs)))
        np.testing.assert_allclose(left, right, rtol=1e-12)
        return back

    assert_close(transposed(scan), transposed(lax.scan))


def test_linear_transpose_of_some_inputs_in_jit_and_vmap():
    xs, init = jnp.arange(15.0).reshape(5, 3), jnp.ones(3)

    def transposed(run, ct):
        f = lambda c: run(lambda c, x: (c @ W * x[0], c * x), c, xs)
        return jax.linear_transpose(f, init)(ct)

    ct = (jnp.ones(3), jnp.cos(xs))
    many = jax.tree.map(lambda x: jnp.stack([x, 2.0 * x]), ct)
    for f in (
        lambda run: jax.jit(lambda ct: transposed(run, ct))(ct),
        lambda run: jax.vmap(lambda ct: transposed(run, ct))(many),
        lambda run: jax.jvp(lambda ct: transposed(run, ct), (ct,), (ct,)),
        lambda run: jax.linear_transpose(lambda ct: transposed(run, ct), ct)((init,)),
    ):
        assert_close(f(scan), f(lax.scan))


def test_linear_transpose_of_a_step_that_is_not_linear_is_refused():
    for run in (lax.scan, scan):
        f = lambda c: run(lambda c, x: (jnp.sin(c) * x, c), c, jnp.ones(3))[0]  # noqa: B023
        with pytest.raises(
            (NotImplementedError, AssertionError, ValueError, TypeError)
        ):
            jax.linear_transpose(f, 1.0)(1.0)


@pytest.mark.parametrize("symmetric", [False, True])
def test_custom_linear_solve(symmetric):
    """A x = b where A v is computed by a scan; x and its derivative by NumPy."""
    a = W @ W.T + jnp.eye(3) if symmetric else W + 3.0 * jnp.eye(3)
    b = jnp.array([1.0, -2.0, 0.5])

    def matvec(a):  # a row at a time
        return lambda v: scan(lambda c, row: (c, row @ v), jnp.float64(0), a)[1]

    def solve(a, b):
        dense = lambda mv, b: jnp.linalg.solve(jax.jacobian(mv)(b), b)
        return lax.custom_linear_solve(
            matvec(a), b, solve=dense, transpose_solve=dense, symmetric=symmetric
        )

    np.testing.assert_allclose(solve(a, b), np.linalg.solve(a, b), rtol=1e-12)
    got = jax.grad(lambda a, b: jnp.sum(solve(a, b) ** 2), (0, 1))(a, b)
    x = np.linalg.solve(a, b)
    db = np.linalg.solve(np.transpose(a), 2 * x)
    assert_close(got, (jnp.asarray(-np.outer(db, x)), jnp.asarray(db)), 1e-10)


# Sizes that are symbols, or zero ----------------------------------------------------


def recurrent(run, w, h, xs, **options):
    """A recurrence with products, a gate and a readout."""

    def step(h, x):
        h = jnp.tanh(x @ w + h @ w) * jax.nn.sigmoid(h)
        return h, jax.nn.softmax(h @ w)

    return run(step, h, xs, **options)


def of_batch_in_the_step(run):
    return lambda w, xs: recurrent(run, w, jnp.zeros(xs.shape[1:]), xs)


def of_batch_by_vmap(run):
    one = lambda w, xs: recurrent(run, w, jnp.zeros(3), xs)
    return lambda w, xs: jax.vmap(one, (None, 1), (0, 1))(w, xs)


def of_length(run):
    return lambda w, xs: recurrent(run, w, jnp.zeros((2, 3)), xs)


def of_width(run):
    def step(h, x):
        return jnp.tanh(x + h), jnp.sum(h)

    return lambda w, xs: run(step, xs[0] * jnp.sum(w), xs)


def of_length_alone(run):
    """What every step can do by itself; nothing is left in the loop."""
    return lambda w, xs: run(lambda c, x: (c, jnp.tanh(x @ w)), (), xs)


def of_length_and_a_constant(run):
    return lambda w, xs: run(lambda h, x: (h, x @ h), w, xs)


SYMBOLS = {  # function, symbolic shape of xs, sizes to try
    "batch in the step": (of_batch_in_the_step, "5, b, 3", [(5, 4, 3), (5, 1, 3)]),
    "batch by vmap": (of_batch_by_vmap, "5, b, 3", [(5, 4, 3), (5, 1, 3)]),
    "length": (of_length, "t, 2, 3", [(6, 2, 3), (1, 2, 3)]),
    "length, nothing carried": (of_length_alone, "t, 3", [(6, 3), (1, 3)]),
    "length, a constant": (of_length_and_a_constant, "t, 3", [(6, 3), (1, 3)]),
    "both": (of_batch_in_the_step, "t, b, 3", [(6, 4, 3), (1, 1, 3)]),
    "both by vmap": (of_batch_by_vmap, "t, b, 3", [(6, 4, 3), (2, 1, 3)]),
    "a product of sizes": (of_batch_in_the_step, "5, 2*b, 3", [(5, 4, 3)]),
    "width": (of_width, "5, d", [(5, 7), (5, 1)]),
}


@pytest.mark.parametrize("options", [{}, {"reverse": True}], ids=["", "reverse"])
@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("name", SYMBOLS)
def test_export_with_symbolic_sizes(name, derive, options):
    make, shape, sizes = SYMBOLS[name]

    def program(run):
        f = make(lambda *args: run(*args, **options))
        if not derive:
            return f
        number = lambda w, xs: sum(
            jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(f(w, xs))
        )
        return jax.grad(number, (0, 1))

    symbols = jax.export.symbolic_shape(shape, constraints=SYMBOL_BOUNDS.get(name, ()))
    like = jax.ShapeDtypeStruct(symbols, jnp.float64)
    exported = jax.export.export(jax.jit(program(scan)))(W, like)
    for size in sizes:
        xs = jnp.sin(jnp.arange(np.prod(size), dtype=float)).reshape(size)
        assert_close(exported.call(W, xs), program(lax.scan)(W, xs))


SYMBOL_BOUNDS = {"width": ["d >= 1"]}


@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
def test_an_exported_program_is_written_and_read(derive):
    pytest.importorskip("flatbuffers")
    f = lambda w, xs: recurrent(scan, w, w[0], xs)[1].sum()
    f = jax.jit(jax.grad(f) if derive else f)
    xs = jnp.sin(jnp.arange(15.0)).reshape(5, 3)
    again = jax.export.deserialize(jax.export.export(f)(W, xs).serialize())
    assert_close(again.call(W, xs), f(W, xs))


@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "elman"])
def test_export_of_a_language_model_with_symbolic_sizes(cell, derive):
    model = jrnn.stack(jrnn.one_hot(5), getattr(jrnn, cell)(4), jrnn.linear(5))
    params = model.init(jax.random.key(0), jnp.asarray(0, jnp.int32))

    def loss(params, tokens):
        one = lambda tokens: jrnn.unroll(model, params, tokens)[1]
        logits = jax.vmap(one)(tokens[:, :-1])
        chosen = jax.nn.log_softmax(logits) * jax.nn.one_hot(tokens[:, 1:], 5)
        return -jnp.sum(chosen)

    f = jax.jit(jax.grad(loss) if derive else loss)
    symbols = jax.export.symbolic_shape("b, t", constraints=["t >= 2"])
    exported = jax.export.export(f)(params, jax.ShapeDtypeStruct(symbols, jnp.int32))
    for batch, length in (3, 7), (1, 2):
        tokens = (jnp.arange(batch * length, dtype=jnp.int32) * 3 % 5).reshape(
            batch, -1
        )
        assert_close(exported.call(params, tokens), f(params, tokens))


def test_a_symbolic_size_in_generation():
    model = jrnn.stack(jrnn.one_hot(5), jrnn.lstm(4), jrnn.linear(5))
    params = model.init(jax.random.key(0), jnp.asarray(0, jnp.int32))
    f = jax.jit(lambda carry, tokens: jrnn.unroll(model, params, tokens, carry))
    carry = model.initial_carry(params)
    (t,) = jax.export.symbolic_shape("t")
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), carry)
    exported = jax.export.export(f)(like, jax.ShapeDtypeStruct((t,), jnp.int32))
    tokens = jnp.array([0, 3, 1, 4], jnp.int32)
    assert_close(exported.call(carry, tokens), f(carry, tokens))


NOTHING = {  # step, first carry, inputs, with something empty
    "a product over nothing": (
        lambda w: lambda h, x: (jnp.tanh(h + h[:0] @ jnp.zeros((0, 3)) + x @ w), h),
        (3,), (5, 3)),
    "no hidden unit": (
        lambda w: lambda h, x: (jnp.tanh(h @ w[:0, :0]), x),
        (0,), (5, 3)),
    "no hidden unit, input product": (
        lambda w: lambda h, x: (jnp.tanh(x @ w[:, :0] + h @ w[:0, :0]), h),
        (0,), (5, 3)),
    "no input feature": (
        lambda w: lambda h, x: (jnp.tanh(x @ w[:0] + h @ w), h @ w), (3,), (5, 0)),
    "no batch": (
        lambda w: lambda h, x: (jnp.tanh(x @ w + h @ w), h @ w),
        (0, 3), (5, 0, 3)),
    "no output": (
        lambda w: lambda h, x: (jnp.tanh(x @ w + h @ w), h @ w[:, :0]),
        (3,), (5, 3)),
    "no rows of a weight on the left": (
        lambda w: lambda h, x: (jnp.tanh(w @ h + x), w[:0] @ h), (3,), (5, 3)),
    "an empty sum": (
        lambda w: lambda h, x: (h * jnp.sum(x[:0]) + x @ w, h[:0]),
        (3,), (5, 3)),
    "an empty concatenation": (
        lambda w: lambda h, x: (jnp.concatenate([h[:0] @ w[:0, :0], h @ w]), x),
        (3,), (5, 3)),
    "an inner loop of no step": (
        lambda w: lambda h, x: lax.scan(
            lambda c, r: (jnp.tanh(c * r @ w), c), h @ w + x, w[:0]), (3,), (5, 3)),
    "an inner jrnn loop of no step": (
        lambda w: lambda h, x: scan(
            lambda c, r: (jnp.tanh(c * r @ w), c), h @ w + x, w[:0]), (3,), (5, 3)),
    "no step": (
        lambda w: lambda h, x: (jnp.tanh(x @ w + h @ w), h @ w),
        (3,), (0, 3)),
    "no class": (
        lambda w: lambda h, x: (
            h, jax.nn.one_hot(x[0].astype(int), 0, dtype=float) @ w[:0]),
        (3,), (5, 3)),
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"remat": "step"}, {"remat": 2}], ids=str)
@pytest.mark.parametrize("name", NOTHING)
def test_sizes_of_zero(name, options):
    step, carry, shape = NOTHING[name]
    h, xs = jnp.full(carry, 0.5), jnp.sin(jnp.arange(np.prod(shape, dtype=int) * 1.0))
    xs = xs.reshape(shape)

    def results(run, **options):
        f = lambda w, h, xs: run(step(w), h, xs, **options)
        number = lambda *a: sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(f(*a)))
        many = jax.vmap(f, (None, None, 0))(W, h, jnp.stack([xs, 2 * xs]))
        many_w = jax.vmap(f, (0, None, None))(jnp.stack([W, 2 * W]), h, xs)
        return f(W, h, xs), jax.grad(number, (0, 1, 2))(W, h, xs), many, many_w

    both = jax.jit(lambda: (results(scan, **options), results(lax.scan)))
    assert_close(*both())


def test_vmap_over_no_example():
    f = lambda run: jax.vmap(lambda h: recurrent(run, W, h, jnp.ones((4, 3))))
    assert_close(f(scan)(jnp.ones((0, 3))), f(lax.scan)(jnp.ones((0, 3))))


# Arguments as jax.lax.scan takes them -----------------------------------------------


STEP = lambda c, x: (c * 0.5 + x, c)
FOUR = jnp.arange(4.0)


def test_arguments_by_position():
    expected = lax.scan(STEP, 1.0, FOUR, 4, True, 2, False)
    for run in (scan, in_jit(scan)):
        assert_close(run(STEP, 1.0, FOUR, 4, True, 2, False), expected)
        assert_close(run(STEP, 1.0, FOUR, None, True), expected)
        assert_close(run(STEP, 1.0, FOUR, 4, True, 2), expected)


@pytest.mark.parametrize("split", [False, True])
def test_split_transpose_is_accepted(split):
    f = lambda run: jax.grad(lambda c: run(STEP, c, FOUR, _split_transpose=split)[0])(
        1.0
    )
    assert_close(f(scan), f(lax.scan))


def test_all_arguments_by_name():
    given = {
        "f": STEP,
        "init": 1.0,
        "xs": FOUR,
        "length": 4,
        "reverse": True,
        "unroll": 1,
    }
    got = jax.jit(lambda init, xs: scan(**given | {"init": init, "xs": xs}))(1.0, FOUR)
    assert_close(got, lax.scan(**given))
    assert_close(scan(**given), lax.scan(**given))


UNROLLS = [True, False, 0, 1, 2, 3, 4, 5, np.int64(2)]


@pytest.mark.parametrize("unroll", UNROLLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_unroll_gives_the_same_numbers(unroll, reverse):
    def results(run, **options):
        f = lambda c, xs: recurrent(run, W, c, xs, reverse=reverse, **options)
        number = lambda *a: sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(f(*a)))
        xs = jnp.sin(jnp.arange(12.0)).reshape(4, 3)
        return f(W[0], xs), jax.grad(number, (0, 1))(W[0], xs)

    both = jax.jit(lambda: (results(scan, unroll=unroll), results(lax.scan)))
    assert_close(*both())


def loops(f, *args):
    return jax.jit(f).lower(*args).as_text().count("stablehlo.while")


@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("unroll", [True, 0, 4])
def test_a_loop_that_is_unrolled_whole_is_none(unroll, derive):
    def count(run, unroll):
        f = lambda c, xs: recurrent(run, W, c, xs, unroll=unroll)[1].sum()
        return loops(jax.grad(f) if derive else f, W[0], jnp.ones((4, 3)))

    assert count(lax.scan, unroll) == count(scan, unroll) == 0
    assert count(scan, 2) > 0 and count(scan, False) > 0  # the measure sees a loop


@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
def test_no_more_steps_are_written_out_than_there_are(derive):
    def size(run, unroll):
        f = lambda c, xs: recurrent(run, W, c, xs, unroll=unroll)[1].sum()
        text = jax.jit(jax.grad(f) if derive else f).lower(W[0], jnp.ones((4, 3)))
        return text.as_text().count("stablehlo.tanh")

    assert size(scan, 100) <= size(lax.scan, 100)


@pytest.mark.parametrize("unroll", [-1, 1.5, "2", None])
def test_unroll_of_another_kind_is_refused(unroll):
    with pytest.raises((ValueError, TypeError), match="unroll"):
        scan(STEP, 1.0, FOUR, unroll=unroll)


@pytest.mark.parametrize("length", [-1, 2.5, "4"])
def test_a_length_of_another_kind_is_refused(length):
    for run in (lax.scan, scan, in_jit(scan)):
        with pytest.raises((ValueError, TypeError)):
            run(STEP, 1.0, None, length)


def test_numpy_and_lists_as_arguments():
    for xs in (
        np.arange(4.0),
        np.arange(4, dtype=np.float32).astype(float),
        [FOUR, FOUR],
    ):
        step = lambda c, x: (c + jnp.sum(jnp.asarray(x)), x)
        expected = lax.scan(step, 1.0, xs)
        for got in (scan(step, 1.0, xs), jax.jit(lambda: scan(step, 1.0, xs))()):  # noqa: B023
            assert_close(got, expected)
            assert jax.tree.structure(got) == jax.tree.structure(expected)


# Types of what comes back -----------------------------------------------------------


PASSED = {  # step, first carry, inputs: something is passed through
    "numpy carry": (lambda c, x: (c, x), np.arange(3.0), np.arange(4.0)),
    "numpy float32 carry": (lambda c, x: (c, x), np.float32([1, 2]), np.arange(4)),
    "python carry": (lambda c, x: (c, x), 1.5, np.arange(4.0)),
    "python integer": (lambda c, x: (c, c), 3, np.arange(4.0)),
    "python boolean": (lambda c, x: (c, x), True, np.arange(4) > 1),
    "numpy scalar": (lambda c, x: (c, c), np.float64(2), np.arange(4.0)),
    "swapped": (
        lambda c, x: ((c[1], c[0]), x), (np.ones(2), np.zeros(2)), np.arange(4.0)),
    "one changes": (lambda c, x: ((c[0], c[1] + x), c[0]), (np.ones(2), 0.5), FOUR),
    "weak sum": (lambda c, x: (c + 1.0, c * 2), 0.5, FOUR),
    "weak from constants": (lambda c, x: (c, 1.5), 0.5, FOUR),
    "promoted carry": (lambda c, x: (c + x, c), 1, FOUR),
    "weak integer": (lambda c, x: (c + 1, c), 0, FOUR),
    "jax carry": (lambda c, x: (c, x), jnp.arange(3.0), FOUR),
    "complex": (lambda c, x: (c * 1j, c), 1.0 + 2j, FOUR),
}  # fmt: skip


@pytest.mark.parametrize(
    "how", [pytest.param("eager", marks=EAGER), "jit", "vmap", "grad", "x32"]
)
@pytest.mark.parametrize("name", PASSED)
def test_types_of_what_comes_back(name, how):
    """Arrays of JAX, of JAX's dtypes, as weak as those of `jax.lax.scan` in a `jit`.

    (Not in a `jit`, it gives a carry back that never changes as the user gave it.)
    """
    step, init, xs = PASSED[name]
    own = lambda: scan(step, init, xs)
    with jax.enable_x64(how != "x32"):
        if how == "x32":
            xs = xs.astype(jax.dtypes.canonicalize_dtype(xs.dtype))
        expected = jax.jit(lambda: lax.scan(step, init, xs))()
        got = {
            "jit": jax.jit(own),
            "x32": jax.jit(own),
            "vmap": lambda: jax.vmap(lambda s: (own(), s), out_axes=(None, 0))(FOUR)[0],
            "grad": lambda: jax.grad(lambda s: (s, own()), has_aux=True)(1.0)[1],
        }.get(how, own)()
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, jax.Array)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert jax.typeof(a).weak_type == jax.typeof(b).weak_type
        np.testing.assert_array_equal(a, b)


@EAGER
def test_what_comes_back_is_no_window_on_what_went_in():
    init, xs = np.zeros(3), np.ones(4)
    carry, ys = scan(lambda c, x: (c, x), init, xs)
    init[:], xs[:] = 7.0, 7.0
    assert carry.tolist() == [0.0] * 3 and ys.tolist() == [1.0] * 4


@pytest.mark.parametrize("transform", [jax.vmap, jax.jit, jax.grad, jax.jacfwd])
@pytest.mark.parametrize("init", [0.5, 2, np.float64(0.5), np.ones(())], ids=repr)
def test_a_number_of_python_or_numpy_as_first_carry(init, transform):
    """A carry that becomes a batch though it began as one plain number."""

    def f(run):
        def number(w):
            return run(lambda c, x: (c * w + x, None), init * 1.0, FOUR)[0]

        w = jnp.arange(3.0) if transform is jax.vmap else jnp.float64(0.7)
        return transform(number)(w)

    assert_close(f(scan), f(lax.scan))


@EAGER
def test_a_second_call_traces_nothing():
    traced = []

    def step(c, x):
        traced.append(None)
        return c * 0.5 + x, c

    def count(run):
        before = len(traced)
        run(step, jnp.float64(1), FOUR)
        first = len(traced)
        for _ in range(3):
            run(step, jnp.float64(2), FOUR + 1.0)
        return first - before, len(traced) - first

    assert count(lax.scan)[1] == 0
    assert count(scan)[1] == 0


@contextlib.contextmanager
def compilations():
    """Counts the programs that are compiled inside."""
    names = []

    def listen(event, *_, **__):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax._src.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize(
    "kind", [pytest.param("value", marks=EAGER), "gradient", "pair"]
)
def test_later_eager_calls_compile_nothing(kind):
    step = lambda c, x: (jnp.tanh(c * 0.5 + x), c)
    value = lambda c, xs: scan(step, c, xs)
    number = lambda c, xs: value(c, xs)[1].sum()

    def calls(c, xs):
        if kind != "gradient":
            value(c, xs)
        if kind != "value":
            jax.grad(number, (0, 1))(c, xs)

    many = [(jnp.asarray(2.0 + i), FOUR + i) for i in range(3)]
    with compilations() as first:
        calls(*many[0])
    with compilations() as later:
        for args in many:
            calls(*args)
    assert first and not later


def count_calls(f):
    """How many functions are called while `f` runs."""
    count = [0]

    def called(frame, event, argument):
        count[0] += event in ("call", "c_call")

    old = sys.getprofile()
    sys.setprofile(called)
    try:
        f()
    finally:
        sys.setprofile(old)
    return count[0]


@pytest.mark.parametrize(
    "kind", [pytest.param("value", marks=EAGER), "gradient", "vmap"]
)
def test_an_eager_call_is_about_as_short(kind):
    """Once everything is compiled: functions called, a measure of its time."""
    hs, xs = jnp.stack([W[0], W[1]]), jnp.ones((4, 3))
    step = lambda h, x: (jnp.tanh(h @ W + x), h)

    def call(run):
        value = lambda h: run(step, h, xs)
        if kind == "vmap":
            return jax.vmap(value)(hs)
        if kind == "value":
            return value(W[0])
        return jax.grad(lambda h: value(h)[1].sum())(W[0])

    counts = []
    with jax.debug_key_reuse(False):  # the check takes both away from their short cuts
        for run in scan, lax.scan:
            call(run), call(run)
            counts.append(count_calls(lambda: call(run)))  # noqa: B023
    assert counts[0] <= (2.25 if kind == "vmap" else 1.5) * counts[1]


# Names, for profiles and for messages -----------------------------------------------


def named(run, xs, w):
    def step(h, x):
        with jax.named_scope("early"):
            e = jnp.sin(x @ w)
        with jax.named_scope("middle"):
            h = jnp.tanh(e + h @ w)
        with jax.named_scope("late"):
            y = jnp.cos(h @ w)
        return h, y

    with jax.named_scope("outside"):
        return run(step, jnp.zeros(3), xs)[1].sum()


NAMES = ["outside", "early", "middle", "late"]


def names_of(text, operation):
    """The scopes that stand with an operation in a program's debug information."""
    places = dict(re.findall(r"^(#loc\d*) = (.*)$", text, re.M))
    used = re.findall(rf"{operation}[^\n]*loc\((#loc\d*)\)", text)
    found = set()
    while used:
        place = used.pop()
        found |= set(re.findall(r"\w+", places.get(place, "")))
        used += [p for p in re.findall(r"#loc\d*", places.pop(place, ""))]
    return found


@pytest.mark.parametrize(
    "how", ["value", "gradient", "vmap", "gradient of vmap", "remat"]
)
def test_named_scopes_are_kept(how):
    run = (lambda *a: scan(*a, remat="step")) if how == "remat" else scan
    f = lambda xs, w: named(run, xs, w)
    many = lambda xs, w: jax.vmap(lambda x: named(run, x, w))(xs).sum()
    f = many if "vmap" in how else f
    f = jax.grad(f, (0, 1)) if how.startswith(("gradient", "remat")) else f
    shape = (2, 5, 3) if "vmap" in how else (5, 3)
    text = jax.jit(f).lower(jnp.ones(shape), W).as_text(debug_info=True)
    for name, operation in zip(NAMES[1:], ["sine", "tanh", "cosine"], strict=True):
        if not (how == "remat" or "gradient" in how) or operation == "tanh":
            assert name in names_of(text, f"stablehlo.{operation}"), name
        assert name in text
    assert "outside" in text


# What the engine inlines, replaces or takes apart; of h (6,), a token, a table (6, 3).
SCOPED = {
    "slices": lambda h, k, t: (h[:3], h[3:]),
    "lookup": lambda h, k, t: (jax.nn.one_hot(k, 6, dtype=h.dtype) @ t,),
    "row": lambda h, k, t: (t[k],),
    "call of jit": lambda h, k, t: (jax.jit(jnp.sin)(h),),
    "call in a call": lambda h, k, t: (jax.jit(lambda v: jax.jit(jnp.sin)(v))(h),),
    "checkpoint": lambda h, k, t: (jax.checkpoint(jnp.sin)(h),),
    "custom rule": lambda h, k, t: (jax.nn.relu(h),),
    "condition": lambda h, k, t: (lax.cond(k > 2, jnp.sin, jnp.cos, h),),
    "loop": lambda h, k, t: lax.scan(lambda c, _: (jnp.sin(c), None), h, None, 2)[:1],
    "sum": lambda h, k, t: (h + t[:, 0] + h @ h,),
}


@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("name", SCOPED)
def test_scopes_of_what_is_replaced_or_inlined_are_kept(name, derive):
    def f(run, w, t, ks):
        def step(h, k):
            h = jnp.tanh(h @ w)
            with jax.named_scope("marked"):
                parts = SCOPED[name](h, k, t)
            y = functools.reduce(jnp.multiply, parts)
            return jnp.resize(y, 6), jnp.sum(y)

        return run(step, jnp.ones(6), ks)[1].sum()

    for run in (lax.scan, scan):
        g = functools.partial(f, run)
        g = jax.jit(jax.grad(g, (0, 1)) if derive else g)
        args = jnp.eye(6), jnp.ones((6, 3)), jnp.arange(5)
        assert "marked" in g.lower(*args).as_text(debug_info=True), run


@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
def test_every_product_says_which_part_of_the_step_it_comes_from(derive):
    f = jax.grad(named, (1, 2)) if derive else named
    lowered = jax.jit(f, static_argnums=0).lower(scan, jnp.ones((5, 3)), W)
    text = lowered.as_text(debug_info=True)
    products = re.findall(r"stablehlo.dot_general.*", text)
    places = "\n".join(re.findall(r"^#loc.*", text, re.M))
    assert len(products) >= 3
    for product in products:
        found = names_of(product + "\n" + places, "stablehlo.dot_general")
        assert found & set(NAMES[1:]), product


def test_lines_of_the_users_step_are_kept():
    text = jax.jit(lambda xs, w: named(scan, xs, w)).lower(jnp.ones((5, 3)), W)
    text = text.as_text(debug_info=True)
    source = __file__.rsplit("/", 1)[-1]
    for operation in "sine", "tanh", "cosine":
        assert source.removesuffix(".py") in names_of(text, f"stablehlo.{operation}")


# Memory -----------------------------------------------------------------------------


def named_values(run, name=checkpoint_name):
    def loss(w, xs):
        def step(h, x):
            e = name(jnp.sin(x @ w), "early")
            h = name(jnp.tanh(e + h @ w), "middle")
            return h, name(jnp.cos(h @ w), "late")

        return run(step, jnp.zeros(3), xs)[1].sum()

    return loss


POLICIES = {
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "before the loop": jax.checkpoint_policies.save_only_these_names("early"),
    "in the loop": jax.checkpoint_policies.save_only_these_names("middle"),
    "two": jax.checkpoint_policies.save_only_these_names("early", "middle"),
    "offloaded": jax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=["early"],
        names_which_can_be_offloaded=["middle"],
        offload_src="device",
        offload_dst="pinned_host",
    ),
}


def unnamed_values(run):
    """The same in the engine's own loop, where names would lead to that of JAX."""
    return named_values(run, name=lambda value, _: value)


def kept(run, policy, values=named_values):
    """Types of what the backward pass finds, arguments of the program left out."""
    f = jax.checkpoint(values(run), policy=policy)
    found = saved_residuals(f, W, jnp.ones((7, 3)))
    return sorted(str(aval) for aval, origin in found if "argument" not in origin)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_of_checkpoint_sees_the_names_in_the_loop(name):
    expected = kept(lax.scan, POLICIES[name])
    assert kept(scan, POLICIES[name]) == expected
    assert any("[7,3]" in aval for aval in expected) == (name != "nothing")
    xs = jnp.sin(jnp.arange(21.0)).reshape(7, 3)
    gradient = lambda f: jax.jit(jax.grad(f, (0, 1)))(W, xs)
    if name != "offloaded":  # where there is no second memory, it does not run
        f = jax.checkpoint(named_values(scan), policy=POLICIES[name])
        assert_close(gradient(f), gradient(named_values(lax.scan)))


def test_a_policy_that_saves_products_sees_those_in_the_loop():
    policy = jax.checkpoint_policies.dots_saveable
    for values in named_values, unnamed_values:
        assert any("[7,3]" in aval for aval in kept(lax.scan, policy, values))
        assert any("[7,3]" in aval for aval in kept(scan, policy, values))


@pytest.mark.parametrize("policy", [None, jax.checkpoint_policies.nothing_saveable])
def test_a_checkpoint_around_the_loop_keeps_nothing(policy):
    for values in named_values, unnamed_values:
        assert kept(lax.scan, policy, values) == kept(scan, policy, values) == []


f32 = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)


def chunked_cross_entropy(run, wrap):
    """64 chunks of 16 tokens, 32,000 classes: 2 MiB of logits at a time."""

    def loss(w, hs, labels):
        def step(total, x):
            h, label = x
            logits = h @ w
            chosen = jnp.take_along_axis(logits, label[:, None], -1)[:, 0]
            return total + jnp.sum(jax.nn.logsumexp(logits, -1) - chosen), None

        return run(wrap(step), jnp.float32(0), (hs, labels))[0]

    labels = jax.ShapeDtypeStruct((64, 16), jnp.int32)
    return loss, (f32(32, 32_000), f32(64, 16, 32), labels), (0, 1)


def blockwise_attention(run, wrap):
    """4,096 positions, keys and values in 32 blocks (Rabe and Staats 2021)."""

    def loss(q, k, v):
        def step(carry, block):
            total, top, mass = carry
            k, v = block
            scores = q @ k.T
            new = jnp.maximum(top, scores.max(-1))
            p, scale = jnp.exp(scores - new[:, None]), jnp.exp(top - new)
            return (total * scale[:, None] + p @ v, new, mass * scale + p.sum(-1)), None

        start = jnp.zeros_like(q), jnp.full(len(q), -jnp.inf, q.dtype), q[:, 0] * 0
        (total, _, mass), _ = run(wrap(step), start, (k, v))
        return jnp.sum((total / mass[:, None]) ** 2)

    return loss, (f32(4096, 32), f32(32, 128, 32), f32(32, 128, 32)), (0, 1, 2)


def gradient_accumulation(run, wrap, width=64):
    """16 micro-batches of 512 rows through three layers."""

    def accumulated(w, xs):
        def loss(w, x):
            for a in w:
                x = jnp.tanh(x @ a)
            return jnp.sum(x**2)

        step = lambda g, x: (jax.tree.map(jnp.add, g, jax.grad(loss)(w, x)), None)
        total, _ = run(wrap(step), jax.tree.map(jnp.zeros_like, w), xs)
        return sum(map(jnp.sum, total))

    return accumulated, ([f32(width, width)] * 3, f32(16, 512, width)), (0,)


def wide_accumulation(run, wrap):
    """Layers so wide that a product is as fast for one step as for many together."""
    return gradient_accumulation(run, wrap, width=256)


FRUGAL = [
    chunked_cross_entropy,
    blockwise_attention,
    gradient_accumulation,
    wide_accumulation,
]


@pytest.mark.parametrize("recompute", [False, True], ids=["", "checkpoint"])
@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("case", FRUGAL, ids=lambda f: f.__name__)
def test_a_step_that_keeps_an_array_small_keeps_it_small(case, derive, recompute):
    """At most 1.5 times the memory of `jax.lax.scan` and the 4 MiB that are free."""

    def memory(run):
        f, args, by = case(run, jax.checkpoint if recompute else lambda step: step)
        program = jax.jit(jax.grad(f, by) if derive else f).lower(*args).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert memory(scan) <= 1.5 * memory(lax.scan) + 4 * 2**20


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
@pytest.mark.parametrize("size", [(50, 50, 128), (16, 1000, 64)], ids=str)
def test_recomputing_a_step_costs_no_memory(name, size):
    """Not more than without it; and against `jax.lax.scan` what the budget says."""
    batch, length, hidden = size

    def memory(run, wrap=lambda step: step, **options):
        step, start, w = textbook(name, 65, hidden)

        def loss(w, ks):
            own = lambda c, k: step(w)(c, jax.nn.one_hot(k, 65, dtype=jnp.float32))
            h = start(jnp.zeros((batch, hidden), jnp.float32))
            return jnp.sum(run(wrap(own), h, ks, **options)[1] ** 2)

        ks = jax.ShapeDtypeStruct((length, batch), jnp.int32)
        program = jax.jit(jax.grad(loss)).lower(w, ks).compile()
        return program.memory_analysis().temp_size_in_bytes

    recomputing = memory(scan, remat="step")
    assert recomputing <= 1.01 * memory(scan)
    assert recomputing <= 1.5 * memory(lax.scan, jax.checkpoint) + 4 * 2**20


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_recomputing_a_step_multiplies_no_weight_gradient_in_the_loop(name):
    """In the loops: h @ w; x @ w and h @ w again; and the transpose of h @ w."""
    step, start, w = textbook(name, 5, 7)

    def loss(w, xs):
        h = start(jnp.zeros((3, 7), jnp.float32))
        return jnp.sum(scan(step(w), h, xs, remat="step")[1] ** 2)

    text = jax.jit(jax.grad(loss)).lower(w, f32(11, 3, 5)).as_text()
    assert operations_in_loops(text).count("dot_general") <= 4


# The compiled text ------------------------------------------------------------------


def textbook(name, inputs, hidden):
    """A step of its weights, its first carry of zeros, and the types of its weights."""
    gates = {"tanh": 1, "gru": 3, "lstm": 4}[name]

    def tanh(w):
        def step(h, x):
            h = jnp.tanh(x @ w[0] + h @ w[1] + w[2])
            return h, h

        return step

    def gru(w):
        def step(h, x):
            rx, ux, nx = jnp.split(x @ w[0] + w[2], 3, -1)
            rh, uh, nh = jnp.split(h @ w[1] + w[2], 3, -1)
            u = jax.nn.sigmoid(ux + uh)
            h = (1 - u) * jnp.tanh(nx + jax.nn.sigmoid(rx + rh) * nh) + u * h
            return h, h

        return step

    def lstm(w):
        def step(c, x):
            i, f, g, o = jnp.split(x @ w[0] + c[0] @ w[1] + w[2], 4, -1)
            cell = jax.nn.sigmoid(f) * c[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (h, cell), h

        return step

    shapes = (inputs, gates * hidden), (hidden, gates * hidden), (1, gates * hidden)
    start = (lambda h: (h, h)) if name == "lstm" else lambda h: h
    step = {"tanh": tanh, "gru": gru, "lstm": lstm}[name]
    return step, start, tuple(f32(*shape) for shape in shapes)


def operations_in_loops(text):
    """Names of the operations in all loop bodies, with those of what they call."""
    functions = dict(re.findall(r"func\.func \w+ @(\w+)\((.*?)\n  }\n", text, re.S))

    def within(block):
        found = []
        for line in block.splitlines():
            if called := re.search(r"\bcall @(\w+)", line):
                found += within(functions[called[1]])
            else:
                found += re.findall(r"stablehlo\.(\w+)", line)[:1]
        return found

    loops = re.finditer(r"^( *)} do {\n(.*?)^\1}", text, re.S | re.M)
    return [name for body in loops for name in within(body[2])]


def lowered_for_cuda(run, name, derive, by_vmap):
    """A language model's loss on 13 one-hot classes, 100 units (12.5 times 8)."""
    step, start, w = textbook(name, 13, 100)

    def one(w, ks):
        def own(c, k):
            return step(w)(c, jax.nn.one_hot(k, 13, dtype=jnp.float32)[None])

        return jnp.sum(run(own, start(jnp.zeros((1, 100), jnp.float32)), ks)[1] ** 2)

    many = lambda w, ks: jax.vmap(one, (None, 1))(w, ks).sum()
    f = many if by_vmap else one
    ks = jax.ShapeDtypeStruct((11, 5) if by_vmap else (11,), jnp.int32)
    traced = jax.jit(jax.grad(f) if derive else f).trace(w, ks)
    return traced.lower(lowering_platforms=("cuda",)).as_text()


ON_CUDA = [(n, d, v) for n in ("tanh", "gru", "lstm") for d in (0, 1) for v in (0, 1)]


@pytest.mark.parametrize(("name", "derive", "by_vmap"), ON_CUDA)
def test_a_program_for_a_gpu_has_no_traces_of_a_cpu(name, derive, by_vmap):
    """Nothing that only helps a CPU, and no more in the loops than `jax.lax.scan`."""
    own, plain = (
        lowered_for_cuda(run, name, derive, by_vmap) for run in (scan, lax.scan)
    )
    for word in "optimization_barrier", "pad", "gather", "scatter":
        count = lambda text: len(re.findall(rf'stablehlo\.{word}"?[ (]', text))  # noqa: B023
        assert count(own) <= count(plain), word
    inside = [len(operations_in_loops(text)) for text in (own, plain)]
    assert inside[0] <= inside[1]


def test_a_vector_product_of_100_columns_is_not_widened_for_a_gpu():
    w = f32(100, 100)
    f = lambda w, xs: scan(lambda h, x: (jnp.tanh(h @ w + x), h), xs[0], xs)
    traced = jax.jit(f).trace(w, f32(5, 100))
    assert "104" not in traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "104" not in traced.lower(lowering_platforms=("rocm",)).as_text()


# Deep steps -------------------------------------------------------------------------


def repeated(n, g):
    def step(c, x):
        h = c
        for i in range(n):
            h = g(h, x, i)
        return h, h

    return step


CHAINS = {
    "sums of inputs": lambda h, x, i: h + x,
    "sums of x": lambda h, x, i: x + h,
    "differences": lambda h, x, i: h - x,
    "sums of constants": lambda h, x, i: h + 0.001 * i,
    "products": lambda h, x, i: h * x,
    "negations": lambda h, x, i: -h,
    "tanh": lambda h, x, i: jnp.tanh(h),
    "mixed": lambda h, x, i: h * 0.5 + x if i % 3 else jnp.sin(h),
    "slices": lambda h, x, i: jnp.concatenate([h[1:], x[:1]]),
    "branches": lambda h, x, i: jnp.where(x > 0, h, h + x),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_step_of_1500_equations_is_traced(name):
    step = repeated(1500, CHAINS[name])
    f = lambda c, xs: jnp.sum(scan(step, c, xs)[0])
    jax.jit(f).lower(jnp.ones(2), jnp.ones((3, 2)))


@pytest.mark.parametrize("name", ["sums of x", "sums of constants", "mixed"])
def test_a_step_of_1100_equations_is_derived(name):
    """More than Python's functions may be nested."""
    step = repeated(1100, CHAINS[name])
    f = jax.grad(lambda c, xs: jnp.sum(scan(step, c, xs)[0]), (0, 1))
    jax.jit(f).lower(jnp.ones(2), jnp.ones((3, 2)))


def test_1500_sums_by_hand():
    """Whole numbers: c + 1500 x, and 1500 for the derivative by each x."""
    step = repeated(1500, CHAINS["sums of inputs"])
    f = lambda c, xs: scan(step, c, xs)[0]
    assert jax.jit(f)(1.0, jnp.array([1.0, 2.0])) == 1.0 + 1500 * 3
    assert jax.grad(f, 1)(1.0, jnp.array([1.0, 2.0])).tolist() == [1500.0, 1500.0]


def chain(n):
    return repeated(n, CHAINS["mixed"]), jnp.ones(2, jnp.float32), f32(5, 2)


def layers(n):
    """A stack of LSTMs, all layers in one step."""
    step, start, w = textbook("lstm", 4, 4)
    w = [jnp.full(t.shape, 0.1, t.dtype) for t in w]

    def all_layers(carries, x):
        new = []
        for carry in carries:
            carry, x = step(w)(carry, x)
            new.append(carry)
        return new, x

    return all_layers, [start(jnp.ones((1, 4), jnp.float32))] * n, f32(5, 1, 4)


def lowered(run, make, n, derive):
    step, carry, xs = make(n)

    def number(carry, xs):
        return sum(jnp.sum(y) for y in jax.tree.leaves(run(step, carry, xs)))

    return jax.jit(jax.grad(number, (0, 1)) if derive else number).lower(carry, xs)


def count_binds(f):
    """How many operations JAX is asked for while `f` runs."""
    bind, count = jax._src.core.Primitive.bind, [0]

    def counted(self, *args, **params):
        count[0] += 1
        return bind(self, *args, **params)

    jax._src.core.Primitive.bind = counted
    try:
        f()
    finally:
        jax._src.core.Primitive.bind = bind
    return count[0]


def count_lines(f):
    """How many lines of the library's own code run in `f`."""
    count, home = [0], str(Path(jrnn.__file__).parent)

    def line(frame, event, argument):
        count[0] += event == "line"
        return line

    old = sys.gettrace()
    ours = lambda frame: frame.f_code.co_filename.startswith(home)
    sys.settrace(lambda frame, *_: line if ours(frame) else None)
    try:
        f()
    finally:
        sys.settrace(old)
    return count[0]


DEEP = [(make, derive) for make in (chain, layers) for derive in (False, True)]
DEEP_IDS = ["chain-value", "chain-gradient", "layers-value", "layers-gradient"]


@pytest.mark.parametrize(("make", "derive"), DEEP, ids=DEEP_IDS)
def test_work_on_a_step_grows_as_its_size(make, derive):
    """Four times as many equations: at most 4.5 times as many lines of code."""
    n = 4 if make is layers else 60
    lowered(scan, make, 2, derive)
    few, many = (
        count_lines(lambda: lowered(scan, make, k, derive))  # noqa: B023
        for k in (n, 4 * n)
    )
    assert many <= 4.5 * few


@pytest.mark.parametrize(("make", "derive"), DEEP, ids=DEEP_IDS)
def test_a_step_is_not_traced_many_times_over(make, derive):
    """Operations asked for, a measure of the time to trace; those that are compiled."""
    n = 16 if make is layers else 200
    for run in scan, lax.scan:
        lowered(run, make, 2, derive)
    own, plain = (
        count_binds(lambda: lowered(run, make, n, derive))  # noqa: B023
        for run in (scan, lax.scan)
    )
    assert own <= (2.4 if derive else 3) * plain
    emitted = [
        lowered(run, make, n, derive).as_text().count(" = ") for run in (scan, lax.scan)
    ]
    assert emitted[0] <= 1.1 * emitted[1]


# The tools of JAX, one by one -------------------------------------------------------

B4 = jnp.sin(jnp.arange(36.0)).reshape(4, 3, 3)  # steps, batch, features
TOOLS = {}


def tool(f):
    TOOLS[f.__name__] = f
    return f


def model(run, w=W, xs=B4[:, 0], **options):
    return recurrent(run, w, w[0], xs, **options)


def number(run, *args, **options):
    return sum(
        jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(model(run, *args, **options))
    )


@tool
def jit(run):
    return jax.jit(lambda w, xs: model(run, w, xs))(W, B4[:, 0])


@tool
def disable_jit(run):
    with jax.disable_jit():
        return model(run), jax.grad(lambda w: number(run, w))(W)


@tool
def grad(run):
    return jax.grad(lambda w, xs: number(run, w, xs), (0, 1))(W, B4[:, 0])


@tool
def value_and_grad_with_aux(run):
    f = lambda w: (number(run, w), model(run, w))
    return jax.value_and_grad(f, has_aux=True)(W)


@tool
def vjp(run):
    out, pull = jax.vjp(lambda w: model(run, w), W)
    return pull(jax.tree.map(jnp.cos, out))


@tool
def jvp(run):
    return jax.jvp(lambda w: model(run, w), (W,), (W.T,))


@tool
def linearize(run):
    out, push = jax.linearize(lambda w: model(run, w), W)
    return out, push(W.T), jax.vmap(push)(jnp.stack([W, W.T]))


@tool
def jacfwd_and_jacrev(run):
    f = lambda h: recurrent(run, W, h, B4[:, 0])
    return jax.jacfwd(f)(W[0]), jax.jacrev(f)(W[0])


@tool
def hessian(run):
    return jax.hessian(lambda h: jnp.sum(recurrent(run, W, h, B4[:, 0])[1] ** 2))(W[0])


@tool
def third_derivative(run):
    f = lambda s: number(run, s * W)
    return jax.grad(jax.grad(jax.grad(f)))(0.7), jax.jacfwd(jax.jacfwd(jax.grad(f)))(
        0.7
    )


@tool
def vmap(run):
    each = lambda w, xs: model(run, w, xs)
    w = jnp.stack([W, W.T, W @ W])
    return [
        jax.vmap(each, axes)(*args)
        for axes, args in [
            ((None, 1), (W, B4)),
            ((0, None), (w, B4[:, 0])),
            ((2, 1), (w, B4)),
        ]
    ]


@tool
def vmap_of_vmap(run):
    inner = jax.vmap(lambda w, xs: model(run, w, xs), (None, 1))
    return jax.vmap(inner, (0, None))(jnp.stack([W, W.T]), B4)


@tool
def vmap_of_grad(run):
    return jax.vmap(jax.grad(lambda w, xs: number(run, w, xs)), (None, 1))(W, B4)


@tool
def map_in_batches(run):
    f = lambda xs: model(run, W, xs)
    return lax.map(f, B4.swapaxes(0, 1), batch_size=2)


@tool
def named_axes(run):
    def step(h, x):
        mine = lax.axis_index("batch").astype(h.dtype)
        h = jnp.tanh(h @ W + x - lax.pmean(x, "batch")) + mine
        return h, lax.psum(h, "batch")

    f = lambda xs: run(step, W[0], xs)
    return jax.vmap(f, in_axes=1, axis_name="batch")(B4)


@tool
def shard_map(run):
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))

    def each(w, xs):
        h = jnp.zeros_like(xs[0])
        loss = jnp.sum(recurrent(run, w, h, xs)[1] ** 2)
        return lax.psum(loss, "batch")

    f = jax.shard_map(
        each, mesh=mesh, in_specs=(jax.P(), jax.P(None, "batch")), out_specs=jax.P()
    )
    xs = jnp.concatenate([B4, B4[:, :1]], 1)
    return jax.jit(jax.value_and_grad(f, (0, 1)))(W, xs)


@tool
def pmap(run):
    xs = B4.swapaxes(0, 1)[: jax.device_count()]
    return jax.pmap(lambda xs: model(run, W, xs))(xs)


@tool
def sharded_arguments(run):
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
    place = jax.sharding.NamedSharding(mesh, jax.P(None, "batch"))
    xs = jax.device_put(jnp.concatenate([B4, B4[:, :1]], 1), place)
    h = jnp.zeros(xs.shape[1:])
    f = lambda w, xs: jnp.sum(recurrent(run, w, h, xs)[1] ** 2)
    return jax.jit(jax.grad(f, (0, 1)))(W, xs)


@tool
def checkpoint(run):
    return jax.grad(jax.checkpoint(lambda w: number(run, w)))(W)


@tool
def checkpoint_inside(run):
    def step(h, x):
        h = jax.checkpoint(lambda h: jnp.tanh(jnp.sin(h @ W) + x))(h)
        return h, h

    f = lambda h: jnp.sum(run(step, h, B4[:, 0])[1])
    return jax.grad(f)(W[0])


@tool
def eval_shape(run):
    out = jax.eval_shape(lambda w, xs: model(run, w, xs), W, B4[:, 0])
    return jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), out)


@tool
def make_jaxpr(run):
    closed = jax.make_jaxpr(lambda w: model(run, w))(W)
    return jax.core.eval_jaxpr(closed.jaxpr, closed.consts, W)


@tool
def closure_convert(run):
    def loss(w):
        f, captured = jax.closure_convert(
            lambda h: recurrent(run, w, h, B4[:, 0])[1], W[0]
        )
        return jnp.sum(f(W[0], *captured) ** 2)

    return jax.grad(loss)(W)


@tool
def compiled_ahead(run):
    f = jax.jit(jax.grad(lambda w, xs: number(run, w, xs)))
    return f.lower(W, B4[:, 0]).compile()(W, B4[:, 0])


@tool
def donated_arguments(run):
    f = jax.jit(lambda h, xs: recurrent(run, W, h, xs), donate_argnums=(0,))
    return f(jnp.array(W[0]), B4[:, 0])


@tool
def custom_vjp_around(run):
    f = jax.custom_vjp(lambda w: number(run, w))
    f.defvjp(
        lambda w: (number(run, w), w),
        lambda w, g: (g * jax.grad(lambda w: number(run, w))(w) / 2,),
    )
    return jax.value_and_grad(f)(W)


@tool
def custom_jvp_around(run):
    f = jax.custom_jvp(lambda w: number(run, w))
    f.defjvp(lambda p, t: (f(*p), jax.jvp(lambda w: number(run, w), p, t)[1] * 2))
    return jax.value_and_grad(f)(W), jax.jvp(f, (W,), (W,))


@tool
def custom_root(run):
    """Where h = 0.1 * (last carry from h), with its implicit derivative."""

    def solve(w):
        f = lambda h: h - 0.1 * recurrent(run, w, h, B4[:, 0])[0] - 1.0

        def newton(f, h):
            for _ in range(8):
                h = h - jnp.linalg.solve(jax.jacfwd(f)(h), f(h))
            return h

        tangent = lambda g, y: jnp.linalg.solve(jax.jacobian(g)(y), y)
        return lax.custom_root(f, W[0], newton, tangent)

    return solve(W), jax.jacrev(solve)(W)


@tool
def inside_scan_cond_while_and_switch(run):
    xs = B4[:, 0]
    body = lambda h, x: (run(lambda h, w: (jnp.tanh(h * w + x), None), h, W)[0], h)
    chosen = lambda h: lax.cond(h[0] > 0, lambda h: model(run, W, xs)[0], jnp.sin, h)
    three = lambda i, h: recurrent(run, W, h, xs)[0]
    switch = lambda i, h: lax.switch(i, [jnp.sin, lambda h: three(0, h)], h)
    return (
        lax.scan(body, W[0], xs),
        jax.grad(lambda h: jnp.sum(lax.scan(body, h, xs)[0]))(W[0]),
        jax.grad(lambda h: jnp.sum(chosen(h)))(jnp.abs(W[0])),
        lax.fori_loop(0, 3, three, W[0]),
        switch(1, W[0]),
    )


@tool
def associative_scan_and_loops_inside(run):
    def step(h, x):
        h = lax.associative_scan(jnp.add, h) + lax.fori_loop(
            0, 3, lambda i, h: h / 2, x
        )
        return jnp.tanh(h), lax.cummax(h)

    return run(step, W[0], B4[:, 0]), jax.grad(
        lambda h: jnp.sum(run(step, h, B4[:, 0])[0])
    )(W[0])


@tool
def debug_callback(run):
    seen = []

    def step(c, x):
        jax.debug.callback(lambda x: seen.append(float(x)), x, ordered=True)
        return c + x, c

    out = jax.jit(lambda: run(step, jnp.float64(0), FOUR))()
    jax.effects_barrier()
    return out, jnp.asarray(seen)


@tool
def io_callback(run):
    seen = []

    def step(c, x):
        like = jax.ShapeDtypeStruct((), jnp.float64)
        log = lambda x: seen.append(float(x)) or np.float64(2 * x)
        return c + jax.experimental.io_callback(log, like, x, ordered=True), c

    return jax.jit(lambda: run(step, jnp.float64(0), FOUR))(), jnp.asarray(seen)


@tool
def pure_callback(run):
    def step(c, x):
        like = jax.ShapeDtypeStruct((), jnp.float64)
        y = jax.pure_callback(np.sin, like, x, vmap_method="sequential")
        return c + y, c * y

    each = lambda s: run(step, jnp.float64(0), FOUR * s)
    return jax.jit(lambda: each(1.0))(), jax.vmap(each)(jnp.arange(3.0))


@tool
def random_bits(run):
    def step(key, x):
        key, use = jax.random.split(key)
        return key, jax.random.normal(use) + jax.random.uniform(x)

    key, ys = run(step, jax.random.key(0), jax.random.split(jax.random.key(1), 4))
    return jax.random.key_data(key), ys


@tool
def raw_keys(run):
    def step(key, x):
        key, use = jax.random.split(key)
        return key, jax.random.normal(use) * x

    return run(step, jax.random.PRNGKey(0), FOUR)


@tool
def matmul_precision(run):
    with jax.default_matmul_precision("highest"):
        return jax.grad(lambda w: number(run, w))(W)


@tool
def default_device(run):
    with jax.default_device(jax.devices()[-1]):
        return model(run)


@tool
def enable_checks(run):
    with jax.enable_checks(True):
        return jax.jit(jax.grad(lambda w: number(run, w)))(W)


@tool
def tracer_leak_checks(run):
    with checking_leaks():
        many = jax.vmap(lambda xs: jax.grad(lambda w: number(run, w, xs))(W), 1)
        return jax.jit(many)(B4)


@tool
def log_compiles(run):
    with jax.log_compiles(False):
        return model(run)


@tool
def named_call(run):
    return jax.named_call(lambda: model(run), name="model")()


@tool
def optimisation_barrier(run):
    def step(h, x):
        h = lax.optimization_barrier(jnp.tanh(h @ W + x))
        return h, h

    return jax.value_and_grad(lambda h: jnp.sum(run(step, h, B4[:, 0])[1]))(W[0])


@tool
def stop_gradient(run):
    def step(h, x):
        h = jnp.tanh(lax.stop_gradient(h) @ W + x)
        return h, h

    return jax.grad(lambda xs: jnp.sum(run(step, W[0], xs)[1]))(B4[:, 0])


@tool
def custom_vmap_inside(run):
    f = jax.custom_batching.custom_vmap(jnp.sin)
    f.def_vmap(lambda size, on, x: (jnp.sin(x) + 1.0, True))  # to be told apart
    step = lambda h, x: (f(h) + x, h)
    return run(step, W[0], B4[:, 0]), jax.vmap(lambda xs: run(step, W[0], xs), 1)(B4)


@tool
def mutable_arrays(run):
    def f():
        total = jax.new_ref(jnp.float64(0))

        def step(c, x):
            total[...] += x
            return c + 1, total[...]

        return run(step, 0, FOUR), total[...]

    return jax.jit(f)()


@tool
def complex_numbers(run):
    step = lambda z, x: (z * jnp.exp(1j * x.astype(complex)), jnp.abs(z + 1.0))
    f = lambda x: jnp.sum(run(step, jnp.asarray(1 + 1j), x)[1])
    return run(step, jnp.asarray(1 + 1j), FOUR), jax.grad(f)(FOUR)


@tool
def none_and_empty_trees(run):
    step = lambda c, x: ((c[0] + 1, None, ()), {"a": None, "b": x["x"]})
    return run(step, (0, None, ()), {"x": FOUR, "y": None})


@tool
def dataclass_trees(run):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Carry:
        h: jax.Array
        n: int

    step = lambda c, x: (Carry(jnp.tanh(c.h + x), c.n + 1), c)
    last, ys = run(step, Carry(W[0], 0), B4[:, 0])
    return last.h, last.n, ys.h, ys.n


def recurrence(w=W):
    return lambda h, x: (jnp.tanh(h @ w + x), h)


@tool
def spmd_axis_and_axis_size(run):
    f = lambda h: run(recurrence(), h, B4[:, 0])
    same = jax.vmap(lambda: f(W[0]), axis_size=3, out_axes=None)
    return jax.vmap(f, spmd_axis_name="batch")(W), same()


@tool
def holomorphic_and_integer_gradients(run):
    w, xs = W.astype(complex), B4[:, 0].astype(complex)
    step = lambda h, x: (jnp.sin(h @ w + x), h)
    smooth = jax.grad(lambda h: run(step, h, xs)[0].sum(), holomorphic=True)
    scaled = lambda c, n: run(lambda c, x: (jnp.tanh(c @ W + x), c * n), c, B4[:, 0])
    both = jax.grad(lambda h, n: scaled(h, n)[1].sum(), (0, 1), allow_int=True)
    return smooth(w[0]), both(W[0], 2.0)[0]


@tool
def batched_conditions_around(run):
    f = lambda h: run(recurrence(), h, B4[:, 0])[0]
    more = lambda s: (s[0] < 3) & (s[1].sum() < 4)
    until = lambda h: lax.while_loop(more, lambda s: (s[0] + 1, f(s[1]) + 0.5), (0, h))
    chosen = lambda on, h: lax.cond(on, f, jnp.sin, h)
    on = jnp.array([True, False, True])
    loss = lambda h: jax.vmap(chosen)(on, h).sum()
    return jax.vmap(until)(W), jax.vmap(chosen)(on, W), jax.grad(loss)(W)


@tool
def threads(run):
    def work(i):
        f = lambda h: run(lambda c, x: (jnp.tanh(c @ W + x * i), c), h, B4[:, 0])
        return jax.grad(lambda h: f(h)[1].sum())(W[0])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, [1.0, 2.0, 3.0, 4.0]))


@tool
def clear_caches(run):
    f = jax.grad(lambda h: run(recurrence(), h, B4[:, 0])[1].sum())
    before = f(W[0])
    jax.clear_caches()
    return before, f(W[0])


@tool
def transfer_guard(run):
    step, h, xs = recurrence(), jnp.array(W[0]), jnp.array(B4[:, 0])
    run(step, h, xs)
    with jax.transfer_guard("disallow"):
        return run(step, h, xs)


@tool
def linear_call(run):
    """Transposed by a rule that is not the transpose."""
    twice = lambda w: jax.custom_derivatives.linear_call(
        lambda _, x: x * 2.0, lambda _, ct: jnp.clip(ct, -0.1, 0.1), (), w
    )
    step = lambda w: lambda h, x: (twice(w) * h + x, h)
    return jax.grad(lambda w: run(step(w), W[1], B4[:, 0])[1].sum())(W[0])


@tool
def rules_with_symbolic_zeros(run):
    f = jax.custom_vjp(lambda x, y: x * y)

    def forward(x, y):
        return x.value * y.value, (x.value, y.value, x.perturbed, y.perturbed)

    def backward(kept, ct):
        x, y, on_x, on_y = kept
        zero = isinstance(ct, jax.custom_derivatives.SymbolicZero)
        ct = jnp.zeros(ct.shape, ct.dtype) if zero else ct
        return ct * y * (1.0 + on_x), ct * x * (1.0 + 2.0 * on_y)

    f.defvjp(forward, backward, symbolic_zeros=True)
    step = lambda w: lambda h, x: (jnp.tanh(f(h, w)) + x, h)
    loss = lambda h, w: run(step(w), h, B4[:, 0])[1].sum()
    return [jax.grad(loss, by)(W[0], W[1]) for by in (0, 1, (0, 1))]


@tool
def rules_of_functions_and_to_recompute(run):
    apply = jax.custom_vjp(lambda f, x: f(x), nondiff_argnums=(0,))
    apply.defvjp(lambda f, x: (f(x), x), lambda f, x, g: (jnp.sign(g) * x,))
    sine = jax.custom_vjp(jnp.sin)
    kept = lambda x: (jnp.sin(x), x)
    sine.defvjp(kept, lambda x, ct: (2.0 * ct * jnp.cos(x),), optimize_remat=True)
    step = lambda w: lambda h, x: (sine(apply(jnp.sin, w) * h) + sine(w) + x, h)
    loss = lambda w: run(step(w), W[0], B4[:, 0])[1].sum()
    return jax.grad(loss)(W[1]), jax.grad(jax.checkpoint(loss))(W[1])


@tool
def linear_algebra(run):
    def step(h, x):
        lower = jnp.linalg.cholesky(W @ W.T + jnp.eye(3) + jnp.diag(x**2))
        z = jax.scipy.linalg.solve_triangular(lower, h, lower=True)
        return jnp.tanh(z + jnp.linalg.inv(lower)[0]), jnp.linalg.eigvalsh(
            lower + lower.T
        )

    f = lambda h, xs: run(step, h, xs)
    loss = lambda h, xs: sum(map(jnp.sum, f(h, xs)))
    return f(W[0], B4[:, 0]), jax.grad(loss, (0, 1))(W[0], B4[:, 0])


@tool
def explicit_mesh(run):
    kind = (jax.sharding.AxisType.Explicit,)
    mesh = jax.make_mesh((1,), ("batch",), axis_types=kind)
    step = lambda h, x: (jnp.tanh(h @ W + x[None]), h)
    with jax.set_mesh(mesh):
        h = jax.device_put(W, jax.P("batch", None))
        return jax.jit(jax.grad(lambda h: run(step, h, B4[:, 0])[1].sum()))(h)


@tool
def compile_time_values(run):
    def f(x):
        with jax.ensure_compile_time_eval():
            h = run(recurrence(), W[0], B4[:, 0])[0]
        return h * x

    return jax.jit(f)(2.0)


@tool
def loops_of_the_same_in_each_other(run):
    inner = lambda h, x: run(lambda c, w: (jnp.tanh(c * w + x), c), h, W)
    step = lambda h, x: (inner(h, x)[0], inner(h, x)[1].sum())
    f = lambda h: run(step, h, B4[:, 0])
    loss = lambda h: f(h)[1].sum()
    return f(W[0]), jax.hessian(loss)(W[0]), jax.vmap(jax.grad(loss))(W)


@tool
def methods_partials_and_numpy_weights(run):
    class Model:
        w = np.asarray(W)

        def step(self, h, x):
            return jnp.tanh(h @ self.w + x), self.w[0] * h

    half = functools.partial(lambda k, h, x: (h * k + x, h), 0.5)
    return [
        run(step, np.asarray(W[0]), np.asarray(B4[:, 0]))
        for step in (Model().step, half, jax.jit(recurrence()))
    ]


@pytest.mark.filterwarnings("ignore:.*pmap.*:DeprecationWarning")
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_gives_what_it_gives_for_lax_scan(name):
    with jax.debug_key_reuse(False):
        expected = TOOLS[name](lax.scan)
        for run in (scan, in_jit(scan)):
            got = TOOLS[name](run)
            assert jax.tree.structure(got) == jax.tree.structure(expected)
            assert_close(got, expected)


def test_a_reused_key_is_found():
    """With `jax_debug_key_reuse`: the same key drawn from at every step."""
    key = jax.random.key(0)
    bad = lambda run: run(lambda c, x: (c + jax.random.normal(key), c), 0.0, FOUR)
    for run in lax.scan, scan:
        with pytest.raises(jax.errors.KeyReuseError), jax.debug_key_reuse(True):
            jax.jit(lambda: bad(run))()  # noqa: B023


def test_a_tracer_that_leaks_is_found():
    for run in lax.scan, scan:
        leaked = []

        def step(c, x):
            leaked.append(c)  # noqa: B023
            return c + x, c

        with pytest.raises(Exception, match=r"[Ll]eaked"), checking_leaks():
            jax.jit(lambda: run(step, 0.0, FOUR))()  # noqa: B023


def test_strict_promotion_refuses_what_it_refuses_of_lax_scan():
    for run in lax.scan, scan, in_jit(scan):
        with pytest.raises((TypeError, ValueError), match="promotion"):
            run(lambda c, x: (c + jnp.float32(1) * x, c), 0.0, FOUR)


# The table of the documentation -----------------------------------------------------


def test_every_row_of_the_table_names_a_test_and_every_test_has_a_row():
    page = Path(__file__).parents[1] / "docs" / "drop-in.md"
    rows = [x for x in page.read_text().splitlines() if x.startswith("| ")][1:]
    named = {row: re.findall(r"`(test_\w+)(?:\[([^\]]*)\])?`", row) for row in rows}
    assert all(named.values()), [row for row, tests in named.items() if not tests]
    found = {test for tests in named.values() for test in tests}
    tests = {n for n in globals() if n.startswith("test_")} - {
        "test_every_row_of_the_table_names_a_test_and_every_test_has_a_row"
    }
    assert {name for name, _ in found} == tests
    assert {p for name, p in found if "a_tool_gives" in name} == set(TOOLS)
