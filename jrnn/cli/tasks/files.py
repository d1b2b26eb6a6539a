"""Files of examples: which they are, how a run knows them again, how they are read."""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import polars as pl

from jrnn.cli.errors import UserError
from jrnn.data import read_table
from jrnn.data.content import bytes_of
from jrnn.text import find_files
from jrnn.text.files import STANDARD_INPUT, name_of, read_once

Form = Literal["table", "npz", "ts", "lines"]
TABLES = (".csv", ".parquet", ".pq")  # a .tsv may be pairs of texts, too
T = TypeVar("T")


class Found(NamedTuple):
    """Files with examples."""

    files: tuple[Path, ...]  # folders and patterns replaced by what they stand for
    source: str  # what a run calls them, such as "names.tsv"
    sha256: str  # of what is in them
    content: bytes | None  # of a pipe, which cannot be read again: `Examples.kept`


def find(files: Sequence[Path], content: bytes | None = None) -> Found:
    """Find files, and read what comes from a pipe.

    A folder with NAME_TRAIN.ts and NAME_TEST.ts stands for these two.

    Args:
        files: as they were given.
        content: what a run has kept of a pipe; it is not read then.

    Raises:
        UserError: a pipe among other files.
        ValueError: a file that is empty or damaged; several errors of `find_files`.
        OSError: a file cannot be read.
    """
    found = [file for given in files for file in _files(given)]
    pipe = any(map(read_once, found))
    if pipe and len(found) > 1:
        raise UserError(
            "What comes from a pipe must be all of the data.\n"
            "Write it to a file, or give it alone."
        )
    if content is None and pipe:
        _, content = bytes_of(found[0])
    if content is not None:
        found = list(files)
        digests = [hashlib.sha256(content).hexdigest()]
    else:
        digests = [hashlib.sha256(bytes_of(file)[1]).hexdigest() for file in found]
        found = [file.resolve() for file in found]
    whole = digests[0] if len(digests) == 1 else _digest_of(digests)
    return Found(tuple(found), _source(found), whole, content)


def read_each(found: Found, reader: Callable[[Path], T]) -> list[T]:
    """What a reader of `jrnn.data` makes of each file, or of what came from a pipe.

    Args:
        found: the files.
        reader: such as `read_table`, a function of a path.
    """
    with readable(found) as paths:
        return [reader(path) for path in paths]


def read_tables(found: Found) -> pl.DataFrame:
    """The rows of all files, which must have the same columns, as one table."""
    frames = read_each(found, read_table)
    for file, frame in zip(found.files[1:], frames[1:], strict=True):
        if frame.columns != frames[0].columns:
            raise UserError(
                f"{file} has other columns than {found.files[0]}.\nThey are "
                f"{_some(frame.columns)}, not {_some(frames[0].columns)}."
            )
    return pl.concat(frames, how="vertical_relaxed") if frames[1:] else frames[0]


@contextlib.contextmanager
def readable(found: Found) -> Iterator[list[Path]]:
    """Paths of files; what came from a pipe is in one for so long.

    Errors call that one what it is.
    """
    if found.content is None:
        yield list(found.files)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(found.content)
        try:
            yield [path]
        except ValueError as error:
            name = name_of(found.files[0])
            raise ValueError(str(error).replace(str(path), name)) from None


def form_of(found: Found) -> Form:
    """What is in the files, by the ending of the first or, from a pipe, its content.

    `"lines"` is text of any kind: pairs, sentences, and tables that do not say so.
    """
    if found.content is not None:
        head = found.content[:4]
        heads: dict[bytes, Form] = {b"PAR1": "table", b"PK\x03\x04": "npz"}
        return heads.get(head, "lines")
    return ending_of(found.files[0])


def ending_of(file: Path) -> Form:
    """What a file is by its ending."""
    packed = file.suffix in (".gz", ".bz2", ".xz", ".zst")
    ending = Path(file.stem).suffix if packed else file.suffix
    if ending.lower() in TABLES:
        return "table"
    known: dict[str, Form] = {".npz": "npz", ".ts": "ts"}
    return known.get(ending.lower(), "lines")


def _files(given: Path) -> list[Path]:
    if given != STANDARD_INPUT and given.is_dir():
        called = sorted(given.glob("*_TRAIN.ts"))
        own = given / f"{given.resolve().name}_TRAIN.ts"  # there may be variants of it
        for train in [own] if own in called else called[:1]:
            test = train.with_name(train.name.replace("_TRAIN.ts", "_TEST.ts"))
            if test.exists():
                return [train, test]
    return find_files(given)


def _digest_of(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _source(files: Sequence[Path]) -> str:
    names = [
        name_of(f) if f == STANDARD_INPUT else "a pipe" if read_once(f) else f.name
        for f in files
    ]
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more files"


def _some(columns: Sequence[str]) -> str:
    more = ", ..." if len(columns) > 8 else ""
    return ", ".join(columns[:8]) + more
