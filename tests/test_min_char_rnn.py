"""The min-char-rnn experiment against the same rule as a loop in NumPy float64."""

import dataclasses
import importlib
import json
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from jrnn import text as jt

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experiment():
    return importlib.import_module("experiments.min_char_rnn")


def window_gradient(weights, h, inputs, targets):
    """Summed loss of one window, its gradient by hand, and the state after it."""
    w_x, w_h, b, w_out, b_out = weights
    states, errors, loss = [h], [], 0.0
    for x, target in zip(inputs, targets, strict=True):
        h = np.tanh(w_x[x] + h @ w_h + b)
        logits = h @ w_out + b_out
        p = np.exp(logits - logits.max())
        p /= p.sum()
        loss -= np.log(p[target])
        p[target] -= 1  # dL/dlogits
        states.append(h)
        errors.append(p)
    gradient = [np.zeros_like(w) for w in weights]
    from_later = np.zeros_like(h)
    for t in reversed(range(len(inputs))):
        gradient[3] += np.outer(states[t + 1], errors[t])
        gradient[4] += errors[t]
        dz = (w_out @ errors[t] + from_later) * (1 - states[t + 1] ** 2)
        gradient[0][inputs[t]] += dz
        gradient[1] += np.outer(states[t], dz)
        gradient[2] += dz
        from_later = w_h @ dz
    return loss, gradient, h


class Loop(NamedTuple):
    """What the loop has after a step; before the first, the loss is missing."""

    weights: list
    squares: list
    h: np.ndarray
    smooth: float
    loss: float = np.nan
    clipped: int = 0


def numpy_training(weights, tokens, window, iterations, rate):
    """The state before the first step and after each one."""
    smooth = -np.log(1 / len(weights[0])) * window
    h = np.zeros(len(weights[1]))
    history = [Loop(weights, [np.zeros_like(w) for w in weights], h, smooth)]
    place = 0
    for _ in range(iterations):
        weights, squares, h, smooth, *_ = history[-1]
        inputs = tokens[place : place + window]
        targets = tokens[place + 1 : place + window + 1]
        loss, gradient, h = window_gradient(weights, h, inputs, targets)
        clipped = sum((abs(g) > 5).sum() for g in gradient)
        gradient = [np.clip(g, -5, 5) for g in gradient]
        squares = [s + g * g for s, g in zip(squares, gradient, strict=True)]
        weights = [
            w - rate * g / np.sqrt(s + 1e-8)
            for w, g, s in zip(weights, gradient, squares, strict=True)
        ]
        place += window
        if place + window + 1 >= len(tokens):
            place, h = 0, np.zeros_like(h)
        smooth = smooth * 0.999 + loss * 0.001
        history.append(Loop(weights, squares, h, smooth, loss, clipped))
    return history


def both_sides(experiment, cfg, text):
    """The experiment's parts and the history of the loop, from the same weights."""
    vocabulary = jt.build_vocabulary(text)
    tokens = jt.encode(vocabulary, text)
    cell = experiment.model(cfg, len(vocabulary))
    params = cell.init(jax.random.key(2), jnp.int32(0))
    state = experiment.start(cfg, cell, params, len(vocabulary))
    data = experiment.windows(cfg, tokens)
    train = jax.jit(
        lambda state, n: experiment.train(cfg, cell, data, state, n), static_argnums=1
    )
    weights = [np.asarray(w) for w in jax.tree.leaves(params)]
    history = numpy_training(weights, tokens, cfg.window, 200, cfg.learning_rate)
    assert len(data.inputs) < 50 and sum(loop.clipped for loop in history) > 50
    return train, state, history


def excerpt(length):
    return jt.python_reference().text[5000 : 5000 + length]


# The last length is a multiple of the window and one more: the rule's own odd case.
@pytest.mark.parametrize(
    ("hidden_size", "learning_rate", "length"),
    [(100, 0.01, 1000), (10, 0.1, 1013), (30, 0.03, 976)],
)
def test_200_steps_equal_the_numpy_loop(experiment, hidden_size, learning_rate, length):
    cfg = experiment.Config(hidden_size=hidden_size, learning_rate=learning_rate)
    train, state, history = both_sides(experiment, cfg, excerpt(length))
    state, losses = train(state, 200)
    np.testing.assert_allclose(losses, [loop.loss for loop in history[1:]], rtol=1e-8)
    assert state.smooth_loss == pytest.approx(history[-1].smooth, rel=1e-8)
    leaves = jax.tree.leaves((state.params, state.adagrad, state.carry))
    loop = [*history[-1].weights, *history[-1].squares, history[-1].h]
    for got, expected in zip(leaves, loop, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)
    assert losses[-20:].mean() < losses[:20].mean()


