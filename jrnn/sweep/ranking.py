"""The best configurations, and how sure that is."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jrnn.sweep.runs import Run, last
from jrnn.sweep.space import Config


class Ranked(NamedTuple):
    """A configuration over its seeds."""

    config: Config
    mean: float  # of the metric at the end, over seeds; inf where a run diverged
    error: float  # standard error of the mean; nan with one seed
    values: tuple[float, ...]  # of each seed that ended well
    failed: int  # runs that diverged, or were never made


def ranking(runs: Sequence[Run], metric: str, *, largest: bool = False) -> list[Ranked]:
    """Configurations by a metric at the end, best first.

        mean = sum of v_s / S,   error = sqrt(sum of (v_s - mean)^2 / (S - 1) / S)

    A configuration with a run that diverged or was not made stands behind all others.

    Args:
        runs: of a sweep.
        metric: its name; of a list, the last number counts.
        largest: whether more is better.

    Returns:
        One `Ranked` for each configuration.

    Raises:
        ValueError: no run has this metric.

    Example:
        >>> from jrnn.sweep import Run
        >>> ended = lambda n, rate, loss: Run(
        ...     n, {"rate": rate}, n, "done", {"loss": loss}, 0, 1)
        >>> runs = [ended(0, 0.1, 2.0), ended(1, 0.1, 4.0), ended(2, 1.0, [9.0, 1.0])]
        >>> [(row.config, row.mean) for row in ranking(runs, "loss")]
        [({'rate': 1.0}, 1.0), ({'rate': 0.1}, 3.0)]
    """
    names = {name for run in runs for name in run.metrics}
    if metric not in names:
        raise ValueError(
            f"ranking: no run has the metric {metric!r}, "
            f"they have {', '.join(sorted(names)) or 'none'}."
        )
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(repr(run.config), []).append(run)
    rows = [_ranked(group, metric) for group in found.values()]
    sign = -1 if largest else 1
    return sorted(rows, key=lambda row: (row.failed > 0, _key(sign * row.mean)))


def _ranked(runs: Sequence[Run], metric: str) -> Ranked:
    values = tuple(float(last(r.metrics[metric])) for r in runs if r.status == "done")
    failed = len(runs) - len(values)
    mean = float(np.mean(values)) if values else math.inf
    error = math.nan
    if len(values) > 1:
        error = float(np.std(values, ddof=1) / math.sqrt(len(values)))
    return Ranked(runs[0].config, mean, error, values, failed)


def _key(value: float) -> float:
    return math.inf if math.isnan(value) else value
