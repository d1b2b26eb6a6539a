"""A user's file of pairs, read and parted by `jrnn.data`."""

import sys
from pathlib import Path
from typing import NoReturn

import numpy as np

from jrnn.data import Dataset, from_arrays, read_pairs, split_sequences

Pairs = list[tuple[str, str]]


def refuse(message: object) -> NoReturn:
    """End with a plain message for a mistake of the user."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


def users_pairs(path: Path, column: int) -> tuple[Pairs, Pairs]:
    """Pairs for training and a tenth for the test, which share no text of a column."""
    try:
        pairs = read_pairs(path)
        _, text = np.unique([pair[column] for pair in pairs], return_inverse=True)
        if text.max() < 9:
            raise ValueError(
                f"{path}: {text.max() + 1} different texts to learn from and ask "
                "about.\nGive 10 at least."
            )
        lines = Dataset(from_arrays([[n] for n in range(len(pairs))]), groups=text)
        train, test = split_sequences(lines, (0.9, 0.1))
    except (OSError, ValueError) as error:
        refuse(error)
    pick = lambda part: [pairs[line.item()] for line in part.inputs]
    return pick(train), pick(test)
