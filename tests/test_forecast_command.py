"""`jrnn forecast`: what it reads, splits, trains, measures, says and predicts."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sequence_files import (
    CONTEXT,
    FORECAST,
    HORIZON,
    SEASON,
    TINY,
    run,
    series,
    table,
)
from settings import ordinary, ordinary_settings  # noqa: F401

from jrnn.cli.errors import UserError
from jrnn.cli.forecast_options import Forecast
from jrnn.cli.tasks.forecast import FORECAST as COMMAND
from jrnn.cli.tasks.upcoming import following
from jrnn.data import scaling_from_json


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on one series."""
    folder = tmp_path_factory.mktemp("forecast")
    with ordinary():
        words = ("--time", "day", *FORECAST, *TINY)
        file = table(folder / "load.csv")
        assert run("forecast", file, "--out", folder / "run", *words) == 0
    return folder / "run"


def options(file: Path, **others) -> Forecast:
    of = {"target": "load", "horizon": HORIZON, "context": CONTEXT, "season": SEASON}
    return Forecast(files=(file,), **{**of, **others})


def read(file: Path, **others):
    return COMMAND.read(options(file, **others), None, None)


def refused(capsys, *words) -> str:
    capsys.readouterr()
    assert run(*words) == 2
    out, err = capsys.readouterr()
    assert err.startswith("jrnn: ") and "Traceback" not in err + out
    assert len(err.strip().splitlines()) == 2, err
    return err


# Parts


def test_what_is_forecast_is_in_one_part_only(tmp_path):
    frame = pl.DataFrame({"load": np.arange(120.0)})  # values say where they were
    data = read(table(tmp_path / "t.csv", frame), centre="no")
    scaling = scaling_from_json(data.known["scaling"])
    rows = lambda xs: np.rint(xs * scaling.std[0] + scaling.mean[0]).ravel().astype(int)
    borders = [(0, 96), (96, 108), (108, 120)]
    for part, (begin, end) in zip(
        (data.train, data.valid, data.test), borders, strict=True
    ):
        asked = [rows(ys) for ys in part.targets]
        seen = [rows(xs) for xs in part.inputs]
        for xs, ys in zip(seen, asked, strict=True):
            assert xs.tolist() == list(range(ys[0] - CONTEXT, ys[0]))  # what is before
            assert ys.tolist() == list(range(ys[0], ys[0] + HORIZON))
        starts = [ys[0] for ys in asked]
        first = begin if begin else CONTEXT
        assert starts == list(range(first, end - HORIZON + 1))


def test_the_scaling_is_that_of_the_training_part(tmp_path):
    frame = series()
    other = frame.with_columns(
        pl.when(pl.int_range(pl.len()) < 96)
        .then(pl.col("load"))
        .otherwise(pl.col("load") * 1000)
    )
    one = read(table(tmp_path / "a.csv", frame)).known
    two = read(table(tmp_path / "b.csv", other)).known
    assert one == two
    first = frame["load"].to_numpy()[:96].astype(np.float32).astype(float)
    scaling = scaling_from_json(one["scaling"])
    np.testing.assert_allclose(scaling.mean, [first.mean()], rtol=1e-6)
    np.testing.assert_allclose(scaling.std, [first.std()], rtol=1e-6)


def test_series_are_split_each_by_its_own_time(tmp_path):
    long, short = series(100), series(40, seed=1, level=500.0)
    both = pl.concat([long, short.with_columns(place=pl.lit("south"))])
    mixed = both.sample(fraction=1.0, seed=3, shuffle=True).sort("day")
    data = read(table(tmp_path / "t.csv", mixed), id="place", time="day")
    window = CONTEXT + HORIZON
    assert len(data.train.inputs) == (80 - window + 1) + (32 - window + 1)
    assert len(data.test.inputs) == (10 - HORIZON + 1) + (4 - HORIZON + 1)
    assert data.known["series"] == 2 and data.known["left_out"] == 0
    tiny = pl.concat([both, series(9).with_columns(place=pl.lit("west"))])
    data = read(table(tmp_path / "t.csv", tiny), id="place")
    assert data.known["left_out"] == 1
    assert any("1 of them are too short" in line for line in COMMAND.about(data))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_every_form_of_table(tmp_path, ending):
    data = read(table(tmp_path / f"t{ending}"), features=("heat",))
    assert data.known["features"] == ["heat", "load"]
    assert data.train.inputs[0].shape == (CONTEXT, 2)
    assert data.train.targets[0].shape == (HORIZON, 1)


