"""Where text comes from: files, and a corpus that every Python brings along."""

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jrnn.text.vocabulary import Level, _check_level


class Corpus(NamedTuple):
    """A text and where it comes from."""

    text: str
    source: str


def read_files(
    paths: Sequence[str | Path] | str | Path, level: Level = "char"
) -> str | bytes:
    r"""Read files into one text, joined by a newline.

    At levels `"char"` and `"word"` a file is UTF-8 text: a byte order mark at its start
    is dropped, and the line ends `\r\n` and `\r` become `\n`. At level `"byte"` the
    bytes are left as they are.

    Args:
        paths: one path or several, read in the order given.
        level: what the text is for: `"char"`, `"byte"` or `"word"`.

    Returns:
        A `str`, or `bytes` at level `"byte"`.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: the path is a directory.
        OSError: the file cannot be read for another reason.
        ValueError: no paths; an empty file; bytes that are not UTF-8, with the place of
            the first; another level.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two_lines.txt"
        ...     _ = path.write_bytes(b"one\r\ntwo\r\n")
        ...     read_files(path)
        'one\ntwo\n'
    """
    _check_level("read_files", level)
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if not paths:
        raise ValueError("read_files: no files given.")
    contents = [_read(Path(path)) for path in paths]
    if level == "byte":
        return b"\n".join(contents)
    texts = [_text(path, data) for path, data in zip(paths, contents, strict=True)]
    return "\n".join(texts)


def python_reference() -> Corpus:
    """Give the text of the Python language reference, without a download.

    Every Python carries the parts of its reference that `help()` shows, in the module
    `pydoc_data.topics`. They are joined in alphabetical order of their names, a blank
    line and a line of 70 `=` between them. The reference says many things under several
    names, which would put the same sentences into the training and the held-out part:
    a paragraph of 40 characters or more from an earlier topic is left out, and so is
    a topic of which that would take half. The text differs between Python versions.

    Returns:
        `Corpus(text, source)`; the source names the Python implementation and version.

    Raises:
        OSError: this Python was installed without that module.

    Example:
        >>> corpus = python_reference()
        >>> len(corpus.text) > 300_000, "CPython" in corpus.source
        (True, True)
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise OSError(
            "python_reference: this Python has no pydoc_data.topics, the built-in "
            "corpus.\nInstall the complete standard library, or train on a file."
        ) from error
    parts = list(_without_repetition(topics[name] for name in sorted(topics)))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return Corpus(
        text=f"\n\n{'=' * 70}\n\n".join(parts) + "\n",
        source=f"Python language reference ({len(parts)} topics) of {python}",
    )


def _without_repetition(texts: Iterable[str]) -> Iterable[str]:
    seen: set[str] = set()
    for text in texts:
        paragraphs = [p for p in text.strip().split("\n\n") if p not in seen]
        left = "\n\n".join(paragraphs)
        if 2 * len(left) > len(text):
            seen.update(p for p in paragraphs if len(p) >= 40)
            yield left


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a file.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except OSError as error:
        raise type(error)(f"{path} cannot be read: {error.strerror}.") from None
    if not data:
        raise ValueError(f"{path} is empty.")
    return data


def _text(path: str | Path, data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        guess = " (it looks like UTF-16)" if utf16 else ""
        raise ValueError(
            f"{path} is not UTF-8 text{guess}: byte 0x{data[error.start]:02x} at "
            f"offset {error.start} (line {line}).\n"
            "Convert it to UTF-8, or use --level byte, which takes any file."
        ) from None
    text = text.removeprefix("\ufeff")
    if not text:
        raise ValueError(f"{path} is empty.")
    return text.replace("\r\n", "\n").replace("\r", "\n")
