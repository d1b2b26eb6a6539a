"""`jrnn classify`: the class of a sequence."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jrnn.cli.class_options import Classify
from jrnn.cli.errors import UserError
from jrnn.cli.tasks import classes, numeric, texts
from jrnn.cli.tasks.answers import Lines, Rows
from jrnn.cli.tasks.examples import Command, Examples
from jrnn.cli.tasks.files import Found, form_of, read_each, read_tables
from jrnn.cli.tasks.settled import settle
from jrnn.cli.tasks.sources import (
    examples_of,
    files_of,
    inputs_of,
    unseen,
    with_probabilities,
)
from jrnn.cli.workflow import Figures
from jrnn.data import Dataset, column, read_pairs
from jrnn.tasks import Task, classification, defaults
from jrnn.tasks.baselines import most_frequent_class, nearest_mean
from jrnn.text import from_json


def _read(config: Classify, known: dict | None, content: bytes | None) -> Examples:
    given = files_of(config, content)
    if _is_text(config, given.found):
        return _read_texts(config, known, given)
    raw = numeric.read_numeric(config, given.found, "sequence", known)
    tested = 0
    if given.tests is not None:
        seen = {**numeric.columns_of(raw), **(known or {})}
        more = numeric.read_numeric(config, given.tests, "sequence", seen)
        raw, tested = numeric.joined(raw, more), len(more.sequences)
    source, labels, n = given.found.source, raw.labels, len(raw.sequences)
    assert labels is not None  # they were asked for
    parts = classes.split(config, source, n, tested, labels, raw.groups)
    if known is None:
        found = classes.classes_of(labels[parts[0]], source)
        known = {**numeric.known_of(raw, parts[0]), "classes": found}
    targets = classes.numbers_of(labels, known["classes"])
    data = Dataset(numeric.scaled(raw, known), targets, raw.groups)
    return examples_of(given, data, parts, known)


def _read_texts(config: Classify, known: dict | None, given) -> Examples:
    labels, said = _labelled_texts(config, given.found)
    tested = 0
    if given.tests is not None:
        more_labels, more = _labelled_texts(config, given.tests)
        labels, said, tested = labels + more_labels, said + more, len(more)
    source, of = given.found.source, np.array(labels)
    parts = classes.split(config, source, len(said), tested, of, None)
    if known is None:
        train = [said[i] for i in parts[0]]
        vocabulary = texts.vocabulary_of(train, config.level, config.min_count)
        found = classes.classes_of(of[parts[0]], source)
        known = {**texts.known_of(vocabulary), "classes": found}
    inputs = texts.encoded(from_json(known["vocabulary"]), said)
    data = Dataset(inputs, classes.numbers_of(of, known["classes"]))
    return examples_of(given, data, parts, known)


def _is_text(config: Classify, found: Found) -> bool:
    form = form_of(found)
    if form in ("npz", "ts"):
        return False
    if config.label is None and form == "table":
        columns = ", ".join(read_tables(found).columns[:12])
        raise UserError(
            f"{found.source} is a table: name the column of classes by --label.\n"
            f"Its columns: {columns}."
        )
    return config.label is None or config.text_column is not None


def _labelled_texts(config: Classify, found: Found) -> tuple[list[str], list[str]]:
    if config.text_column is None:
        pairs = [pair for part in read_each(found, _pairs) for pair in part]
        return [label for label, _ in pairs], [text for _, text in pairs]
    frame = read_tables(found)
    assert config.label is not None  # `_is_text`
    names = config.label, config.text_column
    labels, said = (_entries(frame, name, found.source) for name in names)
    return labels, said


def _pairs(path: Path) -> list[tuple[str, str]]:
    try:
        return read_pairs(path)
    except ValueError as error:
        ask = "Write label<TAB>text; of a table, name the column of classes: --label."
        said = str(error).replace("Write label<TAB>text, or source<TAB>target.", ask)
        raise ValueError(said) from None


def _entries(frame: pl.DataFrame, wanted: str, source: str) -> list[str]:
    entries = column(frame, wanted, source).cast(pl.String).str.strip_chars()
    empty = (entries.is_null() | (entries == "")).to_numpy()
    if empty.any():
        raise UserError(
            f"{source}: column {wanted!r} is empty in data row "
            f"{int(empty.argmax()) + 1}.\nFill it in, or leave such rows out."
        )
    return entries.to_list()


def _task(config: Classify, known: dict[str, Any]) -> Task:
    return classification(
        inputs_of(known),
        len(known["classes"]),
        cell=config.cell,
        hidden_size=config.hidden_size,
        layers=config.layers,
        embed_size=config.embed_size,
        dropout=config.dropout,
        bidirectional=config.direction == "both",
        chunk=config.chunk,
    )


def _settle(config: Classify, data: Examples) -> Classify:
    chunk = 1
    if data.known["form"] == "numbers":
        lengths = data.train.inputs.lengths
        chunk = defaults(len(lengths), int(lengths.max())).chunk
    return replace(settle(config, data), chunk=config.chunk or chunk)


def _baselines(config: Classify, data: Examples) -> dict[str, Figures]:
    if data.part("test") is None:
        return {}
    of = data.train, data.test, len(data.known["classes"])
    return {
        "most frequent class": {"accuracy": most_frequent_class(*of)["accuracy"]},
        "nearest mean": {"accuracy": nearest_mean(*of)["accuracy"]},
    }


def _told(known: dict[str, Any], dataset: Dataset, answers: Any) -> list[str]:
    lines = []
    for i, (label, p) in enumerate(zip(*answers, strict=True)):
        what = f"{dataset.inputs.lengths[i]} steps"
        if known["form"] == "text":
            what = texts.decoded(from_json(known["vocabulary"]), dataset.inputs[i])
            what = repr(what if len(what) <= 40 else f"{what[:39]}…")
        target = dataset.targets[i]
        true = known["classes"][target] if target >= 0 else "none of these"
        said = f"{known['classes'][label]} ({100 * p.max():.0f} %)"
        lines.append(f"{what}: answered {said}, true {true}")
    return lines


# New examples


def _lines(
    config: Classify, known: dict[str, Any], probabilities: bool
) -> Lines | None:
    if known["form"] != "text" or config.text_column is not None:
        return None
    vocabulary, names = from_json(known["vocabulary"]), known["classes"]

    def dataset(units: list[str]) -> Dataset:
        said = [unit.rpartition("\t")[2].strip() or " " for unit in units]
        return Dataset(texts.encoded(vocabulary, said))

    def written(units: list[str], answers: Any) -> list[list[str]]:
        lines = []
        for unit, label, p in zip(units, *answers, strict=True):
            shares = [f"{x:.4f}" for x in p] if probabilities else []
            lines.append(["\t".join([names[label], *shares, unit])])
        return lines

    header = None
    if probabilities:
        header = "\t".join(["prediction", *(f"p({c})" for c in names), "text"])
    return Lines(each_line, dataset, written, header)


def each_line(lines: Iterable[str]) -> Iterator[str | None]:
    """Each line is a unit; a blank one is none."""
    for line in lines:
        yield line if line.strip() else None


def _rows(
    config: Classify, known: dict[str, Any], found: Found, probabilities: bool
) -> Rows:
    names = known["classes"]
    more = partial(with_probabilities, names, probabilities)
    if known["form"] == "text":
        return _text_rows(config, known, found, more)
    raw = numeric.read_numeric(config, found, "sequence", known, labelled=False)
    of = "sequence" if raw.frame is None else config.id
    frame = pl.DataFrame({of: raw.ids})

    def beside(answers: Any) -> pl.DataFrame:
        return more(frame, answers.label, answers.probability)

    notes = tuple(numeric.far_columns(raw, known))
    return Rows(Dataset(numeric.scaled(raw, known)), beside, notes)


def _text_rows(config: Classify, known: dict[str, Any], found: Found, more) -> Rows:
    if config.text_column is None:
        raise UserError(
            f"{found.source} is a table, but the run was trained on lines of text.\n"
            "Give a file with a text on each line, or - for the standard input."
        )
    frame = read_tables(found)
    said = _entries(frame, config.text_column, found.source)
    dataset = Dataset(texts.encoded(from_json(known["vocabulary"]), said))
    return Rows(dataset, lambda answers: more(frame, *answers))


def _about(data: Examples) -> list[str]:
    of = data.train.targets, data.known["classes"], "the training part"
    return [classes.about(*of), *unseen(data.test.targets)]


def _details(known: dict[str, Any], figures: Figures) -> list[str]:
    return [classes.confusion_words(known["classes"], figures["confusion"])]


CLASSIFY = Command(
    name="classify",
    read=_read,
    settle=_settle,
    task=_task,
    guess=lambda data: classes.guess(data.train.targets, len(data.known["classes"])),
    baselines=_baselines,
    curves=("accuracy",),
    shown=classes.without_f1,
    about=_about,
    told=_told,
    details=_details,
    draw=classes.draw,
    lines=_lines,
    rows=_rows,
)
