"""Errors of the library in the words of the command."""

import contextlib
import re
from collections.abc import Iterator

from jrnn import data, export, sweep, tasks, text, train
from jrnn.cli.config import TRAINING
from jrnn.cli.errors import UserError
from jrnn.cli.options import fields_of, option

_NAMES = tuple(dict.fromkeys(f.name for k in TRAINING.values() for f in fields_of(k)))
# at its head a message of the library names the function that was called
_MODULES = data, export, sweep, tasks, text, train
_FUNCTIONS = ("sample", "prime", *(name for m in _MODULES for name in m.__all__))
_HEAD = re.compile(rf"^(?:{'|'.join(_FUNCTIONS)}): ")
_VALUE = re.compile(rf"\b({'|'.join(_NAMES)})(?:=| (?='))['\"]?([\w.]+)['\"]?")
# what a function of the library asks for, and what does it on the command line
_OTHERWISE = {
    "choose what is done about missing values: mask or interpolate": (
        "choose --missing mask or --missing interpolate"
    ),
    "for one in each step, label the steps": "for one in each step use jrnn label",
    "or fewer parts: shares such as 0.8, 0.2": "or fewer parts: --split 0.8 0.2 0",
}
_NAME = re.compile(rf"\b({'|'.join(n for n in _NAMES if '_' in n)})\b")


def in_command_words(message: str, **others: str) -> str:
    """Write `--min-count` for `min_count` and `--level byte` for `level="byte"`.

    Args:
        message: of an error of the library, whose arguments have the names of the
            options with `_` for `-`.
        **others: arguments whose option is called otherwise, as `name=its_option`.

    Example:
        >>> in_command_words("encode: use min_count over 1, or level='byte'.")
        'use --min-count over 1, or --level byte.'
        >>> in_command_words("try batch_size=4", batch_size="together")
        'try --together 4'
    """

    def called(name: str) -> str:
        return option(others.get(name, name))

    message = _HEAD.sub("", message)
    for said, here in _OTHERWISE.items():
        message = message.replace(said, here)
    message = _VALUE.sub(lambda m: f"{called(m[1])} {m[2]}", message)
    return _NAME.sub(lambda m: called(m[1]), message)


@contextlib.contextmanager
def plain_errors(*kinds: type[Exception]) -> Iterator[None]:
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
    return in_command_words(str(error))
