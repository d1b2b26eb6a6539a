"""Layers from the names and shapes of a state dict of PyTorch.

Recurrent layers are weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, with _l1 and so
on for further layers, _reverse for the way back, and without _l0 for an nn.LSTMCell;
embeddings and affine maps are weight and bias. In front stands the name of the module.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from jrnn._activation import NAMES
from jrnn.interop.order import TOKENS, Part, in_order

_FEED = re.compile(r"(?:(?P<name>.*)\.)?(?P<what>weight|bias)")
_RECURRENT = re.compile(
    r"(?:(?P<name>.*)\.)?(?P<what>weight|bias)_(?P<of>ih|hh|hr)"
    r"(?P<layer>_l\d+)?(?P<back>_reverse)?"
)
_BY_GATES = {1: "rnn", 3: "gru", 4: "lstm"}
RNN = "rnn_tanh", "rnn_relu"
KINDS = ("embedding", "linear", "lstm", "gru", *RNN)
WEIGHTLESS = (*NAMES, "dropout")

Layers = Mapping[str, str] | Sequence[str] | None
Nonlinearity = Literal["tanh", "relu"] | None


class Recurrent(NamedTuple):
    """What the names of one recurrent module say."""

    hidden_size: int
    num_layers: int
    directions: int
    bias: bool
    is_cell: bool  # names without _l0

    def suffixes(self) -> Iterator[tuple[str, ...]]:
        """For each layer the suffix of each direction."""
        for n in range(self.num_layers):
            layer = "" if self.is_cell else f"_l{n}"
            yield (layer, f"{layer}_reverse")[: self.directions]


def parts_of(
    function: str,
    entries: Mapping[str, np.ndarray],
    layers: Layers,
    nonlinearity: Nonlinearity,
    known: bool,
) -> list[Part]:
    """The layers of a state dict, in their order.

    Args:
        function: the public function, for messages.
        entries: the arrays by their names.
        layers: what is told of them, names with kinds or without.
        nonlinearity: of layers of kind rnn of which nothing is told.
        known: whether `layers` stand in their order.

    Returns:
        A part for each module.

    Raises:
        ValueError: entries are missing, too many or of the wrong shape, or more than
            one model fits them.
    """
    groups = _groups(function, entries)
    kinds = _kinds(function, layers, groups)
    if layers is None:
        _no_gaps(function, groups)
    candidates = []
    for name, kind in kinds.items():
        if name not in groups:
            assert kind is not None  # one of WEIGHTLESS
            candidates.append([Part(name, kind, None, None, "weightless")])
        elif any(_RECURRENT.fullmatch(key) for key in groups[name]):
            candidates.append(
                [_recurrent(function, name, groups[name], kind, nonlinearity)]
            )
        else:
            candidates.append(_feed_forward(function, name, groups[name], kind))
    numbered = layers is None and all(name[:1].isdigit() for name in groups)
    return in_order(function, candidates, known or numbered)


def full(name: str, entry: str) -> str:
    """The name of an entry in the state dict."""
    return f"{name}.{entry}" if name else entry


def _groups(function: str, entries) -> dict[str, dict[str, np.ndarray]]:
    """Entries by module."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, array in entries.items():
        match = _RECURRENT.fullmatch(key) or _FEED.fullmatch(key)
        if match is None:
            raise ValueError(
                f"{function}: {key} belongs to no layer that jrnn has (RNN, LSTM, GRU, "
                "their cells, Embedding, Linear). Pass the entries of such layers "
                "only: "
                "{name: w for name, w in state.items() if name.startswith('rnn.')}."
            )
        name = match["name"] or ""
        groups.setdefault(name, {})[key[len(name) + 1 if name else 0 :]] = array
    if not groups:
        raise ValueError(f"{function}: expected weights, got an empty state dict.")
    return groups


def _kinds(function: str, layers: Layers, groups) -> dict[str, str | None]:
    """What is told of each module, in the order in which it is told."""
    if layers is None:
        in_numbers = lambda name: [
            (0, int(part), "") if part.isdigit() else (1, 0, part)
            for part in name.split(".")
        ]
        numbered = all(name[:1].isdigit() for name in groups)
        names = sorted(groups, key=in_numbers) if numbered else groups
        return dict.fromkeys(names)
    kinds = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers)
    if missing := [name for name in groups if name not in kinds]:
        raise ValueError(
            f"{function}: layers must name every module that has weights, but not "
            f"{', '.join(map(repr, missing))}. Add it in its place, or leave its "
            "entries out of the state dict."
        )
    for name, kind in kinds.items():
        possible = KINDS if name in groups else WEIGHTLESS
        if kind not in possible and not (kind is None and name in groups):
            weights = "weights" if name in groups else "no weights"
            raise ValueError(
                f"{function}: layers[{name!r}] has {weights}, so it must be one of "
                f"{', '.join(possible)}, got {kind!r}."
            )
    return kinds


def _no_gaps(function: str, groups) -> None:
    """Raise where the numbers of a Sequential leave something out."""
    siblings: dict[str, set[int]] = {}
    for name in groups:
        parts = name.split(".")
        for depth, part in enumerate(parts):
            if part.isdigit():
                siblings.setdefault(".".join(parts[:depth]), set()).add(int(part))
    for parent, numbers in siblings.items():
        for n in sorted(set(range(max(numbers))) - numbers):
            gap = full(parent, str(n))
            raise ValueError(
                f"{function}: module {gap} has no weights, so the state dict does not "
                "say what it is. Pass the module itself, or layers={name: kind} with "
                f"all of them in their order, and {{{gap!r}: 'tanh'}}, say, or "
                "'dropout' for what does nothing in evaluation."
            )


