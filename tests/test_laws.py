"""Laws that every cell obeys, crossed with every case of `cases.py`.

The parameter `name` has module scope, so that pytest runs all laws of one case after
another and what they share (`example`, `run`) is built once.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, B, T, V, example, new_key, perturb
from jax import lax
from leaks import checking_leaks

import jrnn

# Where a law is crossed with options, every case runs it with the first one and these
# run it with all: a plain cell, a model, noise, flags, and a carry drawn at random.
THOROUGH = ["lstm", "gru-before", "dropout-model", "masked", "reset-variational"]


# What the short suite runs of a case that is `brief`: one compiled loop, and traces.
# Its oracle adds vmap and the gradients of a batch (test_forward_oracles.py).
BRIEF = (
    "test_unroll_equals_a_loop_of_steps",
    "test_the_carry_keeps_its_form_over_a_step",
)


# What follows from other laws, where a loop of steps is what `unroll` is in both
# directions and from any carry: of a case that is `brief` these are not run.
IMPLIED = (
    "test_splitting_a_sequence_changes_nothing",
    "test_reverse_equals_flip_unroll_flip",
)


def pytest_generate_tests(metafunc):
    """Cross a law with all cases, unless it names its own."""
    own = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "name" not in metafunc.fixturenames or "name" in own:
        return
    law = metafunc.function.__name__
    late = lambda case: case.brief and law not in BRIEF
    cases = [
        pytest.param(name, marks=[pytest.mark.slow] * late(case))
        for name, case in CASES.items()
        if not (case.brief and law in IMPLIED)
    ]
    metafunc.parametrize("name", cases, scope="module")


def close(a, b, tolerance=1e-12):
    chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
    chex.assert_trees_all_close(a, b, rtol=tolerance, atol=tolerance)


def at(xs, index):
    return jax.tree.map(lambda x: x[index], xs)


def add(a, b):
    return jax.tree.map(jnp.add, a, b)


def is_float(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


@functools.cache
def run(name, reverse=False):
    """The compiled unroll of a case, shared by the laws; `traces` counts its traces."""
    cell = example(name).cell
    traces = []

    @jax.jit
    def compiled(params, xs, carry, key):
        traces.append(None)
        return jrnn.unroll(cell, params, xs, carry, key=key, reverse=reverse)

    compiled.traces = traces
    return compiled


@functools.cache
def compiled_step(cell):
    return jax.jit(cell.step)


def step_keys(key, num_steps=T):
    """The keys that `unroll` promises: one for the initial carry, one for each step."""
    if key is None:
        return None, [None] * num_steps
    carry_key, step_key = jax.random.split(key)
    return carry_key, list(jax.random.split(step_key, num_steps))


def loop(cell, params, xs, carry=None, key=None, reverse=False):
    """`unroll` as a Python loop over `step`."""
    num_steps = len(jax.tree.leaves(xs)[0])
    carry_key, keys = step_keys(key, num_steps)
    if carry is None:
        carry = cell.initial_carry(params, key=carry_key)
    ys, step = [None] * num_steps, compiled_step(cell)
    for t in reversed(range(num_steps)) if reverse else range(num_steps):
        carry, ys[t] = step(params, carry, at(xs, t), key=keys[t])
    return carry, jax.tree.map(lambda *y: jnp.stack(y), *ys)


def float_leaves(xs):
    return [x for x in jax.tree.leaves(xs) if is_float(x)]


def with_floats(xs, floats):
    """`xs` with its floating-point leaves replaced."""
    leaves, tree = jax.tree.flatten(xs)
    floats = iter(floats)
    return jax.tree.unflatten(
        tree, [next(floats) if is_float(x) else x for x in leaves]
    )


def weighted_sum(tree):
    """A scalar in which every entry of every leaf counts differently."""
    leaves = [x for x in jax.tree.leaves(tree) if is_float(x)]
    weigh = lambda x: jnp.cos(jnp.arange(1.0, x.size + 1)).reshape(x.shape) * x
    return sum(weigh(x).sum() for x in leaves)


def lax_unroll(cell, params, xs, carry, *, key=None, reverse=False, remat=None):
    """What `jrnn.unroll` means, on plain `lax.scan`."""
    assert remat is None
    keys = None if key is None else jnp.stack(step_keys(key)[1])
    body = lambda carry, x: cell.step(params, carry, x[0], key=x[1])
    return lax.scan(body, carry, (xs, keys), reverse=reverse)


def make_loss(ex, unroll=jrnn.unroll, **options):
    """Scalar of params, float inputs and an addition to the initial carry."""

    def loss(params, floats, delta):
        carry_key = step_key = None
        if ex.case.needs_key:
            carry_key, step_key = jax.random.split(new_key(ex.case))
        carry = add(ex.cell.initial_carry(params, key=carry_key), delta)
        xs = with_floats(ex.xs, floats)
        return weighted_sum(unroll(ex.cell, params, xs, carry, key=step_key, **options))

    return loss


def loss_arguments(ex):
    carry = ex.cell.initial_carry(ex.params, key=new_key(ex.case, 2))
    delta = perturb(3, jax.tree.map(jnp.zeros_like, carry))
    return ex.params, float_leaves(ex.xs), delta


@functools.cache
def compiled_gradient(name, unroll=jrnn.unroll, reverse=False, remat=None):
    loss = make_loss(example(name), unroll, reverse=reverse, remat=remat)
    return unchecked(jax.jit(jax.value_and_grad(loss, (0, 1, 2))))


def unchecked(f):
    """`f` without JAX's check for keys used twice.

    A backward pass that recomputes a step draws its random numbers a second time, as
    it must, and the check takes that for reuse. The laws about values keep it on.
    """

    def run(*arguments):
        with jax.debug_key_reuse(False):
            return f(*arguments)

    return run


def value_and_grads(name, *options):
    return compiled_gradient(name, *options)(*loss_arguments(example(name)))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_unroll_equals_a_loop_of_steps(name, reverse):
    ex = example(name)
    expected = loop(ex.cell, ex.params, ex.xs, None, new_key(ex.case), reverse)
    got = run(name, reverse)(ex.params, ex.xs, None, new_key(ex.case))
    close(got, expected)


@pytest.mark.slow
def test_unroll_from_a_given_carry_equals_a_loop(name):
    ex = example(name)
    start, _ = run(name)(ex.params, at(ex.batch, 0), None, new_key(ex.case, 1))
    got = run(name)(ex.params, ex.xs, start, new_key(ex.case, 2))
    close(got, loop(ex.cell, ex.params, ex.xs, start, new_key(ex.case, 2)))


@pytest.mark.slow
def test_without_jit_it_is_the_same(name):
    ex = example(name)
    carry = ex.cell.initial_carry(ex.params, key=new_key(ex.case))
    step = lambda step: step(ex.params, carry, at(ex.xs, 1), key=new_key(ex.case))
    close(step(ex.cell.step), step(compiled_step(ex.cell)))
    close(
        jrnn.unroll(ex.cell, ex.params, ex.xs, carry, key=new_key(ex.case)),
        run(name)(ex.params, ex.xs, carry, new_key(ex.case)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", THOROUGH)
@pytest.mark.parametrize("cut", [1, 3, 4])
def test_splitting_a_sequence_anywhere_changes_nothing(name, cut):
    split_and_compare(name, cut)


@pytest.mark.slow
def test_splitting_a_sequence_changes_nothing(name):
    split_and_compare(name, 2)


def split_and_compare(name, cut):
    ex = example(name)
    xs = at(ex.xs, slice(None, cut)), at(ex.xs, slice(cut, None))
    carry, ys_1 = run(name)(ex.params, xs[0], None, new_key(ex.case, 1))
    carry, ys_2 = run(name)(ex.params, xs[1], carry, new_key(ex.case, 2))
    if ex.case.step_key:  # keys belong to a call: compare with a loop cut likewise
        unroll = functools.partial(loop, ex.cell, ex.params)
        c, expected_1 = unroll(xs[0], None, new_key(ex.case, 1))
        c, expected_2 = unroll(xs[1], c, new_key(ex.case, 2))
        whole = c, joined(expected_1, expected_2)
    else:
        whole = run(name)(ex.params, ex.xs, None, new_key(ex.case, 1))
    close((carry, joined(ys_1, ys_2)), whole)


def joined(*trees):
    return jax.tree.map(lambda *y: jnp.concatenate(y), *trees)


@pytest.mark.slow
def test_reverse_equals_flip_unroll_flip(name):
    ex = example(name)
    flip = lambda tree: jax.tree.map(lambda a: a[::-1], tree)
    carry, ys = run(name, reverse=True)(ex.params, ex.xs, None, new_key(ex.case))
    if ex.case.step_key:  # the key of a step stays with its input: see the loop law
        expected = loop(ex.cell, ex.params, ex.xs, None, new_key(ex.case), True)
        close((carry, ys), expected)
        return
    expected = run(name)(ex.params, flip(ex.xs), None, new_key(ex.case))
    close((carry, flip(ys)), expected)


@pytest.mark.slow
def test_output_is_causal_and_reads_the_present(name):
    ex = example(name)
    ys = lambda xs: jnp.concatenate(
        [y.reshape(T, -1) for y in jax.tree.leaves(output_only(ex, xs))], axis=1
    )
    floats = float_leaves(ex.xs)
    if floats:  # (T, O, T, I) -> (T, T): does y_t depend on x_s?
        first, *rest = floats
        given = lambda x: ys(with_floats(ex.xs, [x.reshape(first.shape), *rest]))
        jacobian = jax.jit(jax.jacfwd(given))(first.reshape(T, -1))
        depends = np.asarray(jnp.abs(jacobian).sum((1, 3)) != 0)
    else:
        tokens, *_ = jax.tree.leaves(ex.xs)
        base, compiled = ys(ex.xs), jax.jit(ys)
        columns = []
        for s in range(T):
            other = tokens.at[s].set((tokens[s] + 1) % V)
            xs = jax.tree.map(lambda x: other if x is tokens else x, ex.xs)  # noqa: B023
            columns.append(np.asarray(jnp.abs(compiled(xs) - base).max(1) > 1e-9))
        depends = np.stack(columns, axis=1)
    assert not np.triu(depends, 1).any()
    np.testing.assert_array_equal(np.diag(depends), np.asarray(ex.active))


def output_only(ex, xs):
    ys = jrnn.unroll(ex.cell, ex.params, xs, key=new_key(ex.case))[1]
    return ys.y if isinstance(ys, jrnn.Recorded) else ys


@pytest.mark.slow
def test_vmap_equals_a_loop_over_the_batch(name):
    ex = example(name)
    keys = jax.random.split(new_key(ex.case), B) if ex.case.needs_key else None
    unroll = lambda xs, key: jrnn.unroll(ex.cell, ex.params, xs, key=key)
    axes = (0, None if keys is None else 0)
    batched = jax.jit(jax.vmap(unroll, axes))(ex.batch, keys)
    keys = jax.random.split(new_key(ex.case), B) if ex.case.needs_key else [None] * B
    rows = [run(name)(ex.params, at(ex.batch, b), None, keys[b]) for b in range(B)]
    close(batched, jax.tree.map(lambda *r: jnp.stack(r), *rows))


def test_one_trace_per_shape(name):
    ex = example(name)
    carry = ex.cell.initial_carry(ex.params, key=new_key(ex.case, 1))
    before = len(run(name).traces)
    for seed in range(3):  # the carry returned, weak types included, goes back in
        xs, params = at(ex.batch, seed), perturb(seed, ex.params)
        carry, _ = run(name)(params, xs, carry, new_key(ex.case, seed))
    assert len(run(name).traces) - before <= 1


@pytest.mark.slow
def test_gradients_equal_finite_differences(name):
    ex, gradient = example(name), compiled_gradient(name)
    arguments = loss_arguments(ex)
    _, grads = gradient(*arguments)
    size = sum(x.size for x in jax.tree.leaves(arguments))
    assert size or name == "one_hot"  # the only cell with nothing to differentiate
    loss = make_loss(ex)
    for seed in range(3):  # along random directions in all arguments at once
        zeros = jax.tree.map(jnp.zeros_like, arguments)
        direction = perturb(seed, zeros)
        if ex.case.fixed:  # weights are constants to derivatives
            direction = zeros[0], *direction[1:]
            assert not any(g.any() for g in jax.tree.leaves(grads[0]))
        at_step = lambda eps: gradient(
            *jax.tree.map(lambda a, d: a + eps * d, arguments, direction)  # noqa: B023
        )[0]
        products = jax.tree.map(lambda g, d: (g * d).sum().real, grads, direction)
        slope = sum(jax.tree.leaves(products), jnp.zeros(()))
        difference = (at_step(1e-5) - at_step(-1e-5)) / 2e-5
        np.testing.assert_allclose(slope, difference, rtol=1e-7, atol=1e-8)
    forward_mode = unchecked(jax.jvp)(jax.jit(loss), arguments, direction)[1]
    np.testing.assert_allclose(forward_mode, slope, rtol=1e-11, atol=1e-11)


@pytest.mark.slow
def test_gradients_equal_those_of_lax_scan(name):
    expected = value_and_grads(name, lax_unroll, False)
    close(value_and_grads(name, jrnn.unroll, False), expected, 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", THOROUGH)
def test_gradients_in_reverse_equal_those_of_lax_scan(name):
    expected = value_and_grads(name, lax_unroll, True)
    close(value_and_grads(name, jrnn.unroll, True), expected, 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", THOROUGH)
@pytest.mark.parametrize(("remat", "reverse"), [(3, False), ("chunk", True)])
def test_remat_changes_neither_values_nor_gradients(name, remat, reverse):
    got = value_and_grads(name, jrnn.unroll, reverse, remat)
    close(got, value_and_grads(name, jrnn.unroll, reverse), 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_dtype_in_is_dtype_out(name, dtype):
    ex = example(name, dtype)
    start, (carry, ys) = jax.eval_shape(
        lambda params, xs: (
            ex.cell.initial_carry(params, key=new_key(ex.case)),
            jrnn.unroll(ex.cell, params, xs, key=new_key(ex.case)),
        ),
        ex.params,
        ex.xs,
    )
    leaves = [x for x in jax.tree.leaves((ex.params, start, carry, ys)) if is_float(x)]
    assert leaves
    assert {str(x.dtype) for x in leaves} == {dtype}


def test_the_carry_keeps_its_form_over_a_step(name):
    ex = example(name)
    carry = ex.cell.initial_carry(ex.params, key=new_key(ex.case))
    step = lambda carry: ex.cell.step(
        ex.params, carry, at(ex.xs, 0), key=new_key(ex.case)
    )
    out, _ = jax.eval_shape(step, carry)
    form = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype, a.weak_type), tree)
    assert jax.tree.structure(out) == jax.tree.structure(carry)
    assert form(out) == form(jax.eval_shape(lambda: carry))


@pytest.mark.slow
def test_nothing_leaks_from_a_trace(name):
    ex = example(name)
    arguments = loss_arguments(ex)
    with checking_leaks():
        jax.make_jaxpr(jax.grad(make_loss(ex)))(*arguments)


@pytest.mark.slow
def test_init_reads_the_key_and_the_form_of_x_only(name):
    ex = example(name)
    x = at(ex.batch, (0, 0))
    params = ex.cell.init(jax.random.key(5), at(ex.xs, 0))
    chex.assert_trees_all_equal(params, ex.cell.init(jax.random.key(5), x))
    chex.assert_trees_all_equal(params, ex.cell.init(jax.random.key(5), jrnn.spec(x)))
    leaves = jax.tree.leaves(params)
    again = jax.tree.leaves(ex.cell.init(jax.random.key(6), x))
    zero = all((a == 0).all() for a in leaves)  # the start of a window
    assert zero or any((a != b).any() for a, b in zip(leaves, again, strict=True))


def test_a_wrapper_without_parameters_keeps_the_parameters():
    for name, case in CASES.items():
        if case.inner is None:
            continue
        ex = example(name)
        x = at(ex.xs, 0)
        inner_x = x[0] if isinstance(x, tuple) else x
        inner = case.inner(jnp.dtype("float64"))
        params = ex.cell.init(jax.random.key(5), x)
        expected = inner.init(jax.random.key(5), inner_x)
        chex.assert_trees_all_equal(params, expected)


def test_a_leak_is_noticed():
    leaked = []

    def step(params, carry, x, *, key=None):
        leaked.append(x)
        return carry, x

    cell = jrnn.Cell(lambda key, x: (), lambda params, *, key=None: (), step)
    with pytest.raises(Exception, match="Leaked"), checking_leaks():
        jax.make_jaxpr(functools.partial(jrnn.unroll, cell, ()))(jnp.ones((T, 2)))
