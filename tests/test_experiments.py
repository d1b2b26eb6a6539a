"""Experiments that no other file tests, in their smallest form."""

import dataclasses
import importlib
import json
import math

import jax
import matplotlib.pyplot as plt
import pytest

from experiments._results import FOLDER, plain

LAB = [
    "adding_problem",
    "cliff",
    "copy_memory",
    "fixed_points",
    "lyapunov",
    "spectral_radius",
    "trainability",
]


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


# What the committed results of the gradient lab say


def committed(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["metrics"]


def test_spectral_radius_measures_hundreds_of_networks_within_two_minutes():
    m = committed("spectral_radius")
    assert m["networks"] >= 500
    assert m["compile_seconds"] + m["seconds"] < 120
    off = m["tanh_largest_distance_of_rate_from_log_rho_below_0.95"]
    assert max(off["Gaussian"], off["orthogonal"], off["identity"]) < 0.05
    calm, growing = m["pair"].values()
    assert calm["peak"] < 1 < 19 < growing["peak"]
    assert (growing["lag_of_peak"], growing["first_lag_after_it_below_1"]) == (9, 55)


@pytest.mark.parametrize(
    ("name", "gain_by_clipping"), [("trainability", 0.5), ("trainability_adding", 0.1)]
)
def test_trainability_follows_the_order_of_the_paper(name, gain_by_clipping):
    m = committed(name)
    assert m["seeds"] >= 10 and len(m["success_rate_by_length"]) >= 3
    rates = list(m["success_rate_by_length"].values())  # shorter to longer
    for clipping in ("not clipped", "clipped to 1"):
        falling = [rate[clipping] for rate in rates]
        assert falling == sorted(falling, reverse=True) and falling[0] > falling[-1]
    assert all(rate["clipped to 1"] >= rate["not clipped"] for rate in rates)
    assert any(
        rate["clipped to 1"] > rate["not clipped"] + gain_by_clipping for rate in rates
    )
    small, *large = m["success_rate_by_radius"].values()
    for rate in large:
        assert all(rate[clipping] >= small[clipping] for clipping in rate)


def test_largest_networks_are_as_chaotic_as_the_theory_says():
    m = committed("lyapunov")
    largest = m["quiet"]["400"]
    for gain, theory in (("1.5", 0.0652), ("2", 0.1547), ("3", 0.3102)):
        assert abs(largest[gain]["mean"] - theory) < 0.02
    assert max(m["largest_distance_from_theory_above_gain_1.3"].values()) < 0.02
    assert m["largest_distance_from_log_spectral_radius_below_gain_0.95"] < 1e-3
    assert m["noisy"]["400"]["1.5"]["mean"] < 0 < largest["1.5"]["mean"]


def test_gated_cells_solve_the_adding_problem_and_tanh_does_not():
    m = committed("adding_problem")
    for cell in ("GRU", "LSTM"):
        assert max(m[f"{cell}, T = 100"]["updates_until_solved"]) <= 3000
    for length in (100, 200):
        tanh = m[f"tanh, T = {length}"]
        assert tanh["updates"] == 8000
        assert set(tanh["updates_until_solved"]) == {None}
    for last in m["tanh, T = 200"]["last_error_over_baseline"]:
        assert abs(last - 1) < 0.1


def test_a_linear_orthogonal_network_copies_and_tanh_ends_on_the_formula():
    m = committed("copy_memory")
    linear = m["linear orthogonal, T = 50"]
    assert max(linear["updates_until_solved"]) <= 1000
    for blanks in (20, 50):
        tanh = m[f"tanh, gain 0.7, T = {blanks}"]
        exact = 10 * math.log(8) / (blanks + 20)
        assert abs(tanh["memoryless_loss"] / exact - 1) < 1e-4
        for level in tanh["median_loss_at_the_end_over_memoryless"]:
            assert abs(level - 1) < 0.02
    for last in m["tanh, gain 0.7, T = 50"]["last_loss_over_memoryless"]:
        assert abs(last - 1) < 0.02


def test_clipping_keeps_descents_from_the_cliff():
    m = committed("cliff")
    share = m["share_of_all_starts_that_arrive"]
    assert share["clipped"] > 0.9 > 0.6 > share["plain"]
    assert m["gradient_norm"]["largest_over_median"] > 1000


def test_a_memory_of_two_bits_is_four_stable_points_and_saddles_between():
    m = committed("fixed_points")
    assert m["by_unstable_directions"] == {"0": 4, "1": 4, "2": 1}
    signs = {tuple(out > 0 for out in outs) for outs in m["outputs_at_stable_points"]}
    assert len(signs) == 4 and m["accuracy"] > 0.99
