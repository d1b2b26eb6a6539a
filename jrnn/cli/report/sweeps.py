"""What a page shows of a sweep, from its table, as JSON can hold it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jrnn.cli.errors import UserError
from jrnn.cli.words import plain_errors
from jrnn.sweep import Run, ranking, read_table
from jrnn.sweep.runs import last
from jrnn.sweep.space import Config

TABLE = "table.csv"
# beside the table, all that `jrnn sweep` writes into its folder
FILES = (TABLE, "sweep.json", "marginals.png", "curves.png", "heat_map.png", ".lock")
JUDGED = "best_loss", "valid_loss", "loss"  # which metric counts, the first that is
MOST = 2000  # configurations on a page


def is_sweep(folder: Path) -> bool:
    """Whether this is the folder of a sweep."""
    return (folder / TABLE).is_file()


def read_sweep(folder: Path, name: str) -> dict[str, Any]:
    """All of a sweep that is to be shown; `UserError` where its table is damaged."""
    with plain_errors():  # TableError is a ValueError
        runs = read_table(folder / TABLE)
    if not runs:
        raise UserError(f"{folder / TABLE} has no training yet.")
    metrics = _metrics(runs)
    names = list(runs[0].config)
    values = {n: {repr(run.config[n]) for run in runs} for n in names}
    varied = [n for n in names if len(values[n]) > 1]
    rows = _rows(runs, metrics)
    shown = rows[:MOST]
    return {
        "name": name,
        "settings": [{"name": n, "label": n.replace("_", " ")} for n in varied],
        "fixed": {n: _plain(runs[0].config[n]) for n in names if n not in varied},
        "metrics": [{"name": m, "label": m.replace("_", " ")} for m in metrics],
        "rows": [{**row, "config": _of(row["config"], varied)} for row in shown],
        "left_out": len(rows) - len(shown),
    }


def _metrics(runs: Sequence[Run]) -> list[str]:
    """Names of the metrics that end in one number, that which counts first."""
    found = {
        name: None
        for run in runs
        for name, value in run.metrics.items()
        if not isinstance(last(value), list)
    }
    first = [name for name in JUDGED if name in found][:1]
    return list(dict.fromkeys([*first, *found]))


def _rows(runs: Sequence[Run], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each configuration, the best first by the metric that counts."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(run.config), []).append(run)
    rows = {name: _row(group) for name, group in groups.items()}
    order: list[str] = []
    for metric in metrics:
        known = [run for run in runs if metric in run.metrics or run.status != "done"]
        for ranked in ranking(known, metric):
            order.append(repr(ranked.config))
            mean = None if ranked.failed else _finite(ranked.mean)
            rows[order[-1]]["results"][metric] = {
                "mean": mean,
                "error": _finite(ranked.error),
                "values": [_finite(value) for value in ranked.values],
            }
    return [rows[name] for name in dict.fromkeys([*order, *rows])]


def _row(group: Sequence[Run]) -> dict[str, Any]:
    """What the seeds of a configuration have in common."""
    return {
        "config": group[0].config,
        "results": {},
        "seeds": len(group),
        "failed": sum(run.status != "done" for run in group),
        "status": ", ".join(dict.fromkeys(run.status for run in group)),
        "seconds": _finite(math.fsum(run.seconds for run in group)),
        "note": next((run.note for run in group if run.note), ""),
    }


def _of(config: Config, names: Sequence[str]) -> list[Any]:
    return [_plain(config[name]) for name in names]


def _plain(value: Any) -> float | str:
    """A number, or words for anything else."""
    if type(value) in (int, float) and _finite(value) is not None:
        return value
    return str(value)


def _finite(value: Any) -> float | None:
    """A number that JSON and a browser have; None for what is none."""
    if type(value) not in (int, float, bool) or abs(value) > 1e300:
        return None
    return float(f"{value:.7g}") if math.isfinite(value) else None
