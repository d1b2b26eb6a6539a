"""Columns of a table as sequences of numbers, and labels beside them."""

import contextlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from jrnn.data.missing import Missing, fill_missing
from jrnn.data.sequences import Sequences
from jrnn.data.tables import column

MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-")  # in any case


class Series(NamedTuple):
    """Rows of a table as sequences, and where they were in it.

    Example:
        >>> frame = pl.DataFrame({"who": ["a", "b", "a"], "x": [1, 2, 3]})
        >>> series = series_of(frame, ["x"], id="who")
        >>> series.ids, series.rows.tolist(), series.sequences[0].tolist()
        (('a', 'b'), [0, 2, 1], [[1.0], [3.0]])
    """

    sequences: Sequences  # values (N, D) float32
    names: tuple[str, ...]  # of the D columns
    ids: tuple[Any, ...]  # (n,) of the sequences; (None,) where there is but one
    rows: np.ndarray  # (N,): the row of the table, from 0, that each step was


def series_of(
    frame: pl.DataFrame,
    features: Sequence[str] | None = None,
    *,
    id: str | None = None,
    time: str | None = None,
    missing: Missing = "refuse",
    indicators: Sequence[str] | None = None,
    name: str = "the table",
) -> Series:
    """Turn columns of a table into sequences of numbers.

    Rows with the same `id` are a sequence, in the order they have, wherever they are;
    sequences come in the order of their first rows. Messages count rows of data from
    1, without the line of names.

    Args:
        frame: a table, as from `read_table`.
        features: columns of numbers, D of them; None: all but `id` and `time`.
        id: the column that tells sequences apart; None: all rows are one series.
        time: the column of times, numbers or dates, which must not go back within a
            sequence. It is looked at, and is no feature unless it is named there.
        missing: what is done about missing values, see `fill_missing`. Missing is what
            is empty, not a number, or one of NA, N/A, null, none, `?` and `-`.
        indicators: as for `fill_missing`.
        name: what messages call the table, such as its file.

    Returns:
        `Series(sequences, names, ids, rows)`.

    Raises:
        ValueError: a column that does not exist, with the nearest name; text, dates or
            an infinite value where numbers are expected, with row and column; a missing
            value that is refused; an `id` or time that is missing; time going back.

    Example:
        >>> frame = pl.DataFrame({"t": [1, 2, 3], "x": ["0.5", "1", "NA"]})
        >>> series = series_of(frame, ["x"], time="t", missing="interpolate")
        >>> series.sequences[0].ravel().tolist()
        [0.5, 1.0, 1.0]
    """
    if features is None:
        features = [c for c in frame.columns if c not in (id, time)]
    if not features:
        raise ValueError(f"{name} has no column left to be a feature.\nName some.")
    columns = [column(frame, feature, name) for feature in features]
    ids, rows, lengths = _grouped(frame, id, name)
    if time is not None:
        _check_time(column(frame, time, name), rows, lengths, id, name)
    values = np.empty((len(rows), len(columns)), np.float32)
    for d, entries in enumerate(columns):
        values[:, d] = _floats(entries, name)[rows]
    sequences = Sequences(values, np.cumsum(lengths) - lengths, lengths)
    place = lambda n: _row(int(rows[n]))
    try:
        sequences, names = fill_missing(
            sequences, features, missing, indicators=indicators, place=place
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return Series(sequences, names, ids, rows)


def labels_of(
    frame: pl.DataFrame,
    wanted: str,
    series: Series,
    *,
    each: Literal["sequence", "step"] = "sequence",
    name: str = "the table",
) -> np.ndarray:
    """Classes beside a series, as text: one for each sequence, or for each step.

    Args:
        frame: the table that the series was made of.
        wanted: the column of classes, text or numbers.
        series: as from `series_of`.
        each: `"sequence"`, where all rows of a sequence must have the same class, or
            `"step"`.
        name: what messages call the table.

    Returns:
        Strings `(n,)`, or `(N,)` in the order of the steps of `series`.

    Raises:
        ValueError: a column that does not exist; a class that is missing, or that
            changes within a sequence, with the row.

    Example:
        >>> frame = pl.DataFrame({"who": [1, 1, 2], "x": [0, 1, 2], "y": list("aab")})
        >>> series = series_of(frame, ["x"], id="who")
        >>> labels_of(frame, "y", series).tolist()
        ['a', 'b']
        >>> labels_of(frame, "y", series, each="step").tolist()
        ['a', 'a', 'b']
    """
    entries = column(frame, wanted, name).cast(pl.String)
    empty = (entries.is_null() | (entries.str.strip_chars() == "")).to_numpy()
    if empty.any():
        raise ValueError(
            f"{name}: column {wanted!r} has no class in {_row(int(empty.argmax()))}.\n"
            "Fill it in, or leave such rows out."
        )
    labels = entries.to_numpy().astype(str)[series.rows]
    if each == "step":
        return labels
    first = np.repeat(labels[series.sequences.starts], series.sequences.lengths)
    if (labels != first).any():
        n = int((labels != first).argmax())
        i = int(np.flatnonzero(series.sequences.starts <= n)[-1])
        raise ValueError(
            f"{name}: column {wanted!r} changes within sequence {series.ids[i]!r}, "
            f"from {str(first[n])!r} to {str(labels[n])!r} in {_row(series.rows[n])}.\n"
            "A sequence has one class; for one in each step, label the steps."
        )
    return labels[series.sequences.starts]


def _row(row: int) -> str:
    return f"data row {row + 1}"


def _grouped(
    frame: pl.DataFrame, id: str | None, name: str
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray]:
    """Identities (n,), rows (N,) sequence by sequence, lengths (n,)."""
    if id is None:
        return (None,), np.arange(frame.height), np.array([frame.height])
    entries = column(frame, id, name)
    if entries.null_count():
        row = int(entries.is_null().to_numpy().argmax())
        raise ValueError(
            f"{name}: column {id!r}, which tells sequences apart, is empty in "
            f"{_row(row)}.\nFill it in, or leave such rows out."
        )
    of_row = pl.DataFrame({"id": entries, "row": np.arange(frame.height)})
    groups = of_row.group_by("id", maintain_order=True).agg("row")
    rows = groups["row"].explode().to_numpy()
    lengths = groups["row"].list.len().to_numpy().astype(int)
    return tuple(groups["id"].to_list()), rows, lengths


def _floats(entries: pl.Series, name: str) -> np.ndarray:
    """The numbers of a column, float64, NaN where they are missing."""
    if entries.dtype == pl.String:
        entries = _numbers_in_text(entries, name)
    elif not (entries.dtype.is_numeric() or entries.dtype in (pl.Boolean, pl.Null)):
        raise ValueError(
            f"{name}: column {entries.name!r} holds {entries.dtype}, not numbers.\n"
            "Leave it out, or make numbers of it."
        )
    values = entries.cast(pl.Float64).fill_null(np.nan).to_numpy()
    large = np.abs(values) > np.finfo(np.float32).max
    if large.any():
        row = int(large.argmax())
        raise ValueError(
            f"{name}: column {entries.name!r} holds {values[row]:g} in {_row(row)}, "
            "which is no number of single precision.\nCorrect it, or leave it empty."
        )
    return values


def _numbers_in_text(entries: pl.Series, name: str) -> pl.Series:
    text = entries.str.strip_chars()
    empty = text.is_null() | text.str.to_lowercase().is_in(list(MISSING))
    numbers = text.cast(pl.Float64, strict=False)
    wrong = (numbers.is_null() & ~empty).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        more = f", and in {wrong.sum() - 1} more" if wrong.sum() > 1 else ""
        raise ValueError(
            f"{name}: column {entries.name!r} holds text in {_row(row)}, "
            f"{_short(entries[row])}{more}.\nMake it a number or empty, or leave the "
            "column out."
        )
    return numbers


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else text[:27] + "...")


