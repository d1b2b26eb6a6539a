"""Logs where people look: a table, TensorBoard, Weights & Biases.

A log is a function of one record, a dict of numbers with the `step` they belong to.
Each function here opens one for the time of a `with` statement; `jrnn.train.fit` takes
it as `log`, and `jrnn train` by its name as `--log`.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from csv import DictWriter
from pathlib import Path
from types import ModuleType
from typing import Any

Record = Mapping[str, float]
Log = Callable[[Record], None]


@contextlib.contextmanager
def csv(path: str | Path, columns: Sequence[str] | None = None) -> Iterator[Log]:
    """Write records as the rows of a new table, with commas between the values.

    Args:
        path: the file, which is written anew.
        columns: names of the values, in order; those of the first record if None. A
            record may lack some.

    Yields:
        A log. Each row is in the file when it returns.

    Raises:
        ValueError: a record has a value that is no column.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "metrics.csv")
        ...     with csv(path) as log:
        ...         log({"step": 1, "loss": 0.5})
        ...         log({"step": 2, "loss": 0.25})
        ...     path.read_text().split()
        ['step,loss', '1,0.5', '2,0.25']
    """
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = None if columns is None else _table(file, columns)

        def log(record: Record) -> None:
            nonlocal writer
            if writer is None:
                writer = _table(file, list(record))
            if odd := [name for name in record if name not in writer.fieldnames]:
                raise ValueError(
                    f"csv: {odd[0]!r} is not among the columns "
                    f"({', '.join(writer.fieldnames)}). Name all: columns=[...]."
                )
            writer.writerow(record)
            file.flush()

        yield log


def _table(file: Any, columns: Sequence[str]) -> DictWriter:
    writer = DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    file.flush()
    return writer


@contextlib.contextmanager
def tensorboard(directory: str | Path, begin: int | None = None) -> Iterator[Log]:
    """Write records as scalars for TensorBoard: `tensorboard --logdir DIRECTORY`.

    Args:
        directory: of the event files; each `with` adds one.
        begin: the step from which on this file replaces what earlier ones in the
            directory say, where a training goes on from a checkpoint; none if None.

    Yields:
        A log. What it was given is in the file when it returns.

    Raises:
        ModuleNotFoundError: tensorboardX, which writes the files, is not installed.

    Example:
        >>> import jrnn
        >>> with jrnn.logs.tensorboard("runs/mine") as log:  # doctest: +SKIP
        ...     state, metrics = jrnn.train.fit(..., log=log)
    """
    package = required("tensorboard")
    # the writer drops what it is told later than this, in seconds
    writer = package.SummaryWriter(str(directory), purge_step=begin, flush_secs=1)

    def log(record: Record) -> None:
        for name, value in record.items():
            if name != "step":
                writer.add_scalar(name, float(value), int(record["step"]))
        writer.flush()

    with contextlib.closing(writer):
        yield log


@contextlib.contextmanager
def wandb(
    directory: str | Path,
    *,
    project: str = "jrnn",
    name: str | None = None,
    identity: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Iterator[Log]:
    """Write records for Weights & Biases, without a network: `wandb sync` sends them.

    Args:
        directory: where the folder `wandb` is made.
        project: under which the run is shown.
        name: of the run.
        identity: of the run; those with the same one are parts of one run.
        config: the settings to show beside it.

    Yields:
        A log.

    Raises:
        ModuleNotFoundError: wandb is not installed.

    Example:
        >>> import jrnn
        >>> with jrnn.logs.wandb("runs/mine") as log:  # doctest: +SKIP
        ...     state, metrics = jrnn.train.fit(..., log=log)
    """
    package = required("wandb")
    run = package.init(
        dir=str(directory),
        project=project,
        name=name,
        id=identity,
        config=dict(config or {}),
        mode="offline",
        reinit="create_new",  # beside a run of the user's own
        settings=package.Settings(silent=True, console="off"),
    )

    def log(record: Record) -> None:
        values = {n: float(value) for n, value in record.items() if n != "step"}
        run.log(values, step=int(record["step"]))

    try:
        yield log
    finally:
        run.finish()


_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def required(kind: str) -> ModuleType:
    """The package that a kind of log is written by.

    Args:
        kind: name of a function of this module.

    Returns:
        The package, or this module where none is needed.

    Raises:
        ModuleNotFoundError: it is not installed.

    Example:
        >>> required("csv").__name__
        'jrnn.logs'
    """
    package = _PACKAGES.get(kind, __name__)
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ModuleNotFoundError(
            f"{kind}: {package} is not installed: pip install 'jrnn[logs]'.",
            name=package,
        ) from None
