"""`jrnn eval` of a task on sequences: its figures on files of examples."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.table import Table

from jrnn.cli.config import Eval
from jrnn.cli.display import Console
from jrnn.cli.errors import UserError
from jrnn.cli.options import TrainingOptions
from jrnn.cli.predict import ROWS, Answerer, load_answerer
from jrnn.cli.run import RunDirectory, read_config
from jrnn.cli.tasks import ON_EXAMPLES
from jrnn.cli.tasks.batches import plain
from jrnn.cli.words import plain_errors
from jrnn.data import Dataset
from jrnn.tasks.fit import sums_over

Parts = list[tuple[str, Dataset]]


def is_of_examples(path: Path) -> bool:
    """Whether a path is a run of a task on sequences."""
    if not RunDirectory(path).config.exists():
        return False
    return type(read_config(RunDirectory(path))[0]) in ON_EXAMPLES


def evaluate_examples(options: Eval) -> None:
    """Run the command on such a run."""
    trained = load_answerer(options.run, options.checkpoint)
    parts, refused = [], []
    if not options.files:
        parts = own_parts(trained, options.run)
    for file in options.files:
        try:
            parts.append(part_of(trained, file))
        except UserError as error:  # the others are measured nevertheless
            refused.append(str(error))
    if parts:
        _show(trained, options, parts)
    for message in refused[:-1]:
        print(f"jrnn: {message}", file=sys.stderr)
    if refused:  # the last one ends the command
        raise UserError(refused[-1])


def _show(trained: Answerer, options: Eval, parts: Parts) -> None:
    task, params = trained.task, trained.weights.params
    sums = jax.jit(task.sums)
    measured = [sums_over(sums, params, dataset, ROWS) for _, dataset in parts]
    rows = [
        (name, len(dataset.inputs), _figures(trained, of))
        for (name, dataset), of in zip(parts, measured, strict=True)
    ]
    if options.files and len(parts) > 1:  # validation and test are not one
        total = jax.tree.map(lambda *each: np.sum(each, axis=0), *measured)
        count = sum(len(dataset.inputs) for _, dataset in parts)
        rows.append(("total", count, _figures(trained, total)))
    weights = trained.weights
    title = f"{options.run}, {weights.path.name} of step {weights.facts['step']}"
    table = Table(title=title, title_justify="left")
    table.add_column("data", overflow="fold")
    table.add_column("examples", justify="right")
    table.add_column("figures", overflow="fold")
    for name, count, figures in rows:
        table.add_row(name, f"{count:,}", trained.command.shown(figures))
    console = Console(highlight=False)
    console.print(table)
    if options.files and rows[-1][2].get("accuracy") != 0:
        for words in trained.command.details(trained.known, rows[-1][2]):
            console.print(words, markup=False, soft_wrap=True)
    for name, dataset in parts:
        for words in _unseen(name, dataset, trained.known):
            console.print(words, markup=False)


def _figures(trained: Answerer, sums: Any) -> dict[str, Any]:
    return {name: plain(value) for name, value in trained.task.figures(sums).items()}


def own_parts(trained: Answerer, directory: Path) -> Parts:
    """The held-out parts of the run's own data."""
    run = RunDirectory(directory)
    described = read_config(run)[1]
    content = run.text.read_bytes() if run.text.exists() else None
    with plain_errors():
        data = trained.command.read(trained.config, trained.known, content)
    if data.sha256 != described["data"]["sha256"]:
        raise UserError(
            f"The data are not those that {directory} was trained on "
            f"({data.source}).\nName the files to measure."
        )
    names = {"valid": "validation part", "test": "test part"}
    parts = [(name, data.part(part)) for part, name in names.items()]
    found = [(name, dataset) for name, dataset in parts if dataset is not None]
    if not found:
        raise UserError(f"{directory} has no held-out data. Name files to measure.")
    return found


def part_of(trained: Answerer, file: Path) -> tuple[str, Dataset]:
    """What a file is called, and all of its examples."""
    config: TrainingOptions = dataclasses.replace(
        trained.config,
        files=(file,),
        split=(1.0, 0.0, 0.0),
        **({"test": ()} if hasattr(trained.config, "test") else {}),
    )
    with plain_errors():
        data = trained.command.read(config, trained.known, None)
    if data.part("test"):  # of NAME_TRAIN.ts and NAME_TEST.ts
        return data.source, data.test
    return data.source, data.train


def _unseen(name: str, dataset: Dataset, known: dict[str, Any]) -> list[str]:
    if "classes" not in known:
        return []
    targets = getattr(dataset.targets, "values", dataset.targets)
    count = int((np.asarray(targets) < 0).sum())
    if not count:
        return []
    return [
        f"{name}: {count:,} have classes that the run does not know; no answer to them "
        "is right."
    ]
