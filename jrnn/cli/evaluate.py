"""`jrnn eval`: a trained run measured on texts."""

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from jrnn.cli.config import Eval
from jrnn.cli.data import load_data
from jrnn.cli.display import BITS, UNITS, Console
from jrnn.cli.errors import UserError
from jrnn.cli.evaluate_examples import evaluate_examples, is_of_examples
from jrnn.cli.loaded import load_model
from jrnn.cli.notices import list_some, of_evaluation, warn
from jrnn.cli.run import RunDirectory, Trained, read_train
from jrnn.cli.words import in_command_words, plain_errors
from jrnn.text import Vocabulary, encode, find_files, read_files, unknown_symbols
from jrnn.text.files import name_of
from jrnn.train import evaluate


class Text(NamedTuple):
    """A text to be measured."""

    name: str
    tokens: np.ndarray  # (N,) what the model reads
    counted: np.ndarray  # (N,) whether a token is in the sum
    unknown: int  # symbols that are not in the vocabulary


class Measured(NamedTuple):
    """What a model makes of a text; sums of them are what it makes of all."""

    name: str
    nats: float  # sum of -log p over the tokens that count
    tokens: int  # how many they are
    unknown: int


def evaluate_files(options: Eval) -> None:
    """Run the command."""
    if is_of_examples(options.run):
        evaluate_examples(options)
        return
    if options.rows < 1:
        raise UserError(f"--rows must be at least 1, got {options.rows}.")
    if options.context < 0:
        raise UserError(f"--context must be >= 0, got {options.context}.")
    trained = load_model(options.run, options.checkpoint)
    warn(of_evaluation(options, trained.vocabulary))
    measured, refused = [], []
    for read in _texts(trained, options):
        try:
            measured.append(_measure(trained, read(), options))
        except UserError as error:
            refused.append(str(error))
    if measured:
        title = str(options.run)
        if trained.config:
            title += f", {trained.path.name} of step {trained.facts['step']}"
        console = Console(highlight=False)
        # validation and test part are not one text
        total = _total(measured) if options.files and len(measured) > 1 else []
        console.print(_table(title, trained.vocabulary.level, measured, total))
        for remark in _remarks(measured, trained, options):
            console.print(remark)
    for message in refused[:-1]:
        print(f"jrnn: {message}", file=sys.stderr)
    if refused:  # the last one ends the command
        raise UserError(refused[-1])


def encoded(vocabulary: Vocabulary, text: str | bytes, unknown: str, name: str) -> Text:
    """Tokens of a text, and which of them count, by the option `--unknown`.

    count: every token counts, the unknown one with its own probability. Without an
    unknown token a symbol that is not in the vocabulary has probability 0 and the loss
    is infinite: the text is refused.
    skip: the unknown token is read and does not count. Without one such a symbol is
    neither read nor counted: the text is measured as if it were not there. At level
    word the space in front of an unknown word is a token of its own, and counts.
    fail: a text with such a symbol is refused.
    """
    missing = unknown_symbols(vocabulary, text)
    if missing and unknown == "fail":
        raise UserError(_has_unknown(name, missing.total(), f": {list_some(missing)}"))
    left_out = missing and unknown == "skip" and vocabulary.unknown is None
    if left_out and isinstance(text, str):  # bytes are all known
        text = text.translate({ord(symbol): None for symbol in missing})
    try:
        tokens = encode(vocabulary, text)
    except ValueError as error:
        what = in_command_words(str(error)).partition("\n")[0]
        raise UserError(
            f"{name}: {what}\nLeave such symbols out with --unknown skip, or train "
            "with --min-count 2 or --level byte."
        ) from None
    return Text(
        name, tokens, _which_count(vocabulary, tokens, unknown), missing.total()
    )


def _which_count(
    vocabulary: Vocabulary, tokens: np.ndarray, unknown: str
) -> np.ndarray:
    if unknown == "skip" and vocabulary.unknown is not None:
        return tokens != vocabulary.unknown
    return np.ones(len(tokens), bool)


def _has_unknown(name: str, number: int, which: str = "") -> str:
    plural = "s" if number > 1 else ""
    return f"{name} has {number:,} symbol{plural} that the run does not know{which}."


# Each text is read when its turn comes: one that fails does not hold up the others.


