"""The model of a run of `jrnn train`, from its directory."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jrnn import text
from jrnn.cell import Cell, Params
from jrnn.models import CELLS, language_model
from jrnn.train.checkpoint import CheckpointError, load, named_leaves, read

FORMAT = "jrnn-run-1"
SIZES = "hidden_size", "layers", "embed_size"


def load_run(directory: Path) -> tuple[Cell, Params, text.Vocabulary]:
    """The model of a run with its best weights, and its vocabulary.

    Args:
        directory: what `jrnn train` has written.

    Returns:
        `(model, params, vocabulary)`; the model without dropout.

    Raises:
        CheckpointError: not a run, or a damaged one.
    """
    config = _config(directory)
    vocabulary = _vocabulary(directory, config)
    model = _model(directory, config["options"], len(vocabulary))
    params = _weights(directory, params_like(model), config)
    return model, jax.tree.map(jnp.asarray, params), vocabulary


def params_like(model: Cell) -> Params:
    """Shapes and dtypes of the parameters of a model that reads tokens."""
    token = jax.ShapeDtypeStruct((), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(lambda key: model.init(key, token), key)


def last_weights(path: Path, like: Params) -> tuple[Params, dict[str, Any]]:
    """The weights of a training checkpoint: the running mean if there is one."""
    arrays, facts = read(path)
    other = f"{path} holds another model than its config.json describes"
    for prefix in (".state.average", ".state.params"):
        names = [prefix + name for name, _ in named_leaves(like)]
        if names and all(name in arrays for name in names):
            leaves = [arrays[name] for name in names]
            for name, a, b in zip(names, leaves, jax.tree.leaves(like), strict=True):
                if (a.shape, a.dtype) != (b.shape, b.dtype):
                    raise CheckpointError(f"{other}: {name} has shape {a.shape}.")
            return jax.tree.unflatten(jax.tree.structure(like), leaves), facts
    raise CheckpointError(f"{other}.")


def check_owner(path: Path, facts: dict[str, Any], described: dict[str, Any]) -> None:
    """Raise `CheckpointError` where a checkpoint is not one of the run it lies in."""
    if type(facts.get("step")) is not int:
        raise CheckpointError(
            f"{path} is damaged: it does not say of which step it is."
        )
    if facts.get("run") != described.get("id"):
        raise CheckpointError(
            f"{path} belongs to another run than the config.json beside it."
        )


def digest(data: Any) -> str:
    """SHA-256 of what JSON can hold, the same for equal content."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _model(directory: Path, options: dict[str, Any], vocab_size: int) -> Cell:
    sizes = {name: options[name] for name in SIZES}
    try:
        model = language_model(vocab_size, cell=CELLS[options["cell"]], **sizes)
    except ValueError as error:
        raise CheckpointError(f"{directory / 'config.json'}: {error}") from error
    return model.evaluate


def _config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    if not path.exists():
        raise CheckpointError(
            f"{directory} is not a run of jrnn train: it has no config.json."
        )
    data = _read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not the configuration of a run.")
    content = {name: value for name, value in data.items() if name != "sha256"}
    if "sha256" in data and data["sha256"] != digest(content):
        raise CheckpointError(f"{path} is damaged, or was edited.")
    if "task" in data:
        raise CheckpointError(
            f"{directory} is a run of jrnn {data['task']}; of runs, only those of "
            "jrnn train are read."
        )
    options = data.get("options")
    if not (
        isinstance(options, dict)
        and options.get("cell") in list(CELLS)  # JSON may hold what has no hash
        and all(type(options.get(name)) is int for name in SIZES)
        and isinstance(data.get("text"), dict)
    ):
        raise CheckpointError(f"{path} is damaged: it does not describe a model.")
    return data


def _vocabulary(directory: Path, config: dict[str, Any]) -> text.Vocabulary:
    path = directory / "vocab.json"
    if not path.exists():
        raise CheckpointError(f"{directory} is not a whole run: it has no vocab.json.")
    try:
        vocabulary = text.from_json(_read_json(path))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    expected = config["text"].get("symbols_sha256")
    if expected not in (None, digest(text.to_json(vocabulary))):
        raise CheckpointError(
            f"{path} is damaged or from another run: its symbols are not those of "
            "config.json."
        )
    return vocabulary


def _weights(directory: Path, like: Params, config: dict[str, Any]) -> Params:
    """The best weights, or the last ones of a run that measures none."""
    best, last = directory / "best.safetensors", directory / "checkpoint.safetensors"
    if best.exists():
        path, (params, facts) = best, load(best, like)
    elif last.exists():
        path, (params, facts) = last, last_weights(last, like)
        if facts.get("best_step") is not None:
            raise CheckpointError(f"best.safetensors is missing beside {last}.")
    else:
        raise CheckpointError(
            f"{directory} has no checkpoint yet. Train it with\n"
            f"  jrnn train --resume {directory}"
        )
    check_owner(path, facts, config)
    return params


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error
