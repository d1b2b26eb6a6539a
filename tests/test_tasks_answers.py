"""Answers of tasks, and the figures of a dataset."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chex import assert_trees_all_close
from task_cases import CASES, V, batch_of, examples, params_of

from jrnn.data import Dataset, Sequences, from_arrays
from jrnn.tasks import (
    defaults,
    feed_back,
    forecasting,
    measure,
    predict,
    translation,
    translation_model,
)
from jrnn.unroll import unroll

LENGTHS = (5, 2, 7, 2, 4)


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
    data = dataset_of("labelling")[0]
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


# Figures worked out anew from the answers


def dataset_of(name, seed=3):
    found = examples(name, LENGTHS, seed)
    if CASES[name].ragged:  # an empty target is no sequence
        found = [(x, y) for x, y in found if len(y)]
    inputs, targets = zip(*found, strict=True)
    join = from_arrays if CASES[name].ragged else np.array
    return Dataset(from_arrays(inputs), join(targets)), inputs, targets


def figures_and_answers(name):
    task, params = CASES[name].task, params_of(name)
    data, _, targets = dataset_of(name)
    return measure(task, params, data), predict(task, params, data), targets


@pytest.mark.parametrize("name", ["classification", "labelling"])
def test_figures_are_those_of_the_probabilities_answered(name):
    figures, answers, targets = figures_and_answers(name)
    losses, hits = [], []
    for label, probability, target in zip(*answers, targets, strict=True):
        rows = probability.reshape(-1, probability.shape[-1])
        for answer, p, true in zip(
            np.ravel(label), rows, np.ravel(target), strict=True
        ):
            hits.append(answer == true)
            losses += [-np.log(p[true])] if true >= 0 else []
    assert len(losses) < len(hits), "no unknown label was asked for"
    assert figures["loss"] == pytest.approx(np.mean(losses), abs=1e-10)
    assert figures["accuracy"] == pytest.approx(np.mean(hits))
    assert figures["confusion"].sum() == len(losses)


@pytest.mark.slow
@pytest.mark.parametrize("beam_size", [1, 3])
def test_figures_are_those_of_the_texts_written(beam_size):
    task = translation(
        V, V, hidden_size=3, embed_size=2, longest=4, beam_size=beam_size
    )
    params = task.init(jax.random.key(5))
    data, inputs, _ = dataset_of("translation")
    written = predict(task, params, data).tokens
    # what is written, and what is longer, shorter, unknown or another
    asked = [np.array(written[0]), np.append(written[1], 0), written[2][:-1]]
    asked = [text if len(text) else np.array([0]) for text in asked]
    asked += [np.array([-1, 2]), np.arange(6)]
    data = Dataset(from_arrays(inputs), from_arrays(asked[: len(inputs)]))
    figures = measure(task, params, data)
    right = total = exact = 0
    for answer, target in zip(written, data.targets, strict=True):
        ends = [V] * 20
        answer, target = [*answer, *ends], [*target, V]
        hits = [a == t for a, t in zip(answer, target, strict=False)]
        right, total, exact = right + sum(hits), total + len(hits), exact + all(hits)
    assert figures["token_accuracy"] == pytest.approx(right / total)
    assert figures["exact_match"] == pytest.approx(exact / len(inputs))


def test_figures_are_those_of_the_forecasts():
    figures, answers, targets = figures_and_answers("forecasting")
    missed, losses = [], []
    for forecast, target in zip(answers, targets, strict=True):
        for n, k in np.ndindex(target.shape):
            if not np.isnan(target[n, k]):
                e = target[n, k] - forecast[n, k]
                missed.append(abs(e[1]))
                losses.append(
                    np.mean(
                        [
                            max(q * d, (q - 1) * d)
                            for q, d in zip((0.1, 0.5, 0.9), e, strict=True)
                        ]
                    )
                )
    assert len(missed) < np.size(targets), "nothing was missing"
    assert figures["mean_absolute_error"] == pytest.approx(np.mean(missed), abs=1e-10)
    assert figures["loss"] == pytest.approx(np.mean(losses), abs=1e-10)


@pytest.mark.slow
def test_the_model_of_a_translation_writes_what_the_task_answers():
    options = {"hidden_size": 3, "embed_size": 2, "layers": 2}
    task, model = (
        translation(V, V, longest=7, **options),
        translation_model(V, V, **options),
    )
    params = params_of("translation")  # of the same sizes
    source = np.array([4, 1, 5, 2])
    written = predict(task, params, Dataset(from_arrays([source]))).tokens[0]
    assert len(written), "nothing to compare"
    memory = model.encode(params, source)
    reads = jnp.asarray(np.append(V, written), jnp.int32)
    logits = unroll(model.decoder(memory), params, reads)[1]
    np.testing.assert_array_equal(logits[: len(written)].argmax(-1), written)
    look = model.look(params, memory, reads)
    np.testing.assert_allclose(look.sum(axis=1), 1, atol=1e-12)


@pytest.mark.slow
def test_a_decoder_reads_the_truth_as_often_as_it_is_told():
    truth = lambda n: jnp.where(n == 0, 1.0, 0.0)
    task = translation(V, V, hidden_size=3, embed_size=2, truth=truth)
    batch = batch_of("translation", examples("translation", (3, 5, 4)))
    params, keys = task.init(jax.random.key(0)), jax.random.split(jax.random.key(1))
    loss = jax.jit(lambda key, step: task.loss(params, batch, key=key, step=step))
    given = task.loss(params, batch)
    assert float(loss(keys[0], 0)) == pytest.approx(float(given), abs=1e-10)
    assert abs(float(loss(keys[1], 1)) - float(given)) > 1e-4


@pytest.mark.parametrize("name", ["classification", "labelling"])
def test_noise_is_in_the_loss_of_training_alone(name):
    task, params = CASES[name].task, params_of(name)
    batch = batch_of(name, examples(name, (3, 5, 4)))
    noisy = [float(task.loss(params, batch, key=jax.random.key(n))) for n in (0, 1)]
    assert len({*noisy, float(task.loss(params, batch))}) == 3


def test_defaults_follow_the_number_of_examples():
    found = [defaults(n) for n in (1, 270, 511, 512, 1024, 1999, 2000, 10**6)]
    assert [s.batch_size for s in found] == [16, 16, 16, 32, 64, 64, 64, 64]
    assert [s.steps for s in found] == [600, 675, 1277, 640, 640, 1249, 1250, 4000]
    assert [s.hidden_size for s in found] == [64] * 6 + [128] * 2
    found = [defaults(9, longest).chunk for longest in (1, 32, 33, 251)]
    assert found == [1, 1, 2, 8]
    with pytest.raises(ValueError, match="defaults: examples must be a positive int"):
        defaults(0)
