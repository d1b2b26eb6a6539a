"""Metrics against scikit-learn and NumPy; baselines against values found by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jrnn.data import Dataset, Sequences, from_arrays
from jrnn.tasks import baselines, forecast_windows
from jrnn.tasks.metrics import (
    confusion,
    figures_of_confusion,
    forecast_figures,
    forecast_sums,
    middle,
    pinball,
)

Q = (0.1, 0.4, 0.8)


def choices(seed, classes=4, n=60):
    """True classes and answers; the last class is neither true nor answered."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes - 1, (2, n))


@pytest.mark.parametrize("seed", range(3))
def test_confusion_and_what_follows_is_that_of_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    true, answered = choices(seed)
    every = np.arange(4)
    counts = confusion(true, answered, 4)
    expected = metrics.confusion_matrix(true, answered, labels=every)
    np.testing.assert_array_equal(counts, expected)
    figures = figures_of_confusion(counts)
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(true, answered))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        true, answered, labels=every, zero_division=np.nan
    )
    np.testing.assert_allclose(figures["per_class_precision"], precision)
    np.testing.assert_allclose(figures["per_class_recall"], recall)
    np.testing.assert_allclose(figures["per_class_f1"], f1)
    assert figures["macro_f1"] == pytest.approx(np.mean(f1[:3]))
    np.testing.assert_array_equal(figures["confusion"], expected)


def test_confusion_leaves_out_what_is_not_valid_and_no_class():
    true = np.array([0, 1, 1, -1, 2, 0])
    answered = np.array([0, 1, 0, 0, 1, -1])
    valid = np.array([True, True, False, True, True, True])
    assert confusion(true, answered, 2, valid).tolist() == [[1, 0], [0, 1]]


def test_unknown_classes_count_as_wrong():
    assert figures_of_confusion([[2, 0], [1, 1]], unknown=4)["accuracy"] == 3 / 8


def test_figures_of_nothing_are_no_numbers():
    figures = figures_of_confusion(np.zeros((2, 2)))
    assert np.isnan([figures["accuracy"], figures["macro_f1"]]).all()
    sums = forecast_sums(jnp.zeros((1, 2, 1, 3)), jnp.full((1, 2, 1), jnp.nan), Q)
    figures = forecast_figures(sums, Q)
    assert np.isnan(figures["mean_absolute_error_by_horizon"]).all()
    assert np.isnan(figures["coverage"])


def test_pinball_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    f, y = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2))
    expected = np.zeros(f.shape)
    for i in np.ndindex(f.shape):
        missed = y[i[:2]] - f[i]
        expected[i] = Q[i[2]] * missed if missed > 0 else (1 - Q[i[2]]) * -missed
    np.testing.assert_allclose(pinball(f, y, Q), expected, rtol=0, atol=1e-12)


def test_pinball_is_least_at_the_quantile():
    y = np.random.default_rng(1).normal(size=2001)
    at = np.quantile(y, Q)
    total = lambda f: np.asarray(pinball(np.tile(f, (2001, 1)), y, Q)).mean(axis=0)
    for moved in (at - 0.05, at + 0.05):
        assert (total(at) < total(moved)).all()


def by_hand(f, y, unit):
    """(horizon, error, whether in the band, whether below each) of what is known."""
    mid = middle(Q)
    for b, n, k in np.ndindex(y.shape):
        value, band = y[b, n, k], f[b, n, k]
        if not np.isnan(value):
            inside = band[0] <= value <= band[-1]
            yield n, unit[k] * (value - band[mid]), inside, value <= band


