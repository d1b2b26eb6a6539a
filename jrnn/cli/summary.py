"""The first and the last words of a training run."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jrnn.cli.display import Display, duration, short, two_columns
from jrnn.cli.errors import Diverged
from jrnn.cli.job import Progress
from jrnn.cli.results import write_results
from jrnn.cli.run import RunWeights, load_weights
from jrnn.cli.stored import read_metrics
from jrnn.cli.workflow import Figures, Job, Rows, evaluate


def introduce(job: Job, display: Display, step: int) -> None:
    """Say what is trained on what."""
    config, workflow = job.config, job.workflow
    for line in workflow.about(job):
        display.say(line)
    _caution(job, display)
    if job.origin:
        display.say(job.origin.told())
    layers = f"{config.layers} x " if config.layers > 1 else ""
    verb = f"Going on from step {step}" if step else "Training"
    display.say(
        f"{verb}: {layers}{config.cell} {config.hidden_size}, {config.steps} steps of "
        f"{workflow.step_words(config)}, {config.optimizer} at "
        f"{config.learning_rate:g} after a warm-up of {config.rise}, in "
        f"{job.run.directory}"
    )


def finish(job: Job, display: Display, step: int, progress: Progress) -> None:
    """Plot, results, table, sample, and the command that makes more of them."""
    metrics, note = plot_loss(job)
    trained, workflow = _best_weights(job), job.workflow
    test, figures = None, {}
    if workflow.measurable(job, "test"):
        display.say("test ...")
        test, figures = evaluate(job, trained.params, "test")
    training = metrics[-1]["loss"] if metrics else None
    ends = [training, progress.best_loss, test]
    went_wrong = [n for n in ends if n is not None and _diverged(job, n)]
    full = "finished" if step >= job.config.steps else "stopped early"
    status = "diverged" if went_wrong else full
    # what a diverged run comes to beside its losses says nothing
    baselines = {} if went_wrong else workflow.baselines(job)
    figures = {} if went_wrong else figures
    best = _best_figures(job, metrics, progress)
    end = End(status, step, training, progress, best, test, figures, baselines)
    # with results.json a run is over: what is drawn must be there before
    last = [] if went_wrong else workflow.conclusion(job, trained.params, figures)
    _write(job, end, trained)
    if went_wrong:
        raise Diverged(_how_it_diverged(job, step, trained, max(went_wrong), progress))
    rows = _rows(job, display, end, metrics, trained)
    display.console.print(two_columns(status.capitalize(), rows))
    if note:
        display.say(note)
    _caution(job, display)
    for words in last:
        display.say(words)


class End(NamedTuple):
    """What a run came to."""

    status: str
    step: int
    training: float | None  # losses
    progress: Progress
    best: Figures  # of the validation part, at the best step
    test: float | None
    figures: Figures  # of the test part, beside its loss
    baselines: dict[str, Figures]


def _best_weights(job: Job) -> RunWeights:
    any_key = jax.eval_shape(lambda: jax.random.key(0))
    drawn = job._replace(origin=None)  # of the same shapes, wherever they came from
    like = jax.eval_shape(lambda key: job.workflow.weights(drawn, key), any_key)
    described = {"id": job.identity, "task": job.workflow.command}
    return load_weights(job.run, described, like, "best")


def _best_figures(job: Job, metrics: list[dict[str, Any]], progress) -> Figures:
    line = next((m for m in metrics if m["step"] == progress.best_step), {})
    named = {name: line.get(f"valid_{name}") for name in job.workflow.curves}
    return {name: value for name, value in named.items() if value is not None}


def plot_loss(job: Job) -> tuple[list[dict[str, Any]], str | None]:
    """The metrics, drawn into loss.png, and what to say of lines that are damaged."""
    metrics = read_metrics(job.run.metrics)
    config = job.config
    layers = f"{config.layers} x " if config.layers > 1 else ""
    title = (
        f"{str(job.run.directory)[-70:]}: {layers}{config.cell} {config.hidden_size}"
    )
    job.workflow.plot(job, metrics.lines, title)
    return metrics.lines, metrics.note()


def _write(job: Job, end: End, trained: RunWeights) -> None:
    record, (_, valid, test) = job.workflow.record, job.workflow.sizes(job.data)
    parts: dict[str, Any] = {
        "weights": {"file": trained.path.name, "step": trained.facts["step"]},
    }
    if end.training is not None:
        parts["training"] = record(end.training, {}, None)
    if end.progress.best_loss is not None:
        parts["validation"] = record(end.progress.best_loss, end.best, valid)
    if end.test is not None:
        parts["test"] = record(end.test, end.figures, test)
    if end.figures:
        parts["figures"] = end.figures
    if end.baselines:
        parts["baselines"] = end.baselines
    write_results(job.run, end.status, end.step, parts)


def _diverged(job: Job, loss: float) -> bool:
    return job.workflow.diverged(job, loss)


def _how_it_diverged(job, step, trained, loss, progress) -> str:
    kept = f"{trained.path} holds the weights of step {trained.facts['step']}"
    if progress.best_loss is not None and not _diverged(job, progress.best_loss):
        unit = job.workflow.guess(job).unit
        kept += f", with a validation loss of {progress.best_loss:.4f}{unit}"
    guess = job.workflow.guess(job)
    return (
        f"The run diverged: after step {step} a loss is {loss:.4g}{guess.unit}, where "
        f"{guess.what}\nhas {guess.loss:.4g}. {kept}.\n" + advice(job)
    )


def advice(job: Job) -> str:
    """What to try where a run diverged."""
    config = job.config
    return (
        f"Try a smaller --learning-rate (now {config.learning_rate:g}), a smaller "
        f"--clip (now {config.clip:g}) or a longer --warmup (now {config.warmup})."
    )


def _caution(job: Job, display: Display) -> None:
    for words in job.workflow.cautions(job.config, job.workflow.sizes(job.data)):
        display.say(words)


def _rows(job: Job, display: Display, end: End, metrics, trained) -> Rows:
    workflow, step, progress = job.workflow, end.step, end.progress
    count = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(trained.params))
    clipped = [m["clipped"] for m in metrics if "clipped" in m]
    passes = step / workflow.per_epoch(job)
    rows = [
        ("steps", f"{step} ({passes:.1f} {workflow.pass_words})"),
        ("parameters", f"{count:,}"),
        ("clipped steps", f"{100 * float(np.mean(clipped or [0.0])):.0f} %"),
    ]
    if metrics:
        rows.insert(2, ("training loss", workflow.shown({"loss": metrics[-1]["loss"]})))
    if progress.best_loss is not None:
        best = {"loss": progress.best_loss, **end.best}
        rows.append(("validation", workflow.shown(best)))
        rows.append(("best at step", str(progress.best_step)))
    if end.test is not None:
        rows.append(("test", workflow.shown({"loss": end.test, **end.figures})))
    for name, figures in end.baselines.items():
        rows.append((name, workflow.shown(figures)))
    if step > display.first:
        speed = f"{short(display.speed(step))} {display.unit}/s"
        rows.append(("training time", f"{speed}, {duration(display.elapsed())}"))
    rows.append(("files", str(job.run.directory)))
    return rows
