"""The command line of `jrnn sweep TASK`: options of `jrnn TASK`, some with values."""

import typing

from jrnn.cli.config import TRAINING
from jrnn.cli.forms import Field, docstring, form_fields, read_fields, read_form
from jrnn.cli.options import TrainingOptions
from jrnn.cli.sweep.options import Options, Searching, SweepOptions, TaskSweep, axes_of

# What is of one run, and not of a sweep.
_LEFT_OUT = (
    "out resume overwrite source patience log_every save_every sample_every log seed"
).split()
_RATES = "log:1e-3:1.6e-2:5"  # the rate that the data suggest is in the middle


def read_sweep(words: list[str]) -> Options:
    """Read what was typed after `jrnn sweep`; help and mistakes end the program.

    The name of a command comes first; without one it is `jrnn train`. (A text file that
    has such a name is `./classify`.)
    """
    task = words[0] if words and words[0] in TRAINING else None
    if task is None or task == "train":
        return read_form(SweepOptions, words[task is not None :], "jrnn sweep")
    kind = TRAINING[task]
    own, shared = _own_fields(kind), form_fields(Searching)
    given = read_fields([*own, *shared], words[1:], f"jrnn sweep {task}", _about(task))
    search = {field.name: given.pop(field.name) for field in shared}
    return TaskSweep(**search, task=task, kind=kind, given=given)


def _own_fields(kind: type[TrainingOptions]) -> list[Field]:
    axes = axes_of(kind)
    fields = []
    for field in form_fields(kind):
        if field.name in axes.names:
            field = _axis(field, field.name in axes.words)
        if field.name not in _LEFT_OUT:
            fields.append(field)
    return fields


def _axis(field: Field, of_words: bool) -> Field:
    """An option that takes several values, as a text."""
    text, mark, default = field.text.partition(" (default: ")
    value = str(field.value) if of_words else f"{field.value:g}"
    if of_words:
        text = f"{text.removesuffix('.')}: {', '.join(typing.get_args(field.type))}."
    if field.name == "learning_rate":
        value, mark = _RATES, ""
    text = f"* {text}{mark}{default if mark else ''}"
    return Field(field.name, str, text, value)


def _about(task: str) -> str:
    _, _, data = docstring(TRAINING[task]).partition("\n\n")
    _, several, _ = docstring(SweepOptions).split("\n\n")
    return f"""Train many configurations of jrnn {task}, and show the best.

{several}

The examples are split once, as by --seed 0, so that no training sees those of the test
part. A configuration is judged by its lowest validation loss.

{data}"""
