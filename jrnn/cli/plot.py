"""The plot of the loss, and figures without a word of matplotlib's."""

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jrnn.cli.results import BITS
from jrnn.train.checkpoint import write_atomically


def plot_losses(
    metrics: list[dict[str, Any]], vocab_size: int, title: str, path: Path
) -> None:
    """Draw training and validation loss over steps into a PNG file."""
    with silent_matplotlib():
        figure, axes = _axes(title)
        uniform, label = math.log(vocab_size), f"uniform, ln {vocab_size}"
        _draw_losses(figure, axes, metrics, uniform, label, unit=" nats")
        save_figure(figure, path, dpi=130)


def plot_task(
    metrics: list[dict[str, Any]], guess: float, label: str, title: str, path: Path
) -> None:
    """The same of a task whose loss is no count of bits.

    Args:
        metrics: lines of metrics.jsonl.
        guess: the loss of what is known without learning.
        label: what that is, such as "a uniform guess".
        title: above the axes.
        path: of the PNG file.
    """
    with silent_matplotlib():
        figure, axes = _plain_axes(title, "loss")
        _draw_losses(figure, axes, metrics, guess, label, unit="")
        save_figure(figure, path, dpi=130)


def _plain_axes(title: str, label: str):
    # imported late: it takes longer than everything else the command needs
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.spines["top"].set_visible(False)
    return figure, axes


def _axes(title: str):
    """With a second scale for bits."""
    figure, axes = _plain_axes(title, "loss (nats per token)")
    right = axes.secondary_yaxis(
        "right",
        functions=(lambda n: np.multiply(n, BITS), lambda b: np.divide(b, BITS)),
    )
    right.set_ylabel("bits per token")
    return figure, axes


def _draw_losses(figure, axes, metrics, guess: float, label: str, unit: str) -> None:
    """Both curves, the line of a guess, and below the axes what is which."""
    train, valid = _curve(metrics, "loss"), _curve(metrics, "valid_loss")
    _draw(axes, train, "-", color="#0072B2", label="training")
    if valid:
        step, best = min(valid, key=lambda pair: pair[1])
        best_label = f"validation, best {best:.3f}{unit} at step {step}"
        _draw(axes, valid, "o-", color="#D55E00", label=best_label)
    axes.axhline(guess, color="0.6", ls=":", lw=1, label=label)
    axes.set_ylim(*_limits([loss for _, loss in train + valid], guess))
    # where it can lie on no curve
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _curve(metrics: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """The points of a curve that can be drawn."""
    points = [(m["step"], m[name]) for m in metrics if name in m]
    return [(step, y) for step, y in points if math.isfinite(y) and abs(y) < 1e6]


def _draw(axes, points: list[tuple[int, float]], style: str, **how: Any) -> None:
    if not points:
        return
    style = "o" if len(points) == 1 else style  # a line of one point is none
    axes.plot(*zip(*points, strict=True), style, ms=4, lw=1.2, **how)


def _limits(losses: list[float], uniform: float) -> tuple[float, float]:
    """From a little below the curves to a little above them and a uniform guess."""
    low, high = min(losses, default=0.0), max(losses, default=0.0)
    top = max(uniform, min(high, 4 * max(1.0, uniform))) * 1.05
    bottom = max(0.0, min(low, uniform) - 0.25)
    return bottom, max(top, bottom + 0.1)


def save_figure(figure, path: Path, dpi: int) -> None:
    """Write a figure as PNG, whole or not at all."""
    image = io.BytesIO()
    with silent_matplotlib():
        figure.savefig(image, format="png", dpi=dpi)
    write_atomically(path, image.getvalue())


@contextlib.contextmanager
def silent_matplotlib() -> Iterator[None]:
    """Keep what matplotlib warns of, such as a glyph that no font has, to itself."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
