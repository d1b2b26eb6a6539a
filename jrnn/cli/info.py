"""`jrnn info`: what a run is and how far it got."""

from typing import Any

from jrnn.cli.config import Info
from jrnn.cli.display import Console, two_columns
from jrnn.cli.errors import UserError
from jrnn.cli.options import TrainingOptions, fields_of, option
from jrnn.cli.results import loss_of, read_results
from jrnn.cli.run import RunDirectory, read_config
from jrnn.cli.stored import MetricsLines, read_metrics
from jrnn.cli.tasks import workflow_of
from jrnn.cli.workflow import Rows, Workflow


def info(options: Info) -> None:
    """Run the command."""
    run = RunDirectory(options.run)
    config, described = read_config(run)
    workflow = workflow_of(config)
    metrics, notes = read_metrics(run.metrics), []
    try:
        results = read_results(run) or {}
    except UserError as error:  # the rest can be told nevertheless
        results, notes = {}, [str(error)]
    if note := metrics.note():
        notes.append(note)
    done = metrics.lines[-1]["step"] if metrics.lines else 0
    rows = workflow.model_rows(run, config, described)
    rows += _progress(workflow, config, done, metrics, results)
    versions = described["versions"]
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items() if v)))
    console = Console(highlight=False)
    console.print(two_columns(str(options.run), rows))
    console.print(two_columns("Options", _options(config)))
    for line in notes + _cautions(workflow, config, described):
        console.print(line, markup=False)
    if done < config.steps and results.get("status") != "stopped early":
        command = f"jrnn {workflow.command} --resume {options.run}"
        console.print(f"Go on with it: {command}", markup=False)


def _progress(
    workflow: Workflow,
    config: TrainingOptions,
    done: int,
    metrics: MetricsLines,
    results: dict[str, Any],
) -> Rows:
    shown = workflow.shown
    rows = [("steps", f"{done} of {config.steps}")]
    if results.get("step") == done:
        rows[0] = ("steps", f"{done} of {config.steps}, {results['status']}")
    elif results.get("status") == "diverged":
        rows.append(("diverged", f"before step {results['step']}"))
    if metrics.lines:
        rows.append(("training loss", shown({"loss": metrics.lines[-1]["loss"]})))
    valid = [m for m in metrics.lines if "valid_loss" in m]
    if valid:
        best = min(valid, key=lambda m: m["valid_loss"])
        curves = {name: best.get(f"valid_{name}") for name in workflow.curves}
        rows.append(("validation", shown({"loss": best["valid_loss"], **curves})))
        rows.append(("best at step", str(best["step"])))
    test = results.get("test", {})
    if (loss := loss_of(test)) is not None:
        of = results.get("weights", {}).get("step")
        rows.append(("test", f"{shown({**test, 'loss': loss})} (weights of step {of})"))
    for name, figures in results.get("baselines", {}).items():
        rows.append((name, shown(figures)))
    return rows


def _cautions(
    workflow: Workflow, config: TrainingOptions, described: dict[str, Any]
) -> list[str]:
    about = described.get("text") or described.get("data", {})
    parts = about.get("parts")  # earlier versions have none
    return workflow.cautions(config, parts) if parts else []


def _options(config: TrainingOptions) -> Rows:
    hidden = set(config.elsewhere.split()) - {"devices"}
    return [
        (option(f.name), _shown(getattr(config, f.name)))
        for f in fields_of(type(config))
        if f.name not in hidden
    ]


def _shown(value) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "-" if value is None else str(value)
