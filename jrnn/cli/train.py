"""`jrnn train`: the loop of a run, which may be stopped or killed at any moment.

Everything that decides a run's future is in its checkpoint or follows from the step's
number, and intervals are multiples of one another, so a resumed run repeats bit for bit
what an uninterrupted one does.
"""

import contextlib
import dataclasses
import json
import math
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jrnn._lock import Held, InUseError
from jrnn.cell import Params, spec
from jrnn.cli.cluster import (
    all_or_none,
    any_of,
    apart,
    check_same,
    end_without_peers,
    gathered,
    join,
    moved,
    of_this_host,
)
from jrnn.cli.config import Train
from jrnn.cli.data import batch_reader
from jrnn.cli.devices import (
    candidates,
    check_devices,
    fastest,
    mesh_for,
    on_devices,
    places,
    timed,
)
from jrnn.cli.display import UNITS, Display, losses
from jrnn.cli.errors import Diverged, Stopped, UserError
from jrnn.cli.generation import default_prime, generate_text
from jrnn.cli.job import (
    RESUMABLE,
    Checkpoint,
    Job,
    Progress,
    Start,
    begin,
    optimizer,
    own,
    put_in_order,
    resume,
    start_carry,
    with_devices,
    write_config,
)
from jrnn.cli.logs import check_installed, open_logs
from jrnn.cli.notices import of_training, warn
from jrnn.cli.report import advice, finish, introduce, plot_loss
from jrnn.cli.results import read_results, write_results
from jrnn.cli.run import RunDirectory, read_config
from jrnn.devices import keep_memory, provide_cores
from jrnn.files.runs import digest
from jrnn.logs import Log
from jrnn.train import (
    Hyper,
    Metrics,
    TrainState,
    batched,
    evaluate,
    make_step,
    make_steps,
    read,
    save,
    truncated_loss,
)


class Intervals(NamedTuple):
    """Intervals in steps, each a multiple of the one before it."""

    call: int  # steps in one compiled call
    log: int
    evaluate: int
    save: int
    sample: int  # 0: none but the last
    steps: int


def train(config: Train, seen: Train | None = None) -> None:
    """Run the command.

    Args:
        config: its options.
        seen: those that were taken as defaults, of the run to resume if there is one.
    """
    config.check()
    check_installed(config)
    if config.text and config.resume is None:
        raise UserError("--text goes with --resume. Name a new run's text as FILES.")
    if config.from_ is not None and not config.files:
        raise UserError("--from needs a text to go on with: name it as FILES.")
    keep_memory(one_arena=config.devices == 1)
    if config.cluster is None:
        provide_cores(loops_in_loops=False)
    join(config.cluster)
    check_devices(config)
    saved = "What was saved last is in the run's directory: start all with --resume."
    with end_without_peers(saved), apart() as folder, contextlib.ExitStack() as stack:
        config = dataclasses.replace(config, cluster=None)
        _train(_start(config, folder, stack, seen))


def _start(config: Train, folder: Path | None, stack, seen: Train | None) -> Start:
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
    warn(of_training(job.config))
    unit = UNITS[job.config.level]
    tokens_per_step = job.config.batch_size * job.config.stride
    display = Display(intervals.steps, step, tokens_per_step, unit)
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
        f"{job.run.directory} {how}. "
        f"To train on:\n  jrnn train --resume {job.run.directory} {more}"
    )


