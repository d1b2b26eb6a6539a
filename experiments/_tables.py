"""Read a user's table of two columns, and part it for training and test."""

from pathlib import Path

import numpy as np


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


def parted(
    path: Path, pairs: list[tuple[str, str]], column: int, name: str, most: int | None
) -> tuple[list, list]:
    """Pairs for training and test, which share nothing of a column.

    A tenth of what is different in it is for the test, `most` of them at most.
    """
    different = sorted({pair[column] for pair in pairs})
    if len(different) < 10:
        raise TableError(
            f"{path}: needs at least 10 different {name}, got {len(different)}."
        )
    order = np.random.default_rng(0).permutation(len(different))
    asked = {different[n] for n in order[: len(different) // 10][:most]}
    train = [pair for pair in pairs if pair[column] not in asked]
    return train, [pair for pair in pairs if pair[column] in asked]


def _pair(path, number: int, line: str) -> tuple[str, str]:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) != 2 or not all(columns):
        raise TableError(
            f"{path}, line {number}: expected two columns with one tab between, "
            f"got {line[:60]!r}."
        )
    return columns[0], columns[1]
