"""The options of `jrnn sweep`, and how they become a space."""

import dataclasses
import math
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import tyro

from jrnn.cli.config import Train
from jrnn.cli.errors import UserError
from jrnn.cli.options import TrainingOptions, fields_of, option
from jrnn.sweep import Choice, LogUniform, Uniform, draw, grid
from jrnn.sweep.asking import Axis
from jrnn.sweep.space import Config

# What a sweep may vary of the options of a command, where it has them: numbers that
# decide no shape, sizes that do, words.
NUMBERS = ("learning_rate", "clip", "dropout", "recurrent_dropout", "weight_decay")
SIZES = ("hidden_size", "layers", "embed_size", "batch_size", "window", "chunk")
WORDS = ("cell", "optimizer", "direction")


class Axes(NamedTuple):
    """What may be varied of one command."""

    numbers: tuple[str, ...]
    sizes: tuple[str, ...]
    words: dict[str, tuple[str, ...]]  # and the words that each may be

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in the order of the table."""
        return *self.numbers, *self.sizes, *self.words


def axes_of(kind: type[TrainingOptions]) -> Axes:
    """What may be varied of a command that has these options."""
    types = {f.name: f.type for f in fields_of(kind)}
    there = lambda names: tuple(name for name in names if name in types)
    words = {name: typing.get_args(types[name]) for name in there(WORDS)}
    return Axes(there(NUMBERS), there(SIZES), words)


@dataclass(frozen=True)
class Searching:
    """What every sweep has, whatever is trained."""

    out: Path | None = None
    """Directory of the results. (default: sweeps/NAME-OF-THE-FIRST-FILE)"""

    seeds: int = 2
    """Trainings of each configuration, which differ in everything random."""
    draws: int = 8
    """Random draws of the ranges without a number of values."""
    search: Literal["grid", "optuna"] = "grid"
    """All combinations and draws (grid), or --rounds of --draws configurations, each
    chosen by how those before ended (optuna: pip install "jrnn[optuna]"). It chooses
    anywhere in a range, also in one with a number of values."""
    rounds: int = 4
    """Rounds of --search optuna; more can be added later."""

    cluster: str | None = None
    """One of several processes that share the trainings, all started with the same
    options: HOST:PORT of the first, their number and this one's, such as
    first:1234,4,0; or auto (Slurm, Open MPI, Kubernetes, cloud TPUs). The first alone
    writes. (default: one process)"""

    method: Literal["auto", "vmap", "map"] = "auto"
    """Trainings side by side (vmap), one at a time (map), or what some show to be
    faster (auto; with --search optuna it is vmap)."""
    together: int | None = None
    """Largest number of trainings side by side on a device; fewer need less memory.
    (default: what is fastest)"""
    devices: int | None = None
    """Cores or accelerators that share the trainings. (default: all)"""
    seed: int = 0
    """Seed of the random draws, and of --search optuna."""

    def check(self) -> None:
        """Raise `UserError` where a value cannot work."""
        for name in ("seeds", "draws", "rounds", "together", "devices"):
            positive(name, getattr(self, name))


def positive(name: str, value: int | None) -> None:
    """Raise `UserError` unless an option is above 0, or not given."""
    if value is not None and value < 1:
        raise UserError(f"{option(name)} must be > 0, got {value}.")


@dataclass(frozen=True)
class TaskSweep(Searching):
    """The options of `jrnn sweep TASK`, which are made of those of `jrnn TASK`."""

    task: str = ""
    kind: type[TrainingOptions] = TrainingOptions
    given: dict[str, Any] = dataclasses.field(default_factory=dict)  # the others

    def value(self, name: str) -> Any:
        """What was typed for an option; of one that may be varied, its text."""
        return self.given[name]

    def check(self) -> None:
        """Raise `UserError` where a value cannot work."""
        super().check()
        if not self.given["files"]:
            raise UserError(
                f"Name the data to train on: jrnn sweep {self.task} FILE\n"
                f"jrnn sweep {self.task} --help has the options."
            )


@dataclass(frozen=True)
class SweepOptions(Searching):
    """Train many configurations on a text, each shortly, and show the best.

    Options marked * take several values, which are combined with one another:
    0.1,0.3,1 (listed), log:LOW:HIGH:N or lin:LOW:HIGH:N (N values between the two), or
    log:LOW:HIGH and lin:LOW:HIGH (drawn at random, --draws for each combination). A
    sweep that is stopped goes on where it was when the same command is given again.

    jrnn sweep classify FILE sweeps that command, and so do label, translate and
    forecast: jrnn sweep classify --help has its options.
    """

    order: ClassVar[str] = (
        "files out learning_rate clip dropout recurrent_dropout weight_decay cell "
        "optimizer hidden_size layers embed_size batch_size window seeds draws search "
        "rounds steps evals schedule warmup level min_count cluster method together "
        "devices seed"
    )
    kind: ClassVar[type[TrainingOptions]] = Train

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Text files, folders, patterns or -, as for jrnn train. (default: the Python
    language reference)"""
    learning_rate: str = "log:1e-3:1e-1:5"
    """* Largest learning rate."""
    clip: str = "1"
    """* Largest norm of the whole gradient."""
    dropout: str = "0"
    """* Share of each layer's outputs set to zero."""
    recurrent_dropout: str = "0"
    """* Share of the recurrent state set to zero (not with gru and cells like it)."""
    weight_decay: str = "0"
    """* Pull of the weights to zero (adamw only)."""
    cell: str = "lstm"
    """* Recurrent cell: antisymmetric, cfc, clockwork, cornn, coupled_lstm, dale,
    echo_state, elman, gru, indrnn, irnn, janet, layer_norm_gru, layer_norm_lstm,
    leaky, lem, low_rank, lru, lstm, ltc, mgu, min_gru, min_lstm, mlstm,
    orthogonal_rnn, peephole_lstm, qrnn, s5, slstm, sru, ugrnn."""
    optimizer: str = "adam"
    """* Rule of the updates: adam, adamw, adagrad, rmsprop, sgd."""
    hidden_size: str = "64"
    """* Units of each layer."""
    layers: str = "1"
    """* Recurrent layers."""
    embed_size: str = "0"
    """* Length of a token's learned vector; 0 for one-hot tokens."""
    batch_size: str = "16"
    """* Pieces of the text read side by side."""
    window: str = "32"
    """* Steps in time that gradients go back."""

    steps: int = 200
    """Updates in each training."""
    evals: int = 5
    """Measurements of the validation loss during each training, evenly spaced."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to zero at the last step, if at all."""
    warmup: int | None = None
    """Steps over which the learning rate rises at first. (default: a twentieth of
    --steps, at most 100)"""
    level: Literal["char", "byte", "word"] = "char"
    """Tokens: Unicode characters, bytes (takes any file) or words."""
    min_count: int = 1
    """Symbols seen less often become one unknown token (char and word). It changes what
    is predicted, so losses with different --min-count do not compare."""

    def value(self, name: str) -> Any:
        """What was typed for an option."""
        return getattr(self, name)

    def check(self) -> None:
        """Raise `UserError` where a value cannot work."""
        super().check()
        for name in ("steps", "evals"):
            positive(name, getattr(self, name))
        if self.steps % self.evals:
            raise UserError(f"--evals {self.evals} must divide --steps {self.steps}.")


