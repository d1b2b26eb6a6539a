"""Two real processes over loopback make one sweep or run, and one of them may die."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jrnn._lock import held
from jrnn.cli import main
from jrnn.sweep import read_table
from jrnn.train.checkpoint import read

pytestmark = pytest.mark.slow

CHILD = """
import os, signal, sys
import jax, jax.numpy as jnp

index, port, table, deadly = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
jax.config.update("jax_num_cpu_devices", 1)
if port != "0":
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        f"127.0.0.1:{port}", 2, index, heartbeat_timeout_seconds=10
    )
import traceback
from jrnn.sweep import ProcessError, grid, sweep

def run(config, key):
    x = 1 + jax.random.uniform(key, (config["size"],))
    step = lambda x, _: (x - config["rate"] * 2 * x,) * 2
    return {"loss": jnp.square(jax.lax.scan(step, x, length=5)[1]).sum(1)}

calls = 0
def progress(runs):
    global calls
    calls += 1
    if deadly == str(calls) and index == 1:
        os.kill(os.getpid(), signal.SIGKILL)

space = grid(size=[1, 3], rate=[0.1, 0.2, 0.4])
try:
    found = sweep(run, space, seeds=2, structural=["size"], method=sys.argv[5],
                  table=table, progress=progress)
except ProcessError:
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)  # else JAX waits for the other
print(len(found.runs), calls, sum(r.metrics["loss"][-1] for r in found.runs))
"""


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def start(script: Path, table: Path, *, deadly="never", alone=False, method="map"):
    port = "0" if alone else free_port()
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    return [
        subprocess.Popen(
            [sys.executable, script, str(i), port, table, deadly, method],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        for i in range(1 if alone else 2)
    ]


def end(processes, timeout=120):
    try:
        outs = [p.communicate(timeout=timeout) for p in processes]
    finally:
        for p in processes:
            p.kill()
    last = lambda text: text.strip().splitlines()[-1:]  # Gloo says things before
    return [
        (p.returncode, " ".join(last(out)), err)
        for p, (out, err) in zip(processes, outs, strict=True)
    ]


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "child.py"
    path.write_text(CHILD)
    return path


def rows(path):
    return [run._replace(seconds=0.0) for run in read_table(path)]


def test_two_processes_give_the_table_of_one_and_survive_a_death(script, tmp_path):
    alone, both, killed = (tmp_path / f"{n}.csv" for n in ("alone", "both", "killed"))
    ((code, _, err),) = end(start(script, alone, alone=True))
    assert code == 0, err
    results = end(start(script, both))
    assert [code for code, _, _ in results] == [0, 0], results
    # both processes know all runs; each call of a program makes a run on each
    assert {o.split()[0] for _, o, _ in results} == {"12"}
    assert len({o for _, o, _ in results}) == 1
    assert rows(both) == rows(alone) and len(rows(both)) == 12

    (left, dead) = end(start(script, killed, deadly="4"))
    assert dead[0] == -signal.SIGKILL
    assert left[0] not in (0, None)
    assert "another process" in left[2] and "the same command" in left[2]
    done = rows(killed)
    assert 6 <= len(done) < 12 and done == rows(alone)[: len(done)]
    results = end(start(script, killed))
    assert [code for code, _, _ in results] == [0, 0], results
    assert rows(killed) == rows(alone)
    made = int(results[0][1].split()[1])
    assert made == (12 - len(done)) / 2


OPTIONS = (
    "--hidden-size 8 --dropout 0.1 --batch-size 4 --window 8 --log-every 4 "
    "--eval-every 4 --save-every 4 --warmup 2 --update-every 8"
).split()


def train(where: Path, run: Path, *words):
    """Start `jrnn train` in two processes, each from a folder of its own."""
    port, processes = free_port(), []
    code = "import sys; from jrnn.cli import main; sys.exit(main())"
    for index in (0, 1):
        folder = where / f"{run.name}-{index}"
        folder.mkdir(exist_ok=True)
        place = "--cluster", f"127.0.0.1:{port},2,{index}"
        own = {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "",
            "JAX_ENABLE_X64": "0",
            "JAX_NUM_CPU_DEVICES": "1",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "JAX_COMPILATION_CACHE_DIR": str(where / "compiled" / str(index)),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code, "train", *map(str, words), *place],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder,
                env={**os.environ, **own},
            )
        )
    return processes


def test_two_processes_train_one_model_and_one_of_them_writes(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on a mat and ate one fat rat\n" * 40)
    alone, both = tmp_path / "alone", tmp_path / "both"
    words = ("--steps", "8", *OPTIONS)
    together = train(tmp_path, both, text, "--out", both, *words)
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        assert main(["train", str(text), "--out", str(alone), *words]) == 0
    results = end(together)
    assert [code for code, _, _ in results] == [0, 0], results
    assert "jrnn sample" in results[0][1] and "jrnn" not in results[1][1]
    assert [list((tmp_path / f"both-{n}").iterdir()) for n in (0, 1)] == [[], []]
    assert {p.name for p in both.iterdir()} == {p.name for p in alone.iterdir()}
    (expected, _), (found, _) = (
        read(r / "checkpoint.safetensors") for r in (alone, both)
    )
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)

    # while another process writes to it, both are refused, and neither waits
    with held(both):
        refused = end(train(tmp_path, both, "--resume", both, "--steps", "12"))
    assert [code for code, _, _ in refused] == [2, 2], refused
    assert f"both is in use by process {os.getpid()} on" in refused[0][2]
    assert "Another process was refused" in refused[1][2]

    # they go on with it, and one of them dies: the other says so
    going = train(tmp_path, both, "--resume", both, "--steps", "100000")
    while going[0].poll() is None and "12" not in steps(both):
        time.sleep(0.1)
    going[1].kill()
    left, _ = end(going)
    assert left[0] == 1 and "Another process has ended" in left[2]
    assert "start all with --resume" in left[2] and "Traceback" not in left[2]


def test_processes_with_different_texts_are_refused(tmp_path):
    """Each would put rows of another text on its own devices."""
    run = tmp_path / "run"
    for index, length in ((0, 40), (1, 41)):
        (tmp_path / f"run-{index}").mkdir()
        text = "the cat sat on a mat and ate one fat rat\n" * length
        (tmp_path / f"run-{index}" / "text.txt").write_text(text)
    words = "text.txt", "--out", run, "--steps", "8", *OPTIONS
    results = end(train(tmp_path, run, *words))
    assert [code for code, _, _ in results] == [2, 2], results
    assert all("--cluster have different texts" in said for _, _, said in results)
    assert not any("Traceback" in said for _, _, said in results)


def steps(run: Path) -> set[str]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {line.split(",")[0].split()[-1] for line in lines}


@pytest.mark.parametrize("place", ["first", "first:1,2", "first:1,2,2", ":1,2,0"])
def test_a_place_among_processes_that_is_none(place, tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path / "run"), "--cluster", place]) == 2
    message = capsys.readouterr().err
    assert "such as first:1234,4,0" in message and repr(place) in message