def _check_time(
    entries: pl.Series, rows: np.ndarray, lengths: np.ndarray, id: str | None, name: str
) -> None:
    times = _times(entries, name)[rows]
    first = np.cumsum(lengths) - lengths
    back = np.append(False, times[1:] < times[:-1])
    back[first[lengths > 0]] = False
    if back.any():
        n = int(back.argmax())
        hint = "" if id else ", or name the column that tells sequences apart"
        raise ValueError(
            f"{name}: time goes back in {_row(rows[n])}, column {entries.name!r}: from "
            f"{entries[int(rows[n - 1])]} to {entries[int(rows[n])]}.\n"
            f"Sort the rows by time{hint}."
        )


def _times(entries: pl.Series, name: str) -> np.ndarray:
    """Times as numbers, whatever their unit."""
    if entries.null_count():
        row = int(entries.is_null().to_numpy().argmax())
        raise ValueError(
            f"{name}: column {entries.name!r} has no time in {_row(row)}.\nFill it in, "
            "or leave such rows out."
        )
    if entries.dtype == pl.String:
        entries = _dates(entries, name)
    return entries.to_physical().to_numpy()


def _dates(entries: pl.Series, name: str) -> pl.Series:
    text = entries.str.strip_chars()
    ways = [
        lambda: text.cast(pl.Float64),
        lambda: text.str.to_datetime(),
        lambda: text.str.to_time(),
        lambda: (text + "-01").str.to_date("%Y-%m-%d"),  # months
    ]
    # 1/2/2024 is one day to some and another to others
    for way in [] if text.str.contains(r"^\d{1,2}/").any() else ways:
        with contextlib.suppress(pl.exceptions.PolarsError):
            return way()
    raise ValueError(
        f"{name}: column {entries.name!r} holds {_short(entries[0])}, which is neither "
        "a number nor a date such as 2024-01-31.\nWrite times so, or leave the column "
        "out if the rows are in order."
    )
