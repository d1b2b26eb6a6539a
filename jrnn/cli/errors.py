"""What ends a command early, told in one or two plain lines."""

import contextlib
from collections.abc import Iterator


class UserError(Exception):
    """A mistake of the user's; `main` prints its message and exits with code 2."""


class Stopped(Exception):
    """Ctrl-C; `main` prints how to go on and exits with code 130."""


class Diverged(Exception):
    """A run whose loss or weights grew without bound; exit code 3."""


@contextlib.contextmanager
def options_of_a_cell(cell: str, hidden_size: int) -> Iterator[None]:
    """Say which options they are that a cell cannot be made of."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"--cell {cell} --hidden-size {hidden_size}: {error}") from None
