"""What a page shows of a run, from its directory, as JSON can hold it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jrnn.cli.errors import UserError
from jrnn.cli.options import TrainingOptions, fields_of, option
from jrnn.cli.report.curves import curves
from jrnn.cli.report.samples import read_samples
from jrnn.cli.results import read_results
from jrnn.cli.run import RunDirectory, read_config
from jrnn.cli.stored import is_number, read_metrics
from jrnn.cli.tasks import workflow_of
from jrnn.cli.times import read_times
from jrnn.cli.workflow import Workflow

Figures = dict[str, float | None]
BY_SEED = "classify", "label", "translate"  # what they hold out is drawn at random
COUNTS = "tokens", "examples"  # in results.json, how much was measured


class Reported(NamedTuple):
    """A run as a page has it."""

    name: str
    command: str  # such as "train"
    status: str
    notes: list[str]  # what could not be read
    settings: dict[str, str]  # by option
    figures: Figures  # what it came to, by name
    baselines: dict[str, Figures]  # what a trivial answer comes to
    curves: dict[str, Any]
    samples: list[dict[str, Any]]
    # not shown, but compared: losses of two runs compare where these are equal
    data: str
    parts: str
    predicted: str


def read_run(directory: Path, name: str) -> Reported:
    """All of a run that is to be shown; `UserError` where it is none."""
    run = RunDirectory(directory)
    config, described = read_config(run)
    workflow = workflow_of(config)
    metrics, times = read_metrics(run.metrics), read_times(run.times)
    notes = [note] if (note := metrics.note()) else []
    try:
        results = read_results(run) or {}
    except UserError as error:  # the rest can be shown nevertheless
        results, notes = {}, [*notes, str(error)]
    try:
        about = dict(workflow.model_rows(run, config, described))
    except UserError as error:
        about, notes = {}, [*notes, str(error)]
    done = metrics.lines[-1]["step"] if metrics.lines else 0
    facts = described.get("text") or described["data"]
    settings = {"data": facts["source"], **_settings(config)}
    settings |= {f"{k} version": str(v) for k, v in described["versions"].items()}
    return Reported(
        name,
        workflow.command,
        _status(done, config.steps, results),
        [note.replace("\n", " ") for note in notes],
        settings,
        _figures(workflow, config, about, metrics.lines, times, results),
        {k: _scalars(v) for k, v in results.get("baselines", {}).items()},
        curves(metrics.lines, times, workflow.curves),
        read_samples(run.samples, {line["step"] for line in metrics.lines}),
        data=str(facts["sha256"]),
        parts=_parts(workflow.command, config, facts),
        predicted=f"{facts.get('symbols_sha256')} {facts.get('task_sha256')}",
    )


def _parts(command: str, config: Any, facts: dict[str, Any]) -> str:
    """Which examples are held out, as far as the options say."""
    drawn = config.seed if command in BY_SEED else None
    return f"{facts.get('parts')} {getattr(config, 'split', None)} {drawn}"


def _settings(config: TrainingOptions) -> dict[str, str]:
    hidden = set(config.elsewhere.split()) - {"devices"}
    return {
        option(f.name): _shown(getattr(config, f.name))
        for f in fields_of(type(config))
        if f.name not in hidden
    }


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)


def _status(done: int, steps: int, results: dict[str, Any]) -> str:
    if results.get("status") == "diverged":
        return f"diverged before step {results['step']}"
    if results.get("step") == done and results:
        return results["status"]
    return f"not finished: at step {done} of {steps}"


def _figures(
    workflow: Workflow,
    config: TrainingOptions,
    about: dict[str, str],
    lines: list[dict[str, Any]],
    times: dict[int, float],
    results: dict[str, Any],
) -> Figures:
    """Figures by name, losses first; those that are not known are left out."""
    found: Figures = {}
    if lines:
        found["training loss"] = lines[-1]["loss"]
    measured = [line for line in lines if is_number(line.get("valid_loss"))]
    if measured:
        best = min(measured, key=lambda line: line["valid_loss"])
        found["validation loss"] = best["valid_loss"]
        found["best step"] = best["step"]
        for name in workflow.curves:
            found[f"validation {_words(name)}"] = best.get(f"valid_{name}")
    test = {**results.get("test", {}), **results.get("figures", {})}
    if "nats" in test:  # as a language model calls its loss
        test = {"loss": test.pop("nats"), **test}
    for name, value in _scalars(test).items():
        found[f"test {name}"] = value
    found["steps"] = lines[-1]["step"] if lines else 0
    if (count := about.get("parameters", "").replace(",", "")).isdecimal():
        found["parameters"] = int(count)
    speed, seconds = _speed(lines, times, workflow.per_step(config))
    found[f"{workflow.unit(config)} a second"] = speed
    found["seconds"] = seconds
    return {k: v for k, v in found.items() if _is_finite(v)}


def _scalars(figures: Any) -> Figures:
    """The figures that are one number, by name in words."""
    items = figures.items() if isinstance(figures, dict) else ()
    return {
        _words(name): value
        for name, value in items
        if name not in COUNTS and _is_finite(value)
    }


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _speed(
    lines: Sequence[dict[str, Any]], times: dict[int, float], per_step: int
) -> tuple[float | None, float | None]:
    """Units a second and all seconds, as far as the run has recorded its time.

    A run that an earlier version began has no times of its first steps.
    """
    if not (lines and times):
        return None, None
    timed = list(times.items())
    whole = timed[0][0] == lines[0]["step"]
    (first, start), (last, end) = ((0, 0.0) if whole else timed[0]), timed[-1]
    speed = per_step * (last - first) / (end - start) if end > start else None
    return speed, end if whole else None
