"""Bands that held-out data have widened: what they hold, by the law and in a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_files import FORECAST, HORIZON, TINY, run, series, table
from settings import ordinary_settings  # noqa: F401

from jrnn.cli.predict import load_answerer
from jrnn.cli.tasks.batches import answers_of
from jrnn.data import Dataset, from_arrays, in_order
from jrnn.tasks import (
    baselines,
    calibrate,
    calibrated,
    drifts,
    feed_back,
    forecast_windows,
    forecasting,
    margins,
    measure,
    metrics,
    predict,
    spreads,
)
from jrnn.tasks.bands import moved

Q = (0.05, 0.3, 0.5, 0.9)
M = 2  # the place of the middle


def by_hand(f, y, q, m):
    """The margins of one horizon and target, f (n, Q) and y (n,), by counting."""
    found = []
    known = ~np.isnan(y)
    f, y = f[known], y[known]
    for j, share in enumerate(q):
        if j == m or not len(y):
            found.append(0.0)
            continue
        side = 1 if j > m else -1
        wanted = share if j > m else 1 - share
        # the least move outwards with which so many of n + 1 are inside
        for move in [0.0, *sorted(side * (y - f[:, j]))]:
            inside = (side * (y - f[:, j]) <= move).sum()
            if move >= 0 and inside >= min(wanted * (len(y) + 1) - 1e-9, len(y)):
                found.append(side * move)
                break
    return found


@pytest.mark.parametrize("n", [1, 2, 7, 19, 60])
def test_margins_are_the_least_moves_outwards_that_hold_their_share(n):
    rng = np.random.default_rng(n)
    y = rng.normal(size=(n, 3, 2))
    y[rng.random(y.shape) < 0.1] = np.nan
    f = np.sort(rng.normal(size=(*y.shape, len(Q))), axis=-1)
    found = margins(f, y, Q)
    assert found.shape == (3, 2, len(Q)) and found.dtype == np.float32
    for h, k in np.ndindex(3, 2):
        expected = by_hand(f[:, h, k], y[:, h, k], Q, M)
        np.testing.assert_allclose(found[h, k], expected, rtol=1e-6)


def test_the_next_example_is_inside_as_often_as_the_law_says():
    """Of n + 1 exchangeable numbers each rank is as likely: k / (n + 1) exactly."""
    rng, tries = np.random.default_rng(0), 20_000
    for n, k in ((19, 18), (33, 31), (4, 4)):  # ceil((n + 1) 0.9), at most n
        y = 5 + rng.exponential(size=(n + 1, tries))  # above 0 by far, as a quantile
        f = np.zeros((n, tries, 1, 2))
        margin = margins(f, y[:n, :, None], (0.5, 0.9))[:, 0, 1]
        inside, p = (y[n] <= margin).mean(), k / (n + 1)
        assert abs(inside - p) < 4 * np.sqrt(p * (1 - p) / tries)


def test_a_band_that_is_wide_enough_stays():
    y = np.random.default_rng(0).uniform(-1, 1, size=(50, 2, 1))
    f = np.broadcast_to(np.array([-2.0, 0, 0, 2]), (50, 2, 1, 4))
    assert not margins(f, y, Q)[..., [0, 2, 3]].any()


@pytest.mark.parametrize("n", [0, 3])
def test_what_is_missing_moves_nothing(n):
    f, y = np.zeros((n, 2, 1, 4)), np.full((n, 2, 1), np.nan)
    assert not margins(f, y, Q).any()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_quantiles_that_were_moved_do_not_cross(seed):
    rng = np.random.default_rng(seed)
    f = np.sort(rng.normal(size=(5, 3, 2, len(Q))).astype("f"), axis=-1)
    shift = np.abs(rng.normal(size=(3, 2, len(Q)))) * np.sign(np.arange(len(Q)) - M)
    shift = shift.astype("f")
    g = np.asarray(moved(jnp.asarray(f), shift, Q))
    assert (np.diff(g, axis=-1) >= 0).all()
    np.testing.assert_array_equal(g[..., M], f[..., M])
    assert (g[..., :M] <= (f + shift)[..., :M]).all()
    assert (g[..., M:] >= (f + shift)[..., M:]).all()
    assert (np.asarray(moved(jnp.asarray(f), 0 * shift, Q)) == f).all()


def test_margins_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"must have shape \(n, N, K, Q\)"):
        margins(np.zeros((4, 2, 1, 3)), np.zeros((4, 2)), Q)
    with pytest.raises(ValueError, match=r"quantiles \(Q,\)"):
        margins(np.zeros((4, 2, 1, 3)), np.zeros((4, 2, 1)), Q)


# A task with margins


def windows(rng, n=200):
    walk = rng.normal(size=(n, 1)).cumsum(axis=0)
    return forecast_windows(from_arrays([walk]), (0,), context=6, horizon=3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [forecasting, feed_back])
def test_a_calibrated_task_learns_the_same_and_answers_with_margins(kind):
    rng = np.random.default_rng(3)
    plain = kind(1, (0,), 3, hidden_size=4)
    task = calibrated(plain, 3, 1)
    params, data = task.init(jax.random.key(0)), windows(rng, 60)
    before, after = measure(plain, params.weights, data), measure(task, params, data)
    assert before == after
    wide = calibrate(task, params, data)
    assert wide.weights is params.weights
    f = predict(plain, params.weights, data)
    np.testing.assert_allclose(
        wide.margins, margins(f, np.stack([*data.targets]), (0.1, 0.5, 0.9)), rtol=1e-5
    )
    expected = moved(jnp.asarray(f), wide.margins, (0.1, 0.5, 0.9))
    np.testing.assert_allclose(predict(task, wide, data), expected, rtol=1e-5)
    assert calibrate(task, wide, data).margins.tolist() == wide.margins.tolist()
    figures = measure(task, wide, data)
    errors = "mean_absolute_error_by_horizon"
    np.testing.assert_allclose(figures[errors], before[errors], rtol=1e-5)
    # of n windows, 0.9 (n + 1) lie within each side
    assert figures["coverage"] >= 0.8 and wide.margins.any()


@pytest.mark.slow
def test_no_gradient_reaches_margins():
    task = calibrated(forecasting(1, (0,), 3, hidden_size=4), 3, 1)
    _, batch = next(iter(in_order(windows(np.random.default_rng(0), 30), 8)))
    grads = jax.grad(task.loss)(task.init(jax.random.key(0)), batch)
    assert not grads.margins.any()
    assert all(g.any() for g in jax.tree.leaves(grads.weights))


# Where forecasts start


@pytest.mark.slow
def test_drift_and_spread_are_those_of_a_loop():
    rng = np.random.default_rng(5)
    walk = rng.normal(size=(40, 1)).cumsum(axis=0)
    data = forecast_windows(from_arrays([walk]), (0,), context=7, horizon=5)
    f, y = baselines.seasons(data, (0,), 3, drift=True)
    x = walk[:, 0]
    for i, n in np.ndindex(len(f), 5):
        end = i + 6  # the last step that is known
        c = -(-(n + 1) // 3)
        expected = x[end + n + 1 - 3 * c] + c * (x[end] - x[end - 3])
        np.testing.assert_allclose(f[i, n, 0], expected)
    r = spreads(data, (0,), 3, drift=True)
    np.testing.assert_allclose(r[:, 0], np.sqrt(np.mean((y - f)[..., 0] ** 2, axis=0)))
    # a network whose readout is 0 forecasts where it starts
    task = forecasting(1, (0,), 5, season=3, drift=True, spread=r, hidden_size=2)
    zero = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0)))
    np.testing.assert_allclose(predict(task, zero, data)[..., 1], f, rtol=1e-4)
    band = np.diff(predict(task, zero, data), axis=-1)  # softplus(0) = log 2
    np.testing.assert_allclose(band[..., 0], np.log(2) * r[None] + 0 * f, rtol=1e-4)


@pytest.mark.slow
def test_the_unit_of_a_series_that_is_read_relative_to_its_end_is_its_spread():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(30, 1)).cumsum(axis=0)
    options = {"centre": True, "hidden_size": 3}
    cut = lambda x: forecast_windows(from_arrays([x]), (0,), context=5, horizon=2)
    small, large = cut(x), cut(100 + 8 * x)
    one, many = (
        forecasting(1, (0,), 2, spread=spreads(data, (0,)), **options)
        for data in (small, large)
    )
    params = one.init(jax.random.key(0))
    f, g = predict(one, params, small), predict(many, params, large)
    np.testing.assert_allclose(g, 100 + 8 * f, rtol=1e-3)


@pytest.mark.parametrize("spread", [0.0, [[1.0]], -np.ones((2, 1)), [[1.0], [np.nan]]])
def test_spreads_that_are_none(spread):
    with pytest.raises(ValueError, match="spread must be a number above 0"):
        forecasting(1, (0,), 2, hidden_size=2, spread=spread)


def test_there_is_no_drift_where_it_cannot_be_known():
    walk = np.arange(40.0)[:, None]
    cut = lambda n: forecast_windows(from_arrays([walk]), (0,), context=n, horizon=2)
    assert drifts(cut(5), (0,), 4) and not drifts(cut(4), (0,), 4)
    assert not drifts(cut(5), (0,), 1) and not drifts(cut(5), (0,), 0)
    with pytest.raises(ValueError, match="a season of 4 steps, but a window of 4"):
        baselines.seasons(cut(4), (0,), 4, drift=True)


# The command


@pytest.mark.slow
def test_a_run_keeps_its_margins_with_the_best_weights(tmp_path, capsys):
    file, out = table(tmp_path / "t.csv", series(150)), tmp_path / "run"
    assert run("forecast", file, "--out", out, *FORECAST, *TINY) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the band is widened by what the validation part shows it to miss" in said
    assert "windows; " in said and "examples" not in said
    best, last = (load_answerer(out, which) for which in ("best", "last"))
    shift = np.asarray(best.weights.params.margins)
    assert shift.shape == (HORIZON, 1, 3) and shift.any()
    assert not np.asarray(last.weights.params.margins).any()
    data = best.command.read(best.config, best.known, None)
    raw = best.weights.params._replace(margins=jnp.zeros_like(shift))
    answers = answers_of(best.predict, raw, data.valid, 8)
    expected = margins(answers, np.stack([*data.valid.targets]), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(shift, expected, rtol=1e-4, atol=1e-6)
    sums = metrics.forecast_sums(
        jnp.asarray(best.answers(data.valid)),
        np.stack([*data.valid.targets]),
        (0.1, 0.5, 0.9),
    )
    assert (np.asarray(sums["inside"]) >= 0.8 * np.asarray(sums["counts"])).all()


@pytest.mark.slow
def test_without_a_validation_part_or_a_band_nothing_is_moved(tmp_path, capsys):
    file = table(tmp_path / "t.csv", series(150))
    words = [*FORECAST, *TINY, "--split", "0.8", "0", "0.2"]
    assert run("forecast", file, "--out", tmp_path / "run", *words) == 0
    assert "is widened by" not in capsys.readouterr().out
    params = load_answerer(tmp_path / "run", "best").weights.params
    assert not np.asarray(params.margins).any()
    words = [*FORECAST, *TINY, "--quantiles", "0.5"]
    assert run("forecast", file, "--out", tmp_path / "one", *words) == 0
    assert "is widened by" not in capsys.readouterr().out
    assert not hasattr(
        load_answerer(tmp_path / "one", "best").weights.params, "margins"
    )


def test_dataset_without_windows_is_refused():
    task = calibrated(forecasting(1, (0,), 3, hidden_size=2), 3, 1)
    empty = Dataset(from_arrays([np.zeros((2, 1))]).take([]), np.zeros((0, 3, 1)))
    with pytest.raises(ValueError, match=r"no examples|without"):
        calibrate(task, task.init(jax.random.key(0)), empty)
