"""The experiment on the speed of every cell."""

import importlib
import json

import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401

import jrnn
from experiments import _results, _table


@pytest.fixture
def speed():
    return importlib.import_module("experiments.cell_speed")


def test_every_cell_of_a_name_is_measured(speed):
    found = speed.cells(8)
    assert found.keys() == {*jrnn.models.CELLS, *speed_only()}
    assert speed.OF_TORCH.keys() <= found.keys()
    assert set(speed.SMOKE.rows) <= found.keys() | speed.wrappers(8).keys()


def speed_only():
    return "projected_lstm", "conv_lstm", "conv_gru", "mlstm, step by step"


def test_a_row_says_what_is_slower(speed):
    times = {"jrnn": np.array([2.0, 4.0, 3.0]), "lax.scan": np.array([1.0, 3.0, 3.0])}
    row = speed.as_row({"forward": times, "gradient": times})
    assert row["gradient"]["minimum"] == {"jrnn": 2, "lax.scan": 1}
    assert row["gradient"]["median"] == {"jrnn": 3, "lax.scan": 3}
    assert row["gradient"]["lax.scan over jrnn"] == 0.75  # of ratios in a round
    other = {way: {"lax.scan over jrnn": 3.0} for way in speed.WAYS}
    found = speed.summary({"a": row, "b": other})
    assert found["slower, gradient"] == ["a"]
    assert found["geometric mean, gradient"] == pytest.approx(1.5)
    assert speed.summary({"b": other})["slower, forward"] == []


def test_loops_that_answer_otherwise_are_found(speed):
    one = {"jrnn": lambda: np.ones(3), "lax.scan": lambda: np.ones(3)}
    speed.check("elman", {"forward": one})
    one["jrnn"] = lambda: np.array([1.0, 1.0, 1.01])
    with pytest.raises(AssertionError, match="elman"):
        speed.check("elman", {"forward": one})


def test_what_is_one_program_under_both_loops_is_measured_once(speed):
    cfg, cells = speed.Config(batch=2, steps=3, hidden_size=8, rounds=2), speed.cells(8)
    times = speed.measure(cfg, "echo_state", cells["echo_state"])
    row = speed.as_row(times)["gradient"]
    assert row["lax.scan over jrnn"] == 1  # nothing of it is trained: zeros
    of_elman = speed.of_jax(cfg, cells["elman"])["gradient"]
    assert of_elman["jrnn"] is not of_elman["lax.scan"]


def test_bare_products_are_those_of_the_cell(speed):
    """As many multiplications as the shapes of its matrices say."""
    cfg, cells = speed.Config(batch=2, steps=3, hidden_size=8), speed.cells(8)
    assert speed.bare(cfg, "gru", cells["gru"]) == {}  # not measured of torchrecurrent
    ways = speed.bare(cfg, "cornn", cells["cornn"])
    forward, (same, back, gradients) = (
        ways[way]["bare products"]() for way in ("forward", "gradient")
    )
    assert [a.shape for a in forward] == [a.shape for a in same] == [(2, 8)] * 3
    assert [a.shape for a in back] == [(2, 8)] * 2  # none for the inputs
    assert [a.shape for a in gradients] == [(8, 8)] * 3
    assert len({a.tobytes() for a in map(np.asarray, gradients)}) == 3  # each is made


def test_other_sizes_have_files_of_their_own(speed):
    names = [
        speed.name_of(speed.Config(**given))
        for given in ({}, {"keep_memory": True}, {"batch": 1})
    ]
    assert names == ["cell_speed", "cell_speed_kept_memory", "cell_speed_B1_T50_H128"]


def test_a_name_that_there_is_not_is_told(speed):
    with pytest.raises(SystemExit, match="no such rows: grru"):
        speed.chosen(speed.Config(rows=("grru",)))


@pytest.mark.slow
def test_an_interrupted_run_goes_on(speed, monkeypatch, tmp_path, capsys):
    save = lambda *args: _results.save(*args, folder=tmp_path)
    monkeypatch.setattr(speed, "save", save)
    monkeypatch.setattr(speed, "name_of", lambda cfg: "cell_speed")  # not of its sizes
    monkeypatch.setattr(_results, "FOLDER", tmp_path)
    monkeypatch.setattr(_table, "FOLDER", tmp_path)
    small = {"batch": 2, "steps": 3, "hidden_size": 8, "rounds": 2}
    speed.main(speed.Config(**small, rows=("elman",)))
    first = json.loads((tmp_path / "cell_speed.json").read_text())["metrics"]["rows"]
    speed.main(speed.Config(**small, rows=("elman", "mgu")))
    rows = json.loads((tmp_path / "cell_speed.json").read_text())["metrics"]["rows"]
    assert rows["elman"] == first["elman"] and rows.keys() == {"elman", "mgu"}
    assert capsys.readouterr().out.count("elman: lax.scan over jrnn") == 1
    (row,) = [row for row in _table.ROWS if row.name == "cell_speed"]
    assert "mean of 2 cells" in _table.line(row)
    assert not speed.kept(speed.Config(batch=3))  # other sizes: nothing is kept


def test_without_results_the_table_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(_table, "FOLDER", tmp_path)
    (row,) = [row for row in _table.ROWS if row.name == "cell_speed"]
    assert "not measured yet" in _table.line(row)
