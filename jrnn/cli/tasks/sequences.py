"""The workflow of a command that trains on examples, made of what it says of itself."""

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np

from jrnn.cell import Params
from jrnn.cli.data import run_name
from jrnn.cli.errors import UserError
from jrnn.cli.notices import of_examples
from jrnn.cli.options import SequenceOptions
from jrnn.cli.plot import plot_task
from jrnn.cli.results import beyond
from jrnn.cli.run import RunDirectory, check_cell
from jrnn.cli.stored import SEAL, check_seal, read_json, write_sealed
from jrnn.cli.tasks.batches import answered, compiled, measured, model_of
from jrnn.cli.tasks.examples import Command, Examples, Tested
from jrnn.cli.tasks.many import traced
from jrnn.cli.updates import intervals_of
from jrnn.cli.words import plain_errors
from jrnn.cli.workflow import Figures, Job, Material, Rows, Workflow
from jrnn.devices import keep_memory
from jrnn.files.runs import digest
from jrnn.train.checkpoint import write_atomically

COUNT = "examples"  # in results.json, whatever they are called in words
TOLD = 5  # examples that are shown with their answers


def workflow_for(command: Command) -> Workflow:
    """The workflow of a command, for the table of `jrnn.cli.tasks`."""
    return Workflow(
        command=command.name,
        prepare=partial(_prepare, command),
        notices=of_examples,
        run_name=lambda config: run_name(config.files),
        begin=partial(_begin, command),
        resume=partial(_resume, command),
        write=_write,
        keep=_keep,
        facts=_facts,
        identity=lambda job: [command.name, job.data.sha256, job.data.known],
        other_data=partial(_other_data, command),
        weights=lambda job, key: job.model.task.init(key),
        carry=lambda job, params, key: (),
        per_epoch=lambda job: job.model.stream.per_epoch,
        compile=compiled,
        sizes=_sizes,
        measurable=lambda job, part: job.data.part(part) is not None,
        evaluate=_evaluate,
        kept=partial(_kept, command),
        curves=command.curves,
        guess=lambda job: command.guess(job.data),
        diverged=lambda job, loss: beyond(loss, command.guess(job.data).loss),
        baselines=lambda job: command.baselines(job.config, job.data),
        record=partial(_record, command),
        unit=lambda config: command.unit,
        per_step=lambda config: config.batch_size,
        step_words=lambda config: f"{config.batch_size} {command.unit}",
        pass_words="passes over the data",
        about=partial(_about, command),
        cautions=command.cautions or _cautions,
        shown=command.shown,
        example=partial(_example, command),
        conclusion=partial(_conclusion, command),
        plot=partial(_plot, command),
        model_rows=partial(_model_rows, command),
        settle=partial(_settled, command),
        traced=partial(traced, command),
        least=1,
        judged="best_loss",
    )


def _prepare(command: Command, config: SequenceOptions) -> SequenceOptions:
    if config.source and config.resume is None:
        raise UserError("--source goes with --resume. Name a new run's data as FILE.")
    if not (config.files or config.resume):
        raise UserError(f"Name the data to train on: jrnn {command.name} FILE")
    keep_memory(one_arena=True)
    return config


# What is trained on what


def _begin(command: Command, config: SequenceOptions) -> Material:
    with plain_errors():
        data = command.read(config, None, None)
    config = command.settle(dataclasses.replace(config, files=data.files), data)
    config = dataclasses.replace(config, warmup=config.rise)
    config.check()
    return _material(command, config, data)


def _settled(command: Command, config: Any, data: Examples) -> Any:
    config = command.settle(config, data)
    return dataclasses.replace(config, eval_every=intervals_of(config).evaluate)


def _resume(
    command: Command, config: SequenceOptions, run: RunDirectory, described
) -> Any:
    files = config.source or config.files
    moved = (
        "If it was moved, name its file:\n"
        f"  jrnn {command.name} --resume {run.directory} --source FILE"
    )
    content = None
    if not config.source and run.text.exists():
        content = run.text.read_bytes()
    known = read_known(run, described)
    try:
        with plain_errors():
            now = dataclasses.replace(config, files=files, source=())
            data = command.read(now, known, content)
    except UserError as error:
        if config.source:
            raise
        raise UserError(f"{str(error).splitlines()[0]}\n{moved}") from None
    if data.sha256 != described["data"]["sha256"]:
        anew = f"To train on them, start a new run: jrnn {command.name} FILE"
        raise UserError(
            f"The data are not those that {run.directory} was trained on "
            f"({data.source}).\n{anew if config.source else moved}"
        )
    files = data.files if config.source else config.files
    return _material(command, dataclasses.replace(config, files=files, source=()), data)


def _material(command: Command, config: SequenceOptions, data: Examples) -> Material:
    check_cell(config.cell, config.hidden_size)
    with plain_errors(ValueError):
        task = command.task(config, data.known)
        model = model_of(task, data, config.batch_size, config.seed)
    return Material(config, data, model)


def read_known(run: RunDirectory, described: dict[str, Any]) -> dict[str, Any]:
    """What a run knows of its data: the content of task.json.

    Args:
        run: where.
        described: its config.json.

    Raises:
        UserError: the file is damaged, or of another run.
    """
    content = read_json(run.task)
    if not isinstance(content, dict):
        raise UserError(f"{run.task} is damaged: it does not describe a task.")
    check_seal(run.task, content)
    known = {name: value for name, value in content.items() if name != SEAL}
    if digest(known) != described["data"]["task_sha256"]:
        raise UserError(
            f"{run.task} is damaged or from another run: it is not that of "
            f"{run.config}."
        )
    return known


