"""One trainer for all tasks: a second command goes through the loop of `jrnn train`."""

import json
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import regression
from settings import ordinary_settings  # noqa: F401
from test_drop_in import compilations
from test_resume import digests, environment

from jrnn.cli import main
from jrnn.cli.config import PRESETS, Train
from jrnn.cli.errors import UserError
from jrnn.cli.options import SequenceOptions, TrainingOptions, fields_of
from jrnn.cli.run import options_as_json
from jrnn.cli.tasks import workflow_of
from jrnn.cli.tasks.batches import TaskModel, answered, compiled, measured, plain
from jrnn.cli.updates import intervals_of, optimizer
from jrnn.data import Dataset, Sequences, batching, from_arrays
from jrnn.files import load
from jrnn.tasks import Padded, Task
from jrnn.train import CheckpointError, Hyper, init_state

SMALL = (
    "--steps 40 --batch-size 8 --eval-every 10 --log-every 5 --save-every 10 "
    "--sample-every 20 --learning-rate 0.03 --average 0.9 --seed 2"
).split()


def write(path: Path, rows: int = 90, seed: int = 0) -> Path:
    """Sequences of which the last three steps are to be added up."""
    rng = np.random.default_rng(seed)
    series = [rng.normal(size=rng.integers(3, 13)) for _ in range(rows)]
    lines = [" ".join(f"{v:.4f}" for v in [x[-3:].sum(), *x]) for x in series]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(autouse=True)
def command(monkeypatch):
    """`jrnn regress` is a command."""
    for table, name, row in regression.tables():
        monkeypatch.setitem(table, name, row)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "sums.txt")


