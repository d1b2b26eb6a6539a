"""The figures of a sweep: each hyperparameter, pairs of them, and the course."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jrnn.cli.plot import save_figure, silent_matplotlib
from jrnn.cli.sweep.options import NUMBERS, SIZES
from jrnn.cli.sweep.training import Swept, measured_at
from jrnn.sweep import Run, ranking
from jrnn.sweep.runs import last

COURSE = "valid_loss"
WORDS = {
    "valid_loss": "validation loss at the end, nats",
    "best_loss": "lowest validation loss",
}
BEST = {"valid_loss": "best validation loss, nats", "best_loss": "best validation loss"}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


def draw(runs: list[Run], names: list[str], swept: Swept, folder: Path) -> list[Path]:
    """Write the figures that these runs can fill; returns their paths."""
    done = [run for run in runs if run.status == "done"]
    judged, made = swept.workflow.judged, []
    with silent_matplotlib():
        if done and names:
            made.append(_save(marginals(done, names, judged), folder / "marginals.png"))
        if done:
            made.append(_save(curves(done, names, swept), folder / "curves.png"))
        pair = _pair(done, names)
        if pair:
            made.append(_save(heat_map(runs, *pair, judged), folder / "heat_map.png"))
    return made


def marginals(runs: list[Run], names: list[str], judged: str):
    """The loss that counts against each hyperparameter, the others as they come."""
    figure, axes = _figure(len(names), 3.2)
    for ax, name in zip(axes, names, strict=True):
        values = [run.config[name] for run in runs]
        losses = [last(run.metrics[judged]) for run in runs]
        if name not in NUMBERS:
            kinds = list(dict.fromkeys(values))
            x = np.array([kinds.index(v) for v in values], float)
            ax.set_xticks(range(len(kinds)), [str(kind) for kind in kinds])
            ax.set_xlim(-0.5, len(kinds) - 0.5)
        else:
            x = np.array(values, float)
            if min(x) > 0 and max(x) > 5 * min(x):
                ax.set_xscale("log")
            if len(few := sorted(set(values))) <= 8:
                ax.set_xticks(few, [_short(v) for v in few])
                ax.minorticks_off()
        ax.plot(x, losses, "o", ms=4, color=COLOURS[0], alpha=0.5)
        best = [
            min(v for v, u in zip(losses, x, strict=True) if u == p)
            for p in sorted(set(x))
        ]
        if len(best) < len(x) / 2:
            ax.plot(sorted(set(x)), best, "-", lw=1, color=COLOURS[1], label="best")
            ax.legend(frameon=False, fontsize=8)
        ax.set_xlabel(name.replace("_", " "))
    axes[0].set_ylabel(WORDS[judged])
    return figure


def curves(runs: list[Run], names: list[str], swept: Swept):
    """Validation loss over steps of the best configurations, with spread over seeds."""
    figure, (ax,) = _figure(1, 5.5)
    judged = swept.workflow.judged
    best = ranking(runs, judged)[: len(COLOURS)]
    for row, colour in zip(best, COLOURS, strict=False):
        steps = measured_at(swept.options(row.config))
        of_row = [r.metrics[COURSE] for r in runs if r.config == row.config]
        courses = np.array(of_row)
        label = (
            ", ".join(f"{_short(row.config[name])}" for name in names) or "all alike"
        )
        ax.plot(steps, courses.mean(0), "o-", ms=3, color=colour, label=label)
        if len(courses) > 1:
            ax.fill_between(
                steps, courses.min(0), courses.max(0), color=colour, alpha=0.2
            )
    unit = ", nats" if judged == COURSE else ""
    ax.set(xlabel="step", ylabel=f"validation loss{unit}")
    title = ", ".join(name.replace("_", " ") for name in names)
    ax.legend(title=title, frameon=False, fontsize=8, title_fontsize=8)
    return figure


def heat_map(runs: list[Run], across: str, up: str, judged: str):
    """Best mean loss over seeds for each pair of values; a cross where all diverged."""
    rows = ranking(runs, judged)
    xs = sorted({row.config[across] for row in rows})
    ys = sorted({row.config[up] for row in rows})
    best = np.full((len(ys), len(xs)), np.inf)
    for row in rows:
        place = ys.index(row.config[up]), xs.index(row.config[across])
        if not row.failed:
            best[place] = min(best[place], row.mean)
    figure, (ax,) = _figure(1, 5.5)
    shown = np.ma.masked_invalid(best)
    image = ax.imshow(shown, origin="lower", aspect="auto", cmap="viridis_r")
    for (i, j), value in np.ndenumerate(best):
        text = f"{value:.2f}" if math.isfinite(value) else "x"
        dark = math.isfinite(value) and image.norm(value) > 0.5
        ax.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            color="white" if dark else "black",
            fontsize=8,
        )
    ax.set_xticks(range(len(xs)), [_short(x) for x in xs])
    ax.set_yticks(range(len(ys)), [_short(y) for y in ys])
    ax.set(xlabel=across.replace("_", " "), ylabel=up.replace("_", " "))
    figure.colorbar(image, label=BEST[judged])
    return figure


def _pair(runs: Sequence[Run], names: list[str]) -> tuple[str, str] | None:
    """The two numbers with most values, if each has few enough to be a grid."""
    counts = {
        n: len({run.config[n] for run in runs}) for n in names if n in NUMBERS + SIZES
    }
    grids = sorted(
        (n for n in counts if 2 <= counts[n] <= 16), key=lambda n: -counts[n]
    )
    return (grids[0], grids[1]) if len(grids) > 1 else None


def _short(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _figure(number: int, width: float):
    # imported late, and without pyplot: nothing global is changed
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * number, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, number, sharey=True, squeeze=False)[0])


def _save(figure, path: Path) -> Path:
    save_figure(figure, path, dpi=110)
    return path
