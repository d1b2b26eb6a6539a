"""What a run shows: progress and tables."""

import math
import time

import rich.console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from jrnn.cli.results import BITS

UNITS = {"char": "characters", "byte": "bytes", "word": "words"}
BITS_NAMES = {"characters": "bpc", "bytes": "bits/byte", "words": "bits/word"}
KNOWN_AFTER = 10  # steps: from fewer, the time that is left cannot be told


class Console(rich.console.Console):
    """Rich's console, but a closed pipe ends the program as one, with exit code 141."""

    def on_broken_pipe(self) -> None:
        """Raise what rich turns into exit code 1."""
        raise BrokenPipeError


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
            TextColumn("{task.fields[left]}"),
            console=self.console,
            disable=not self.live,
        )
        self.task = self.progress.add_task(
            "start", total=steps, completed=done, numbers="", left=""
        )
        self.done = done
        self.started, self.first, self.ended = time.monotonic(), done, None
        self.before = 0.0

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *_):
        self.ended = time.monotonic()
        if self.done == self.steps:
            self.progress.update(self.task, description="trained ", left="")
        self.progress.stop()

    def say(self, message: str) -> None:
        """One line that stays."""
        self.console.print(Text(message), soft_wrap=not self.live)

    def phase(self, name: str) -> None:
        """What is being done now: compile, train, evaluate, sample, save."""
        self.progress.update(self.task, description=f"{name:<8}")
        if not self.live and name not in ("train", "save"):
            self.say(f"{name} ...")

    def restart_clock(self, step: int, before: float = 0.0) -> None:
        """Count speed from here, after compiling; `before`: seconds until then."""
        self.started, self.first, self.before = time.monotonic(), step, before

    def finished(self, step: int) -> None:
        """The number of steps whose results are there."""
        self.done = step
        left = self.left()
        shown = "" if not left else f"{left} left"
        self.progress.update(self.task, completed=step, left=shown)

    def numbers(self, step: int, loss: float) -> None:
        """Loss and speed; a line of its own where there is no terminal."""
        speed = short(self.speed(step))
        text = f"loss {loss:.3f}"
        if self.unit in BITS_NAMES:
            text += f" {bits_name(self.unit)} {loss * BITS:.3f}"
        self.progress.update(self.task, numbers=f"{text} {speed} {self.unit[0]}/s")
        if not self.live:
            left = self.left()
            self.say(
                f"step {step}/{self.steps}  {text}  {speed} {self.unit}/s"
                + (f"  {left} left" if left else "")
            )

    def left(self) -> str | None:
        """The time that is left, at the speed until now; None if that is not known."""
        made = self.done - self.first
        if made < min(KNOWN_AFTER, self.steps - self.first):
            return None
        return duration(self.elapsed() / made * (self.steps - self.done))

    def speed(self, step: int) -> float:
        """Tokens a second since the clock was started."""
        return (step - self.first) * self.tokens_per_step / max(self.elapsed(), 1e-9)

    def elapsed(self) -> float:
        """Seconds since the clock was started; stands still once the run is over."""
        return (self.ended or time.monotonic()) - self.started


def bits_name(unit: str) -> str:
    """Name of the loss in bits: bpc for characters."""
    return BITS_NAMES[unit]


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
    return f"{nats:.4f} nats, {nats * BITS:.4f} bits, perplexity {perplexity(nats)}"


def perplexity(nats: float) -> str:
    """The perplexity e^L as people read it, however large."""
    if nats > 700:  # beyond what a floating-point number holds
        return "over 1e304"
    value = math.exp(nats)
    return f"{value:.3f}" if value < 1e6 else f"{value:.1e}"