# Gaps


def gaps(at) -> pl.DataFrame:
    missing = pl.int_range(pl.len()).is_in(list(at))
    return series().with_columns(load=pl.when(missing).then(None).otherwise("load"))


def test_what_is_missing_is_not_asked_for(tmp_path):
    file = table(tmp_path / "t.csv", gaps([20, 21]))
    full = read(table(tmp_path / "full.csv"))
    data = read(file, missing="mask")
    assert data.known["indicators"] == ["load"]
    ys = np.stack([*data.train.targets])[:, :, 0]
    starts = data.train.targets.starts
    n = starts[:, None] + np.arange(HORIZON)
    assert (np.isnan(ys) == np.isin(n, [20, 21])).all()
    # in the place of what is missing is the last value known, and a mark
    window = data.train.inputs[20 - CONTEXT + 2]  # steps 14 to 21
    assert window[-3, 0] == window[-2, 0] == window[-1, 0]
    assert window[:, 1].tolist() == [0] * 6 + [1, 1]
    assert len(data.train.inputs) == len(full.train.inputs)


def test_a_line_through_a_gap_gives_nothing_away(tmp_path):
    data = read(
        table(tmp_path / "t.csv", gaps([20, 21, 22, 50])), missing="interpolate"
    )
    starts = data.train.targets.starts
    assert not set(starts.tolist()) & {21, 22, 23, 51}  # their last step is a gap
    before = int(np.flatnonzero(starts == 19)[0])
    assert np.isnan(data.train.targets[before]).ravel().tolist() == [False, True, True]
    changed = gaps([20, 21, 22, 50])
    # what comes behind the gap changes no window that ends before it
    behind = pl.when(pl.int_range(pl.len()) == 23).then(400.0).otherwise("load")
    other = read(
        table(tmp_path / "o.csv", changed.with_columns(load=behind)),
        missing="interpolate",
    )
    scale = lambda d: scaling_from_json(d.known["scaling"])
    for i in np.flatnonzero(starts <= 20):
        one, two = (
            d.train.inputs[i] * scale(d).std + scale(d).mean for d in (data, other)
        )
        np.testing.assert_allclose(one, two, rtol=1e-5)


# What the data decide


def test_defaults_follow_from_the_data(tmp_path):
    data = read(table(tmp_path / "t.csv"), context=0, season=11)
    assert data.known["context"] == 22
    config = COMMAND.settle(options(tmp_path / "t.csv", context=0, season=11), data)
    assert (config.context, config.centre) == (22, "no")
    assert config.steps == 200 and config.batch_size == 16 and config.eval_every == 10
    assert read(tmp_path / "t.csv", context=0, season=1).known["context"] == 16
    # at most half of the training part
    assert read(tmp_path / "t.csv", context=0, horizon=10, season=30, split=(1, 0, 0))
    short = table(tmp_path / "s.csv", series(40))
    assert read(short, context=0, season=12, horizon=3).known["context"] == 14


def test_a_series_that_wanders_is_read_relative_to_its_last_value(tmp_path):
    walk = np.random.default_rng(0).normal(size=200).cumsum()
    file = table(tmp_path / "walk.csv", pl.DataFrame({"load": walk}))
    data = read(file)
    assert data.known["centre"] and "relative to" in " ".join(COMMAND.about(data))
    assert not read(table(tmp_path / "t.csv")).known["centre"]
    assert read(tmp_path / "t.csv", centre="yes").known["centre"]


# Whole runs


