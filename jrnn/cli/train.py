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
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jrnn.cell import Params, spec
from jrnn.cli.cluster import (
    any_of,
    apart,
    gathered,
    join,
    moved,
    of_this_host,
    others_told,
)
from jrnn.cli.config import Train
from jrnn.cli.data import batch_reader
from jrnn.cli.devices import (
    candidates,
    check_devices,
    fastest,
    mesh_of,
    placed,
    places,
    provide_cores,
    timed,
)
from jrnn.cli.display import UNITS, Display, losses
from jrnn.cli.errors import Stopped, UserError, told_plainly
from jrnn.cli.generation import default_prime, generate_text
from jrnn.cli.job import (
    Checkpoint,
    Job,
    Progress,
    begin,
    optimizer,
    resume,
    start_carry,
    with_devices,
)
from jrnn.cli.memory import keep_memory
from jrnn.cli.notices import of_training, warn
from jrnn.cli.report import finish, introduce
from jrnn.train import (
    Hyper,
    Metrics,
    TrainState,
    batched,
    evaluate,
    make_step,
    make_steps,
    save,
    truncated_loss,
)


class Plan(NamedTuple):
    """Intervals in steps, each a multiple of the one before it."""

    call: int  # steps in one compiled call
    log: int
    evaluate: int
    save: int
    sample: int  # 0: none but the last
    steps: int


def train(config: Train) -> None:
    """Run the command."""
    config.check()
    keep_memory(one_arena=config.devices == 1)
    if config.cluster is None:
        provide_cores(loops_in_loops=False)
    join(config.cluster)
    check_devices(config)
    saved = "What was saved last is in the run's directory: start all with --resume."
    with others_told(saved), apart() as folder:
        _train(moved(dataclasses.replace(config, cluster=None), folder))


def _train(config: Train) -> None:
    start = begin if config.resume is None else resume
    job, checkpoint, progress = start(config)
    warn(of_training(config))
    step = int(checkpoint.state.step)
    plan = make_plan(job.config, step)
    if step >= plan.steps:
        raise UserError(
            f"{job.run.directory} has made all of its {plan.steps} steps. "
            f"To train on:\n  jrnn train --resume {job.run.directory} "
            f"--steps {2 * plan.steps}"
        )
    with told_plainly(OSError):
        _cut_files(job, progress)
        _loop(job, plan, checkpoint, progress)


