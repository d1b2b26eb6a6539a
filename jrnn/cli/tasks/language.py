"""`jrnn train`: a language model, on windows of streams of text."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.cell import Key, Params
from jrnn.cli.cluster import join
from jrnn.cli.config import Train
from jrnn.cli.data import Data, load_data, run_name
from jrnn.cli.devices import check_devices
from jrnn.cli.display import UNITS, losses
from jrnn.cli.errors import UserError
from jrnn.cli.generation import default_prime, generate_text
from jrnn.cli.notices import of_training
from jrnn.cli.plot import plot_losses
from jrnn.cli.results import caution, diverged, measured
from jrnn.cli.run import RunDirectory, build_model, origin_of, read_vocabulary
from jrnn.cli.start import extended, grown, load_origin, origin_in
from jrnn.cli.stored import write_json
from jrnn.cli.tasks.windows import carry, compiled, traced
from jrnn.cli.words import plain_errors
from jrnn.cli.workflow import Figures, Guess, Job, Material, Rows, Workflow
from jrnn.devices import keep_memory, provide_cores
from jrnn.files.runs import digest, params_like
from jrnn.text import to_json
from jrnn.train import evaluate, load, save
from jrnn.train.checkpoint import write_atomically

# Before anything is read


def _prepare(config: Train) -> Train:
    if config.text and config.resume is None:
        raise UserError("--text goes with --resume. Name a new run's text as FILES.")
    if config.from_ is not None and not config.files:
        raise UserError("--from needs a text to go on with: name it as FILES.")
    keep_memory(one_arena=config.devices == 1)
    if config.cluster is None:
        provide_cores(loops_in_loops=False)
    join(config.cluster)
    check_devices(config)
    return dataclasses.replace(config, cluster=None)


# What is trained on what


def _begin(config: Train) -> Material:
    before = None if config.from_ is None else load_origin(config.from_, config)
    vocabulary = None
    if before is not None:
        vocabulary = lambda text: extended(before.vocabulary, text, config.min_count)
    data = load_data(config, vocabulary)
    config = dataclasses.replace(config, files=data.files, warmup=config.rise)
    model = build_model(config, len(data.vocabulary))
    found = Material(config, data, model)
    if before is None:
        return found
    origin = origin_in(before, data.vocabulary)
    return found._replace(origin=origin, start=before.params)


def _resume(config: Train, run: RunDirectory, described: dict[str, Any]) -> Material:
    data = _same_text(config, run, described)
    config = dataclasses.replace(
        config, text=(), files=data.files if config.text else config.files
    )
    model = build_model(config, len(data.vocabulary))
    return Material(config, data, model, origin_of(described))


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


def _write(job: Job, material: Material) -> None:
    _keep(job)
    write_json(job.run.vocabulary, to_json(job.data.vocabulary))
    if material.start is not None:
        key, _, _ = jax.random.split(jax.random.key(job.config.seed), 3)
        weights = grown(material.start, _fresh_weights(job, key))
        save(job.run.start, weights, {"run": job.identity, "step": 0})


def _keep(job: Job) -> None:
    """Keep in the run's directory what no resumption could read again."""
    if job.data.kept is not None:
        with plain_errors(OSError):
            write_atomically(job.run.text, job.data.kept)


def _facts(job: Job) -> dict[str, Any]:
    data = job.data
    text = {
        "source": data.source,
        "sha256": data.sha256,
        "tokens": sum(_sizes(data)),
        "parts": list(_sizes(data)),
        "vocabulary": len(data.vocabulary),
        "symbols_sha256": digest(to_json(data.vocabulary)),
    }
    return {"text": text, "origin": job.origin and job.origin._asdict()}


def _identity(job: Job) -> list[Any]:
    return [job.data.sha256, to_json(job.data.vocabulary), job.origin]


def _other_data(directory: Any) -> str:
    return (
        "A run that is resumed keeps its text. If that was moved, name it by "
        "--text;\nto train on another, start a new run: "
        f"jrnn train FILES --from {directory}"
    )


# Training


def _fresh_weights(job: Job, key: Key) -> Params:
    return job.model.train.init(key, jax.ShapeDtypeStruct((), jnp.int32))


def _weights(job: Job, key: Key) -> Params:
    if job.origin is None:
        return _fresh_weights(job, key)
    params, _ = load(job.run.start, params_like(job.model.evaluate))
    return jax.device_put(params)


