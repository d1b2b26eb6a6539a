"""Read a user's table of two columns."""

from pathlib import Path


class TableError(Exception):
    """A mistake in a user's file, in words for the user."""


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Lines `left<TAB>right` of a file in UTF-8; empty lines do not count."""
    try:
        lines = Path(path).read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise TableError(f"{path}: is not text in UTF-8.") from None
    pairs = [
        _pair(path, number, line.removesuffix("\r"))
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not pairs:
        raise TableError(f"{path}: is empty; expected lines of two columns and a tab.")
    return pairs


def _pair(path, number: int, line: str) -> tuple[str, str]:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) != 2 or not all(columns):
        raise TableError(
            f"{path}, line {number}: expected two columns with one tab between, "
            f"got {line[:60]!r}."
        )
    return columns[0], columns[1]
