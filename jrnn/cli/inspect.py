"""`jrnn inspect`: a page that shows what the units of a trained run do."""

from collections import Counter
from pathlib import Path

import jax
import numpy as np
from rich.table import Table

from jrnn.cli.config import Eval, Inspect, option
from jrnn.cli.display import UNITS, Console, losses, two_columns
from jrnn.cli.errors import UserError
from jrnn.cli.evaluate import Text, encoded, own_texts
from jrnn.cli.evaluate_examples import is_of_examples
from jrnn.cli.inspect_task import KINDS, inspect_task
from jrnn.cli.loaded import load_model
from jrnn.cli.notices import warn
from jrnn.cli.page import destination
from jrnn.cli.run import RunDirectory, Trained
from jrnn.cli.words import plain_errors
from jrnn.inspect import (
    Effect,
    Recording,
    correlations,
    effects,
    features,
    ranked,
    record_text,
    write_page,
)
from jrnn.inspect.contents import FEATURES, pieces_of
from jrnn.inspect.layer_contents import STATES
from jrnn.text import read_files
from jrnn.text.files import name_of

_WORK = 1e11  # multiplications for the effects of all units, some seconds


def inspect(options: Inspect) -> None:
    """Run the command."""
    _check_numbers(options)
    page = _destination(options)
    if is_of_examples(options.run):
        inspect_task(options, page, f"Inside {_name(options.run)}")
        return
    trained = load_model(options.run, options.checkpoint)
    if trained.config is None and options.checkpoint != "best":
        warn(["--checkpoint does nothing for a file, which has one set of weights."])
    text = _text(trained, options)
    tokens = text.tokens[: options.length]
    console = Console(highlight=False)
    with plain_errors(ValueError, TypeError), console.status("read the text ..."):
        recording = record_text(trained.model.evaluate, trained.params, tokens)
    with console.status("measure units ..."):
        found, measured = _effects(trained, recording, tokens, options)
    facts = _facts(trained, recording, text.name)
    with plain_errors(OSError), console.status("write the page ..."):
        size = write_page(
            page,
            recording,
            tokens,
            trained.vocabulary,
            title=f"Inside {_name(options.run)}",
            facts=facts,
            effects=found,
            measured=measured,
            megabytes=options.megabytes,
        )
    rows = [("text", facts[1]), ("model", facts[0]), ("loss", _loss(recording))]
    rows.append(("page", f"{size / 1e6:.1f} MB, {_extent(trained, text, tokens)}"))
    console.print(two_columns(str(page), rows))
    console.print(_following(recording, pieces_of(trained.vocabulary, tokens)))
    if text.unknown:
        console.print(_remark(trained, text.unknown), markup=False)
    console.print("Open it in any browser; it needs no network.")


def _check_numbers(options: Inspect) -> None:
    least = {"length": 2, "megabytes": 1, "ablate": 0}
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            raise UserError(f"{option(name)} must be at least {smallest}, got {value}.")


def _destination(options: Inspect) -> Path:
    page = options.out or Path(f"{_name(options.run)}.html")
    own = [*RunDirectory(options.run).files, options.run, options.file or options.run]
    return destination(page, own, overwrite=options.overwrite)


def _name(run: Path) -> str:
    """What a run is called: its directory, or its file without the ending."""
    return run.stem if run.is_file() else run.resolve().name


def _text(trained: Trained, options: Inspect) -> Text:
    if options.file is None:
        return own_texts(trained, Eval(run=options.run, unknown="skip"))[0]()
    with plain_errors():
        text = read_files(options.file, trained.vocabulary.level)
    name = name_of(options.file)
    found = encoded(trained.vocabulary, text, "skip", name)
    if len(found.tokens) < 2:
        known = " that the run knows" if found.unknown else ""
        unit = UNITS[trained.vocabulary.level]
        raise UserError(
            f"{name} has {len(found.tokens)} {unit}{known}; at least 2 are needed."
        )
    return found


def _effects(
    trained: Trained, recording: Recording, tokens: np.ndarray, options: Inspect
) -> tuple[list[Effect] | None, int]:
    """The effect of every unit, and on how many tokens it was measured."""
    units = sum(layer.units for layer in recording.layers)
    weights = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    wanted = options.ablate
    if wanted is None:
        wanted = min(8192, max(512, int(_WORK / (units * weights))))
    if wanted < 2:
        return None, 0
    some = tokens[:wanted]
    rows = max(4, min(16, len(some) // 128))
    model, params = trained.model.evaluate, trained.params
    return effects(model, params, some, rows=rows), len(some)


# What the command and the page say of it


def _facts(trained: Trained, recording: Recording, text: str) -> list[str]:
    layers = Counter((layer.kind, layer.units) for layer in recording.layers)
    model = ", ".join(
        f"{number} {'layers' if number > 1 else 'layer'} of {units} "
        f"{KINDS.get(kind, kind)} units"
        for (kind, units), number in layers.items()
    )
    count = f"{len(recording.nats):,} {UNITS[trained.vocabulary.level]}"
    return [model, text, count, f"loss {_loss(recording)}"]


def _loss(recording: Recording) -> str:
    return losses(float(np.nanmean(recording.nats)))


def _extent(trained: Trained, text: Text, tokens: np.ndarray) -> str:
    unit = UNITS[trained.vocabulary.level]
    if len(tokens) == len(text.tokens):
        return f"all {len(tokens):,} {unit}"
    return f"the first {len(tokens):,} of {len(text.tokens):,} {unit} (--length)"


def _following(recording: Recording, pieces: list[str]) -> Table:
    """The unit that follows each feature most."""
    table = Table(title="Units that follow the text most", title_justify="left")
    for name in ("what", "unit"):
        table.add_column(name)
    table.add_column("correlation", justify="right")
    found = features(pieces)
    best: dict[str, tuple[float, str]] = {}
    for layer in recording.layers:
        of = f"{layer.name}, " if layer.name else ""
        for part in layer.parts.keys() - set(layer.gates):
            r = correlations(layer.parts[part], found)
            for row, name in zip(r, found, strict=True):
                unit = int(ranked(row)[0])
                words = f"{of}unit {unit}, {STATES.get(part, part)}"
                best[name] = max(
                    best.get(name, (0.0, "")),
                    (float(row[unit]), words),
                    key=lambda pair: abs(pair[0]),
                )
    for name, (r, unit) in best.items():
        if r:
            table.add_row(FEATURES[name][0], unit, f"{r:+.2f}")
    return table


def _remark(trained: Trained, unknown: int) -> str:
    which = f"{unknown:,} unknown symbols are" if unknown > 1 else "1 unknown symbol is"
    if trained.vocabulary.unknown is None:
        return f"{which} left out of the text."
    return f"{which} read as the unknown token."