def make_plan(config: Train, start: int = 0) -> Plan:
    """Intervals of a run that begins at a step: evaluations and checkpoints at logs."""
    up = lambda n: -(-n // config.log_every) * config.log_every
    # calls must meet at every log step, at the first step and at the last one
    together = math.gcd(config.log_every, config.steps, start)
    most = steps_per_call(config)
    return Plan(
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


def _loop(job: Job, plan: Plan, checkpoint: Checkpoint, progress: Progress) -> None:
    state, key = checkpoint
    step = int(state.step)
    unit = UNITS[job.config.level]
    tokens_per_step = job.config.batch_size * job.config.stride
    rates = learning_rates(job.config, plan.steps)
    with (
        Display(plan.steps, step, tokens_per_step, unit) as display,
        _interrupts() as stop,
    ):
        introduce(job, display, step)
        display.phase("compile")
        job, run_steps, devices = _compile_for_devices(job, plan, state, key)
        if devices > 1:
            display.say(f"{devices} devices share each batch.")
        state, rows = placed(mesh_of(devices), state, job.data.rows)
        display.restart_clock(step)
        display.phase("train")
        pending: list[Metrics] = []
        while step < plan.steps:
            part = rates[step : step + plan.call]
            hypers = Hyper(part, np.full_like(part, job.config.clip))
            state, metrics = run_steps(state, rows, hypers, key)
            if devices > 1:
                # steps in flight at once can wait for each other's threads for good
                jax.block_until_ready(metrics)
            pending.append(metrics)
            step += plan.call
            display.advance(step)
            if step % plan.log and step < plan.steps:
                continue
            progress = _at_log_step(job, plan, display, state, step, pending, progress)
            pending = []
            last = step == plan.steps or _out_of_patience(job.config, progress)
            stopping = any_of(stop())
            if last or stopping or step % plan.save == 0:
                display.phase("save")
                progress = _save(job, Checkpoint(state, key), progress, step)
            if stopping and not last:
                raise Stopped(_how_to_resume(job, step))
            if last:
                break
            display.phase("train")
    finish(job, display, step, progress)


def _compile_for_devices(job: Job, plan: Plan, state: TrainState, key):
    """The compiled steps, on as many devices as the run says or as is fastest."""
    several = jax.process_count() > 1
    devices = jax.device_count() if several else job.config.devices
    if devices is not None:
        return job, _compile(job, plan, state, key, devices), devices
    compiled = {}

    def seconds(devices: int) -> float:
        run_steps = compiled[devices] = _compile(job, plan, state, key, devices)
        mesh, hypers = mesh_of(devices), Hyper(*[np.zeros(plan.call, np.float32)] * 2)
        own = [placed(mesh, *jax.tree.map(jnp.copy, (state, job.data.rows)))]

        def step():  # a step takes the state away and gives it back
            state, rows = own.pop()
            state, metrics = run_steps(state, rows, hypers, key)
            own.append((state, rows))
            return metrics

        return timed(step)

    # in a small model's step there is nothing to divide
    there = 1 if plan.call > 1 else jax.local_device_count()
    numbers = candidates(job.config.batch_size, there)
    devices = fastest(numbers, seconds)
    job = with_devices(job, devices)
    if devices not in compiled:
        compiled[devices] = _compile(job, plan, state, key, devices)
    return job, compiled[devices], devices


def _compile(job: Job, plan: Plan, state: TrainState, key, devices: int):
    mesh = mesh_of(devices)
    loss = batched(truncated_loss(job.model.train, job.config.stride), mesh)
    windows = job.data.windows
    steps = make_steps(
        make_step(loss, optimizer(job.config), average_decay=job.config.average),
        batch_reader(job.config, windows),
        start_carry(job),
        lambda n: n % windows == 0,
    )
    hypers = Hyper(*[np.zeros(plan.call, np.float32)] * 2)
    of_state, of_rows = places(mesh, state)
    jitted = jax.jit(
        steps,
        donate_argnums=0,
        in_shardings=(of_state, of_rows, None, None),
        out_shardings=(of_state, None),
    )
    forms = spec((state, job.data.rows))
    return jitted.lower(*forms, hypers, key).compile()


def _at_log_step(job, plan, display, state, step, pending, progress) -> Progress:
    metrics = jax.tree.map(lambda *m: np.concatenate(m), *map(of_this_host, pending))
    loss = float(metrics.loss.mean(dtype=np.float64))
    line: dict[str, Any] = {
        "step": step,
        "epoch": round(step / job.data.windows, 4),
        "loss": loss,
        "grad_norm": float(metrics.grad_norm.mean(dtype=np.float64)),
        "clipped": float(metrics.clipped.mean(dtype=np.float64)),
    }
    now = of_this_host(state.params)
    if not (np.isfinite([loss, line["grad_norm"]]).all() and _finite(now)):
        raise Stopped(_diverged(job, step))
    display.numbers(step, loss)
    last = step == plan.steps
    params = of_this_host(evaluated_params(state))
    if len(job.data.valid) > 1 and (last or step % plan.evaluate == 0):
        display.phase("evaluate")
        nats, _ = evaluate(job.model.evaluate, params, job.data.valid)
        line["valid_loss"] = float(nats)
        progress = _note_best(job, display, params, step, line["valid_loss"], progress)
    _append(job.run.metrics, json.dumps(line) + "\n")
    if last or (plan.sample and step % plan.sample == 0):
        display.phase("sample")
        text = _sample(job, params, step)
        _append(job.run.samples, f"--- step {step}, loss {loss:.4f} ---\n{text}\n\n")
    return progress


@jax.jit
def _finite(params: Params) -> jax.Array:
    # the last update of all is not in the loss yet
    return jnp.array([jnp.isfinite(p).all() for p in jax.tree.leaves(params)]).all()


def evaluated_params(state: TrainState) -> Params:
    """The weights that are evaluated: the running mean if there is one."""
    return state.average if jax.tree.leaves(state.average) else state.params


def _note_best(job, display, params, step, loss, progress) -> Progress:
    better = progress.best_loss is None or loss < progress.best_loss
    mark = "best so far" if better else f"best was {progress.best_loss:.4f}"
    display.say(f"step {step}: validation {losses(loss)} ({mark})")
    if not better:
        return progress._replace(worse=progress.worse + 1)
    facts = {"step": step, "valid_loss": loss}
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
    facts = {"step": step, **position, **progress._asdict()}
    save(job.run.last, checkpoint._replace(state=gathered(checkpoint.state)), facts)
    return progress


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cut_files(job: Job, progress: Progress) -> None:
    """Forget what was written after the checkpoint: it will be written again."""
    written = {
        job.run.metrics: progress.metrics_bytes,
        job.run.samples: progress.samples_bytes,
    }
    for path, size in written.items():
        if path.exists():
            os.truncate(path, size)


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


def _diverged(job: Job, step: int) -> str:
    config = job.config
    kept = job.run.last if job.run.last.exists() else None
    left = f"The last good checkpoint is {kept}." if kept else "Nothing was saved yet."
    return (
        f"The loss became infinite or not a number before step {step}. {left}\n"
        f"Try a smaller --learning-rate (now {config.learning_rate:g}), a smaller "
        f"--clip (now {config.clip:g}) or a longer --warmup (now {config.warmup})."
    )
