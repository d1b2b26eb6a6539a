"""The table of a sweep: CSV, one line for each run, appended as runs end.

A sweep that is killed loses the runs in hand and no more: at the next start the lines
that are whole are read, checked against the space and not run again.
"""

import contextlib
import csv
import io
import json
import os
import typing
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jrnn._lock import held
from jrnn.sweep.processes import is_first, shared
from jrnn.sweep.runs import COLUMNS, Run, Status, Trial
from jrnn.train.checkpoint import write_atomically

LEADING, TRAILING = COLUMNS[:1], COLUMNS[1:]
METRIC = "metric "  # before a metric's name, so that it cannot meet a hyperparameter's


class TableError(ValueError):
    """A table that is not of this sweep."""


@contextlib.contextmanager
def kept_by_this_process(path: Path | None) -> Iterator[None]:
    """Let no other sweep write to a table; of several processes the first has it."""
    if path is None or not is_first():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path):
        yield


def append(path: Path, runs: Sequence[Run]) -> None:
    """Add lines, and columns where runs bring new metrics, and see them to the disk."""
    old = path.read_bytes() if path.exists() else b""
    header = next(csv.reader(io.StringIO(old.decode("utf-8"), newline="")), [])
    metrics = [METRIC + name for run in runs for name in run.metrics]
    names = [*LEADING, *runs[0].config, *TRAILING] if not header else header
    names = list(dict.fromkeys([*names, *metrics]))
    path.parent.mkdir(parents=True, exist_ok=True)
    if names != header:
        before, _ = _parse(path, old)
        rows = [names, *map(partial(_cells, names), [*before, *runs])]
        write_atomically(path, _lines(rows))
        return
    try:
        with path.open("ab") as file:
            file.write(_lines(map(partial(_cells, names), runs)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # that of a write does not know where it was to go
        raise OSError(error.errno, error.strerror, str(path)) from error


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def read_table(path: Path | str) -> list[Run]:
    """Read the runs of a table.

    Args:
        path: a CSV file that a sweep wrote.

    Returns:
        Its runs in the order of their numbers. A last line that a killed sweep left
        half written is passed over.

    Raises:
        TableError: the file is no table of a sweep.
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "table.csv"
        >>> run = Run(0, {"rate": 0.1}, 7, "done", {"loss": [2.0, 1.0]}, 0.5, 1)
        >>> append(path, [run])
        >>> read_table(path)[0].metrics
        {'loss': [2.0, 1.0]}
    """
    runs, _ = _parse(Path(path), Path(path).read_bytes())
    return sorted(runs, key=lambda run: run.number)


def resume(path: Path, trials: Sequence[Trial]) -> list[Run]:
    """The finished runs of a sweep; what is behind the last whole line is cut off."""
    data = shared(path.read_bytes() if is_first() and path.exists() else b"")
    runs, whole = _parse(path, data)
    by_number = {trial.number: trial for trial in trials}
    for run in runs:
        if difference := _difference(by_number.get(run.number), run):
            raise TableError(
                f"sweep: {path} is the table of another sweep: run {run.number} "
                f"{difference}.\nGive another file, or delete this one."
            )
    if is_first() and len(data) > whole:
        os.truncate(path, whole)
    return [run._replace(config=by_number[run.number].config) for run in runs]


def _difference(trial: Trial | None, run: Run) -> str:
    """What a run of the table has otherwise than its trial, if anything."""
    if trial is None:
        return "has no counterpart here"
    here, there = ({**_plain(x.config), "seed": x.seed} for x in (trial, run))
    for name in here | there:
        if here.get(name) != there.get(name):
            return f"has {name} {there.get(name)!r}, here it has {here.get(name)!r}"
    return ""


def _parse(path: Path, data: bytes) -> tuple[list[Run], int]:
    """Runs of the whole lines, and the bytes that these take."""
    whole = data.rfind(b"\n") + 1
    try:
        rows = list(csv.reader(io.StringIO(data[:whole].decode("utf-8"), newline="")))
        if not rows:
            return [], 0
        header = rows[0]
        if header[:1] != list(LEADING) or not set(TRAILING) <= set(header):
            raise ValueError("its first line does not name the columns of one")
        runs = [_run(dict(zip(header, row, strict=True))) for row in rows[1:]]
        if len({run.number for run in runs}) < len(runs):
            raise ValueError("it holds a run twice")
        return runs, whole
    except (ValueError, RecursionError, csv.Error) as error:
        raise TableError(f"{path} is not the table of a sweep: {error}.") from error


def _cells(header: Sequence[str], run: Run) -> list[str]:
    cells: dict[str, Any] = {
        **run.config,
        **{METRIC + name: value for name, value in run.metrics.items()},
        "run": run.number,
        "seed": run.seed,
        "status": run.status,
        "seconds": run.seconds,
        "side_by_side": run.batch_size,
        "note": run.note,
    }
    return [_cell(cells.get(name, "")) for name in header]


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_plain(value))


def _run(cells: dict[str, str]) -> Run:
    metrics = {n: v for n, v in cells.items() if n.startswith(METRIC) and v}
    config = {
        name: _value(cell)
        for name, cell in cells.items()
        if name not in COLUMNS and not name.startswith(METRIC)
    }
    values = {n.removeprefix(METRIC): json.loads(v) for n, v in metrics.items()}
    if not all(map(_is_numeric, values.values())):
        raise ValueError(f"run {cells['run']} has a metric that is no number")
    return Run(
        number=int(cells["run"]),
        config=config,
        seed=int(cells["seed"]),
        status=_status(cells),
        metrics=values,
        seconds=float(cells["seconds"]),
        batch_size=int(cells["side_by_side"]),
        note=cells["note"],
    )


def _status(cells: dict[str, str]) -> Status:
    for status in typing.get_args(Status):
        if status == cells["status"]:
            return status
    raise ValueError(f"run {cells['run']} has the status {cells['status']!r}")


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_numeric, value))
    return type(value) in (bool, float) or (type(value) is int and abs(value) < 2**64)


def _value(cell: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(cell)
    return cell


def _plain(value: Any) -> Any:
    """The value as it comes back from the table."""
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    return value.item() if hasattr(value, "item") else value
