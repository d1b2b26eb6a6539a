"""Training, validation and test parts: by sequence, or by time."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from jrnn.data.sequences import Dataset, Sequences


def split_sequences(
    dataset: Dataset,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    *,
    stratify: Any = None,
    single: Literal["refuse", "first"] = "refuse",
) -> tuple[Dataset, ...]:
    """Split by sequence: parts of given shares, classes in proportion, groups whole.

    Units are taken in a random order. A unit is a sequence, or what must stay together:
    a group of the dataset, and sequences that share steps, as windows of one series do.
    Those come first that bring a class which none before has; they go to the first
    part, so that no class is met in a test that is not in training. Each of the others
    goes to the part that lacks most of it, by its class and altogether,

        argmax_k   sum over classes c of u_c (p_k n_c - n_kc) / u   +   p_k n - n_k

    with p_k the share of part k, u_c and u the examples of the unit by class and in
    all, n_c and n those of this unit and the ones before it, n_kc and n_k those that
    part k has. The last ones go to parts that are still empty.

    Args:
        dataset: all examples.
        shares: of the parts, not negative, with sum 1. A share of 0 is an empty part.
        seed: of the order, from 0 to 2^64 - 1.
        stratify: the class of each example, `(n,)`, numbers or text; without it parts
            are drawn from all alike.
        single: what is done about a class with one example, which cannot be both learnt
            and tested: `"refuse"` it, or put it into the `"first"` part.

    Returns:
        A `Dataset` for each share, examples in the order they had; no step of the
        values is copied.

    Raises:
        ValueError: shares that are negative or do not sum to 1; fewer units than parts;
            another number of classes than examples; a class with one example.

    Example:
        >>> from jrnn.data import from_arrays
        >>> y = np.array([0, 1] * 10)
        >>> data = Dataset(from_arrays([[i] for i in range(20)]), y)
        >>> parts = split_sequences(data, (0.6, 0.2, 0.2), seed=1, stratify=y)
        >>> [np.bincount(part.targets).tolist() for part in parts]
        [[6, 6], [2, 2], [2, 2]]

    References:
        Sechidis, Tsoumakas, Vlahavas (2011), On the stratification of multi-label data,
        doi:10.1007/978-3-642-23808-6_10 (the part that lacks most of it).
    """
    name, n = "split_sequences", len(dataset.inputs)
    wanted = _shares(name, shares)
    if not 0 <= seed < 2**64:
        raise ValueError(f"{name}: seed must be from 0 to 2^64 - 1, got {seed}.")
    units = _units(dataset)
    labels = np.zeros(n, int) if stratify is None else _classes(name, stratify, n)
    if stratify is not None and single != "first" and (wanted > 0).sum() > 1:
        _refuse_single(name, stratify, labels)
    parts = (wanted > 0).sum()
    if units.max(initial=-1) + 1 < parts:
        raise ValueError(_too_few(name, n, int(units.max(initial=-1)) + 1, int(parts)))
    part = _assign(units, labels, wanted, seed)
    if len(np.unique(part)) < parts:
        raise ValueError(
            f"{name}: one of the parts would be empty, since {n} examples in "
            f"{units.max() + 1} groups are too few for shares of {_text(wanted)}. Give "
            "more of them, or larger shares."
        )
    return tuple(dataset.take(np.flatnonzero(part == k)) for k in range(len(wanted)))


def split_time(
    series: Sequences,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    horizon: int = 1,
    *,
    context: int = 0,
) -> tuple[Sequences, ...]:
    """Split every series by time: what comes later is for validation, then for test.

        part k of a series of T steps
            =  steps  max(0, round(T P_k) - context)  up to  round(T P_k+1)

    with P_k the sum of the shares before part k. Windows are made of each part alone,
    so none crosses a border. With `context` 0 parts have no step in common. Otherwise
    parts behind the first begin that much earlier, so that windows of `context` steps
    to read and `horizon` steps to forecast have all forecasts inside the part, and only
    what they read is from before; no step is ever forecast in two parts.

    Series are cut each by its own length, not by one calendar for all.

    Args:
        series: one or more series.
        shares: of the parts from the start, not negative, with sum 1. A share of 0 is
            an empty part.
        horizon: steps that windows forecast. A series of fewer
            than `context + horizon` steps in a part is left out of it.
        context: steps that windows read.

    Returns:
        `Sequences` for each share, on the same values.

    Raises:
        ValueError: shares that are negative or do not sum to 1; a horizon below 1 or a
            negative context; a part that would be empty, with the steps it needs.

    Example:
        >>> from jrnn.data import from_arrays
        >>> train, valid, test = split_time(from_arrays([np.arange(10)]), horizon=1)
        >>> train[0].tolist(), valid[0].tolist(), test[0].tolist()
        ([0, 1, 2, 3, 4, 5, 6, 7], [8], [9])
        >>> parts = split_time(from_arrays([np.arange(10)]), horizon=1, context=2)
        >>> [part[0].tolist() for part in parts[1:]]
        [[6, 7, 8], [7, 8, 9]]
    """
    wanted = _shares("split_time", shares)
    if horizon < 1 or context < 0:
        raise ValueError(
            "split_time: horizon must be at least 1 and context at least 0, got "
            f"{horizon} and {context}."
        )
    ends = np.rint(np.outer(np.cumsum(wanted), series.lengths)).astype(int)
    parts = []
    for k in range(len(wanted)):
        begin = np.maximum(ends[k - 1] - context, 0) if k else np.zeros_like(ends[0])
        kept = (ends[k] - begin >= horizon + context) & (wanted[k] > 0)
        if wanted[k] > 0 and not kept.any():
            raise ValueError(
                f"split_time: part {k + 1} of {len(wanted)} would be empty: the "
                f"longest series has {series.lengths.max(initial=0)} steps, of which "
                f"it gets {wanted[k]:.0%}, and a window needs {context + horizon}"
                + (f", {context} of them from before" if k and context else "")
                + ". Give a longer series, a larger share or shorter windows."
            )
        starts = series.starts + begin
        parts.append(Sequences(series.values, starts[kept], (ends[k] - begin)[kept]))
    return tuple(parts)


# Units: what must stay together


def _units(dataset: Dataset) -> np.ndarray:
    """The unit (n,) of each example, from 0: connected by a group or by steps."""
    unit = _overlapping(dataset.inputs)
    if dataset.groups is None:
        return unit
    _, group = np.unique(np.asarray(dataset.groups), return_inverse=True)
    if len(group) != len(unit):
        raise ValueError(
            f"split_sequences: the dataset has {len(unit)} inputs, but {len(group)} "
            "groups."
        )
    # the least number among what is connected spreads until nothing changes
    while True:
        before = unit
        for of in (group, unit):
            least = np.full(of.max(initial=-1) + 1, len(unit))
            np.minimum.at(least, of, unit)
            unit = least[of]
        if (unit == before).all():
            return np.unique(unit, return_inverse=True)[1]


def _overlapping(sequences: Sequences) -> np.ndarray:
    """Numbers (n,), the same for sequences that share steps, however indirectly."""
    order = np.argsort(sequences.starts, kind="stable")
    starts = sequences.starts[order]
    ends = np.maximum.accumulate(starts + sequences.lengths[order])
    apart = np.append(False, starts[1:] >= ends[:-1])[: len(order)]
    unit = np.empty(len(order), int)
    unit[order] = np.cumsum(apart)
    return unit


# Assignment


def _assign(
    units: np.ndarray, labels: np.ndarray, shares: np.ndarray, seed: int
) -> np.ndarray:
    """The part (n,) of each example."""
    number, classes = units.max() + 1, labels.max() + 1
    keys, counts = np.unique(units * classes + labels, return_counts=True)
    rows = np.searchsorted(keys // classes, np.arange(number + 1)).tolist()
    pairs = list(zip((keys % classes).tolist(), counts.tolist(), strict=True))
    content = [pairs[a:b] for a, b in itertools.pairwise(rows)]  # (c, u_c) of units
    bits = np.random.Philox(key=seed).random_raw(number)
    needed, others = _of_new_classes(np.argsort(bits, kind="stable").tolist(), content)
    p, parts = shares.tolist(), np.flatnonzero(shares).tolist()
    seen, got = [0] * classes, [[0] * classes for _ in p]  # n_c, n_kc
    total, size = 0, [0] * len(p)  # n, n_k
    part_of = np.empty(number, int)
    for done, unit in enumerate(needed + others):
        of_unit = content[unit]
        u = sum(u_c for _, u_c in of_unit)
        total += u
        for c, u_c in of_unit:
            seen[c] += u_c
        open_to = parts[:1] if done < len(needed) else parts
        if len(needed) <= done and number - done < len(parts):
            open_to = [k for k in parts if size[k] == 0] or parts
        best, most = -1, -math.inf
        for k in open_to:
            by_class = sum([u_c * (p[k] * seen[c] - got[k][c]) for c, u_c in of_unit])
            if (lack := by_class / u + p[k] * total - size[k]) > most:
                best, most = k, lack
        part_of[unit] = best
        size[best] += u
        for c, u_c in of_unit:
            got[best][c] += u_c
    return part_of[units]


def _of_new_classes(order: list[int], content: list) -> tuple[list[int], list[int]]:
    """Units that bring a class which none before them has, and the others."""
    met, needed, others = set(), [], []
    for unit in order:
        classes = {c for c, _ in content[unit]}
        (others if classes <= met else needed).append(unit)
        met |= classes
    return needed, others


# What is refused


def _shares(name: str, shares: Sequence[float]) -> np.ndarray:
    wanted = np.asarray(shares, float)
    if wanted.ndim != 1 or not ((wanted >= 0).all() and abs(wanted.sum() - 1) < 1e-6):
        raise ValueError(
            f"{name}: shares must be at least 0 and sum to 1, got {_text(wanted)}."
        )
    return wanted


def _text(shares: np.ndarray) -> str:
    return ", ".join(f"{share:g}" for share in np.ravel(shares).tolist())


def _classes(name: str, stratify: Any, n: int) -> np.ndarray:
    values = np.asarray(stratify)
    if values.shape != (n,):
        raise ValueError(
            f"{name}: stratify must have the class of each of the {n} examples, got "
            f"shape {values.shape}."
        )
    return np.unique(values, return_inverse=True)[1]


def _refuse_single(name: str, stratify: Any, labels: np.ndarray) -> None:
    alone = np.flatnonzero(np.bincount(labels) == 1)
    if len(alone):
        where = int(np.flatnonzero(labels == alone[0])[0])
        label = np.asarray(stratify)[where].item()
        more = f", and {len(alone) - 1} more such classes" if len(alone) > 1 else ""
        raise ValueError(
            f"{name}: class {label!r} has one example, number {where + 1}{more}, which "
            "cannot be both learnt and tested.\nGive more examples of it or leave it "
            'out; or pass single="first", which keeps it for training.'
        )


def _too_few(name: str, n: int, units: int, parts: int) -> str:
    if n == 1:
        return (
            f"{name}: there is one sequence, which cannot be on several sides.\nName "
            "the column that tells sequences apart, or split it by time (split_time)."
        )
    within = f" in {units} groups that must stay together" if units < n else ""
    return (
        f"{name}: {n} sequences{within} are too few for {parts} parts.\nGive more of "
        "them, or fewer parts: shares such as 0.8, 0.2."
    )
