"""The loop of a run of any task, which may be stopped or killed at any moment.

Everything that decides a run's future is in its checkpoint or follows from the step's
number, and intervals are multiples of one another, so a resumed run repeats bit for bit
what an uninterrupted one does.
"""

import contextlib
import json
import math
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jrnn._lock import Held, InUseError
from jrnn.cell import Params
from jrnn.cli.cluster import (
    all_or_none,
    any_of,
    apart,
    check_same,
    end_without_peers,
    gathered,
    moved,
    of_this_host,
)
from jrnn.cli.display import Display
from jrnn.cli.errors import Diverged, Stopped, UserError
from jrnn.cli.job import (
    RESUMABLE,
    Checkpoint,
    Progress,
    Start,
    begin,
    own,
    put_in_order,
    resume,
    write_config,
)
from jrnn.cli.logs import check_installed, open_logs
from jrnn.cli.notices import warn
from jrnn.cli.options import TrainingOptions
from jrnn.cli.results import read_results, write_results
from jrnn.cli.run import RunDirectory, read_config
from jrnn.cli.summary import advice, finish, introduce, plot_loss
from jrnn.cli.tasks import workflow_of
from jrnn.cli.times import seconds_until, time_line
from jrnn.cli.updates import Intervals, intervals_of, learning_rates
from jrnn.cli.workflow import Job, evaluate
from jrnn.files.runs import digest
from jrnn.logs import Log
from jrnn.train import Hyper, Metrics, TrainState, read, save


def train(config: TrainingOptions, seen: TrainingOptions | None = None) -> None:
    """Run the command.

    Args:
        config: its options, whose class says which command it is.
        seen: those that were taken as defaults, of the run to resume if there is one.
    """
    config.check()
    check_installed(config)
    config = workflow_of(config).prepare(config)
    saved = "What was saved last is in the run's directory: start all with --resume."
    with end_without_peers(saved), apart() as folder, contextlib.ExitStack() as stack:
        _train(_start(config, folder, stack, seen))


def _start(
    config: TrainingOptions, folder: Path | None, stack, seen: TrainingOptions | None
) -> Start:
    """A new run or one that goes on, its directory held by this process alone."""
    if config.resume is None:
        config = moved(config, folder)
        return all_or_none(lambda: begin(config, stack))

    def hold(run: RunDirectory) -> Held:
        read_config(run)  # nothing is locked that is no run
        return own(run, stack)

    if folder is None:
        mine = all_or_none(partial(hold, RunDirectory(config.resume)))
        config = moved(config, folder)
    else:  # a copy of what the first process holds
        all_or_none(lambda: None)
        config = moved(config, folder)
        mine = hold(RunDirectory(folder))
    return all_or_none(lambda: resume(config, mine, seen))


def _train(start: Start) -> None:
    job, checkpoint, progress = start.job, start.checkpoint, start.progress
    anew = [getattr(job.config, name) for name in RESUMABLE]
    check_same(digest([job.identity, anew]))
    step = int(checkpoint.state.step)
    intervals = intervals_of(job.config, step)
    over = step >= intervals.steps or _out_of_patience(job.config, progress)
    results = read_results(job.run)
    if over:
        _refuse_what_is_done(job, intervals, step, results)
    workflow, config = job.workflow, job.config
    warn(workflow.notices(config))
    per_step, unit = workflow.per_step(config), workflow.unit(config)
    display = Display(intervals.steps, step, per_step, unit)
    with _explain_full_disk(job, display):
        if start.news:
            write_config(job)
        if results is not None and results["status"] == "diverged":
            job.run.results.unlink()  # it goes on
        for note in put_in_order(job, progress, step):
            display.say(note)
        introduce(job, display, step)
        if not over:
            with display, open_logs(job) as log:
                step, progress = _loop(
                    job, intervals, display, log, checkpoint, progress
                )
        finish(job, display, step, progress)


