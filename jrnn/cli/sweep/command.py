"""The command: train all, keep the table, show the best."""

import contextlib
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from jrnn._lock import Held, held
from jrnn.cli.cluster import all_or_none, apart, end_without_peers, join
from jrnn.cli.data import run_name
from jrnn.cli.display import Console, duration
from jrnn.cli.errors import UserError
from jrnn.cli.notices import warn
from jrnn.cli.options import TrainingOptions, changed, option
from jrnn.cli.run import RunDirectory, check_cell, options_as_json
from jrnn.cli.stored import read_json, write_json
from jrnn.cli.sweep import figures
from jrnn.cli.sweep.notices import of_sweep
from jrnn.cli.sweep.options import (
    Options,
    SweepOptions,
    axes_of,
    base_of,
    searched,
    space_of,
    varied,
)
from jrnn.cli.sweep.training import Swept, measured_at, training
from jrnn.cli.tasks import workflow_of
from jrnn.cli.words import in_command_words, plain_errors
from jrnn.cli.workflow import Job, Material, Seeds, Workflow
from jrnn.devices import provide_cores
from jrnn.sweep import (
    Choice,
    Group,
    Ranked,
    Run,
    Sweep,
    TableError,
    optuna_search,
    ranking,
)
from jrnn.sweep import sweep as run_sweep
from jrnn.sweep.asking import Axis, package
from jrnn.sweep.execute import mesh_for
from jrnn.sweep.runs import last
from jrnn.sweep.space import Config

SHOWN = 8  # configurations in the printed table
_FACTS = {"text": "The text", "data": "What is in the files", "task": "The command"}


def sweep(options: Options) -> None:
    """Run the command."""
    options.check()
    if options.search == "optuna":
        with plain_errors(ImportError):
            package()
    if options.cluster is None:
        provide_cores()
    join(options.cluster)
    kept = "What was complete is in the table: start all again with the same command."
    with end_without_peers(kept), apart() as folder:
        _sweep(options, _folder(options) if folder is None else folder)


def _sweep(options: Options, folder: Path) -> None:
    if options.devices is not None and options.devices > jax.device_count():
        raise UserError(
            f"--devices is {options.devices}, but this machine has "
            f"{jax.device_count()}."
        )
    with plain_errors(ValueError):
        mesh_for(options.devices)  # now, and not when the data have been read
    base, space = base_of(options), space_of(options)
    workflow = workflow_of(base)
    material, space = _material(workflow, base, space)
    swept = Swept(workflow, base, material.data, options.seeds)
    warn(of_sweep(swept.options(space[0]), space, options))
    console = Console(highlight=False)
    with contextlib.ExitStack() as stack, plain_errors(TableError, OSError):
        mine = all_or_none(lambda: _begin(stack, folder, options, swept))
        job = _job(workflow, material, RunDirectory(folder), mine)
        console.print("\n".join(workflow.about(job)), soft_wrap=True)
        console.print(_what_is_made(options, swept, space, folder), soft_wrap=True)
        found = _run(console, options, swept, space, folder)
        for group in found.groups:
            console.print(_describe(group, varied(space)), soft_wrap=True)
        _conclude(console, swept, space, found.runs, folder)


def _material(
    workflow: Workflow, base: TrainingOptions, space: list[Config]
) -> tuple[Material, list[Config]]:
    """The data, and the space with what they decide.

    Refused before anything is read or made: a sweep of which no training can be.
    """
    good, _ = _possible(space, partial(_check_words, base))
    widest = max(good, key=lambda c: c["batch_size"] * c.get("window", 1))
    material = workflow.begin(replace(base, **widest))
    if workflow.sizes(material.data)[1] < workflow.least:
        raise UserError(
            "The validation part is empty: give more data, or another --split."
        )
    swept = Swept(workflow, base, material.data, 1)
    _, errors = _possible(space, partial(_check, swept))
    if errors:
        many = f"{len(errors)} of {len(space)} configurations are refused"
        warn([f"{many}: {errors[0]}"])

    def settled(config: Config) -> Config:
        if config not in good:
            return config
        options = swept.options(config)
        return {name: getattr(options, name) for name in config}

    return material, list(map(settled, space))


def _possible(
    space: list[Config], check: Callable[[Config], None]
) -> tuple[list[Config], list[ValueError]]:
    """Configurations that a check lets pass, and what it says of the others.

    Raises `UserError` where it lets none pass.
    """
    good, errors = [], []
    for config in space:
        try:
            check(config)
            good.append(config)
        except ValueError as error:
            errors.append(error)
    if not good:
        raise UserError(str(errors[0]))
    return good, errors


