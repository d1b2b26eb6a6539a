"""Optimisers against NumPy loops; traced arguments; clipping."""

import math
import re
from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrnn import optimizers
from jrnn._norm import scaled_norm

INF = float("inf")


@pytest.fixture(autouse=True)
def standard_promotion():
    """Optax itself does not run under strict promotion (Adam's bias correction)."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def gradients(steps=6, seed=0, scale=1.0):
    draw = np.random.default_rng(seed)
    normal = lambda *shape: scale * draw.normal(size=shape)
    return [{"w": normal(3, 2), "b": normal(4)} for _ in range(steps)]


def params():
    return jax.tree.map(jnp.asarray, gradients(1, seed=9)[0])


def follow(optimizer, grads, theta=None):
    """Parameters after every step of an optimiser."""
    theta = params() if theta is None else theta
    state, path = optimizer.init(theta), []
    update = jax.jit(optimizer.update)
    for g in grads:
        updates, state = update(jax.tree.map(jnp.asarray, g), state, theta)
        theta = optax.apply_updates(theta, updates)
        path.append(theta)
    return path


def norm(tree):
    return np.sqrt(sum((np.asarray(x) ** 2).sum() for x in jax.tree.leaves(tree)))


def clipped(g, max_norm):
    factor = min(1.0, max_norm / norm(g))
    return {k: v * factor for k, v in g.items()}


def close(a, b, tolerance=1e-12):
    chex.assert_trees_all_close(a, b, rtol=tolerance, atol=tolerance)


# Each rule as its authors wrote it: (theta, g, memory, t) -> theta


def numpy_adagrad(theta, g, memory, t, lr=0.1, eps=1e-8):
    s = memory["s"] = memory.get("s", 0) + g**2
    return theta - lr * g / np.sqrt(s + eps)


def numpy_adam(theta, g, memory, t, lr=0.1, b1=0.9, b2=0.999, eps=1e-8, decay=0.0):
    m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g**2
    step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return theta - lr * (step + decay * theta * (theta.ndim > 1))


def numpy_adamw(theta, g, memory, t):
    return numpy_adam(theta, g, memory, t, decay=0.3)


def numpy_rmsprop(theta, g, memory, t, lr=0.1, decay=0.95, eps=1e-8):
    s = memory["s"] = decay * memory.get("s", 0) + (1 - decay) * g**2
    return theta - lr * g / np.sqrt(s + eps)


def numpy_sgd(theta, g, memory, t, lr=0.1):
    return theta - lr * g


def numpy_momentum(theta, g, memory, t, lr=0.1, momentum=0.7):
    v = memory["v"] = momentum * memory.get("v", 0) + g
    return theta - lr * v


RULES = {
    "adagrad": (optimizers.adagrad, numpy_adagrad),
    "adam": (optimizers.adam, numpy_adam),
    "adamw": (lambda *a: optimizers.adamw(*a, weight_decay=0.3), numpy_adamw),
    "rmsprop": (optimizers.rmsprop, numpy_rmsprop),
    "sgd": (optimizers.sgd, numpy_sgd),
    "momentum": (lambda *a: optimizers.sgd(*a, momentum=0.7), numpy_momentum),
}


@pytest.mark.parametrize("max_norm", [INF, 1.0], ids=["unclipped", "clipped"])
@pytest.mark.parametrize("name", RULES)
def test_rule_equals_a_numpy_loop(name, max_norm):
    factory, rule = RULES[name]
    grads = gradients()
    theta = {k: np.asarray(v) for k, v in params().items()}
    memory, expected = {k: {} for k in theta}, []
    for t, g in enumerate(grads, 1):
        g = clipped(g, max_norm)
        theta = {k: rule(theta[k], g[k], memory[k], t) for k in theta}
        expected.append(theta)
    for got, want in zip(follow(factory(0.1, max_norm), grads), expected, strict=True):
        close(got, want)


def test_adagrad_is_not_optax_adagrad():
    grads = [jax.tree.map(lambda g: np.full_like(g, 0.01), gradients(1)[0])]
    step = lambda rule: norm(
        jax.tree.map(jnp.subtract, follow(rule, grads)[0], params())
    )
    ratio = step(optimizers.adagrad(0.1)) / step(optax.adagrad(0.1))
    # optax starts its accumulator at 0.1: g / sqrt(0.1 + g^2) instead of about 1
    np.testing.assert_allclose(ratio, np.sqrt(0.1 + 1e-4) / 0.01, rtol=1e-3)


def test_adamw_decays_weights_only():
    theta = params()
    zeros = jax.tree.map(np.zeros_like, gradients(1)[0])
    (after,) = follow(optimizers.adamw(0.1, weight_decay=0.5), [zeros])
    close(after["w"], theta["w"] * (1 - 0.1 * 0.5))
    chex.assert_trees_all_equal(after["b"], theta["b"])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    scale=st.sampled_from([0.0, 1e-200, 1e-3, 1.0, 1e3, 1e100]),
    max_norm=st.sampled_from([1e-3, 1.0, 5.0, INF]),
    seed=st.integers(0, 100),
)
def test_clip_shortens_to_the_threshold_and_keeps_the_direction(scale, max_norm, seed):
    (g,) = gradients(1, seed, scale)
    got, _ = clip(jax.tree.map(jnp.asarray, g), max_norm)
    length = max(np.abs(v).max() for v in g.values())  # against overflow in the norm
    size = length * norm({k: v / length for k, v in g.items()}) if length else 0.0
    np.testing.assert_allclose(norm(got), min(size, max_norm), rtol=1e-12, atol=1e-99)
    if size <= max_norm:
        chex.assert_trees_all_close(got, jax.tree.map(lambda v: -v, g), rtol=1e-15)
    factor = min(size, max_norm) / size if size else 1.0
    close(got, {k: -v * factor for k, v in g.items()})


@jax.jit
def clip(g, max_norm):
    """Plain gradient descent at rate 1 shows the clipped gradient, negated."""
    rule = optimizers.sgd(1.0, max_norm)
    return rule.update(g, rule.init(g))


FACTORIES = {
    "adagrad": optimizers.adagrad,
    "adam": optimizers.adam,
    "adamw": optimizers.adamw,
    "rmsprop": optimizers.rmsprop,
    "sgd": optimizers.sgd,
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", FACTORIES)
def test_rate_and_threshold_may_be_traced(name, dtype):
    factory, traces = FACTORIES[name], []
    cast = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)
    g, theta = cast(gradients(1)[0]), cast(params())
    state = factory(0.1, 1.0).init(theta)

    @jax.jit
    def update(learning_rate, max_norm, state):
        traces.append(None)
        return factory(learning_rate, max_norm).update(g, state, theta)

    for learning_rate, max_norm in ((0.1, 1.0), (0.02, 0.5), (0.3, INF)):
        got, new_state = update(learning_rate, max_norm, state)
        assert {str(x.dtype) for x in jax.tree.leaves(got)} == {dtype}
        chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
        expected, _ = factory(learning_rate, max_norm).update(g, state, theta)
        tolerance = {"bfloat16": 3e-2, "float32": 1e-5, "float64": 1e-12}[dtype]
        chex.assert_trees_all_close(got, expected, rtol=tolerance, atol=1e-12)
    assert len(traces) == 1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_rate_and_threshold_may_be_arrays(dtype):
    g = {"w": jnp.asarray([[3.0, 4.0]], dtype)}
    rate, limit = jnp.float32(0.5), jnp.float32(1.0)
    for factory in FACTORIES.values():
        rule = factory(rate, limit)
        updates, _ = rule.update(g, rule.init(g), g)
        theta = optax.apply_updates(g, updates)
        assert str(theta["w"].dtype) == dtype and (theta["w"] != g["w"]).all()
    rule = optimizers.clip_elementwise(limit)
    updates, _ = rule.update(g, rule.init(g))
    assert updates["w"].tolist() == [[1.0, 1.0]]
    assert str(updates["w"].dtype) == dtype


@pytest.mark.parametrize("name", FACTORIES)
def test_a_schedule_can_stand_for_the_rate(name):
    rates, grads = [0.1, 0.05, 0.025, 0.0125], gradients(4)
    schedule = lambda count: jnp.asarray(rates)[count]
    scheduled = follow(FACTORIES[name](schedule), grads)
    # with a rate of 1 updates are the rule's own, as long as they do not read theta
    if name == "adamw":
        decay = dict(weight_decay=0.0)
        scheduled = follow(optimizers.adamw(schedule, **decay), grads)
        ones = follow(optimizers.adamw(1.0, **decay), grads)
    else:
        ones = follow(FACTORIES[name](1.0), grads)
    theta, before = params(), params()
    for rate, after, got in zip(rates, ones, scheduled, strict=True):
        move = jax.tree.map(jnp.subtract, after, before)
        theta = jax.tree.map(lambda t, m: t + rate * m, theta, move)  # noqa: B023
        before = after
        close(got, theta)


@pytest.mark.parametrize("name", [*FACTORIES, "rprop"])
def test_every_optimizer_decreases_a_quadratic(name):
    factory = FACTORIES.get(name, optimizers.rprop)
    optimizer = factory(0.05)
    loss = lambda theta: sum((x**2).sum() for x in jax.tree.leaves(theta))
    start = params()

    @jax.jit
    def run(theta):
        def step(carry, _):
            theta, state = carry
            updates, state = optimizer.update(jax.grad(loss)(theta), state, theta)
            return (optax.apply_updates(theta, updates), state), loss(theta)

        return jax.lax.scan(step, (theta, optimizer.init(theta)), length=60)[1]

    values = run(start)
    assert (jnp.diff(values[:5]) < 0).all()
    assert values[-1] < 0.6 * values[0]


def test_clip_elementwise_equals_numpy_and_may_be_traced():
    (g,) = gradients(1, scale=3.0)
    traces = []

    @jax.jit
    def run(limit):
        traces.append(None)
        rule = optimizers.clip_elementwise(limit)
        return rule.update(jax.tree.map(jnp.asarray, g), rule.init(None))[0]

    for limit in (0.5, 2.0, INF):
        close(run(limit), {k: np.clip(v, -limit, limit) for k, v in g.items()})
    assert len(traces) == 1


def test_rprop_equals_its_equations():
    """Riedmiller and Braun's rule without backtracking, one number at a time."""
    grads = gradients(9)
    settings = {"eta_minus": 0.4, "eta_plus": 1.3, "min_step": 0.06, "max_step": 0.2}
    got = follow(optimizers.rprop(0.1, **settings), grads)
    start = {k: np.array(v) for k, v in params().items()}
    for name in start:
        for place in np.ndindex(start[name].shape):
            theta, size, last = start[name][place], 0.1, 0.0
            for n, g in enumerate(grads):
                slope = float(g[name][place])
                if slope * last > 0:
                    size = min(size * 1.3, 0.2)
                elif slope * last < 0:
                    size = max(size * 0.4, 0.06)
                last = slope
                theta -= size if slope > 0 else -size
                np.testing.assert_allclose(got[n][name][place], theta, rtol=1e-12)


