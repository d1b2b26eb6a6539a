"""`scan` means what `jax.lax.scan` means, for values and derivatives of every kind."""

import functools
import os

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scan_steps
from jax import lax
from scan_steps import B, H, I, T

from jrnn.scan import scan

pytestmark = pytest.mark.usefixtures("engine_runs")

# Compile times are most of the cost of these tests; the numbers do not depend on it.
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def outputs(run, step, weights, carry, xs, **options):
    if not hasattr(step, "more"):
        return run(step(weights), carry, xs, **options)
    (carry, _), ys = run(step(weights), (carry, step.more()), xs, **options)
    return carry, ys


def loss(run, step, weights, carry, xs, **options):
    return total(outputs(run, step, weights, carry, xs, **options))


def total(tree):
    """A number that depends smoothly on every inexact leaf, on each in its own way."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    scale = lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    return sum(jnp.sum(jnp.sin(x) * scale(x)) for x in leaves)


def value(run, step, w, c, xs, xs_batch, **options):
    return outputs(run, step, w, c, xs, **options)


def vmap(run, step, w, c, xs, xs_batch, **options):
    return jax.vmap(lambda xs: outputs(run, step, w, c, xs, **options), 1)(xs_batch)


def vmap_of_weights(run, step, w, c, xs, xs_batch, **options):
    many = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), w)
    return jax.vmap(lambda w: outputs(run, step, w, c, xs, **options))(many)


def grad(run, step, w, c, xs, xs_batch, **options):
    f = lambda w, c, x: loss(run, step, w, c, xs._replace(x=x), **options)
    return jax.grad(f, (0, 1, 2))(w, c, xs.x)


def grad_of_vmap(run, step, w, c, xs, xs_batch, **options):
    each = lambda w, c, xs: loss(run, step, w, c, xs, **options)
    f = lambda w, c: jax.vmap(lambda xs: each(w, c, xs), 1)(xs_batch).sum()
    return jax.grad(f, (0, 1))(w, c)


def vmap_of_grad(run, step, w, c, xs, xs_batch, **options):
    f = jax.grad(lambda w, c, xs: loss(run, step, w, c, xs, **options), (0, 1))
    return jax.vmap(lambda xs: f(w, c, xs), 1)(xs_batch)


def tangents(tree, seed):
    leaves, form = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    draw = lambda k, x: jax.random.normal(k, x.shape, x.dtype)
    return jax.tree.unflatten(
        form, [draw(k, x) for k, x in zip(keys, leaves, strict=True)]
    )


def jvp(run, step, w, c, xs, xs_batch, **options):
    f = lambda w, c, x: outputs(run, step, w, c, xs._replace(x=x), **options)
    primals = (w, c, xs.x)
    _, out = jax.jvp(f, primals, tangents(primals, 5))
    return [x for x in jax.tree.leaves(out) if x.dtype != jax.dtypes.float0]


def jvp_by_carry(run, step, w, c, xs, xs_batch, **options):
    _, out = jax.jvp(lambda c: outputs(run, step, w, c, xs, **options), (c,), (c,))
    return [x for x in jax.tree.leaves(out) if x.dtype != jax.dtypes.float0]


def forward_over_reverse(run, step, w, c, xs, xs_batch, **options):
    f = lambda w, c, x: loss(run, step, w, c, xs._replace(x=x), **options)
    primals = (w, c, xs.x)
    return jax.jvp(jax.grad(f, (0, 1, 2)), primals, tangents(primals, 6))


def reverse_over_reverse(run, step, w, c, xs, xs_batch, **options):
    f = lambda args: loss(run, step, *args, xs, **options)
    along = tangents((w, c), 7)
    inner = lambda args: sum(
        jnp.vdot(a, b)
        for a, b in zip(
            jax.tree.leaves(jax.grad(f)(args)), jax.tree.leaves(along), strict=True
        )
    )
    return jax.grad(inner)((w, c))


TRANSFORMS = {
    f.__name__: f
    for f in (
        value, vmap, vmap_of_weights, grad, grad_of_vmap, vmap_of_grad, jvp,
        jvp_by_carry, forward_over_reverse, reverse_over_reverse,
    )
}  # fmt: skip


def assert_equal_under(transform, step, dtype=jnp.float64, **options):
    """Compare `scan` with `jax.lax.scan` in one compiled program."""
    w, c = scan_steps.weights(dtype), scan_steps.carry(dtype)
    xs, xs_batch = scan_steps.inputs(dtype), scan_steps.inputs(dtype, (B,))

    def both(*args):
        own = transform(scan, step, w, c, *args[:2], **options)
        return own, transform(lax.scan, step, w, c, *args[2:], **options)

    keys_once = jax.tree.map(jnp.copy, (xs, xs_batch))
    compiled = jax.jit(both, compiler_options=FAST)
    assert_close(*compiled(xs, xs_batch, *keys_once))


def assert_close(got, expected):
    chex.assert_trees_all_equal_shapes_and_dtypes(got, expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        if not jnp.issubdtype(b.dtype, jnp.inexact):
            assert jnp.array_equal(a, b)
        elif b.size:
            tolerance = 1e-12 if b.dtype == jnp.float64 else 2e-6
            assert jnp.isfinite(b).all()
            assert jnp.abs(a - b).max() <= tolerance * (1 + jnp.abs(b).max())


FIRST_ORDER = [value, grad, grad_of_vmap]
EVERY_KIND = ["lstm", "branches", "noise"]  # under all transformations
CASES = [
    (name, transform)
    for name in scan_steps.NAMED
    for transform in TRANSFORMS.values()
    if transform in FIRST_ORDER or name in EVERY_KIND
] + [
    ("gru", forward_over_reverse),
    ("inner_scan", vmap_of_grad),
    ("bilinear", reverse_over_reverse),
    ("columns", vmap_of_grad),
    ("checkpointed", forward_over_reverse),
    ("forgetful", jvp),
    ("swapped", jvp_by_carry),
    ("tied", vmap_of_weights),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "transform"), CASES, ids=[f"{name}-{t.__name__}" for name, t in CASES]
)
def test_named_steps(name, transform):
    assert_equal_under(transform, scan_steps.NAMED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "noise"])
def test_float32(name):
    assert_equal_under(grad, scan_steps.NAMED[name], jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("transform", [grad, jvp, vmap])
def test_reverse_and_unroll(transform):
    assert_equal_under(transform, scan_steps.encoder, reverse=True)
    assert_equal_under(transform, scan_steps.lstm, unroll=2, reverse=True)


STEPS = int(os.environ.get("JRNN_TEST_STEPS", "45"))  # 200 take a minute more
GENERATED = {
    value: 4, grad: 6, vmap: 2, vmap_of_weights: 1, grad_of_vmap: 4, vmap_of_grad: 2,
    jvp: 3, forward_over_reverse: 1, reverse_over_reverse: 1,
}  # fmt: skip


@pytest.mark.slow
@hypothesis.settings(max_examples=STEPS, derandomize=True, deadline=None, database=None)
@hypothesis.given(
    recipe=scan_steps.recipes(),
    transform=st.sampled_from([t for t, n in GENERATED.items() for _ in range(n)]),
    reverse=st.booleans(),
)
def test_generated_steps(recipe, transform, reverse):
    """Random programs; how often each transformation is drawn goes by what it costs."""
    assert_equal_under(transform, scan_steps.generated(recipe), reverse=reverse)


@pytest.mark.slow
def test_no_input():
    w, c = scan_steps.weights(), scan_steps.carry()
    step = lambda c, _: (jnp.tanh(c @ w.w), c)
    f = lambda run: jax.value_and_grad(lambda c: total(run(step, c, None, T)))
    assert_close(f(scan)(c[0]), f(lax.scan)(c[0]))


@pytest.mark.slow
@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("remat", [None, "step", "chunk", 3])
def test_short(length, remat):
    if jax.config.jax_disable_jit and not length:
        pytest.skip("without jit, jax.lax.scan refuses to run no step")
    w, c = scan_steps.weights(), scan_steps.carry()
    xs = jax.tree.map(lambda x: x[:length], scan_steps.inputs())
    run = functools.partial(scan, remat=remat)
    f = lambda run: jax.value_and_grad(lambda w: loss(run, scan_steps.lstm, w, c, xs))
    assert_close(f(run)(w), f(lax.scan)(w))


@pytest.mark.slow
def test_integer_boolean_complex_and_key_carries():
    w = scan_steps.weights().w

    def step(c, x):
        key, use = jax.random.split(c["key"])
        z = c["z"] * lax.complex(x.x[0], x.x[1]) + jnp.fft.fft(c["h"] @ w)
        h = jnp.tanh(jnp.abs(z) + jax.random.normal(use, z.shape))
        h = jnp.where(c["on"], h, c["h"] * jnp.float64(1.5))
        new = {"key": key, "z": z, "h": h, "on": ~c["on"], "n": c["n"] + x.token}
        return new, (c["n"], c["on"], z, jax.random.key_data(c["key"]), c["key"])

    h = scan_steps.carry()[0]
    init = lambda h: {
        "key": jax.random.key(0),
        "z": jnp.zeros(h.shape, complex),
        "h": h,
        "on": jnp.asarray(True),
        "n": jnp.int32(3),
    }

    def run(loop, h):
        carry, ys = loop(step, init(h), scan_steps.inputs())
        data = jax.random.key_data((carry.pop("key"), ys[-1])[0])
        return jax.tree.leaves((carry, ys[:-1], jax.random.key_data(ys[-1]), data))

    numbers = lambda leaves: [
        part
        for x in leaves
        for part in ([x.real, x.imag] if jnp.iscomplexobj(x) else [x])
    ]
    for f in (
        lambda loop: jax.jit(lambda h: numbers(run(loop, h)))(h),
        lambda loop: jax.grad(lambda h: total(numbers(run(loop, h))))(h),
    ):
        assert_close(f(scan), f(lax.scan))


@pytest.mark.slow
def test_a_random_key_may_be_used_again():
    key = jax.random.key(0)
    step = lambda c, i: (c + jax.random.normal(jax.random.fold_in(key, i)), c)
    f = jax.jit(lambda run: run(step, 0.0, jnp.arange(T)), static_argnums=0)
    assert_close(f(scan), f(lax.scan))
    assert jnp.isfinite(jax.random.normal(jax.random.fold_in(key, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_generators_that_draw_otherwise_in_batches_stay_in_the_loop(kind):
    keys = jax.random.split(jax.random.key(0, impl=kind), T)
    step = lambda c, k: (c + jax.random.normal(k, (H,)), jax.random.uniform(k))
    f = lambda run: jax.jit(lambda keys: run(step, jnp.zeros(H), keys))(keys)
    with jax.debug_key_reuse(False):
        assert_close(f(scan), f(lax.scan))


def test_side_effects_happen_once_a_step_and_in_order(capsys):
    seen = []

    def step(c, x):
        jax.debug.callback(lambda v: seen.append(int(v)), x, ordered=True)
        return c + x, c

    carry, _ = jax.jit(lambda xs: scan(step, jnp.int32(0), xs))(
        jnp.arange(T, dtype="int32")
    )
    jax.effects_barrier()
    assert seen == list(range(T)) and carry == sum(range(T))


@pytest.mark.slow
@pytest.mark.parametrize("columns", [1, 8, 9, 11])
def test_a_vector_times_a_weight_of_any_width(columns):
    rng = np.random.default_rng(4)
    w = jnp.asarray(rng.normal(size=(columns, columns)))
    xs = jnp.asarray(rng.normal(size=(T, columns)))

    def run(loop, w):
        return loop(lambda h, x: (jnp.tanh(h @ w + x), h @ w), xs[0], xs)

    f = lambda loop: (
        run(loop, w),
        jax.grad(lambda w: total(run(loop, w)))(w),
        jax.vmap(lambda w: run(loop, w))(jnp.stack([w, 2 * w])),
    )
    assert_close(jax.jit(lambda: f(scan))(), jax.jit(lambda: f(lax.scan))())


@pytest.mark.slow
def test_a_weight_times_columns_of_an_input():
    """The product contracts the first axis of what is known ahead of the loop."""
    rng = np.random.default_rng(5)
    w = jnp.asarray(rng.normal(size=(3, H)))
    xs = jnp.asarray(rng.normal(size=(T, 3, H)))

    def run(loop, w, xs):
        step = lambda h, x: (jnp.tanh(h + jnp.einsum("bi,bh->ih", x, w)), h)
        return loop(step, jnp.zeros((H, H)), xs)

    f = lambda loop: (
        run(loop, w, xs),
        jax.grad(lambda *args: total(run(loop, *args)), (0, 1))(w, xs),
    )
    assert_close(jax.jit(lambda: f(scan))(), jax.jit(lambda: f(lax.scan))())


@pytest.mark.slow
def test_slices_with_gaps():
    def all_but_gaps(p):
        def step(c, x):
            z = x.x @ p.w_x + c[0] @ p.w_h + p.b
            h = jnp.tanh(z[:H:2].sum() + z[H : 2 * H] * z[2 * H :].sum())
            return (h, c[1]), h

        return step

    def stored_for_the_way_back(p):
        def step(c, x):
            t = jnp.tanh(c[0] @ p.w)
            g = c[0][: H // 2] * t[::2] + c[0][H // 2 :] * t[1::2]
            h = jnp.concatenate([g, g + x.x])
            return (h, c[1]), h

        return step

    assert_equal_under(grad, all_but_gaps)
    assert_equal_under(grad, stored_for_the_way_back)


@pytest.mark.slow
def test_named_axes():
    def step(c, x):
        c = jnp.tanh(c + x - lax.pmean(x, "batch"))
        return c, c

    xs = scan_steps.inputs(batch=(B,)).x
    f = lambda run: jax.vmap(
        lambda x: run(step, jnp.zeros(I), x), in_axes=1, axis_name="batch"
    )(xs)
    assert_close(f(scan), f(lax.scan))


@pytest.mark.slow
@pytest.mark.parametrize("check_vma", [False, True])
def test_inside_shard_map(check_vma):
    if jax.config.jax_check_tracer_leaks:
        pytest.skip("the derivative of any jax.shard_map is said to leak")
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",))
    w, xs = scan_steps.weights(), scan_steps.inputs().x

    def f(run):
        def each(w, xs):
            h = xs[0] * w.b[:I]
            run_step = lambda h, x: (jnp.tanh(h + x * w.b[:I]), h)
            return lax.psum(total(run(run_step, h, xs)), "batch")

        specs = (jax.P(), jax.P(None, "batch")), jax.P()
        mapped = jax.shard_map(
            each, mesh=mesh, in_specs=specs[0], out_specs=specs[1], check_vma=check_vma
        )
        return jax.jit(jax.grad(mapped))(w, xs)

    assert_close(f(scan), f(lax.scan))


@pytest.mark.slow
def test_custom_derivatives_are_kept():
    @jax.custom_vjp
    def double_gradient(x):
        return jnp.sin(x)

    double_gradient.defvjp(
        lambda x: (jnp.sin(x), x), lambda x, g: (2.0 * g * jnp.cos(x),)
    )

    @jax.custom_jvp
    def triple(x):
        return jnp.tanh(x)

    triple.defjvp(lambda p, t: (triple(*p), 3.0 * t[0] * (1 - triple(*p) ** 2)))

    def step(p):
        def step(c, x):
            h = double_gradient(c[0] @ p.w + triple(x.x @ p.w_x[:, :H]))
            return (triple(h), c[1]), double_gradient(x.x)

        return step

    assert_equal_under(grad, step)
    assert_equal_under(grad_of_vmap, step)


@pytest.mark.slow
def test_while_loops_go_forward_only():
    def step(p):
        def step(c, x):
            count = x.token % 3
            h = lax.while_loop(
                lambda s: s[0] < count,
                lambda s: (s[0] + 1, jnp.sin(s[1] @ p.w)),
                (0, c[0]),
            )[1]
            return (h, c[1]), h

        return step

    assert_equal_under(jvp, step)
    if jax.config.jax_disable_jit:
        return  # there are no while loops then
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        assert_equal_under(grad, step)


@pytest.mark.slow
def test_nested_in_itself_and_in_other_loops():
    def step(run):
        def build(p):
            def outer(c, x):
                inner = lambda h, w: (jnp.tanh(h @ p.w + w), h @ p.w)
                h, ys = run(inner, c[0] + x.x[0], p.table)
                return (h, c[1]), ys

            return outer

        return build

    for transform in (value, grad, vmap_of_grad):
        own = lambda run, _, *args: transform(run, step(run), *args)  # noqa: B023
        assert_equal_under(own, None)


@pytest.mark.slow
def test_captured_tracers():
    w, c, xs = scan_steps.weights(), scan_steps.carry(), scan_steps.inputs()

    def f(run):
        def outer(scale):
            g = lambda c: total(
                run(lambda c, x: (jnp.tanh(c @ w.w * scale + x), c), c, xs.x[:, :1])
            )
            return total(jax.grad(g)(c[0] * scale))

        return jax.grad(outer)(2.0)

    assert_close(f(scan), f(lax.scan))


def test_weak_types_are_promoted_as_by_lax_scan():
    if jax.config.jax_disable_jit:
        pytest.skip("without jit, jax.lax.scan promotes none")
    xs = jnp.arange(3, dtype=jnp.float32)
    f = lambda run: jax.jit(lambda: run(lambda c, x: (c + x, c), 0.0, xs))()
    got, expected = f(scan), f(lax.scan)
    assert_close(got, expected)
    assert [a.dtype for a in got] == [a.dtype for a in expected]


def test_disable_jit():
    with jax.disable_jit():
        carry, ys = scan(lambda c, x: (c + x, c), 0, jnp.arange(3))
        power = jax.grad(lambda w: scan(lambda c, x: (c * w, c), 1.0, None, 3)[0])
        assert power(2.0) == 12.0  # of w^3
    assert carry == 3 and ys.tolist() == [0, 0, 1]


@pytest.mark.slow
def test_transformations_of_compiled_functions():
    w, c = scan_steps.weights(), scan_steps.carry()
    xs = scan_steps.inputs(batch=(B,))
    each = lambda run: lambda w, xs: loss(run, scan_steps.lstm, w, c, xs)
    f = lambda run: jax.jit(
        jax.grad(lambda w: jax.vmap(jax.jit(each(run)), (None, 1))(w, xs).sum())
    )
    assert_close(f(scan)(w), f(lax.scan)(w))


@pytest.mark.slow
def test_inside_checkpoint():
    w, c, xs = scan_steps.weights(), scan_steps.carry(), scan_steps.inputs()
    f = lambda run: jax.grad(
        jax.checkpoint(lambda w: loss(run, scan_steps.gru, w, c, xs))
    )(w)
    assert_close(f(scan), f(lax.scan))


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("remat", ["step", "chunk", 1, 2, 3, 99])
def test_remat(remat, reverse):
    run = lambda *args, **kwargs: scan(*args, remat=remat, **kwargs)
    w, c, xs = scan_steps.weights(), scan_steps.carry(), scan_steps.inputs()
    f = lambda run: jax.value_and_grad(
        lambda w: loss(run, scan_steps.lstm, w, c, xs, reverse=reverse)
    )(w)
    assert_close(f(run), f(lax.scan))


@pytest.mark.parametrize("remat", ["steps", 0, -1, True, 1.5])
def test_remat_of_another_kind(remat):
    call = lambda c: scan(lambda c, x: (c, x), c, jnp.ones(3), remat=remat)
    for f in (call, jax.jit(call)):
        with pytest.raises(
            ValueError, match="remat must be None, 'step', 'chunk' or a posit"
        ):
            f(0.0)


def test_lengths_that_differ():
    with pytest.raises(
        ValueError, match=r"one leading time axis, got lengths \[3, 4\]"
    ):
        scan(lambda c, x: (c, x), 0.0, (jnp.ones(3), jnp.ones(4)))
    with pytest.raises(ValueError, match="length is 4, but xs has 3 steps"):
        scan(lambda c, x: (c, x), 0.0, jnp.ones(3), 4)
    with pytest.raises(ValueError, match="without xs, pass length="):
        scan(lambda c, x: (c, x), 0.0)
    with pytest.raises(ValueError, match="xs must have a leading time axis"):
        scan(lambda c, x: (c, x), 0.0, jnp.float64(3))


@pytest.mark.parametrize(
    "step",
    [
        lambda c, x: (jnp.zeros(3), x),
        lambda c, x: ((c, c), x),
        lambda c, x: (c.astype(jnp.float32), x),
        lambda c, x: c,
    ],
)
def test_steps_that_do_not_fit_raise_what_lax_scan_raises(step):
    if jax.config.jax_disable_jit:
        pytest.skip("without jit, jax.lax.scan compares no types")
    messages = []
    for run in (scan, lax.scan):
        with pytest.raises(TypeError) as error:
            jax.jit(functools.partial(run, step))(jnp.zeros(2), jnp.ones(4))
        messages.append(str(error.value))
    assert messages[0] == messages[1]