@pytest.fixture(scope="module")
def left_alone(file, tmp_path_factory):
    """A run that nobody disturbs, to be left as it is, and how long it takes."""
    directory = tmp_path_factory.mktemp("runs") / "alone"
    begin = time.monotonic()
    process = start(file, "--out", directory, *SMALL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    (directory.parent / "said").write_text(out)
    return directory, time.monotonic() - begin


def start(*words) -> subprocess.Popen:
    words = [sys.executable, regression.__file__, "regress", *map(str, words)]
    return subprocess.Popen(
        words,
        env={**environment(), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def copy(directory: Path, where: Path) -> Path:
    return Path(shutil.copytree(directory, where / "run"))


def refused(capsys, *words) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("jrnn: ") and "Traceback" not in err + out
    assert len(err.strip().splitlines()) <= 3, err
    return err


# What is left behind, and said


@pytest.mark.slow
def test_what_a_run_leaves(left_alone):
    run, _ = left_alone
    described = json.loads((run / "config.json").read_text())
    assert described["task"] == "regress" and "text" not in described
    assert described["options"]["steps"] == 40 and described["data"]["parts"] == [
        72,
        9,
        9,
    ]
    assert {p.name for p in run.iterdir()} == {
        "config.json",
        "task.json",
        "metrics.jsonl",
        "times.jsonl",
        "checkpoint.safetensors",
        "best.safetensors",
        "samples.txt",
        "loss.png",
        "test.png",
        "results.json",
        ".lock",
    }
    lines = [json.loads(s) for s in (run / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in lines] == list(range(5, 41, 5))
    assert [m["step"] for m in lines if "valid_rmse" in m] == [10, 20, 30, 40]
    for m in lines[1::2]:
        assert abs(m["valid_rmse"] ** 2 - m["valid_loss"]) < 1e-6
    assert lines[0]["epoch"] == round(5 / 9, 4)  # 9 batches of 8 out of 72 examples
    assert (run / "samples.txt").read_text().count("answered") == 10


@pytest.mark.slow
def test_the_network_and_the_baseline_are_measured_on_the_same_part(left_alone, file):
    run, _ = left_alone
    results = json.loads((run / "results.json").read_text())
    best = min(
        (json.loads(s) for s in (run / "metrics.jsonl").read_text().splitlines()),
        key=lambda m: m.get("valid_loss", np.inf),
    )
    assert results["validation"]["loss"] == best["valid_loss"]
    assert results["validation"]["rmse"] == best["valid_rmse"]
    assert results["weights"] == {"file": "best.safetensors", "step": best["step"]}
    assert results["test"]["examples"] == 9
    assert results["figures"]["of"] == [9, None]  # what is no number is null
    baseline = results["baselines"]["mean of training"]["loss"]
    assert results["test"]["loss"] < baseline / 2
    said = (run.parent / "said").read_text()
    for words in (
        "Data: sums.txt, 90 examples; 72 to train, 9 to validate, 9 to test;",
        "Mean: ",
        "Caution: only 9 for validation and 9 for test",
        "40 steps of 8 examples, adam at 0.03",
        "step 20/40  loss ",
        "examples/s",
        "Finished",
        "passes over the data",
        "mean of training",
        "Root mean square",
        "answered",
        f"jrnn predict {run} FILE",
    ):
        assert words in said, words


@pytest.mark.slow
def test_info_and_the_commands_of_a_language_model(left_alone, capsys, tmp_path):
    run, _ = left_alone
    assert main(["info", str(run)]) == 0
    out = capsys.readouterr().out
    for words in (
        "jrnn regress",
        "sums.txt, 90 examples",
        "mean of training",
        "off by",
    ):
        assert words in out
    whose = f"{run} is a run of jrnn regress"
    for words in (["sample", run], ["eval", run], ["train", "x", "--from", run]):
        assert f"{whose}, not of jrnn train." in refused(capsys, *words)
    to = tmp_path / "model.onnx"
    assert f"{whose}, not of" in refused(capsys, "export", run, "--to", to)
    said = refused(capsys, "train", "--resume", run)
    assert f"{whose}. Go on with it:\n  jrnn regress --resume {run}" in said
    with pytest.raises(CheckpointError, match="is a run of jrnn regress"):
        load(run)


# Stopped and resumed


def own_digests(run: Path) -> dict[str, str]:
    shutil.copy(run / "task.json", run / "vocab.json")  # under a name that is known
    try:
        return digests(run)
    finally:
        (run / "vocab.json").unlink()


@pytest.mark.slow
def test_interrupted_and_resumed(left_alone, file, tmp_path):
    run = tmp_path / "interrupted"
    with start(file, "--out", run, *SMALL) as process:
        while process.poll() is None and not (run / "metrics.jsonl").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    if process.returncode == 130:  # else it was faster
        assert f"jrnn regress --resume {run}" in errors
        with start("--resume", run) as process:
            _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert own_digests(run) == own_digests(left_alone[0])


@pytest.mark.slow
def test_what_a_resumed_run_may_change(left_alone, file, tmp_path, capsys):
    run = copy(left_alone[0], tmp_path)
    assert "jrnn regress --resume" in refused(capsys, "regress", "--resume", run)
    said = refused(capsys, "regress", "--resume", run, "--noise", "1")
    assert "--noise cannot change" in said
    other = write(tmp_path / "other.txt", seed=1)
    said = refused(capsys, "regress", other, "--resume", run)
    assert "name it by --source" in said and "jrnn regress FILE" in said
    more = ["regress", "--resume", run, "--steps", "50"]
    said = refused(capsys, *more, "--source", other)
    assert "are not those that" in said and "(other.txt)" in said
    moved = Path(shutil.copy(file, tmp_path / "moved.txt"))
    assert main([*map(str, more), "--source", str(moved)]) == 0
    options = json.loads((run / "config.json").read_text())["options"]
    assert options["files"] == [str(moved)] and options["steps"] == 50
    moved.unlink()
    said = refused(capsys, "regress", "--resume", run, "--steps", "60")
    assert f"jrnn regress --resume {run} --source FILE" in said
    (run / "best.safetensors").unlink()
    said = refused(capsys, "regress", "--resume", run, "--source", file)
    assert "is missing, the weights of step" in said and "--overwrite" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("task.json", '{"mean": 0.25}', "is damaged or from another run"),
        ("task.json", "[]", "does not describe a task"),
        ("task.json", None, "is missing"),
        ("config.json", ("regress", "forget"), "its task is none of train, classify, "),
    ],
)
def test_damaged_files(left_alone, tmp_path, capsys, name, content, message):
    run = copy(left_alone[0], tmp_path)
    path = run / name
    if content is None:
        path.unlink()
    elif isinstance(content, str):
        path.write_text(content)
    else:
        path.write_text(path.read_text().replace(*content))
    for words in (["info", run], ["regress", "--resume", run, "--steps", "50"]):
        said = refused(capsys, *words)
        assert message in said and name in said


def test_what_cannot_be_trained_on(tmp_path, capsys):
    assert "jrnn regress FILE" in refused(capsys, "regress")
    said = refused(capsys, "regress", "x", "--source", "y")
    assert "--source goes with --resume" in said
    assert "x" in refused(capsys, "regress", tmp_path / "x")
    (tmp_path / "y").write_text("1 2\n3\n")
    said = refused(capsys, "regress", tmp_path / "y", "--out", tmp_path / "run")
    assert "has a line without a sequence" in said and not (tmp_path / "run").exists()
    said = refused(capsys, "regress", tmp_path / "y", "--batch-size", "0")
    assert "--batch-size must be > 0" in said


# Options


def test_the_order_of_options():
    names = [f.name for f in fields_of(Train)]
    assert names == list(options_as_json(Train())) and names[:2] == ["files", "preset"]
    assert sorted(names) == sorted(Train.order.split())
    own = [f.name for f in fields_of(regression.Regress)]
    assert own[-1] == "seed" and own.index("noise") < own.index("out")


def test_every_command_has_the_shared_options():
    shared = {f.name for f in fields_of(TrainingOptions)}
    for kind in (Train, SequenceOptions, regression.Regress):
        assert shared <= {f.name for f in fields_of(kind)}
    assert workflow_of(PRESETS["quick"]).command == "train"
    assert workflow_of(regression.Regress()).command == "regress"


def test_what_the_data_decide_may_be_left_open():
    regression.Regress().check()  # of 0 steps
    with pytest.raises(UserError, match="--steps must be > 0, got -1"):
        regression.Regress(steps=-1).check()
    with pytest.raises(UserError, match="--steps must be > 0, got 0"):
        TrainingOptions(steps=0).check()
    assert intervals_of(regression.Regress(steps=160)).call == 1


# Batches


def rows_of(lengths) -> Sequences:
    rng = np.random.default_rng(3)
    return from_arrays([rng.normal(size=(n, 2)) for n in lengths])


def model(dataset: Dataset, size: int) -> TaskModel:
    """A task whose answers are what each row holds, and whose figure is their sum."""

    def of_rows(batch):
        return jnp.asarray(batch.inputs).sum((1, 2))  # padding is 0

    def predict(params, batch):
        answer = params * of_rows(batch)
        return Padded(jnp.asarray(batch.inputs)[..., 0], batch.lengths), answer

    def sums(params, batch):
        return {"loss": params * of_rows(batch).sum(), "count": batch.real.sum()}

    figures = lambda sums: {"loss": sums["loss"], "count": sums["count"]}
    task = Task(lambda key: 2.0, lambda *_, **__: 0.0, sums, figures, predict)
    return TaskModel(task, batching(dataset, size, 0), jax.jit(sums), jax.jit(predict))


@pytest.mark.parametrize("size", [1, 3, 20])
def test_figures_and_answers_whatever_the_batch(size):
    lengths = [4, 1, 9, 2, 9, 7, 3]
    dataset = Dataset(rows_of(lengths))
    alone = [row.sum() for row in dataset.inputs]
    with jax.enable_x64(True):
        figures = measured(model(dataset, size), jnp.float64(2), dataset, size)
        padded, answers = answered(model(dataset, size), jnp.float64(2), dataset, size)
    assert figures["count"] == 7
    np.testing.assert_allclose(figures["loss"], 2 * sum(alone), rtol=1e-12)
    np.testing.assert_allclose(answers, 2 * np.array(alone), rtol=1e-12)
    assert padded.lengths.tolist() == lengths
    for values, row in zip(padded.values, dataset.inputs, strict=True):
        assert (values[: len(row)] == row[:, 0]).all() and not values[len(row) :].any()


@pytest.mark.parametrize("seen", [4, 1])
def test_programs_are_compiled_before_the_first_step(seen):
    dataset = Dataset(rows_of([1, 1, 5, 5, 9, 9, 3, 3]))
    config = regression.Regress(steps=20)
    task = Task(
        lambda key: jnp.float32(2),
        lambda params, batch, **_: params * batch.inputs.mean(),
        *[lambda *_: None] * 3,
    )
    stream = batching(dataset, 2, 0, buckets=(1, 3, 5, 9))._replace(per_epoch=seen)
    job = types.SimpleNamespace(
        model=TaskModel(task, stream, task.sums, task.predict), config=config
    )
    state = init_state(jnp.float32(2), (), optimizer(config))
    key = jax.random.key(0)
    advance, state, *_ = compiled(job, intervals_of(config), state, key)
    hypers = Hyper(np.full(1, 0.1, np.float32), np.full(1, jnp.inf, np.float32))
    with compilations() as names:
        for step in range(20):
            state, _ = advance(state, step, hypers, key)
    assert len(names) == 4 - seen and int(state.step) == 20


def test_plain_numbers():
    value = {"a": np.float64("nan"), "b": np.arange(2), "c": [np.float32(0.5), (1, 2)]}
    assert plain(value) == {"a": None, "b": [0, 1], "c": [0.5, [1, 2]]}
    assert json.dumps(plain(jnp.inf)) == "null"