def test_each_of_200_steps_at_full_size_and_rate_equals_the_numpy_loop(experiment):
    """With 100 units and rate 0.1 the rule is chaotic.

    Adagrad's first steps have length 0.1 whatever the gradient, and last bits grow: the
    NumPy loop itself, from weights changed by 1e-15 of their size, gives losses that
    differ by 10 % within 200 steps. So each step here starts from the loop's own state.
    """
    cfg = experiment.Config()
    train, state, history = both_sides(experiment, cfg, excerpt(1000))
    params, adagrad, carry = map(
        jax.tree.structure, (state.params, state.adagrad, state.carry)
    )
    for n, (before, after) in enumerate(pairwise(history)):
        state = experiment.TrainState(
            params=jax.tree.unflatten(params, before.weights),
            adagrad=jax.tree.unflatten(adagrad, before.squares),
            carry=jax.tree.unflatten(carry, [before.h]),
            smooth_loss=np.float64(before.smooth),
            iteration=np.int32(n),
        )
        state, losses = train(state, 1)
        np.testing.assert_allclose(losses, [after.loss], rtol=1e-8)
        np.testing.assert_allclose(state.smooth_loss, after.smooth, rtol=1e-12)
        leaves = jax.tree.leaves((state.params, state.adagrad, state.carry))
        loop = [*after.weights, *after.squares, after.h]
        for got, expected in zip(leaves, loop, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-9)


def test_numpy_gradient_by_finite_differences():
    rng = np.random.default_rng(0)
    shapes = [(5, 4), (4, 4), (4,), (4, 5), (5,)]
    weights = [rng.normal(size=shape) for shape in shapes]
    h, inputs, targets = (
        rng.normal(size=4),
        rng.integers(0, 5, 7),
        rng.integers(0, 5, 7),
    )
    _, gradient, _ = window_gradient(weights, h, inputs, targets)
    for i, w in enumerate(weights):
        direction = rng.normal(size=w.shape)

        def loss(step, i=i, direction=direction):
            moved = [*weights[:i], weights[i] + step * direction, *weights[i + 1 :]]
            return window_gradient(moved, h, inputs, targets)[0]

        slope = (loss(1e-6) - loss(-1e-6)) / 2e-6
        assert (gradient[i] * direction).sum() == pytest.approx(slope, rel=1e-6)


def test_initial_weights_are_gaussian_and_biases_zero(experiment):
    cfg = experiment.Config()
    cell = experiment.model(cfg, 60)
    _, recurrent, readout = cell.init(jax.random.key(0), jnp.int32(0))
    assert not recurrent.b.any() and not readout.b.any()
    for w, shape in [
        (recurrent.w_x, (60, 100)),
        (recurrent.w_h, (100, 100)),
        (readout.w, (100, 60)),
    ]:
        assert w.shape == shape
        # five standard errors of a standard deviation
        assert abs(w.std() / 0.01 - 1) < 5 / np.sqrt(2 * w.size)
        assert abs(w.mean()) < 5 * 0.01 / np.sqrt(w.size)


def test_smoke_run_and_figure(experiment, monkeypatch, tmp_path, capsys):
    path = tmp_path / "short.txt"
    path.write_text("one two three four five six seven eight nine ten\n" * 5)
    results = importlib.import_module("experiments._results")
    monkeypatch.setattr(results.save, "__defaults__", (None, tmp_path))
    experiment.main(dataclasses.replace(experiment.SMOKE, file=path))
    plt.close("all")
    saved = json.loads((tmp_path / "min_char_rnn.json").read_text("utf-8"))
    assert (tmp_path / "min_char_rnn.svg").stat().st_size > 1000
    assert str(tmp_path) not in json.dumps(saved)
    assert saved["config"]["file"] == "short.txt"
    assert saved["metrics"]["vocab_size"] == len(set(path.read_text()))
    assert [len(text) for text in saved["metrics"]["samples"].values()] == [200, 200]
    assert len(saved["metrics"]["smooth_loss"]) == 2
    assert "smoothed loss in bits per character" in capsys.readouterr().out


def test_generation_speed_compares_the_same_model(monkeypatch, tmp_path):
    speed = importlib.import_module("experiments.generation_speed")
    results = importlib.import_module("experiments._results")
    monkeypatch.setattr(results.save, "__defaults__", (None, tmp_path))
    speed.main(speed.SMOKE)
    saved = json.loads((tmp_path / "generation_speed.json").read_text("utf-8"))
    assert saved["metrics"]["clock_jrnn_times_faster_than_tuned"]["best_to_best"] > 0
    # all three draw from the same distribution: pairs of characters, five sigma
    cfg = dataclasses.replace(speed.SMOKE, length=20_000)
    pairs = {}
    for name, write in speed.contenders(cfg).items():
        tokens = np.asarray(write(7))
        counts = np.bincount(tokens[:-1] * cfg.vocab_size + tokens[1:], minlength=25)
        pairs[name] = counts / counts.sum()
    for name in ("textbook", "tuned"):
        p = (pairs[name] + pairs["jrnn"]) / 2
        error = np.sqrt(2 * p * (1 - p) / cfg.length)
        assert (abs(pairs[name] - pairs["jrnn"]) <= 5 * error).all()
