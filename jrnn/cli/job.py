"""What `jrnn train` starts from: a new run, or one that was stopped."""

import dataclasses
import importlib.metadata
import platform
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import optimizers
from jrnn.cell import Carry, Params
from jrnn.cli.config import Train, changed, option
from jrnn.cli.data import Data, load_data, run_name
from jrnn.cli.errors import UserError, told_plainly
from jrnn.cli.run import (
    FORMAT,
    Run,
    build_model,
    options_as_json,
    read_config,
    read_vocabulary,
    write_json,
)
from jrnn.models import LanguageModel
from jrnn.text import to_json
from jrnn.train import TrainState, init_state, initial_carries, load
from jrnn.train.checkpoint import write_atomically

# What may be given anew when a run is resumed; nothing else may differ.
RESUMABLE = ("steps", "patience", "learning_rate", "clip")


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
    run: Run
    data: Data
    model: LanguageModel


def begin(config: Train) -> tuple[Job, Checkpoint, Progress]:
    """Start a new run: read the text, draw the weights, then make the directory."""
    run = Run(config.out or Path("runs") / run_name(config.files))
    _check_free(run, config.overwrite)
    data = load_data(config)
    config = dataclasses.replace(
        config,
        files=data.files,
        warmup=config.rise,
        out=run.directory,
        overwrite=False,
    )
    job = Job(config, run, data, build_model(config, len(data.vocabulary)))
    checkpoint = fresh_checkpoint(job)
    with told_plainly():
        run.directory.mkdir(parents=True, exist_ok=True)
        for path in run.files:
            path.unlink(missing_ok=True)
        if data.kept is not None:
            write_atomically(run.text, data.kept)
        write_json(run.vocabulary, to_json(data.vocabulary))
        write_json(run.config, _describe(job))
    return job, checkpoint, Progress()


def resume(config: Train) -> tuple[Job, Checkpoint, Progress]:
    """Go on with a run: its options, its text, its last checkpoint."""
    run = Run(config.resume)
    before, described = read_config(run)
    _check_changes(config, before)
    config = dataclasses.replace(config, resume=None)
    data = load_data(config, read_vocabulary(run), run.text)
    if data.sha256 != described["text"]["sha256"]:
        raise UserError(
            f"The text is not the one that {run.directory} was trained on "
            f"({data.source}).\nTrain a new run on it, with another --out."
        )
    job = Job(config, run, data, build_model(config, len(data.vocabulary)))
    if not run.last.exists():  # stopped before its first checkpoint
        return job, fresh_checkpoint(job), Progress()
    with told_plainly():
        checkpoint, facts = load(
            run.last, jax.eval_shape(lambda: fresh_checkpoint(job))
        )
        progress = Progress(**{name: facts.get(name) for name in Progress._fields})
    if options_as_json(config) != described["options"]:
        with told_plainly():
            write_json(run.config, _describe(job))
    return job, jax.device_put(checkpoint), progress


def resume_default(directory: Path) -> Train:
    """The options of a run, as defaults of the command that resumes it."""
    config, _ = read_config(Run(directory))
    return dataclasses.replace(config, resume=directory)


def fresh_checkpoint(job: Job) -> Checkpoint:
    """Weights, optimiser state and carries before the first step."""
    config = job.config
    init_key, carry_key, key = jax.random.split(jax.random.key(config.seed), 3)
    params = job.model.train.init(init_key, jax.ShapeDtypeStruct((), jnp.int32))
    state = init_state(
        params,
        start_carry(job)(params, carry_key),
        optimizer(config),
        average=config.average > 0,
    )
    return Checkpoint(state, key)


def start_carry(job: Job):
    """The function that gives every row its initial carry."""

    def carries(params: Params, key: jax.Array) -> Carry:
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
    write_json(job.run.config, _describe(job))
    return job


def _check_free(run: Run, overwrite: bool) -> None:
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
    if names and not overwrite:
        raise UserError(
            f"{run.directory} exists. Go on with it by --resume {run.directory}, "
            "start anew with --overwrite,\nor choose another directory with --out."
        )


def _check_changes(config: Train, before: Train) -> None:
    for name in changed(config, before):
        if name in ("resume", "overwrite", *RESUMABLE):
            continue
        old, new = getattr(before, name), getattr(config, name)
        raise UserError(
            f"{option(name)} cannot change when a run is resumed: the run has {old}, "
            f"got {new}.\nOnly {', '.join(map(option, RESUMABLE))} can."
        )
    if config.overwrite:
        raise UserError("--resume and --overwrite exclude each other.")


def _describe(job: Job) -> dict:
    packages = ("jrnn", "jax", "jaxlib", "optax", "numpy")
    return {
        "format": FORMAT,
        "options": options_as_json(job.config),
        "text": {
            "source": job.data.source,
            "sha256": job.data.sha256,
            "tokens": sum(map(len, (job.data.train, job.data.valid, job.data.test))),
            "vocabulary": len(job.data.vocabulary),
        },
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
