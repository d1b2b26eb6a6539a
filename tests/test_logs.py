"""Logs: what they are told is what they hold, also where a run is resumed."""

import csv
import json
import struct
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_damage import SMALL, TEXT, told

from jrnn import logs, optimizers
from jrnn.train import fit, init_state, make_step


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_for_each_record(tmp_path):
    path = tmp_path / "metrics.csv"
    with logs.csv(path, ["step", "loss", "a, b"]) as log:
        log({"step": 1, "a, b": 0.1 + 0.2, "loss": float("nan")})
        assert len(rows_of(path)) == 1  # at once
        log({"step": 2, "loss": 1e-300})
    first, second = rows_of(path)
    assert float(first["a, b"]) == 0.1 + 0.2 and first["loss"] == "nan"
    assert second == {"step": "2", "loss": "1e-300", "a, b": ""}


def test_a_value_without_a_column(tmp_path):
    with logs.csv(tmp_path / "metrics.csv") as log:
        log({"step": 1, "loss": 0.5})
        with pytest.raises(ValueError, match=r"csv: 'valid' is not among the columns"):
            log({"step": 2, "valid": 0.5})


def loss(params, carry, batch, *, key=None):
    return jnp.square(params - batch).sum(), carry


STEP = make_step(loss, optimizers.sgd)


def run(num_steps, **options):
    state = init_state(jnp.zeros(2), (), optimizers.sgd)
    target = jnp.array([3.0, -4.0])
    for n in num_steps:
        state, metrics = fit(
            STEP, state, lambda data, n: data, target, None, n,
            learning_rate=0.25, max_norm=5.0, **options)  # fmt: skip
        yield metrics


@pytest.mark.parametrize("steps_per_call", [1, 3, 16])
def test_fit_logs_every_step_in_order(steps_per_call):
    """The distance is 5 at first; clipped steps of 5/4, then halves: |p - t|^2."""
    told = []
    options = {"steps_per_call": steps_per_call, "log": told.append}
    metrics = list(run([4, 3], **options))
    assert [record["step"] for record in told] == [1, 2, 3, 4, 5, 6, 7]
    distances = [5.0, 3.75, 2.5, 1.25, 0.625, 0.3125, 0.15625]
    np.testing.assert_allclose(
        [record["loss"] for record in told], np.square(distances), rtol=1e-12
    )
    assert [record["clipped"] for record in told] == [True] * 2 + [False] * 5
    assert [type(record["clipped"]) for record in told] == [bool] * 7
    for name in metrics[0]._fields:
        values = np.concatenate([getattr(m, name) for m in metrics])
        assert [record[name] for record in told] == values.tolist()


def test_a_log_where_there_are_no_numbers():
    state = init_state(jnp.zeros(2), (), optimizers.sgd)
    f = lambda state, **log: fit(
        STEP,
        state,
        lambda data, n: data,
        jnp.ones(2),
        None,
        2,
        learning_rate=0.1,
        **log,
    )
    with pytest.raises(TypeError, match="fit: log is told numbers, and a traced call"):
        jax.jit(lambda state: f(state, log=print))(state)
    with pytest.raises(TypeError, match=r"fit: log must be a function log\(record\)"):
        f(state, log="metrics.csv")


# The command ------------------------------------------------------------------------