def _refuse_what_is_done(job: Job, intervals: Intervals, step: int, results) -> None:
    """Raise `UserError` where nothing is left to do, not even the last measurements."""
    if results is None or results["step"] != step or results["status"] == "diverged":
        return
    steps = intervals.steps
    how, more = f"has made all of its {steps} steps", f"--steps {2 * steps}"
    if step < steps:
        patience = job.config.patience
        how = f"stopped early at step {step}, as --patience {patience} asks"
        more = f"--patience {2 * patience}"
    raise UserError(
        f"{job.run.directory} {how}. To train on:\n  {_resume_command(job)} {more}"
    )


def _loop(
    job: Job,
    intervals: Intervals,
    display: Display,
    log: Log,
    checkpoint: Checkpoint,
    progress: Progress,
) -> tuple[int, Progress]:
    """Train to the last step; returns which that is."""
    state, key = checkpoint
    step = int(state.step)
    rates = learning_rates(job.config, intervals.steps)
    with _interrupts() as stop:
        display.phase("compile")
        advance, state, config, note = job.workflow.compile(job, intervals, state, key)
        if config != job.config:  # for whenever it is resumed
            job = job._replace(config=config)
            write_config(job)
        if note:
            display.say(note)
        display.restart_clock(step, seconds_until(job.run.times, step))
        display.phase("train")
        pending: list[Metrics] = []
        while step < intervals.steps:
            part = rates[step : step + intervals.call]
            hypers = Hyper(part, np.full_like(part, job.config.clip))
            state, metrics = advance(state, step, hypers, key)
            pending.append(metrics)
            step += intervals.call
            last = step == intervals.steps
            _count_finished(
                display, pending, step, intervals, wait=step % intervals.log == 0
            )
            if step % intervals.log and not last:
                continue
            progress = _at_log_step(
                job, intervals, display, log, state, step, pending, progress
            )
            pending = []
            last = last or _out_of_patience(job.config, progress)
            stopping = any_of(stop())
            if last or stopping or step % intervals.save == 0:
                display.phase("save")
                progress = _save(job, Checkpoint(state, key), progress, step)
            if stopping and not last:
                raise Stopped(_how_to_resume(job, step))
            if last:
                break
            display.phase("train")
    return step, progress


def _count_finished(
    display: Display,
    pending: list[Metrics],
    step: int,
    intervals: Intervals,
    *,
    wait: bool,
) -> None:
    """Show how many steps have ended: calls return before their steps do.

    At a log step all results are waited for anyway, here one call after the other.
    """
    for n, metrics in enumerate(pending):
        if wait:
            jax.block_until_ready(metrics)
        # the type of arrays lacks what every array has
        elif not metrics.loss.is_ready():  # pyright: ignore[reportAttributeAccessIssue]
            break
        display.finished(step - (len(pending) - n - 1) * intervals.call)


def _at_log_step(
    job, intervals, display, log, state, step, pending, progress
) -> Progress:
    metrics = jax.tree.map(lambda *m: np.concatenate(m), *map(of_this_host, pending))
    loss = float(metrics.loss.mean(dtype=np.float64))
    line: dict[str, Any] = {
        "step": step,
        "epoch": round(step / job.workflow.per_epoch(job), 4),
        "loss": loss,
        "grad_norm": float(metrics.grad_norm.mean(dtype=np.float64)),
        "clipped": float(metrics.clipped.mean(dtype=np.float64)),
    }
    if job.held is not None:
        job.held.check()
    now = of_this_host((state.params, state.average, state.opt_state))
    if not (np.isfinite([loss, line["grad_norm"]]).all() and _finite(now)):
        raise _diverged(job, step, "The loss or the weights")
    display.numbers(step, loss)
    last = step == intervals.steps
    params = of_this_host(evaluated_params(state))
    due = last or step % intervals.evaluate == 0
    if due and job.workflow.measurable(job, "valid"):
        display.phase("evaluate")
        line["valid_loss"], figures = evaluate(job, params, "valid")
        if not math.isfinite(line["valid_loss"]):
            raise _diverged(job, step, "The validation loss")
        curves = [name for name in job.workflow.curves if figures.get(name) is not None]
        line |= {f"valid_{name}": figures[name] for name in curves}
        shown = job.workflow.shown({"loss": line["valid_loss"], **figures})
        loss_now = line["valid_loss"]
        progress = _note_best(job, display, params, step, loss_now, shown, progress)
    _append(job.run.metrics, json.dumps(line) + "\n")
    _append(job.run.times, time_line(step, display.before + display.elapsed()))
    log(line)
    if last or (intervals.sample and step % intervals.sample == 0):
        display.phase("sample")
        text = job.workflow.example(job, params, step)
        _append(job.run.samples, f"--- step {step}, loss {loss:.4f} ---\n{text}\n\n")
    return progress


