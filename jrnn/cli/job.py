"""What `jrnn train` starts from: a new run, or one that was stopped."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import typing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _lock, optimizers
from jrnn._lock import Held, held
from jrnn.cell import Carry, Key, Params
from jrnn.cli.config import Train, changed, option
from jrnn.cli.data import Data, load_data, run_name
from jrnn.cli.errors import UserError
from jrnn.cli.results import read_results
from jrnn.cli.run import (
    Origin,
    RunDirectory,
    Trained,
    build_model,
    clear,
    options_as_json,
    origin_of,
    read_config,
    read_vocabulary,
)
from jrnn.cli.start import extended, grown, load_origin, origin_in
from jrnn.cli.stored import read_metrics, write_json, write_sealed
from jrnn.cli.typed import Mismatch, typed
from jrnn.cli.words import plain_errors
from jrnn.files.runs import FORMAT, check_owner, digest, params_like
from jrnn.models import LanguageModel
from jrnn.text import to_json
from jrnn.train import (
    CheckpointError,
    TrainState,
    init_state,
    initial_carries,
    load,
    save,
)
from jrnn.train.checkpoint import unfinished, write_atomically

# What may be given anew when a run is resumed; nothing else may differ.
RESUMABLE = ("steps", "patience", "learning_rate", "clip", "log")
# What does not say which run it is: where things lie, and what may change.
_ELSEWHERE = ("files", "out", "resume", "text", "from_", "overwrite", "cluster")


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


class Job(NamedTuple):
    """Everything that stays the same during a run."""

    config: Train
    run: RunDirectory
    data: Data
    model: LanguageModel
    held: Held  # the run's directory, which no other process may write to
    identity: str | None  # of the run, in each of its checkpoints; older runs have none
    origin: Origin | None  # what was taken from another run, if anything


class Start(NamedTuple):
    """Where a run begins or goes on."""

    job: Job
    checkpoint: Checkpoint
    progress: Progress
    news: bool = False  # whether options have changed since config.json was written


def begin(config: Train, stack: contextlib.ExitStack) -> Start:
    """Start a new run: read the text, draw the weights, then make the directory.

    The directory is this process's own until `stack` is left.
    """
    run = RunDirectory(config.out or Path("runs") / run_name(config.files))
    mine = own(run, stack) if run.lock.exists() else None
    _check_free(run, config.overwrite)
    before = None if config.from_ is None else load_origin(config.from_, config)
    vocabulary = None
    if before is not None:
        vocabulary = lambda text: extended(before.vocabulary, text, config.min_count)
    data = load_data(config, vocabulary)
    with plain_errors(OSError):
        run.directory.mkdir(parents=True, exist_ok=True)
    if mine is None:
        mine = own(run, stack)
        _check_free(run, config.overwrite)  # another may have been faster
    config = dataclasses.replace(
        config,
        files=data.files,
        warmup=config.rise,
        out=run.directory,
        overwrite=False,
    )
    origin = None if before is None else origin_in(before, data.vocabulary)
    job = Job(
        config,
        run,
        data,
        build_model(config, len(data.vocabulary)),
        mine,
        _identity(config, data, origin),
        origin,
    )
    with plain_errors(OSError):
        return Start(job, _first_files(job, before), Progress())


def _first_files(job: Job, before: Trained | None) -> Checkpoint:
    """Make the directory a new run's; `before` is the run whose weights it takes."""
    run = job.run
    clear(run)
    _keep_text(run, job.data)
    write_json(run.vocabulary, to_json(job.data.vocabulary))
    if before is not None:
        weights = grown(before.params, fresh_weights(job))
        save(run.start, weights, {"run": job.identity, "step": 0})
    checkpoint = fresh_checkpoint(job)
    write_config(job)  # last: with it the directory is a run
    return checkpoint


