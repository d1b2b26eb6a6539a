"""What highway, skip, concat_states and clip_carry promise, against NumPy and Haiku."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import H, I, O, T, draw

import jrnn

SIGMOID = lambda z: 1 / (1 + np.exp(-z))


def close(a, b, tolerance=1e-12):
    chex.assert_trees_all_close(a, b, rtol=tolerance, atol=tolerance)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def params_of(cell, x, scale=0.8, seed=3):
    spec = jax.eval_shape(cell.init, jax.random.key(0), x)
    return draw(np.random.default_rng(seed), spec, scale)


# highway


def test_highway_by_numpy():
    cell, xs = jrnn.highway(jrnn.gru(H)), normal(1, T, H)
    params = params_of(cell, xs[0])
    carry, ys = jrnn.unroll(cell, params, xs)
    inner, us = jrnn.unroll(jrnn.gru(H), params.cell, xs)
    close(carry, inner)
    x, u, w, b = map(np.asarray, (xs, us, params.w_t, params.b_t))
    t = SIGMOID(x @ w + b[None])
    close(ys, t * u + (1 - t) * x)


@pytest.mark.parametrize("bias", [-60.0, 60.0])
def test_highway_of_an_open_and_of_a_closed_gate(bias):
    cell, xs = jrnn.highway(jrnn.lstm(H), gate_bias=bias), normal(1, T, H)
    params = cell.init(jax.random.key(0), xs[0])
    assert (params.b_t == bias).all() and params.w_t.shape == (H, H)
    expected = jrnn.unroll(jrnn.lstm(H), params.cell, xs)[1] if bias > 0 else xs
    close(jrnn.unroll(cell, params, xs)[1], expected)


# skip, concat_states


def test_skip_and_concat_states_are_these_compositions():
    cells, xs = (jrnn.gru(H), jrnn.lstm(O), jrnn.elman(5)), normal(1, T, I)
    join = lambda *parts: jnp.concatenate(parts, axis=1)
    skip, last = jrnn.skip(*cells), jrnn.skip(*cells, outputs="last")
    params = params_of(skip, xs[0])
    shapes = [p.w_x.shape for p in params]
    assert shapes == [(I, 3 * H), (I + H, 4 * O), (I + O, 5)]
    given, carries, outputs = xs, [], []
    for cell, p in zip(cells, params, strict=True):
        carry, ys = jrnn.unroll(cell, p, given)
        given = join(xs, ys)
        carries.append(carry)
        outputs.append(ys)
    close(jrnn.unroll(skip, params, xs), (tuple(carries), join(*outputs)))
    close(jrnn.unroll(last, params, xs), (tuple(carries), outputs[-1]))
    joined = jrnn.concat_states(*cells)
    params = params_of(joined, xs[0])
    given, outputs = xs, []
    for cell, p in zip(cells, params, strict=True):
        given = jrnn.unroll(cell, p, given)[1]
        outputs.append(given)
    close(jrnn.unroll(joined, params, xs)[1], join(*outputs))


def test_skip_of_one_cell_is_that_cell():
    xs = normal(1, T, I)
    params = params_of(jrnn.lstm(H), xs[0])
    (carry,), ys = jrnn.unroll(jrnn.skip(jrnn.lstm(H)), (params,), xs)
    close((carry, ys), jrnn.unroll(jrnn.lstm(H), params, xs))


@pytest.mark.slow
@pytest.mark.parametrize("join", [jrnn.skip, jrnn.concat_states])
def test_layers_get_different_keys(join):
    noise = jrnn.dropout(jrnn.activation(lambda x: x), 0.5)
    cell = join(noise, noise)
    _, ys = cell.step(((), ()), ((), ()), jnp.ones(40), key=jax.random.key(2))
    kept = ys[:40] != 0
    assert 0.2 < (ys[40:80] != 0).mean() < 0.8
    assert (ys[-40:][kept] == 0).any()  # the same mask twice would keep all of these
    masked = jrnn.variational_dropout(jrnn.elman(40), 0.5)
    cell = join(masked, masked)
    params = params_of(cell, jnp.zeros(I))
    a, b = cell.initial_carry(params, key=jax.random.key(1))
    assert (a.mask != b.mask).any()
    drawn = cell.init(jax.random.key(0), jnp.zeros(I))
    assert (drawn[0].w_h != drawn[1].w_h).any()


@pytest.mark.slow
def test_skip_equals_haiku_with_copied_weights():
    hk = pytest.importorskip("haiku")
    xs = normal(1, T, I)
    cell = jrnn.skip(jrnn.lstm(H), jrnn.elman(O, jax.nn.relu), jrnn.lstm(5))
    params = params_of(cell, xs[0])

    def run(xs):
        layers = [hk.LSTM(H), hk.VanillaRNN(O), hk.LSTM(5)]
        core = hk.deep_rnn_with_skip_connections(layers)
        return hk.dynamic_unroll(core, xs, core.initial_state(None))

    def lstm(p, size):
        order = lambda a: jnp.concatenate(
            [jnp.split(a, 4, -1)[k] for k in (0, 2, 1, 3)], -1
        )
        w, b = order(jnp.concatenate([p.w_x, p.w_h])), order(p.b)
        return {"w": w, "b": b.at[2 * size : 3 * size].add(-1.0)}  # Haiku adds 1 to f

    p = params[1]
    theirs = {
        "lstm/linear": lstm(params[0], H),
        "vanilla_rnn/linear": {"w": p.w_x, "b": p.b},
        "vanilla_rnn/linear_1": {"w": p.w_h, "b": jnp.zeros_like(p.b)},
        "lstm_1/linear": lstm(params[2], 5),
    }
    network = hk.without_apply_rng(hk.transform(run))
    form = jax.eval_shape(network.init, jax.random.key(0), xs)
    chex.assert_trees_all_equal_shapes(form, theirs)
    loss = lambda weights: jnp.sin(network.apply(weights, xs)[0]).sum()
    ours = lambda params: jnp.sin(jrnn.unroll(cell, params, xs)[1]).sum()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        value, slope = jax.value_and_grad(loss)(theirs)
        ys = network.apply(theirs, xs)[0]
    close(jrnn.unroll(cell, params, xs)[1], ys, 1e-10)
    got, grads = jax.value_and_grad(ours)(params)
    close(got, value, 1e-10)
    mine = lstm(grads[2]._replace(b=grads[2].b.at[5:10].add(0.0)), 5)["w"]
    close(mine, slope["lstm_1/linear"]["w"], 1e-10)
    close(grads[1].w_x, slope["vanilla_rnn/linear"]["w"], 1e-10)


# clip_carry


@pytest.mark.parametrize("fields", [None, ("c",), ("h", "c")])
def test_clip_carry_by_numpy(fields):
    base, xs, limit = jrnn.lstm(H), normal(1, T, I), 0.25
    params = params_of(base, xs[0], 2.0)
    cell = jrnn.clip_carry(base, limit, fields=fields)
    ys = jrnn.unroll(jrnn.record(cell), params, xs)[1]
    p = jax.tree.map(np.asarray, params)
    h, c, clips = np.zeros(H), np.zeros(H), 0
    for t, x in enumerate(np.asarray(xs)):
        i, f, g, o = np.split(x @ p.w_x + h @ p.w_h + p.b, 4)
        c = SIGMOID(f) * c + SIGMOID(i) * np.tanh(g)
        h = SIGMOID(o) * np.tanh(c)
        close(ys.y[t], h)
        clips += (abs(c) > limit).sum()
        c = np.clip(c, -limit, limit)
        h = h if fields == ("c",) else np.clip(h, -limit, limit)
        close((ys.carry.h[t], ys.carry.c[t]), (h, c))
    assert clips > T


@pytest.mark.slow
def test_the_subgradient_of_clip_carry():
    """1 within the range, 0 on its ends and outside; NaN stays NaN."""
    own = jrnn.Cell(
        lambda key, x: (),
        lambda params, *, key=None: jnp.zeros(()),
        lambda params, carry, x, *, key=None: (carry + x, carry),
    )
    cell = jrnn.clip_carry(own, 2.0)
    carry = lambda h: cell.step((), h, jnp.zeros(()))[0]
    at = jnp.array([-3.0, -2.0, -1.9, 0.0, 1.9, 2.0, 3.0])
    slopes = jax.vmap(jax.grad(carry))(at)
    assert slopes.tolist() == [0, 0, 1, 1, 1, 0, 0]
    assert jax.vmap(carry)(at).tolist() == [-2, -2, -1.9, 0, 1.9, 2, 2]
    assert jnp.isnan(carry(jnp.nan)) and carry(jnp.inf) == 2
    three, zero = jnp.array(3.0), jnp.array(0.0)
    of_limit = lambda limit: jrnn.clip_carry(own, limit).step((), three, zero)[0]
    assert jax.grad(of_limit)(2.0) == 1


@pytest.mark.slow
def test_clip_carry_keeps_an_exploding_network_within_bounds():
    base, xs = jrnn.irnn(H), normal(1, 200, I)
    params = params_of(base, xs[0])._replace(w_h=1.5 * jnp.eye(H))
    run = lambda cell: jrnn.unroll(cell, params, xs)[0]
    assert jnp.abs(run(base)).max() > 1e10
    assert jnp.abs(run(jrnn.clip_carry(base, 5.0))).max() <= 5.0


def test_clip_carry_leaves_masks_and_integers_alone():
    base = jrnn.weight_dropout(jrnn.variational_dropout(jrnn.lstm(H), 0.5), 0.5)
    x = normal(1, I)
    params = params_of(base, x)
    carry = base.initial_carry(params, key=jax.random.key(0))
    new, _ = jrnn.clip_carry(base, 0.01).step(params, carry, x)
    close((new.mask, new.cell.mask), (carry.mask, carry.cell.mask))
    assert jnp.abs(new.cell.cell.c).max() == 0.01
    counter = jrnn.Cell(
        lambda key, x: (),
        lambda params, *, key=None: (jnp.zeros((), int), jnp.zeros(())),
        lambda params, carry, x, *, key=None: ((carry[0] + 3, carry[1] + 3), x),
    )
    carry, _ = jrnn.unroll(jrnn.clip_carry(counter, 1.0), (), jnp.zeros(5))
    assert (int(carry[0]), float(carry[1])) == (15, 1.0)
