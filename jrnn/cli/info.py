"""`jrnn info`: what a run is and how far it got."""

import dataclasses
from typing import Any

import jax
import numpy as np

from jrnn.cli.config import Info, Train, option
from jrnn.cli.display import UNITS, Console, losses, two_columns
from jrnn.cli.errors import UserError
from jrnn.cli.results import caution, read_results
from jrnn.cli.run import (
    RunDirectory,
    build_model,
    origin_of,
    read_config,
    read_vocabulary,
)
from jrnn.cli.stored import Lines, read_metrics
from jrnn.files.runs import params_like

Rows = list[tuple[str, str]]


def info(options: Info) -> None:
    """Run the command."""
    run = RunDirectory(options.run)
    config, described = read_config(run)
    metrics, notes = read_metrics(run.metrics), []
    try:
        results = read_results(run) or {}
    except UserError as error:  # the rest can be told nevertheless
        results, notes = {}, [str(error)]
    if note := metrics.note():
        notes.append(note)
    done = metrics.lines[-1]["step"] if metrics.lines else 0
    rows = _model(run, config, described)
    rows += _progress(config, done, metrics, results)
    versions = described["versions"]
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items() if v)))
    console = Console(highlight=False)
    console.print(two_columns(str(options.run), rows))
    console.print(two_columns("Options", _options(config)))
    for line in notes + _cautions(config, described):
        console.print(line, markup=False)
    if done < config.steps and results.get("status") != "stopped early":
        console.print(f"Go on with it: jrnn train --resume {options.run}", markup=False)


def _model(run: RunDirectory, config: Train, described: dict[str, Any]) -> Rows:
    vocabulary = read_vocabulary(run, described)
    model = build_model(config, len(vocabulary))
    shapes = [p.shape for p in jax.tree.leaves(params_like(model.evaluate))]
    count = sum(int(np.prod(shape, dtype=object)) for shape in shapes)
    text, unit = described["text"], UNITS[config.level]
    rows = [
        ("model", f"{config.layers} x {config.cell} {config.hidden_size}"),
        ("parameters", f"{count:,}"),
        ("text", f"{text['source']}, {text['tokens']:,} {unit}"),
        ("symbols", f"{len(vocabulary)} ({config.level})"),
    ]
    if origin := origin_of(described):
        rows.append(("weights", origin.told()))
    return rows


def _progress(
    config: Train, done: int, metrics: Lines, results: dict[str, Any]
) -> Rows:
    rows = [("steps", f"{done} of {config.steps}")]
    if results.get("step") == done:
        rows[0] = ("steps", f"{done} of {config.steps}, {results['status']}")
    elif results.get("status") == "diverged":
        rows.append(("diverged", f"before step {results['step']}"))
    if metrics.lines:
        rows.append(("training loss", losses(metrics.lines[-1]["loss"])))
    valid = [m for m in metrics.lines if "valid_loss" in m]
    if valid:
        best = min(valid, key=lambda m: m["valid_loss"])
        rows.append(("validation", losses(best["valid_loss"])))
        rows.append(("best at step", str(best["step"])))
    nats = results.get("test", {}).get("nats")
    if nats is not None:
        of = results.get("weights", {}).get("step")
        rows.append(("test", f"{losses(nats)} (weights of step {of})"))
    return rows


def _cautions(config: Train, described: dict[str, Any]) -> list[str]:
    parts = described["text"].get("parts")  # earlier versions have none
    if not parts:
        return []
    _, valid, test = parts
    words = caution(valid, test, UNITS[config.level])
    return [words] if words else []


def _options(config: Train) -> Rows:
    hidden = ("files", "out", "resume", "overwrite", "text", "from_", "cluster")
    return [
        (option(f.name), _shown(getattr(config, f.name)))
        for f in dataclasses.fields(Train)
        if f.name not in hidden
    ]


def _shown(value) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "-" if value is None else str(value)