def _write(job: Job, material: Material) -> None:
    _keep(job)
    write_sealed(job.run.task, job.data.known)


def _keep(job: Job) -> None:
    """Keep in the run's directory what no resumption could read again."""
    if job.data.kept is not None:
        with plain_errors(OSError):
            write_atomically(job.run.text, job.data.kept)


def _facts(job: Job) -> dict[str, Any]:
    data = {
        "source": job.data.source,
        "sha256": job.data.sha256,
        "parts": list(_sizes(job.data)),
        "task_sha256": digest(job.data.known),
    }
    return {"data": data}


def _other_data(command: Command, directory: Any) -> str:
    return (
        "A run that is resumed keeps its data. If the file was moved, name it by "
        f"--source;\nto train on another, start a new run: jrnn {command.name} FILE"
    )


# Measuring


def _sizes(data: Examples) -> tuple[int, int, int]:
    return len(data.train.inputs), len(data.valid.inputs), len(data.test.inputs)


def _evaluate(job: Job, params: Params, part: str) -> tuple[float, Figures]:
    dataset = job.data.part(part)
    figures = measured(job.model, params, dataset, job.config.batch_size)
    loss = figures.pop("loss")
    return float("nan") if loss is None else float(loss), figures


def _kept(command: Command, job: Job, params: Params) -> Params:
    dataset = job.data.part("valid")
    if command.kept is None or dataset is None:
        return params
    answers = answered(job.model, params, dataset, job.config.batch_size)
    return command.kept(job.data.known, params, answers, dataset)


def _record(
    command: Command, loss: float, figures: Figures, count: int | None
) -> dict[str, Any]:
    numbers = {name: figures[name] for name in command.curves if name in figures}
    counted = {} if count is None else {COUNT: count}
    return {"loss": loss if np.isfinite(loss) else None, **numbers, **counted}


# Words and pictures


def _about(command: Command, job: Job) -> list[str]:
    data, (train, valid, test) = job.data, _sizes(job.data)
    padding = 100 * job.model.stream.padding
    return [
        f"Data: {data.source}, {train + valid + test:,} {command.unit}; {train:,} to "
        f"train, {valid:,} to validate, {test:,} to test; {padding:.0f} % of a batch "
        "is padding.",
        *command.about(data),
    ]


def _cautions(config: SequenceOptions, sizes: tuple[int, int, int]) -> list[str]:
    """Say of held-out parts that they are too small: a rate has 1 / (2 sqrt(n))."""
    parts = {"validation": sizes[1], "test": sizes[2]}
    few = [f"{n} for {name}" for name, n in parts.items() if 0 < n < 100]
    if not few:
        return []
    error = 50 / min(n for n in parts.values() if n) ** 0.5
    return [
        f"Caution: only {' and '.join(few)}: a share measured on so few examples has a "
        f"standard error of up to {error:.0f} %."
    ]


def _example(command: Command, job: Job, params: Params, step: int) -> str:
    return "\n".join(_told(command, job, params, "valid"))


def _told(command: Command, job: Job, params: Params, part: str) -> list[str]:
    """The first examples of a part, or of what there is, with their answers."""
    dataset = job.data.part(part) or job.data.train
    n = len(dataset.inputs)  # examples of one class may lie side by side
    some = dataset.take(np.unique(np.linspace(0, n - 1, TOLD).astype(int)))
    answers = answered(job.model, params, some, job.config.batch_size)
    return command.told(job.data.known, some, answers)


def _conclusion(
    command: Command, job: Job, params: Params, figures: Figures
) -> list[str]:
    words = command.details(job.data.known, figures) if figures else []
    lines = _told(command, job, params, "test")
    words.append("Some answers:\n\n" + "\n".join(lines) + "\n")
    if command.draw is not None and job.data.part("test"):
        answers = answered(job.model, params, job.data.test, job.config.batch_size)
        tested = Tested(job.data.known, job.data.test, answers, figures)
        command.draw(tested, job.run.picture)
        words.append(f"The test part, drawn: {job.run.picture}")
    return [*words, f"Answers to new rows:\n  jrnn predict {job.run.directory} FILE"]


def _plot(
    command: Command, job: Job, metrics: list[dict[str, Any]], title: str
) -> None:
    guess = command.guess(job.data)
    plot_task(metrics, guess.loss, guess.what, title, job.run.plot)


def _model_rows(command: Command, run: RunDirectory, config, described) -> Rows:
    known, data = read_known(run, described), described["data"]
    shapes = params_of(command, config, known)
    count = sum(int(np.prod(p.shape, dtype=object)) for p in jax.tree.leaves(shapes))
    return [
        ("task", f"jrnn {command.name}"),
        ("model", f"{config.layers} x {config.cell} {config.hidden_size}"),
        ("parameters", f"{count:,}"),
        ("data", f"{data['source']}, {sum(data['parts']):,} {command.unit}"),
    ]


def params_of(
    command: Command, config: SequenceOptions, known: dict[str, Any]
) -> Params:
    """Shapes and dtypes of the weights of a task."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    init: Any = lambda key: command.task(config, known).init(key)
    return jax.eval_shape(init, key)
