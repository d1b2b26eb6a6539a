"""`jrnn translate`: one text written as another."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jrnn.cli.errors import UserError
from jrnn.cli.pair_options import Translate
from jrnn.cli.tasks import classes, texts
from jrnn.cli.tasks.answers import Lines, Rows
from jrnn.cli.tasks.classify import each_line
from jrnn.cli.tasks.examples import Command, Examples
from jrnn.cli.tasks.files import Found, form_of, read_each
from jrnn.cli.tasks.settled import settle
from jrnn.cli.tasks.sources import examples_of, files_of
from jrnn.cli.workflow import Figures, Guess
from jrnn.data import Dataset, Sequences, read_pairs
from jrnn.tasks import Task, translation
from jrnn.tasks.baselines import copying
from jrnn.text import Vocabulary, from_json, to_json

SHOWN = 30  # symbols of a text that is shown
ROOM = 1.5  # answers may be so much longer than the longest target of training

Pairs = list[tuple[str, str]]


def _read(config: Translate, known: dict | None, content: bytes | None) -> Examples:
    given = files_of(config, content)
    pairs, tested = _pairs(given.found), 0
    if given.tests is not None:
        more = _pairs(given.tests)
        pairs, tested = pairs + more, len(more)
    sources, targets = ([pair[i] for pair in pairs] for i in (0, 1))
    _, groups = np.unique(sources, return_inverse=True)  # none is learnt and tested
    of = given.found.source, len(pairs), tested, None, groups
    parts = classes.split(config, *of)
    if known is None:
        train = [pairs[i] for i in parts[0]]
        known = _known_of(config, train)
    read, write = _vocabularies(known)
    data = Dataset(
        texts.encoded(read, sources), _targets(write, texts.encoded(write, targets))
    )
    return examples_of(given, data, parts, known)


def _pairs(found: Found) -> Pairs:
    if form_of(found) != "lines":
        raise UserError(
            f"{found.source} is no text of lines.\nGive a file with source<TAB>target "
            "on each line."
        )
    return [pair for part in read_each(found, read_pairs) for pair in part]


def _known_of(config: Translate, train: Pairs) -> dict[str, Any]:
    sources, targets = ([pair[i] for pair in train] for i in (0, 1))
    read = texts.vocabulary_of(sources, config.level, config.min_count)
    write = texts.vocabulary_of(targets, config.level, 1)
    longest = int(texts.encoded(write, targets).lengths.max())
    return {
        "form": "pairs",
        "source": to_json(read),
        "target": to_json(write),
        "longest": int(np.ceil(ROOM * longest)),
    }


def _vocabularies(known: dict[str, Any]) -> tuple[Vocabulary, Vocabulary]:
    return from_json(known["source"]), from_json(known["target"])


def _targets(vocabulary: Vocabulary, tokens: Sequences) -> Sequences:
    """Targets with -1 for what cannot be written: an answer to it is wrong."""
    values = tokens.values.astype(np.int32)
    values = np.where(values == vocabulary.unknown, np.int32(-1), values)
    return Sequences(values, tokens.starts, tokens.lengths)


def _task(config: Translate, known: dict[str, Any]) -> Task:
    read, write = _vocabularies(known)
    return translation(
        len(read),
        len(write),
        cell=config.cell,
        hidden_size=config.hidden_size,
        layers=config.layers,
        embed_size=config.embed_size,
        dropout=config.dropout,
        attention=config.attention,
        longest=known["longest"],
        beam_size=config.beam_size,
    )


# Measuring


def _guess(data: Examples) -> Guess:
    """The loss of the shares of symbols in training, ends included: their entropy."""
    targets = data.train.targets
    tokens = np.concatenate(list(targets))
    counts = np.append(np.bincount(tokens[tokens >= 0]), len(targets))
    p = counts[counts > 0] / counts.sum()
    return Guess(float(-(p * np.log(p)).sum()), "the share of each symbol")


def _baselines(config: Translate, data: Examples) -> dict[str, Figures]:
    if data.part("test") is None:
        return {}
    read, write = _vocabularies(data.known)
    places = {symbol: i for i, symbol in enumerate(write.symbols)}
    table = np.array([places.get(symbol, -1) for symbol in read.symbols])
    table[read.unknown] = -1
    return {"copying the source": copying(data.test, table)}


# Words


def _shown(figures: Figures) -> str:
    names = {"token_accuracy": "symbols right", "exact_match": "texts right"}
    words = []
    if figures.get("loss") is not None:
        words.append(f"loss {figures['loss']:.4f}")
    for name, word in names.items():
        if figures.get(name) is not None:
            words.append(f"{word} {100 * figures[name]:.1f} %")
    return ", ".join(words)


def _about(data: Examples) -> list[str]:
    read, write = _vocabularies(data.known)
    lines = [
        f"{len(read):,} symbols are read and {len(write):,} written, an unknown one "
        f"among each; targets have up to {data.train.targets.lengths.max()}."
    ]
    test = data.test.targets
    strange = sum(bool((target < 0).any()) for target in test)
    if strange:
        lines.append(
            f"Caution: {strange:,} targets of the test part have symbols that no "
            "target of training has: no answer to them can be right."
        )
    return lines


def _told(known: dict[str, Any], dataset: Dataset, answers: Any) -> list[str]:
    read, write = _vocabularies(known)
    lines = []
    for i, answer in enumerate(_written(write, answers)):
        source = _short(texts.decoded(read, dataset.inputs[i]))
        target = _short(_decoded(write, dataset.targets[i]))
        right = "right" if target == _short(answer) else f"true {target!r}"
        lines.append(f"{source!r}: answered {_short(answer)!r}, {right}")
    return lines


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _decoded(vocabulary: Vocabulary, tokens: np.ndarray) -> str:
    assert vocabulary.unknown is not None  # see `texts.vocabulary_of`
    known = np.where(np.asarray(tokens) < 0, vocabulary.unknown, tokens)
    return texts.decoded(vocabulary, known)


def _written(vocabulary: Vocabulary, answers: Any) -> list[str]:
    values, lengths = answers.tokens
    pairs = zip(values, lengths, strict=True)
    return [_decoded(vocabulary, tokens[:n]) for tokens, n in pairs]


# New examples


def _lines(config: Translate, known: dict[str, Any], probabilities: bool) -> Lines:
    read, write = _vocabularies(known)

    def dataset(units: list[str]) -> Dataset:
        said = [unit.split("\t")[0].strip() or " " for unit in units]
        return Dataset(texts.encoded(read, said))

    def written(units: list[str], answers: Any) -> list[list[str]]:
        shares: Sequence[list[str]] = [[] for _ in units]
        if probabilities:
            shares = [[f"{p:.4f}"] for p in np.exp(answers.log_prob)]
        made = zip(units, _written(write, answers), shares, strict=True)
        return [["\t".join([unit, text, *share])] for unit, text, share in made]

    return Lines(each_line, dataset, written)


def _rows(config: Translate, known: dict, found: Found, probabilities: bool) -> Rows:
    raise UserError(
        f"{found.source} is a table, but the run was trained on lines of text.\n"
        "Give a file with a text on each line, or - for the standard input."
    )


TRANSLATE = Command(
    name="translate",
    read=_read,
    settle=settle,
    task=_task,
    guess=_guess,
    baselines=_baselines,
    curves=("token_accuracy", "exact_match"),
    shown=_shown,
    about=_about,
    told=_told,
    details=lambda known, figures: [],
    lines=_lines,
    rows=_rows,
)
