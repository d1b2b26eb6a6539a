"""`sweep`: every configuration of a space with every seed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax

from jrnn.devices import Devices
from jrnn.sweep import table as tables
from jrnn.sweep.choose import measured
from jrnn.sweep.execute import (
    Program,
    RunFn,
    compiled,
    execute,
    mesh_for,
    out_of_memory,
    threads_matter,
)
from jrnn.sweep.processes import is_first
from jrnn.sweep.runs import Run, Trial, checked, groups_of, trials_of
from jrnn.sweep.space import Config

Method = Literal["auto", "vmap", "map"]


class Group(NamedTuple):
    """Runs that one program makes, and how they were made."""

    fixed: Config  # structural choices
    runs: int  # made in this call, without those that a table held
    batch_size: int  # of most of the runs: side by side on a device
    one_thread: bool  # whether the products of most of the runs had one thread each
    programs: int  # compiled
    compile_seconds: float
    seconds: float  # without compiling


class Sweep(NamedTuple):
    """What a sweep found."""

    runs: list[Run]  # in the order of the space, seeds fastest
    groups: list[Group]


def sweep(
    run: RunFn,
    space: Iterable[Config],
    *,
    seeds: int | Sequence[int] = 1,
    structural: Sequence[str] = (),
    method: Method = "auto",
    batch_size: int | None = None,
    devices: Devices | None = None,
    table: Path | str | None = None,
    valid: Callable[[Config], None] | None = None,
    progress: Callable[[Sequence[Run]], None] | None = None,
) -> Sweep:
    """Make every run of a space, many at once.

        metrics[config, seed] = run(config, jax.random.key(seed))

    `run` is pure and traced once for each program: numbers of a configuration arrive as
    traced scalars, so that no value of theirs compiles anything anew. What decides
    shapes or is no number (a cell, a hidden size) is structural: it arrives as it is,
    and each combination of such values is a group with a program of its own.

    With "map" a device makes one run at a time, bit for bit the run made alone. With
    "vmap" it makes all of its runs, or `batch_size` of them, side by side. Each metric
    is then the same up to rounding, which training amplifies: the first ten updates
    agree within 1e-5, later ones may not. "auto" times both on the runs themselves,
    1, 8, 64, ... side by side, as long as wider is faster; and where several cores of a
    CPU are at work, one at a time with products that keep to one thread.

    Differs from `vmap` by hand: runs are spread over devices and processes
    (`jax.distributed`), kept in a table as they end and not made twice.

    Args:
        run: `run(config, key) -> metrics`, a dict of scalars or of arrays over time.
        space: configurations, from `grid`, `draw` or by hand; all with the same names.
        seeds: how many (0, 1, ...), or which; every configuration has them all.
        structural: names of numbers that decide shapes.
        method: "auto", "vmap" or "map".
        batch_size: largest number of runs side by side on a device, for "vmap"; all if
            None. Fewer need less memory.
        devices: to spread runs over: all of all processes if None, so many, or these.
            Several cores of a CPU need `jrnn.devices.provide_cores()` before JAX
            starts; without it one of them is used.
        table: CSV file to append to. Runs that it holds already are not made again:
            it knows them by configuration and seed, not by your code. Give another
            file when `run` has changed.
        valid: called with each configuration; a ValueError refuses it.
        progress: called with the runs of each call of a program when they have ended.

    Returns:
        `Sweep(runs, groups)`. Runs that diverged, were refused or did not fit into
        memory are among the runs, with their status.

    Raises:
        ValueError: an empty space, unequal names, a batch size below 1.
        TableError: the table belongs to another sweep.
        OSError: the table cannot be written, or another process writes to it.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jrnn.sweep import grid, sweep
        >>> def run(config, key):  # gradient descent on x^2
        ...     x = 1 + jax.random.uniform(key)
        ...     step = lambda x, _: (x - config["rate"] * 2 * x,) * 2
        ...     return {"loss": jax.lax.scan(step, x, length=20)[1] ** 2}
        >>> found = sweep(run, grid(rate=[0.1, 0.4]), seeds=2, devices=1, method="map")
        >>> for r in found.runs:
        ...     print(r.config["rate"], r.seed, r.metrics["loss"][-1] < 1e-6)
        0.1 0 False
        0.1 1 False
        0.4 0 True
        0.4 1 True
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"sweep: batch_size must be at least 1, got {batch_size}.")
    trials, mesh = trials_of(space, seeds), mesh_for(devices)
    path = None if table is None else Path(table)
    with tables.kept_by_this_process(path):
        return _sweep(
            run, trials, structural, method, batch_size, mesh, path, valid, progress
        )