def test_rprop_reads_signs_only():
    grads = gradients(5)
    large = [{k: v * 10.0**t for k, v in g.items()} for t, g in enumerate(grads)]
    for a, b in zip(
        follow(optimizers.rprop(0.1), grads),
        follow(optimizers.rprop(0.1), large),
        strict=True,
    ):
        close(a, b)


# Gradients of any magnitude and type. The oracle is exact: fractions, and a root in
# integer arithmetic.


def exact_norm(tree):
    """The norm of a tree as (root, exponent): root * 2^exponent, to 60 digits."""
    squares = Fraction(0)
    for leaf in jax.tree.leaves(tree):
        for z in np.asarray(leaf).ravel().tolist():
            squares += Fraction(complex(z).real) ** 2 + Fraction(complex(z).imag) ** 2
    if not squares:
        return Fraction(0)
    shift = 2 ** max(0, 400 - squares.numerator.bit_length() // 2)
    shift *= 2 ** (squares.denominator.bit_length() // 2)
    return Fraction(math.isqrt(int(squares * shift**2)), shift)


def exactly_clipped(tree, max_norm):
    norm = exact_norm(tree)
    if max_norm == INF or norm <= Fraction(max_norm):
        return tree
    factor = Fraction(max_norm) / norm
    part = lambda x: float(Fraction(x) * factor)
    entry = lambda z: complex(part(z.real), part(z.imag))
    return jax.tree.map(
        lambda leaf: np.array([entry(complex(z)) for z in leaf.ravel().tolist()]), tree
    )


EXPONENTS = {"float16": 15, "bfloat16": 126, "float32": 126, "complex64": 126}
EXPONENTS |= {"float64": 1000, "complex128": 1000}


@st.composite
def trees_of_a_dtype(draw):
    """Two leaves of one dtype, whose numbers are of any two magnitudes."""
    dtype = draw(st.sampled_from(list(EXPONENTS)))
    largest = EXPONENTS[dtype]
    smallest = -14 if dtype == "float16" else -largest + 2
    leaves = []
    for size in (3, 2):
        exponent = draw(st.integers(smallest + 3, largest - 1))
        mantissa = st.floats(-1, 1, width=16).map(lambda m: m if abs(m) > 0.1 else 0.0)
        numbers = draw(st.lists(mantissa, min_size=size, max_size=size))
        leaf = np.array([m * 2.0**exponent for m in numbers])
        if dtype.startswith("complex"):
            leaf = leaf * np.exp(1j * draw(st.floats(0, 6)))
        leaves.append(np.asarray(jnp.asarray(leaf, dtype)))
    return leaves


@pytest.mark.slow
@settings(deadline=None, max_examples=300, derandomize=True)
@given(trees_of_a_dtype(), st.sampled_from([0.0, 1e-3, 1.0, 5.0, INF]))
def test_clipping_equals_exact_arithmetic(tree, max_norm):
    # A norm of exactly the threshold up to rounding may count as above or below
    got = clip_alone(tree, max_norm)
    wanted = exactly_clipped(tree, max_norm)
    wide = {2: 2.0**-7 if tree[0].dtype.name == "bfloat16" else 2.0**-10}
    digits = wide.get(tree[0].dtype.itemsize)
    real = tree[0].dtype.itemsize // (2 if np.iscomplexobj(tree[0]) else 1)
    digits = digits or {4: 4e-7, 8: 1e-15}[real]
    smallest = 1e-7 if tree[0].dtype.name == "float16" else 1e-37
    for g, w, leaf in zip(got, wanted, tree, strict=True):
        assert g.dtype == leaf.dtype
        np.testing.assert_allclose(
            np.asarray(g).astype(complex), w.astype(complex), rtol=digits, atol=smallest
        )


def clip_alone(tree, max_norm):
    rule = optimizers.clip_by_global_norm(max_norm)
    return rule.update([jnp.asarray(leaf) for leaf in tree], rule.init(None))[0]


@pytest.mark.slow
@settings(deadline=None, max_examples=100, derandomize=True)
@given(trees_of_a_dtype())
def test_the_norm_equals_exact_arithmetic(tree):
    n, s = scaled_norm(tree)
    wanted = float(exact_norm(tree) * Fraction(float(s)))
    np.testing.assert_allclose(n, wanted, rtol=1e-6 if n.dtype == "float32" else 1e-14)


BY_HAND = {
    # gradient, max_norm, expected
    "float16": (jnp.array([300, 400], jnp.float16), 1.0, [0.6, 0.8]),
    "large": (jnp.array([3e20, 4e20], jnp.float32), 1.0, [0.6, 0.8]),
    "norm above all floats": (
        jnp.array([3e38, 3e38], jnp.float32),
        1.0,
        [0.5**0.5] * 2,
    ),
    "inf": (jnp.array([3e20, 4e20], jnp.float32), INF, [3e20, 4e20]),
    "zeros": (jnp.zeros(2, jnp.float32), 0.0, [0.0, 0.0]),
    "nothing allowed": (jnp.array([3.0, 4.0], jnp.float32), 0.0, [0.0, 0.0]),
    "tiny": (jnp.array([3e-30, 4e-30], jnp.float32), 1e-30, [6e-31, 8e-31]),
    "complex": (jnp.array([3e25j, 4e25], jnp.complex64), 1.0, [0.6j, 0.8]),
    "empty": (jnp.zeros((0, 3), jnp.float32), 1.0, np.zeros((0, 3))),
}


@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
@pytest.mark.parametrize("name", BY_HAND)
def test_clipping_by_hand(name, traced):
    g, max_norm, expected = BY_HAND[name]
    run = lambda max_norm: clip_alone([g], max_norm)[0]
    got = (jax.jit(run) if traced else run)(max_norm)
    assert got.dtype == g.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-3 if g.dtype == "f2" else 3e-7)


@pytest.mark.slow
def test_an_ordinary_gradient_is_clipped_as_by_optax():
    """To two units in the last place, and its norm to the last bit."""
    for seed in range(20):
        g = jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), gradients(1, seed)[0])
        rule = optax.clip_by_global_norm(1.0)
        expected, _ = rule.update(g, rule.init(g))
        rule = optimizers.clip_by_global_norm(1.0)
        got, _ = rule.update(g, rule.init(g))
        chex.assert_trees_all_close(got, expected, rtol=2.5e-7)
        n, s = scaled_norm(g)
        assert n == optax.tree.norm(g) and s == 1


