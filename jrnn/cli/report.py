"""The first and the last words of a training run."""

import jax
import numpy as np

from jrnn.cli.display import (
    UNITS,
    Display,
    duration,
    losses,
    plot_losses,
    read_metrics,
    short,
    two_columns,
)
from jrnn.cli.generation import default_prime, generate_text
from jrnn.cli.job import Job, Progress
from jrnn.cli.run import load_trained
from jrnn.train import evaluate


def introduce(job: Job, display: Display, step: int) -> None:
    """Say what is trained on what."""
    config, data, unit = job.config, job.data, UNITS[job.config.level]
    parts = [len(part) for part in (data.train, data.valid, data.test)]
    display.say(
        f"Text: {data.source}, {sum(parts):,} {unit}, {len(data.vocabulary)} symbols; "
        f"{parts[0]:,} to train, {parts[1]:,} to validate, {parts[2]:,} to test."
    )
    layers = f"{config.layers} x " if config.layers > 1 else ""
    verb = f"Going on from step {step}" if step else "Training"
    display.say(
        f"{verb}: {layers}{config.cell} {config.hidden_size}, {config.steps} steps of "
        f"{config.batch_size} x {config.stride} {unit}, {config.optimizer} at "
        f"{config.learning_rate:g} after a warm-up of {config.rise}, in "
        f"{job.run.directory}"
    )


def finish(job: Job, display: Display, step: int, progress: Progress) -> None:
    """Plot, table, sample, and the command that makes more of them."""
    metrics = read_metrics(job.run.metrics)
    plot_losses(metrics, len(job.data.vocabulary), job.run.plot)
    trained = load_trained(job.run.directory, "best")
    test = None
    if len(job.data.test) > 1:
        display.say("test ...")
        nats, _ = evaluate(trained.model.evaluate, trained.params, job.data.test)
        test = float(nats)
    rows = _rows(job, display, step, progress, metrics, trained, test)
    display.console.print(two_columns("Finished", rows))
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


def _rows(
    job, display, step, progress, metrics, trained, test
) -> list[tuple[str, str]]:
    unit = UNITS[job.config.level]
    count = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(trained.params))
    clipped = float(np.mean([m["clipped"] for m in metrics])) if metrics else 0.0
    rows = [
        ("steps", f"{step} ({step / job.data.windows:.1f} passes over the text)"),
        ("parameters", f"{count:,}"),
        ("training loss", losses(metrics[-1]["loss"])),
        ("clipped steps", f"{100 * clipped:.0f} %"),
    ]
    if progress.best_loss is not None:
        rows.append(("validation", losses(progress.best_loss)))
        rows.append(("best at step", str(progress.best_step)))
    if test is not None:
        rows.append(("test", losses(test)))
    speed = f"{short(display.speed(step))} {unit}/s, {duration(display.elapsed())}"
    rows.append(("training time", speed))
    rows.append(("files", str(job.run.directory)))
    return rows