Options = SweepOptions | TaskSweep


def base_of(options: Options) -> TrainingOptions:
    """What all trainings of a sweep share, as options of the command that trains."""
    first = {name: axis[0] for name, axis in _axes(options).items()}
    if isinstance(options, TaskSweep):
        return options.kind(**{**options.given, **first})
    return Train(
        files=options.files,
        steps=options.steps,
        schedule=options.schedule,
        warmup=options.warmup,
        level=options.level,
        min_count=options.min_count,
        eval_every=options.steps // options.evals,
        **first,
    )


def searched(options: Options) -> dict[str, Axis]:
    """What Optuna searches: ranges, and choices of listed values."""
    listed = _axes(options)
    kind = axes_of(options.kind)
    ranges = {name: axis for name in kind.numbers if (axis := _range(options, name))}
    axes = {
        name: ranges.get(name) or Choice(tuple(listed[name])) for name in kind.names
    }
    if not any(not isinstance(a, Choice) and a.low < a.high for a in axes.values()):
        raise UserError(
            "--search optuna needs a range, such as --learning-rate log:1e-3:1e-1.\n"
            "Combinations of listed values are all made by --search grid."
        )
    return axes


def space_of(options: Options) -> list[Config]:
    """Every configuration: listed values crossed, ranges drawn for each of them.

    Of a search by Optuna, which chooses them later, those at the ends of the ranges.
    """
    listed = _axes(options)
    if options.search == "optuna":
        ends = lambda a: a.values if isinstance(a, Choice) else dict.fromkeys(a)
        return grid(**{name: ends(a) for name, a in searched(options).items()})
    axes = axes_of(options.kind)
    ranges = {name: axis for name in axes.numbers if (axis := _range(options, name))}
    listed = {name: axis for name, axis in listed.items() if name not in ranges}
    if not ranges:
        return grid(**listed)
    space = []
    for n, config in enumerate(grid(**listed)):
        drawn = draw(options.draws, (options.seed << 20) + n, **ranges)
        space += [{**config, **more} for more in drawn]
    return [{name: config[name] for name in axes.names} for config in space]


