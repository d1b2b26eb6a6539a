"""The options of every command, as dataclasses; help texts are their docstrings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from jrnn.cli.cells import PASSING
from jrnn.cli.class_options import Classify, Label
from jrnn.cli.errors import UserError
from jrnn.cli.forecast_options import Forecast
from jrnn.cli.options import TrainingOptions, check_split
from jrnn.cli.options import option as option  # with the classes that it names
from jrnn.cli.pair_options import Translate

Preset = Literal["quick", "standard", "best"]


@dataclass(frozen=True)
class Train(TrainingOptions):
    """Train a recurrent model on text, or go on with a run that was stopped.

    Without a FILE it trains on the Python language reference that every Python carries.
    The run directory holds everything: sample from it, evaluate it or resume it by its
    name.
    """

    order: ClassVar[str] = (
        "files preset out resume text from_ overwrite level min_count split "
        "cell hidden_size layers embed_size tie_weights dropout recurrent_dropout "
        "steps batch_size window update_every optimizer learning_rate schedule warmup "
        "clip weight_decay average devices cluster "
        "eval_every patience log_every save_every sample_every log seed"
    )
    later: ClassVar[str] = "text from_ log tie_weights"
    elsewhere: ClassVar[str] = (
        "files out resume text from_ overwrite cluster devices"  # devices: rounding
    )
    positive: ClassVar[str] = (
        "min_count hidden_size layers steps batch_size window learning_rate clip "
        "eval_every log_every save_every"
    )
    not_negative: ClassVar[str] = "embed_size warmup weight_decay patience sample_every"
    shares: ClassVar[str] = "dropout recurrent_dropout average"

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
    text: tuple[Path, ...] = ()
    """With --resume: where the text of the run is now, if its files were moved.
    (default: where it was)"""
    from_: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Start from the weights of the run in this directory (the best, or else the last)
    with a fresh optimiser; its model stays, and its vocabulary grows by the symbols
    that are new in FILE. (default: from random weights)"""
    level: Literal["char", "byte", "word"] = "char"
    """Tokens: Unicode characters, bytes (takes any file) or words."""
    min_count: int = 1
    """Symbols seen less often become one unknown token (char and word). It changes what
    is predicted, so losses of runs with different --min-count do not compare."""
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)
    """Shares of the text for training, validation and test, in this order."""

    hidden_size: int = 512
    embed_size: int = 0
    """Length of a token's learned vector; 0 for one-hot tokens."""
    tie_weights: bool = False
    """Guess tokens by the vectors by which they are read: needs --embed-size."""
    dropout: float = 0.3
    recurrent_dropout: float = 0.0
    """Share of the recurrent state set to zero, one mask a window; with gru, of what
    is written into the state at each step. Not with mgu, leaky and cells like them."""

    steps: int = 2500
    batch_size: int = 32
    """Pieces of the text read side by side."""
    window: int = 64
    """Steps in time that gradients go back (k2)."""
    update_every: int | None = None
    """Steps in time between updates (k1, at most --window). (default: --window)"""
    learning_rate: float = 8e-3
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

    sample_every: int = 1000
    """Steps between samples in samples.txt; 0 for none but the last."""

    eval_every: int = 500

    def check(self) -> None:
        """Raise `UserError` where a value cannot work."""
        super().check()
        if self.recurrent_dropout and self.cell in PASSING:
            raise UserError(
                f"--recurrent-dropout does not go with --cell {self.cell}, whose state "
                "passes by the product and would grow.\nUse --cell lstm, or --dropout."
            )
        if self.tie_weights and not self.embed_size:
            raise UserError(
                "--tie-weights needs learned vectors of tokens, and --embed-size is 0."
                "\nGive it, such as --embed-size 64."
            )
        if self.devices is not None and self.devices < 1:
            raise UserError(f"--devices must be > 0, got {self.devices}.")
        if self.update_every is not None and not 0 < self.update_every <= self.window:
            raise UserError(
                f"--update-every must be 1 to --window ({self.window}), "
                f"got {self.update_every}."
            )
        check_split(self.split)

    @property
    def stride(self) -> int:
        """Steps in time from one update to the next, k1."""
        return self.window if self.update_every is None else self.update_every

    @property
    def steps_per_call(self) -> int:
        """Steps in one compiled call: many where a step takes less than its dispatch.

        Calling the compiled step costs about 0.1 ms. Below some 10^7 multiplications a
        step that shows; above it, more steps in a call gained nothing (and at hidden
        size 128, batch 50, lost 10 %). On several devices always one: see
        `provide_cores`.
        """
        if self.devices not in (None, 1):
            return 1
        work = self.layers * self.hidden_size**2 * self.batch_size * self.window
        return 16 if work < 1e7 else 1


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
    """Measure a trained run on files.

    Of a language model: nats, bits per token and perplexity of texts. Of jrnn classify,
    label, translate or forecast: the figures of that task on examples.

    A file that cannot be read or encoded is named, the others are measured, and the
    exit code is 2. The total weighs every token alike. Figures of runs with different
    vocabularies do not compare at level word: an unknown word is likelier than each of
    the words that it stands for, and with the space in front of it makes two tokens.
    """

    run: tyro.conf.Positional[Path]
    """Directory of the run, or a model file that jrnn.save has written."""
    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Files like those of the training, or -; each file is measured by itself, and then
    their total. (default: the held-out parts of the run's data)"""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the lowest validation loss, or those of the last checkpoint."""
    rows: int = 16
    """Parts of a text that run side by side; 1 reads it as one piece."""
    context: int = 512
    """Tokens that warm up each part and are not counted in it."""
    unknown: Literal["count", "skip", "fail"] = "count"
    """Symbols of a text that the run does not know. count: each counts with the
    probability of the unknown token (of --min-count or --level word); without one it is
    0 and the loss infinite, so the file is refused. skip: they are not in the sum; the
    model reads the unknown token in their place or, without one, nothing. fail: a file
    that has one is refused."""


@dataclass(frozen=True)
class Predict:
    """Answer new examples by a run of jrnn classify, label, translate or forecast.

    FILE is like that of the training, without what is asked for; answers are written
    beside its rows. Lines that come from the standard input are answered one by one, as
    soon as each is there.
    """

    run: tyro.conf.Positional[Path]
    """Directory of the run."""
    examples: tyro.conf.Positional[Path]
    """The new examples, - for the standard input."""
    out: Path | None = None
    """The file to write, CSV or by its ending TSV. (default: the standard output)"""
    probabilities: bool = False
    """Write how likely each class is, too, or how sure the answer."""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the lowest validation loss, or those of the last checkpoint."""
    overwrite: bool = False
    """Replace what is at --out."""


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
    """Write a page that shows what the units of a trained run do.

    One HTML file, for any browser, that loads nothing from elsewhere. A text is
    coloured by a unit, a gate, a layer or the loss; under each symbol stand the model's
    guesses for the next. Of a run of jrnn classify, label or forecast the page shows
    what is read, the states below it and the answers over time, example by example.
    Units are ranked by what they follow (the place in the line, quotes, brackets and
    others; channels, their changes and the classes) and by the loss without them.
    """

    run: tyro.conf.Positional[Path]
    """Directory of the run, or a model file that jrnn.save has written."""
    file: tyro.conf.Positional[Path | None] = None
    """A text file, folder, pattern or -, as for jrnn train; symbols that the run does
    not know are left out. Or examples, as for jrnn predict. (default: what the run has
    held out, the test part of examples)"""
    out: Path | None = None
    """The page. (default: the name of the run with .html, in this directory)"""
    overwrite: bool = False
    """Replace the page if there is one."""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the lowest validation loss, or those of the last checkpoint."""
    length: int = 100_000
    """Tokens of the text to show at most, from its beginning; or steps of examples,
    taken evenly from all."""
    megabytes: int = 50
    """About how large the page may be. If that is too little for all units, it holds
    those that follow the text most or matter most."""
    ablate: int | None = None
    """Tokens or steps on which the effect of each unit is measured, chosen in the same
    way; 0 for none. (default: 512 to 8192 tokens or 65536 steps, by the size of the
    model)"""


@dataclass(frozen=True)
class Report:
    """Compare runs, and sweeps, on a page.

    One HTML file, for any browser, that loads nothing from elsewhere. Of runs it shows
    learning curves, the settings in which they differ, what they came to and what they
    wrote; of a sweep its table, to be sorted, and its settings against the result. A
    run that is still trained is shown as far as it is.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Directories of runs, of any command that trains, or of sweeps. (default: none;
    at least one)"""
    out: Path = Path("report.html")
    """The page."""
    overwrite: bool = False
    """Replace the page if there is one."""


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

# By the command that trains: the class of its options. config.json names the command as
# its "task"; one without is of `jrnn train`.
TRAINING: dict[str, type[TrainingOptions]] = {
    "train": Train,
    "classify": Classify,
    "label": Label,
    "translate": Translate,
    "forecast": Forecast,
}
