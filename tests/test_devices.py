"""`jrnn.devices`: cores as devices, meshes, arrays in their places.

`keep_memory` is tested with the command (test_cli), arrays on several processes in
test_processes.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jrnn.devices import may_work_at_once, mesh_of, placed, provide_cores


def devices_of(code, **environment):
    """Devices and threads after `code` in a new process on a machine of 3 cores."""
    code = (
        "import os\n"
        "os.sched_getaffinity = lambda _: {0, 1, 2}\n"
        "import jax, jrnn\n"
        f"{code}\n"
        "print(jax.local_device_count(), os.environ.get('PJRT_NPROC'))\n"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("PJRT_NPROC", "XLA_FLAGS")}
    env |= {"PYTHONPATH": str(Path(__file__).parents[1]), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=env | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "environment", "expected"),
    [
        ("", {}, "1 None"),
        ("jrnn.devices.provide_cores()", {}, "3 24"),
        ("jrnn.devices.provide_cores(loops_in_loops=False)", {}, "3 3"),
        ("jrnn.devices.provide_cores()", {"PJRT_NPROC": "5"}, "3 5"),
        ("jrnn.devices.provide_cores()", {"JAX_NUM_CPU_DEVICES": "2"}, "2 None"),
        ("jax.devices(); jrnn.devices.provide_cores()", {}, "1 24"),  # too late
        ("from jrnn import devices; devices.provide_cores()", {}, "3 24"),
    ],
)
def test_cores_become_devices_before_jax_starts(code, environment, expected):
    """Importing the library, all of it too, has not started JAX."""
    assert devices_of(code, **environment) == expected


def test_what_was_set_is_left_alone(monkeypatch):
    monkeypatch.delenv("PJRT_NPROC")
    provide_cores()  # the suite has set jax_num_cpu_devices
    assert "PJRT_NPROC" not in os.environ
    assert jax.config.jax_num_cpu_devices == 2


@pytest.mark.parametrize(
    ("threads", "answer"), [("16", True), ("15", False), ("", False)]
)
def test_two_devices_of_a_cpu_need_their_threads(monkeypatch, threads, answer):
    monkeypatch.setenv("PJRT_NPROC", threads)
    assert may_work_at_once() == answer
    monkeypatch.setattr("jax.local_device_count", lambda: 1)
    assert may_work_at_once()


def test_a_mesh_of_all_of_some_and_of_these():
    first, second = jax.devices()
    for devices, expected in (
        (None, [first, second]),
        (2, [first, second]),
        (1, [first]),
        ([second, first], [second, first]),
        ((second,), [second]),
    ):
        mesh = mesh_of(devices)
        assert list(mesh.devices) == expected
        assert mesh.axis_names == ("rows",)
    assert mesh_of(2, "runs").axis_names == ("runs",)


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        (0, "mesh_of: devices must be 1 to 2, got 0."),
        (3, "got 3. On a CPU, jrnn.devices.provide_cores() before JAX starts"),
        ((), "mesh_of: devices must be at least one, got none."),
    ],
)
def test_a_mesh_of_no_devices_is_refused(devices, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        mesh_of(devices)


def parts(array):
    return [np.asarray(part.data).tolist() for part in array.addressable_shards]


def test_each_device_has_its_own_part(key):
    rows = jax.random.normal(key, (4, 3))
    scale = np.arange(3.0)
    mesh = mesh_of([jax.devices()[1], jax.devices()[0]])
    whole = placed({"rows": rows}, mesh)["rows"]
    np.testing.assert_array_equal(whole, rows)
    by_device = {
        part.device: np.asarray(part.data) for part in whole.addressable_shards
    }
    np.testing.assert_array_equal(by_device[jax.devices()[1]], rows[:2])
    np.testing.assert_array_equal(by_device[jax.devices()[0]], rows[2:])
    tree = ({"w": scale, "b": scale + 1}, rows)
    copies, divided = placed(tree, mesh, (jax.P(), jax.P("rows")))
    assert (
        parts(copies["w"]) == [[0, 1, 2]] * 2 and parts(copies["b"]) == [[1, 2, 3]] * 2
    )
    assert parts(divided) == parts(whole)


def test_rows_that_cannot_be_shared_equally_are_refused():
    with pytest.raises(ValueError, match=r"divi(de|sible)"):
        placed(np.zeros((3, 2)), mesh_of(2))
