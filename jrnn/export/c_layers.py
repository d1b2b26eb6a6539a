"""The tables, the state and the step of a model in C, layer by layer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jrnn.export.c_int8 import quantised
from jrnn.export.layers import RECURRENT, StackedLayer


class Code(NamedTuple):
    """A program while it is written."""

    int8: bool  # matrices in eight bits
    tables: dict[str, np.ndarray]  # weights, by the names that the step uses
    state: dict[str, int]  # fields of the state, with their lengths
    scratch: dict[str, int]  # arrays on the stack, with their lengths
    step: list[str]  # statements
    helpers: set[str]  # functions that the statements call


class Feed(NamedTuple):
    """Where a layer finds its input."""

    at: str  # an expression of C: an array, or the token of a vector with a single 1
    size: int
    is_token: bool = False


def write_layers(layers: Sequence[StackedLayer], int8: bool) -> Code:
    """The code of a model that reads x and writes y.

    A vector with a single 1 is not made where a product reads it: that takes a row of
    the weights.
    """
    code = Code(int8, {}, {}, {}, [], set())
    source = _input(layers[0])
    following = [layer.kind for layer in layers[1:]] + [None]
    for n, (layer, reader) in enumerate(zip(layers, following, strict=True), start=1):
        if layer.kind == "one_hot" and reader in (*RECURRENT, "linear"):
            continue
        code.step.append(f"/* {layer.kind}, {layer.outputs} */")
        write = _RECURRENT.get(layer.kind, _feed_forward)
        at = "y" if reader is None else f"out{n}"
        source = Feed(write(code, layer, n, source, at), layer.outputs)
    return code


def _input(first: StackedLayer) -> Feed:
    if first.tokens is not None:
        return Feed("x", first.tokens, is_token=True)
    assert first.inputs is not None  # what reads no token reads a vector
    return Feed("x", first.inputs)


def _feed_forward(code: Code, layer: StackedLayer, n: int, source: Feed, y: str) -> str:
    size, p = layer.outputs, layer.params
    if y != "y":
        code.scratch[y] = size
    if layer.kind == "linear":
        _affine(code, y, source, f"w{n}", p.w, f"b{n}", p.b)
    elif layer.kind == "activation":
        _call(code, f"apply_{layer.activation}", y, source.at, size)
    else:
        _call(code, "clear", y, size)
        if layer.kind == "embed":
            _add_product(code, y, source, f"w{n}", p.table)
        else:
            _call(code, "set_one", y, source.at, size)
    return y


def _elman(code: Code, layer: StackedLayer, n: int, source: Feed, y: str) -> str:
    p, z, h = layer.params, f"z{n}", _state(code, f"h{n}", layer.outputs)
    _affine(code, z, source, f"wx{n}", p.w_x, f"b{n}", p.b)
    _add_product(code, z, h, f"wh{n}", p.w_h)
    _call(code, f"apply_{layer.activation}", h.at, z, h.size)
    return _returned(code, h, y)


def _lstm(code: Code, layer: StackedLayer, n: int, source: Feed, y: str) -> str:
    p, z, h = layer.params, f"z{n}", _state(code, f"h{n}", layer.outputs)
    c = _state(code, f"c{n}", layer.outputs)
    _affine(code, z, source, f"wx{n}", p.w_x, f"b{n}", p.b)
    _add_product(code, z, h, f"wh{n}", p.w_h)
    _call(code, "lstm", h.at, c.at, z, h.size)
    return _returned(code, h, y)


def _gru(code: Code, layer: StackedLayer, n: int, source: Feed, y: str) -> str:
    p, z, u, h = layer.params, f"z{n}", f"u{n}", _state(code, f"h{n}", layer.outputs)
    _affine(code, z, source, f"wx{n}", p.w_x, f"bx{n}", p.b_x)
    if layer.reset == "after":
        _affine(code, u, h, f"wh{n}", p.w_h, f"bh{n}", p.b_h)
        _call(code, "gru_after", h.at, z, u, h.size)
        return _returned(code, h, y)
    w_rz, w_n = np.split(p.w_h, [2 * h.size], axis=-1)  # (H, 2H), (H, H)
    b_rz, b_n = np.split(p.b_h, [2 * h.size], axis=-1)
    v = Feed(f"v{n}", h.size)
    code.scratch[v.at] = v.size
    _affine(code, u, h, f"wg{n}", w_rz, f"bg{n}", b_rz)
    _call(code, "gru_reset", v.at, h.at, z, u, h.size)
    _affine(code, f"p{n}", v, f"wn{n}", w_n, f"bn{n}", b_n)
    _call(code, "gru_before", h.at, z, u, f"p{n}", h.size)
    return _returned(code, h, y)


_RECURRENT = {"elman": _elman, "irnn": _elman, "gru": _gru, "lstm": _lstm}


def _call(code: Code, function: str, *arguments: object) -> None:
    code.helpers.add(function)
    code.step.append(f"{function}({', '.join(map(str, arguments))});")


def _state(code: Code, name: str, size: int) -> Feed:
    code.state[name] = size
    return Feed(f"state->{name}", size)


def _returned(code: Code, h: Feed, y: str) -> str:
    """Where the output of a recurrent layer is: its state, unless it is the last."""
    if y == "y":
        _call(code, "copy", "y", h.at, h.size)
        return y
    return h.at


def _affine(
    code: Code,
    to: str,
    source: Feed,
    w_name: str,
    w: np.ndarray,
    b_name: str,
    b: np.ndarray,
) -> None:
    """`to = source w + b`."""
    if to != "y":
        code.scratch[to] = len(b)
    code.tables[b_name] = b
    _call(code, "copy", to, b_name, len(b))
    _add_product(code, to, source, w_name, w)


def _add_product(code: Code, to: str, source: Feed, name: str, w: np.ndarray) -> None:
    """`to += source w`, by a row of w where the source is a token."""
    tables = {name: w}
    if code.int8:
        tables = dict(zip((name, f"{name}_scale"), quantised(w), strict=True))
    code.tables.update(tables)
    function = ("add_row" if source.is_token else "add_product") + "_8" * code.int8
    _call(code, function, to, source.at, *tables, *w.shape)
