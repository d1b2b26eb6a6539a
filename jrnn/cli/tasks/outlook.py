"""What is said and drawn of forecasts, in the units of the data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jrnn.cli.plot import save_figure, silent_matplotlib
from jrnn.cli.tasks.examples import Tested
from jrnn.cli.tasks.observed import columns_of, target_scaling
from jrnn.cli.workflow import Figures
from jrnn.data import Dataset, unscale
from jrnn.tasks.metrics import middle

MIXED = "mean_absolute_error", "root_mean_squared_error", "pinball"  # of several units
ROWS = 12  # of a table
DRAWN = 240  # steps
PANELS = 6


def naive_names(known: dict[str, Any]) -> dict[int, str]:
    """The forecasts that a network is compared with, by their seasons."""
    seasons = {1: "last value"}
    if known["season"] > 1:
        seasons[known["season"]] = "last season"
    return seasons


# Figures


def by_target(figures: Figures, sums: Mapping[str, Any], known: dict) -> Figures:
    """The figures of a task and, of each target, errors and coverage by horizon.

    "relative_error" is the error over that of the last value, a mean over targets. What
    would be a mean over several units is left out.
    """
    unit, names = target_scaling(known).std, known["targets"]
    counts = np.asarray(sums["counts"], float)  # (N, K)
    errors = {"": np.asarray(sums["absolute"], float) * unit}
    for name in naive_names(known).values():
        errors[f"{name} "] = np.asarray(sums[name], float) * unit
    targets: dict[str, dict[str, Any]] = {name: {} for name in names}
    for k, name in enumerate(names):
        of, n = targets[name], counts[:, k]
        for who, total in errors.items():
            _add(of, f"{who}mean_absolute_error", total[:, k], n)
        _add(of, "coverage", np.asarray(sums["inside"], float)[:, k], n)
    naive = {
        name: {"mean_absolute_error": of["last value mean_absolute_error"]}
        for name, of in targets.items()
    }
    if len(names) > 1:
        figures = {k: v for k, v in figures.items() if not k.startswith(MIXED)}
    return {
        **figures,
        "relative_error": relative_error(targets, naive),
        "targets": targets,
    }


def of_naive(each: Sequence[Figures], known: dict[str, Any]) -> Figures:
    """Figures of a naive forecast, of those of each target."""
    errors = [float(figures["mean_absolute_error"]) for figures in each]
    found: Figures = {
        "coverage": float(np.mean([figures["coverage"] for figures in each])),
        "targets": {
            name: {"mean_absolute_error": error}
            for name, error in zip(known["targets"], errors, strict=True)
        },
    }
    return found | ({"mean_absolute_error": errors[0]} if len(errors) == 1 else {})


def relative_error(targets: dict[str, Any], naive: dict[str, Any]) -> float | None:
    """The mean over targets of the error over that of the last value."""
    pairs = [
        (targets[name]["mean_absolute_error"], naive[name]["mean_absolute_error"])
        for name in targets
    ]
    if not all(last > 0 for _, last in pairs):
        return None
    return float(np.mean([error / last for error, last in pairs]))


def _add(of: dict[str, Any], name: str, total: np.ndarray, n: np.ndarray) -> None:
    of[name] = float(total.sum() / n.sum()) if n.sum() else float("nan")
    each = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
    of[f"{name}_by_horizon"] = each.tolist()


# Words


def shown(figures: Figures) -> str:
    """Figures in one line."""
    words, targets = [], figures.get("targets") or {}
    if figures.get("loss") is not None:
        words.append(f"loss {figures['loss']:.4f}")
    if figures.get("mean_absolute_error") is not None:
        words.append(f"off by {_number(figures['mean_absolute_error'])}")
    elif len(targets) > 1:
        errors = {name: of["mean_absolute_error"] for name, of in targets.items()}
        off = ", ".join(f"{name} by {_number(e)}" for name, e in errors.items())
        words.append(f"off: {off}")
    if figures.get("relative_error") is not None:
        words.append(f"error {figures['relative_error']:.2f} of the last value's")
    if figures.get("coverage") is not None:
        words.append(f"{100 * figures['coverage']:.0f} % in the band")
    return ", ".join(words)


def tables(known: dict[str, Any], figures: Figures) -> list[str]:
    """A table for each target: errors by horizon, beside those of naive forecasts."""
    more = len(known["targets"]) - PANELS
    said = [
        _table(known, name, figures["targets"][name])
        for name in known["targets"][:PANELS]
    ]
    return said + ([f"Tables of {more} more targets are left out."] if more > 0 else [])


def _table(known: dict[str, Any], name: str, of: dict[str, Any]) -> str:
    q, naives = known["quantiles"], list(naive_names(known).values())
    what = "mean_absolute_error"
    heads = ["steps ahead", "network", *naives]
    columns = [of[f"{what}_by_horizon"]]
    columns += [of[f"{naive} {what}_by_horizon"] for naive in naives]
    total = [of[what], *(of[f"{naive} {what}"] for naive in naives)]
    band = len(q) > 1
    if band:
        heads.append(f"in the band ({100 * (q[-1] - q[0]):.0f} %)")
    N = known["horizon"]
    shown = np.unique(np.rint(np.linspace(1, N, min(N, ROWS))).astype(int))
    lines = []
    for n in [*shown.tolist(), None]:
        errors = total if n is None else [column[n - 1] for column in columns]
        row = ["all" if n is None else str(n), *map(_number, errors)]
        if band:
            inside = of["coverage"] if n is None else of["coverage_by_horizon"][n - 1]
            row.append("-" if inside is None else f"{100 * inside:.0f} %")
        lines.append(row)
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    written = [
        "  ".join(f"{entry:>{w}}" for entry, w in zip(row, widths, strict=True))
        for row in [heads, *lines]
    ]
    return "\n".join([f"Mean absolute error of {name}:", *written])


def told(known: dict[str, Any], dataset: Dataset, answers: Any) -> list[str]:
    """Some forecasts of the first target, of the last step."""
    forecasts = unscale_quantiles(known, answers)
    truth = unscale(target_scaling(known), np.stack([*dataset.targets]))
    m, n, lines = middle(known["quantiles"]), known["horizon"], []
    for f, y in zip(forecasts[:, -1, 0], truth[:, -1, 0], strict=True):
        band = ""
        if len(known["quantiles"]) > 1:
            band = f" ({_number(f[0])} to {_number(f[-1])})"
        true = "missing" if np.isnan(y) else _number(y)
        what = f"{known['targets'][0]} {n} step{'s' * (n > 1)} ahead"
        lines.append(f"{what}: {_number(f[m])}{band}, true {true}")
    return lines


def unscale_quantiles(known: dict[str, Any], answers: Any) -> np.ndarray:
    """Answers (B, N, K, Q) in the units of the data."""
    scaling = target_scaling(known)
    return np.moveaxis(unscale(scaling, np.moveaxis(answers, -2, -1)), -1, -2)


def _number(x: float | None) -> str:
    """At least four digits; all of those before the point."""
    if x is None or not np.isfinite(x):
        return "-"
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"


# Picture


def draw(tested: Tested, path: Path) -> None:
    """Forecasts of the test part, one behind the other, against what came."""
    known, dataset = tested.known, tested.dataset
    chosen = _behind_each_other(dataset, known["horizon"])
    forecasts = unscale_quantiles(known, np.asarray(tested.answers)[chosen])
    scaling, names = target_scaling(known), known["targets"][:PANELS]
    truth = unscale(scaling, dataset.targets.values)
    naive = unscale(scaling, _naive(known, dataset, chosen))
    starts = dataset.targets.starts[chosen]
    first = int(dataset.targets.starts[0]) - 1
    begin = int(starts[0]) - min(known["context"], DRAWN // 4)
    steps = np.arange(begin, int(starts[-1]) + known["horizon"])
    with silent_matplotlib():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 0.8 + 2.6 * len(names)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(names), sharex=True, squeeze=False)[:, 0]
        for k, (axes, name) in enumerate(zip(panels, names, strict=True)):
            axes.plot(steps - first, truth[steps, k], color="black", lw=1.2)
            _draw_forecasts(axes, known, starts - first, forecasts[:, :, k])
            _draw_naive(axes, starts - first, naive[:, :, k])
            axes.set_title(name, fontsize=10, loc="left", parse_math=False)
            axes.spines[["top", "right"]].set_visible(False)
        panels[-1].set_xlabel("step of the test part")
        panels[-1].xaxis.get_major_locator().set_params(integer=True)
        _legend(figure, known)
        save_figure(figure, path, dpi=130)


def _behind_each_other(dataset: Dataset, horizon: int) -> np.ndarray:
    """Windows of the first series whose forecasts meet but do not overlap."""
    starts = dataset.targets.starts
    apart = np.flatnonzero(np.diff(starts) > horizon + dataset.inputs.lengths[0])
    last = apart[0] if len(apart) else len(starts) - 1
    chosen, at = [], last
    while at >= 0 and starts[at] > starts[last] - DRAWN:
        chosen.append(at)
        at = int(np.searchsorted(starts[: last + 1], starts[at] - horizon, "right")) - 1
    return np.array(chosen[::-1])


def _naive(known: dict[str, Any], dataset: Dataset, chosen: np.ndarray) -> np.ndarray:
    """Forecasts (n, N, K) of the last season, or of the last value."""
    p, n = max(naive_names(known)), np.arange(1, known["horizon"] + 1)
    back = p * -(-n // p) - n + 1
    at = dataset.targets.starts[chosen][:, None] - back
    return dataset.inputs.values[at][..., list(columns_of(known))]


def _draw_forecasts(axes, known, starts: np.ndarray, forecasts: np.ndarray) -> None:
    m = middle(known["quantiles"])
    for start, f in _pieces(starts, forecasts):
        n = start + np.arange(len(f))
        if f.shape[1] > 1:
            half = 0.5 if len(n) == 1 else 0.0  # one step is seen as wide as it is
            x = np.array([n[0] - half, n[0] + half]) if half else n
            low, high = (np.broadcast_to(f[:, j], x.shape) for j in (0, -1))
            axes.fill_between(x, low, high, color="#0072B2", alpha=0.2, lw=0)
        axes.plot(n, f[:, m], "o-", ms=2.5, lw=1.2, color="#0072B2")


def _draw_naive(axes, starts: np.ndarray, naive: np.ndarray) -> None:
    for start, f in _pieces(starts, naive):
        n = start + np.arange(len(f))
        axes.plot(n, f, "--", lw=1.0, color="#D55E00")


def _pieces(starts: np.ndarray, forecasts: np.ndarray):
    """Forecasts of several steps one by one; of a single step all that meet as one."""
    if forecasts.shape[1] > 1:
        return list(zip(starts, forecasts, strict=True))
    breaks = np.flatnonzero(np.diff(starts) != 1) + 1
    parts = zip(
        np.split(starts, breaks), np.split(forecasts[:, 0], breaks), strict=True
    )
    return [(start[0], f) for start, f in parts]


def _legend(figure, known: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    q = known["quantiles"]
    entries: list[Any] = [
        Line2D([], [], color="black", lw=1.2, label="what came"),
        Line2D([], [], color="#0072B2", marker="o", ms=2.5, label="forecast"),
    ]
    if len(q) > 1:
        label = f"from quantile {q[0]:g} to {q[-1]:g}"
        entries.append(Patch(color="#0072B2", alpha=0.2, lw=0, label=label))
    name = naive_names(known)[max(naive_names(known))]
    entries.append(Line2D([], [], ls="--", lw=1, color="#D55E00", label=name))
    figure.legend(
        handles=entries, loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
