"""Text from files as people have them: packed, in folders, by patterns, from a pipe."""

import bz2
import contextlib
import glob
import gzip
import io
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jrnn.text.vocabulary import Level, _check_level

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STANDARD_INPUT = Path("-")
Paths = Sequence[str | Path] | str | Path


def read_files(paths: Paths, level: Level = "char") -> str | bytes:
    r"""Read files into one text, joined by a newline.

    A path is a file, a folder or a pattern (see `find_files`), or `-` for the standard
    input. What gzip, bzip2, xz or zstd packed, told by its first bytes and not by its
    name, is unpacked. At levels `"char"` and `"word"` a file is UTF-8 text: a byte
    order mark at its start is dropped, and the line ends `\r\n` and `\r` become `\n`.
    At level `"byte"` the bytes, unpacked too, are left as they are.

    A small file can unpack to more than any memory holds. One that unpacks to over
    1 GiB and over 200 times its size, which text does not, is refused; a packed file in
    a packed file stays packed.

    Args:
        paths: one path or several, read in the order given.
        level: what the text is for: `"char"`, `"byte"` or `"word"`.

    Returns:
        A `str`, or `bytes` at level `"byte"`.

    Raises:
        FileNotFoundError: there is no such file, or none that matches a pattern.
        OSError: the file cannot be read for another reason.
        ValueError: no paths; an empty file; a folder without text; a packed file that
            is damaged, cut off or too large; an archive of several files; bytes that
            are not UTF-8, with the place of the first; another level.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two_lines.txt.gz"
        ...     _ = path.write_bytes(gzip.compress(b"one\r\ntwo\r\n"))
        ...     read_files(path), read_files(folder) == read_files(f"{folder}/*.gz")
        ('one\ntwo\n', True)
    """
    _check_level("read_files", level)
    files = find_files(paths)
    if not files:
        raise ValueError("read_files: no files given.")
    contents = [_read(file) for file in files]
    if level == "byte":
        return b"\n".join(contents)
    return "\n".join(map(_text, files, contents))


def find_files(paths: Paths) -> list[Path]:
    """Replace folders and patterns by the files they stand for.

    A folder stands for every text file in it and in the folders below it, sorted by
    path. Left out are files and folders whose name starts with a dot, empty files, and
    files that are not text: git's rule, a zero among the first 8000 bytes (unpacked),
    unless a byte order mark says that it is UTF-16. A pattern (`*`, `?`, `[...]`, and
    `**` for any folders) stands for what matches it, sorted, a file found twice only
    once; a file of that very name goes first. In a folder, links to others are not
    followed.

    Args:
        paths: one path or several, of files, folders, patterns, or `-`.

    Returns:
        Paths of files in the order of `paths`. A file that is given by its own name is
        not looked at: it may be missing or no text.

    Raises:
        FileNotFoundError: nothing matches a pattern.
        OSError: a folder cannot be read.
        ValueError: no text file in a folder.

    Example:
        >>> find_files(["b.txt", "-"]) == [Path("b.txt"), Path("-")]
        True
    """
    paths = [paths] if isinstance(paths, str | Path) else paths
    return [file for path in paths for file in _found(Path(path))]


def read_once(path: Path) -> bool:
    """Whether what a path gives is gone once it is read: standard input, a pipe.

    Example:
        >>> read_once(Path("-")), read_once(Path("book.txt"))
        (True, False)
    """
    if path == STANDARD_INPUT:
        return True
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def name_of(path: Path) -> str:
    """A path as a message calls it."""
    return "standard input" if path == STANDARD_INPUT else str(path)


# Folders and patterns


def _found(path: Path) -> list[Path]:
    if path == STANDARD_INPUT or (path.exists() and not path.is_dir()):
        return [path]
    if path.is_dir():
        files = [file for file in _beneath(path) if _is_text(file)]
        if not files:
            raise ValueError(
                f"{path} has no text file in it.\nName other files by a pattern such "
                f"as '{path / '*'}'."
            )
        return files
    if any(sign in str(path) for sign in "*?["):
        # not Path.glob, which finds hidden files, too
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
        if not matches:
            raise FileNotFoundError(f"{path}: no file matches this pattern.")
        # ** finds a folder and what is in it, and goes round links in circles
        once: dict[Path, Path] = {}
        for file in (file for match in matches for file in _found(Path(match))):
            once.setdefault(file.resolve(), file)
        return list(once.values())
    return [path]


