"""Experiments that no other file tests, in their smallest form."""

import dataclasses
import importlib
import json
import math

import jax
import matplotlib.pyplot as plt
import pytest

from experiments._results import plain

LAB = ["cliff", "fixed_points", "spectral_radius"]


def test_tiny_shakespeare_measures_the_held_out_tenth(tmp_path):
    experiment = importlib.import_module("experiments.tiny_shakespeare")
    text = tmp_path / "text.txt"
    text.write_text("to be, or not to be: that is the question\n" * 40)
    cfg = experiment.Config(text=text, preset="quick", options=experiment.SMOKE)
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        result = experiment.run(cfg)
        named = dataclasses.replace(cfg, out=tmp_path / "run")
        again = experiment.run(named)
    assert result.held_out_nats == again.held_out_nats
    assert result.steps == 4 and (tmp_path / "run" / "loss.png").exists()
    assert result.held_out_characters == round(0.1 * 40 * 42) - 1
    assert 0 < result.held_out_nats < 2 * math.log(30)
    assert result.held_out_bits == result.held_out_nats / math.log(2)


@pytest.mark.parametrize("name", LAB)
def test_experiment_of_the_gradient_lab_runs_in_its_smallest_form(name):
    experiment = importlib.import_module(f"experiments.{name}")
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        result = experiment.run(experiment.SMOKE)
        figure = experiment.plot(result)
    json.dumps(plain(experiment.summary(result)), allow_nan=False)
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in outer(figure))
    plt.close(figure)


def outer(figure):
    """Axes at the left or bottom edge, where labels belong."""
    return [
        axes
        for axes in figure.axes
        if axes.get_subplotspec() is None
        or axes.get_subplotspec().is_first_col()
        or axes.get_subplotspec().is_last_row()
    ]