def resume(config: Train, mine: Held, seen: Train | None) -> Start:
    """Go on with a run: its options, its text, its last checkpoint.

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
    data = _same_text(config, run, described)
    config = dataclasses.replace(
        config,
        resume=None,
        text=(),
        files=data.files if config.text else config.files,
    )
    _keep_text(run, data)
    job = Job(
        config,
        run,
        data,
        build_model(config, len(data.vocabulary)),
        mine,
        described.get("id"),
        origin_of(described),
    )
    with plain_errors():
        checkpoint, progress = _last_checkpoint(job, described)
    news = options_as_json(config) != described["options"]
    return Start(job, checkpoint, progress, news)


def own(run: RunDirectory, stack: contextlib.ExitStack) -> Held:
    """Keep other processes from writing to a run until `stack` is left."""
    with plain_errors(OSError):
        return stack.enter_context(held(run.directory))


def resume_default(directory: Path) -> Train:
    """The options of a run, as defaults of the command that resumes it."""
    config, _ = read_config(RunDirectory(directory))
    return dataclasses.replace(config, resume=directory)


def _same_text(config: Train, run: RunDirectory, described: dict[str, Any]) -> Data:
    vocabulary = read_vocabulary(run, described)
    now = dataclasses.replace(config, files=config.text or config.files, text=())
    moved = (
        f"If it was moved, name its files:\n"
        f"  jrnn train --resume {run.directory} --text FILES"
    )
    try:
        data = load_data(now, vocabulary, None if config.text else run.text)
    except UserError as error:
        if config.text:
            raise
        raise UserError(f"{error}\n{moved}") from None
    if data.sha256 != described["text"]["sha256"]:
        advice = "To train on it, start a new run from the weights of this one: --from."
        raise UserError(
            f"The text is not the one that {run.directory} was trained on "
            f"({data.source}).\n{advice if config.text else moved}"
        )
    return data


def _last_checkpoint(job: Job, described: dict) -> tuple[Checkpoint, Progress]:
    """What was saved last, or the beginning of a run that was stopped before."""
    run = job.run
    if not run.last.exists():
        _check_just_begun(job)
        return fresh_checkpoint(job), Progress()
    checkpoint, facts = load(run.last, jax.eval_shape(lambda: fresh_checkpoint(job)))
    check_owner(run.last, facts, described)
    try:
        kinds = typing.get_type_hints(Progress)
        progress = Progress(**{n: typed(facts.get(n), k) for n, k in kinds.items()})
    except Mismatch as error:
        raise CheckpointError(f"{run.last} is damaged: {error}.") from error
    if run.best.exists():  # a damaged one is better known now than at the end
        _, facts = load(run.best, params_like(job.model.evaluate))
        check_owner(run.best, facts, described)
    elif progress.best_step is not None:
        raise CheckpointError(
            f"{run.best} is missing, the weights of step {progress.best_step}. Put it "
            f"back,\nor go on from the last weights in a new run: "
            f"jrnn train FILES --from {run.directory}"
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
            f"back,\nor start anew with --overwrite, or from its best weights in a "
            f"new run: jrnn train FILES --from {run.directory}"
        )


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


def fresh_weights(job: Job) -> Params:
    """Weights as a new run draws them."""
    init_key, _, _ = jax.random.split(jax.random.key(job.config.seed), 3)
    return job.model.train.init(init_key, jax.ShapeDtypeStruct((), jnp.int32))


def fresh_checkpoint(job: Job) -> Checkpoint:
    """Weights, optimiser state and carries before the first step."""
    config = job.config
    _, carry_key, key = jax.random.split(jax.random.key(config.seed), 3)
    params = fresh_weights(job)
    if job.origin is not None:
        params, _ = load(job.run.start, params_like(job.model.evaluate))
        params = jax.device_put(params)
    state = init_state(
        params,
        start_carry(job)(params, carry_key),
        optimizer(config),
        average=config.average > 0,
    )
    return Checkpoint(state, key)


def start_carry(job: Job):
    """The function that gives every row its initial carry."""

    def carries(params: Params, key: Key | None) -> Carry:
        return initial_carries(job.model.train, params, job.config.batch_size, key=key)

    return carries


def optimizer(config: Train):
    """The optimiser of a configuration, `(learning_rate, max_norm) -> rule`."""
    if config.optimizer == "adamw":
        return lambda rate, norm: optimizers.adamw(
            rate, norm, weight_decay=config.weight_decay
        )
    return getattr(optimizers, config.optimizer)


def with_devices(job: Job, devices: int) -> Job:
    """Fix how many devices share the batch, for this run and whenever it is resumed."""
    job = job._replace(config=dataclasses.replace(job.config, devices=devices))
    write_config(job)
    return job


def _keep_text(run: RunDirectory, data: Data) -> None:
    """Keep in the run's directory what no resumption could read again."""
    if data.kept is not None:
        with plain_errors(OSError):
            write_atomically(run.text, data.kept)


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
    early = {run.vocabulary, run.text, run.start, *map(unfinished, run.content)}
    worthless = {path.name for path in (*_lock.files_at(run.lock), *early)}
    if names - worthless and not overwrite:
        raise UserError(
            f"{run.directory} exists. Go on with it by --resume {run.directory}, "
            "start anew with --overwrite,\nor choose another directory with --out."
        )


def _check_changes(config: Train, before: Train) -> None:
    for name in changed(config, before):
        if name in ("resume", "text", "overwrite", *RESUMABLE):
            continue
        old, new = getattr(before, name), getattr(config, name)
        if name == "files":
            raise UserError(
                "A run that is resumed keeps its text. If that was moved, name it by "
                "--text;\nto train on another, start a new run: "
                f"jrnn train FILES --from {config.resume}"
            )
        raise UserError(
            f"{option(name)} cannot change when a run is resumed: the run has {old}, "
            f"got {new}.\nOnly {', '.join(map(option, RESUMABLE))} can."
        )
    if config.overwrite:
        raise UserError("--resume and --overwrite exclude each other.")


def write_config(job: Job) -> None:
    """Write config.json."""
    data, packages = job.data, ("jrnn", "jax", "jaxlib", "optax", "numpy")
    parts = [len(part) for part in (data.train, data.valid, data.test)]
    described = {
        "format": FORMAT,
        "id": job.identity,
        "options": options_as_json(job.config),
        "text": {
            "source": data.source,
            "sha256": data.sha256,
            "tokens": sum(parts),
            "parts": parts,
            "vocabulary": len(data.vocabulary),
            "symbols_sha256": digest(to_json(data.vocabulary)),
        },
        "origin": job.origin and job.origin._asdict(),
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in packages},
    }
    write_sealed(job.run.config, described)


def _identity(config: Train, data: Data, origin: Origin | None) -> str:
    """The same for the same run made again, another for any other run."""
    options = options_as_json(config).items()
    aside = (*_ELSEWHERE, *RESUMABLE, "devices")
    fixed = {name: value for name, value in options if name not in aside}
    symbols = to_json(data.vocabulary)
    return digest([fixed, data.sha256, symbols, origin])[:16]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