def _check_words(base: TrainingOptions, config: Config) -> None:
    """Raise `ValueError` where options cannot be, whatever the data are."""
    cell, size = config["cell"], config["hidden_size"]
    with _refusals():
        replace(base, **config).check()
        if size:  # 0: as the data suggest
            check_cell(cell, size)


def _check(swept: Swept, config: Config) -> None:
    """Raise `ValueError` where a model cannot be made, or its options not be."""
    with _refusals():
        _check_words(swept.base, config)
        options = swept.options(config)
        options.check()
        parts = swept.workflow.traced(options, swept.data, Seeds(1, 0))
        jax.eval_shape(parts.weights, jax.eval_shape(lambda: jax.random.key(0)))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise ValueError(str(error).replace("\n", " ")) from None


def _begin(
    stack: contextlib.ExitStack, folder: Path, options: Options, swept: Swept
) -> Held:
    """Make the folder, or see that it is of the same sweep; keep others out of it."""
    with plain_errors(TableError, OSError):
        folder.mkdir(parents=True, exist_ok=True)
        mine = stack.enter_context(held(folder))
        _check_same(folder / "sweep.json", options, swept)
    return mine


def _job(workflow: Workflow, material: Material, run: RunDirectory, mine: Held) -> Job:
    config, data, model, *_ = material
    return Job(workflow, config, run, data, model, mine, None, None)


def _what_is_made(
    options: Options, swept: Swept, space: list[Config], folder: Path
) -> str:
    steps = sorted({swept.options(config).steps for config in space})
    many = f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else f"{steps[0]}"
    number, how = _number_of_configurations(options, space), ""
    if options.search == "optuna":
        how = f"{options.rounds} rounds of {options.draws}, chosen by Optuna, "
    return (
        f"{number} configurations of {_names(varied(space)) or 'nothing varied'}, {how}"
        f"{swept.seeds} seeds: {number * swept.seeds} trainings of {many} steps, in "
        f"{folder}"
    )


def _number_of_configurations(options: Options, space: list[Config]) -> int:
    if options.search == "optuna":
        return options.rounds * options.draws
    return len(space)


def _run(console, options: Options, swept: Swept, space: list[Config], folder: Path):
    numbers = varied(space)
    axes = axes_of(options.kind)
    # what no value varies is a constant, and what decides shapes must be one
    fixed = [name for name in space[0] if name in axes.sizes or name not in numbers]
    columns = TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(compact=True), console=console) as bar:
        number = _number_of_configurations(options, space)
        task = bar.add_task("train", total=number * options.seeds)
        made = 0

        def progress(runs: Sequence[Run]) -> None:
            nonlocal made
            made += len(runs)
            bar.update(task, advance=len(runs))

        common = {
            "seeds": options.seeds,
            "structural": fixed,
            "batch_size": options.together,
            "devices": options.devices,
            "table": folder / "table.csv",
            "valid": partial(_check, swept),
            "progress": progress,
        }
        if options.search == "grid":
            method = options.method
            found = run_sweep(training(swept), space, method=method, **common)
        else:
            found = _search(options, swept, space, **common)
        bar.update(task, completed=len(found.runs))
    _check_courses(found.runs, swept, folder / "table.csv")
    if made < len(found.runs):
        console.print(f"{len(found.runs) - made} trainings were in the table already.")
    return found


def _search(options: Options, swept: Swept, space: list[Config], **common) -> Sweep:
    return optuna_search(
        training(swept),
        _settled_axes(searched(options), space),
        metric=swept.workflow.judged,
        number=options.draws,
        rounds=options.rounds,
        seed=options.seed,
        method="map" if options.method == "map" else "vmap",
        **common,
    )


def _settled_axes(axes: dict[str, Axis], space: list[Config]) -> dict[str, Axis]:
    """The axes, with constants as the data settle them where they do for all."""
    for name, axis in axes.items():
        settled = tuple(dict.fromkeys(config[name] for config in space))
        if isinstance(axis, Choice) and len(axis.values) == len(settled) == 1:
            axes = {**axes, name: Choice(settled)}
    return axes


def _check_courses(runs: list[Run], swept: Swept, path: Path) -> None:
    """Raise `TableError` where a run that the table held is not one of this sweep."""
    for run in runs:
        if run.status != "done":
            continue
        course = run.metrics.get("valid_loss")
        evals = len(measured_at(swept.options(run.config)))
        judged = last(run.metrics.get(swept.workflow.judged))
        if not (
            isinstance(course, list)
            and len(course) == evals
            and not any(isinstance(loss, list) for loss in course)
            and math.isfinite(course[-1])
            and isinstance(judged, int | float)
        ):
            raise TableError(
                f"{path} is damaged: run {run.number} has not {evals} validation "
                "losses. Delete its line, and it is made again."
            )


