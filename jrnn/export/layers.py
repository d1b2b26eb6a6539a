"""A model as a list of layers, for formats with code of their own for each of them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jrnn import _activation
from jrnn._description import Description
from jrnn.cell import Cell, Input, Params
from jrnn.export.arguments import Unsupported
from jrnn.files.names import name_of
from jrnn.sequence import SequenceModel

RECURRENT = "elman", "irnn", "gru", "lstm"
OF_TOKENS = "embed", "one_hot"
KINDS = (*RECURRENT, *OF_TOKENS, "linear", "activation")


class Format(NamedTuple):
    """What a format is called and can hold."""

    function: str  # that writes it
    words: str  # what it is: "an ONNX file"
    activations: tuple[str, ...]  # of recurrent layers, by their names in jax.nn


class StackedLayer(NamedTuple):
    """One cell of a stack."""

    kind: str  # the name of its factory
    name: str  # in the parameters and the carry: 1, or nothing for a lone cell
    params: Any  # its own NamedTuple, of NumPy arrays
    inputs: int | None  # length of what it reads; None for a token
    outputs: int  # length of what it returns
    activation: str  # of elman, irnn and activation; else empty
    reset: str  # of gru; else empty

    @property
    def tokens(self) -> int | None:
        """How many tokens it knows, where it reads one."""
        if self.kind == "embed":
            return len(self.params.table)
        return self.outputs if self.kind == "one_hot" else None

    @property
    def state(self) -> list[str]:
        """Names of its arrays in the carry, each as long as its output."""
        if self.kind not in RECURRENT:
            return []
        own = f"carry.{self.name}".rstrip(".")
        return [f"{own}.h", f"{own}.c"] if self.kind == "lstm" else [own]


def layers_of(
    form: Format, model: Cell | SequenceModel, params: Params, x: Input
) -> list[StackedLayer]:
    """The layers of a stack, in the order in which they act.

    Args:
        form: of the file.
        model: a cell.
        params: its parameters, as NumPy arrays.
        x: the spec of one step's input.

    Returns:
        One `StackedLayer` for each cell that is no stack; at least one.

    Raises:
        Unsupported: a cell, an activation, a dtype or an input that the format cannot
            hold, by its place and its name.
    """
    layers, size = [], _input_size(form, x)
    for made, own, place, name in _cells(form, model, params, "model", ""):
        layers.append(_layer(form, made, own, place, name, size))
        size = layers[-1].outputs
    return layers


def _input_size(form: Format, x: Input) -> int | None:
    """The length of a vector of float32; None for a token."""
    if isinstance(x, jax.ShapeDtypeStruct):
        if x.shape == () and np.issubdtype(x.dtype, np.integer):
            return None
        if len(x.shape) == 1 and x.dtype == np.float32:
            return x.shape[0]
        x = f"{x.dtype}{list(x.shape)}"
    else:
        x = f"a {type(x).__name__}"
    raise _refused(form, f"x is {x}, but {form.words} reads a token or a float32[I]")


def _cells(
    form: Format, cell: Cell | SequenceModel, params: Params, place: str, name: str
) -> Iterator[tuple[Description, Params, str, str]]:
    """How the cells of nested stacks were made, with their params and places."""
    made = cell.description
    if made is None or made.factory not in ("stack", *KINDS):
        raise _refused(
            form,
            f"{place} is {made.factory if made else 'a cell of your own'}, which "
            f"{form.words} cannot hold. It holds stacks of {', '.join(KINDS)}; to_jax "
            "writes any cell",
        )
    if made.factory != "stack":
        yield made, params, place, name
        return
    for i, inner in enumerate(made.arguments["cells"]):
        at = f"{name}.{i}" if name else str(i)
        yield from _cells(form, inner, params[i], f"{place}.cells[{i}]", at)


def _layer(
    form: Format,
    made: Description,
    params: Params,
    place: str,
    name: str,
    size: int | None,
) -> StackedLayer:
    kind, arguments = made
    if size is None and kind not in OF_TOKENS:
        raise _refused(form, f"{place} is {kind}, which reads no token")
    dtypes = {leaf.dtype for leaf in params}
    if kind == "one_hot":
        dtypes = {np.dtype(arguments["dtype"] or np.float32)}
    for dtype in dtypes - {np.dtype(np.float32)}:
        raise _refused(
            form, f"{place} is {kind} in {dtype}, but {form.words} has float32"
        )
    outputs = {
        "embed": lambda: arguments["size"],
        "one_hot": lambda: arguments["vocab_size"],
        "linear": lambda: arguments["output_size"],
        "activation": lambda: size,
    }.get(kind, lambda: arguments["hidden_size"])()
    f = _activation_of(form, made, place)
    reset = arguments.get("reset", "")
    return StackedLayer(kind, name, params, size, int(outputs), f, reset)


def _activation_of(form: Format, made: Description, place: str) -> str:
    kind, arguments = made
    if kind == "irnn":
        return "relu"
    if kind not in ("elman", "activation"):
        return ""
    argument = "activation" if kind == "elman" else "f"
    f = arguments[argument]
    name = f if isinstance(f, str) else name_of(f)
    known = form.activations if kind == "elman" else _activation.NAMES
    if name is None or name not in known:
        raise _refused(
            form,
            f"{place}.{argument} is {name or 'a function of your own'}, which "
            f"{form.words} cannot hold here. It can hold {', '.join(known)}",
        )
    return name


def _refused(form: Format, problem: str) -> Unsupported:
    return Unsupported(f"{form.function}: {problem}.")
