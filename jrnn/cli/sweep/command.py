"""The command: train all, keep the table, show the best."""

import contextlib
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

import jax
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from jrnn._lock import held
from jrnn.cli.cluster import all_or_none, apart, end_without_peers, join
from jrnn.cli.config import PRESETS, Train
from jrnn.cli.data import Data, load_data, run_name
from jrnn.cli.display import UNITS, Console, duration
from jrnn.cli.errors import UserError
from jrnn.cli.notices import warn
from jrnn.cli.options import changed, option
from jrnn.cli.stored import read_json, write_json
from jrnn.cli.sweep import figures
from jrnn.cli.sweep.notices import of_sweep
from jrnn.cli.sweep.options import (
    SIZES,
    SweepOptions,
    base_of,
    space_of,
    train_options,
    varied,
)
from jrnn.cli.sweep.training import training
from jrnn.cli.words import in_command_words, plain_errors
from jrnn.devices import provide_cores
from jrnn.sweep import Group, Ranked, Run, TableError, ranking
from jrnn.sweep import sweep as run_sweep
from jrnn.sweep.execute import mesh_for
from jrnn.sweep.space import Config

SHOWN = 8  # configurations in the printed table
METRIC = "valid_loss"


def sweep(options: SweepOptions) -> None:
    """Run the command."""
    options.check()
    if options.cluster is None:
        provide_cores()
    join(options.cluster)
    kept = "What was complete is in the table: start all again with the same command."
    with end_without_peers(kept), apart() as folder:
        _sweep(options, _folder(options) if folder is None else folder)


def _sweep(options: SweepOptions, folder: Path) -> None:
    if options.devices is not None and options.devices > jax.device_count():
        raise UserError(
            f"--devices is {options.devices}, but this machine has "
            f"{jax.device_count()}."
        )
    with plain_errors(ValueError):
        mesh_for(options.devices)  # now, and not when the text has been read
    base, space = base_of(options), space_of(options)
    data = load_data(_widest(base, space))
    if len(data.valid) < 2:
        raise UserError("The validation part is empty: use a longer text.")
    warn(of_sweep(base, space, options))
    console = Console(highlight=False)
    runs = len(space) * options.seeds
    console.print(
        f"Text: {data.source}, {len(data.vocabulary)} symbols; {len(data.train):,} "
        f"{UNITS[base.level]} to train.\n{len(space)} configurations of "
        f"{_names(varied(space)) or 'nothing varied'}, {options.seeds} seeds: {runs} "
        f"trainings of {base.steps} steps, in {folder}",
        soft_wrap=True,
    )
    with contextlib.ExitStack() as stack, plain_errors(TableError, OSError):
        all_or_none(lambda: _begin(stack, folder, options, data))
        found = _run(console, options, base, space, data, folder)
        for group in found.groups:
            console.print(_describe(group, varied(space)), soft_wrap=True)
        _conclude(console, base, space, found.runs, folder)


def _begin(
    stack: contextlib.ExitStack, folder: Path, options: SweepOptions, data: Data
):
    """Make the folder, or see that it is of the same sweep; keep others out of it."""
    with plain_errors(TableError, OSError):
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(held(folder))
        _check_same(folder / "sweep.json", options, data)


def _run(
    console, options: SweepOptions, base: Train, space: list[Config], data: Data, folder
):
    numbers = varied(space)
    # what no value varies is a constant, and what decides shapes must be one
    fixed = [name for name in space[0] if name in SIZES or name not in numbers]

    def valid(config: Config) -> None:
        try:
            train_options(base, config).check()
        except UserError as error:
            raise ValueError(str(error).replace("\n", " ")) from None

    columns = TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(compact=True), console=console) as bar:
        task = bar.add_task("train", total=len(space) * options.seeds)
        made = 0

        def progress(runs: Sequence[Run]) -> None:
            nonlocal made
            made += len(runs)
            bar.update(task, advance=len(runs))

        found = run_sweep(
            training(base, data),
            space,
            seeds=options.seeds,
            structural=fixed,
            method=options.method,
            batch_size=options.together,
            devices=options.devices,
            table=folder / "table.csv",
            valid=valid,
            progress=progress,
        )
        bar.update(task, completed=len(found.runs))
    _check_courses(found.runs, options.evals, folder / "table.csv")
    if made < len(found.runs):
        console.print(f"{len(found.runs) - made} trainings were in the table already.")
    return found


def _check_courses(runs: list[Run], evals: int, path: Path) -> None:
    """Raise `TableError` where a run that the table held is not one of this sweep."""
    for run in runs:
        course = run.metrics.get(METRIC)
        if run.status == "done" and not (
            isinstance(course, list)
            and len(course) == evals
            and not any(isinstance(nats, list) for nats in course)
            and math.isfinite(course[-1])
        ):
            raise TableError(
                f"{path} is damaged: run {run.number} has not {evals} validation "
                "losses. Delete its line, and it is made again."
            )


def _conclude(
    console: Console, base: Train, space: list[Config], runs: list[Run], folder: Path
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
    rows = ranking(runs, METRIC)
    console.print(best_table(rows[:SHOWN], names))
    made = figures.draw(runs, names, base, folder)
    console.print(f"Files: {folder / 'table.csv'}, {', '.join(p.name for p in made)}")
    if rows[0].failed == 0:
        command = train_command(train_options(base, rows[0].config))
        console.print(f"The best, trained like this:\n  {command}", soft_wrap=True)


def best_table(rows: list[Ranked], names: list[str]) -> Table:
    """The best configurations and how sure their order is."""
    table = Table(title="Best on the validation text, nats", title_justify="left")
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


def train_command(config: Train) -> str:
    """The command that trains like this once more."""
    words = ["jrnn", "train", *map(str, config.files)]
    for name in changed(config, PRESETS["standard"]):
        if name not in ("files", "out"):
            words += [option(name), f"{getattr(config, name)}"]
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


def _folder(options: SweepOptions) -> Path:
    return options.out or Path("sweeps") / run_name(options.files)


def _widest(base: Train, space: list[Config]) -> Train:
    """The configuration that needs most text."""
    most = max(space, key=lambda c: c["batch_size"] * c["window"])
    config = train_options(base, most)
    positive = "batch_size", "window"
    for name in positive:
        if getattr(config, name) < 1:
            raise UserError(f"{option(name)} must be > 0, got {getattr(config, name)}.")
    return config


def _check_same(path: Path, options: SweepOptions, data: Data) -> None:
    """Write down what the table is of, or compare with what is written there."""
    now = {
        "text": data.sha256,
        **{
            name: getattr(options, name)
            for name in ("steps", "evals", "schedule", "level", "min_count")
        },
        "warmup": base_of(options).rise,
    }
    if not path.exists():
        write_json(path, now)
        return
    before = read_json(path)
    if not isinstance(before, dict):
        raise TableError(f"{path} is damaged: it does not say what the sweep is of.")
    for name, value in now.items():
        if before.get(name) != value:
            what = "The text" if name == "text" else option(name)
            raise TableError(
                f"{path.parent} holds another sweep: {what} differs.\n"
                "Choose another directory with --out, or delete that one."
            )
