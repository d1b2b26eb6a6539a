"""Tables from files: CSV, TSV and Parquet, by polars."""

import csv
import difflib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from jrnn.data.content import bytes_of, refuse_binary, text_of

SEPARATORS = "\t,;|"


def read_table(
    path: str | Path, *, separator: str | None = None, header: bool = True
) -> pl.DataFrame:
    r"""Read a table: CSV, TSV or Parquet, by polars.

    Columns become numbers where all their entries are; dates remain text, as they were
    written. Lines that are blank are passed over. What gzip, bzip2, xz or zstd packed
    is unpacked.

    polars itself fills a line that is too short with missing values; here it is an
    error, and errors name the line.

    Args:
        path: a file, or `-` for the standard input. Parquet is told by its content.
        separator: between columns; None: whichever of tab, comma, semicolon and `|`
            the first line has most of.
        header: whether the first line names the columns; else they are `column_1`,
            `column_2` and so on.

    Returns:
        A polars `DataFrame`, a row for each line.

    Raises:
        ValueError: no table, with the reason, the line and what to do, in two lines.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "table.csv"
        ...     _ = path.write_text("day,load\nMon,1\nTue,2.5\n")
        ...     frame = read_table(path)
        >>> frame.columns, frame["load"].to_list()
        (['day', 'load'], [1.0, 2.5])
    """
    name, content = bytes_of(path)
    if content[:4] == b"PAR1" and content[-4:] == b"PAR1":
        return _parquet(name, content)
    refuse_binary(name, content, "table")
    content = content.removeprefix(b"\xef\xbb\xbf")
    content = content.strip(b"\r\n") + b"\n"
    if content == b"\n":
        raise ValueError(f"{name} has blank lines only.\nGive a table with rows.")
    mark = separator or _separator(content)
    names = _names(name, content, mark, header)
    frame = _parsed(name, content, mark, header, len(names))
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def column(frame: pl.DataFrame, wanted: str, name: str = "the table") -> pl.Series:
    """A column of a table; where there is none of that name, the nearest is named.

    Args:
        frame: the table.
        wanted: the name of the column.
        name: what messages call the table, such as its file.

    Returns:
        The polars `Series`.

    Raises:
        ValueError: there is no such column.

    Example:
        >>> column(pl.DataFrame({"load": [1]}), "lod", "power.csv")
        Traceback (most recent call last):
        ...
        ValueError: power.csv has no column 'lod'; the nearest is 'load'.
        Its columns: load.
    """
    if wanted in frame.columns:
        return frame[wanted]
    by_lower = {c.lower(): c for c in frame.columns}
    near = difflib.get_close_matches(wanted.lower(), by_lower, 1)
    hint = f"; the nearest is {by_lower[near[0]]!r}" if near else ""
    shown = ", ".join(frame.columns[:20])
    more = f" and {frame.width - 20} more" if frame.width > 20 else ""
    raise ValueError(
        f"{name} has no column {wanted!r}{hint}.\nIts columns: {shown}{more}."
    )


def _parquet(name: str, content: bytes) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).split("\n")[0].rstrip(".")
        raise ValueError(
            f"{name} is a damaged Parquet file: {first}.\nWrite it again."
        ) from None
    if not frame.height:
        raise ValueError(f"{name} has no rows.\nGive a table with some.")
    return frame


def _separator(content: bytes) -> str:
    """What the first line has most of, outside of quotation marks."""
    first = content.split(b"\n", 1)[0].decode("utf-8", "replace")
    outside = "".join(first.split('"')[::2])
    return max(SEPARATORS, key=lambda mark: (outside.count(mark), mark == ","))


def _names(name: str, content: bytes, mark: str, header: bool) -> list[str]:
    first = text_of(name, content[: content.index(b"\n")])
    names = [n.strip() for n in next(csv.reader([first], delimiter=mark))]
    if not header:
        return [f"column_{k + 1}" for k in range(len(names))]
    if all(map(_is_number, names)):
        raise ValueError(
            f"{name}: line 1 holds numbers where the names of columns are expected.\n"
            "Write a line of names above it."
        )
    twice = [n for k, n in enumerate(names) if n in names[:k]]
    if twice:
        raise ValueError(
            f"{name} has two columns of the name {twice[0]!r}.\nGive each its own name."
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parsed(
    name: str, content: bytes, mark: str, header: bool, width: int
) -> pl.DataFrame:
    """The rows of a CSV; each has as many columns as the first line."""
    try:
        frame = pl.read_csv(
            content, separator=mark, has_header=header, infer_schema_length=None
        )
    except pl.exceptions.NoDataError:
        frame = pl.DataFrame()
    except pl.exceptions.PolarsError as error:
        text_of(name, content)  # broken UTF-8 is told first, with its place
        for _ in _blank_rows(name, content, mark, width):
            pass
        first = str(error).split("\n")[0].rstrip(".")
        raise ValueError(f"{name} is no table: {first}.\nWrite it as CSV.") from None
    marks = (width - 1) * (frame.height + header)
    if b'"' in content or content.count(mark.encode()) != marks:
        blank = list(_blank_rows(name, content, mark, width))
        if blank and width > 1:  # polars makes rows of nulls of them
            kept = np.ones(frame.height, bool)
            kept[np.array(blank) - header] = False
            frame = frame.filter(pl.Series(kept))
    if not frame.height:
        raise ValueError(f"{name} has no rows below its first line.\nGive some.")
    return frame


def _blank_rows(name: str, content: bytes, mark: str, width: int) -> Iterator[int]:
    """Numbers of lines without anything; an error at one of another width."""
    lines = io.StringIO(text_of(name, content), newline="")
    reader = csv.reader(lines, delimiter=mark, strict=True)
    number, line = 0, 1
    try:
        for row in reader:
            if not row:
                yield number
            elif len(row) != width:
                raise ValueError(
                    f"{name}, line {line}: {_columns(len(row))}, but the first line "
                    f"has {width}.\nGive every line as many; an entry that contains "
                    f"{_called(mark)} needs quotation marks around it."
                )
            number, line = number + 1, reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{name}, line {line}: a quotation mark is out of place, {error}.\n"
            'Close it, or write "" for one that belongs to the text.'
        ) from None


def _called(mark: str) -> str:
    return "a tab" if mark == "\t" else repr(mark)


def _columns(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"
