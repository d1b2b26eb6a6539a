"""Sequences of numbers, with classes, from tables and arrays."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from jrnn.cli.errors import UserError
from jrnn.cli.tasks.files import Found, form_of, read_each, read_tables
from jrnn.data import (
    Dataset,
    Sequences,
    column,
    fill_missing,
    fit_scaling,
    labels_of,
    read_npz,
    read_ts,
    scale,
    scaling_from_json,
    scaling_to_json,
    series_of,
)

FAR = 50  # deviations from the mean: such values are likely to be in another unit


class Numeric(NamedTuple):
    """Sequences as they are in the files, before they are scaled."""

    sequences: Sequences  # values (N, D) float32
    features: tuple[str, ...]  # (D',) columns
    indicators: tuple[str, ...]  # those of them that have another for missing values
    labels: np.ndarray | None  # strings, (n,), or (N,) in the order of the steps
    groups: np.ndarray | None  # (n,)
    ids: tuple[Any, ...]  # (n,)
    frame: pl.DataFrame | None = None  # the table, if it was one
    rows: np.ndarray | None = None  # (N,): the row of it that each step was


def read_numeric(
    config: Any,
    found: Found,
    each: Literal["sequence", "step"],
    known: dict[str, Any] | None = None,
    *,
    labelled: bool = True,
) -> Numeric:
    """Read sequences of numbers.

    Args:
        config: `jrnn.cli.class_options.ClassOptions`.
        found: files that are tables, `.npz` or `.ts`.
        each: what has a class.
        known: what a run knows of its columns, for other files than its own.
        labelled: whether classes are needed.
    """
    if form_of(found) in ("npz", "ts"):
        return _of_arrays(config, found, each, known, labelled)
    frame, name = read_tables(found), found.source
    if known is not None and config.id is None:
        raise UserError(
            f"{name} is a table, but the run was trained on another kind of file.\n"
            f"Give one like {', '.join(file.name for file in config.files)}."
        )
    if config.id is None:
        raise UserError(
            f"{name} is one sequence, as long as no column tells sequences apart.\n"
            f"Name the one that does: --id COLUMN. Its columns: "
            f"{', '.join(frame.columns[:12])}."
        )
    if labelled:  # before what is left is taken for numbers
        for wanted in (config.label, config.group):
            if wanted is not None:
                column(frame, wanted, name)
    features = list(known["features"]) if known else list(config.features)
    aside = {config.id, config.time, config.label, config.group}
    series = series_of(
        frame,
        features or [c for c in frame.columns if c not in aside],
        id=config.id,
        time=config.time,
        missing=config.missing,
        indicators=known["indicators"] if known else None,
        name=name,
    )
    labels = groups = None
    if labelled:
        labels = labels_of(frame, config.label, series, each=each, name=name)
        if config.group is not None:
            groups = labels_of(frame, config.group, series, name=name)
    names = _split_names(series.names)
    ids, rows = series.ids, series.rows
    return Numeric(series.sequences, *names, labels, groups, ids, frame, rows)


def joined(first: Numeric, second: Numeric) -> Numeric:
    """The sequences of both, those of the first in front; they are of no one table."""
    of = lambda name: (getattr(first, name), getattr(second, name))
    groups = [
        np.array([f"{k}{g}" for g in numeric.groups])
        if numeric.groups is not None
        else np.array([f"{k}:{i}" for i in range(len(numeric.sequences))])
        for k, numeric in enumerate((first, second))
    ]
    return first._replace(
        sequences=_concatenated(of("sequences")),
        labels=np.concatenate(of("labels")),
        groups=None if first.groups is None else np.concatenate(groups),
        ids=first.ids + second.ids,
        frame=None,
        rows=None,
    )


def known_of(numeric: Numeric, train: np.ndarray) -> dict[str, Any]:
    """What a run keeps of its columns; the scaling is that of the training part."""
    return {
        "form": "numbers",
        **columns_of(numeric),
        "scaling": scaling_to_json(fit_scaling(numeric.sequences.take(train))),
    }


def columns_of(numeric: Numeric) -> dict[str, Any]:
    """The columns that were read, by which other files are read in the same way."""
    return {
        "features": list(numeric.features),
        "indicators": list(numeric.indicators),
    }


def scaled(numeric: Numeric, known: dict[str, Any]) -> Sequences:
    """The sequences, scaled as those of the training part."""
    return scale(scaling_from_json(known["scaling"]), numeric.sequences)


def far_columns(numeric: Numeric, known: dict[str, Any]) -> list[str]:
    """What to say of columns whose values lie far from those of the training part."""
    scaling = scaling_from_json(known["scaling"])
    with np.errstate(invalid="ignore"):
        away = np.abs(numeric.sequences.values - scaling.mean) / scaling.std
    most = np.nanmax(np.where(np.isnan(away), 0, away), axis=0)
    names = known["features"]
    return [
        f"Caution: column {names[d]!r} has values {most[d]:.3g} standard deviations "
        "from the mean of the training data: are they in another unit?"
        for d in np.flatnonzero(most[: len(names)] > FAR)[:5]
    ]


def _of_arrays(config, found, each, known, labelled) -> Numeric:
    reader = read_npz if form_of(found) == "npz" else read_ts
    parts: list[Dataset] = read_each(found, reader)
    name = found.source
    inputs = _concatenated([_flat(part.inputs) for part in parts])
    D = inputs.values.shape[1]
    names = [str(d + 1) for d in range(D)]
    if known is not None:
        if len(known["features"]) != D:
            raise UserError(
                f"{name} has {D} numbers in each step, but the run was trained on "
                f"{len(known['features'])}: {_some(known['features'])}.\n"
                "Give sequences of the same numbers."
            )
        names = list(known["features"])
    indicators = known["indicators"] if known else None
    try:
        inputs, found_names = fill_missing(
            inputs, names, config.missing, indicators=indicators
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    labels = _labels(name, parts, each) if labelled else None
    given = [part.groups for part in parts if part.groups is not None]
    grouped = labelled and len(given) == len(parts)
    groups = np.concatenate(given).astype(str) if grouped else None
    ids = tuple(range(1, len(inputs) + 1))
    return Numeric(inputs, *_split_names(found_names), labels, groups, ids)


def _labels(name: str, parts: list[Dataset], each: str) -> np.ndarray:
    steps = [isinstance(part.targets, Sequences) for part in parts]
    if any(part.targets is None for part in parts):
        raise UserError(f"{name} has no classes.\nSave them with the sequences, as y.")
    if all(steps) and each == "step":
        return np.concatenate([part.targets.values for part in parts]).astype(str)
    labels = [np.asarray(part.targets) for part in parts if not any(steps)]
    if not labels or each == "step" or labels[0].ndim != 1:
        raise UserError(
            f"{name}: y must have a class for each {each}.\n"
            "For one in each sequence use jrnn classify, in each step jrnn label."
        )
    return np.concatenate(labels).astype(str)


def _flat(sequences: Sequences) -> Sequences:
    """The same with a vector of float32 in each step."""
    values = sequences.values
    values = values.reshape(len(values), -1).astype(np.float32)
    return Sequences(values, sequences.starts, sequences.lengths)


def _concatenated(parts: Sequence[Sequences]) -> Sequences:
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0, *(len(part.values) for part in parts[:-1])])
    return Sequences(
        np.concatenate([part.values for part in parts]),
        np.concatenate([p.starts + n for p, n in zip(parts, before, strict=True)]),
        np.concatenate([part.lengths for part in parts]),
    )


def _split_names(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of a file, and those of them that have an indicator."""
    end = " is missing"
    marked = [n.removesuffix(end) for n in names if n.endswith(end)]
    marked = [n for n in marked if n in names]
    added = {f"{n}{end}" for n in marked}
    return tuple(n for n in names if n not in added), tuple(marked)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
