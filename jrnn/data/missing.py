"""Missing values in sequences of numbers: refused, marked or interpolated."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from jrnn.data.sequences import Sequences

Missing = Literal["refuse", "mask", "interpolate"]
CHOICES = ("refuse", "mask", "interpolate")


def fill_missing(
    sequences: Sequences,
    names: Sequence[str],
    missing: Missing = "refuse",
    *,
    indicators: Sequence[str] | None = None,
    place: Callable[[int], str] | None = None,
) -> tuple[Sequences, tuple[str, ...]]:
    """What is done about missing values, NaN.

    * `"refuse"`: an error names the first.
    * `"mask"`: each column that has gaps gets another beside it, 1 where a value is
      missing and 0 elsewhere. The value itself stays NaN: `scale` makes it 0, the mean
      of the training part, and leaves the new column as it is.
    * `"interpolate"`: on a straight line by step between the values before and after,
      within a sequence; at its ends the nearest value. This looks ahead: a step may
      hold what is known later only.

    Args:
        sequences: numbers `(N, D)`, sequences that share no steps.
        names: of the D columns.
        missing: `"refuse"`, `"mask"` or `"interpolate"`.
        indicators: for `"mask"`: the columns that get another, as in the training data;
            a gap elsewhere is refused. None: those that have gaps.
        place: what messages call step n of all; the step of a sequence if None.

    Returns:
        `(sequences, names)`, with the columns added, `"NAME is missing"`, last.

    Raises:
        ValueError: another word; a gap where none may be; a sequence without any value
            in a column that is to be interpolated.

    Example:
        >>> from jrnn.data import from_arrays
        >>> xs = from_arrays([[[1.0], [np.nan], [3.0]]])
        >>> fill_missing(xs, ["load"], "interpolate")[0].values.ravel()
        array([1., 2., 3.])
        >>> marked, names = fill_missing(xs, ["load"], "mask")
        >>> names, marked.values[:, 1]
        (('load', 'load is missing'), array([0., 1., 0.]))
    """
    if missing not in CHOICES:
        raise ValueError(
            "fill_missing: missing must be 'refuse', 'mask' or 'interpolate', got "
            f"{missing!r}."
        )
    values = sequences.values
    gaps = [d for d in range(values.shape[1]) if np.isnan(values[:, d]).any()]
    names = tuple(names)
    if missing == "interpolate":
        return (_interpolated(sequences, names, gaps) if gaps else sequences), names
    marked = gaps if indicators is None else [names.index(n) for n in indicators]
    marked = marked if missing == "mask" else []
    for d in gaps:
        if d not in marked:
            raise _refused(sequences, names[d], d, missing, place)
    if not marked:
        return sequences, names
    flags = np.isnan(values[:, marked]).astype(values.dtype)
    values = np.concatenate([values, flags], axis=1)
    more = tuple(f"{names[d]} is missing" for d in marked)
    return Sequences(values, sequences.starts, sequences.lengths), (*names, *more)


def _refused(
    sequences: Sequences,
    name: str,
    d: int,
    missing: Missing,
    place: Callable[[int], str] | None,
) -> ValueError:
    steps = np.flatnonzero(np.isnan(sequences.values[:, d]))
    where = (place or _place(sequences))(int(steps[0]))
    more = f", and {len(steps) - 1} more" if len(steps) > 1 else ""
    if missing == "mask":
        return ValueError(
            f"column {name!r} has no value in {where}{more}, but it had all of them "
            "in the training data.\nFill it in, or train on data with such gaps."
        )
    return ValueError(
        f"column {name!r} has no value in {where}{more}.\nFill it in, or choose what "
        "is done about missing values: mask or interpolate."
    )


def _place(sequences: Sequences) -> Callable[[int], str]:
    def place(n: int) -> str:
        i = int(np.flatnonzero(sequences.starts <= n)[-1])
        return f"step {n - sequences.starts[i] + 1} of sequence {i + 1}"

    return place


def _interpolated(
    sequences: Sequences, names: tuple[str, ...], gaps: list[int]
) -> Sequences:
    values = sequences.values.copy()
    for i, (start, length) in enumerate(
        zip(sequences.starts, sequences.lengths, strict=True)
    ):
        part = values[start : start + length]
        for d in gaps:
            unknown = np.isnan(part[:, d])
            if unknown.all() and length:
                raise ValueError(
                    f"column {names[d]!r} has no value at all in sequence {i + 1}: "
                    "there is nothing to interpolate.\nLeave the sequence or the "
                    "column out, or mask missing values."
                )
            if unknown.any():
                steps = np.arange(length)
                known = steps[~unknown]
                part[unknown, d] = np.interp(steps[unknown], known, part[known, d])
    return Sequences(values, sequences.starts, sequences.lengths)
