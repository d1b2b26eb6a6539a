"""Losses against NumPy in float64; masks keep out whatever padding holds."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrnn import losses
from jrnn._replacements.likelihood import negative_log_likelihood

T, V = 5, 7


def numpy_mean(logits, labels, valid):
    """Mean of -log softmax over valid entries, row by row."""
    total = 0.0
    for row, label in zip(logits[valid], labels[valid], strict=True):
        total += np.log(np.exp(row - row.max()).sum()) - (row - row.max())[label]
    return total / max(1, valid.sum())


def numpy_gradient(logits, labels, valid):
    grads = np.zeros_like(logits)
    for t in np.flatnonzero(valid):
        p = np.exp(logits[t] - logits[t].max())
        grads[t] = p / p.sum()
        grads[t, labels[t]] -= 1
    return grads / max(1, valid.sum())


value_and_grad = jax.jit(jax.value_and_grad(losses.cross_entropy))


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    valid=st.lists(st.booleans(), min_size=T, max_size=T),
    garbage=st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e308]),
    label=st.sampled_from([0, -1, V, 2**30]),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1.0, 100.0]),
)
def test_cross_entropy_equals_numpy_whatever_the_padding(
    valid, garbage, label, seed, scale
):
    draw, valid = np.random.default_rng(seed), np.array(valid)
    logits = draw.normal(size=(T, V)) * scale
    labels = draw.integers(0, V, T)
    padded = np.where(valid[:, None], logits, garbage)
    loss, grads = value_and_grad(padded, np.where(valid, labels, label), valid)
    np.testing.assert_allclose(
        loss, numpy_mean(logits, labels, valid), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(
        grads, numpy_gradient(logits, labels, valid), rtol=1e-9, atol=1e-13
    )


def test_cross_entropy_without_mask_is_the_mean_over_all_axes():
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(3, T, V)), draw.integers(0, V, (3, T))
    expected = numpy_mean(logits.reshape(-1, V), labels.ravel(), np.ones(3 * T, bool))
    got = losses.cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_allclose(got, expected, rtol=1e-13)
    every = jnp.ones((3, T), bool)
    got = losses.cross_entropy(jnp.asarray(logits), jnp.asarray(labels), every)
    np.testing.assert_allclose(got, expected, rtol=1e-13)


# where vmap finds the batch axis of logits (.., T, V) and of labels (.., T)
AXES = [(0, 0), (1, 0), (2, 1), (1, 1), (0, None), (2, None), (None, 0), (None, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("derive", ["value", "grad", "jvp", "hessian"])
def test_cross_entropy_batched_equals_one_by_one(axes, derive):
    draw, N = np.random.default_rng(0), 3
    batched = lambda x, axis: x[0] if axis is None else np.moveaxis(x, 0, axis)
    logits = batched(draw.normal(size=(N, T, V)), axes[0])
    labels = batched(draw.integers(0, V, (N, T)), axes[1])
    one = lambda x, axis, n: x if axis is None else np.take(x, n, axis)
    f = {
        "value": losses.cross_entropy,
        "grad": jax.grad(losses.cross_entropy),
        "jvp": lambda z, y: jax.jvp(lambda z: losses.cross_entropy(z, y), [z], [z])[1],
        "hessian": jax.hessian(losses.cross_entropy),
    }[derive]
    got = jax.jit(jax.vmap(f, axes))(logits, labels)
    for n in range(N):
        z, y = one(logits, axes[0], n), one(labels, axes[1], n)
        np.testing.assert_allclose(got[n], f(z, y), rtol=1e-12, atol=1e-15)


@pytest.mark.slow
def test_derivatives_of_cross_entropy_equal_those_of_its_formula():
    def formula(logits, labels):
        return -jnp.take_along_axis(
            jax.nn.log_softmax(logits), labels[:, None], axis=-1
        ).mean()

    draw = np.random.default_rng(1)
    logits, labels = jnp.asarray(draw.normal(size=(T, V))), draw.integers(0, V, T)
    for order in (jax.grad, jax.hessian, lambda f: jax.jacfwd(jax.hessian(f))):
        got, expected = (
            order(f)(logits, labels) for f in (losses.cross_entropy, formula)
        )
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


def test_many_labels_have_the_derivative_of_few():
    """On CPU, the derivative of many is another program."""
    draw = np.random.default_rng(2)
    logits = jnp.asarray(draw.normal(size=(2, 70, V)))
    labels = draw.integers(-1, V + 1, (2, 70))  # some of which do not exist
    weight = jnp.asarray(draw.normal(size=labels.shape))

    def loss(logits, labels, weight):
        return jnp.sum(weight * negative_log_likelihood(logits, labels))

    times = 2**15 // logits.size + 1
    many = [jnp.concatenate([a] * times, axis=1) for a in (logits, labels, weight)]
    few = jax.jit(jax.grad(loss))(logits, labels, weight)
    program = jax.jit(jax.grad(loss)).lower(*many).compile()
    if jax.default_backend() == "cpu":
        assert "scatter" in program.as_text()
    np.testing.assert_allclose(
        program(*many), jnp.concatenate([few] * times, axis=1), rtol=1e-12
    )


def test_batched_over_labels_the_logits_are_not_moved():
    def loss(logits, labels):
        return jax.vmap(losses.cross_entropy, (1, 0))(logits, labels).sum()

    program = jax.make_jaxpr(jax.grad(loss))(
        jnp.zeros((T, 3, V)), jnp.zeros((3, T), int)
    )
    assert f"f64[{T},3,{V}]" in str(program)
    assert f"f64[3,{T},{V}]" not in str(program)


@pytest.mark.parametrize("label", [-1, V, 2**30])
def test_a_label_that_does_not_exist_is_nan(label):
    loss = losses.cross_entropy(jnp.zeros((2, V)), jnp.array([0, label]))
    assert np.isnan(loss)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_cross_entropy_keeps_the_dtype(dtype):
    logits, labels = jnp.ones((T, V), dtype), jnp.zeros(T, int)
    for valid in (None, jnp.arange(T) < 2):
        loss = losses.cross_entropy(logits, labels, valid)
        assert str(loss.dtype) == dtype
        np.testing.assert_allclose(loss.astype(float), np.log(V), rtol=1e-2)


def test_perplexity_and_bits():
    nats = np.array([0.0, 0.5, 4.174])
    np.testing.assert_allclose(losses.perplexity(nats), np.exp(nats), rtol=1e-14)
    np.testing.assert_allclose(
        losses.bits_per_token(nats), np.log2(np.exp(nats)), rtol=1e-12
    )
    # a uniform guess over V symbols: perplexity V, log2 V bits
    uniform = losses.cross_entropy(jnp.zeros((T, 8)), jnp.arange(T))
    np.testing.assert_allclose(losses.perplexity(uniform), 8, rtol=1e-13)
    np.testing.assert_allclose(losses.bits_per_token(uniform), 3, rtol=1e-13)
    chex.assert_shape(losses.bits_per_token(1.0), ())


# Means over entries of which some are valid, by NumPy loops


def numpy_binary(z, y):
    return max(z, 0) - z * y + np.log1p(np.exp(-abs(z)))


MEANS = {
    "binary_cross_entropy": (losses.binary_cross_entropy, numpy_binary),
    "mean_squared_error": (losses.mean_squared_error, lambda y, t: (y - t) ** 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("axes", [0, 1, 2, 3])
@pytest.mark.parametrize("name", MEANS)
@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    garbage=st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e308]),
    seed=st.integers(0, 1000),
)
def test_masked_means_equal_numpy_whatever_the_padding(name, axes, garbage, seed):
    loss, entry = MEANS[name]
    draw, shape = np.random.default_rng(seed), (3, T, 2)
    a = draw.normal(size=shape) * 5
    b = draw.integers(0, 2, shape) if "binary" in name else draw.normal(size=shape)
    valid = None if axes == 0 else draw.random(shape[:axes]) < 0.6
    keep = np.ones(shape, bool)
    if axes:
        keep = np.broadcast_to(valid.reshape(valid.shape + (1,) * (3 - axes)), shape)
    entries = [entry(x, y) for x, y in zip(a[keep], b[keep], strict=True)]
    expected = sum(entries) / max(1, len(entries))
    padded = jnp.asarray(np.where(keep, a, garbage))
    got, slope = jax.value_and_grad(loss)(padded, jnp.asarray(b), valid)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    derivative = jax.vmap(jax.grad(lambda x, y: MEANS_1[name](x, y)))
    each = derivative(jnp.asarray(a.ravel()), jnp.asarray(b.ravel(), float))
    each = np.where(keep, np.reshape(each, shape), 0) / max(1, len(entries))
    np.testing.assert_allclose(slope, each, rtol=1e-9, atol=1e-13)


MEANS_1 = {
    "binary_cross_entropy": lambda z, y: jnp.logaddexp(0.0, z) - z * y,
    "mean_squared_error": lambda y, t: (y - t) ** 2,
}


def test_accuracy_equals_numpy():
    draw = np.random.default_rng(3)
    logits = draw.integers(0, 3, (4, T, V)).astype(float)  # with ties
    labels, valid = draw.integers(0, V, (4, T)), draw.random((4, T)) < 0.5
    hits = logits.argmax(-1) == labels
    accuracy = jax.jit(losses.accuracy)
    np.testing.assert_allclose(accuracy(logits, labels), hits.mean())
    np.testing.assert_allclose(accuracy(logits, labels, valid), hits[valid].mean())
    rows = np.array([True, False, True, True])
    np.testing.assert_allclose(accuracy(logits, labels, rows), hits[rows].mean())
    assert accuracy(logits, labels, np.zeros((4, T), bool)) == 0
    logits[0, 0, 2] = np.nan
    assert all(accuracy(logits[:1, :1], np.full((1, 1), k)) == 0 for k in range(V))
    half = losses.accuracy(jnp.ones((3, V), jnp.bfloat16), jnp.zeros(3, int))
    assert half.dtype == jnp.float32 and half == 1
