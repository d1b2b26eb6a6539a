"""The chart: how many times as long as jrnn each contender takes, on a log scale."""

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from experiments.benchmark.record import JRNN, SUMMARISED, ratios_of, summary

SLOWER, FASTER = "#0072b2", "#d55e00"  # than jrnn; told apart by the colour-blind


def chart(workloads: dict) -> plt.Figure:
    """A bar for each contender's geometric mean, and a dot for each of its cases."""
    bars = {
        name: s["geometric_mean"]
        for name, s in summary(workloads).items()
        if not name.startswith(("fastest", JRNN))
    }
    names = sorted(bars, key=bars.get)
    dots = all_ratios(workloads)
    height = 1.3 + 0.3 * len(names)
    figure, axes = plt.subplots(figsize=(7.5, height), layout="constrained")
    for row, name in enumerate(names):
        color = SLOWER if bars[name] >= 1 else FASTER
        axes.barh(row, bars[name] - 1, left=1, color=color, height=0.6)
        axes.plot(dots[name], [row] * len(dots[name]), "k|", markersize=7, alpha=0.6)
        place = max(1, *dots[name])
        axes.annotate(
            f"{bars[name]:.3g}", (place, row), (5, 0), textcoords="offset points",
            va="center", fontsize=9,
        )  # fmt: skip
    decorate(axes, names, dots)
    return figure


def all_ratios(workloads: dict) -> dict[str, list[float]]:
    dots: dict[str, list[float]] = {}
    for workload in SUMMARISED:
        for case in workloads.get(workload, {}).get("cases", []):
            for name, ratio in ratios_of(case).items():
                dots.setdefault(name, []).append(ratio)
    return dots


def decorate(axes, names, dots) -> None:
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    values = [v for name in names for v in dots[name]] + [1.0]
    axes.set_xlim(min(values) / 1.15, max(values) * 1.5)
    ticks = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
    axes.set_xticks([t for t in ticks if min(values) / 1.1 <= t <= max(values) * 1.3])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(
        f"time of loss and gradient, as a multiple of {JRNN}'s\n"
        "bar: geometric mean over W1 to W4, mark: one case; above 1, jrnn is faster"
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
