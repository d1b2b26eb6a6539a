"""`jrnn info`: what a run is and how far it got."""

import dataclasses

import jax
import numpy as np
from rich.console import Console

from jrnn.cli.config import Info, Train, option
from jrnn.cli.display import UNITS, losses, read_metrics, two_columns
from jrnn.cli.run import Run, build_model, params_like, read_config, read_vocabulary


def info(options: Info) -> None:
    """Run the command."""
    run = Run(options.run)
    config, described = read_config(run)
    vocabulary = read_vocabulary(run)
    model = build_model(config, len(vocabulary))
    count = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params_like(model)))
    text, unit = described["text"], UNITS[config.level]
    metrics = read_metrics(run.metrics)
    done = metrics[-1]["step"] if metrics else 0
    rows = [
        ("model", f"{config.layers} x {config.cell} {config.hidden_size}"),
        ("parameters", f"{count:,}"),
        ("text", f"{text['source']}, {text['tokens']:,} {unit}"),
        ("symbols", f"{len(vocabulary)} ({config.level})"),
        ("steps", f"{done} of {config.steps}"),
    ]
    trained = [m for m in metrics if "loss" in m]
    valid = [m for m in metrics if "valid_loss" in m]
    if trained:
        rows.append(("training loss", losses(trained[-1]["loss"])))
    if valid:
        best = min(valid, key=lambda m: m["valid_loss"])
        rows.append(("validation", losses(best["valid_loss"])))
        rows.append(("best at step", str(best["step"])))
    versions = described["versions"]
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items() if v)))
    console = Console(highlight=False)
    console.print(two_columns(str(options.run), rows))
    console.print(two_columns("Options", _options(config)))
    if done < config.steps:
        console.print(f"Go on with it: jrnn train --resume {options.run}", markup=False)


def _options(config: Train) -> list[tuple[str, str]]:
    hidden = ("files", "out", "resume", "overwrite")
    return [
        (option(f.name), _shown(getattr(config, f.name)))
        for f in dataclasses.fields(Train)
        if f.name not in hidden
    ]


def _shown(value) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "-" if value is None else str(value)