def _sweep(run, trials, structural, method, batch_size, mesh, path, valid, progress):
    runs = [] if path is None else tables.resume(path, trials)
    known = {r.number for r in runs}
    good, refused = checked([t for t in trials if t.number not in known], valid)
    keep = keeping(runs, path, progress)
    groups = []
    for fixed, group in groups_of(good, structural):
        programs = partial(compiled, run, fixed, group, mesh=mesh)
        parts = []
        for program, made in _make_runs(group, programs, mesh, method, batch_size):
            keep(made)
            parts.append((program, made))
        groups.append(group_of(fixed, parts))
    if refused:
        keep(refused)
    return Sweep(sorted(runs, key=lambda r: r.number), groups)


def keeping(
    runs: list[Run],
    path: Path | None,
    progress: Callable[[Sequence[Run]], None] | None,
) -> Callable[[Sequence[Run]], None]:
    """What puts runs that have ended into the table and the list, and reports them."""

    def keep(more: Sequence[Run]) -> None:
        if path is not None and is_first():
            tables.append(path, more)
        runs.extend(more)
        if progress is not None:
            progress(more)

    return keep


def _make_runs(
    trials: list[Trial],
    compile_for: Callable[..., Program],
    mesh: jax.sharding.Mesh,
    method: Method,
    batch_size: int | None,
) -> Iterator[tuple[Program | None, list[Run]]]:
    """Programs and the runs that they made; None for runs that found no memory."""
    share = -(-len(trials) // mesh.size)
    most = 1 if method == "map" else min(share, batch_size or share)
    if method == "auto":
        several_cores = threads_matter(mesh)
        parts = measured(trials, compile_for, mesh.size, most, several_cores)
    else:
        parts = _all_alike(trials, compile_for, most)
    return within_memory(parts, trials, most)


def _all_alike(trials, compile_for, most: int) -> Iterator[tuple[Program, list[Run]]]:
    program = compile_for(most)
    for start in range(0, len(trials), program.size):
        yield program, execute(program, trials[start : start + program.size])


def within_memory(
    parts: Iterable[tuple[Program, list[Run]]], trials: Sequence[Trial], most: int
) -> Iterator[tuple[Program | None, list[Run]]]:
    """The parts, and where memory does not suffice the trials left, as such runs."""
    made: set[int] = set()
    try:
        for program, runs in parts:
            made.update(run.number for run in runs)
            yield program, runs
    except jax.errors.JaxRuntimeError as error:
        if not out_of_memory(error):
            raise
        advice = f"try batch_size={most // 2}" if most > 1 else "one run is too large"
        failed = [trial for trial in trials if trial.number not in made]
        yield None, [Run(*t, "out of memory", {}, 0.0, most, advice) for t in failed]


def group_of(fixed: Config, parts: list[tuple[Program | None, list[Run]]]) -> Group:
    """What the parts of a group have in common, and what they took."""
    programs = {id(program): program for program, _ in parts if program is not None}
    runs = [run for _, made in parts for run in made]
    ways = Counter()
    for program, made in parts:
        one_thread = program is not None and program.one_thread
        ways.update((run.batch_size, one_thread) for run in made)
    width, one_thread = max(ways, key=lambda way: (ways[way], way))
    return Group(
        fixed,
        len(runs),
        width,
        one_thread,
        len(programs),
        sum(program.compile_seconds for program in programs.values()),
        sum(run.seconds for run in runs),
    )