def test_figures_of_forecasts_are_those_of_a_loop():
    rng = np.random.default_rng(2)
    y = rng.normal(size=(30, 3, 2))
    y[rng.random(y.shape) < 0.2] = np.nan
    f = np.sort(rng.normal(size=(*y.shape, 3)), axis=-1)
    unit = np.array([2.0, 0.5])
    figures = forecast_figures(forecast_sums(jnp.asarray(f), y, Q), Q, unit)
    found = list(by_hand(f, y, unit))
    square = lambda values: np.sqrt(np.mean(np.square(values)))
    for n in range(3):
        errors, inside = zip(*((e, i) for m, e, i, _ in found if m == n), strict=True)
        by_horizon = lambda name, n=n: figures[f"{name}_by_horizon"][n]
        expected = np.abs(errors).mean(), square(errors), np.mean(inside)
        names = "mean_absolute_error", "root_mean_squared_error", "coverage"
        np.testing.assert_allclose([*map(by_horizon, names)], expected)
    errors = [e for _, e, _, _ in found]
    assert figures["mean_absolute_error"] == pytest.approx(np.abs(errors).mean())
    assert figures["root_mean_squared_error"] == pytest.approx(square(errors))
    below = np.mean([below for _, _, _, below in found], axis=0)
    np.testing.assert_allclose(figures["calibration"], below)
    assert figures["nominal_coverage"] == pytest.approx(0.7)


def test_rows_that_are_not_valid_do_not_reach_forecast_sums():
    f = jnp.full((2, 1, 1, 3), jnp.nan).at[0].set(1.0)
    y = jnp.array([[[3.0]], [[5.0]]])
    sums = forecast_sums(f, y, Q, jnp.array([True, False]))
    assert float(sums["absolute"][0, 0]) == 2.0
    assert float(sums["counts"][0, 0]) == 1.0


# Baselines


def test_most_frequent_class_of_sequences_and_of_steps():
    train = Dataset(from_arrays([[1.0]] * 4), np.array([0, 2, 2, 1]))
    test = Dataset(from_arrays([[1.0]] * 5), np.array([2, 2, 0, 1, -1]))
    assert baselines.most_frequent_class(train, test, 3)["accuracy"] == 2 / 5
    steps = Dataset(from_arrays([[1.0], [1.0, 1.0]]), from_arrays([[1], [0, 1]]))
    figures = baselines.most_frequent_class(steps, steps, 2)
    assert figures["accuracy"] == 2 / 3
    assert figures["per_class_recall"] == [0.0, 1.0]


def test_only_the_steps_of_sequences_taken_are_counted():
    tags = from_arrays([[0, 0, 0], [1]]).take([1])
    data = Dataset(from_arrays([[2, 2, 2], [3]]).take([1]), tags)
    assert baselines.most_frequent_class(data, data, 2)["accuracy"] == 1.0
    assert baselines.token_majority(data, data, 2)["confusion"].tolist() == [
        [0, 0],
        [0, 1],
    ]


def test_nearest_mean_of_numbers():
    line = lambda start, stop, t: np.linspace([start], [stop], t)
    train = [line(0, 1, 5), line(0, 1, 9), line(1, 0, 7), line(1.2, 0, 4)]
    test = [line(0.1, 1, 20), line(1, 0.1, 3), line(0.9, 0, 2), line(0, 2, 40)]
    train = Dataset(from_arrays(train), np.array([0, 0, 2, 2]))
    test = Dataset(from_arrays(test), np.array([0, 2, 0, 0]))
    figures = baselines.nearest_mean(train, test, 3)  # class 1 has no example
    assert figures["confusion"].tolist() == [[2, 0, 1], [0, 0, 0], [0, 0, 1]]


def test_nearest_mean_of_tokens():
    # shares of (a, b): class 0 has (3/4, 1/4) on average, class 1 (0, 1)
    train = Dataset(from_arrays([[0, 0], [0, 1], [1, 1, 1]]), np.array([0, 0, 1]))
    test = Dataset(from_arrays([[1, 0], [1, 1, 1, 0], [2]]), np.array([0, 0, 1]))
    # (1/2, 1/2) is nearer to class 0, (1/4, 3/4) to class 1; the last is an unseen
    # token, of distance sqrt(10)/4 and 1 without what both share
    figures = baselines.nearest_mean(train, test, 2)
    assert figures["confusion"].tolist() == [[1, 1], [1, 0]]


