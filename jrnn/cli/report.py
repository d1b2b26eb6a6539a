"""The first and the last words of a training run."""

from typing import Any

import jax
import numpy as np

from jrnn.cli.display import UNITS, Display, duration, losses, short, two_columns
from jrnn.cli.errors import Diverged
from jrnn.cli.generation import default_prime, generate_text
from jrnn.cli.job import Job, Progress
from jrnn.cli.plot import plot_losses
from jrnn.cli.results import caution, diverged, measured, write_results
from jrnn.cli.run import load_trained
from jrnn.cli.stored import read_metrics
from jrnn.train import evaluate


def introduce(job: Job, display: Display, step: int) -> None:
    """Say what is trained on what."""
    config, data, unit = job.config, job.data, UNITS[job.config.level]
    parts = [len(part) for part in (data.train, data.valid, data.test)]
    display.say(
        f"Text: {data.source}, {sum(parts):,} {unit}, {len(data.vocabulary)} symbols; "
        f"{parts[0]:,} to train, {parts[1]:,} to validate, {parts[2]:,} to test."
    )
    _caution(job, display)
    if job.origin:
        display.say(job.origin.told())
    layers = f"{config.layers} x " if config.layers > 1 else ""
    verb = f"Going on from step {step}" if step else "Training"
    display.say(
        f"{verb}: {layers}{config.cell} {config.hidden_size}, {config.steps} steps of "
        f"{config.batch_size} x {config.stride} {unit}, {config.optimizer} at "
        f"{config.learning_rate:g} after a warm-up of {config.rise}, in "
        f"{job.run.directory}"
    )


def finish(job: Job, display: Display, step: int, progress: Progress) -> None:
    """Plot, results, table, sample, and the command that makes more of them."""
    metrics, note = plot_loss(job)
    trained = load_trained(job.run.directory, "best")
    test = None
    if len(job.data.test) > 1:
        display.say("test ...")
        nats, _ = evaluate(trained.model.evaluate, trained.params, job.data.test)
        test = float(nats)
    training = metrics[-1]["loss"] if metrics else None
    ends = [training, progress.best_loss, test]
    went_wrong = [n for n in ends if n is not None and _diverged(job, n)]
    full = "finished" if step >= job.config.steps else "stopped early"
    status = "diverged" if went_wrong else full
    _write(job, status, step, trained, training, progress.best_loss, test)
    if went_wrong:
        raise Diverged(_how_it_diverged(job, step, trained, max(went_wrong), progress))
    rows = _rows(job, display, step, progress, metrics, trained, test)
    display.console.print(two_columns(status.capitalize(), rows))
    if note:
        display.say(note)
    _caution(job, display)
    vocabulary = job.data.vocabulary
    text = generate_text(
        trained.model.evaluate,
        trained.params,
        vocabulary,
        jax.random.key(job.config.seed),
        500,
        default_prime(vocabulary),
    )
    display.say(f"A sample, at temperature 0.8:\n\n{text.strip()}\n")
    display.say(f"More of it:\n  jrnn sample {job.run.directory}")


def plot_loss(job: Job) -> tuple[list[dict[str, Any]], str | None]:
    """The metrics, drawn into loss.png, and what to say of lines that are damaged."""
    metrics = read_metrics(job.run.metrics)
    config = job.config
    layers = f"{config.layers} x " if config.layers > 1 else ""
    title = (
        f"{str(job.run.directory)[-70:]}: {layers}{config.cell} {config.hidden_size}"
    )
    plot_losses(metrics.lines, len(job.data.vocabulary), title, job.run.plot)
    return metrics.lines, metrics.note()


def _write(job, status, step, trained, training, valid, test) -> None:
    parts: dict[str, Any] = {
        "weights": {"file": trained.path.name, "step": trained.facts["step"]},
    }
    if training is not None:
        parts["training"] = measured(training)
    if valid is not None:
        parts["validation"] = measured(valid, len(job.data.valid))
    if test is not None:
        parts["test"] = measured(test, len(job.data.test))
    write_results(job.run, status, step, parts)


def _diverged(job: Job, nats: float) -> bool:
    return diverged(nats, len(job.data.vocabulary))


def _how_it_diverged(job, step, trained, nats, progress) -> str:
    kept = f"{trained.path} holds the weights of step {trained.facts['step']}"
    if progress.best_loss is not None and not _diverged(job, progress.best_loss):
        kept += f", with a validation loss of {progress.best_loss:.4f} nats"
    return (
        f"The run diverged: after step {step} a loss is {nats:.4g} nats, where a "
        f"uniform guess\nhas {np.log(len(job.data.vocabulary)):.4g}. {kept}.\n"
        + advice(job)
    )


def advice(job: Job) -> str:
    """What to try where a run diverged."""
    config = job.config
    return (
        f"Try a smaller --learning-rate (now {config.learning_rate:g}), a smaller "
        f"--clip (now {config.clip:g}) or a longer --warmup (now {config.warmup})."
    )


def _caution(job: Job, display: Display) -> None:
    sizes = len(job.data.valid), len(job.data.test)
    if words := caution(*sizes, UNITS[job.config.level]):
        display.say(words)


def _rows(
    job, display, step, progress, metrics, trained, test
) -> list[tuple[str, str]]:
    unit = UNITS[job.config.level]
    count = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(trained.params))
    clipped = [m["clipped"] for m in metrics if "clipped" in m]
    rows = [
        ("steps", f"{step} ({step / job.data.windows:.1f} passes over the text)"),
        ("parameters", f"{count:,}"),
        ("clipped steps", f"{100 * float(np.mean(clipped or [0.0])):.0f} %"),
    ]
    if metrics:
        rows.insert(2, ("training loss", losses(metrics[-1]["loss"])))
    if progress.best_loss is not None:
        rows.append(("validation", losses(progress.best_loss)))
        rows.append(("best at step", str(progress.best_step)))
    if test is not None:
        rows.append(("test", losses(test)))
    if step > display.first:
        speed = f"{short(display.speed(step))} {unit}/s, {duration(display.elapsed())}"
        rows.append(("training time", speed))
    rows.append(("files", str(job.run.directory)))
    return rows
