"""`jrnn predict`: answers of a trained run to new examples."""

import io
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import polars as pl

from jrnn.cell import Params
from jrnn.cli.config import Predict
from jrnn.cli.errors import UserError
from jrnn.cli.options import SequenceOptions
from jrnn.cli.run import RunDirectory, RunWeights, load_weights, read_config, task_of
from jrnn.cli.tasks import ON_EXAMPLES
from jrnn.cli.tasks.answers import Lines
from jrnn.cli.tasks.batches import answers_of
from jrnn.cli.tasks.examples import Command
from jrnn.cli.tasks.files import ending_of, find
from jrnn.cli.tasks.sequences import params_of, read_known
from jrnn.cli.words import plain_errors
from jrnn.data import Dataset
from jrnn.data.content import lines_of
from jrnn.tasks import Task
from jrnn.text.files import name_of, read_once
from jrnn.train.checkpoint import write_atomically

ROWS = 64  # examples that are answered side by side
AT_ONCE = 4096  # units of a file that are read before they are answered
SHORTEST = 8  # step lengths of what is answered one by one are this times 2^k


class Answerer(NamedTuple):
    """A trained run of a task on sequences, ready to answer."""

    command: Command
    config: SequenceOptions
    known: dict[str, Any]
    task: Task
    weights: RunWeights
    predict: Callable[[Params, Any], Any]

    def answers(self, dataset: Dataset, rows: int = ROWS, shapes: Any = None) -> Any:
        """The answers to a dataset, in its order."""
        params = self.weights.params
        return answers_of(self.predict, params, dataset, rows, shapes)


def predict(options: Predict) -> None:
    """Run the command."""
    trained = load_answerer(options.run, options.checkpoint)
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise UserError(
            f"{options.out} exists.\nReplace it by --overwrite, or choose another name."
        )
    lines = None
    if trained.command.lines is not None:
        known, shares = trained.known, options.probabilities
        lines = trained.command.lines(trained.config, known, shares)
    if lines is not None and ending_of(options.examples) == "lines":
        _write_lines(options, _answered(trained, lines, options.examples))
        return
    _write_table(options, trained)


def load_answerer(directory: Path, which: str) -> Answerer:
    """Rebuild the task of a run, with its best or last weights."""
    run = RunDirectory(directory)
    config, described = read_config(run)
    if type(config) not in ON_EXAMPLES or not isinstance(config, SequenceOptions):
        raise UserError(
            f"{directory} is a run of jrnn {task_of(described)}, a language model.\n"
            f"It writes text: jrnn sample {directory}"
        )
    command, known = ON_EXAMPLES[type(config)], read_known(run, described)
    task = command.task(config, known)
    like = params_of(command, config, known)
    weights = load_weights(run, described, like, which)
    return Answerer(command, config, known, task, weights, jax.jit(task.predict))


def unanswered(trained: Answerer, file: Path) -> tuple[str, Dataset]:
    """What a file is called, and its examples without what is asked about them."""
    lines = None
    if trained.command.lines is not None:
        lines = trained.command.lines(trained.config, trained.known, False)
    if lines is not None and ending_of(file) == "lines":
        read = list(_piped(file)) if read_once(file) else _all_lines(file)
        units = [unit for unit in lines.units(read) if unit is not None]
        if not units:
            raise UserError(f"{name_of(file)} has no examples.\nGive one on each line.")
        with plain_errors(ValueError):
            return name_of(file), lines.dataset(units)
    assert trained.command.rows is not None  # every command has it
    with plain_errors():
        found = find([file])
        rows = trained.command.rows(trained.config, trained.known, found, False)
    return found.source, rows.dataset


# Lines


def _answered(trained: Answerer, lines: Lines, file: Path) -> Iterator[str]:
    """Lines with their answers; from a pipe one is answered before the next is read."""
    if lines.header is not None:
        yield lines.header
    piped = read_once(file)
    units = lines.units(_piped(file) if piped else _all_lines(file))
    rows, shapes = (1, _doubling) if piped else (ROWS, None)
    while some := list(itertools.islice(units, 1 if piped else AT_ONCE)):
        real = [unit for unit in some if unit is not None]
        written = iter(())
        if real:
            with plain_errors(ValueError):
                dataset = lines.dataset(real)
            chosen = shapes(dataset) if shapes else None
            written = iter(lines.written(real, trained.answers(dataset, rows, chosen)))
        for unit in some:
            yield from [""] if unit is None else next(written)


def _doubling(dataset: Dataset) -> list[int]:
    """Lengths to pad to that are few, whatever comes: each is compiled once."""
    longest = max(SHORTEST, int(dataset.inputs.lengths.max()))
    return [SHORTEST << (-(-longest // SHORTEST) - 1).bit_length()]


def _all_lines(file: Path) -> list[str]:
    with plain_errors():
        _, lines = lines_of(file)
    return lines[:-1] if lines[-1] == "" else lines


def _piped(file: Path) -> Iterator[str]:
    with plain_errors(OSError):
        stream = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    for number, line in enumerate(iter(stream.readline, b""), start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            raise UserError(
                f"standard input, line {number} is not UTF-8 text.\nSend UTF-8."
            ) from None
        yield text.rstrip("\r\n").removeprefix("\ufeff")


def _write_lines(options: Predict, lines: Iterable[str]) -> None:
    if options.out is not None:
        text = "".join(f"{line}\n" for line in lines)
        with plain_errors(OSError):
            write_atomically(options.out, text.encode("utf-8", "surrogatepass"))
        return
    for line in lines:
        sys.stdout.buffer.write(f"{line}\n".encode("utf-8", "replace"))
        sys.stdout.buffer.flush()


# Tables


def _write_table(options: Predict, trained: Answerer) -> None:
    assert trained.command.rows is not None  # every command has it
    with plain_errors():
        found = find([options.examples])
        rows = trained.command.rows(
            trained.config, trained.known, found, options.probabilities
        )
    for note in rows.notes:
        print(f"jrnn: {note}", file=sys.stderr)
    frame = rows.beside(trained.answers(rows.dataset))
    tabs = (options.out or options.examples).suffix.lower() == ".tsv"
    content = io.BytesIO()
    _plain(frame).write_csv(content, separator="\t" if tabs else ",")
    if options.out is None:
        sys.stdout.buffer.write(content.getvalue())
        return
    with plain_errors(OSError):
        write_atomically(options.out, content.getvalue())


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """A table whose entries are all text, numbers or dates, as CSV can hold them."""
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    return frame.with_columns(pl.col(name).cast(pl.String) for name in nested)
