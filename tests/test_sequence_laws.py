"""Laws that every model of whole sequences obeys, over the table of `sequence_cases`.

The most important is that of masks: with the first n steps valid, whatever stands
behind them, the model does what it does on these n steps alone.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import T, perturb
from sequence_cases import SEQUENCES, sequence_example, sequence_key

import jrnn

HOLES = {
    "inside": jnp.array([True, False, False, True, True]),
    "both ends": jnp.array([False, True, False, True, False]),
}
THOROUGH = ["tagger", "classifier", "noisy"]  # where all options are tried


@pytest.fixture(scope="module", params=SEQUENCES)
def name(request):
    return request.param


def close(a, b, tolerance=1e-12):
    chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
    chex.assert_trees_all_close(a, b, rtol=tolerance, atol=tolerance)


def is_float(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def cut(tree, stop):
    return jax.tree.map(lambda a: a[:stop], tree)


def turn(tree):
    return jax.tree.map(lambda a: a[::-1], tree)


def all_leaves(condition, tree):
    return all(bool(condition(leaf).all()) for leaf in jax.tree.leaves(tree))


def spoilt(xs, valid):
    """What is not valid replaced by what must not be read."""

    def spoil(x):
        if x.dtype == bool:
            return x
        flags = valid.reshape(-1, *[1] * (x.ndim - 1))
        garbage = jnp.nan if is_float(x) else jnp.asarray(-999, x.dtype)
        return jnp.where(flags, x, garbage)

    return jax.tree.map(spoil, xs)


def float_leaves(xs):
    return [x for x in jax.tree.leaves(xs) if is_float(x)]


def with_floats(xs, floats):
    """`xs` with its floating-point leaves replaced."""
    leaves, tree = jax.tree.flatten(xs)
    rest = iter(floats)
    return tree.unflatten([next(rest) if is_float(x) else x for x in leaves])


def weighted_sum(tree):
    """A scalar in which every entry of every leaf counts differently."""
    weigh = lambda x: jnp.cos(jnp.arange(1.0, x.size + 1)).reshape(x.shape) * x
    return sum((weigh(x).sum() for x in float_leaves(tree)), jnp.zeros(()))


@functools.cache
def masked_run(name, reverse=False):
    """The compiled run with flags, of one example."""
    model = jrnn.masked(sequence_example(name).model)

    @jax.jit
    def run(params, xs, valid, carry=None, key=None):
        return jrnn.unroll(model, params, (xs, valid), carry, key=key, reverse=reverse)

    return run


@functools.cache
def plain_run(name, reverse=False):
    """The compiled run without flags."""
    model = sequence_example(name).model

    @jax.jit
    def run(params, xs, carry=None, key=None):
        return jrnn.unroll(model, params, xs, carry, key=key, reverse=reverse)

    return run


def some_carry(ex, seed=3):
    """A carry that differs from the initial one."""
    carry = ex.model.initial_carry(ex.params, key=sequence_key(ex.case))
    return perturb(seed, carry) if jax.tree.leaves(carry) else carry


def first_outputs(model, ys, n):
    """The outputs of the first n steps, or the one that there is."""
    return ys if model.pools else cut(ys, n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 1, 3, T])
def test_a_prefix_of_valid_steps_is_the_cut_sequence(name, n):
    ex, valid = sequence_example(name), jrnn.length_mask(n, T)
    start, key = some_carry(ex), lambda: sequence_key(ex.case)
    carry, ys = masked_run(name)(ex.params, spoilt(ex.xs, valid), valid, start, key())
    expected = plain_run(name)(ex.params, cut(ex.xs, n), start, key())
    close((carry, first_outputs(ex.model, ys, n)), expected)
    if not ex.model.pools:
        assert all_leaves(lambda y: y[n:] == 0, ys)
    if n == 0 and not ex.model.pools:  # cells behind a pool make a step all the same
        chex.assert_trees_all_equal(carry, start)
    if n == 0 and name in ("mean", "max", "last", "ends"):
        assert all_leaves(lambda y: y == 0, ys)
    assert all_leaves(jnp.isfinite, (carry, ys))


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 3])
def test_gradients_with_a_prefix_are_those_of_the_cut_sequence(name, n):
    ex, valid = sequence_example(name), jrnn.length_mask(n, T)
    start, model = some_carry(ex), jrnn.masked(ex.model)

    def loss(params, floats, carry, xs, valid):
        xs, key = with_floats(xs, floats), sequence_key(ex.case)
        if valid is None:
            return weighted_sum(jrnn.unroll(ex.model, params, xs, carry, key=key))
        carry, ys = jrnn.unroll(model, params, (xs, valid), carry, key=key)
        return weighted_sum((carry, first_outputs(model, ys, n)))

    grad = jax.jit(jax.grad(loss, (0, 1, 2)))
    xs = spoilt(ex.xs, valid)
    got = grad(ex.params, float_leaves(xs), start, xs, valid)
    assert all_leaves(jnp.isfinite, got)
    assert all_leaves(lambda g: g[n:] == 0, got[1])
    if n:
        xs = cut(ex.xs, n)
        expected = grad(ex.params, float_leaves(xs), start, xs, None)
        close((got[0], cut(got[1], n), got[2]), expected, 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("holes", HOLES)
def test_what_is_not_valid_is_never_read(name, holes):
    ex, valid = sequence_example(name), HOLES[holes]

    def loss(params, floats, xs):
        xs, key = (with_floats(xs, floats), valid), sequence_key(ex.case)
        out = jrnn.unroll(jrnn.masked(ex.model), params, xs, key=key)
        return weighted_sum(out), out

    grad = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    got, expected = (
        grad(ex.params, float_leaves(xs), xs) for xs in (spoilt(ex.xs, valid), ex.xs)
    )
    chex.assert_trees_all_equal(got, expected)
    assert all_leaves(jnp.isfinite, got)
    if not ex.model.pools:
        assert all_leaves(lambda y: y[~valid] == 0, got[1][1])


def factories(value):
    """Names of all factories in a model."""
    if type(value) is tuple:
        return [name for part in value for name in factories(part)]
    if getattr(value, "description", None) is None:
        return []
    factory, arguments = value.description
    return [factory, *(n for v in arguments.values() for n in factories(v))]


@pytest.mark.slow
@pytest.mark.parametrize("holes", HOLES)
def test_holes_are_skipped_in_both_directions(name, holes):
    """As if they were not there; but for convolutions, where they are zeros."""
    ex, valid = sequence_example(name), HOLES[holes]
    if ex.case.noisy or ex.case.input == "masked" or "conv" in factories(ex.model):
        pytest.skip("what depends on where a step stands")
    carry, ys = masked_run(name)(ex.params, ex.xs, valid)
    left = lambda tree: jax.tree.map(lambda x: x[valid], tree)
    expected = plain_run(name)(ex.params, left(ex.xs))
    close((carry, ys if ex.model.pools else left(ys)), expected)


@pytest.mark.slow
def test_reverse_is_turned_round_twice(name):
    ex, key = sequence_example(name), lambda: sequence_key(SEQUENCES[name])
    valid = HOLES["inside"]
    back = lambda ys: ys if ex.model.pools else turn(ys)
    got = masked_run(name, reverse=True)(ex.params, ex.xs, valid, None, key())
    carry, ys = masked_run(name)(ex.params, turn(ex.xs), valid[::-1], None, key())
    close(got, (carry, back(ys)))


@pytest.mark.slow
def test_a_batch_of_unequal_lengths_is_its_rows(name):
    ex = sequence_example(name)
    valid = jax.vmap(jrnn.length_mask, (0, None))(jnp.array([2, T, 0, 3]), T)
    keys = lambda: jax.random.split(jax.random.key(1), 4) if ex.case.noisy else None
    over = (None, 0, 0, None, 0 if ex.case.noisy else None)
    got = jax.vmap(masked_run(name), over)(ex.params, ex.batch, valid, None, keys())
    for b in range(4):
        row = lambda tree: jax.tree.map(lambda a: a[b], tree)  # noqa: B023
        key = keys()[b] if ex.case.noisy else None
        alone = masked_run(name)(ex.params, row(ex.batch), valid[b], None, key)
        close(row(got), alone)


@pytest.mark.slow
def test_many_parameters_side_by_side(name):
    ex = sequence_example(name)
    if not jax.tree.leaves(ex.params):
        pytest.skip("no parameters")
    run = lambda p: plain_run(name)(p, ex.xs, None, sequence_key(ex.case))
    both = [ex.params, perturb(9, ex.params)]
    got = jax.vmap(run)(jax.tree.map(lambda *a: jnp.stack(a), *both))
    for n, params in enumerate(both):
        close(jax.tree.map(lambda a: a[n], got), run(params))  # noqa: B023


@pytest.mark.slow
def test_gradients_match_finite_differences(name):
    ex, valid = sequence_example(name), jrnn.length_mask(4, T)

    def loss(params, floats, carry):
        xs, key = (with_floats(ex.xs, floats), valid), sequence_key(ex.case)
        return weighted_sum(
            jrnn.unroll(jrnn.masked(ex.model), params, xs, carry, key=key)
        )

    at = ex.params, float_leaves(ex.xs), some_carry(ex)
    direction = perturb(4, jax.tree.map(jnp.zeros_like, at))
    moved = lambda h: jax.tree.map(lambda a, d: a + h * d, at, direction)
    value = jax.jit(loss)
    difference = (value(*moved(1e-5)) - value(*moved(-1e-5))) / 2e-5
    grads = jax.jit(jax.grad(loss, (0, 1, 2)))(*at)
    products = jax.tree.map(lambda g, d: (g * d).sum(), grads, direction)
    slope = sum(jax.tree.leaves(products), jnp.zeros(()))
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-8)
    forward = jax.jit(lambda *a: jax.jvp(loss, a, direction)[1])(*at)
    np.testing.assert_allclose(forward, slope, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", THOROUGH)
@pytest.mark.parametrize("remat", ["step", "chunk", 2])
def test_remat_changes_neither_values_nor_gradients(name, remat):
    ex = sequence_example(name)
    start = some_carry(ex)

    def loss(params, remat):
        key = sequence_key(ex.case)
        out = jrnn.unroll(ex.model, params, ex.xs, start, key=key, remat=remat)
        return weighted_sum(out)

    run = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    with jax.debug_key_reuse(False):  # a step that is computed again draws again
        close(run(ex.params, remat), run(ex.params, None), 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", THOROUGH)
def test_without_jit_it_is_the_same(name):
    ex, valid = sequence_example(name), HOLES["inside"]
    run = masked_run(name)
    got = run.__wrapped__(ex.params, ex.xs, valid, None, sequence_key(ex.case))
    close(got, run(ex.params, ex.xs, valid, None, sequence_key(ex.case)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_dtype_in_is_dtype_out(name, dtype):
    if SEQUENCES[name].input == "token":
        pytest.skip("tokens have none")
    ex, valid = sequence_example(name, dtype), jrnn.length_mask(2, T)
    wide = lambda tree: jax.tree.map(
        lambda x: x.astype(float) if is_float(x) else x, tree
    )
    key = lambda: sequence_key(ex.case)
    out = masked_run_of(ex)(ex.params, ex.xs, valid, key())
    assert {str(x.dtype) for x in jax.tree.leaves((ex.params, out))} == {dtype}
    if not ex.case.noisy:  # noise is drawn in the dtype of what it multiplies
        expected = masked_run_of(ex)(wide(ex.params), wide(ex.xs), valid, key())
        tolerance = 1e-5 if dtype == "float32" else 0.2
        chex.assert_trees_all_close(wide(out), expected, atol=tolerance)


def masked_run_of(ex):
    model = jrnn.masked(ex.model)
    return jax.jit(
        lambda params, xs, valid, key: jrnn.unroll(model, params, (xs, valid), key=key)
    )


@pytest.mark.slow
def test_init_reads_the_key_and_the_form_of_x_only(name):
    ex = sequence_example(name)
    first = lambda n: jax.tree.map(lambda a: a[n], ex.xs)
    init = lambda seed, x: ex.model.init(jax.random.key(seed), x)
    params = init(5, first(0))
    for x in (first(1), jrnn.spec(first(0))):
        chex.assert_trees_all_equal(params, init(5, x))
    pairs = zip(*map(jax.tree.leaves, (params, init(6, first(0)))), strict=True)
    differ = [bool((a != b).any()) for a, b in pairs]
    assert not differ or any(differ)


def test_the_spec_of_the_output_is_that_of_a_step(name):
    ex = sequence_example(name)
    x = jax.tree.map(lambda a: a[0], ex.xs)
    key = sequence_key(ex.case)
    ys = jax.eval_shape(lambda: jrnn.unroll(ex.model, ex.params, ex.xs, key=key)[1])
    shape = lambda y: y.shape if ex.model.pools else y.shape[1:]
    of_step = jax.tree.map(lambda y: jax.ShapeDtypeStruct(shape(y), y.dtype), ys)
    assert jrnn.output_spec(ex.model, ex.params, x) == of_step


def test_the_carry_keeps_its_form(name):
    ex, key = sequence_example(name), lambda: sequence_key(SEQUENCES[name])
    first = jax.eval_shape(lambda: ex.model.initial_carry(ex.params, key=key()))
    masked = jrnn.masked(ex.model), (ex.xs, HOLES["inside"])
    for model, xs in ((ex.model, ex.xs), masked):
        run = lambda m, xs: jrnn.unroll(m, ex.params, xs, key=key())[0]
        assert jax.eval_shape(functools.partial(run, model), xs) == first


def test_a_wrapper_without_parameters_keeps_the_parameters():
    for name, case in SEQUENCES.items():
        if case.inner is None:
            continue
        x = jax.tree.map(lambda a: a[0], sequence_example(name).xs)
        params = case.factory().init(jax.random.key(5), x)
        inner = x[0] if case.input == "masked" else x
        chex.assert_trees_all_equal(params, case.inner().init(jax.random.key(5), inner))