# Measuring


def _sizes(data: Data) -> tuple[int, int, int]:
    return len(data.train), len(data.valid), len(data.test)


def _measurable(job: Job, part: str) -> bool:
    return len(getattr(job.data, part)) > 1


def _evaluate(job: Job, params: Params, part: str) -> tuple[float, Figures]:
    nats, _ = evaluate(job.model.evaluate, params, getattr(job.data, part))
    return float(nats), {}


def _guess(job: Job) -> Guess:
    nats = float(np.log(len(job.data.vocabulary)))
    return Guess(nats, "a uniform guess", " nats")


def _record(nats: float, figures: Figures, tokens: int | None) -> dict[str, Any]:
    return measured(nats, tokens)


# Words and pictures


def _unit(config: Train) -> str:
    return UNITS[config.level]


def _step_words(config: Train) -> str:
    return f"{config.batch_size} x {config.stride} {_unit(config)}"


def _about(job: Job) -> list[str]:
    data, parts = job.data, _sizes(job.data)
    return [
        f"Text: {data.source}, {sum(parts):,} {_unit(job.config)}, "
        f"{len(data.vocabulary)} symbols; {parts[0]:,} to train, {parts[1]:,} to "
        f"validate, {parts[2]:,} to test."
    ]


def _cautions(config: Train, sizes: tuple[int, int, int]) -> list[str]:
    words = caution(*sizes[1:], _unit(config))
    return [words] if words else []


def _shown(figures: Figures) -> str:
    return losses(figures["loss"])


def _example(job: Job, params: Params, step: int) -> str:
    return _text(job, params, jax.random.fold_in(_key(job), step), 300)


def _conclusion(job: Job, params: Params, figures: Figures) -> list[str]:
    text = _text(job, params, _key(job), 500)
    return [
        f"A sample, at temperature 0.8:\n\n{text.strip()}\n",
        f"More of it:\n  jrnn sample {job.run.directory}",
    ]


def _key(job: Job) -> Key:
    return jax.random.key(job.config.seed)


def _text(job: Job, params: Params, key: Key, length: int) -> str:
    vocabulary = job.data.vocabulary
    prime = default_prime(vocabulary)
    return generate_text(job.model.evaluate, params, vocabulary, key, length, prime)


def _plot(job: Job, metrics: list[dict[str, Any]], title: str) -> None:
    plot_losses(metrics, len(job.data.vocabulary), title, job.run.plot)


def _model_rows(run: RunDirectory, config: Train, described: dict[str, Any]) -> Rows:
    vocabulary = read_vocabulary(run, described)
    model = build_model(config, len(vocabulary))
    shapes = [p.shape for p in jax.tree.leaves(params_like(model.evaluate))]
    count = sum(int(np.prod(shape, dtype=object)) for shape in shapes)
    text = described["text"]
    rows = [
        ("model", f"{config.layers} x {config.cell} {config.hidden_size}"),
        ("parameters", f"{count:,}"),
        ("text", f"{text['source']}, {text['tokens']:,} {_unit(config)}"),
        ("symbols", f"{len(vocabulary)} ({config.level})"),
    ]
    if origin := origin_of(described):
        rows.append(("weights", origin.told()))
    return rows


LANGUAGE = Workflow(
    command="train",
    prepare=_prepare,
    notices=of_training,
    run_name=lambda config: run_name(config.files),
    begin=_begin,
    resume=_resume,
    write=_write,
    keep=_keep,
    facts=_facts,
    identity=_identity,
    other_data=_other_data,
    weights=_weights,
    carry=carry,
    per_epoch=lambda job: job.data.windows,
    compile=compiled,
    sizes=_sizes,
    measurable=_measurable,
    evaluate=_evaluate,
    kept=lambda job, params: params,
    curves=(),
    guess=_guess,
    diverged=lambda job, nats: diverged(nats, len(job.data.vocabulary)),
    baselines=lambda job: {},
    record=_record,
    unit=_unit,
    per_step=lambda config: config.batch_size * config.stride,
    step_words=_step_words,
    pass_words="passes over the text",
    about=_about,
    cautions=_cautions,
    shown=_shown,
    example=_example,
    conclusion=_conclusion,
    plot=_plot,
    model_rows=_model_rows,
    settle=lambda config, data: config,
    traced=traced,
    least=2,
    judged="valid_loss",
)
