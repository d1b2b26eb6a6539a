"""`jrnn label`: the class of every step of a sequence."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jrnn.cli.class_options import Label
from jrnn.cli.errors import UserError
from jrnn.cli.tasks import classes, numeric, texts
from jrnn.cli.tasks.answers import Lines, Rows
from jrnn.cli.tasks.examples import Command, Examples
from jrnn.cli.tasks.files import Found, form_of, read_each, read_tables
from jrnn.cli.tasks.settled import settle
from jrnn.cli.tasks.sources import (
    Given,
    examples_of,
    files_of,
    inputs_of,
    unseen,
    with_probabilities,
)
from jrnn.cli.workflow import Figures
from jrnn.data import Dataset, Sequences, read_conll
from jrnn.data.conll import Sentence
from jrnn.tasks import Task, labelling
from jrnn.tasks.baselines import most_frequent_class, token_majority

WORDS_TOLD = 12  # of a sentence that is shown


def _read(config: Label, known: dict | None, content: bytes | None) -> Examples:
    given = files_of(config, content)
    if _is_sentences(config, given.found):
        return _read_sentences(config, known, given)
    raw = numeric.read_numeric(config, given.found, "step", known)
    tested = 0
    if given.tests is not None:
        seen = {**numeric.columns_of(raw), **(known or {})}
        more = numeric.read_numeric(config, given.tests, "step", seen)
        raw, tested = numeric.joined(raw, more), len(more.sequences)
    source, sequences = given.found.source, raw.sequences
    assert raw.labels is not None  # they were asked for
    parts = classes.split(config, source, len(sequences), tested, None, raw.groups)
    of_step = lambda values: Sequences(values, sequences.starts, sequences.lengths)
    if known is None:
        labels = steps_of(of_step(raw.labels).take(parts[0]))
        found = classes.classes_of(labels, source)
        known = {**numeric.known_of(raw, parts[0]), "classes": found}
    targets = of_step(classes.numbers_of(raw.labels, known["classes"]))
    data = Dataset(numeric.scaled(raw, known), targets, raw.groups)
    return examples_of(given, data, parts, known)


def _read_sentences(config: Label, known: dict | None, given: Given) -> Examples:
    sentences = _sentences(config, given.found)
    tested = 0
    if given.tests is not None:
        more = _sentences(config, given.tests)
        sentences, tested = sentences + more, len(more)
    source, n = given.found.source, len(sentences)
    parts = classes.split(config, source, n, tested, None, None)
    if known is None:
        train = [sentences[i] for i in parts[0]]
        lexicon = texts.lexicon_of([words for words, _ in train], config.min_count)
        tags = np.array(list(itertools.chain(*(tags for _, tags in train))))
        found = classes.classes_of(tags, source)
        known = {"form": "words", "symbols": lexicon, "classes": found}
    inputs = texts.tokens_of(known["symbols"], [words for words, _ in sentences])
    tags = np.array(list(itertools.chain(*(tags for _, tags in sentences))))
    targets = classes.numbers_of(tags, known["classes"])
    data = Dataset(inputs, Sequences(targets, inputs.starts, inputs.lengths))
    return examples_of(given, data, parts, known)


def _is_sentences(config: Label, found: Found) -> bool:
    form = form_of(found)
    if config.label is None and form == "table":
        raise UserError(
            f"{found.source} is a table: name the column of classes by --label.\n"
            f"Its columns: {', '.join(read_tables(found).columns[:12])}."
        )
    return config.label is None and form == "lines"


def _sentences(config: Label, found: Found) -> list[Sentence]:
    reader = partial(read_conll, token=config.token_column, tag=config.tag_column)
    return [sentence for part in read_each(found, reader) for sentence in part]


def steps_of(sequences: Sequences) -> np.ndarray:
    """The steps of all sequences, one after the other."""
    parts = [sequences[i] for i in range(len(sequences))]
    return np.concatenate(parts) if parts else sequences.values[:0]


def _task(config: Label, known: dict[str, Any]) -> Task:
    return labelling(
        inputs_of(known),
        len(known["classes"]),
        cell=config.cell,
        hidden_size=config.hidden_size,
        layers=config.layers,
        embed_size=config.embed_size,
        dropout=config.dropout,
        bidirectional=config.direction == "both",
    )


def _baselines(config: Label, data: Examples) -> dict[str, Figures]:
    if data.part("test") is None:
        return {}
    of = data.train, data.test, len(data.known["classes"])
    found = {"most frequent class": most_frequent_class(*of)}
    if data.known["form"] == "words":
        found["majority of each token"] = token_majority(*of)
    names = "accuracy", "macro_f1"
    return {name: {n: figures[n] for n in names} for name, figures in found.items()}


def _about(data: Examples) -> list[str]:
    of = (
        steps_of(data.train.targets),
        data.known["classes"],
        "the steps in training",
    )
    lines = [classes.about(*of)]
    if data.known["form"] == "words":
        symbols = data.known["symbols"]
        forms = sum(texts.is_form(symbol) for symbol in symbols)
        lines.append(
            f"{len(symbols) - forms:,} words; rarer and new ones are read by their "
            f"form, {forms:,} such as {next(filter(texts.is_form, symbols))}."
        )
    return [*lines, *unseen(steps_of(data.test.targets))]


def _told(known: dict[str, Any], dataset: Dataset, answers: Any) -> list[str]:
    labels, lines = answers.label, []
    for i, length in enumerate(dataset.inputs.lengths.tolist()):
        said = [known["classes"][k] for k in labels.values[i, :length]]
        true = [known["classes"][k] if k >= 0 else "?" for k in dataset.targets[i]]
        if known["form"] == "words":
            words = [known["symbols"][k] for k in dataset.inputs[i]]
            shown = [
                f"{w}/{a}" if a == t else f"{w}/{a}(not {t})"
                for w, a, t in zip(words, said, true, strict=True)
            ]
            more = " ..." if length > WORDS_TOLD else ""
            lines.append(" ".join(shown[:WORDS_TOLD]) + more)
        else:
            lines.append(f"{length} steps are {_runs(true)}; answered {_runs(said)}")
    return lines


def _runs(labels: Sequence[str], most: int = 6) -> str:
    runs = [f"{label} x {len(list(same))}" for label, same in itertools.groupby(labels)]
    return ", ".join(runs[:most]) + (", ..." if len(runs) > most else "")


# New examples


class Unit(NamedTuple):
    """Lines of a sentence, and the token in each; None where a line is a comment."""

    lines: list[str]
    tokens: list[str | None]


def _lines(config: Label, known: dict[str, Any], probabilities: bool) -> Lines | None:
    if known["form"] != "words":
        return None

    def dataset(units: list[Unit]) -> Dataset:
        said = [[t for t in unit.tokens if t is not None] for unit in units]
        return Dataset(texts.tokens_of(known["symbols"], said))

    def written(units: list[Unit], answers: Any) -> list[list[str]]:
        found = []
        for i, unit in enumerate(units):
            labels = iter(answers.label.values[i].tolist())
            shares = iter(answers.probability.values[i].max(axis=-1).tolist())
            lines = []
            for line, token in zip(*unit, strict=True):
                if token is None:
                    lines.append(line)
                    continue
                share = [f"{next(shares):.4f}"] if probabilities else []
                lines.append("\t".join([line, known["classes"][next(labels)], *share]))
            found.append(lines)
        return found

    return Lines(partial(_units, config), dataset, written)


def _units(config: Label, lines: Iterable[str]) -> Iterator[Unit | None]:
    """The lines of each sentence, which end where one is blank."""
    unit = Unit([], [])
    for line in lines:
        if line.strip():
            unit.lines.append(line)
            unit.tokens.append(_token(config, line))
            continue
        if any(unit.tokens):
            yield unit
            unit = Unit([], [])
        yield None
    if any(unit.tokens):
        yield unit


def _token(config: Label, line: str) -> str | None:
    columns = [c.strip() for c in line.split("\t")] if "\t" in line else line.split()
    if columns[0] == "-DOCSTART-" or (len(columns) > 2 and line.startswith("# ")):
        return None
    k = config.token_column - 1 if config.token_column > 0 else config.token_column
    # without its tag a line has fewer columns; the token is never lost by that
    return columns[k] if -len(columns) <= k < len(columns) else columns[0]


def _rows(
    config: Label, known: dict[str, Any], found: Found, probabilities: bool
) -> Rows:
    if known["form"] == "words":
        raise UserError(
            f"{found.source} is a table, but the run was trained on sentences.\n"
            "Give a file with a token on each line, or - for the standard input."
        )
    raw = numeric.read_numeric(config, found, "step", known, labelled=False)
    data = Dataset(numeric.scaled(raw, known))
    lengths = raw.sequences.lengths

    def beside(answers: Any) -> pl.DataFrame:
        valid = np.arange(answers.label.values.shape[1]) < lengths[:, None]
        labels = answers.label.values[valid]
        shares = answers.probability.values[valid]
        if raw.frame is None or raw.rows is None:
            steps = np.concatenate([np.arange(1, n + 1) for n in lengths])
            ids = np.repeat(raw.ids, lengths)
            frame = pl.DataFrame({"sequence": ids, "step": steps})
        else:
            frame, order = raw.frame, np.argsort(raw.rows)
            labels, shares = labels[order], shares[order]
        return with_probabilities(
            known["classes"], probabilities, frame, labels, shares
        )

    return Rows(data, beside, tuple(numeric.far_columns(raw, known)))


def _details(known: dict[str, Any], figures: Figures) -> list[str]:
    return [classes.tag_table(known["classes"], figures)]


LABEL = Command(
    name="label",
    read=_read,
    settle=settle,
    task=_task,
    guess=lambda data: classes.guess(
        steps_of(data.train.targets), len(data.known["classes"])
    ),
    baselines=_baselines,
    curves=("accuracy", "macro_f1"),
    shown=classes.shown,
    about=_about,
    told=_told,
    details=_details,
    draw=classes.draw,
    lines=_lines,
    rows=_rows,
)
