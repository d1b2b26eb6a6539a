"""A model as the folder that the Hugging Face Hub shows: weights, config, card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jrnn import files, text
from jrnn.cell import Cell, Input, Params
from jrnn.export.arguments import Exported, bytes_of, checked
from jrnn.files import describe, tensors
from jrnn.sequence import SequenceModel
from jrnn.train.checkpoint import write_atomically

FILES = WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MODEL_TYPE = "jrnn"


def to_hf(
    path: str | Path,
    model: Cell | SequenceModel,
    params: Params,
    x: Input,
    *,
    vocabulary: text.Vocabulary | None = None,
    measured: Mapping[str, str] | None = None,
    training: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model as a folder for the Hugging Face Hub; nothing is uploaded.

    * `model.safetensors`, which `jrnn.load` reads: weights and how the cell was made;
    * `config.json`: the same description, the form of the input, the vocabulary, what
      `training` says;
    * `README.md`, the model card: what the model is and how it is loaded, and two
      tables with what `measured` and `training` say. It holds no figure that was not
      given; license, language and data are for you to add.

    The folder can hold what `jrnn.save` can: cells of jrnn's factories and of those
    that `jrnn.register` named.

    Args:
        path: the folder; it is made if it is not there.
        model: a cell, made by factories of jrnn or registered ones.
        params: its parameters.
        x: an example of one step's input, as for `init`, or its spec.
        vocabulary: what the tokens of a model of text stand for.
        measured: figures for the card, as `{"test loss": "1.479 nats"}`.
        training: what it was trained with, as `{"steps": "2500"}`.
        overwrite: replace these three files, if the folder has those of a model.

    Returns:
        `Exported(path, sizes, measured)`; sizes are bytes of each file and of the
        weights, and nothing is measured.

    Raises:
        TypeError: `model` is no cell, or has a part that has no name in files.
        ValueError: `params` are those of another model, or not finite.
        FileExistsError: the folder has one of these files, or a `config.json` that is
            no model of jrnn's.
        OSError: a file cannot be written.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp, jrnn
        >>> net = jrnn.stack(jrnn.gru(4), jrnn.linear(2))
        >>> params = net.init(jax.random.key(0), jnp.zeros(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = to_hf(f"{folder}/net", net, params, jnp.zeros(3),
        ...                  measured={"mean squared error": "0.0031"})
        ...     model, params, _ = jrnn.load(file.path / "model.safetensors")
        ...     card = (file.path / "README.md").read_text()
        >>> jrnn.unroll(model, params, jnp.ones((5, 3)))[1].shape
        (5, 2)
        >>> "| mean squared error | 0.0031 |" in card
        True
    """
    path = Path(path)
    arrays, x = checked("to_hf", model, params, x, vocabulary)
    try:
        described = describe.to_json(model)
    except describe.Nameless as error:
        raise TypeError(f"to_hf: {error}") from None
    _check_folder(path, overwrite)
    config = {
        "model_type": MODEL_TYPE,
        "jrnn_model": described,
        "jrnn_input": tensors.input_to_json(x),
        "jrnn_vocabulary": vocabulary and text.to_json(vocabulary),
        "training": dict(training or {}),
    }
    number = sum(array.size for array in arrays.values())
    content = _card(described, x, number, vocabulary, measured or {}, training or {})
    path.mkdir(exist_ok=True)
    write_atomically(path / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    write_atomically(path / CARD, content.encode("utf-8", "replace"))
    files.save(path / WEIGHTS, model, params, x, vocabulary=vocabulary)
    sizes = {name: (path / name).stat().st_size for name in FILES}
    return Exported(path, {**sizes, "weights": bytes_of(params)}, {})


def _check_folder(path: Path, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"to_hf: {path} is a file. Name a folder.")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"to_hf: there is no folder {path.absolute().parent}.")
    there = [name for name in FILES if (path / name).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"to_hf: {path / there[0]} exists. Pass overwrite=True, or another folder."
        )
    if CONFIG in there and not _is_ours(path / CONFIG):
        raise FileExistsError(
            f"to_hf: {path / CONFIG} is not that of an exported model, so it is not "
            "replaced. Name another folder."
        )


def _is_ours(path: Path) -> bool:
    try:
        config = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("model_type") == MODEL_TYPE


def _card(
    described: Any,
    x: Input,
    number: int,
    vocabulary: text.Vocabulary | None,
    measured: Mapping[str, str],
    training: Mapping[str, str],
) -> str:
    """The model card. Its head is what the Hub reads."""
    tags = ["recurrent-neural-network", "jax"]
    head = ["---", "library_name: jrnn"]
    if vocabulary is not None:
        head.append("pipeline_tag: text-generation")
    head += ["tags:", *(f"- {tag}" for tag in tags), "---"]
    about = {
        "model": f"`{called(described)}`",
        "parameters": f"{number:,}",
        "input of one step": f"`{tensors.input_to_json(x)}`",
    }
    if vocabulary is not None:
        about["symbols"] = f"{len(vocabulary)} ({vocabulary.level})"
    use = 'model, params, vocabulary = jrnn.load("model.safetensors")'
    lines = [*head, "", "# A recurrent network", "", *_table(about), "", "## Use", ""]
    lines += ["```python", "import jrnn", "", use, "```", "", "## Measured", ""]
    lines += _table(measured) if measured else ["No figure was given."]
    if training:
        lines += ["", "## Training", "", *_table(training)]
    return "\n".join(lines) + "\n"


def called(described: Any) -> str:
    """A cell as its factories were called, but for defaults that are initialisers."""
    if isinstance(described, list):
        return ", ".join(map(called, described))
    if not isinstance(described, dict):
        return repr(described)
    if "factory" not in described:  # a function or a dtype
        return str(next(iter(described.values())))
    told = [
        called(value) if isinstance(value, list) else f"{name}={called(value)}"
        for name, value in described["arguments"].items()
        if value is not None
    ]
    return f"{described['factory']}({', '.join(told)})"


def _table(rows: Mapping[str, str]) -> list[str]:
    plain = lambda value: " ".join(str(value).split()).replace("|", "\\|")
    lines = ["| | |", "|---|---|"]
    return lines + [f"| {plain(k)} | {plain(v)} |" for k, v in rows.items()]