def drawn(options: Options) -> bool:
    """Whether values are drawn at random, from a range without a number of them."""
    return options.search == "optuna" or any(
        _range(options, name) for name in axes_of(options.kind).numbers
    )


def varied(space: list[Config]) -> list[str]:
    """Names of the hyperparameters that take more than one value."""
    first = space[0]
    return [name for name in first if any(c[name] != first[name] for c in space)]


def _axes(options: Options) -> dict[str, list]:
    numbers, sizes, words = axes_of(options.kind)
    axes = {}
    for name in numbers:
        found = _range(options, name)
        axes[name] = [found.low] if found else _numbers(name, options.value(name))
    for name in sizes:
        axes[name] = _numbers(name, options.value(name), kind=int)
    for name, known in words.items():
        axes[name] = _words(name, options.value(name), known)
    return axes


def _range(options: Options, name: str) -> Uniform | LogUniform | None:
    """A range to be drawn from: for Optuna any, else one without a number of values."""
    kind, *limits = options.value(name).split(":")
    if options.search == "optuna" and len(limits) == 3:
        _numbers(name, options.value(name))  # the number is not used, but is to be one
        limits = limits[:2]
    if kind not in ("log", "lin") or len(limits) != 2:
        return None
    low, high = (_number(name, word) for word in limits)
    if not low <= high or (kind == "log" and low <= 0):
        raise UserError(_expected(name, options.value(name)))
    return LogUniform(low, high) if kind == "log" else Uniform(low, high)


def _numbers(name: str, text: str, kind: type = float) -> list:
    head, *limits = text.split(":")
    if head in ("log", "lin") and len(limits) == 3:
        low, high = _number(name, limits[0]), _number(name, limits[1])
        count = int(_number(name, limits[2], int))
        if low > high or count < 1 or (head == "log" and low <= 0):
            raise UserError(_expected(name, text))
        space = np.geomspace if head == "log" else np.linspace
        values = [
            kind(f"{x:.6g}") if kind is float else round(x)
            for x in space(low, high, count)
        ]
    else:
        values = [_number(name, word, kind) for word in text.split(",")]
    return list(dict.fromkeys(values))


def _number(name: str, word: str, kind: type = float) -> float:
    try:
        value = kind(word)
    except ValueError:
        raise UserError(_expected(name, word)) from None
    if not math.isfinite(value):
        raise UserError(_expected(name, word))
    return value


def _expected(name: str, text: str) -> str:
    return (
        f"{option(name)}: expected numbers such as 0.1,0.3 or log:0.001:1:5 or "
        f"log:0.001:1, got {text!r}."
    )


def _words(name: str, text: str, known: tuple[str, ...]) -> list[str]:
    words = list(dict.fromkeys(text.split(",")))
    for word in words:
        if word not in known:
            raise UserError(
                f"{option(name)}: expected some of {', '.join(known)}, got {word!r}."
            )
    return words
