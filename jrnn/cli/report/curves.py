"""The curves of a run: each has its own points, few enough to be drawn."""

import math
from collections.abc import Sequence
from typing import Any

from jrnn.cli.stored import is_number

MOST = 2000  # points of a curve; a screen has fewer columns
LABELS = {"grad_norm": "gradient norm", "clipped": "share of steps clipped"}

Curve = dict[str, list[float | None]]  # step, epoch, seconds, y: all of one length


def curves(
    lines: Sequence[dict[str, Any]], times: dict[int, float], figures: Sequence[str]
) -> dict[str, Curve]:
    """The curves that metrics.jsonl has points of, by name.

    Args:
        lines: of metrics.jsonl.
        times: seconds by step, of times.jsonl.
        figures: names of the task's own figures, whose lines begin with `valid_`.
    """
    names = ["loss", "valid_loss", *LABELS, *(f"valid_{name}" for name in figures)]
    found = {}
    for name in names:
        points = [line for line in lines if _known(line.get(name)) is not None]
        if points:
            found[name] = _curve(name, thinned(points), times)
    return found


def thinned(points: list[Any], most: int = MOST) -> list[Any]:
    """At most so many of the points, evenly spaced, the first and the last among them.

    Example:
        >>> thinned(list(range(9)), 3)
        [0, 4, 8]
    """
    if len(points) <= most:
        return points
    return [points[round(n * (len(points) - 1) / (most - 1))] for n in range(most)]


def label(name: str) -> str:
    """What a curve is called.

    Example:
        >>> label("valid_macro_f1")
        'validation macro f1'
    """
    named = LABELS.get(name, name.replace("_", " "))
    return named.replace("valid ", "validation ")


def _curve(name: str, points: list[Any], times: dict[int, float]) -> Curve:
    return {
        "step": [point["step"] for point in points],
        "epoch": [_known(point.get("epoch")) for point in points],
        "seconds": [_known(times.get(point["step"])) for point in points],
        "y": [_known(point[name]) for point in points],
    }


def _known(value: Any) -> float | None:
    """A number in as many digits as can be seen; None for what is none."""
    if not is_number(value) or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")
