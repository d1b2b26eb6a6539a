"""The `jrnn` command: train, sample, eval, info, sweep, experiments."""

import contextlib
import importlib.metadata
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Without a command it shows its help on stderr, as a mistake.

    Args:
        arguments: the words after `jrnn`; those of the process if None.

    Returns:
        0 for success, 1 for a run that ended early, 2 for a mistake in what was given,
        130 after Ctrl-C.

    Example:
        >>> main(["info", "no/such/run"])
        2
    """
    from jrnn.cli.errors import Stopped, UserError

    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
        return 0
    except UserError as error:
        print(f"jrnn: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"jrnn: {stop}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # jrnn sample RUN | head
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("jrnn: interrupted.", file=sys.stderr)
        return 130


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
        print("jrnn", _version())
        return
    if not words:  # a script that lost its arguments has not succeeded
        with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
            parse(["--help"], Train())
        sys.exit(2)
    command = parse(words, train_default(words))
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
        from jrnn.cli.train import train as act
    act(command)


def _version() -> str:
    try:
        return importlib.metadata.version("jrnn")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed: run from its source tree)"
