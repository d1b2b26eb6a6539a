"""`jrnn sweep` as its users meet it."""

import json
import re
import shlex

import pytest
from settings import ordinary_settings  # noqa: F401
from test_cli import TEXT, refused

from jrnn.cli import main
from jrnn.cli.config import PRESETS
from jrnn.cli.parsing import parse
from jrnn.cli.sweep.options import SweepOptions, space_of, varied
from jrnn.sweep import read_table

SMALL = (
    "--steps 4 --evals 2 --seeds 2 --hidden-size 5 --batch-size 2 --window 6 "
    "--warmup 1 --method vmap"
).split()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "sea.txt"
    path.write_text(TEXT)
    return path


@pytest.mark.slow
def test_a_sweep_tells_the_best_and_goes_on_where_it_was(text, tmp_path, capsys):
    words = ["sweep", text, *SMALL, "--out", tmp_path / "out"]
    words += ["--learning-rate", "0.01,0.1", "--cell", "gru,elman", "--clip", "1,5"]
    assert main([str(w) for w in words]) == 0
    out = capsys.readouterr().out
    assert "8 configurations of learning rate, clip, cell, 2 seeds: 16 trainings" in out
    runs = read_table(tmp_path / "out" / "table.csv")
    assert len(runs) == 16 and {run.status for run in runs} == {"done"}
    assert all(len(run.metrics["valid_loss"]) == 2 for run in runs)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    figures = {"marginals.png", "curves.png", "heat_map.png"}
    assert names == figures | {"table.csv", "sweep.json", ".lock", ".table.csv.lock"}
    # the command it recommends is one that can be given, and means the best
    command = shlex.split(re.search(r"^ *(jrnn train .*)$", out, re.M)[1])
    best = min(runs, key=lambda run: run.metrics["valid_loss"][-1])
    config = parse(command[1:], PRESETS["standard"])
    assert config.files == (text,) and config.steps == 4 and config.hidden_size == 5
    assert config.cell in ("gru", "elman") and config.learning_rate in (0.01, 0.1)
    assert best.metrics["valid_loss"][-1] < best.metrics["valid_loss"][0]

    facts = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert facts.pop("search") == "grid"  # which older ones do not have
    (tmp_path / "out" / "sweep.json").write_text(json.dumps(facts))
    whole = (tmp_path / "out" / "table.csv").read_bytes()
    (tmp_path / "out" / "table.csv").write_bytes(whole[: len(whole) // 2])
    assert main([str(w) for w in words]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\d+ trainings were in the table already", out)
    again = read_table(tmp_path / "out" / "table.csv")
    strip = lambda rows: [(r.config, r.seed, r.status) for r in rows]
    assert strip(again) == strip(runs)

    other = [*map(str, words), "--steps", "6"]
    assert main(other) == 2
    assert "holds another sweep: --steps differs" in capsys.readouterr().err


def test_ranges_are_drawn_and_listed_values_crossed():
    options = SweepOptions(
        learning_rate="log:1e-3:1",
        dropout="lin:0:0.5",
        clip="0.5,1",
        cell="gru,lstm",
        hidden_size="lin:10:30:3",
        draws=5,
    )
    space = space_of(options)
    assert len(space) == 5 * 2 * 2 * 3
    assert {c["hidden_size"] for c in space} == {10, 20, 30}
    assert len({c["learning_rate"] for c in space}) == len(space)
    assert all(1e-3 <= c["learning_rate"] <= 1 for c in space)
    assert varied(space) == ["learning_rate", "clip", "dropout", "hidden_size", "cell"]
    assert space == space_of(options)
    exact = space_of(SweepOptions(learning_rate="log:0.001:1:4"))
    assert [c["learning_rate"] for c in exact] == [0.001, 0.01, 0.1, 1.0]


@pytest.mark.parametrize(
    ("words", "text_of_it"),
    [
        ("--learning-rate fast", "--learning-rate: expected numbers such as"),
        ("--learning-rate log:0:1", "got 'log:0:1'"),
        ("--learning-rate log:1:0.1:3", "got 'log:1:0.1:3'"),
        ("--learning-rate nan", "got 'nan'"),
        ("--hidden-size 8.5", "--hidden-size: expected numbers"),
        (
            "--cell gru,lsmt",
            "--cell: expected some of antisymmetric, cfc, clockwork",
        ),
        ("--seeds 0", "--seeds must be > 0, got 0"),
        ("--steps 7 --evals 2", "--evals 2 must divide --steps 7"),
        ("--batch-size 0", "--batch-size must be > 0, got 0"),
        ("--batch-size 4000", "Use a longer text"),
        ("--devices 99", "--devices is 99, but this machine has 2"),
    ],
)
def test_mistakes_are_told(words, text_of_it, text, tmp_path, capsys):
    folder = tmp_path / "out"
    message = refused(capsys, "sweep", text, *SMALL, "--out", folder, *words.split())
    assert text_of_it in message
    assert not (folder / "table.csv").exists()


@pytest.mark.slow
def test_refused_and_diverged_trainings_are_counted(text, tmp_path, capsys):
    words = ["sweep", text, *SMALL, "--out", tmp_path / "out", "--evals", "1"]
    words += ["--cell", "mgu,elman", "--recurrent-dropout", "0,0.5"]
    words += ["--learning-rate", "0.1,1e38", "--optimizer", "sgd", "--clip", "1e9"]
    assert main([str(w) for w in words]) == 0
    out = capsys.readouterr().out
    assert "4 refused: --recurrent-dropout does not go with --cell mgu" in out
    assert re.search(r"^\d+ diverged", out, re.M)


def test_devices_that_could_wait_for_good_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PJRT_NPROC", "2")
    words = ["sweep", "--devices", "2", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    message = capsys.readouterr().err
    assert message.startswith("jrnn: 2 devices of a CPU can wait")
    assert "PJRT_NPROC to 16 or more" in message
    assert not (tmp_path / "out").exists()