def intervals_of(config: Train, start: int = 0) -> Intervals:
    """Intervals of a run that begins at a step: evaluations and checkpoints at logs."""
    up = lambda n: -(-n // config.log_every) * config.log_every
    # calls must meet at every log step, at the first step and at the last one
    together = math.gcd(config.log_every, config.steps, start)
    most = steps_per_call(config)
    return Intervals(
        call=max(n for n in range(1, most + 1) if together % n == 0),
        log=config.log_every,
        evaluate=up(config.eval_every),
        save=up(config.save_every),
        sample=up(config.sample_every),
        steps=config.steps,
    )


def steps_per_call(config: Train) -> int:
    """Steps in one compiled call: many where a step takes less than its dispatch.

    Calling the compiled step costs about 0.1 ms. Below some 10^7 multiplications a step
    that shows; above it, more steps in a call gained nothing (and at hidden size 128,
    batch 50, lost 10 %). On several devices always one: see `provide_cores`.
    """
    if config.devices not in (None, 1):
        return 1
    work = config.layers * config.hidden_size**2 * config.batch_size * config.window
    return 16 if work < 1e7 else 1


def learning_rates(config: Train, steps: int) -> np.ndarray:
    """The learning rate of every step, (steps,)."""
    peak, warmup = config.learning_rate, config.rise
    rest = max(1, steps - warmup)
    falling = {
        "cosine": optax.cosine_decay_schedule(peak, rest),
        "linear": optax.linear_schedule(peak, 0.0, rest),
        "constant": optax.constant_schedule(peak),
    }[config.schedule]
    rising = optax.linear_schedule(0.0, peak, max(1, warmup))
    n = jnp.arange(steps)
    # the first step counts as 1 of the warm-up: a step of rate 0 would be wasted
    rates = jnp.where(n < warmup, rising(n + 1), falling(jnp.maximum(n - warmup, 0)))
    return np.asarray(rates, np.float32)


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
        job, run_steps, devices = _compile_for_devices(job, intervals, state, key)
        if devices > 1:
            display.say(f"{devices} devices share each batch.")
        state, rows = on_devices(mesh_for(devices), state, job.data.rows)
        display.restart_clock(step)
        display.phase("train")
        pending: list[Metrics] = []
        while step < intervals.steps:
            part = rates[step : step + intervals.call]
            hypers = Hyper(part, np.full_like(part, job.config.clip))
            state, metrics = run_steps(state, rows, hypers, key)
            if devices > 1:
                # steps in flight at once can wait for each other's threads for good
                jax.block_until_ready(metrics)
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


def _compile_for_devices(job: Job, intervals: Intervals, state: TrainState, key):
    """The compiled steps, on as many devices as the run says or as is fastest."""
    several = jax.process_count() > 1
    devices = jax.device_count() if several else job.config.devices
    if devices is not None:
        return job, _compile(job, intervals, state, key, devices), devices
    compiled = {}

    def seconds(devices: int) -> float:
        run_steps = compiled[devices] = _compile(job, intervals, state, key, devices)
        mesh = mesh_for(devices)
        hypers = Hyper(*[np.zeros(intervals.call, np.float32)] * 2)
        own = [on_devices(mesh, *jax.tree.map(jnp.copy, (state, job.data.rows)))]

        def step():  # a step takes the state away and gives it back
            state, rows = own.pop()
            state, metrics = run_steps(state, rows, hypers, key)
            own.append((state, rows))
            return metrics

        return timed(step)

    # in a small model's step there is nothing to divide
    there = 1 if intervals.call > 1 else jax.local_device_count()
    numbers = candidates(job.config.batch_size, there)
    devices = fastest(numbers, seconds)
    job = with_devices(job, devices)
    if devices not in compiled:
        compiled[devices] = _compile(job, intervals, state, key, devices)
    return job, compiled[devices], devices


def _compile(job: Job, intervals: Intervals, state: TrainState, key, devices: int):
    mesh = mesh_for(devices)
    loss = batched(truncated_loss(job.model.train, job.config.stride), mesh)
    windows = job.data.windows
    steps = make_steps(
        make_step(loss, optimizer(job.config), average_decay=job.config.average),
        batch_reader(job.config, windows),
        start_carry(job),
        lambda n: n % windows == 0,
    )
    hypers = Hyper(*[np.zeros(intervals.call, np.float32)] * 2)
    of_state, of_rows = places(mesh, state)
    jitted = jax.jit(
        steps,
        donate_argnums=0,
        in_shardings=(of_state, of_rows, None, None),
        out_shardings=(of_state, None),
    )
    forms = spec((state, job.data.rows))
    return jitted.lower(*forms, hypers, key).compile()


def _at_log_step(
    job, intervals, display, log, state, step, pending, progress
) -> Progress:
    metrics = jax.tree.map(lambda *m: np.concatenate(m), *map(of_this_host, pending))
    loss = float(metrics.loss.mean(dtype=np.float64))
    line: dict[str, Any] = {
        "step": step,
        "epoch": round(step / job.data.windows, 4),
        "loss": loss,
        "grad_norm": float(metrics.grad_norm.mean(dtype=np.float64)),
        "clipped": float(metrics.clipped.mean(dtype=np.float64)),
    }
    job.held.check()
    now = of_this_host((state.params, state.average, state.opt_state))
    if not (np.isfinite([loss, line["grad_norm"]]).all() and _finite(now)):
        raise _diverged(job, step, "The loss or the weights")
    display.numbers(step, loss)
    last = step == intervals.steps
    params = of_this_host(evaluated_params(state))
    if len(job.data.valid) > 1 and (last or step % intervals.evaluate == 0):
        display.phase("evaluate")
        nats, _ = evaluate(job.model.evaluate, params, job.data.valid)
        line["valid_loss"] = float(nats)
        if not math.isfinite(line["valid_loss"]):
            raise _diverged(job, step, "The validation loss")
        progress = _note_best(job, display, params, step, line["valid_loss"], progress)
    _append(job.run.metrics, json.dumps(line) + "\n")
    log(line)
    if last or (intervals.sample and step % intervals.sample == 0):
        display.phase("sample")
        text = _sample(job, params, step)
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


def _note_best(job, display, params, step, loss, progress) -> Progress:
    better = progress.best_loss is None or loss < progress.best_loss
    mark = "best so far" if better else f"best was {progress.best_loss:.4f}"
    display.say(f"step {step}: validation {losses(loss)} ({mark})")
    if not better:
        return progress._replace(worse=progress.worse + 1)
    facts = {"run": job.identity, "step": step, "valid_loss": loss}
    save(job.run.best, params, facts)
    return progress._replace(best_loss=loss, best_step=step, worse=0)


def _out_of_patience(config: Train, progress: Progress) -> bool:
    return 0 < config.patience <= progress.worse


def _sample(job: Job, params: Params, step: int) -> str:
    key = jax.random.fold_in(jax.random.key(job.config.seed), step)
    vocabulary = job.data.vocabulary
    return generate_text(
        job.model.evaluate, params, vocabulary, key, 300, default_prime(vocabulary)
    )


def _save(job: Job, checkpoint: Checkpoint, progress: Progress, step: int) -> Progress:
    progress = progress._replace(
        metrics_bytes=_size(job.run.metrics), samples_bytes=_size(job.run.samples)
    )
    windows = job.data.windows
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
            f"  jrnn train --resume {job.run.directory}"
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
        f"  jrnn train --resume {job.run.directory}"
    )


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
