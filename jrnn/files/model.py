"""`save` and `load`."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import safetensors.numpy

from jrnn import text
from jrnn.cell import Cell, Input, Params
from jrnn.files import build, describe, tensors
from jrnn.files.runs import load_run
from jrnn.files.table import is_model
from jrnn.sequence import SequenceModel
from jrnn.train.checkpoint import (
    FORMAT as CHECKPOINT,
)
from jrnn.train.checkpoint import (
    CheckpointError,
    digest,
    read_tensors,
    write_atomically,
)

ENTRY = "jrnn-model"  # of the header
FORMAT = 1
PARTS = "model", "input", "vocabulary"


class Loaded(NamedTuple):
    """A model with its weights."""

    model: Cell | SequenceModel
    params: Params  # JAX arrays
    vocabulary: text.Vocabulary | None  # what its tokens stand for, if it reads text


def save(
    path: str | Path,
    model: Cell | SequenceModel,
    params: Params,
    x: Input,
    *,
    vocabulary: text.Vocabulary | None = None,
) -> None:
    """Write a model to one safetensors file: its weights, and how its cell was made.

    `load` gives the same cell with the same weights, in any program that has jrnn: the
    file holds the names of factories and their arguments, see `jrnn.files`. A function
    among the arguments is written by its name, in `jax.nn` or by `jrnn.register`; an
    initialiser that is the default is left out. The file is written whole or not at
    all, and carries a digest.

    PyTorch's `state_dict` has the weights only, and the class must be at hand; Keras'
    `.keras` file is like this one, but asks for `custom_objects` at loading.

    Args:
        path: the file; one of that name is replaced.
        model: a cell, or a model of whole sequences, made by factories of jrnn or
            registered ones.
        params: its parameters, JAX or NumPy arrays of any dtype that safetensors has
            (no complex128); they may have been cast since `init`.
        x: an example of one step's input, as for `init`, or its spec. The form of the
            parameters follows from it.
        vocabulary: what the tokens of a model of text stand for.

    Raises:
        TypeError: the model has a part that has no name in files, or is no cell.
        ValueError: `params` are those of another model, or hold a random key or a dtype
            that a file cannot.
        OSError: the file cannot be written; an old one is as it was.

    Returns:
        Nothing.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp, jrnn
        >>> net = jrnn.stack(jrnn.gru(4), jrnn.linear(2))
        >>> params = net.init(jax.random.key(0), jnp.zeros(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/net.safetensors", net, params, jnp.zeros(3))
        ...     again, same, _ = load(f"{folder}/net.safetensors")
        >>> ys = jrnn.unroll(net, params, jnp.ones((5, 3)))[1]
        >>> bool((jrnn.unroll(again, same, jnp.ones((5, 3)))[1] == ys).all())
        True
    """
    _check_arguments(model, vocabulary)
    content = {"format": FORMAT}
    try:
        content["model"] = describe.to_json(model)
        content["input"] = tensors.input_to_json(x)
        arrays = {n: tensors.to_numpy(n, v) for n, v in tensors.named(params).items()}
        # as `load` will see it: what is written can be read
        rebuilt = build.cell_from_json(content["model"])
        tensors.check(arrays, tensors.named(_form(rebuilt, content["input"])))
    except (describe.Nameless, build.Unknown, tensors.Misfit) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"save: {error}") from None
    content["vocabulary"] = vocabulary and text.to_json(vocabulary)
    content = json.loads(json.dumps(content))  # as it will be read
    sealed = {**content, "sha256": digest(arrays, content)}
    # one entry only: safetensors writes several in an order that changes at random
    header = {ENTRY: json.dumps(sealed)}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=header))


def load(path: str | Path) -> Loaded:
    """Read a model from the file that `save` wrote, or from a run of `jrnn train`.

        model, params, vocabulary = jrnn.load("runs/mytext")

    Of a run it takes the weights with the lowest validation loss, or the last ones
    where nothing was held out, and the model as it is evaluated, without dropout.

    Args:
        path: a file, or the directory of a run.

    Returns:
        `Loaded(model, params, vocabulary)`; the vocabulary is None where none was
        saved.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        CheckpointError: not a model, a damaged one, or one with a name that is not
            known here; a `ValueError` of `jrnn.train`.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp, jrnn
        >>> from jrnn.generate import prime, sample
        >>> from jrnn.text import build_vocabulary, decode, encode
        >>> words = build_vocabulary("hello")
        >>> net = jrnn.stack(jrnn.one_hot(4), jrnn.gru(8), jrnn.linear(4))
        >>> params, token = net.init(jax.random.key(0), jnp.array(0)), jnp.array(0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/hello.safetensors"
        ...     save(path, net, params, token, vocabulary=words)
        ...     model, params, vocabulary = load(path)
        >>> start = prime(model, params, encode(vocabulary, "hell"))
        >>> _, tokens = sample(model, params, jax.random.key(1), start, 5)
        >>> len(decode(vocabulary, tokens))
        5
    """
    path = Path(path)
    if path.is_dir():
        return Loaded(*load_run(path))
    if not path.is_file():
        raise FileNotFoundError(f"There is no model at {path}.")
    header, arrays = read_tensors(path)
    content = _content(path, header, arrays)
    try:
        model = build.cell_from_json(content["model"])
        form = _form(model, content["input"])
        tensors.check(arrays, tensors.named(form))
        leaves = [tensors.to_jax(n, arrays[n]) for n in tensors.named(form)]
        vocabulary = content["vocabulary"] and text.from_json(content["vocabulary"])
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Loaded(
        model, jax.tree.unflatten(jax.tree.structure(form), leaves), vocabulary
    )


def _check_arguments(model: Any, vocabulary: Any) -> None:
    if not is_model(model):
        fix = (
            "Pass its `evaluate`, or its `train`."
            if hasattr(model, "evaluate")
            else "The order is save(path, model, params, x)."
        )
        raise TypeError(
            f"save: model must be a cell, got {type(model).__name__}. {fix}"
        )
    if not isinstance(vocabulary, text.Vocabulary | None):
        raise TypeError(
            "save: vocabulary must be a jrnn.text.Vocabulary, got "
            f"{type(vocabulary).__name__}."
        )


def _form(model: Cell | SequenceModel, described_input: Any) -> Params:
    """The form of a model's parameters, given that of its input."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    x = tensors.input_from_json(described_input)
    return jax.eval_shape(lambda key, x: model.init(key, x), key, x)


def _content(path: Path, header: dict[str, str], arrays: dict) -> dict[str, Any]:
    """What the header says of the model, if nothing has changed since."""
    damaged = CheckpointError(
        f"{path} is damaged: its content is not what was saved in it. Take a copy of "
        "it from elsewhere."
    )
    if ENTRY not in header:
        raise CheckpointError(_of_another_kind(path, header))
    try:
        content = json.loads(header[ENTRY])
        version, expected = content["format"], content.pop("sha256")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged from error
    if type(version) is int and version > FORMAT:
        raise CheckpointError(
            f"{path} has format version {version}, but this jrnn reads version "
            f"{FORMAT}. Install a newer one."
        )
    if version != FORMAT or expected != digest(arrays, content):
        raise damaged
    if missing := [name for name in PARTS if name not in content]:
        raise CheckpointError(f"{path} does not say its {missing[0]}.")
    return content


def _of_another_kind(path: Path, header: dict[str, str]) -> str:
    if CHECKPOINT in header:
        return (
            f"{path} is a checkpoint, which does not say of which model. Give "
            "jrnn.load the directory of its run, or read it by jrnn.train.load."
        )
    return (
        f"{path} is a safetensors file, but not a model of jrnn: it has no entry "
        f"{ENTRY!r}."
    )
