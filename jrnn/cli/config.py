"""The options of every command, as dataclasses; help texts are their docstrings."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jrnn.cli.errors import UserError

Preset = Literal["quick", "standard", "best"]


@dataclass(frozen=True)
class Train:
    """Train a recurrent model on text, or go on with a run that was stopped.

    Without a FILE it trains on the Python language reference that every Python carries.
    The run directory holds everything: sample from it, evaluate it or resume it by its
    name.
    """

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Text files, joined in the order given. A folder stands for every text file in it
    and below, a quoted pattern such as 'books/*.txt' for what matches it, - for the
    standard input. What gzip, bzip2, xz or zstd packed is unpacked. (default: the
    Python language reference)"""
    preset: Preset = "standard"
    """Defaults of all other options, by the time they take on two CPU cores: quick some
    minutes, standard about ten, best up to half an hour."""
    out: Path | None = None
    """Directory of the run. (default: runs/NAME-OF-THE-FIRST-FILE, runs/stdin for the
    standard input)"""
    resume: Path | None = None
    """Go on with the run in this directory, with its own options. (default: begin a new
    run)"""
    text: tuple[Path, ...] = ()
    """With --resume: where the text of the run is now, if its files were moved.
    (default: where it was)"""
    from_: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Start from the weights of the run in this directory (the best, or else the last)
    with a fresh optimiser; its model stays, and its vocabulary grows by the symbols
    that are new in FILE. (default: from random weights)"""
    overwrite: bool = False
    """Delete the run directory if there is one, and start anew."""

    level: Literal["char", "byte", "word"] = "char"
    """Tokens: Unicode characters, bytes (takes any file) or words."""
    min_count: int = 1
    """Symbols seen less often become one unknown token (char and word). It changes what
    is predicted, so losses of runs with different --min-count do not compare."""
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)
    """Shares of the text for training, validation and test, in this order."""

    cell: Literal["lstm", "gru", "elman", "irnn"] = "lstm"
    """Recurrent cell."""
    hidden_size: int = 512
    """Units of each layer."""
    layers: int = 1
    """Recurrent layers, one on the other."""
    embed_size: int = 0
    """Length of a token's learned vector; 0 for one-hot tokens."""
    dropout: float = 0.3
    """Share of each layer's outputs set to zero, anew at every step."""
    recurrent_dropout: float = 0.0
    """Share of the recurrent state set to zero, one mask a window (not with gru)."""

    steps: int = 2500
    """Updates of the weights."""
    batch_size: int = 32
    """Pieces of the text read side by side."""
    window: int = 64
    """Steps in time that gradients go back (k2)."""
    update_every: int | None = None
    """Steps in time between updates (k1, at most --window). (default: --window)"""
    optimizer: Literal["adam", "adamw", "adagrad", "rmsprop", "sgd"] = "adam"
    """Rule of the updates."""
    learning_rate: float = 8e-3
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
    """Memory of a running mean of the weights, which is then what is evaluated and
    sampled; 0 for none. Helps with a constant learning rate."""

    devices: int | None = None
    """Cores or accelerators that share each batch. Two numbers give the same training
    up to rounding; give one to repeat a run bit for bit. (default: as many as a few
    first steps show to be fastest, which config.json then holds)"""

    cluster: str | None = None
    """One of several processes that share each batch, all started with the same
    options: HOST:PORT of the first, their number and this one's, such as
    first:1234,4,0; or auto (Slurm, Open MPI, Kubernetes, cloud TPUs). The first alone
    writes; to resume, all must see the run's directory. (default: one process)"""

    eval_every: int = 500
    """Steps between evaluations on the validation part."""
    patience: int = 0
    """Stop after this many evaluations without a better one; 0 for never."""
    log_every: int = 50
    """Steps between lines in metrics.jsonl; the other intervals are rounded up to
    multiples of it."""
    save_every: int = 250
    """Steps between checkpoints."""
    sample_every: int = 1000
    """Steps between samples in samples.txt; 0 for none but the last."""
    log: tuple[Literal["tensorboard", "csv", "wandb"], ...] = ()
    """Where else to write what metrics.jsonl holds: the run's folder tensorboard, its
    metrics.csv, its folder wandb (offline; wandb sync sends it). (default: nowhere)"""
    seed: int = 0
    """Seed of everything random."""

    def check(self) -> None:
        """Raise `UserError` where a value cannot work."""
        positive = (
            "min_count hidden_size layers steps batch_size window learning_rate clip "
            "eval_every log_every save_every"
        )
        for name in positive.split():
            value = getattr(self, name)
            if not value > 0:
                raise UserError(f"{option(name)} must be > 0, got {value}.")
            if isinstance(value, int) and value >= 2**31:
                raise UserError(f"{option(name)} must be below 2^31, got {value}.")
        for name in "embed_size warmup weight_decay patience sample_every".split():
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UserError(f"{option(name)} must be >= 0, got {value}.")
        for name in "dropout recurrent_dropout average".split():
            if not 0 <= getattr(self, name) < 1:
                raise UserError(
                    f"{option(name)} must be at least 0 and below 1, "
                    f"got {getattr(self, name)}."
                )
        if self.layers > 1000:
            raise UserError(f"--layers must be at most 1000, got {self.layers}.")
        if self.recurrent_dropout and self.cell == "gru":
            raise UserError(
                "--recurrent-dropout does not go with --cell gru, whose state passes "
                "by the product and would grow.\nUse --cell lstm, or --dropout."
            )
        if self.devices is not None and self.devices < 1:
            raise UserError(f"--devices must be > 0, got {self.devices}.")
        if self.update_every is not None and not 0 < self.update_every <= self.window:
            raise UserError(
                f"--update-every must be 1 to --window ({self.window}), "
                f"got {self.update_every}."
            )
        if min(self.split) < 0 or abs(sum(self.split) - 1) > 1e-6 or self.split[0] == 0:
            raise UserError(
                "--split must be three shares that sum to 1, the first above 0, got "
                f"{' '.join(map(str, self.split))}."
            )

    @property
    def stride(self) -> int:
        """Steps in time from one update to the next, k1."""
        return self.window if self.update_every is None else self.update_every

    @property
    def rise(self) -> int:
        """Steps over which the learning rate rises at first."""
        return min(100, self.steps // 20) if self.warmup is None else self.warmup


@dataclass(frozen=True)
class Sample:
    """Generate text from a trained run."""

    run: tyro.conf.Positional[Path]
    """Directory of the run, or a model file that jrnn.save has written."""
    length: int = 1000
    """Tokens to generate, not counting the prime."""
    prime: str = ""
    """Text to start from. (default: a line break, or any first token)"""
    temperature: float = 0.8
    """Below 1 safer, above 1 bolder; 0 is --greedy."""
    greedy: bool = False
    """Always take the likeliest token, without any chance."""
    top_k: int | None = None
    """Choose among the k likeliest tokens only. (default: all)"""
    top_p: float | None = None
    """Choose among the likeliest tokens that together have this probability. (default:
    1, all)"""
    stop: str | None = None
    """End a sample at this symbol, for instance a line break. (default: none)"""
    num_samples: int = 1
    """Samples, generated side by side."""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the lowest validation loss, or those of the last checkpoint."""
    seed: int = 0
    """Seed of the noise: the same seed gives the same text."""


@dataclass(frozen=True)
class Eval:
    """Measure a trained run on texts: nats, bits per token and perplexity.

    A file that cannot be read or encoded is named, the others are measured, and the
    exit code is 2. The total weighs every token alike. Figures of runs with different
    vocabularies do not compare at level word: an unknown word is likelier than each of
    the words that it stands for, and with the space in front of it makes two tokens.
    """

    run: tyro.conf.Positional[Path]
    """Directory of the run, or a model file that jrnn.save has written."""
    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Text files, folders, patterns or -, as for jrnn train; each file is measured by
    itself, and then their total. (default: the held-out parts of the run's text)"""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the lowest validation loss, or those of the last checkpoint."""
    rows: int = 16
    """Parts of the text that run side by side; 1 reads it as one piece."""
    context: int = 512
    """Tokens that warm up each part and are not counted in it."""
    unknown: Literal["count", "skip", "fail"] = "count"
    """Symbols that are not in the run's vocabulary. count: each counts with the
    probability of the unknown token (of --min-count or --level word); without one it is
    0 and the loss infinite, so the file is refused. skip: they are not in the sum; the
    model reads the unknown token in their place or, without one, nothing. fail: a file
    that has one is refused."""


@dataclass(frozen=True)
class Info:
    """Show what a run is: model, data, progress and results."""

    run: tyro.conf.Positional[Path]
    """Directory of the run."""


@dataclass(frozen=True)
class Export:
    """Write a trained model in a form that other programs run.

    jax: one step and a whole sequence as programs that need JAX but not jrnn, for any
    batch and length, on CPU, CUDA and TPU; holds every cell without randomness.

    onnx: a graph for onnxruntime and others. c: one C99 file that needs math.h, for
    microcontrollers too. Both hold stacks of elman, irnn, gru, lstm, embed, one_hot,
    linear and activation in float32.

    hf: a folder for the Hugging Face Hub, with weights, a description and a card; holds
    what jrnn.load can read.

    What a format cannot hold is refused by name.
    """

    run: tyro.conf.Positional[Path]
    """Directory of the run, or a file that jrnn.save wrote."""
    to: Path
    """The file to write; with --format hf a folder."""
    format: Literal["jax", "onnx", "c", "hf"] = "jax"
    """What to write."""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the lowest validation loss, or those of the last checkpoint; of a
    run only."""
    int8: bool = False
    """With --format c: keep matrices in eight bits, and measure what that costs on the
    text that the run has held out or, where it is not there, on what the model writes.
    """
    overwrite: bool = False
    """Replace what is there."""


@dataclass(frozen=True)
class Inspect:
    """Write a page that shows what the units of a trained run do along a text.

    One HTML file, for any browser, that loads nothing from elsewhere. The text is
    coloured by a unit, a gate, a layer or the loss; units are ranked by what they
    follow (the place in the line, quotes, brackets, indentation and others) and by what
    the loss is without them; under each symbol stand the model's guesses for the next.
    """

    run: tyro.conf.Positional[Path]
    """Directory of the run, or a model file that jrnn.save has written."""
    file: tyro.conf.Positional[Path | None] = None
    """A text file, folder, pattern or -, as for jrnn train. Symbols that the run does
    not know are left out. (default: the held-out part of the run's text)"""
    out: Path | None = None
    """The page. (default: the name of the run with .html, in this directory)"""
    overwrite: bool = False
    """Replace the page if there is one."""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the lowest validation loss, or those of the last checkpoint."""
    length: int = 100_000
    """Tokens of the text to show at most, from its beginning."""
    megabytes: int = 50
    """About how large the page may be. If that is too little for all units, it holds
    those that follow the text most or matter most."""
    ablate: int | None = None
    """Tokens on which the effect of each unit is measured, from the beginning too; 0
    for none. (default: 512 to 8192, by the size of the model)"""


@dataclass(frozen=True)
class Experiments:
    """List the experiments of the source tree, with the question that each answers."""

    folder: Path | None = None
    """The source tree. (default: this directory, or that of an editable install)"""


PRESETS: dict[str, Train] = {
    "quick": Train(preset="quick", hidden_size=256, steps=2000),
    "standard": Train(),
    "best": Train(
        preset="best", steps=6000, dropout=0.4, recurrent_dropout=0.2, eval_every=1000
    ),
}


def option(name: str) -> str:
    """A field's name as it is typed, such as `--hidden-size`."""
    return "--" + name.rstrip("_").replace("_", "-")


def changed(config: Train, default: Train) -> list[str]:
    """Names of the fields in which two configurations differ."""
    return [
        f.name
        for f in dataclasses.fields(Train)
        if getattr(config, f.name) != getattr(default, f.name)
    ]