def test_token_majority():
    train = Dataset(from_arrays([[3, 3, 5], [3, 5]]), from_arrays([[1, 1, 0], [0, -1]]))
    test = Dataset(from_arrays([[3, 5, 9, -1]]), from_arrays([[1, 0, 1, 0]]))
    # 3 is most often 1, 5 is 0; 9 and -1 are unseen: of 1, 1, 0, 0 the first is taken
    figures = baselines.token_majority(train, test, 2)
    assert figures["confusion"].tolist() == [[2, 0], [1, 1]]


def test_copying():
    sources = from_arrays([[1, 2, 3], [4, 4], [5], [6, 6]])
    targets = from_arrays([[1, 2, 3], [4, 4, 4], [7], [6]])
    figures = baselines.copying(Dataset(sources, targets))
    # right with the end: 4 of 4, 3 of 4, 1 of 2 (the end), 1 of 2
    assert figures["token_accuracy"] == 9 / 12
    assert figures["exact_match"] == 1 / 4
    to_target = np.array([-1, 11, 12, 13, -1, 7, 6])
    figures = baselines.copying(Dataset(sources, targets), to_target)
    assert figures["exact_match"] == 1 / 4  # now 5 -> 7
    assert figures["token_accuracy"] == (1 + 1 + 2 + 1) / 12


def series(values):
    return from_arrays([np.asarray(values, float)[:, None]])


def test_last_season_repeats_the_season():
    xs = series([1, 2, 3, 1, 2, 3, 1, 5, 3])
    data = forecast_windows(xs, (0,), context=4, horizon=5)
    figures = baselines.last_season(data, data, (0,), season=3)
    # the one window: 1 2 3 1, and then 2 3 1 5 3; forecast 2 3 1 2 3
    assert figures["mean_absolute_error_by_horizon"] == [0, 0, 0, 3, 0]
    last = baselines.last_season(data, data, (0,), unit=10.0)
    assert last["mean_absolute_error_by_horizon"] == [10, 20, 0, 40, 20]
    assert last["root_mean_squared_error"] == pytest.approx(
        10 * np.sqrt((1 + 4 + 16 + 4) / 5)
    )


def test_the_band_of_last_season_is_what_it_misses_in_training():
    train = Dataset(
        series([0, 0]).take([0] * 5), np.array([0, 1, 2, 3, 4.0]).reshape(5, 1, 1)
    )
    test = Dataset(series([10.0]).take([0, 0]), np.array([11.0, 15.0]).reshape(2, 1, 1))
    figures = baselines.last_season(train, test, (0,), quantiles=(0.25, 0.5, 0.75))
    # misses 0..4 have the quartiles 1, 2, 3: the band is 11, 12, 13
    assert figures["coverage"] == 0.5
    assert figures["calibration"] == [0.5, 0.5, 0.5]
    assert figures["mean_absolute_error"] == 3.0  # of the last value, 10
    expected = np.mean(
        [
            [0.25 * 0, 0.5 * 1, 0.25 * 2],
            [0.25 * 4, 0.5 * 3, 0.75 * 2],
        ]
    )
    assert figures["pinball"] == pytest.approx(expected)


def test_last_season_knows_columns_and_windows_of_any_length():
    values = np.arange(20.0).reshape(10, 2)
    inputs = Sequences(values, np.array([0, 5]), np.array([3, 2]))
    data = Dataset(inputs, np.array([[[9.0]], [[20.0]]]))
    figures = baselines.last_season(data, data, (1,))  # 5 and 13
    assert figures["mean_absolute_error"] == (4 + 7) / 2


def test_baselines_say_what_they_cannot_do():
    data = Dataset(from_arrays([np.ones((3, 1))]), from_arrays([[0, 1, 0]]))
    with pytest.raises(
        ValueError, match=r"token_majority: needs tokens \(T,\), got num"
    ):
        baselines.token_majority(data, data, 2)
    windows = forecast_windows(series(range(9)), (0,), context=3, horizon=2)
    with pytest.raises(ValueError, match="a season of 4 steps, but a window of 3"):
        baselines.last_season(windows, windows, (0,), season=4)