def test_leaves_that_are_not_floating_point_do_not_count():
    g = {"w": jnp.array([3.0, 4.0]), "i": jnp.array([9]), "f": NO_TANGENT, "n": None}
    rule = optimizers.clip_by_global_norm(1.0)
    got, _ = rule.update(g, rule.init(g))
    np.testing.assert_allclose(got["w"], [0.6, 0.8])
    assert got["i"] is g["i"] and got["f"] is NO_TANGENT and got["n"] is None
    assert clip_alone([], 1.0) == []


NO_TANGENT = np.zeros(2, jax.dtypes.float0)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_what_is_not_finite_is_not_hidden(bad):
    (got,) = clip_alone([jnp.array([bad, 1.0])], 1.0)
    assert not np.isfinite(got).all()
    (got,) = clip_alone([jnp.array([bad, 1.0])], INF)
    np.testing.assert_array_equal(got, [bad, 1.0])


@pytest.mark.slow
def test_clipping_has_a_derivative_where_the_gradient_is_zero():
    total = lambda g: clip_alone([g], 1.0)[0].sum()
    np.testing.assert_array_equal(jax.grad(total)(jnp.zeros(3)), np.ones(3))
    (row,) = jax.jacobian(lambda g: clip_alone([g], 1.0)[0])(jnp.array([2.0]))
    assert row == pytest.approx(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FACTORIES, "rprop"])
