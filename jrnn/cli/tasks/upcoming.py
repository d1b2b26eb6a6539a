"""What follows the end of new series, for `jrnn predict`: a row for each step ahead."""

import contextlib
import datetime
import itertools
from typing import Any

import numpy as np
import polars as pl

from jrnn.cli.errors import UserError
from jrnn.cli.forecast_options import Forecast
from jrnn.cli.tasks.answers import Rows
from jrnn.cli.tasks.files import Found
from jrnn.cli.tasks.observed import Observed, endings, far_columns, read_series
from jrnn.cli.tasks.outlook import unscale_quantiles
from jrnn.tasks.metrics import middle

DIGITS = 7  # of a number: those of single precision


def rows(
    config: Forecast, known: dict[str, Any], found: Found, probabilities: bool
) -> Rows:
    """The last steps of each series, and a table of what follows them."""
    del probabilities  # bands are always written
    observed = read_series(config, found, known)
    _refuse_short(known, observed, found.source)

    def beside(answers: Any) -> pl.DataFrame:
        return _table(config, known, observed, np.asarray(answers))

    notes = (*far_columns(observed, known), *_short(known, observed))
    return Rows(endings(config, known, observed), beside, notes)


def _table(
    config: Forecast, known: dict[str, Any], observed: Observed, answers: np.ndarray
) -> pl.DataFrame:
    n, N = answers.shape[:2]
    columns: dict[str, Any] = {}
    if config.id is not None:
        columns[config.id] = [i for i in observed.ids for _ in range(N)]
    columns["step"] = list(range(1, N + 1)) * n
    if config.time is not None:
        times = [_times(observed, i, config.time, N) for i in range(n)]
        if all(times):
            columns[config.time] = [time for each in times for time in each]
    f = unscale_quantiles(known, answers).reshape(n * N, len(known["targets"]), -1)
    m = middle(known["quantiles"])
    for k, target in enumerate(known["targets"]):
        columns[_free(columns, target)] = _rounded(f[:, k, m])
        for j, q in enumerate(known["quantiles"]):
            if j != m or q != 0.5:
                columns[_free(columns, f"{target}_q{q:g}")] = _rounded(f[:, k, j])
    return pl.DataFrame(columns)


def _refuse_short(known: dict[str, Any], observed: Observed, source: str) -> None:
    least = max(1, known["season"])
    for i, length in enumerate(observed.raw.lengths.tolist()):
        if length < least:
            raise UserError(
                f"{source}{_whose(observed, i)} has {length} rows, fewer than the "
                f"{least} steps of a season.\nGive more of its past; the run reads up "
                f"to {known['context']} steps."
            )


def _short(known: dict[str, Any], observed: Observed) -> list[str]:
    lengths, context = observed.raw.lengths, known["context"]
    short = np.flatnonzero(lengths < context)
    if not len(short):
        return []
    i, more = int(short[0]), len(short) - 1
    others = f", and {more} more" if more else ""
    return [
        f"Caution: {lengths[i]} rows{_whose(observed, i)}{others} are fewer than the "
        f"{context} steps that the run was trained to read."
    ]


def _whose(observed: Observed, i: int) -> str:
    return "" if observed.ids[i] is None else f" of series {observed.ids[i]!r}"


def _rounded(x: np.ndarray) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in x]


def _free(columns: dict[str, Any], name: str) -> str:
    """A name that no column has."""
    while name in columns:
        name += "_"
    return name


# Times


def _times(observed: Observed, i: int, column: str, N: int) -> list[Any]:
    """The times that follow those of a series in even steps; none where they do not."""
    start, length = observed.raw.starts[i], observed.raw.lengths[i]
    entries = observed.frame[column][observed.rows[start : start + length]]
    if entries.dtype == pl.String:
        entries, form = _parsed(entries.str.strip_chars())
    else:
        form = None
    if entries is None or len(entries) < 2:
        return []
    times = following(entries.to_list(), N)
    return times if form is None else [time.strftime(form) for time in times]


def following(times: list[Any], N: int) -> list[Any]:
    """Go on in the even steps of numbers, dates or months; an empty list if uneven.

    Example:
        >>> following([2.0, 2.5, 3.0], 2)
        [3.5, 4.0]
        >>> following([datetime.date(2024, m, 1) for m in (11, 12)], 1)
        [datetime.date(2024, 12, 31)]
        >>> following([datetime.date(2024, m, 1) for m in (10, 11, 12)], 1)
        [datetime.date(2025, 1, 1)]
        >>> following([1, 2, 4], 1)
        []
    """
    steps = [b - a for a, b in itertools.pairwise(times)]
    if isinstance(times[0], (int, float)):
        even = np.allclose(steps, steps[-1], rtol=1e-6, atol=1e-9)
    else:
        even = len(set(steps)) == 1
    if even and steps[-1]:
        return [times[-1] + steps[-1] * n for n in range(1, N + 1)]
    if not isinstance(times[0], datetime.date):
        return []
    months = [12 * time.year + time.month - 1 for time in times]
    gaps = {b - a for a, b in itertools.pairwise(months)}
    days = {time.day for time in times}
    if len(gaps) != 1 or len(days) != 1 or not min(gaps) or min(days) > 28:
        return []
    (gap,) = gaps
    ahead = [months[-1] + gap * n for n in range(1, N + 1)]
    return [times[-1].replace(year=m // 12, month=m % 12 + 1) for m in ahead]


def _parsed(text: pl.Series) -> tuple[pl.Series | None, str | None]:
    """Dates out of text, and how they were written; None where they are none."""
    ways = [
        ("%Y-%m-%d", lambda: text.str.to_date("%Y-%m-%d")),
        ("%Y-%m", lambda: (text + "-01").str.to_date("%Y-%m-%d")),
        ("%Y-%m-%d %H:%M:%S", lambda: text.str.to_datetime("%Y-%m-%d %H:%M:%S")),
        ("%Y-%m-%dT%H:%M:%S", lambda: text.str.to_datetime("%Y-%m-%dT%H:%M:%S")),
        ("%Y-%m-%d %H:%M", lambda: text.str.to_datetime("%Y-%m-%d %H:%M")),
        ("%Y-%m-%dT%H:%M", lambda: text.str.to_datetime("%Y-%m-%dT%H:%M")),
    ]
    for form, way in ways:
        with contextlib.suppress(pl.exceptions.PolarsError):
            return way(), form
    return None, None
