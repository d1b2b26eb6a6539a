"""Sentences in columns, one token a line: the form of the CoNLL shared tasks."""

from collections.abc import Iterator
from pathlib import Path

from jrnn.data.content import lines_of

Sentence = tuple[list[str], list[str]]


def read_conll(
    path: str | Path, *, token: int = 1, tag: int | None = -1
) -> list[Sentence]:
    r"""Read sentences, a token and its tag on each line, a blank line at their ends.

    Columns stand between tabs where the file has any, else between spaces. Lines of
    `-DOCSTART-`, and in files with tabs those of one column that begins with `#`, are
    passed over.

    Args:
        path: a file of UTF-8 text, or `-` for the standard input; packed or not.
        token: which column the token is in, from 1, or from the last, -1.
        tag: likewise the tag; None: there is none yet, it is to be predicted.

    Returns:
        `(tokens, tags)` of each sentence, as many tags as tokens, or none.

    Raises:
        ValueError: a line with fewer columns or more than the first one, or without a
            token or a tag, with its number; no sentences; no UTF-8 text.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "sentences.conll"
        ...     _ = path.write_text("It\tPRON\nrains\tVERB\n\nStop\tVERB\n")
        ...     read_conll(path)
        [(['It', 'rains'], ['PRON', 'VERB']), (['Stop'], ['VERB'])]

    References:
        Tjong Kim Sang, De Meulder (2003), Introduction to the CoNLL-2003 shared task,
        arXiv:cs/0306050, section 2.2 (the format).
    """
    name, lines = lines_of(path)
    sentences: list[Sentence] = []
    begun = width = 0  # the line where a sentence began, or 0; columns of the first
    for number, row in _rows(lines):
        if not row:
            begun = 0
            continue
        width = width or len(row)
        _check_row(name, number, row, width, token, tag)
        if not begun:
            begun = number
            sentences.append(([], []))
        tokens, tags = sentences[-1]
        tokens.append(_entry(row, token))
        if tag is not None:
            tags.append(_entry(row, tag))
    if not sentences:
        raise ValueError(f"{name} has no sentence.\nGive a token and its tag a line.")
    return sentences


def _rows(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Numbers of lines and their columns; none at the end of a sentence."""
    tabs = any("\t" in line for line in lines)
    for number, line in enumerate(lines, 1):
        row = [part.strip() for part in line.split("\t")] if tabs else line.split()
        comment = tabs and len(row) == 1 and row[0].startswith("#")
        if not line.strip() or row[0] == "-DOCSTART-":
            yield number, []
        elif not comment:
            yield number, row


def _check_row(
    name: str, number: int, row: list[str], width: int, token: int, tag: int | None
) -> None:
    columns = [("token", token)] + ([] if tag is None else [("tag", tag)])
    if tag is not None and _place(token, width) == _place(tag, width):
        raise ValueError(
            f"{name}, line {number}: there is one column, and a token and its tag are "
            "expected.\nWrite token<TAB>tag."
        )
    if len(row) != width:
        lacks = " (is the tag missing?)" if len(row) == width - 1 else ""
        raise ValueError(
            f"{name}, line {number}: columns {len(row)}, but {width} in the first "
            f"line{lacks}.\nGive every line as many."
        )
    for what, k in columns:
        if not 0 <= _place(k, width) < width:
            raise ValueError(
                f"{name}, line {number}: there are {width} columns, and no column {k} "
                f"with the {what}.\nColumns count from 1, or from the last, -1."
            )
        if not _entry(row, k):
            raise ValueError(
                f"{name}, line {number}: the {what} is missing.\nFill it in."
            )


def _place(k: int, width: int) -> int:
    return k - 1 if k > 0 else width + k if k else -1


def _entry(row: list[str], k: int) -> str:
    return row[_place(k, len(row))]
