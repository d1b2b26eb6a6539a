"""The options that every command has that trains, and what they are checked for."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import tyro

from jrnn.cli.errors import UserError


@dataclass(frozen=True)
class TrainingOptions:
    """What every training has, whatever is trained; each command adds its own.

    A command's class may give a field another default or another help text by naming it
    again, and has its own checks in `check`, behind those of this class.
    """

    # Of a command's class; none of these is an option.
    order: ClassVar[str] = ""  # of all its fields; else its own, and then these
    later: ClassVar[str] = ""  # fields that config.json may lack: they came later
    from_data: ClassVar[str] = ""  # where 0 asks for what the data suggest
    elsewhere: ClassVar[str] = "files out resume overwrite"  # not which run it is
    positive: ClassVar[str] = (
        "hidden_size layers steps batch_size learning_rate clip eval_every log_every "
        "save_every"
    )
    not_negative: ClassVar[str] = "warmup weight_decay patience sample_every"
    shares: ClassVar[str] = "dropout average"  # at least 0, below 1

    out: Path | None = None
    """Directory of the run. (default: runs/NAME-OF-THE-FILE)"""
    resume: Path | None = None
    """Go on with the run in this directory, with its own options. (default: begin a new
    run)"""
    overwrite: bool = False
    """Delete the run directory if there is one, and start anew."""

    cell: Literal["lstm", "gru", "elman", "irnn"] = "lstm"
    """Recurrent cell."""
    hidden_size: int = 128
    """Units of each layer."""
    layers: int = 1
    """Recurrent layers, one on the other."""
    dropout: float = 0.0
    """Share of each layer's outputs set to zero, anew at every step."""

    steps: int = 1000
    """Updates of the weights."""
    batch_size: int = 32
    """Examples in each update."""
    optimizer: Literal["adam", "adamw", "adagrad", "rmsprop", "sgd"] = "adam"
    """Rule of the updates."""
    learning_rate: float = 2e-3
    """Largest learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to zero at the last step, if at all."""
    warmup: int | None = None
    """Steps over which the learning rate rises at first. (default: a twentieth of
    --steps, at most 100)"""
    clip: float = 1.0
    """Largest norm of the whole gradient."""
    weight_decay: float = 0.0
    """Pull of the weights to zero (adamw only)."""
    average: float = 0.0
    """Memory of a running mean of the weights, which is then what is evaluated; 0 for
    none. Helps with a constant learning rate."""

    eval_every: int = 100
    """Steps between evaluations on the validation part."""
    patience: int = 0
    """Stop after this many evaluations without a better one; 0 for never."""
    log_every: int = 50
    """Steps between lines in metrics.jsonl; the other intervals are rounded up to
    multiples of it."""
    save_every: int = 250
    """Steps between checkpoints."""
    sample_every: int = 0
    """Steps between examples in samples.txt; 0 for none but the last."""
    log: tuple[Literal["tensorboard", "csv", "wandb"], ...] = ()
    """Where else to write what metrics.jsonl holds: the run's folder tensorboard, its
    metrics.csv, its folder wandb (offline; wandb sync sends it). (default: nowhere)"""
    seed: int = 0
    """Seed of everything random."""

    def check(self) -> None:
        """Raise `UserError` where a value cannot work."""
        for name in self.positive.split():
            value = getattr(self, name)
            if value == 0 and name in self.from_data.split():
                continue
            if not value > 0:
                raise UserError(f"{option(name)} must be > 0, got {value}.")
            if isinstance(value, int) and value >= 2**31:
                raise UserError(f"{option(name)} must be below 2^31, got {value}.")
        for name in self.not_negative.split():
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UserError(f"{option(name)} must be >= 0, got {value}.")
        for name in self.shares.split():
            if not 0 <= getattr(self, name) < 1:
                raise UserError(
                    f"{option(name)} must be at least 0 and below 1, "
                    f"got {getattr(self, name)}."
                )
        if self.layers > 1000:
            raise UserError(f"--layers must be at most 1000, got {self.layers}.")

    @property
    def rise(self) -> int:
        """Steps over which the learning rate rises at first."""
        return min(100, self.steps // 20) if self.warmup is None else self.warmup

    @property
    def steps_per_call(self) -> int:
        """The most steps that one compiled call makes."""
        return 1


@dataclass(frozen=True)
class SequenceOptions(TrainingOptions):
    """What every command has that trains on examples: sequences of one's own."""

    elsewhere: ClassVar[str] = "files source out resume overwrite"

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """The data, - for the standard input. (default: none)"""
    source: tuple[Path, ...] = ()
    """With --resume: where the data of the run are now, if its files were moved.
    (default: where they were)"""
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of the examples for training, validation and test, in this order."""

    def check(self) -> None:
        """Raise `UserError` where a value cannot work."""
        super().check()
        check_split(self.split)


def check_split(split: tuple[float, float, float]) -> None:
    """Raise `UserError` where these are no shares of a whole."""
    if min(split) < 0 or abs(sum(split) - 1) > 1e-6 or split[0] == 0:
        raise UserError(
            "--split must be three shares that sum to 1, the first above 0, got "
            f"{' '.join(map(str, split))}."
        )


def option(name: str) -> str:
    """A field's name as it is typed, such as `--hidden-size`."""
    return "--" + name.rstrip("_").replace("_", "-")


def fields_of(kind: type) -> list[dataclasses.Field]:
    """Fields of a class of options, in the order of its help and of config.json."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    order = getattr(kind, "order", "").split()
    if not order and issubclass(kind, TrainingOptions):
        shared = {f.name for f in dataclasses.fields(TrainingOptions)}
        order = sorted(fields, key=shared.__contains__)  # its own first
    assert not order or sorted(order) == sorted(fields), kind
    return [fields[name] for name in order or fields]


def changed(config: TrainingOptions, default: TrainingOptions) -> list[str]:
    """Names of the fields in which two configurations of one command differ."""
    return [
        f.name
        for f in fields_of(type(config))
        if getattr(config, f.name) != getattr(default, f.name)
    ]
