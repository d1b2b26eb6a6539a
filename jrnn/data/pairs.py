r"""Two texts a line, `label<TAB>text` or `source<TAB>target`, and lines of one text."""

from pathlib import Path

from jrnn.data.content import lines_of


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    r"""Read pairs of texts, one pair a line, with a tab between them.

    Lines that are blank are passed over. Spaces around each of the two do not count.

    Args:
        path: a file of UTF-8 text, or `-` for the standard input; packed or not.

    Returns:
        Pairs in the order of the lines.

    Raises:
        ValueError: a line without a tab or with several, or with nothing on one side
            of it, with its number; no lines; no UTF-8 text.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "pairs.tsv"
        ...     _ = path.write_text("good\tA fine film.\nbad\tDull.\n")
        ...     read_pairs(path)
        [('good', 'A fine film.'), ('bad', 'Dull.')]
    """
    name, lines = lines_of(path)
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 2:
            found = "no tab" if len(parts) == 1 else f"{len(parts) - 1} tabs"
            raise ValueError(
                f"{name}, line {number}: {found}, but two texts with one tab between "
                "them are expected.\nWrite label<TAB>text, or source<TAB>target."
            )
        if not all(parts):
            side = "in front of" if not parts[0] else "behind"
            raise ValueError(
                f"{name}, line {number}: nothing {side} the tab.\nFill it in, or leave "
                "the line out."
            )
        pairs.append((parts[0], parts[1]))
    if not pairs:
        raise ValueError(f"{name} has blank lines only.\nGive two texts a line.")
    return pairs


def read_lines(path: str | Path) -> list[str]:
    r"""Read texts, one a line: what is to be classified or translated.

    Args:
        path: a file of UTF-8 text, or `-` for the standard input; packed or not.

    Returns:
        Texts in the order of the lines, without spaces around them; lines that are
        blank are passed over.

    Raises:
        ValueError: no lines; no UTF-8 text.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "texts.txt"
        ...     _ = path.write_text("A fine film.\n\nDull.\n")
        ...     read_lines(path)
        ['A fine film.', 'Dull.']
    """
    name, lines = lines_of(path)
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise ValueError(f"{name} has blank lines only.\nGive a text a line.")
    return texts
