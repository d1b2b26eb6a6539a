"""What is written down of a workload: plain numbers, from which all else is drawn."""

import math
from collections.abc import Sequence

import numpy as np

from experiments.benchmark.models import Entry

JRNN = "jrnn"


def case(
    title: str,
    entries: Sequence[Entry],
    seconds: dict[str, np.ndarray],
    *,
    reference: str = JRNN,
    unit: str = "ms",
    largest_difference: float | None = None,
    missing: dict[str, str] | None = None,
    bare: np.ndarray | None = None,
) -> dict:
    """Best and median of each contender, and its time as a multiple of jrnn's.

    Args:
        title: of the case.
        entries: the contenders.
        seconds: of each unit of work, by rounds.
        reference: whose time is 1.
        unit: "ms" of a unit of work, or "characters/s".
        largest_difference: found when the answers were compared.
        missing: contenders that could not run, and why.
        bare: seconds of the bare products, if they were measured beside.
    """
    made = {
        "title": title,
        "unit": unit,
        "reference": reference,
        "rounds": len(seconds[reference]),
        "variants": {
            entry.name: variant(entry, seconds[entry.name], seconds[reference], unit)
            for entry in entries
        },
        "largest_difference": rounded(largest_difference, 2),
        "missing": missing or {},
    }
    if bare is not None:
        made["roofline"] = roofline(bare, seconds[reference], unit)
    return made


def variant(entry: Entry, seconds, reference, unit: str) -> dict:
    best, median = seconds.min(), np.median(seconds)
    numbers = in_unit(seconds, unit) | {
        "times_reference_best": rounded(best / reference.min()),
        "times_reference_median": rounded(median / np.median(reference)),
    }
    if entry.compile_seconds is not None:
        numbers["compile_seconds"] = rounded(entry.compile_seconds)
    return numbers


def roofline(bare: np.ndarray, reference: np.ndarray, unit: str = "ms") -> dict:
    """Speed of the bare products, and the reference's time as a multiple of theirs."""
    return in_unit(bare, unit) | {
        "reference_over_products_best": rounded(reference.min() / bare.min()),
        "reference_over_products_median": rounded(
            np.median(reference) / np.median(bare)
        ),
    }


def in_unit(seconds: np.ndarray, unit: str) -> dict[str, float | None]:
    convert = (lambda s: 1e3 * s) if unit == "ms" else (lambda s: 1 / s)
    return {
        "best": rounded(convert(seconds.min()), 4),
        "median": rounded(convert(np.median(seconds)), 4),
    }


def rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")


SUMMARISED = ("W1", "W2", "W3", "W4")
JAX_LIBRARIES = ("Flax", "Haiku", "Equinox")


def summary(workloads: dict) -> dict:
    """For each contender its geometric mean over W1 to W4, and its best case."""
    cases = [c for name in SUMMARISED for c in workloads.get(name, {}).get("cases", [])]
    ratios: dict[str, list[float]] = {}
    for c in cases:
        for name, ratio in ratios_of(c).items():
            ratios.setdefault(name, []).append(ratio)
        libraries = [
            ratio
            for name, ratio in ratios_of(c).items()
            if name.startswith(JAX_LIBRARIES)
        ]
        if libraries:
            fastest = "fastest of Flax, Haiku, Equinox"
            ratios.setdefault(fastest, []).append(min(libraries))
    return {name: spread(values) for name, values in ratios.items() if name != JRNN}


def foreign_summary(workloads: dict) -> dict:
    """For each cell of another library: lax.scan's time over jrnn.scan's, in W9."""
    ratios: dict[str, list[float]] = {}
    for c in workloads.get("W9", {}).get("cases", []):
        cell, _ = c["title"].split(",")
        ratios.setdefault(cell, []).append(ratios_of(c)["lax.scan"])
    everything = [ratio for found in ratios.values() for ratio in found]
    if everything:
        ratios["all"] = everything
    return {cell: spread(values) for cell, values in ratios.items()}


def ratios_of(case: dict) -> dict[str, float]:
    variants = case["variants"].items()
    return {name: v["times_reference_median"] for name, v in variants}


def spread(ratios: list[float]) -> dict:
    return {
        "geometric_mean": rounded(math.exp(np.mean(np.log(ratios)))),
        "least": min(ratios),
        "most": max(ratios),
        "cases": len(ratios),
    }