@pytest.mark.slow
def test_what_a_run_leaves(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["task"] == "forecast" and config["options"]["centre"] == "no"
    results = json.loads((trained / "results.json").read_text())
    of = results["figures"]["targets"]["load"]
    assert results["test"]["examples"] == 10
    assert results["test"]["mean_absolute_error"] == pytest.approx(
        of["mean_absolute_error"], rel=1e-5
    )
    # by hand: the last ten windows of the file
    load = series()["load"].to_numpy()
    starts = np.arange(108, 118)[:, None]
    n = np.arange(HORIZON)
    last = np.abs(load[starts + n] - load[starts - 1])
    season = np.abs(load[starts + n] - load[starts + n - SEASON])
    for name, off in (("last value", last), ("last season", season)):
        found = results["baselines"][name]
        assert found["mean_absolute_error"] == pytest.approx(off.mean(), rel=1e-4)
        assert of[f"{name} mean_absolute_error"] == pytest.approx(off.mean(), rel=1e-4)
        np.testing.assert_allclose(
            of[f"{name} mean_absolute_error_by_horizon"], off.mean(0), rtol=1e-4
        )
    relative = of["mean_absolute_error"] / last.mean()
    assert results["test"]["relative_error"] == pytest.approx(relative, rel=1e-4)
    for picture in ("loss.png", "test.png"):
        assert (trained / picture).read_bytes().startswith(b"\x89PNG")
    assert "3 steps ahead" in (trained / "samples.txt").read_text()


@pytest.mark.slow
def test_measured_again_and_told(trained, capsys, tmp_path):
    test = json.loads((trained / "results.json").read_text())["test"]
    assert run("eval", trained) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "test part" in said and f"{test['mean_absolute_error']:.4g}" in said
    assert run("eval", trained, table(tmp_path / "new.csv", series(50, seed=5))) == 0
    said = capsys.readouterr().out
    assert "steps ahead  network  last value  last season  in the band (80 %)" in said
    assert max(map(len, said.splitlines())) <= 80
    assert run("info", trained) == 0
    said = capsys.readouterr().out
    assert "jrnn forecast" in said and "last season" in said
    assert "jrnn predict" in refused_by_sample(capsys, trained)


def refused_by_sample(capsys, trained) -> str:
    assert run("sample", trained) == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_what_follows_the_rows(trained, capsys, tmp_path):
    new = table(tmp_path / "new.csv", series(30, seed=7))
    assert run("predict", trained, new, "--out", tmp_path / "out.tsv") == 0
    frame = pl.read_csv(tmp_path / "out.tsv", separator="\t")
    names = ["step", "day", "load", "load_q0.1", "load_q0.9"]
    assert frame.columns == names and frame.height == HORIZON
    assert frame["day"].to_list() == ["2024-01-31", "2024-02-01", "2024-02-02"]
    assert (frame["load_q0.1"] < frame["load"]).all()
    assert (frame["load"] < frame["load_q0.9"]).all()
    # the same of the last steps alone, whatever was before
    end = table(tmp_path / "end.csv", series(30, seed=7).tail(CONTEXT))
    capsys.readouterr()
    assert run("predict", trained, end) == 0
    out, err = capsys.readouterr()
    np.testing.assert_allclose(
        pl.read_csv(out.encode())["load"].to_numpy(),
        frame["load"].to_numpy(),
        rtol=1e-4,
    )
    assert err == ""
    few = table(tmp_path / "few.csv", series(30, seed=7).tail(5))
    assert run("predict", trained, few) == 0
    out, err = capsys.readouterr()
    assert "5 rows are fewer than the 8 steps" in err and len(out.splitlines()) == 4
    said = refused(capsys, "predict", trained, table(tmp_path / "x.csv", series(3)))
    assert "has 3 rows, fewer than the 4 steps of a season" in said


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--feedback"], ["--quantiles", "0.5"]])
def test_series_by_id_and_several_targets(tmp_path, capsys, more):
    both = pl.concat([series(), series(60, seed=1).with_columns(place=pl.lit("s"))])
    file, out = table(tmp_path / "t.csv", both), tmp_path / "run"
    words = [*FORECAST, "--target", "load,heat", "--id", "place", *TINY, *more]
    assert run("forecast", file, "--out", out, *words) == 0
    said = capsys.readouterr().out
    assert "Mean absolute error of heat:" in said and "2 series, split by time" in said
    figures = json.loads((out / "results.json").read_text())["figures"]
    assert "mean_absolute_error" not in figures  # of two units
    assert set(figures["targets"]) == {"load", "heat"}
    assert run("predict", out, file) == 0
    frame = pl.read_csv(capsys.readouterr().out.encode())
    assert frame["place"].to_list() == ["north"] * HORIZON + ["s"] * HORIZON
    assert frame["step"].to_list() == [1, 2, 3] * 2
    assert {"load", "heat"} <= set(frame.columns)


@pytest.mark.slow
def test_resumed_with_more_steps(trained, tmp_path, capsys):
    said = refused(capsys, "forecast", "--resume", trained, "--horizon", "4")
    assert "--horizon cannot change" in said
    assert run("forecast", "--resume", trained, "--steps", "9") == 0
    assert "step 9/9" in capsys.readouterr().out


# What is refused


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, ["--target", "laod"], "has no column 'laod'; the nearest is 'load'."),
        ({}, ["--target", ""], "Name the column to forecast: --target COLUMN."),
        ({}, ["--target", "place"], "'place' holds text in data row 1, 'north'"),
        ({"load": "x"}, [], "column 'load' holds text in data row 3, 'x'"),
        ({"load": None}, [], "column 'load' has no value in data row 3"),
        ({"day": "2023-01-01"}, ["--time", "day"], "time goes back in data row 3"),
        ({}, ["--horizon", "70"], "The longest series has 120 steps: too few for"),
        ({}, ["--context", "500"], "The longest series has 120 steps: too few for"),
        ({}, ["--features", "heat", "--feedback"], "but 'heat' is not forecast"),
        ({}, ["--feedback", "--missing", "mask"], "cannot forecast what will be"),
    ],
)
def test_two_plain_lines(tmp_path, capsys, change, words, message):
    frame = series()
    for name, value in change.items():
        entries = [str(x) for x in frame[name]]
        entries[2] = value
        frame = frame.with_columns(pl.Series(name, entries))
    file = table(tmp_path / "load.csv", frame)
    out = tmp_path / "run"
    said = refused(capsys, "forecast", file, "--out", out, *FORECAST, *TINY, *words)
    assert message in said and not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--horizon", "0"], "--horizon must be > 0, got 0."),
        (["--context", "-1"], "--context must be > 0, got -1."),
        (["--context", "3", "--season", "4"], "--context must be at least --season, 4"),
        (["--season", "-1"], "--season must be >= 0, got -1."),
        (["--quantiles", "0.9", "0.1"], "--quantiles must be between 0 and 1 and rise"),
        (["--quantiles", "0.5", "1"], "--quantiles must be between 0 and 1 and rise"),
    ],
)
def test_options_out_of_range(tmp_path, capsys, words, message):
    file = table(tmp_path / "load.csv")
    assert run("forecast", file, "--target", "load", *words) == 2
    assert message in capsys.readouterr().err


def test_rows_of_another_width(tmp_path, capsys):
    file = table(tmp_path / "load.csv")
    lines = file.read_text().splitlines()
    lines[4] += ",7"
    file.write_text("\n".join(lines))
    said = refused(capsys, "forecast", file, "--target", "load")
    assert "line 5: 5 columns, but the first line has 4" in said


def test_all_is_missing_that_would_be_tested(tmp_path):
    file = table(tmp_path / "t.csv", gaps(range(100, 120)))
    with pytest.raises(UserError, match="in the test part is missing"):
        read(file, missing="mask")


def test_how_times_go_on():
    assert following([1, 2, 4], 2) == [] and following([3, 3], 1) == []
    assert following([1.5, 1.75, 2.0], 2) == [2.25, 2.5]
    days = [date(2024, 2, 27), date(2024, 2, 28)]
    assert following(days, 2) == [date(2024, 2, 29), date(2024, 3, 1)]
    months = [date(2023, 10, 1), date(2023, 11, 1), date(2023, 12, 1)]
    assert following(months, 2) == [date(2024, 1, 1), date(2024, 2, 1)]
    quarters = [date(2023, m, 1) for m in (1, 4, 7, 10)]
    assert following(quarters, 1) == [date(2024, 1, 1)]
