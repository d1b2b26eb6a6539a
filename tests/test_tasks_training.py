"""Training with tasks, under JAX's own settings: Optax is not made for strict ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chex import assert_trees_all_equal
from settings import ordinary_settings  # noqa: F401

from jrnn import optimizers
from jrnn.data import Dataset, from_arrays
from jrnn.tasks import (
    Task,
    classification,
    fit_sequences,
    forecast_windows,
    forecasting,
    labelling,
    measure,
    numbers,
    symbols,
    translation,
)

# Planted problems


def spoken(rng, n, longest):
    return [rng.normal(size=(t, 1)) for t in rng.integers(1, longest, n)]


def signs(n, seed):
    """The class is the sign of the first step."""
    xs = spoken(np.random.default_rng(seed), n, 12)
    return Dataset(from_arrays(xs), np.array([int(x[0, 0] > 0) for x in xs]))


def previous(n, seed):
    """The tag is the token before, 0 for the first."""
    rng = np.random.default_rng(seed)
    xs = [rng.integers(0, 4, t) for t in rng.integers(1, 12, n)]
    ys = [np.concatenate([[0], x[:-1]]) for x in xs]
    return Dataset(from_arrays(xs), from_arrays(ys))


def reversals(n, seed):
    rng = np.random.default_rng(seed)
    xs = [rng.integers(0, 3, t) for t in rng.integers(1, 5, n)]
    return Dataset(from_arrays(xs), from_arrays([x[::-1] for x in xs]))


def sine(seed, steps=400):
    noise = 0.05 * np.random.default_rng(seed).normal(size=steps)
    xs = np.sin(np.arange(steps) / 2) + noise
    return forecast_windows(from_arrays([xs[:, None]]), (0,), context=15, horizon=4)


@pytest.mark.slow
def test_a_class_by_the_first_step_is_learned():
    task = classification(numbers(1), 2, hidden_size=8)
    fitted = fit_sequences(
        task, signs(300, 0), steps=300, key=jax.random.key(0), learning_rate=0.02
    )
    assert measure(task, fitted.params, signs(300, 1))["accuracy"] > 0.95


@pytest.mark.slow
def test_a_tag_by_the_token_before_is_learned():
    task = labelling(symbols(4), 4, hidden_size=12, embed_size=0, bidirectional=False)
    fitted = fit_sequences(
        task, previous(200, 0), steps=300, key=jax.random.key(0), learning_rate=0.02
    )
    assert measure(task, fitted.params, previous(200, 1))["accuracy"] > 0.99


@pytest.mark.slow
def test_reversing_is_learned():
    options = {"hidden_size": 16, "embed_size": 8, "longest": 6}
    task = translation(3, 3, **options)
    fitted = fit_sequences(
        task, reversals(300, 0), steps=400, key=jax.random.key(0), learning_rate=0.02
    )
    test = reversals(100, 1)
    figures = measure(task, fitted.params, test)
    assert figures["exact_match"] > 0.95
    beams = translation(3, 3, beam_size=3, **options)  # the same parameters
    assert measure(beams, fitted.params, test)["exact_match"] > 0.95


@pytest.mark.slow
def test_a_sine_is_forecast_with_a_band():
    task = forecasting(1, (0,), 4, hidden_size=16)
    fitted = fit_sequences(
        task, sine(0), steps=400, key=jax.random.key(0), learning_rate=0.02
    )
    figures = measure(task, fitted.params, sine(1))
    assert max(figures["mean_absolute_error_by_horizon"]) < 0.08  # the noise: 0.04
    assert 0.65 < figures["coverage"] < 0.92  # of 0.8


# How training goes


def tiny():
    """A model of two numbers that learns any example at once, for tests of the loop."""
    data = signs(30, 0)
    return classification(numbers(1), 2, hidden_size=2), data


def test_the_same_key_gives_the_same_parameters():
    task, data = tiny()
    run = lambda seed: fit_sequences(
        task, data, steps=4, batch_size=8, key=jax.random.key(seed)
    )
    assert_trees_all_equal(run(0).params, run(0).params)
    assert run(0).history == run(0).history
    assert run(1).history != run(0).history


def test_another_key_and_learning_rate_compile_nothing():
    task, data = tiny()
    traced = []

    def loss(*args, **options):
        traced.append(args)
        return task.loss(*args, **options)

    counted = task._replace(loss=loss)
    run = lambda seed, rate: fit_sequences(
        counted,
        data,
        steps=4,
        batch_size=8,
        key=jax.random.key(seed),
        learning_rate=rate,
    )
    first = run(0, 0.01)
    before = len(traced)
    assert before and run(1, 0.02).history != first.history
    assert len(traced) == before


def counter(losses):
    """A task whose parameter counts updates, and whose measured loss is in a table."""
    table = jnp.asarray(losses)

    def loss(params, batch, *, key=None, step=None):
        del batch, key
        assert step is not None
        return -params  # sgd with rate 1: one more at every step

    def sums(params, batch):
        n = jnp.asarray(batch.real).sum().astype(params.dtype)
        return {"loss": table[params.astype(int)] * n, "count": n}

    figures = lambda sums: {"loss": float(sums["loss"] / sums["count"])}
    return Task(lambda key: jnp.zeros(()), loss, sums, figures, lambda p, b: b.real)


def run_counter(losses, steps, **options):
    data = signs(6, 0)
    return fit_sequences(
        counter(losses),
        data,
        steps=steps,
        every=1,
        key=jax.random.key(0),
        valid=data,
        learning_rate=np.ones(steps),
        max_norm=np.inf,
        optimizer=optimizers.sgd,
        **options,
    )


LOSSES = [9.0, 5.0, 3.0, 4.0, 2.0, 6.0, 7.0, 8.0, 1.0]


def test_patience_stops_and_the_best_parameters_are_kept():
    fitted = run_counter(LOSSES, 8, patience=3)
    assert len(fitted.history) == 7  # 2 at step 4; 6, 7, 8 are three without a better
    assert float(fitted.params) == 4 and fitted.best_step == 4
    assert [r["valid_loss"] for r in fitted.history] == LOSSES[1:8]


def test_without_patience_all_steps_are_made():
    fitted = run_counter(LOSSES, 8)
    assert fitted.best_step == 8 and float(fitted.params) == 8


def test_without_validation_the_last_parameters_are_returned():
    task, data = tiny()
    told = []
    fitted = fit_sequences(
        task,
        data,
        steps=5,
        every=2,
        batch_size=8,
        key=jax.random.key(0),
        log=told.append,
    )
    assert fitted.best_step == 5
    assert [r["step"] for r in told] == [2, 4, 5]
    assert told == fitted.history and set(told[0]) == {"step", "loss"}


def test_a_loss_that_is_not_finite_is_told():
    with pytest.warns(RuntimeWarning, match="the loss was not finite before step 1"):
        fitted = fit_sequences(
            counter(LOSSES)._replace(
                loss=lambda params, batch, *, key=None, step=None: params * jnp.nan
            ),
            signs(6, 0),
            steps=2,
            every=1,
            key=jax.random.key(0),
        )
    assert fitted.best_step == 2
