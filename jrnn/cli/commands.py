"""What each command runs, and with which exit code it ends."""

import contextlib
import os
import sys
from collections.abc import Sequence

from jrnn import __version__
from jrnn.cli.config import (
    Eval,
    Experiments,
    Export,
    Info,
    Inspect,
    Predict,
    Report,
    Sample,
    Train,
)
from jrnn.cli.errors import Diverged, Stopped, UserError
from jrnn.cli.evaluate import evaluate_files
from jrnn.cli.experiments import experiments
from jrnn.cli.export import export
from jrnn.cli.info import info
from jrnn.cli.inspect import inspect
from jrnn.cli.options import TrainingOptions
from jrnn.cli.parsing import parse, training_default
from jrnn.cli.predict import predict
from jrnn.cli.report import report
from jrnn.cli.sample import sample
from jrnn.cli.sweep import sweep
from jrnn.cli.sweep.options import SweepOptions, TaskSweep
from jrnn.cli.train import train

# By the kind of its options; what trains also needs what was taken as its defaults.
_ACTS = {
    Sample: sample,
    Predict: predict,
    Eval: evaluate_files,
    Info: info,
    Inspect: inspect,
    Report: report,
    Export: export,
    SweepOptions: sweep,
    TaskSweep: sweep,
    Experiments: experiments,
}


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
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()  # here, where a closed pipe is noticed
        return 0
    except UserError as error:
        return _end(error, 2)
    except Diverged as error:
        return _end(error, 3)
    except Stopped as stop:
        return _end(stop, 130)
    except KeyboardInterrupt:
        return _end("interrupted.", 130)
    except BrokenPipeError:  # jrnn sample RUN | head
        _forget_output()
        return 141


def _end(why: object, code: int) -> int:
    print(f"jrnn: {why}", file=sys.stderr)
    return code


def _forget_output() -> None:
    """Let Python end without trying to write what nobody reads."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> None:
    if words == ["--version"]:
        print("jrnn", __version__)
        return
    if not words:  # a script that lost its arguments has not succeeded
        with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
            parse(["--help"], Train())
        sys.exit(2)
    default = training_default(words)
    options = parse(words, default)
    if isinstance(options, TrainingOptions):
        train(options, seen=default)
    else:
        _ACTS[type(options)](options)
