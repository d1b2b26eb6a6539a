"""From the files of a command to its examples, and from answers to a table."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jrnn.cli.errors import UserError
from jrnn.cli.tasks.examples import Examples
from jrnn.cli.tasks.files import Found, find
from jrnn.data import Dataset
from jrnn.tasks import Numbers, Symbols, numbers, symbols
from jrnn.text.files import read_once


class Given(NamedTuple):
    """What a command reads."""

    found: Found
    tests: Found | None  # files to test on
    source: str
    sha256: str  # of all


def files_of(config: Any, content: bytes | None) -> Given:
    """The files of a command, and those to test on: --test, or NAME_TEST.ts.

    Args:
        config: `jrnn.cli.class_options.ClassOptions`.
        content: what a run has kept of a pipe.
    """
    found, tests = find(config.files, content), None
    if config.test:
        if any(map(read_once, config.test)):
            raise UserError("--test cannot read a pipe.\nWrite it to a file.")
        tests = find(config.test)
    elif _is_pair(found):
        return Given(find(found.files[:1]), find(found.files[1:]), *found[1:3])
    if tests is None:
        return Given(found, None, found.source, found.sha256)
    both = hashlib.sha256(f"{found.sha256}\n{tests.sha256}".encode()).hexdigest()
    return Given(found, tests, f"{found.source}, {tests.source}", both)


def examples_of(
    given: Given,
    data: Dataset,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray],
    known: dict[str, Any],
) -> Examples:
    """Examples in three parts."""
    files = given.found.files
    if given.tests is not None and _is_pair_of(given.found, given.tests):
        files = files + given.tests.files
    return Examples(
        *(data.take(part) for part in parts),
        source=given.source,
        sha256=given.sha256,
        files=files,
        known=known,
        kept=given.found.content,
    )


def inputs_of(known: dict[str, Any]) -> Symbols | Numbers:
    """What a task reads."""
    if known["form"] == "text":
        return symbols(len(known["vocabulary"]["symbols"]))
    if known["form"] == "words":
        return symbols(len(known["symbols"]))
    return numbers(len(known["features"]) + len(known["indicators"]))


def with_probabilities(
    classes: Sequence[str],
    wanted: bool,
    frame: pl.DataFrame,
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> pl.DataFrame:
    """A table with a column of predictions, and if wanted one for each class."""
    columns = [pl.Series(_free(frame, "prediction"), [classes[i] for i in labels])]
    if wanted:
        shares = np.asarray(probabilities, float).round(4).T
        columns += [
            pl.Series(_free(frame, f"p({name})"), share)
            for name, share in zip(classes, shares, strict=True)
        ]
    return frame.with_columns(columns)


def unseen(targets: np.ndarray) -> list[str]:
    """What to say of classes in the test part that training does not have."""
    count = int((targets < 0).sum())
    if not count:
        return []
    return [
        f"Caution: {count:,} classes of the test part are none of training: no answer "
        "to them can be right."
    ]


def _free(frame: pl.DataFrame, name: str) -> str:
    """A name that no column has."""
    while name in frame.columns:
        name += "_"
    return name


def _is_pair(found: Found) -> bool:
    names = [file.name for file in found.files]
    return (
        len(names) == 2
        and names[0].endswith("_TRAIN.ts")
        and (names[1] == names[0].replace("_TRAIN.ts", "_TEST.ts"))
    )


def _is_pair_of(found: Found, tests: Found) -> bool:
    return _is_pair(found._replace(files=found.files + tests.files))