def _feed_forward(function: str, name: str, group, kind: str | None) -> list[Part]:
    """An embedding or an affine map, or both where it may be either."""
    _entries(function, name, group, ["weight"], ["bias"])
    weight = group["weight"]
    if weight.ndim != 2:
        raise ValueError(
            f"{function}: {full(name, 'weight')} has shape {weight.shape}, expected "
            "two axes, of an Embedding or a Linear."
        )
    rows, columns = weight.shape
    has_bias = "bias" in group
    if has_bias:
        _shape(function, name, "bias", group, (rows,), "weight")
    both = {
        "linear": Part(name, "linear", columns, rows, has_bias),
        "embedding": Part(name, "embedding", TOKENS, columns),
    }
    if kind is None:
        return [both["linear"]] if has_bias else list(both.values())
    if kind not in both or (kind == "embedding" and has_bias):
        raise ValueError(_other_kind(function, name, group, kind))
    return [both[kind]]


def _recurrent(
    function: str, name: str, group, kind: str | None, nonlinearity: Nonlinearity
) -> Part:
    """A recurrent layer; every entry is compared with what its first ones say."""
    found = [_RECURRENT.fullmatch(key) for key in group]
    if any(match and match["of"] == "hr" for match in found):
        raise ValueError(
            f"{function}: {name or 'the LSTM'} has weight_hr, of proj_size, which no "
            "cell of jrnn has. Train it without proj_size."
        )
    of_cell = all(match is None or match["layer"] is None for match in found)
    numbers = [int(m["layer"][2:]) for m in found if m and m["layer"]]
    form = Recurrent(
        hidden_size=0,
        num_layers=max(numbers, default=0) + 1,
        directions=2 if any(m and m["back"] for m in found) else 1,
        bias=any(key.startswith("bias") for key in group),
        is_cell=of_cell,
    )
    whats = ("weight_ih", "weight_hh") + ("bias_ih", "bias_hh") * form.bias
    suffixes = [s for layer in form.suffixes() for s in layer]
    _entries(function, name, group, [what + s for s in suffixes for what in whats])
    first = "weight_hh" + suffixes[0]
    gates, size = _gates(function, full(name, first), group[first])
    form = form._replace(hidden_size=size)
    reads = group["weight_ih" + suffixes[0]].shape[-1]
    _shapes(function, name, group, form, gates * size, reads)
    kind = _kind(function, name, group, kind, _BY_GATES[gates], nonlinearity)
    return Part(name, kind, reads, size * form.directions, form)


def _gates(function: str, name: str, weight: np.ndarray) -> tuple[int, int]:
    rows, size = weight.shape if weight.ndim == 2 else (0, 1)
    if rows % max(size, 1) or rows // max(size, 1) not in _BY_GATES:
        raise ValueError(
            f"{function}: {name} has shape {weight.shape}, expected (H, H) of an RNN, "
            "(3H, H) of a GRU or (4H, H) of an LSTM."
        )
    return rows // size, size


def _shapes(function, name: str, group, form: Recurrent, rows: int, reads: int) -> None:
    """Raise where an entry does not have the shape that follows from the first ones."""
    size = form.hidden_size
    for n, layer in enumerate(form.suffixes()):
        width = reads if n == 0 else size * form.directions
        for s in layer:
            like = "weight_hh" + next(form.suffixes())[0]
            _shape(function, name, f"weight_ih{s}", group, (rows, width), like)
            _shape(function, name, f"weight_hh{s}", group, (rows, size), like)
            for what in ("bias_ih", "bias_hh") * form.bias:
                _shape(function, name, what + s, group, (rows,), like)


def _kind(function, name, group, kind, by_gates: str, nonlinearity) -> str:
    if kind is not None:
        if kind.split("_")[0] != by_gates:
            raise ValueError(_other_kind(function, name, group, kind))
        return kind
    if by_gates != "rnn":
        return by_gates
    if nonlinearity not in ("tanh", "relu"):
        got = "" if nonlinearity is None else f", got {nonlinearity!r}"
        raise ValueError(
            f"{function}: the weights of an RNN do not say its activation. Pass "
            f"nonlinearity='tanh' or 'relu'{got}."
        )
    return f"rnn_{nonlinearity}"


def _other_kind(function: str, name: str, group, kind: str) -> str:
    told = ", ".join(f"{key} {array.shape}" for key, array in group.items())
    return f"{function}: {name!r} is said to be {kind}, but it has {told}."


def _entries(function: str, name: str, group, expected, allowed=()) -> None:
    """Raise unless a module has the entries that it must have, and no others."""
    if missing := [full(name, key) for key in expected if key not in group]:
        raise ValueError(
            f"{function}: {', '.join(missing)} is missing beside "
            f"{', '.join(full(name, key) for key in group)}. Pass the whole state dict."
        )
    if extra := [full(name, k) for k in group if k not in {*expected, *allowed}]:
        raise ValueError(
            f"{function}: {', '.join(extra)} is too much beside "
            f"{', '.join(full(name, key) for key in expected)}. Leave it out."
        )


def _shape(function, name: str, entry: str, group, expected, like: str) -> None:
    if group[entry].shape != expected:
        raise ValueError(
            f"{function}: {full(name, entry)} has shape {group[entry].shape}, expected "
            f"{expected} beside {full(name, like)} of shape {group[like].shape}."
        )
