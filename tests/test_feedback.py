"""`feedback`, against loops written out."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import B, H, I, O, T, perturb

import jrnn


def made(choose=None):
    inner = jrnn.stack(jrnn.elman(H), jrnn.linear(O))
    net = jrnn.feedback(inner, choose)
    xs, ys = jnp.asarray(draw(T, I)), jnp.asarray(draw(T, O))
    params = perturb(3, net.init(jax.random.key(0), (xs[0], ys[0])))
    return inner, net, params, xs, ys


def draw(*shape):
    return np.random.default_rng(len(shape) + shape[-1]).normal(size=shape)


def test_given_outputs_it_is_the_cell_on_both_inputs_joined():
    inner, net, params, xs, ys = made()
    carry, outputs = jrnn.unroll(net, params, (xs, ys))
    joined = jnp.concatenate([xs, ys], axis=1)
    expected = jrnn.unroll(inner, params.cell, joined)
    chex.assert_trees_all_close((carry.cell, outputs), expected, rtol=1e-12)


def test_by_itself_it_reads_what_it_has_written():
    _, net, params, xs, _ = made(lambda o, key: jnp.tanh(o))
    outputs = jrnn.unroll(net, params, (xs, None))[1]
    (w_x, w_h, b), (w, c) = jax.tree.map(np.asarray, params.cell)
    w_in, r = w_x[:I], w_x[I:]  # R: from outputs to hidden units
    h, y, expected = np.zeros(H), np.asarray(params.y), []
    for x in np.asarray(xs):
        h = np.tanh(x @ w_in + y @ r + h @ w_h + b)
        o = h @ w + c
        y = np.tanh(o)
        expected.append(o)
    np.testing.assert_allclose(outputs, np.array(expected), rtol=1e-12)


def test_a_sequence_may_be_given_first_and_then_go_on_by_itself():
    _, net, params, xs, _ = made()
    free = jrnn.unroll(net, params, (xs, None))[1]
    given = jnp.concatenate([params.y[None], free[:2]])
    carry, first = jrnn.unroll(net, params, (xs[:3], given))
    rest = jrnn.unroll(net, params, (xs[3:], None), carry)[1]
    chex.assert_trees_all_close(jnp.concatenate([first, rest]), free, rtol=1e-12)


@pytest.mark.slow
def test_choices_are_drawn_anew_at_each_step_and_for_each_key():
    sample = lambda o, key: jax.nn.one_hot(
        jax.random.categorical(key, jnp.zeros_like(o)), O, dtype=o.dtype
    )
    _, net, params, xs, _ = made(sample)
    record = jrnn.record(net)
    run = lambda key: jrnn.unroll(record, params, (xs, None), key=key)[1].carry.y
    chosen = jax.vmap(run)(jax.random.split(jax.random.key(1), 40 * B))
    counts = chosen.sum(0)  # (T, O): how often each label was drawn at each step
    assert (chosen.sum(-1) == 1).all()
    assert (counts > 20).all() and (counts < 60).all()  # 40 expected, spread 5
    assert bool((chosen[:, 0] != chosen[:, 1]).any())


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((I,), None, r"init needs an example \(x, y\), got \(x, None\)"),
        ((I,), (O + 1,), r"y has shape \(4,\), but y in the example .* had \(3,\)"),
    ],
)
def test_errors(x, y, message):
    _, net, params, xs, _ = made()
    x = jnp.zeros(x), None if y is None else jnp.zeros(y)
    with pytest.raises((TypeError, ValueError), match=message):
        if x[1] is None:
            net.init(jax.random.key(0), x)
        net.step(params, net.initial_carry(params), x)
    with pytest.raises(TypeError, match=r"feedback: the input must be a pair \(x, y\)"):
        net.step(params, net.initial_carry(params), xs[0])


def test_what_is_read_back_must_have_the_form_of_y():
    _, net, params, xs, ys = made(lambda o, key: o[:1])
    with pytest.raises(ValueError, match=r"feedback: what it reads back has shape \(1"):
        net.step(params, net.initial_carry(params), (xs[0], ys[0]))


@pytest.mark.parametrize("size", [1, 3, T + 2])
def test_window_joins_the_last_inputs(size):
    cell, xs = jrnn.window(size), draw(T, I)
    params = perturb(4, cell.init(jax.random.key(0), jnp.asarray(xs[0])))
    carry, ys = jrnn.unroll(cell, params, jnp.asarray(xs))
    long = np.concatenate([params.start, xs])
    for t in range(T):
        np.testing.assert_array_equal(ys[t], long[t : t + size].reshape(-1))
    np.testing.assert_array_equal(carry, long[T:])


def test_a_window_of_nothing_is_refused():
    with pytest.raises(ValueError, match="window: size must be a positive integer"):
        jrnn.window(0)
