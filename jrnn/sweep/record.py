"""What has been asked for, beside the table of a search: a file of JSON, always whole.

A round is written down before its first run begins. A search that goes on, perhaps with
another version of the sampler, thus makes the runs that were asked for.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jrnn.sweep.asking import Axis, Point, check_axes
from jrnn.sweep.processes import is_first, shared
from jrnn.sweep.space import Choice
from jrnn.sweep.table import TableError
from jrnn.train.checkpoint import write_atomically


def record_of(table: Path) -> Path:
    """The file beside a table."""
    return table.with_suffix(".rounds.json")


def setting_of(axes: Mapping[str, Axis], **others: Any) -> dict[str, Any]:
    """What makes a search another one, as JSON holds it."""
    check_axes(axes)
    return {**others, **{f"axis {name}": _words(axis) for name, axis in axes.items()}}


def _words(axis: Axis) -> str:
    values = axis.values if isinstance(axis, Choice) else map(float, axis)
    return f"{type(axis).__name__}({', '.join(map(repr, values))})"


def write_rounds(
    table: Path, setting: dict[str, Any], rounds: Sequence[Sequence[Point]]
) -> None:
    """Write down the rounds; of several processes the first does."""
    if not is_first():
        return
    table.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"setting": setting, "rounds": rounds}, ensure_ascii=False)
    write_atomically(record_of(table), f"{text}\n".encode())


def read_rounds(table: Path, setting: dict[str, Any], number: int) -> list[list[Point]]:
    """The rounds written down so far, none if there is no table."""
    path = record_of(table)
    data = shared(path.read_bytes() if is_first() and path.exists() else b"")
    if not data:
        if shared(b"there" if is_first() and table.exists() else b""):
            raise TableError(
                f"optuna_search: {table} is the table of another sweep: {path.name}, "
                "which says what was asked for, is not beside it.\n"
                "Give another file, or delete this one."
            )
        return []
    try:
        content = json.loads(data)
        before, rounds = content["setting"], content["rounds"]
        whole = all(len(points) == number for points in rounds)
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise TableError(f"optuna_search: {path} is damaged: {error!r}.") from error
    for name in {**setting, **before}:
        if before.get(name) != setting.get(name):
            raise TableError(
                f"optuna_search: {path} is of another search: {name} was "
                f"{before.get(name)}, here it is {setting.get(name)}.\n"
                "Give another file, or delete this one and the table."
            )
    if not whole:
        raise TableError(
            f"optuna_search: {path} is damaged: a round has not {number} "
            "configurations."
        )
    return rounds
