"""Layers of Flax, linen and nnx, from the names in their nested dictionaries.

linen has an array for each gate: LSTM cells ii if ig io without and hi hf hg ho with a
bias, GRUCell ir iz in with and hr hz without a bias and hn with one, SimpleCell i with
and h without. In nnx LSTMCell does the same (if_ for if), and the others have dense_i
and dense_h with gates side by side: the GRU has no bias on dense_h there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jrnn.interop.order import TOKENS, Part, in_order

Node = Mapping[Any, Any]
Path = tuple[Any, ...]

_GATES = {"lstm": "ifgo", "gru": "rzn", "simple": ("",)}
BOTH = "forward_rnn", "backward_rnn"


class Names(NamedTuple):
    """Where the arrays of a cell are: one entry for each gate, or one for all."""

    x: tuple[str, ...]
    h: tuple[str, ...]
    biases: tuple[str, ...]  # the entries that have one, in order


OF_NO_CELL = Names((), (), ())
LINEN = {
    "lstm": Names(("ii", "if", "ig", "io"), h := ("hi", "hf", "hg", "ho"), h),
    "gru": Names(("ir", "iz", "in"), ("hr", "hz", "hn"), ("ir", "iz", "in", "hn")),
    "simple": Names(("i",), ("h",), ("i",)),
}
_NNX_LSTM = LINEN["lstm"]._replace(x=("ii", "if_", "ig", "io"))
_DENSE = {
    "lstm": Names(("dense_i",), ("dense_h",), ("dense_h",)),
    "gru": Names(("dense_i",), ("dense_h",), ("dense_i",)),
    "simple": Names(("dense_i",), ("dense_h",), ("dense_i",)),
}
_GATES_OF_DENSE = {1: "simple", 3: "gru", 4: "lstm"}


class FoundLayer(NamedTuple):
    """A layer in a nested dictionary."""

    path: Path
    kind: str  # lstm, gru, simple, embed, dense
    node: Node
    names: Names = OF_NO_CELL

    @property
    def place(self) -> str:
        """The path as text."""
        return "/".join(map(str, self.path)) or "the module"

    def array(self, *entry: str) -> np.ndarray:
        """One of its arrays."""
        value = self.node
        for name in entry:
            value = value[name]
        return np.asarray(value)

    @property
    def hidden_size(self) -> int:
        """Units H of a cell."""
        return self.array(self.names.h[0], "kernel").shape[0]

    @property
    def sizes(self) -> tuple[int | None, int]:
        """What it reads and writes."""
        if self.kind == "embed":
            return TOKENS, self.array("embedding").shape[1]
        if self.kind == "dense":
            return self.array("kernel").shape
        return self.array(self.names.x[0], "kernel").shape[0], self.hidden_size


def ways_of(function: str, tree: Node, path: Path) -> list[FoundLayer]:
    """The layer at a path: one, or two of a Bidirectional."""
    node = at(tree, path)
    if isinstance(node, Mapping) and set(node) == {"cell"}:
        return ways_of(function, tree, (*path, "cell"))
    if isinstance(node, Mapping) and set(node) == set(BOTH):
        return [way for name in BOTH for way in ways_of(function, tree, (*path, name))]
    found = _layer(function, path, node) if isinstance(node, Mapping) else None
    if found is None:
        told = ", ".join(map(str, node)) if isinstance(node, Mapping) else "an array"
        raise ValueError(
            f"{function}: {'/'.join(map(str, path)) or 'the module'} has {told}, which "
            "is no layer that jrnn has: SimpleCell, LSTMCell, OptimizedLSTMCell, "
            "GRUCell, RNN and Bidirectional of them, Embed, Dense (Linear). Pass the "
            "entries of such layers only."
        )
    return [found]


def all_paths(function: str, tree: Node, layers: Sequence[str] | None) -> list[Path]:
    """The paths of all layers, in their order.

    Args:
        function: the public function, for messages.
        tree: parameters.
        layers: their names in their order, if it is told.

    Returns:
        Paths for `ways_of`.

    Raises:
        ValueError: sizes leave the order open, or no order fits them.
    """
    paths = list(_paths(function, (), tree))
    if layers is not None:
        named = {"/".join(map(str, path)).removesuffix("/cell"): path for path in paths}
        if set(layers) != set(named):
            raise ValueError(
                f"{function}: layers must have the names {', '.join(named)} in their "
                f"order, got {tuple(layers)}."
            )
        paths = [named[name] for name in layers]
    parts = []
    for path in paths:
        ways = ways_of(function, tree, path)
        name = "/".join(map(str, path)).removesuffix("/cell")
        reads, writes = ways[0].sizes
        parts.append([Part(name, ways[0].kind, reads, writes * len(ways), path)])
    known = layers is not None or all(_number(path) is not None for path in paths)
    if layers is None and known:
        parts.sort(key=lambda part: _number(part[0].form) or ())
    return [part.form for part in in_order(function, parts, known)]


def at(tree: Node, path: Path) -> Any:
    """What stands at a path."""
    for name in path:
        tree = tree[name]
    return tree


def _number(path: Path) -> tuple[int, ...] | None:
    """The numbers of a Sequential, layers_0 in linen and layers, 0 in nnx."""
    digits = [
        int(text)
        for part in path
        if (text := str(part).removeprefix("layers_")).isdigit()
    ]
    return tuple(digits) or (() if len(path) == 0 else None)


def _paths(function: str, path: Path, node: Any):
    """Paths of the layers below a node."""
    if not isinstance(node, Mapping):
        raise ValueError(
            f"{function}: {'/'.join(map(str, path))} is a parameter of no layer that "
            "jrnn has. Pass the entries of such layers only."
        )
    if set(node) == {"cell"} or set(node) == set(BOTH):
        yield path
    elif _layer(function, path, node) is not None:
        yield path
    else:
        for name, inner in node.items():
            yield from _paths(function, (*path, name), inner)


def _layer(function: str, path: Path, node: Node) -> FoundLayer | None:
    """The layer that a node is, by the names in it."""
    keys = set(node)
    if keys == {"embedding"}:
        return FoundLayer(path, "embed", node)
    if "kernel" in keys and keys <= {"kernel", "bias"}:
        return _dense(function, FoundLayer(path, "dense", node))
    if keys and keys <= {"dense_i", "dense_h"}:
        return _checked(function, FoundLayer(path, *_of_dense(function, path, node)))
    for kind, names in (*LINEN.items(), ("lstm", _NNX_LSTM)):
        if len(keys) > 1 and keys <= set(names.x + names.h):
            if kind == "lstm" and "if_" in keys:
                names = _NNX_LSTM
            return _checked(function, FoundLayer(path, kind, node, names))
    return None


def _of_dense(function: str, path: Path, node: Node):
    """Which cell of nnx has gates side by side, by their number."""
    for name in ("dense_i", "dense_h"):
        _has(function, FoundLayer(path, "", node), name, "kernel")
    size, width = np.shape(node["dense_h"]["kernel"])
    kind = _GATES_OF_DENSE.get(width // max(size, 1), "lstm")
    return kind, node, _DENSE[kind]


def _dense(function: str, found: FoundLayer) -> FoundLayer:
    kernel = found.array("kernel")
    if kernel.ndim != 2:
        raise ValueError(
            f"{function}: {found.place}: kernel has shape {kernel.shape}, expected two "
            "axes."
        )
    if "bias" in found.node:
        _shape(function, found, kernel.shape[1:], "bias")
    return found


def _checked(function: str, found: FoundLayer) -> FoundLayer:
    """Raise unless a cell has all of its arrays, in the right shapes."""
    names = found.names
    for name in names.x + names.h:
        _has(function, found, name, "kernel")
    for name in names.biases:
        _has(function, found, name, "bias")
    size = found.hidden_size
    width = size * len(_GATES[found.kind]) // len(names.x)
    reads = found.array(names.x[0], "kernel").shape[0]
    for name in names.x:
        _shape(function, found, (reads, width), name, "kernel")
    for name in names.h:
        _shape(function, found, (size, width), name, "kernel")
    for name in names.biases:
        _shape(function, found, (width,), name, "bias")
    extra = [
        f"{name}/{entry}"
        for name, inner in found.node.items()
        for entry in inner
        if entry != "kernel" and not (entry == "bias" and name in names.biases)
    ]
    if extra:
        raise ValueError(
            f"{function}: {found.place} has {', '.join(extra)} too much. "
            "Leave it out, if it is zero."
        )
    return found


def _has(function: str, found: FoundLayer, name: str, entry: str) -> None:
    if name not in found.node or entry not in found.node[name]:
        raise ValueError(
            f"{function}: {found.place}: {name}/{entry} is missing beside "
            f"{', '.join(map(str, found.node))}. Pass all parameters of the cell."
        )


def _shape(
    function: str, found: FoundLayer, expected: tuple[int, ...], *entry: str
) -> None:
    got = found.array(*entry).shape
    if got != expected:
        raise ValueError(
            f"{function}: {found.place}: {'/'.join(entry)} has shape {got}, expected "
            f"{expected}."
        )