def test_half_precision_follows_float32(name):
    """In float16 every eps is zero, and so are the squares of these gradients."""
    factory = FACTORIES.get(name, optimizers.rprop)
    grads = [
        {"w": np.array([[3e-4, 0.0]]), "b": np.array([-2e-4 * t])} for t in range(1, 5)
    ]
    cast = lambda tree, dtype: jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)
    moves = {}
    for dtype in (jnp.float16, jnp.float32):
        theta = cast({"w": np.zeros((1, 2)), "b": np.zeros(1)}, dtype)
        rule = factory(0.5)
        state = rule.init(theta)
        for g in grads:
            g = cast(cast(g, jnp.float16), dtype)
            moves[dtype], state = rule.update(g, state, theta)
        assert moves[dtype]["w"].dtype == dtype
    chex.assert_trees_all_close(
        cast(moves[jnp.float16], float), cast(moves[jnp.float32], float), rtol=1e-3
    )


def test_complex_adagrad_and_rmsprop_divide_by_the_modulus():
    draw = np.random.default_rng(4)
    grads = [draw.normal(size=(2, 3)) @ np.array([[1, 0, 2], [0, 1, 1], [1, 1, 0]])
             for _ in range(5)]  # fmt: skip
    grads = [g[0] + 1j * g[1] for g in grads]
    theta = np.array([1.0, 2j, 1 - 1j])
    got = {
        name: follow(FACTORIES[name](0.1, INF), grads, jnp.asarray(theta))
        for name in ("adagrad", "rmsprop")
    }
    a = r = theta
    s, m = np.zeros(3), np.zeros(3)
    for n, g in enumerate(grads):
        s = s + abs(g) ** 2
        m = 0.95 * m + 0.05 * abs(g) ** 2
        a = a - 0.1 * g / np.sqrt(s + 1e-8)
        r = r - 0.1 * g / np.sqrt(m + 1e-8)
        np.testing.assert_allclose(got["adagrad"][n], a, rtol=1e-12)
        np.testing.assert_allclose(got["rmsprop"][n], r, rtol=1e-12)


