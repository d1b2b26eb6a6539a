"""The leaderboard of cells: what is alike for all, how it goes on, and its page."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401

from experiments import _board_rows as board
from experiments import _board_table, leaderboard
from experiments._board_tasks import JUDGED, TASKS, Task
from jrnn.models import CELLS

TINY = dataclasses.replace(
    leaderboard.SMOKE,
    layers=1,
    seconds=1.0,
    trial=0.5,
    only=("sine", "elman", "indrnn"),
)


def clock(seconds, reference, units=3):
    times = {"seconds": seconds, "reference": reference}
    return {"units": units, "wall": times, "cpu": times, "load_average": 0.5}


def row(mean, **more):
    score = None if mean is None else {"mean": mean, "least": mean, "most": mean}
    return {"score": score, **more}


# Equal parameters, equal time


@pytest.mark.parametrize("name", ["gru", "clockwork", "low_rank"])
def test_no_other_size_has_parameters_nearer_to_the_target(name):
    cfg = dataclasses.replace(leaderboard.SMOKE, parameters=700, layers=2)
    task = leaderboard_task()
    units = board.sized(task, name, cfg)
    step = 4 if name == "clockwork" else 1  # modules of four periods
    assert units % step == 0

    def off(h):  # of the equations: w_x and w_h and b of both layers, and the readout
        h = int(h)
        layer = {
            "gru": lambda i: 3 * h * (i + h + 2),
            "clockwork": lambda i: h * (i + h + 1),
            "low_rank": lambda i: h * (i + 2 * 2 + 1),
        }[name]
        return abs(layer(1) + layer(h) + h + 1 - 700)

    assert off(units) == min(map(off, range(step, 200, step)))


def leaderboard_task():
    """Enough of a task for the sizes of a model of one number."""
    nothing = lambda *_: None
    return Task(
        0.0, (), 1, jnp.zeros(1), (), nothing, nothing, nothing, (jnp.zeros(1),) * 2
    )


def test_updates_are_the_budget_over_the_ratio_to_the_reference():
    cfg = dataclasses.replace(leaderboard.SMOKE, seconds=3.0, block=10)
    times = {
        "sine/gru": clock(0.02, 0.02),
        # measured while everything took twice as long: 1.5 times a GRU, not 3 times
        "sine/lstm": clock(0.06, 0.04),
        "copy/gru": clock(5.0, 5.0),
    }
    assert leaderboard.updates(cfg, times) == {
        "sine/gru": 150,  # 3 / 0.02
        "sine/lstm": 100,  # 3 / 0.03
        "copy/gru": 10,  # a block at least
    }


# Ranks


def test_ranks_count_ties_once_and_put_what_diverged_last():
    rows = {
        "sine/a": row(0.3), "sine/b": row(0.1), "sine/c": row(0.3), "sine/d": row(None),
        "copy/a": row(90.0), "copy/b": row(50.0), "copy/d": row(70.0),
    }  # fmt: skip
    assert leaderboard.places("sine", leaderboard.of_task(rows, "sine")) == {
        "a": 2.5, "b": 1.0, "c": 2.5, "d": 4.0,
    }  # fmt: skip
    # c has no row on copy, and no mean rank
    assert leaderboard.mean_ranks(rows) == {"a": 1.75, "b": 2.0, "d": 3.0}
    assert list(leaderboard.mean_ranks(rows)) == ["a", "b", "d"]


# Tasks


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_what_knows_nothing_scores_the_guess(name):
    if name == "digits":
        pytest.importorskip("sklearn")
    task = TASKS[name](dataclasses.replace(leaderboard.SMOKE, batch_size=64))
    inputs, targets = task.test
    shape = (*inputs.shape[:2], task.outputs)
    said = {
        "adding": lambda: np.ones(shape),
        "copy": lambda: np.broadcast_to(np.eye(task.outputs)[3], shape),
        "digits": lambda: np.broadcast_to(
            np.log(1 + np.bincount(task.data[1], minlength=10)), shape
        ),
        "text": lambda: np.broadcast_to(
            np.log(1 + np.bincount(task.data[1].ravel(), minlength=shape[-1])), shape
        ),
        "sine": lambda: np.zeros(shape),
    }[name]()
    found = float(task.score(jnp.asarray(said, jnp.float32), jnp.asarray(targets)))
    # of a thousand sequences that were drawn: four deviations
    rough = {"adding": 0.15, "copy": 0.15, "sine": 0.02}
    assert found == pytest.approx(task.guess, rel=rough.get(name, 1e-4))


# Going on


@pytest.fixture
def folder(tmp_path):
    times = {f"sine/{cell}": clock(0.5, 0.5, 4) for cell in ("elman", "indrnn")}
    cfg = dataclasses.replace(TINY, folder=tmp_path)
    leaderboard.save(
        leaderboard.CLOCK, leaderboard.settings(cfg), {"rows": times}, folder=tmp_path
    )
    return tmp_path


def rows_in(folder):
    return json.loads((folder / "leaderboard.json").read_text())["metrics"]["rows"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_with_the_same_rows(folder, monkeypatch):
    cfg = dataclasses.replace(TINY, folder=folder)
    trained, made = board.trained, []

    def stopped_at(number):
        def train(*args):
            made.append(args)
            if len(made) == number:
                raise KeyboardInterrupt
            return trained(*args)

        return train

    monkeypatch.setattr(board, "trained", stopped_at(2))
    with pytest.raises(KeyboardInterrupt):
        leaderboard.main(cfg)
    first = rows_in(folder)
    assert list(first) == ["sine/elman"]
    monkeypatch.setattr(board, "trained", stopped_at(0))
    leaderboard.main(cfg)
    assert len(made) == 3  # the row that was there is not made again
    both = rows_in(folder)
    assert both["sine/elman"] == first["sine/elman"]
    leaderboard.main(dataclasses.replace(cfg, again=True))
    assert len(made) == 5 and rows_in(folder) == both
    assert (folder / "leaderboard.svg").exists()
    assert both["sine/indrnn"]["updates"] == 2  # 1 / 0.5
    assert both["sine/indrnn"]["parameters"] == 4 * (1 + 1 + 1) + 4 + 1
    for found in both.values():
        tried = found["loss_of_trial_by_rate"]
        assert found["learning_rate"] == float(min(tried, key=tried.get))


def test_what_was_made_otherwise_is_refused_and_left_alone(folder, capsys):
    pytest.importorskip("sklearn")  # digits are one of the tasks
    before = (folder / "leaderboard_times.json").read_bytes()
    for change, message in (
        ({"block": 4}, "made with block 2, here it is 4"),
        ({"only": ("gur",)}, "is named gur.\nTasks: a"),
        ({"only": ("gru",)}, "no time for 5 of the"),
    ):
        cfg = dataclasses.replace(TINY, folder=folder, **change)
        with pytest.raises(SystemExit) as stop:
            leaderboard.main(cfg)
        assert stop.value.code == 2 and message in capsys.readouterr().err
    assert (folder / "leaderboard_times.json").read_bytes() == before
    assert not (folder / "leaderboard.json").exists()


# What is committed


def test_the_page_holds_what_was_measured():
    page = _board_table.PAGE.read_text("utf-8")
    made = _board_table.markdown(_board_table.measured())
    first, last = _board_table.MARKS
    assert page.split(first)[1].split(last)[0] == f"\n{made}\n"


def test_every_committed_row_has_its_parameters_and_its_time():
    found = _board_table.measured()
    content = (leaderboard.FOLDER / "leaderboard_times.json").read_text("utf-8")
    times = json.loads(content)["metrics"]["rows"]
    cfg = leaderboard.Config(clock=found["clock"])
    number = leaderboard.updates(cfg, times)
    assert found["rows"]
    for name, made in found["rows"].items():
        task, cell = name.split("/")
        assert task in JUDGED and cell in CELLS
        assert made["updates"] == number[name]
        # cfc has few units, of 1,200 parameters each; those of clockwork come in eights
        coarse = cell in ("cfc", "clockwork")
        assert abs(made["parameters"] / 8000 - 1) < (0.1 if coarse else 0.06)
        scores = [s for s in made["score_by_seed"] if s is not None]
        if made["score"]:
            assert made["score"]["mean"] == pytest.approx(np.mean(scores), rel=1e-4)
    assert found["mean_rank"] == pytest.approx(
        leaderboard.mean_ranks(found["rows"]), rel=1e-4
    )