def scalars(folder):
    """(name, step, value) of all events, but for what a later file has replaced.

    Each record: its length in 8 bytes, 4 of a checksum, itself, 4 of a checksum.
    """
    event = pytest.importorskip("tensorboardX.proto.event_pb2").Event
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            read = event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            if read.HasField("session_log"):
                found = [entry for entry in found if entry[1] < read.step]
            found += [(v.tag, read.step, v.simple_value) for v in read.summary.value]
    return found


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A run that logged, was resumed, and logs otherwise from there on."""
    pytest.importorskip("tensorboardX")
    folder = tmp_path_factory.mktemp("logged")
    (folder / "sea.txt").write_text(TEXT)
    return folder


@pytest.mark.slow
def test_a_resumed_run_has_one_history(logged, capsys):
    run = logged / "run"
    both = "--log", "csv", "tensorboard"
    code, said = told(capsys, "train", logged / "sea.txt", "--out", run, *SMALL, *both)
    assert code == 0, said
    # what a process that was killed would have told, and no checkpoint knows of
    with logs.csv(run / "metrics.csv") as log:
        log({"step": 14, "loss": 7.0})
    with logs.tensorboard(run / "tensorboard") as log:
        log({"step": 14, "loss": 7.0})
    assert ("loss", 14, 7.0) in scalars(run / "tensorboard")
    code, said = told(capsys, "train", "--resume", run, "--steps", 16)
    assert code == 0, said
    lines = list(map(json.loads, (run / "metrics.jsonl").read_text().splitlines()))
    assert [line["step"] for line in lines] == list(range(2, 17, 2))
    full = [
        {n: float(v) for n, v in row.items() if v}
        for row in rows_of(run / "metrics.csv")
    ]
    assert full == lines
    expected = [
        (n, line["step"], v) for line in lines for n, v in line.items() if n != "step"
    ]
    got = scalars(run / "tensorboard")
    assert [entry[:2] for entry in got] == [entry[:2] for entry in expected]
    np.testing.assert_allclose([e[2] for e in got], [e[2] for e in expected], rtol=1e-6)

    code, said = told(capsys, "train", "--resume", run, "--steps", 18, "--log", "csv")
    assert code == 0, said
    assert len(rows_of(run / "metrics.csv")) == 9 and len(got) == len(
        scalars(run / "tensorboard")
    )
    assert json.loads((run / "config.json").read_text())["options"]["log"] == ["csv"]
    assert "--log" in told(capsys, "info", run)[1]

    code, said = told(
        capsys, "train", logged / "sea.txt", "--out", run, *SMALL, "--overwrite"
    )
    assert code == 0, said
    assert not (run / "tensorboard").exists() and not (run / "metrics.csv").exists()


@pytest.mark.slow
def test_a_log_decides_nothing_of_the_run(logged, capsys):
    for name, words in (("bare", []), ("told", ["--log", "csv"])):
        words = ("train", logged / "sea.txt", "--out", logged / name, *SMALL, *words)
        assert told(capsys, *words)[0] == 0
    for name in "metrics.jsonl", "checkpoint.safetensors", "samples.txt":
        assert (logged / "bare" / name).read_bytes() == (
            logged / "told" / name
        ).read_bytes()


@pytest.mark.slow
def test_a_log_whose_package_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(logs._PACKAGES, "tensorboard", "no_such_package")
    (tmp_path / "sea.txt").write_text(TEXT)
    run = tmp_path / "run"
    words = "train", tmp_path / "sea.txt", "--out", run, *SMALL, "--log", "tensorboard"
    code, said = told(capsys, *words)
    assert code == 2 and not run.exists()
    assert "--log tensorboard: no_such_package is not installed: pip install" in said


TELL_WANDB = """
import sys, jrnn
about = {"name": "mine", "identity": "abc", "config": {"cell": "gru"}}
with jrnn.logs.wandb(sys.argv[1], **about) as log:
    log({"step": 2, "loss": 0.5})
    log({"step": 4, "loss": 0.25})
"""


@pytest.mark.slow
def test_what_wandb_is_told(tmp_path):
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    # In a process of its own: the file is complete once wandb's service, which writes
    # it in the background, has ended with the process that started it.
    subprocess.run([sys.executable, "-c", TELL_WANDB, tmp_path], check=True)
    (path,) = tmp_path.glob("wandb/offline-run-*-abc/run-abc.wandb")
    data, records = path.read_bytes()[7:], []
    assert len(data) < 2**15  # one block; each record: 4 of a checksum, 2 of its length
    while data:
        (size,) = struct.unpack("<H", data[4:6])
        records.append(Record.FromString(data[7 : 7 + size]))
        data = data[7 + size :]
    told = [
        {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for item in r.history.item
        }
        for r in records
        if r.HasField("history")
    ]
    kinds = [r.WhichOneof("record_type") for r in records]
    assert [(row["_step"], row["loss"]) for row in told] == [(2, 0.5), (4, 0.25)], kinds
