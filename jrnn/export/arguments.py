"""What every format asks of a model before it writes one."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jrnn import text
from jrnn.cell import Cell, Input, Params
from jrnn.files import tensors
from jrnn.files.table import is_model
from jrnn.sequence import SequenceModel


class Unsupported(ValueError):
    """A model has a part that a format cannot hold; the message names it."""


class Exported(NamedTuple):
    """What a function of `jrnn.export` has written."""

    path: Path
    sizes: dict[str, int]  # bytes, by what they are for
    measured: dict[str, float]  # what the format costs in accuracy, if anything


RANDOM = (
    "dropout recurrent_dropout variational_dropout weight_dropout zoneout"
).split()


def parts(
    cell: Cell | SequenceModel, place: str = "model"
) -> Iterator[tuple[str, Cell | SequenceModel]]:
    """A cell and all cells in it, with their places: `model.cells[1].cell`.

    Only factories know what they were given: of a cell without a description the parts
    are not seen.
    """
    yield place, cell
    arguments = cell.description.arguments if cell.description else {}
    for name, value in arguments.items():
        if is_model(value):
            yield from parts(value, f"{place}.{name}")
        elif isinstance(value, tuple):
            for i, inner in enumerate(value):
                if is_model(inner):
                    yield from parts(inner, f"{place}.{name}[{i}]")


def named(prefix: str, tree: Any) -> dict[str, Any]:
    """Leaves by place: `carry.1.h` for `tree[1].h`, and `carry` for a lone array."""
    alone = jax.tree.structure(tree) == jax.tree.structure(0)
    join = lambda name: prefix if alone else f"{prefix}.{name}"
    return {join(name): leaf for name, leaf in tensors.named(tree).items()}


def checked(
    function: str,
    model: Cell | SequenceModel,
    params: Params,
    x: Input,
    vocabulary: Any,
) -> tuple[dict[str, np.ndarray], Input]:
    """Parameters as named arrays, and the spec of the input, once both are right."""
    if not is_model(model):
        fix = "Pass its `evaluate`." if hasattr(model, "evaluate") else _ORDER
        raise TypeError(
            f"{function}: model must be a cell, got {type(model).__name__}. "
            + fix.format(function)
        )
    if not isinstance(vocabulary, text.Vocabulary | None):
        raise TypeError(
            f"{function}: vocabulary must be a jrnn.text.Vocabulary, got "
            f"{type(vocabulary).__name__}."
        )
    for place, cell in parts(model):
        if cell.description and cell.description.factory in RANDOM:
            name = cell.description.factory
            mean = "zoneout_mean in its place"
            instead = mean if name == "zoneout" else "the cell without it"
            raise Unsupported(
                f"{function}: {place} is {name}, which draws random numbers. Export "
                f"{instead}: it has the same params."
            )
    try:
        x = tensors.input_from_json(tensors.input_to_json(x))
        arrays = {n: tensors.to_numpy(n, v) for n, v in tensors.named(params).items()}
        key = jax.eval_shape(lambda: jax.random.key(0))
        form = jax.eval_shape(lambda key, x: model.init(key, x), key, x)
        tensors.check(arrays, tensors.named(form))
    except tensors.Misfit as error:
        raise ValueError(f"{function}: {error}") from None
    except TypeError as error:  # of the input: its message has the head of `save`
        raise TypeError(f"{function}: {str(error).removeprefix('save: ')}") from None
    _finite(function, arrays)
    return arrays, x


_ORDER = "The order is {}(path, model, params, x)."


def _finite(function: str, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        # bfloat16 is no float to NumPy
        if array.dtype.kind in "iub" or np.isfinite(array.astype(complex)).all():
            continue
        raise ValueError(
            f"{function}: {name} holds NaN or infinity: the model has diverged. Take "
            "weights from before it did."
        )


def check_file(function: str, path: Path, overwrite: bool) -> None:
    """Raise unless a file may be written here."""
    if path.is_dir():
        raise IsADirectoryError(f"{function}: {path} is a folder. Name a file in it.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{function}: {path} exists. Pass overwrite=True, or another name."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{function}: there is no folder {path.parent}.")


def bytes_of(tree: Any) -> int:
    """Bytes of all arrays, or specs, in a tree."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
