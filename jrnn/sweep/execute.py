"""One compiled program that makes a number of runs, on one device or on many."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jrnn.devices import (
    THREADS,
    THREADS_PER_DEVICE,
    Devices,
    may_work_at_once,
    mesh_of,
    placed,
)
from jrnn.sweep.processes import gathered
from jrnn.sweep.runs import Run, Trial, outcome, stacked
from jrnn.sweep.space import Config

# run(config, key) -> metrics, by name
RunFn = Callable[[Config, jax.Array], dict[str, jax.Array]]

# For several devices of a CPU: products of one thread each, without XLA's default
# kernels, of which all devices share a pool under one lock (jaxlib 0.10.2).
ONE_THREAD = {
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_experimental_ynn_fusion_type": "",
}


class Program(NamedTuple):
    """A group's runs, `batch_size` of them side by side, or `turns` in turn."""

    call: Callable[..., Any]  # compiled
    fixed: Config  # structural choices, which are part of the program
    batch_size: int
    mesh: Mesh
    compile_seconds: float
    dtypes: dict[str, np.dtype]  # of the numbers: 1 among floats is a float too
    turns: int = 1  # runs of a device in one call, one after the other
    one_thread: bool = False  # products of one thread each; other rounding

    @property
    def size(self) -> int:
        """Runs that one call makes."""
        return self.batch_size * self.turns * self.mesh.size


def mesh_for(devices: Devices | None) -> Mesh:
    """The devices that share the runs: these, so many, or all that may work at once."""
    if devices is None and not may_work_at_once():
        first = {d.process_index: d for d in reversed(jax.devices())}  # of a process
        devices = [d for d in jax.devices() if d == first[d.process_index]]
    mesh = mesh_of(devices, "runs")
    if isinstance(devices, int) and devices > 1 and not may_work_at_once():
        threads = THREADS_PER_DEVICE * jax.local_device_count()
        raise ValueError(
            f"sweep: {devices} devices of a CPU can wait for each other's threads for "
            "good. Before JAX starts, call jrnn.devices.provide_cores() or set the "
            f"environment variable {THREADS} to {threads} or more."
        )
    return mesh


def threads_matter(mesh: Mesh) -> bool:
    """Whether several devices of a CPU are at work, each of which has one core."""
    devices = set(mesh.devices.flat) & set(jax.local_devices())
    return jax.default_backend() == "cpu" and len(devices) > 1


def compiled(
    run: RunFn,
    fixed: Config,
    trials: Sequence[Trial],
    batch_size: int,
    mesh: Mesh,
    turns: int = 1,
    one_thread: bool = False,
) -> Program:
    """Compile the program of a group for so many runs side by side, or in turn."""

    def one(values: Config, seed: jax.Array) -> dict[str, jax.Array]:
        return run({**fixed, **values}, jax.random.key(seed))

    def share(values, seeds):  # the runs of one device, first axis of every leaf
        if batch_size > 1:
            return jax.vmap(one)(values, seeds)
        if turns > 1:
            return jax.lax.map(lambda pair: one(*pair), (values, seeds))
        alone = jax.tree.map(lambda a: a[0], (values, seeds))
        return jax.tree.map(lambda a: a[None], one(*alone))

    # runs never speak to each other, so each device has its own
    spread = jax.shard_map(
        share,
        mesh=mesh,
        in_specs=jax.P("runs"),
        out_specs=jax.P("runs"),
        check_vma=False,
    )
    jitted = jax.jit(spread)
    dtypes = {name: a.dtype for name, a in stacked(trials, fixed)[0].items()}
    program = Program(jitted, fixed, batch_size, mesh, 0.0, dtypes, turns, one_thread)
    begin = time.perf_counter()
    lowered = jitted.lower(*_arguments(program, trials[:1]))
    call = lowered.compile(ONE_THREAD if one_thread else None)
    return program._replace(call=call, compile_seconds=time.perf_counter() - begin)


def execute(program: Program, trials: Sequence[Trial]) -> list[Run]:
    """Make up to `program.size` runs; where there are fewer, the last is repeated."""
    begin = time.perf_counter()
    metrics = gathered(program.call(*_arguments(program, trials)))
    seconds = (time.perf_counter() - begin) / len(trials)
    take = lambda n: {name: array[n] for name, array in metrics.items()}
    return [
        outcome(trial, take(n), seconds, program.batch_size)
        for n, trial in enumerate(trials)
    ]


def out_of_memory(error: Exception) -> bool:
    """Whether a program failed since it needs more memory than there is."""
    return "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)


def _arguments(program: Program, trials: Sequence[Trial]) -> tuple:
    trials = [*trials, *[trials[-1]] * (program.size - len(trials))]
    values, seeds = stacked(trials, program.fixed)
    values = {name: a.astype(program.dtypes[name]) for name, a in values.items()}
    return placed((values, seeds), program.mesh)
