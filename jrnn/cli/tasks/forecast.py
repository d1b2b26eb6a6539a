"""`jrnn forecast`: what comes next in series of numbers."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from jrnn.cli.errors import UserError
from jrnn.cli.forecast_options import Forecast
from jrnn.cli.tasks import outlook, upcoming
from jrnn.cli.tasks.examples import Command, Examples
from jrnn.cli.tasks.files import find
from jrnn.cli.tasks.observed import (
    columns_of,
    in_parts,
    known_of,
    read_series,
    target_scaling,
)
from jrnn.cli.tasks.settled import settle_for
from jrnn.cli.workflow import Figures, Guess
from jrnn.data import Dataset
from jrnn.tasks import Task, calibrated, feed_back, forecasting, margins
from jrnn.tasks.baselines import last_season
from jrnn.tasks.sizes import defaults

PARTS = "training", "validation", "test"
PASSES, LEAST_STEPS = 15, 200
FEW = 10  # forecasts that do not overlap


def _read(config: Forecast, known: dict | None, content: bytes | None) -> Examples:
    found = find(config.files, content)
    observed = read_series(config, found, known)
    if known is None:
        known = known_of(config, observed)
    parts = in_parts(config, known, observed)
    for name, share, part in zip(PARTS, config.split, parts, strict=True):
        if share and not len(part.inputs):
            raise UserError(
                f"{found.source}: all that would be forecast in the {name} part is "
                "missing.\nChoose other shares by --split."
            )
    train, valid, test = parts
    return Examples(
        train,
        valid,
        test,
        source=found.source,
        sha256=found.sha256,
        files=found.files,
        known=known,
        kept=found.content,
    )


def _settle(config: Forecast, data: Examples) -> Forecast:
    """Windows overlap: there is as much to learn from as lies side by side.

    Of few windows not even the least number of steps that suits other tasks is made:
    they would be known by heart, at most 15 passes are.
    """
    known, windows = data.known, len(data.train.inputs)
    apart = min(windows, -(-known["steps"] // (known["context"] + config.horizon)))
    suggested = defaults(apart)
    if not config.steps:
        batch = config.batch_size or suggested.batch_size
        steps = max(1, suggested.steps * suggested.batch_size // batch)
        most = max(LEAST_STEPS, PASSES * windows // batch)
        config = dataclasses.replace(config, steps=min(steps, most))
    config = settle_for(config, apart)
    centre = "yes" if known["centre"] else "no"
    return dataclasses.replace(config, context=known["context"], centre=centre)


# The task


def _task(config: Forecast, known: dict[str, Any]) -> Task:
    of = len(known["features"]) + len(known["indicators"]), columns_of(known)
    options: dict[str, Any] = {
        "quantiles": config.quantiles,
        "cell": config.cell,
        "hidden_size": config.hidden_size,
        "layers": config.layers,
        "dropout": config.dropout,
        "season": config.season,
        "centre": known["centre"],
        "drift": known["drift"],
        "spread": 1.0 if known["spread"] is None else known["spread"],
        "unit": target_scaling(known).std,
    }
    if config.feedback:  # one step is learned, all of them are measured
        task = feed_back(*of, config.horizon, **options)
        task = task._replace(loss=forecasting(*of, 1, **options).loss)
    else:
        task = forecasting(*of, config.horizon, **options)
    if _banded(known):
        task = calibrated(task, config.horizon, len(of[1]), config.quantiles)
    return _compared(task, known)


def _banded(known: dict[str, Any]) -> bool:
    """Whether there is a band, and not one quantile alone."""
    return len(known["quantiles"]) > 1


def _compared(task: Task, known: dict[str, Any]) -> Task:
    """The same with figures of each target, and with the errors of naive forecasts."""
    columns, N = np.array(columns_of(known)), known["horizon"]
    names = outlook.naive_names(known)

    def naive(batch, season: int):  # (B, N, K), see `baselines.last_season`
        n = np.arange(1, N + 1)
        back = season * -(-n // season) - n + 1
        at = jnp.maximum(jnp.asarray(batch.lengths)[:, None] - back, 0)
        ys = jnp.asarray(batch.inputs)[..., columns]
        return jnp.take_along_axis(ys, at[..., None], axis=1)

    def sums(params, batch):
        ys = jnp.asarray(batch.targets)[:, :N]
        counts = jnp.asarray(batch.real)[:, None, None] & ~jnp.isnan(ys)
        found = dict(task.sums(params, batch))
        for season, name in names.items():
            off = jnp.abs(ys - naive(batch, season))
            found[name] = jnp.where(counts, off, jnp.zeros_like(off)).sum(axis=0)
        return found

    def figures(sums):
        own = {name: s for name, s in sums.items() if name not in names.values()}
        return outlook.by_target(task.figures(own), sums, known)

    return task._replace(sums=sums, figures=figures)


# Measuring


def _kept(known: dict[str, Any], params: Any, answers: Any, valid: Dataset) -> Any:
    """The weights with the band moved to where it holds its share of a part."""
    if not _banded(known):
        return params
    targets = np.stack([*valid.targets])
    return params._replace(margins=margins(answers, targets, known["quantiles"]))


def _guess(data: Examples) -> Guess:
    """The loss of the last value with the band of its own misses."""
    of, q = columns_of(data.known), data.known["quantiles"]
    figures = last_season(data.train, data.train, of, quantiles=q)
    return Guess(figures["pinball"], "the last value")


def _baselines(config: Forecast, data: Examples) -> dict[str, Figures]:
    if data.part("test") is None:
        return {}
    known, unit = data.known, target_scaling(data.known).std
    found: dict[str, Figures] = {}
    for season, name in outlook.naive_names(known).items():
        options = {"season": season, "quantiles": config.quantiles}
        each = [
            last_season(*_of_target(data, k), **options, unit=unit[k])
            for k in range(len(unit))
        ]
        found[name] = outlook.of_naive(each, known)
    first = found["last value"]["targets"]
    for figures in found.values():
        figures["relative_error"] = outlook.relative_error(figures["targets"], first)
    return found


def _of_target(data: Examples, k: int) -> tuple[Dataset, Dataset, tuple[int]]:
    """Training and test part with target k alone, and its column."""

    def alone(part: Dataset) -> Dataset:
        ys = part.targets.values[:, k : k + 1]
        return part._replace(targets=dataclasses.replace(part.targets, values=ys))

    return alone(data.train), alone(data.test), (columns_of(data.known)[k],)


def _cautions(config: Forecast, sizes: tuple[int, int, int]) -> list[str]:
    apart = {
        name: (n - 1) // config.horizon + 1
        for name, n in zip(PARTS[1:], sizes[1:], strict=True)
        if n
    }
    few = [f"{n} for {name}" for name, n in apart.items() if n < FEW]
    if not few:
        return []
    return [
        f"Caution: of forecasts that do not overlap there are only {' and '.join(few)}:"
        " errors of so few can be far from those of others."
    ]


def _about(data: Examples) -> list[str]:
    known = data.known
    series = f"{known['series']:,} series" if known["series"] > 1 else "One series"
    lines = [
        f"{series}, split by time: {known['context']} steps are read, and "
        f"{known['horizon']} forecast of {', '.join(known['targets'])}."
    ]
    if known["left_out"]:
        lines.append(
            f"Caution: {known['left_out']:,} of them are too short for such a window "
            "in the training part, and are not learned from."
        )
    if known["centre"]:
        lines.append("Targets are read relative to their last value.")
    if known["drift"]:
        lines.append(
            "A season is forecast from the last one and what that one has added."
        )
    if _banded(known) and data.part("valid"):
        lines.append(
            "At the end the band is widened by what the validation part shows it to "
            "miss."
        )
    return lines


FORECAST = Command(
    name="forecast",
    read=_read,
    settle=_settle,
    task=_task,
    guess=_guess,
    baselines=_baselines,
    curves=("mean_absolute_error", "relative_error", "coverage"),
    shown=outlook.shown,
    about=_about,
    told=outlook.told,
    unit="windows",
    kept=_kept,
    details=outlook.tables,
    draw=outlook.draw,
    cautions=_cautions,
    rows=upcoming.rows,
)
