"""Answers of tasks, and the figures of a dataset."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chex import assert_trees_all_close
from task_cases import CASES, examples, params_of

from jrnn.data import Dataset, Sequences, from_arrays
from jrnn.tasks import (
    feed_back,
    forecasting,
    measure,
    predict,
)

LENGTHS = (5, 2, 7, 2, 4)


def dataset(name, lengths=LENGTHS):
    inputs, targets = zip(*examples(name, lengths), strict=True)
    if CASES[name].ragged:
        targets = from_arrays([t if len(t) else t.repeat(1) for t in targets])
    return Dataset(
        from_arrays(inputs),
        np.asarray(targets) if not isinstance(targets, Sequences) else targets,
    )


def answers_of(name, batch_size):
    xs, _ = zip(*examples(name, LENGTHS), strict=True)
    data = Dataset(from_arrays(xs))
    return predict(CASES[name].task, params_of(name), data, batch_size)


def one_by_one(answers):
    """A list of the answers for each example."""
    leaves, tree = jax.tree.flatten(
        answers, is_leaf=lambda node: isinstance(node, Sequences)
    )
    return [tree.unflatten([leaf[n] for leaf in leaves]) for n in range(len(LENGTHS))]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_each_example_alone_in_the_order_of_the_dataset(name):
    task, params = CASES[name].task, params_of(name)
    together = one_by_one(answers_of(name, 3))
    assert_trees_all_close(together, one_by_one(answers_of(name, 1)), atol=1e-10)
    xs, _ = zip(*examples(name, LENGTHS), strict=True)
    for n, x in enumerate(xs):
        alone = predict(task, params, Dataset(from_arrays([x])))
        first = jax.tree.map(
            lambda a: a[0], alone, is_leaf=lambda node: isinstance(node, Sequences)
        )
        assert_trees_all_close(together[n], first, atol=1e-10)


@pytest.mark.parametrize("name", ["classification", "labelling"])
def test_probabilities_sum_to_one_and_the_label_has_the_largest(name):
    for choice in one_by_one(answers_of(name, 5)):
        np.testing.assert_allclose(choice.probability.sum(-1), 1, atol=1e-12)
        np.testing.assert_array_equal(choice.probability.argmax(-1), choice.label)


@pytest.mark.parametrize("name", ["forecasting", "feed-back"])
def test_quantiles_do_not_cross_whatever_the_parameters(name):
    data = Dataset(from_arrays([x for x, _ in examples(name, LENGTHS)]))
    wild = jax.tree.map(lambda p: 30 * p, params_of(name))
    answers = predict(CASES[name].task, wild, data)
    assert (np.diff(answers, axis=-1) >= 0).all()


@pytest.mark.parametrize("m", range(3))
def test_quantiles_rise_from_any_of_them(m):
    quantiles = [(0.5, 0.8, 0.9), (0.2, 0.5, 0.9), (0.1, 0.2, 0.5)][m]
    task = forecasting(1, (0,), 2, quantiles=quantiles, hidden_size=2)
    params = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0)))
    data = Dataset(from_arrays([np.full((3, 1), 7.0)]))
    log2 = np.log(2)  # softplus(0), around the last value
    expected = [7 + log2 * (n - m) for n in range(3)]
    np.testing.assert_allclose(predict(task, params, data)[0, 0, 0], expected)


def test_figures_do_not_depend_on_the_batch_size():
    data = dataset("labelling")
    task, params = CASES["labelling"].task, params_of("labelling")
    assert_trees_all_close(
        measure(task, params, data, 2), measure(task, params, data, 5), atol=1e-12
    )


def test_the_last_value_begins_a_forecast_and_a_season_repeats():
    xs = np.array([4.0, 5.0, 6.0, 7.0])[:, None]
    for season, expected in ((0, [0] * 5), (1, [7] * 5), (3, [5, 6, 7, 5, 6])):
        task = forecasting(1, (0,), 5, quantiles=(0.5,), hidden_size=2, season=season)
        params = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0)))
        answers = predict(task, params, Dataset(from_arrays([xs])))
        np.testing.assert_allclose(answers[0, :, 0, 0], expected)


def test_a_centred_forecast_moves_with_the_series():
    task = forecasting(2, (1,), 3, hidden_size=4, centre=True)
    params = task.init(jax.random.key(0))
    xs = np.random.default_rng(0).normal(size=(6, 2))
    moved = xs + np.array([0.0, 100.0])
    answers = predict(task, params, Dataset(from_arrays([xs, moved])))
    np.testing.assert_allclose(answers[1], answers[0] + 100, atol=1e-9)


def test_feeding_back_is_asking_for_one_step_again_and_again():
    one = forecasting(2, (1, 0), 1, hidden_size=3)
    many = feed_back(2, (1, 0), 4, hidden_size=3)
    params = one.init(jax.random.key(0))
    xs = np.random.default_rng(0).normal(size=(6, 2))
    answers = predict(many, params, Dataset(from_arrays([xs])))[0]
    for n in range(4):
        step = predict(one, params, Dataset(from_arrays([xs])))[0, 0]  # (K, Q)
        np.testing.assert_allclose(answers[n], step, atol=1e-12)
        xs = np.append(xs[1:], step[::-1, 1][None], axis=0)  # medians, columns 0, 1
