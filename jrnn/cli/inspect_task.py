"""`jrnn inspect` of a run on examples: a page of channels, states and answers."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.table import Table

from jrnn.cli.config import Inspect
from jrnn.cli.display import Console, two_columns
from jrnn.cli.errors import UserError
from jrnn.cli.evaluate_examples import own_parts, part_of
from jrnn.cli.pair_options import Translate
from jrnn.cli.predict import Answerer, load_answerer, unanswered
from jrnn.cli.run import RunDirectory, read_config
from jrnn.cli.shown import chosen, shown_of
from jrnn.cli.tasks.batches import plain
from jrnn.cli.words import plain_errors
from jrnn.data import Dataset
from jrnn.inspect import (
    Effect,
    RecordedExamples,
    RecordedLayer,
    Shown,
    correlations,
    ranked,
    record_task,
    task_effects,
    write_task_page,
)
from jrnn.inspect.ablate_task import FIGURES
from jrnn.inspect.examples import features_of
from jrnn.inspect.layer_contents import STATES
from jrnn.tasks.fit import predict, sums_over
from jrnn.tasks.reader import cell_of

KINDS = {"lstm": "LSTM", "gru": "GRU", "irnn": "IRNN", "elman": "Elman"}
_WORK = 1e11  # multiplications for the effects of all units, some seconds
_LISTED = 12  # features in the table
_GROUPS = 8  # of examples, by which an effect's error is found


class _Seen(NamedTuple):
    """What is looked at."""

    dataset: Dataset
    source: str  # what it is called
    available: int  # examples that there are
    note: str | None  # to be said of it


class _Measured(NamedTuple):
    effects: list[Effect] | None
    examples: int
    figure: str  # what `Effect.figure` is


def inspect_task(options: Inspect, page: Path, title: str) -> None:
    """Run the command on such a run."""
    if isinstance(read_config(RunDirectory(options.run))[0], Translate):
        raise UserError(
            f"{options.run} is a run of jrnn translate, of which there is no page.\n"
            "Where its attention looks is told, in a script, by "
            "jrnn.tasks.translation_model(...).look."
        )
    trained = load_answerer(options.run, options.checkpoint)
    seen = _seen(trained, options)
    console = Console(highlight=False)
    task, params = trained.task, trained.weights.params
    with plain_errors(ValueError, TypeError), console.status("read the examples ..."):
        recording = record_task(task, params, seen.dataset)
        answers = predict(task, params, seen.dataset)
    shown = shown_of(trained, seen.dataset, answers)
    with console.status("measure units ..."):
        measured = _measured(trained, recording, seen.dataset, options)
    figures = _figures(trained, seen.dataset)
    facts = [_model(recording.layers), seen.source, _extent(trained, seen, recording)]
    with plain_errors(OSError), console.status("write the page ..."):
        size = write_task_page(
            page,
            recording,
            shown,
            title=title,
            facts=facts + ([figures] if figures else []),
            effects=measured.effects,
            figure=measured.figure.replace("_", " "),
            measured=measured.examples,
            megabytes=options.megabytes,
        )
    rows = [("data", seen.source), ("model", facts[0])]
    rows += [("figures", figures)] if figures else []
    rows.append(("page", f"{size / 1e6:.1f} MB, {facts[2]}"))
    console.print(two_columns(str(page), rows))
    console.print(_following(recording, shown))
    if seen.note:
        console.print(seen.note, markup=False)
    console.print("Open it in any browser; it needs no network.")


# What is looked at


def _seen(trained: Answerer, options: Inspect) -> _Seen:
    unit = trained.command.unit
    note = None
    if options.file is None:
        name, dataset = own_parts(trained, options.run)[-1]  # test, or else validation
    else:
        (name, dataset), note = _of_file(trained, options.file)
    if not len(dataset.inputs):
        raise UserError(f"{name} has no {unit}.\nName a file that has.")
    some = chosen(trained, dataset, options.length)
    return _Seen(dataset.take(some), name, len(dataset.inputs), note)


def _of_file(trained: Answerer, file: Path) -> tuple[tuple[str, Dataset], str | None]:
    """The examples of a file, with what is asked about them if it says so."""
    try:
        return part_of(trained, file), None
    except UserError:
        # what jrnn predict reads: if that fails too, its reason is the one that counts
        found = unanswered(trained, file)
    note = f"{found[0]} does not say what is right: there is no loss, and no effect."
    return found, note


# What is measured


def _measured(
    trained: Answerer, recording: RecordedExamples, dataset: Dataset, options: Inspect
) -> _Measured:
    """The effect of every unit, on examples with so many steps."""
    if dataset.targets is None or options.ablate == 0:
        return _Measured(None, 0, "")
    units = sum(layer.units for layer in recording.layers)
    weights = sum(leaf.size for leaf in jax.tree.leaves(trained.weights.params))
    wanted = options.ablate
    if wanted is None:
        wanted = min(65536, max(512, int(_WORK / (units * weights))))
    some = dataset.take(chosen(trained, dataset, wanted))
    config, known, command = trained.config, trained.known, trained.command

    def make(cell):
        return command.task(dataclasses.replace(config, cell=cell), known)

    params = trained.weights.params
    cell = cell_of("inspect", config.cell)
    effects = task_effects(make, cell, params, some, groups=_GROUPS)
    return _Measured(effects, len(some.inputs), _figure(trained, some))


def _figure(trained: Answerer, dataset: Dataset) -> str:
    figures = _all_figures(trained, dataset.take(slice(0, 1)))
    return next((name for name in FIGURES if figures.get(name) is not None), "")


def _all_figures(trained: Answerer, dataset: Dataset) -> dict[str, Any]:
    task, params = trained.task, trained.weights.params
    sums = sums_over(jax.jit(task.sums), params, dataset, 64)
    return {name: plain(value) for name, value in task.figures(sums).items()}


def _figures(trained: Answerer, dataset: Dataset) -> str:
    if dataset.targets is None:
        return ""
    return trained.command.shown(_all_figures(trained, dataset))


# What the command and the page say of it


def _model(layers: list[RecordedLayer]) -> str:
    """Such as "1 layer of 8 GRU units in both directions"."""
    forward = [layer for layer in layers if not layer.name.startswith("backward")]
    both = " in both directions" if len(forward) < len(layers) else ""
    counts = Counter((layer.kind, layer.units) for layer in forward)
    return ", ".join(
        f"{number} {'layers' if number > 1 else 'layer'} of {units} "
        f"{KINDS.get(kind, kind)} units{both}"
        for (kind, units), number in counts.items()
    )


def _extent(trained: Answerer, seen: _Seen, recording: RecordedExamples) -> str:
    unit, n = trained.command.unit, len(recording.lengths)
    of = f"{n:,} of {seen.available:,}" if n < seen.available else f"{n:,}"
    unit = unit.removesuffix("s") if of == "1" else unit
    return f"{of} {unit}, {int(recording.lengths.sum()):,} steps"


def _following(recording: RecordedExamples, shown: Shown) -> Table:
    """The unit that follows each feature most."""
    table = Table(title="Units that follow the data most", title_justify="left")
    for name in ("what", "unit"):
        table.add_column(name, overflow="fold")
    table.add_column("correlation", justify="right")
    found = features_of(shown)
    values = {key: feature.values for key, feature in found.items()}
    best: dict[str, tuple[float, str]] = {}
    for layer in recording.layers:
        of = f"{layer.name}, " if layer.name else ""
        for part in layer.parts.keys() - set(layer.gates):
            for row, key in zip(
                correlations(layer.parts[part], values), values, strict=True
            ):
                unit = int(ranked(row)[0])
                entry = float(row[unit]), f"{of}unit {unit}, {STATES.get(part, part)}"
                best[key] = max(best.get(key, (0.0, "")), entry, key=_strength)
    strongest = sorted(best.items(), key=lambda item: -_strength(item[1]))[:_LISTED]
    for key, (r, unit) in strongest:
        if r:
            table.add_row(_escaped(found[key].label), unit, f"{r:+.2f}")
    return table


def _strength(entry: tuple[float, str]) -> float:
    return abs(entry[0])


def _escaped(label: str) -> str:
    """A label without what a terminal would act on."""
    shown = "".join(c if c.isprintable() else "�" for c in label)
    return shown.replace("[", r"\[")
