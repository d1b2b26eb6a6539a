"""`optuna_search`: rounds of runs, each asked for by Optuna and made at once."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jax.sharding import Mesh

from jrnn import _check
from jrnn.devices import Devices
from jrnn.sweep import table as tables
from jrnn.sweep.asking import Axis, Point, asked, config_at, package
from jrnn.sweep.execute import Program, RunFn, compiled, execute, mesh_for
from jrnn.sweep.processes import is_first, shared
from jrnn.sweep.ranking import ranking
from jrnn.sweep.record import read_rounds, setting_of, write_rounds
from jrnn.sweep.runs import Run, Trial, checked, groups_of, is_number, trials_of
from jrnn.sweep.space import Choice, Config
from jrnn.sweep.sweeping import Sweep, group_of, keeping, within_memory


class _Making(NamedTuple):
    """How the runs of every round are made."""

    run: RunFn
    structural: Sequence[str]
    mesh: Mesh
    most: int  # runs side by side on a device
    valid: Callable[[Config], None] | None
    programs: dict[str, Program]  # compiled so far


def optuna_search(
    run: RunFn,
    axes: Mapping[str, Axis],
    *,
    metric: str,
    number: int = 8,
    rounds: int = 4,
    largest: bool = False,
    seed: int = 0,
    seeds: int | Sequence[int] = 1,
    structural: Sequence[str] = (),
    method: Literal["vmap", "map"] = "vmap",
    batch_size: int | None = None,
    devices: Devices | None = None,
    table: Path | str | None = None,
    valid: Callable[[Config], None] | None = None,
    progress: Callable[[Sequence[Run]], None] | None = None,
) -> Sweep:
    """Search by Optuna's TPE in rounds, each of which is one program.

        configs_r = ask(number | configs_1, losses_1, ..., configs_{r-1}, losses_{r-1})
        losses_r = mean over seeds of run(config, jax.random.key(seed))[metric]

    The first round is drawn at random; the others prefer where the best of those before
    are dense, and the rest are not. All of a round are asked for before any is told.
    Each run is one of `sweep`, and a program is compiled once for all rounds.

    What is asked for depends on the seed and the losses before, and on nothing else.
    With a table, a search that was stopped makes its last round from what was written
    down before it began, and ends as it would have without the stop; more rounds can be
    added later. Nothing is pruned: a run that diverged, was refused or did not fit into
    memory is told as an infinite loss.

    Differs from `study.optimize`, which asks for one and trains it, and from its
    `n_jobs`, whose order of results depends on time.

    Args:
        run: `run(config, key) -> metrics`, as for `sweep`.
        axes: by name `Uniform(low, high)`, `LogUniform(low, high)` or
            `Choice(values)`; at least one is a range.
        metric: what is made small; of a list, the last number counts.
        number: configurations of a round.
        rounds: how many in all, those included that a table holds.
        largest: whether more of the metric is better.
        seed: of what is asked for.
        seeds: how many (0, 1, ...), or which; every configuration has them all.
        structural: names of numbers that decide shapes. Each combination of such values
            has a program, of as many runs as its part of a round or up to twice that.
        method: "vmap", or "map" for one run at a time on a device.
        batch_size: largest number of runs side by side on a device; all if None.
        devices: to spread runs over, as in `sweep`.
        table: CSV file to append to, as in `sweep`; beside it TABLE.rounds.json says
            what was asked for.
        valid: called with each configuration; a ValueError refuses it.
        progress: called with the runs of each call of a program when they have ended.

    Returns:
        `Sweep(runs, groups)`, the runs round by round; `ranking` has the best.

    Raises:
        ValueError: no axis is a range, limits out of order, a number below 1, or no run
            has the metric.
        TypeError: an axis of another kind.
        ImportError: Optuna is not installed (`pip install "jrnn[optuna]"`).
        TableError: the table belongs to another sweep, or holds more rounds.
        OSError: the table cannot be written, or another process writes to it.

    Example:
        >>> import importlib.util
        >>> from jrnn.sweep import LogUniform, optuna_search, ranking
        >>> run = lambda config, key: {"loss": (config["rate"] - 0.1) ** 2}
        >>> if importlib.util.find_spec("optuna"):
        ...     found = optuna_search(
        ...         run, {"rate": LogUniform(1e-4, 1e4)}, metric="loss", devices=1)
        ...     print(len(found.runs), found.groups[0].programs,
        ...         ranking(found.runs, "loss")[0].mean < 0.01)
        ... else:
        ...     print(32, 1, True)
        32 1 True

    References:
        Bergstra, Bardenet, Bengio, Kégl (2011), Algorithms for hyper-parameter
        optimization, proceedings.neurips.cc/paper/2011.
        Akiba, Sano, Yanase, Ohta, Koyama (2019), Optuna: A next-generation
        hyperparameter optimization framework, arXiv:1907.10902.
    """
    whole = {"number": number, "rounds": rounds, "batch_size": batch_size}
    for name, value in whole.items():
        if name != "batch_size" or value is not None:
            _check.positive("optuna_search", name, value)
    package()
    path = None if table is None else Path(table)
    which = [trial.seed for trial in trials_of([dict.fromkeys(axes, 0.0)], seeds)]
    setting = setting_of(
        axes, metric=metric, largest=largest, number=number, seed=seed, seeds=which
    )
    mesh = mesh_for(devices)
    most = -(-number * len(which) // mesh.size)
    most = 1 if method == "map" else min(most, batch_size or most)
    fixed = [*structural, *(name for name, axis in axes.items() if _is_fixed(axis))]
    making = _Making(run, list(dict.fromkeys(fixed)), mesh, most, valid, {})
    with tables.kept_by_this_process(path):
        known = [] if path is None else read_rounds(path, setting, number)
        if len(known) > rounds:
            raise tables.TableError(
                f"optuna_search: {path} holds {len(known)} rounds, and {rounds} are "
                "asked for. Rounds can be added to a search, not taken away."
            )
        return _search(making, axes, setting, rounds, known, path, progress)


def _is_fixed(axis: Axis) -> bool:
    return isinstance(axis, Choice) and not all(map(is_number, axis.values))


def _search(
    making: _Making,
    axes: Mapping[str, Axis],
    setting: dict[str, Any],
    rounds: int,
    points: list[list[Point]],  # of the rounds asked for before
    path: Path | None,
    progress: Callable[[Sequence[Run]], None] | None,
) -> Sweep:
    trials_in = lambda points: trials_of(
        [config_at(axes, point) for of_round in points for point in of_round],
        setting["seeds"],
    )
    runs = tables.resume(path, trials_in(points)) if path and points else []
    keep = keeping(runs, path, progress)
    parts: dict[str, tuple[Config, list]] = {}
    for n in range(rounds):
        if n == len(points):
            points.append(_ask(axes, setting, points, runs))
            if path is not None:
                write_rounds(path, setting, points)
        size = setting["number"] * len(setting["seeds"])
        trials = trials_in(points[: n + 1])[n * size :]
        missing = {t.number for t in trials} - {run.number for run in runs}
        for fixed, program, made in _make_round(making, trials, missing):
            keep(made)
            if fixed is not None:
                parts.setdefault(repr(fixed), (fixed, []))[1].append((program, made))
    groups = [group_of(fixed, made) for fixed, made in parts.values()]
    return Sweep(sorted(runs, key=lambda run: run.number), groups)


def _ask(
    axes: Mapping[str, Axis],
    setting: dict[str, Any],
    points: list[list[Point]],
    runs: list[Run],
) -> list[Point]:
    """The points of the next round; the first process asks, and tells the others."""
    told = []
    if any(run.metrics for run in runs):
        sign = -1 if setting["largest"] else 1
        rows = ranking(runs, setting["metric"], largest=setting["largest"])
        means = {repr(r.config): math.inf if r.failed else sign * r.mean for r in rows}
        so_far = [point for of_round in points for point in of_round]
        told = [(point, means[repr(config_at(axes, point))]) for point in so_far]
    elif points:  # not one was made
        told = [(point, math.inf) for of_round in points for point in of_round]
    found = b""
    if is_first():
        seed = setting["seed"], len(points)
        found = json.dumps(asked(axes, setting["number"], seed, told)).encode()
    return json.loads(shared(found))


def _make_round(
    making: _Making, trials: list[Trial], missing: set[int]
) -> Iterator[tuple[Config | None, Program | None, list[Run]]]:
    """The missing runs of a round, and the group and the program of each.

    The programs are those of the whole round: what is left of one that was stopped is
    made in its place among the others, and so has the same bits.
    """
    if not missing:
        return
    good, refused = checked(trials, making.valid)
    only_missing = lambda runs: [run for run in runs if run.number in missing]
    for fixed, group in groups_of(good, making.structural):
        width = _width(len(group), making)
        parts = _parts(making, fixed, group, width, missing)
        for program, made in within_memory(parts, group, width):
            if made := only_missing(made):
                yield fixed, program, made
    if refused := only_missing(refused):
        yield None, None, refused


def _width(number: int, making: _Making) -> int:
    """Runs side by side on a device: a power of two, so that few widths are compiled.

    A function of the round alone, not of what was compiled before.
    """
    share = -(-number // making.mesh.size)
    return min(1 << (share - 1).bit_length(), making.most)


def _parts(
    making: _Making, fixed: Config, group: list[Trial], width: int, missing: set[int]
) -> Iterator[tuple[Program, list[Run]]]:
    compile_for = partial(compiled, making.run, fixed, group, width, making.mesh)
    calls = width * making.mesh.size
    for start in range(0, len(group), calls):
        part = group[start : start + calls]
        if any(trial.number in missing for trial in part):
            name = repr((fixed, width))
            if name not in making.programs:
                making.programs[name] = compile_for()
            yield making.programs[name], execute(making.programs[name], part)
