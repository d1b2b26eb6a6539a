"""Two real processes over loopback make one sweep, and one of them may die."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jrnn.sweep import read_table

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
from jrnn.sweep import grid, sweep

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
found = sweep(run, space, seeds=2, structural=["size"], method=sys.argv[5],
              table=table, progress=progress)
print(len(found.runs), calls, sum(r.metrics["loss"][-1] for r in found.runs))
"""


def start(script: Path, table: Path, *, deadly="never", alone=False, method="map"):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = "0" if alone else str(s.getsockname()[1])
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
