"""`jrnn export`: a trained model in a form that other programs run."""

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.cell import Cell, Input, Params
from jrnn.cli.config import Export, Train
from jrnn.cli.data import load_data
from jrnn.cli.display import UNITS, Console, losses, two_columns
from jrnn.cli.errors import UserError
from jrnn.cli.notices import warn
from jrnn.cli.options import option
from jrnn.cli.results import caution, read_results
from jrnn.cli.run import RunDirectory, Trained, load_trained, read_train
from jrnn.cli.words import plain_errors
from jrnn.export import Exported, to_c, to_hf, to_jax, to_onnx
from jrnn.export.hf_folder import FILES as HF_FILES
from jrnn.files import load, tensors
from jrnn.files.model import ENTRY
from jrnn.sequence import SequenceModel
from jrnn.text import Vocabulary
from jrnn.train.checkpoint import read_tensors

ENOUGH = 10_000  # tokens on which the cost of eight bits is measured
CARD = (
    "level split dropout recurrent_dropout batch_size window update_every optimizer "
    "learning_rate schedule warmup clip weight_decay average seed"
).split()


_LABELS = {"code": "text without weights", "stack": "stack of a step"}


class ToExport(NamedTuple):
    """A model to export."""

    model: Cell | SequenceModel
    params: Params
    x: Input
    vocabulary: Vocabulary | None
    trained: Trained | None  # of a run


def export(options: Export) -> None:
    """Run the command."""
    if options.int8 and options.format != "c":
        raise UserError("--int8 is for --format c.")
    _check_destination(options)
    source = _source(options)
    with plain_errors(ValueError, TypeError, OSError, ImportError):
        written = _write(options, source)
    rows = [(_LABELS.get(n, n), f"{size:,} bytes") for n, size in written.sizes.items()]
    console = Console(highlight=False)
    console.print(two_columns(str(written.path), rows + _cost(written)))
    console.print(_how(options, source), markup=False, soft_wrap=True)


def _check_destination(options: Export) -> None:
    """Nothing is replaced unasked, and no part of the run in any case."""
    to, run, is_folder = options.to, options.run, options.format == "hf"
    own = {path.resolve() for path in RunDirectory(run).files} | {run.resolve()}
    if to.resolve() in own:
        raise UserError(f"{to} is part of what is exported. Choose another --to.")
    if not to.absolute().parent.is_dir():
        raise UserError(f"There is no folder {to.parent}. Make it first.")
    if is_folder and to.exists() and not to.is_dir():
        raise UserError(f"{to} is a file. Name a folder by --to.")
    if not is_folder and to.is_dir():
        raise UserError(f"{to} is a folder. Name a file in it by --to.")
    names = HF_FILES if is_folder else ("",)
    there = next((to / name for name in names if (to / name).exists()), None)
    if there and not options.overwrite:
        raise UserError(
            f"{there} exists. Replace it by --overwrite, or choose another --to."
        )


def _source(options: Export) -> ToExport:
    if options.run.is_dir():
        trained = load_trained(options.run, options.checkpoint)
        token = jax.ShapeDtypeStruct((), jnp.int32)
        model = trained.model.evaluate
        return ToExport(model, trained.params, token, trained.vocabulary, trained)
    if options.checkpoint != "best":
        warn(["--checkpoint does nothing with a file, which has one set of weights."])
    with plain_errors():
        model, params, vocabulary = load(options.run)
        header, _ = read_tensors(options.run)
        x = tensors.input_from_json(json.loads(header[ENTRY])["input"])
    return ToExport(model, params, x, vocabulary, None)


def _write(options: Export, source: ToExport) -> Exported:
    given, trained = (source.model, source.params, source.x), source.trained
    kept = {"vocabulary": source.vocabulary, "overwrite": options.overwrite}
    if options.format == "jax":
        return to_jax(options.to, *given, **kept)
    if options.format == "onnx":
        return to_onnx(options.to, *given, **kept)
    if options.format == "c":
        xs = _held_out(options.run, trained) if options.int8 and trained else None
        return to_c(options.to, *given, int8=options.int8, xs=xs, **kept)
    if trained is None:
        return to_hf(options.to, *given, **kept)
    facts = {"measured": _measured(options.run, trained)}
    facts["training"] = _training(options.run, trained)
    return to_hf(options.to, *given, **facts, **kept)


def _held_out(run: Path, trained: Trained) -> np.ndarray | None:
    """The first tokens that the run was not trained on, if its text is still there."""
    config, described = read_train(RunDirectory(run))
    try:
        data = load_data(config, trained.vocabulary, RunDirectory(run).text)
    except UserError:
        return None
    if data.sha256 != described["text"]["sha256"]:
        return None
    tokens = data.valid if len(data.valid) > 1 else data.test
    return tokens[:ENOUGH] if len(tokens) > 1 else None


def _measured(run: Path, trained: Trained) -> dict[str, str]:
    """What the run has measured of these weights, and of no others."""
    results, step = read_results(RunDirectory(run)) or {}, trained.facts["step"]
    config, described = read_train(RunDirectory(run))
    weights, unit = results.get("weights"), UNITS[config.level]
    if not isinstance(weights, dict) or weights.get("step") != step:
        valid = trained.facts.get("valid_loss")
        if isinstance(valid, float) and trained.path.name.startswith("best"):
            return {"validation loss": losses(valid)}
        return {}
    rows = {}
    for name in ("training", "validation", "test"):
        part = results.get(name, {})
        if part.get("nats") is None:
            continue
        of = f", of {part['tokens']:,} {unit}" if "tokens" in part else ""
        rows[f"{name} loss"] = losses(part["nats"]) + of
    parts = described["text"].get("parts")
    words = caution(parts[1], parts[2], unit) if parts and rows else None
    return {**rows, "caution": words.partition(": ")[2]} if words else rows


def _training(run: Path, trained: Trained) -> dict[str, str]:
    """What the weights came from, without a path of this machine."""
    config, described = read_train(RunDirectory(run))
    text = described["text"]
    versions = {name: v for name, v in described["versions"].items() if v}
    return {
        "steps": f"{trained.facts['step']} of {config.steps}",
        "text": f"{text['source']}, {text['tokens']:,} {UNITS[config.level]}",
        "SHA-256 of the text": text["sha256"],
        **{option(name): _shown(config, name) for name in CARD},
        "versions": ", ".join(f"{name} {v}" for name, v in versions.items()),
    }


def _shown(config: Train, name: str) -> str:
    value: Any = getattr(config, name)
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "-" if value is None else str(value)


def _cost(written: Exported) -> list[tuple[str, str]]:
    """What eight bits cost, as rows."""
    found = written.measured
    if not found:
        return []
    rows = [
        ("measured on", f"{found['steps']:,} steps"),
        ("largest difference", f"{found['largest difference']:.3g} of an output"),
        ("relative difference", f"{found['relative difference']:.3%}"),
    ]
    if "nats" in found:
        rows += [
            ("loss, float32", losses(found["nats"])),
            ("loss, int8", losses(found["nats in int8"])),
        ]
    return rows


def _how(options: Export, source: ToExport) -> str:
    """The line that a user types next."""
    to = shlex.quote(str(options.to))
    if options.format == "c":
        program = shlex.quote(str(options.to.with_suffix("")))
        return f"Build it: cc -std=c99 -O3 -o {program} {to} -lm"
    if options.format == "hf":
        return f'Read it: jrnn.load("{options.to / "model.safetensors"}")'
    return "How it is read: python -m pydoc jrnn.export"
