"""What a command says about new examples, for `jrnn predict`: lines, or a table."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import polars as pl

from jrnn.data import Dataset


class Lines(NamedTuple):
    """New examples as lines of text: each is answered as soon as it is read.

    A unit is what is answered at a time, such as a line or the lines of a sentence.
    """

    # lines without their ends -> units; None for a line that is blank and stays so
    units: Callable[[Iterable[str]], Iterator[Any]]
    dataset: Callable[[list[Any]], Dataset]  # of units, without targets
    # (units, answers of `Task.predict` in their order) -> for each its lines
    written: Callable[[list[Any], Any], list[list[str]]]
    header: str | None = None  # a line above all others


class Rows(NamedTuple):
    """New examples as rows of a table, or as arrays."""

    dataset: Dataset  # without targets
    beside: Callable[[Any], pl.DataFrame]  # (answers): the rows with them beside
    notes: tuple[str, ...] = ()  # to be said of the rows