def _texts(trained: Trained, options: Eval) -> list[Callable[[], Text]]:
    if not options.files:
        return own_texts(trained, options)
    files = [file for given in options.files for file in _files(given)]
    return [partial(_file, trained, file, options.unknown) for file in files]


def _files(given: Path) -> list[Path]:
    try:
        return find_files(given)
    except (OSError, ValueError):
        return [given]  # reading it tells what is wrong with it


def _file(trained: Trained, file: Path, unknown: str) -> Text:
    with plain_errors():
        text = read_files(file, trained.vocabulary.level)
    return encoded(trained.vocabulary, text, unknown, name_of(file))


def own_texts(trained: Trained, options: Eval) -> list[Callable[[], Text]]:
    """The held-out parts of a run's own text, each read when it is asked for."""
    if trained.config is None:
        raise UserError(
            f"{options.run} is a file and has no text. Name files to measure."
        )
    run = RunDirectory(options.run)
    data = load_data(trained.config, trained.vocabulary, run.text)
    if data.sha256 != read_train(run)[1]["text"]["sha256"]:
        raise UserError(
            f"The text is not the one that {options.run} was trained on "
            f"({data.source}).\nName the files to measure."
        )
    parts = {"validation": data.valid, "test": data.test}
    if not any(len(tokens) > 1 for tokens in parts.values()):
        raise UserError(f"{options.run} has no held-out text. Name files to measure.")
    return [
        partial(_part, trained, f"{part} part of the run's text", tokens, options)
        for part, tokens in parts.items()
        if len(tokens) > 1
    ]


def _part(trained: Trained, name: str, tokens: np.ndarray, options: Eval) -> Text:
    vocabulary = trained.vocabulary
    unknown = 0
    if vocabulary.unknown is not None:
        unknown = int((tokens == vocabulary.unknown).sum())
    if unknown and options.unknown == "fail":
        raise UserError(_has_unknown(name, unknown))
    return Text(
        name, tokens, _which_count(vocabulary, tokens, options.unknown), unknown
    )


def _measure(trained: Trained, text: Text, options: Eval) -> Measured:
    if len(text.tokens) > 1 and not text.counted[1:].any():
        raise UserError(f"{text.name} has no symbol that the run knows.")
    try:
        nats, count = evaluate(
            trained.model.evaluate,
            trained.params,
            text.tokens,
            rows=options.rows,
            context=options.context,
            counted=text.counted,
        )
    except ValueError as error:
        raise UserError(f"{text.name}: {in_command_words(str(error))}") from None
    return Measured(text.name, float(nats) * count, count, text.unknown)


def _total(measured: list[Measured]) -> list[Measured]:
    _, *numbers = zip(*measured, strict=True)
    return [Measured("total", *map(sum, numbers))]


def _table(title: str, level: str, *sections: list[Measured]) -> Table:
    unit = UNITS[level]
    unknown = any(row.unknown for rows in sections for row in rows)
    table = Table(title=title, title_justify="left")
    table.add_column("text", overflow="fold")
    for name in (unit, "nats", f"bits per {unit[:-1]}", "perplexity"):
        table.add_column(name, justify="right")
    if unknown:
        table.add_column("unknown", justify="right")
    for rows in sections:
        for row in rows:
            nats = row.nats / row.tokens
            numbers = [f"{row.tokens:,}", f"{nats:.4f}", f"{nats * BITS:.4f}"]
            numbers.append(f"{math.exp(min(nats, 700.0)):.3f}")
            numbers += [f"{row.unknown:,}"] * unknown
            table.add_row(row.name, *numbers)
        table.add_section()
    return table


def _remarks(measured, trained: Trained, options: Eval) -> list[str]:
    unknown = sum(row.unknown for row in measured)
    token = trained.vocabulary.unknown is not None
    if not unknown:
        return []
    how = {
        ("count", True): "counted with the probability of the unknown token",
        ("skip", True): "read as the unknown token and not counted",
        ("skip", False): "left out of the text",
    }[options.unknown, token]
    which = f"{unknown:,} unknown symbols are" if unknown > 1 else "1 unknown symbol is"
    remarks = [f"{which} {how}."]
    if trained.vocabulary.level == "word":
        remarks.append("The space in front of one is a token of its own.")
    if token:
        remarks.append("Figures of runs with other vocabularies do not compare.")
    return remarks