def _conclude(
    console: Console, swept: Swept, space: list[Config], runs: list[Run], folder: Path
) -> None:
    names = varied(space)
    for status in ("diverged", "refused", "out of memory"):
        those = [run for run in runs if run.status == status]
        if those:
            # the sweep's batch is what goes side by side, not the trainings' own
            note = in_command_words(those[0].note, batch_size="together")
            note = f": {note}" if note else ""
            console.print(
                f"{len(those)} {status}{note}", style="yellow", soft_wrap=True
            )
    if not any(run.metrics for run in runs):
        raise UserError("No training was made.")
    tried = [run for run in runs if run.status != "refused"]
    rows = ranking(tried, swept.workflow.judged)
    console.print(best_table(rows[:SHOWN], names, _title(swept.workflow)))
    made = figures.draw(runs, names, swept, folder)
    console.print(f"Files: {folder / 'table.csv'}, {', '.join(p.name for p in made)}")
    if rows[0].failed == 0:
        best = {name: rows[0].config[name] for name in names}
        command = train_command(replace(swept.base, **best))
        console.print(f"The best, trained like this:\n  {command}", soft_wrap=True)


def _title(workflow: Workflow) -> str:
    if workflow.judged == "best_loss":
        return "Best on the validation part"
    return "Best on the validation text, nats"


def best_table(rows: list[Ranked], names: list[str], title: str) -> Table:
    """The best configurations and how sure their order is."""
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_column("loss", justify="right", no_wrap=True)
    table.add_column("failed", justify="right")
    for row in rows:
        cells = [
            f"{v:.3g}" if isinstance(v, float) else str(v)
            for v in (row.config[name] for name in names)
        ]
        table.add_row(*cells, _with_error(row), str(row.failed or ""))
    return table


def train_command(config: TrainingOptions) -> str:
    """The command that trains like this once more."""
    task, default = workflow_of(config).command, type(config)()
    words = ["jrnn", task, *map(str, getattr(config, "files", ()))]
    for name in changed(config, default):
        value = getattr(config, name)
        if name in ("files", "out"):
            continue
        if isinstance(value, bool):
            words.append(option(name) if value else f"--no-{option(name)[2:]}")
        elif isinstance(value, tuple):
            words += [option(name), *map(str, value)]
        else:
            words += [option(name), f"{value}"]
    return shlex.join(words)


def _with_error(row: Ranked) -> str:
    if not math.isfinite(row.mean):
        return "diverged"
    error = f" ± {row.error:.4f}" if math.isfinite(row.error) else ""
    return f"{row.mean:.4f}{error}"


def _describe(group: Group, names: list[str]) -> str:
    of = ", ".join(f"{group.fixed[name]}" for name in names if name in group.fixed)
    way = (
        "one at a time"
        if group.batch_size == 1
        else f"{group.batch_size} side by side on a device"
    )
    if group.one_thread:
        way += ", products of one thread"
    programs = f"{group.programs} program{'s'[: group.programs > 1]}"
    return (
        f"{of + ': ' if of else ''}{group.runs} trainings, {way}, in "
        f"{duration(group.seconds)}; {programs} compiled in "
        f"{duration(group.compile_seconds)}"
    )


def _names(names: list[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _folder(options: Options) -> Path:
    return options.out or Path("sweeps") / run_name(options.value("files"))


def _facts(options: Options, swept: Swept) -> dict[str, Any]:
    """What a sweep is of, besides its space, as JSON holds it."""
    base, data = swept.base, swept.data
    search = {"search": options.search}
    if options.search == "optuna":  # what it chooses depends on all that ended before
        names = "draws", "seeds", "seed"
        search |= {name: getattr(options, name) for name in names}
        search |= {name: options.value(name) for name in axes_of(options.kind).names}
    if isinstance(options, SweepOptions):
        names = "steps", "evals", "schedule", "level", "min_count"
        same = {name: getattr(options, name) for name in names}
        return {"text": data.sha256, **same, "warmup": base.rise, **search}
    aside = {*base.elsewhere.split(), *axes_of(options.kind).names}
    given = options_as_json(base)
    same = {name: given[name] for name in options.given if name not in aside}
    return {"task": swept.workflow.command, "data": data.sha256, **same, **search}


def _check_same(path: Path, options: Options, swept: Swept) -> None:
    """Write down what the table is of, or compare with what is written there."""
    now = _facts(options, swept)
    if not path.exists():
        write_json(path, now)
        return
    before = read_json(path)
    if not isinstance(before, dict):
        raise TableError(f"{path} is damaged: it does not say what the sweep is of.")
    before = {"search": "grid", **before}  # those written before there was another
    for name, value in now.items():
        if before.get(name) != value:
            what = _FACTS.get(name, option(name))
            raise TableError(
                f"{path.parent} holds another sweep: {what} differs.\n"
                "Choose another directory with --out, or delete that one."
            )
