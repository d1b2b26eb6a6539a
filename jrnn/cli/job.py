"""What a training starts from: a new run, or one that was stopped."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import typing
from pathlib import Path
from typing import NamedTuple

import jax

from jrnn import _lock
from jrnn._lock import Held, held
from jrnn.cli.errors import UserError
from jrnn.cli.options import TrainingOptions, changed, option
from jrnn.cli.results import read_results
from jrnn.cli.run import RunDirectory, clear, options_as_json, read_config, task_of
from jrnn.cli.stored import read_metrics, write_sealed
from jrnn.cli.tasks import workflow_of
from jrnn.cli.typed import Mismatch, typed
from jrnn.cli.updates import optimizer
from jrnn.cli.words import plain_errors
from jrnn.cli.workflow import Job, Material
from jrnn.files.runs import FORMAT, check_owner, digest
from jrnn.sweep.execute import out_of_memory
from jrnn.train import CheckpointError, TrainState, init_state, load
from jrnn.train.checkpoint import unfinished

# What may be given anew when a run is resumed; nothing else may differ.
RESUMABLE = ("steps", "patience", "learning_rate", "clip", "log")


class Checkpoint(NamedTuple):
    """The arrays of checkpoint.safetensors."""

    state: TrainState
    key: jax.Array


class Progress(NamedTuple):
    """What the loop knows besides the arrays; saved as metadata of a checkpoint."""

    best_loss: float | None = None  # lowest validation loss, nats
    best_step: int | None = None
    worse: int = 0  # evaluations since then
    metrics_bytes: int = 0  # length of metrics.jsonl at the checkpoint
    samples_bytes: int = 0


class Start(NamedTuple):
    """Where a run begins or goes on."""

    job: Job
    checkpoint: Checkpoint
    progress: Progress
    news: bool = False  # whether options have changed since config.json was written


def begin(config: TrainingOptions, stack: contextlib.ExitStack) -> Start:
    """Start a new run: read the data, draw the weights, then make the directory.

    The directory is this process's own until `stack` is left. A run that is refused
    leaves none, and one that it was to overwrite as it was.
    """
    workflow = workflow_of(config)
    run = RunDirectory(config.out or Path("runs") / workflow.run_name(config))
    mine = own(run, stack) if run.lock.exists() else None
    _check_free(run, config.overwrite)
    material = workflow.begin(config)
    overwrite = config.overwrite
    config = dataclasses.replace(material.config, out=run.directory, overwrite=False)
    job = _job(material._replace(config=config), run, mine, None)
    fresh = None
    if material.start is None:  # else its weights have been held already
        fresh = _in_memory(job)
    with plain_errors(OSError):
        run.directory.mkdir(parents=True, exist_ok=True)
    if job.held is None:
        job = job._replace(held=own(run, stack))
        _check_free(run, overwrite)  # another may have been faster
    job = job._replace(identity=_identity(job))
    with plain_errors(OSError):
        clear(job.run)
        job.workflow.write(job, material)
        checkpoint = fresh_checkpoint(job) if fresh is None else fresh
        write_config(job)  # last: with it the directory is a run
    return Start(job, checkpoint, Progress())


def _in_memory(job: Job) -> Checkpoint:
    """What a run starts from; `UserError` where it is too large."""
    try:
        return jax.block_until_ready(fresh_checkpoint(job))
    except (jax.errors.JaxRuntimeError, MemoryError, OverflowError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and not out_of_memory(error):
            raise
        fewer = ", or fewer --layers" if job.config.layers > 1 else ""
        raise UserError(
            "The model is too large for this machine's memory.\n"
            f"Choose a smaller --hidden-size than {job.config.hidden_size}{fewer}."
        ) from None


def resume(config: TrainingOptions, mine: Held, seen: TrainingOptions | None) -> Start:
    """Go on with a run: its options, its data, its last checkpoint.

    Args:
        config: the options given, over those of the run.
        mine: the run's directory.
        seen: the options of the run when the command's words were read, before the
            directory was this process's own.
    """
    run = RunDirectory(mine.what)
    before, described = read_config(run)
    if seen is not None and before != dataclasses.replace(seen, resume=None):
        raise UserError(
            f"{run.directory} was changed by another process a moment ago. Give the "
            "command again."
        )
    _check_changes(config, before)
    material = workflow_of(config).resume(config, run, described)
    config = dataclasses.replace(material.config, resume=None)
    job = _job(material._replace(config=config), run, mine, described.get("id"))
    job.workflow.keep(job)
    with plain_errors():
        checkpoint, progress = _last_checkpoint(job, described)
    news = options_as_json(config) != described["options"]
    return Start(job, checkpoint, progress, news)


def _job(
    material: Material, run: RunDirectory, mine: Held | None, identity: str | None
) -> Job:
    config, data, model, origin, _ = material
    return Job(workflow_of(config), config, run, data, model, mine, identity, origin)


def own(run: RunDirectory, stack: contextlib.ExitStack) -> Held:
    """Keep other processes from writing to a run until `stack` is left."""
    with plain_errors(OSError):
        return stack.enter_context(held(run.directory))


def resume_default(directory: Path, command: str) -> TrainingOptions:
    """The options of a run, as defaults of the command that resumes it."""
    config, described = read_config(RunDirectory(directory))
    if task_of(described) != command:
        raise UserError(
            f"{directory} is a run of jrnn {task_of(described)}. Go on with it:\n"
            f"  jrnn {task_of(described)} --resume {directory}"
        )
    return dataclasses.replace(config, resume=directory)


def _last_checkpoint(job: Job, described: dict) -> tuple[Checkpoint, Progress]:
    """What was saved last, or the beginning of a run that was stopped before."""
    run = job.run
    if not run.last.exists():
        _check_just_begun(job)
        return fresh_checkpoint(job), Progress()
    like = jax.eval_shape(lambda: fresh_checkpoint(job))
    checkpoint, facts = load(run.last, like)
    check_owner(run.last, facts, described)
    try:
        kinds = typing.get_type_hints(Progress)
        progress = Progress(**{n: typed(facts.get(n), k) for n, k in kinds.items()})
    except Mismatch as error:
        raise CheckpointError(f"{run.last} is damaged: {error}.") from error
    if run.best.exists():  # a damaged one is better known now than at the end
        _, facts = load(run.best, like.state.params)
        check_owner(run.best, facts, described)
    elif progress.best_step is not None:
        raise CheckpointError(
            f"{run.best} is missing, the weights of step {progress.best_step}. Put it "
            f"back,\nor {_anew(job, 'last')}"
        )
    return jax.device_put(checkpoint), progress


def _check_just_begun(job: Job) -> None:
    """Raise `UserError` where there must have been a checkpoint, which is gone."""
    run, config = job.run, job.config
    lines, results = read_metrics(run.metrics).lines, read_results(run)
    reached = lines[-1]["step"] if lines else 0
    ended = results is not None and results["status"] != "diverged"
    if ended or reached > config.save_every + config.log_every:
        raise UserError(
            f"{run.last} is missing, but the run had reached step {reached}. Put it "
            f"back,\nor {_anew(job, 'best')}"
        )


def _anew(job: Job, which: str) -> str:
    """What can be done where a file of a run is lost, and its weights are not."""
    if not hasattr(job.config, "from_"):
        return "start anew with --overwrite."
    where = (
        f"in a new run: jrnn {job.workflow.command} FILES --from {job.run.directory}"
    )
    if which == "best":
        return f"start anew with --overwrite, or from its best weights {where}"
    return f"go on from the last weights {where}"


def put_in_order(job: Job, progress: Progress, step: int) -> list[str]:
    """Forget what was written after the checkpoint: it will be written again.

    Returns what to say where a file is not as the checkpoint left it.
    """
    run, notes = job.run, []
    if note := read_metrics(run.metrics).note():
        notes.append(note)
    for path, size in (
        (run.metrics, progress.metrics_bytes),
        (run.samples, progress.samples_bytes),
    ):
        data = path.read_bytes() if path.exists() else b""
        if len(data) >= size and data[:size].endswith((b"\n", b"")[size == 0]):
            keep = size
        else:
            notes.append(
                f"{path.name} is not as it was at step {step}, the last checkpoint: "
                "something is missing from it."
            )
            keep = _bytes_until(data, step) if path == run.metrics else len(data)
        if len(data) > keep:
            os.truncate(path, keep)
    return notes


def _bytes_until(data: bytes, step: int) -> int:
    """Bytes of the whole lines of metrics.jsonl up to a step."""
    size = 0
    for line in data.split(b"\n")[:-1]:
        if _step_of(line) > step:
            break
        size += len(line) + 1
    return size


def _step_of(line: bytes) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0


def fresh_checkpoint(job: Job) -> Checkpoint:
    """Weights, optimiser state and carries before the first step."""
    config, workflow = job.config, job.workflow
    init_key, carry_key, key = jax.random.split(jax.random.key(config.seed), 3)
    params = workflow.weights(job, init_key)
    state = init_state(
        params,
        workflow.carry(job, params, carry_key),
        optimizer(config),
        average=config.average > 0,
    )
    return Checkpoint(state, key)


def _check_free(run: RunDirectory, overwrite: bool) -> None:
    if not run.directory.exists():
        return
    if not run.directory.is_dir():
        raise UserError(f"{run.directory} is a file, not a directory for a run.")
    names = {path.name for path in run.directory.iterdir()}
    foreign = sorted(names - {path.name for path in run.files})
    if overwrite and foreign:
        raise UserError(
            f"{run.directory} holds files that no run made ({', '.join(foreign[:3])}), "
            "so it is not deleted.\nChoose another directory with --out."
        )
    # a process that was killed before its directory was a run leaves nothing of worth
    early = {run.vocabulary, run.task, run.text, run.start}
    early |= {unfinished(path) for path in run.content}
    worthless = {path.name for path in (*_lock.files_at(run.lock), *early)}
    if names - worthless and not overwrite:
        raise UserError(
            f"{run.directory} exists. Go on with it by --resume {run.directory}, "
            "start anew with --overwrite,\nor choose another directory with --out."
        )


def _check_changes(config: TrainingOptions, before: TrainingOptions) -> None:
    for name in changed(config, before):
        if name in ("resume", "text", "source", "test", "overwrite", *RESUMABLE):
            continue
        old, new = getattr(before, name), getattr(config, name)
        if name == "files":
            raise UserError(workflow_of(config).other_data(config.resume))
        raise UserError(
            f"{option(name)} cannot change when a run is resumed: the run has {old}, "
            f"got {new}.\nOnly {', '.join(map(option, RESUMABLE))} can."
        )
    if config.overwrite:
        raise UserError("--resume and --overwrite exclude each other.")


def write_config(job: Job) -> None:
    """Write config.json."""
    packages = ("jrnn", "jax", "jaxlib", "optax", "numpy")
    command = job.workflow.command
    described = {
        "format": FORMAT,
        **({} if command == "train" else {"task": command}),
        "id": job.identity,
        "options": options_as_json(job.config),
        **job.workflow.facts(job),
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in packages},
    }
    write_sealed(job.run.config, described)


def _identity(job: Job) -> str:
    """The same for the same run made again, another for any other run."""
    options = options_as_json(job.config).items()
    aside = (*job.config.elsewhere.split(), *RESUMABLE)
    fixed = {name: value for name, value in options if name not in aside}
    return digest([fixed, *job.workflow.identity(job)])[:16]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