def _beneath(folder: Path) -> list[Path]:
    def stop(error: OSError):
        raise _unreadable(Path(error.filename), error) from None

    files = []
    for where, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(where, name) for name in names if not name.startswith(".")]
    return sorted(file for file in files if file.is_file())


def _is_text(file: Path) -> bool:
    try:
        with file.open("rb") as packed:
            head = _unpacking(packed).file.read(8000)
    except (*_DAMAGED, OSError):
        return True  # reading it whole tells what is wrong with it
    return head.startswith(_UTF16) or (len(head) > 0 and 0 not in head)


# Packed files


_Packed = io.BytesIO | io.BufferedReader


class _Unpacking(NamedTuple):
    file: io.BufferedIOBase
    kind: str | None  # None: not packed


def _open_zstd(file: _Packed) -> io.BufferedIOBase:
    # the largest window there is: what `zstd --long=31` wrote can be read
    return zstd.open(file, options={zstd.DecompressionParameter.window_log_max: 31})


_PACKED = (
    (b"\x1f\x8b\x08", "gzip", gzip.open),
    # bzip2 starts like a word; its first block, or the end of no blocks, follows
    *((b"BZh%d1AY&SY" % n, "bzip2", bz2.open) for n in range(1, 10)),
    *((b"BZh%d\x17rE8P\x90" % n, "bzip2", bz2.open) for n in range(1, 10)),
    (b"\xfd7zXZ\x00", "xz", lzma.open),
    (b"\x28\xb5\x2f\xfd", "zstd", _open_zstd),
    # frames to be skipped come first in what several threads packed
    *((b"%c*M\x18" % n, "zstd", _open_zstd) for n in range(0x50, 0x60)),
)
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError, gzip.BadGzipFile)
_CHUNK = 1 << 20
_LARGE, _RATIO = 1 << 30, 200  # what unpacks to more than both is no text
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def _unpacking(packed: _Packed) -> _Unpacking:
    head = packed.read(10)
    packed.seek(0)
    for magic, kind, opened in _PACKED:
        if head.startswith(magic):
            return _Unpacking(opened(packed), kind)
    return _Unpacking(packed, None)


def _read(path: Path) -> bytes:
    packed = _bytes(path)
    unpacking = _unpacking(io.BytesIO(packed))
    data = packed
    if unpacking.kind is not None:
        try:
            data = b"".join(_limited(path, unpacking, len(packed)))
        except (*_DAMAGED, OSError) as error:  # bzip2 raises a bare OSError
            raise ValueError(
                f"{name_of(path)} is a damaged or cut off {unpacking.kind} file: "
                f"{str(error).rstrip('.')}."
            ) from None
    if not data:
        raise ValueError(f"{name_of(path)} is empty.")
    return data


def _bytes(path: Path) -> bytes:
    try:
        if path != STANDARD_INPUT:
            return path.read_bytes()
        if sys.stdin is None:
            raise ValueError("standard input is closed.")
        return sys.stdin.buffer.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> OSError:
    return type(error)(f"{name_of(path)} cannot be read: {error.strerror}.")


def _limited(path: Path, unpacking: _Unpacking, packed: int) -> Iterator[bytes]:
    length = 0
    while chunk := unpacking.file.read(_CHUNK):
        length += len(chunk)
        if length > max(_LARGE, _RATIO * packed):
            raise ValueError(
                f"{name_of(path)} has {packed:,} bytes and unpacks to over {length:,}, "
                "which text does not.\nIf it is text, unpack it and give that file."
            )
        yield chunk


# Text


_ALIKE = (
    *((mark, "UTF-16") for mark in _UTF16),
    (b"PK\x03\x04", "a zip archive or a document in one"),
    (b"%PDF-", "a PDF"),
)


def _text(path: Path, data: bytes) -> str:
    if data[257:262] == b"ustar":
        raise ValueError(
            f"{name_of(path)} is a tar archive.\nUnpack it and give the folder."
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        likes = [f" (it looks like {what})" for m, what in _ALIKE if data.startswith(m)]
        raise ValueError(
            f"{name_of(path)} is not UTF-8 text{''.join(likes)}: byte "
            f"0x{data[error.start]:02x} at offset {error.start} (line {line}).\n"
            'Convert it to UTF-8, or use level="byte", which takes any file.'
        ) from None
    text = text.removeprefix("\ufeff")
    if not text:
        raise ValueError(f"{name_of(path)} is empty.")
    return text.replace("\r\n", "\n").replace("\r", "\n")
