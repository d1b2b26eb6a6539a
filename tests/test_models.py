"""The configurations of inputs and outputs, against steps made one by one."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import H, I, O, T, V, perturb

import jrnn
from jrnn import models
from jrnn.cli.cells import CELLS, PASSING
from jrnn.cli.config import Train
from jrnn.cli.errors import UserError
from jrnn.cli.run import build_model


def normal(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape))


def by_hand(cell, params, xs, carry=None):
    carry, ys = cell.initial_carry(params) if carry is None else carry, []
    for x in xs:
        carry, y = cell.step(params, carry, x)
        ys.append(y)
    return ys


@pytest.mark.parametrize("length", [None, 0, 1, 3, T])
def test_many_to_one_reads_the_last_valid_step(length):
    cell, readout, xs = jrnn.lstm(H), jrnn.linear(O), normal(T, I)
    params = perturb(1, jrnn.stack(cell, readout).init(jax.random.key(0), xs[0]))
    run = jax.jit(lambda n: models.many_to_one(cell, readout, params, xs, n))
    y = run(length)
    h = ([jnp.zeros(H), *by_hand(cell, params[0], xs[:length])])[-1]
    chex.assert_trees_all_close(y, h @ params[1].w + params[1].b, rtol=1e-12)


def test_many_to_one_is_the_last_output_of_the_stack():
    cell, readout, xs = jrnn.gru(H), jrnn.linear(O), normal(T, I)
    model = jrnn.stack(cell, readout)
    params = perturb(1, model.init(jax.random.key(0), xs[0]))
    y = models.many_to_one(cell, readout, params, xs)
    chex.assert_trees_all_close(y, jrnn.unroll(model, params, xs)[1][-1], rtol=1e-12)


@pytest.mark.parametrize("length", [None, 0, 3])
def test_many_to_many_is_zero_behind_the_last_valid_step(length):
    cell, xs = jrnn.stack(jrnn.gru(H), jrnn.linear(O)), normal(T, I)
    params = perturb(1, cell.init(jax.random.key(0), xs[0]))
    ys = models.many_to_many(cell, params, xs, length)
    expected = np.zeros((T, O))
    for t, y in enumerate(by_hand(cell, params, xs[:length])):
        expected[t] = y
    chex.assert_trees_all_close(ys, expected, rtol=1e-12)


def test_one_to_many_starts_where_the_front_says():
    front, x = jrnn.linear(2 * H), normal(I)
    cell = jrnn.stack(jrnn.one_hot(V), jrnn.lstm(H), jrnn.linear(V))
    tokens = jnp.array([0, 4, 2])
    params = perturb(
        2, (front.init(jax.random.key(0), x), cell.init(jax.random.key(1), tokens[0]))
    )
    ys = models.one_to_many(front, cell, params, x, tokens)
    numbers = x @ params[0].w + params[0].b
    carry = (), jrnn.LSTMCarry(*numbers.reshape(2, H)), ()
    expected = by_hand(cell, params[1], tokens, carry)
    chex.assert_trees_all_close(ys, jnp.stack(expected), rtol=1e-12)


@pytest.mark.slow
def test_noise_reaches_every_configuration():
    cell, readout = jrnn.dropout(jrnn.gru(40), 0.5), jrnn.dropout(jrnn.linear(40), 0.5)
    xs = normal(T, I)
    params = perturb(1, jrnn.stack(cell, readout).init(jax.random.key(0), xs[0]))
    runs = {
        "one": lambda key: models.one_to_one(cell, params[0], xs[0], key=key),
        "last": lambda key: models.many_to_one(cell, readout, params, xs, 2, key=key),
        "each": lambda key: models.many_to_many(cell, params[0], xs, 2, key=key)[0],
    }
    for name, run in runs.items():
        a, b = run(jax.random.key(1)), run(jax.random.key(2))
        assert 5 < int((a == 0).sum()) < 35 and bool((a != b).any()), name


def test_a_language_model_with_tied_weights():
    options = {"hidden_size": H, "layers": 2, "embed_size": O, "dropout_rate": 0.3}
    train, evaluate = models.language_model(V, tie_weights=True, **options)
    tokens = jnp.array([0, 4, 2])
    params = train.init(jax.random.key(0), tokens[0])
    assert params.embed.table.std() < 0.3  # a readout does not start with 1
    params = perturb(1, params)
    table, b = params.embed.table, params.b
    own = params.embed, *params.cell, jrnn.LinearParams(table.T, b)
    same = jrnn.stack(
        jrnn.embed(V, O), jrnn.lstm(H), jrnn.lstm(H), jrnn.linear(O), jrnn.linear(V)
    )
    got = jrnn.unroll(evaluate, params, tokens)[1]
    expected = jrnn.unroll(same, own, tokens)[1]
    chex.assert_trees_all_close(got, expected, rtol=1e-12)
    noisy = jrnn.unroll(train, params, tokens, key=jax.random.key(1))[1]
    assert (noisy != got).any()
    with pytest.raises(ValueError, match="language_model: tie_weights needs learned"):
        models.language_model(V, tie_weights=True)


def test_a_front_of_another_size_is_refused():
    cell = jrnn.gru(H)
    params = cell.init(jax.random.key(0), normal(I))
    message = f"carry_from: the carry has {H} numbers, got an array of shape .{I},"
    with pytest.raises(ValueError, match=message):
        models.carry_from(cell, params, normal(I))


@pytest.mark.parametrize("name", models.CELLS)
def test_the_commands_know_what_the_cells_can(name):
    """By name; and whether recurrent dropout goes with them, which they ask ahead."""
    assert tuple(models.CELLS) == CELLS and set(PASSING) < set(CELLS)
    made = models.language_model(
        V, cell=models.CELLS[name], hidden_size=H, recurrent_dropout_rate=0.5
    ).train

    def first_carry(key):
        keys = jax.random.split(key)
        return made.initial_carry(made.init(keys[0], jnp.array(0)), key=keys[1])

    if name in PASSING:
        with pytest.raises(TypeError, match="variational_dropout: "):
            jax.eval_shape(first_carry, jax.random.key(0))
    else:
        jax.eval_shape(first_carry, jax.random.key(0))


def test_options_that_make_no_cell_are_said_as_options():
    options = Train(cell="clockwork", hidden_size=30)
    message = "--cell clockwork --hidden-size 30: clockwork: hidden_size must be div"
    with pytest.raises(UserError, match=message):
        build_model(options, V)


def test_recurrent_dropout_of_a_gru_is_on_what_it_writes():
    """Its state passes by the product: what it holds is left alone, and cannot grow."""
    made = models.language_model(
        V, cell=jrnn.gru, hidden_size=H, recurrent_dropout_rate=0.5
    ).train
    by_hand = jrnn.stack(
        jrnn.one_hot(V), jrnn.recurrent_dropout(jrnn.gru(H), 0.5), jrnn.linear(V)
    )
    params = made.init(jax.random.key(0), jnp.array(0))
    tokens = jnp.array([3, 1, 0, 2])
    run = lambda model, seed: jrnn.unroll(
        model, params, tokens, key=jax.random.key(seed)
    )[1]
    assert (run(made, 1) == run(by_hand, 1)).all()
    assert (run(made, 1) != run(made, 2)).any()