@jax.jit
def _finite(tree: Any) -> jax.Array:
    # the last update of all is not in the loss yet
    numbers = [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.inexact)]
    return jnp.array([jnp.isfinite(a).all() for a in numbers]).all()


def evaluated_params(state: TrainState) -> Params:
    """The weights that are evaluated: the running mean if there is one."""
    return state.average if jax.tree.leaves(state.average) else state.params


def _note_best(job, display, params, step, loss, shown, progress) -> Progress:
    better = progress.best_loss is None or loss < progress.best_loss
    mark = "best so far" if better else f"best was {progress.best_loss:.4f}"
    display.say(f"step {step}: validation {shown} ({mark})")
    if not better:
        return progress._replace(worse=progress.worse + 1)
    facts = {"run": job.identity, "step": step, "valid_loss": loss}
    save(job.run.best, job.workflow.kept(job, params), facts)
    return progress._replace(best_loss=loss, best_step=step, worse=0)


def _out_of_patience(config: TrainingOptions, progress: Progress) -> bool:
    return 0 < config.patience <= progress.worse


def _save(job: Job, checkpoint: Checkpoint, progress: Progress, step: int) -> Progress:
    progress = progress._replace(
        metrics_bytes=_size(job.run.metrics), samples_bytes=_size(job.run.samples)
    )
    windows = job.workflow.per_epoch(job)
    position = {"epoch": step // windows, "window": step % windows}
    facts = {"run": job.identity, "step": step, **position, **progress._asdict()}
    save(job.run.last, checkpoint._replace(state=gathered(checkpoint.state)), facts)
    return progress


def _append(path: Path, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    try:
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # that of a write does not know where it was to go
        raise OSError(error.errno, error.strerror, str(path)) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def _explain_full_disk(job: Job, display: Display) -> Iterator[None]:
    """Say of a file that cannot be written what is saved and how to go on."""
    try:
        yield
    except BrokenPipeError:
        raise
    except InUseError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(
            f"{error.filename or job.run.directory} cannot be written: "
            f"{error.strerror}.\n{_what_is_saved(job, display.done)}\n"
            f"  {_resume_command(job)}"
        ) from error


def _what_is_saved(job: Job, step: int) -> str:
    with contextlib.suppress(OSError, ValueError):
        saved = read(job.run.last)[1]["step"]
        return (
            f"The run had reached step {step} and is saved as of step {saved}. Make "
            "room, then go on with:"
        )
    return (
        f"The run had reached step {step}; nothing was saved yet. Make room, then "
        "begin anew with:"
    )


@contextlib.contextmanager
def _interrupts() -> Iterator:
    """Let Ctrl-C end the run at the next log step; a second one ends it at once."""
    asked = False

    def ask(number, frame):
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not in the main thread, where signals cannot be caught
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def _how_to_resume(job: Job, step: int) -> str:
    return (
        f"Stopped at step {step}; everything is saved. Go on with:\n"
        f"  {_resume_command(job)}"
    )


def _resume_command(job: Job) -> str:
    return f"jrnn {job.workflow.command} --resume {job.run.directory}"


def _diverged(job: Job, step: int, what: str) -> Diverged:
    """The error that ends a run; what it came to is written down first."""
    write_results(job.run, "diverged", step, {})
    plot_loss(job)
    kept = job.run.last if job.run.last.exists() else None
    left = f"The last good checkpoint is {kept}." if kept else "Nothing was saved yet."
    return Diverged(
        f"{what} became infinite or not a number before step {step}. {left}\n"
        + advice(job)
    )