ERRORS = {
    "negative": (lambda: optimizers.sgd(0.1, -1.0), ValueError,
                 "sgd: max_norm must be at least 0, got -1.0"),
    "nan": (lambda: optimizers.adam(0.1, float("nan")), ValueError,
            "adam: max_norm must be at least 0, got nan"),
    "clip": (lambda: optimizers.clip_by_global_norm(-0.5), ValueError,
             "clip_by_global_norm: max_norm must be at least 0, got -0.5"),
    "limit": (lambda: optimizers.clip_elementwise(-2), ValueError,
              "clip_elementwise: limit must be at least 0, got -2"),
    "complex limit": (
        lambda: optimizers.clip_elementwise(1.0).update(jnp.array([1j]), ()),
        TypeError, "clip_elementwise: needs real numbers, got complex128. Wrap it in "
        "optax.contrib.split_real_and_imaginary",
    ),
    "complex rprop": (lambda: optimizers.rprop(0.1).init(jnp.array([1j])), TypeError,
                      "rprop: needs real numbers, got complex128"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()


def test_the_way_out_for_complex_numbers_works():
    rule = optax.contrib.split_real_and_imaginary(optimizers.rprop(0.1))
    theta = jnp.array([1 - 1j])
    updates, _ = rule.update(jnp.array([2 - 3j]), rule.init(theta), theta)
    np.testing.assert_allclose(updates, [-0.1 + 0.1j])
