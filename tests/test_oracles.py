"""The cells against the NumPy loops of `oracles.py`, and against published numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import jrnn

T, I, H = 9, 2, 4


def weights(shapes, seed=0):
    draw = np.random.default_rng(seed)
    return {k: draw.normal(size=s) * 0.7 for k, s in shapes.items()}


def elman_oracle(activation):
    return (
        lambda p, xs, h: oracles.elman(p, xs, h, activation),
        oracles.elman_backward,
    )


def gru_oracle(reset):
    return lambda p, xs, h: oracles.gru(p, xs, h, reset), oracles.gru_backward


def lstm_oracle():
    return lambda p, xs, carry: oracles.lstm(p, xs, *carry), oracles.lstm_backward


SIMPLE = {"w_x": (I, H), "w_h": (H, H), "b": (H,)}
LSTM = {"w_x": (I, 4 * H), "w_h": (H, 4 * H), "b": (4 * H,)}
GRU = {"w_x": (I, 3 * H), "w_h": (H, 3 * H), "b_x": (3 * H,), "b_h": (3 * H,)}

CELLS = {
    # id -> (cell, parameters, their shapes, oracle and its backward pass)
    "elman": (jrnn.elman(H), jrnn.ElmanParams, SIMPLE, elman_oracle("tanh")),
    "elman-relu": (
        jrnn.elman(H, jax.nn.relu),
        jrnn.ElmanParams,
        SIMPLE,
        elman_oracle("relu"),
    ),
    "irnn": (jrnn.irnn(H), jrnn.ElmanParams, SIMPLE, elman_oracle("relu")),
    "lstm": (jrnn.lstm(H), jrnn.LSTMParams, LSTM, lstm_oracle()),
    "gru": (jrnn.gru(H), jrnn.GRUParams, GRU, gru_oracle("after")),
    "gru-before": (jrnn.gru(H, "before"), jrnn.GRUParams, GRU, gru_oracle("before")),
}


@pytest.mark.parametrize("name", CELLS)
def test_outputs_and_all_gradients_equal_the_oracle(name):
    cell, params_type, shapes, (forward, backward) = CELLS[name]
    p = weights(shapes)
    rest = weights({"xs": (T, I), "h": (H,), "c": (H,), "dys": (T, H)}, 1)
    rest |= weights({"dh": (H,), "dc": (H,)}, 2)
    is_lstm = name == "lstm"
    carry = (rest["h"], rest["c"]) if is_lstm else rest["h"]
    dlast = (rest["dh"], rest["dc"]) if is_lstm else rest["dh"]

    if "relu" in name or name == "irnn":
        p["b"] += 1.0  # so that most units are active
    ys, last, tape = forward(p, rest["xs"], carry)
    assert (ys != 0).mean() > 0.5
    expected = (ys, last, *backward(p, tape, rest["dys"], dlast))

    @jax.jit
    def run(params, xs, carry):
        unroll = lambda *args: jrnn.unroll(cell, *args)
        (last, ys), pullback = jax.vjp(unroll, params, xs, carry)
        cotangents = jax.tree.unflatten(
            jax.tree.structure(last), jax.tree.leaves(dlast)
        )
        return ys, last, *pullback((cotangents, rest["dys"]))

    start = jrnn.LSTMCarry(*carry) if is_lstm else carry
    ys, last, dparams, dxs, dstart = run(
        params_type(**{k: jnp.asarray(v) for k, v in p.items()}),
        jnp.asarray(rest["xs"]),
        jax.tree.map(jnp.asarray, start),
    )
    got = (ys, last, dparams._asdict(), dxs, dstart)
    differences = [
        np.abs(np.asarray(a) - b).max()
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True)
    ]
    assert len(differences) == 2 + len(p) + 2 + 2 * is_lstm
    print(f"{name}: largest difference {max(differences):.1e}")  # pytest -rP shows it
    assert max(differences) < 1e-10


def test_the_oracles_own_gradients_equal_central_differences():
    for forward, backward, shapes in (
        (*elman_oracle("tanh"), SIMPLE),
        (*lstm_oracle(), LSTM),
        (*gru_oracle("after"), GRU),
        (*gru_oracle("before"), GRU),
    ):
        p, xs = weights(shapes, 3), weights({"xs": (3, I)}, 4)["xs"]
        carry = np.full(H, 0.3)
        carry = (carry, -carry) if shapes is LSTM else carry
        value = lambda p: np.sin(forward(p, xs, carry)[0]).sum()  # noqa: B023
        ys, _, tape = forward(p, xs, carry)
        zero = (np.zeros(H), np.zeros(H)) if shapes is LSTM else np.zeros(H)
        grads, _, _ = backward(p, tape, np.cos(ys), zero)
        for k in p:
            for index in np.ndindex(p[k].shape):
                up, down = dict(p), dict(p)
                step = np.zeros(p[k].shape)
                step[index] = 1e-5
                up[k], down[k] = p[k] + step, p[k] - step
                difference = (value(up) - value(down)) / 2e-5
                assert abs(difference - grads[k][index]) < 1e-8


# Numbers published in the tests of Keras 3 (keras/src/layers/rnn/*_test.py): weights
# 0.01 (kernel), 0.02 (recurrent) and 0.03 (biases), counting inputs, last output.
# Keras orders the GRU's gates z, r, n, which constant weights do not show; its LSTM has
# the order i, f, g, o; its update h = z h + (1 - z) n is jrnn's.


def constant_elman(inputs, units):
    return jrnn.elman(units), jrnn.ElmanParams(
        jnp.full((inputs, units), 0.01),
        jnp.full((units, units), 0.02),
        jnp.full(units, 0.03),
    )


def constant_lstm(inputs, units, bias=0.03, forget_bias=1.0):
    b = jnp.full(4 * units, bias).at[units : 2 * units].set(forget_bias)
    return jrnn.lstm(units), jrnn.LSTMParams(
        jnp.full((inputs, 4 * units), 0.01), jnp.full((units, 4 * units), 0.02), b
    )


def constant_gru(inputs, units, reset="after", b_x=0.03, b_h=0.03):
    return jrnn.gru(units, reset), jrnn.GRUParams(
        jnp.full((inputs, 3 * units), 0.01),
        jnp.full((units, 3 * units), 0.02),
        jnp.full(3 * units, b_x),
        jnp.full(3 * units, b_h),
    )


def counting(*shape):
    return jnp.arange(np.prod(shape), dtype=jnp.float64).reshape(shape)


def both(state):
    return jrnn.LSTMCarry(state, state)


PUBLISHED = {
    # id -> (cell and params, inputs (B, T, I), initial carry, reverse, values)
    "elman": (constant_elman(4, 4), (2, 3, 4), None, False, [0.405432, 0.73605347]),
    "elman-backwards": (
        constant_elman(4, 4),
        (2, 3, 4),
        None,
        True,
        [0.11144729, 0.5528889],
    ),
    "elman-carry": (
        constant_elman(3, 4),
        (2, 4, 3),
        counting(2, 4),
        False,
        [0.33621645, 0.6262637],
    ),
    "lstm": (
        constant_lstm(4, 3),
        (3, 6, 4),
        None,
        False,
        [0.6288687, 0.86899155, 0.9460773],
    ),
    "lstm-equal-biases": (
        constant_lstm(4, 3, forget_bias=0.03),
        (3, 6, 4),
        None,
        False,
        [0.57019705, 0.8661914, 0.9459622],
    ),
    "lstm-no-bias": (
        constant_lstm(4, 3, 0.0, 0.0),
        (3, 6, 4),
        None,
        False,
        [0.54986924, 0.86226785, 0.9443936],
    ),
    "lstm-backwards": (
        constant_lstm(4, 3),
        (3, 6, 4),
        None,
        True,
        [0.35622165, 0.74789524, 0.8872726],
    ),
    "lstm-carry": (
        constant_lstm(3, 2),
        (2, 4, 3),
        both(counting(2, 2)),
        False,
        [[0.20574439, 0.3558822], [0.64930826, 0.66276]],
    ),
    "gru": (
        constant_gru(4, 3),
        (3, 6, 4),
        None,
        False,
        [0.5217289, 0.6371659, 0.39384964],
    ),
    "gru-before": (
        constant_gru(4, 3, "before", b_h=0.0),
        (3, 6, 4),
        None,
        False,
        [0.51447755, 0.6426879, 0.40208298],
    ),
    "gru-no-bias": (
        constant_gru(4, 3, "after", 0.0, 0.0),
        (3, 6, 4),
        None,
        False,
        [0.49988455, 0.64701194, 0.4103359],
    ),
    "gru-carry": (
        constant_gru(3, 2),
        (2, 4, 3),
        counting(2, 2),
        False,
        [[0.23774096, 0.33508456], [0.83659905, 1.0227708]],
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_keras_values(name):
    (cell, params), shape, start, reverse, expected = PUBLISHED[name]
    unroll = lambda xs, c: jrnn.unroll(cell, params, xs, c, reverse=reverse)[1]
    ys = jax.vmap(unroll, (0, None if start is None else 0))(counting(*shape), start)
    expected = np.asarray(expected)
    if expected.ndim == 1:  # all units have the same weights
        expected = np.repeat(expected[:, None], ys.shape[-1], axis=1)
    np.testing.assert_allclose(ys[:, 0 if reverse else -1], expected, atol=2e-7)


def test_published_keras_mask():
    cell, params = constant_lstm(3, 2)
    mask = jnp.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool)
    unroll = lambda xs, valid: jrnn.unroll(jrnn.masked(cell), params, (xs, valid))[0].h
    got = jax.vmap(unroll)(counting(2, 4, 3), mask)
    expected = [[0.11755939] * 2, [0.28556206] * 2]
    np.testing.assert_allclose(got, expected, atol=2e-7)
