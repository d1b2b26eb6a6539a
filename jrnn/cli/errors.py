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
def told_plainly(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of the functions called inside into `UserError`.

    For calls whose errors are about what the user gave: files, texts, checkpoints.
    Elsewhere an error is ours and keeps its traceback.

    Args:
        *kinds: exceptions to turn; ValueError, TypeError and OSError if none are given.
    """
    kinds = kinds or (ValueError, TypeError, OSError)
    try:
        yield
    except BrokenPipeError:  # not a file: whoever reads the output has gone
        raise
    except kinds as error:
        raise UserError(_message(error)) from error


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}."
    if isinstance(error, FileNotFoundError):  # a path can look like anything
        return str(error)
    # late, since the options raise these errors themselves
    from jrnn.cli.words import in_command_words

    return in_command_words(str(error))
