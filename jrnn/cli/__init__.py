"""The `jrnn` command: train, sample, eval, info, sweep, experiments."""

import contextlib
import functools
import os
import sys
from collections.abc import Sequence

from jrnn import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Without a command it shows its help on stderr, as a mistake.

    Args:
        arguments: the words after `jrnn`; those of the process if None.

    Returns:
        0 for success, 1 where another process of a cluster was lost, 2 for a mistake
        in what was given or a disk that is full, 3 for a run that diverged, 130 after
        Ctrl-C, 141 where what reads the output has closed it.

    Example:
        >>> main(["info", "no/such/run"])
        2
    """
    from jrnn.cli.errors import Diverged, Stopped, UserError

    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()  # here, where a closed pipe is noticed
        return 0
    except UserError as error:
        return _ended(error, 2)
    except Diverged as error:
        return _ended(error, 3)
    except Stopped as stop:
        return _ended(stop, 130)
    except KeyboardInterrupt:
        return _ended("interrupted.", 130)
    except BrokenPipeError:  # jrnn sample RUN | head
        _forget_output()
        return 141


def _ended(why: object, code: int) -> int:
    print(f"jrnn: {why}", file=sys.stderr)
    return code


def _forget_output() -> None:
    """Let Python end without trying to write what nobody reads."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> None:
    from jrnn.cli.config import (
        Eval,
        Experiments,
        Info,
        Sample,
        Train,
        parse,
        train_default,
    )
    from jrnn.cli.sweep.options import Sweep

    if words == ["--version"]:
        print("jrnn", __version__)
        return
    if not words:  # a script that lost its arguments has not succeeded
        with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
            parse(["--help"], Train())
        sys.exit(2)
    default = train_default(words)
    command = parse(words, default)
    if isinstance(command, Sample):
        from jrnn.cli.sample import sample as act
    elif isinstance(command, Eval):
        from jrnn.cli.evaluate import evaluate_files as act
    elif isinstance(command, Info):
        from jrnn.cli.info import info as act
    elif isinstance(command, Sweep):
        from jrnn.cli.sweep import sweep as act
    elif isinstance(command, Experiments):
        from jrnn.cli.experiments import experiments as act
    else:
        from jrnn.cli.train import train

        act = functools.partial(train, seen=default)
    act(command)
