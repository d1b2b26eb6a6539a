"""Series of numbers from tables: gaps, scaling, windows in three parts by time."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jrnn.cli.errors import UserError
from jrnn.cli.forecast_options import Forecast
from jrnn.cli.tasks.files import Found, form_of, read_tables
from jrnn.data import (
    Dataset,
    Scaling,
    Sequences,
    column,
    fill_missing,
    fit_scaling,
    scale,
    scaling_from_json,
    scaling_to_json,
    series_of,
    split_time,
)
from jrnn.tasks import drifts, forecast_windows, spreads, wanders

FAR = 50  # deviations from the mean: such values are likely to be in another unit
LEAST = 16  # steps that are read where the options ask for no more
SMALL = 0.5  # deviations of the level: such a spread of what comes is small beside it


class Observed(NamedTuple):
    """Series as they are in the files, before they are scaled."""

    raw: Sequences  # values (N, D) float32, NaN where one is missing
    filled: Sequences  # the same with something in its place where there is any
    features: tuple[str, ...]
    indicators: tuple[str, ...]  # of features: behind them, where they are missing
    targets: tuple[str, ...]  # some of the features
    ids: tuple[Any, ...]  # of the series
    frame: pl.DataFrame
    rows: np.ndarray  # (N,): the row of the table that each step was


def read_series(config: Forecast, found: Found, known: dict | None) -> Observed:
    """Read series.

    Args:
        config: the options.
        found: tables.
        known: what a run knows of its columns, for other files than its own.
    """
    if form_of(found) in ("npz", "ts"):
        raise UserError(
            f"{found.source} is no table.\nGive CSV, TSV or Parquet, a row for each "
            "step."
        )
    frame, name = read_tables(found), found.source
    features, targets = _columns(config, frame, name)
    marked = known["indicators"] if known and config.missing == "mask" else None
    series = series_of(
        frame,
        features,
        id=config.id,
        time=config.time,
        missing="refuse" if config.missing == "refuse" else "mask",
        indicators=marked,
        name=name,
    )
    raw, D = series.sequences, len(features)
    indicators = [n.removesuffix(" is missing") for n in series.names[D:]]
    if config.missing == "interpolate":
        raw, indicators = Sequences(raw.values[:, :D], raw.starts, raw.lengths), []
    filled = raw
    if config.missing == "interpolate":
        try:
            filled, _ = fill_missing(raw, features, "interpolate")
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    elif config.missing == "mask":
        filled = _carried_on(raw)
    of = tuple(features), tuple(indicators), tuple(targets)
    return Observed(raw, filled, *of, series.ids, frame, series.rows)


def known_of(config: Forecast, observed: Observed) -> dict[str, Any]:
    """What a run keeps of its series; the scaling is that of the training part."""
    context = config.context or _context(config, observed.raw)
    train = _parts(config, observed, context)[0]
    known = {
        "form": "series",
        "features": list(observed.features),
        "indicators": list(observed.indicators),
        "targets": list(observed.targets),
        "context": context,
        "horizon": config.horizon,
        "season": config.season,
        "quantiles": list(config.quantiles),
        "scaling": scaling_to_json(fit_scaling(train)),
        "steps": int(train.lengths.sum()),
        "series": len(observed.raw),
        "left_out": len(observed.raw) - len(train),
        "centre": config.centre == "yes",
    }
    examples, of = _windows(config, known, observed, train), columns_of(known)
    if config.centre == "auto":
        known["centre"] = wanders(examples, of)
    return known | _course(config, known, examples)


def _course(config: Forecast, known: dict, examples: Dataset) -> dict[str, Any]:
    """How the series go on in training: as forecasts are to start, and in which unit.

    Where a series that wanders makes steps that are small beside the level by which it
    is scaled, they are the unit.
    """
    of, season = columns_of(known), config.season
    drift = drifts(examples, of, season)
    spread = None
    if known["centre"] and season:
        found = spreads(examples, of, season, drift=drift)
        if found.max() < SMALL:
            spread = (found[:1] if config.feedback else found).tolist()
    return {"drift": drift, "spread": spread}


def in_parts(config: Forecast, known: dict, observed: Observed) -> list[Dataset]:
    """Windows, and what follows each, scaled: for training, validation and test.

    What is asked for lies in one part only; what is read for it may be from before.
    """
    parts = _parts(config, observed, known["context"])
    return [_windows(config, known, observed, part) for part in parts]


def endings(config: Forecast, known: dict, observed: Observed) -> Dataset:
    """The last steps of every series, scaled, from which the future is forecast."""
    xs = scale(scaling_from_json(known["scaling"]), observed.filled)
    lengths = np.minimum(xs.lengths, known["context"])
    return Dataset(Sequences(xs.values, xs.starts + xs.lengths - lengths, lengths))


def columns_of(known: dict[str, Any]) -> tuple[int, ...]:
    """Which features are forecast."""
    return tuple(known["features"].index(name) for name in known["targets"])


def target_scaling(known: dict[str, Any]) -> Scaling:
    """The scaling of the targets."""
    scaling, of = scaling_from_json(known["scaling"]), list(columns_of(known))
    return Scaling(scaling.mean[of], scaling.std[of])


def far_columns(observed: Observed, known: dict[str, Any]) -> list[str]:
    """What to say of columns whose values lie far from those of the training part."""
    scaling = scaling_from_json(known["scaling"])
    away = np.abs(observed.raw.values - scaling.mean) / scaling.std
    most = np.max(np.nan_to_num(away), axis=0)
    return [
        f"Caution: column {name!r} has values {most[d]:.3g} standard deviations from "
        "the mean of the training data: are they in another unit?"
        for d, name in enumerate(known["features"])
        if most[d] > FAR
    ]


def _columns(config: Forecast, frame: pl.DataFrame, name: str):
    """Features and targets."""
    if not config.target:
        raise UserError(
            "Name the column to forecast: --target COLUMN.\nThose of "
            f"{name}: {', '.join(frame.columns[:12])}."
        )
    targets = [config.target]
    if config.target not in frame.columns:
        targets = list(
            dict.fromkeys(t.strip() for t in config.target.split(",") if t.strip())
        )
    features = list(config.features) or targets
    for wanted in (*targets, *features):
        column(frame, wanted, name)
    # what is forecast is read, too: its last value is where a forecast starts
    features += [target for target in targets if target not in features]
    if config.feedback and len(features) > len(targets):
        more = [f for f in features if f not in targets]
        raise UserError(
            f"--feedback reads its own forecasts, but {more[0]!r} is not forecast.\n"
            "Make it a target, or leave --feedback out."
        )
    if config.feedback and config.missing == "mask":
        raise UserError(
            "--feedback cannot forecast what will be missing.\n"
            "Give --missing interpolate, or leave --feedback out."
        )
    return features, targets


def _carried_on(raw: Sequences) -> Sequences:
    """The last known value of a series in the place of missing ones, if there is any.

    What is missing at its start stays so, and becomes the mean when it is scaled.
    """
    values, n = raw.values.copy(), np.arange(len(raw.values))
    begins = np.zeros(len(values), int)
    begins[raw.starts] = raw.starts
    begins = np.maximum.accumulate(begins)
    for x in values.T:
        last = np.maximum.accumulate(np.where(np.isnan(x), -1, n))
        x[:] = np.where(last >= begins, x[last], np.nan)
    return Sequences(values, raw.starts, raw.lengths)


def _context(config: Forecast, series: Sequences) -> int:
    """Steps to read: long enough to see two seasons, short enough for windows."""
    wanted = max(2 * config.season, config.horizon, LEAST)
    most = (round(int(series.lengths.max()) * config.split[0]) - config.horizon) // 2
    return max(config.season, 1, min(wanted, most))


def _parts(config: Forecast, observed: Observed, context: int) -> tuple[Sequences, ...]:
    N = config.horizon
    try:
        return split_time(observed.raw, config.split, N, context=context)
    except ValueError:
        longest = int(observed.raw.lengths.max())
        shares = " ".join(f"{share:g}" for share in config.split)
        raise UserError(
            f"The longest series has {longest} steps: too few for windows of --context "
            f"{context} and --horizon {N} in parts of {shares}.\nGive longer series, a "
            "shorter horizon or context, or larger parts by --split."
        ) from None


def _windows(
    config: Forecast, known: dict, observed: Observed, part: Sequences
) -> Dataset:
    xs = scale(scaling_from_json(known["scaling"]), observed.filled.values)
    missing, of = np.isnan(observed.raw.values), list(columns_of(known))
    ys = np.where(missing[:, of], np.float32(np.nan), xs[:, of])
    context, horizon = known["context"], config.horizon
    if not len(part):
        return Dataset(Sequences(xs, *[np.zeros(0, int)] * 2), part)
    series = Sequences(xs, part.starts, part.lengths)
    windows = forecast_windows(series, of, context=context, horizon=horizon)
    starts = windows.targets.starts
    asked = np.append(0, np.cumsum(~np.isnan(ys).all(axis=1)))
    kept = asked[starts + horizon] > asked[starts]
    if config.missing == "interpolate":
        # a line through a gap at the end would lead to what is asked for
        kept &= ~missing[starts - 1].any(axis=1)
    targets = Sequences(ys, starts, windows.targets.lengths)
    return windows._replace(targets=targets).take(np.flatnonzero(kept))
