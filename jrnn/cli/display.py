"""What a run shows: progress, tables, the loss plot."""

import json
import math
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

BITS = 1 / math.log(2)
UNITS = {"char": "characters", "byte": "bytes", "word": "words"}


class Display:
    """Progress of a run: a live bar in a terminal, plain lines anywhere else."""

    def __init__(self, steps: int, done: int, tokens_per_step: int, unit: str):
        self.console = Console(highlight=False)
        self.live = self.console.is_terminal
        self.steps, self.tokens_per_step, self.unit = steps, tokens_per_step, unit
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            disable=not self.live,
        )
        self.task = self.progress.add_task(
            "start", total=steps, completed=done, numbers=""
        )
        self.started, self.first, self.ended = time.monotonic(), done, None

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *_):
        self.ended = time.monotonic()
        self.progress.stop()

    def say(self, message: str) -> None:
        """One line that stays."""
        self.console.print(Text(message), soft_wrap=not self.live)

    def phase(self, name: str) -> None:
        """What is being done now: compile, train, evaluate, sample, save."""
        self.progress.update(self.task, description=f"{name:<8}")
        if not self.live and name not in ("train", "save"):
            self.say(f"{name} ...")

    def restart_clock(self, step: int) -> None:
        """Count speed from here: after compiling."""
        self.started, self.first = time.monotonic(), step
        self.progress.reset(self.task, total=self.steps, completed=step)

    def advance(self, step: int) -> None:
        """The number of steps made."""
        self.progress.update(self.task, completed=step)

    def numbers(self, step: int, loss: float) -> None:
        """Loss and speed; a line of its own where there is no terminal."""
        speed = self.speed(step)
        left = (self.steps - step) * self.tokens_per_step / max(speed, 1e-9)
        text = f"loss {loss:.3f} {bits_name(self.unit)} {loss * BITS:.3f}"
        self.progress.update(
            self.task, numbers=f"{text} {short(speed)} {self.unit[0]}/s"
        )
        if not self.live:
            self.say(
                f"step {step}/{self.steps}  {text}  {short(speed)} {self.unit}/s  "
                f"{duration(left)} left"
            )

    def speed(self, step: int) -> float:
        """Tokens a second since the clock was started."""
        return (step - self.first) * self.tokens_per_step / max(self.elapsed(), 1e-9)

    def elapsed(self) -> float:
        """Seconds since the clock was started; stands still once the run is over."""
        return (self.ended or time.monotonic()) - self.started


def bits_name(unit: str) -> str:
    """Name of the loss in bits: bpc for characters."""
    return {"characters": "bpc", "bytes": "bits/byte", "words": "bits/word"}[unit]


def short(number: float) -> str:
    """A number in three digits and a unit: 12.3k."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{suffix}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """A time as people say it: 1h02m, 3m20s, 12s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def two_columns(title: str, rows: list[tuple[str, str]]) -> Table:
    """A small table of names and values."""
    table = Table(title=title, title_justify="left", show_header=False, min_width=40)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def losses(nats: float) -> str:
    """A loss in nats and in bits, with its perplexity."""
    perplexity = math.exp(min(nats, 700.0))
    return f"{nats:.4f} nats, {nats * BITS:.4f} bits, perplexity {perplexity:.3f}"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def plot_losses(metrics: list[dict[str, Any]], vocab_size: int, path: Path) -> None:
    """Draw training and validation loss over steps into a PNG file."""
    # imported late: it takes longer than everything else the command needs
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    train = [(m["step"], m["loss"]) for m in metrics if "loss" in m]
    valid = [(m["step"], m["valid_loss"]) for m in metrics if "valid_loss" in m]
    if train:
        axes.plot(*zip(*train, strict=True), color="#0072B2", lw=1.2, label="training")
    if valid:
        axes.plot(
            *zip(*valid, strict=True),
            "o-",
            color="#D55E00",
            ms=4,
            lw=1.2,
            label="validation",
        )
        step, best = min(valid, key=lambda pair: pair[1])
        axes.annotate(
            f"{best:.3f} nats",
            (step, best),
            xytext=(0, -14),
            textcoords="offset points",
            ha="right",
            color="#D55E00",
        )
    uniform = math.log(vocab_size)
    axes.axhline(uniform, color="0.6", ls=":", lw=1, label=f"uniform, ln {vocab_size}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    lowest = min([loss for _, loss in train + valid], default=0.0)
    axes.set_ylim(max(0.0, lowest - 0.25), uniform * 1.05)
    right = axes.secondary_yaxis(
        "right", functions=(lambda n: n * BITS, lambda b: b / BITS)
    )
    right.set_ylabel("bits per token")
    axes.legend(frameon=False)
    axes.spines["top"].set_visible(False)
    figure.savefig(path, dpi=130)
