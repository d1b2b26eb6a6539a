"""From the words of a command line to the options of one command."""

import contextlib
import functools
import operator
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from jrnn.cli.config import (
    PRESETS,
    TRAINING,
    Eval,
    Experiments,
    Export,
    Info,
    Inspect,
    Predict,
    Report,
    Sample,
)
from jrnn.cli.forms import first_paragraph, read_form
from jrnn.cli.job import resume_default
from jrnn.cli.options import TrainingOptions
from jrnn.cli.start import default_from
from jrnn.cli.sweep.forms import read_sweep
from jrnn.cli.sweep.options import SweepOptions

ABOUT = """Recurrent neural networks on texts and sequences, from files to answers.

jrnn COMMAND --help explains a command, jrnn --version shows the version."""

COMMANDS = {
    **TRAINING,
    "sample": Sample,
    "predict": Predict,
    "eval": Eval,
    "info": Info,
    "inspect": Inspect,
    "report": Report,
    "export": Export,
    "sweep": SweepOptions,
    "experiments": Experiments,
}


def parse(arguments: list[str], training_default: TrainingOptions) -> Any:
    """Read the command line; help and mistakes end the program (exit code 0 or 2)."""
    name, *words = arguments
    if name == "sweep":
        return read_sweep(words)
    if name in COMMANDS:
        default = training_default if name in TRAINING else None
        return read_form(COMMANDS[name], words, f"jrnn {name}", default)
    sub = tyro.conf.subcommand
    kinds: list[Any] = [
        Annotated[kind, sub(name, description=first_paragraph(kind))]
        for name, kind in COMMANDS.items()
    ]
    # no command: this shows help, or says that the word is none, and ends the program
    with contextlib.redirect_stdout(_WithoutNames(sys.stdout)):
        tyro.cli(
            functools.reduce(operator.or_, kinds),
            args=arguments,
            prog="jrnn",
            description=ABOUT,
        )
    raise AssertionError("a word that is no command was taken for one")


class _WithoutNames:
    """A stream in which the line of usage says COMMAND: all names are too many for it.

    They follow with what each does; tyro has no option to leave them out.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.replace(f"{{{','.join(COMMANDS)}}}", "COMMAND"))

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def training_default(words: list[str]) -> TrainingOptions:
    """Defaults of a command that trains: of the run to resume, or of the preset.

    The model of a run that --from names stands above that of the preset. These options
    are read before all others, whose defaults depend on them.
    """
    command = words[0] if words[0] in TRAINING else "train"
    resumed = _value_of("--resume", words)
    if resumed is not None:
        return resume_default(Path(resumed), command)
    if command != "train":
        return TRAINING[command]()
    # an unknown preset is left to the parser, which lists the known ones
    preset = _value_of("--preset", words) or "standard"
    default = PRESETS.get(preset, PRESETS["standard"])
    origin = _value_of("--from", words)
    if origin is not None:
        return default_from(Path(origin), default)
    return default


def _value_of(name: str, words: list[str]) -> str | None:
    for i, word in enumerate(words):
        if word == name and i + 1 < len(words):
            return words[i + 1]
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None
