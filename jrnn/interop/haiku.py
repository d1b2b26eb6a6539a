"""Weights from Haiku and back.

hk.LSTM multiplies [x, h] by one matrix, has gates i g f o, and adds 1 to f in every
step; jrnn has i f g o and that 1 in its bias. hk.GRU is reset="before" with gates z r a
and 1 - z for z, so that its weights for z change sign. hk.VanillaRNN rectifies.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jrnn.cell import Cell, Params
from jrnn.cells import ElmanParams, GRUParams, LSTMParams, elman, gru, lstm
from jrnn.interop import arrays
from jrnn.interop.layers import (
    WITHOUT_PARAMS,
    Filled,
    Piece,
    activation_name,
    hidden_size,
    pieces,
    together,
)
from jrnn.interop.order import TOKENS, Part, in_order
from jrnn.layers import EmbedParams, LinearParams, embed, linear

KINDS = "vanilla_rnn", "lstm", "gru", "embed", "linear"
_KIND = {"elman": "vanilla_rnn"}
# modules that a core makes, and what they have; the bias of the second may be missing
_ENTRIES = {
    "vanilla_rnn": {"linear": ("w", "b"), "linear_1": ("w", "b")},
    "lstm": {"linear": ("w", "b")},
    "gru": {"": ("w_i", "w_h", "b")},
    "embed": {"": ("embeddings",)},
    "linear": {"": ("w", "b")},
}


class _Core(NamedTuple):
    """A module of Haiku and its arrays, by entries such as linear/w."""

    name: str
    kind: str
    arrays: dict[str, np.ndarray]


def from_haiku(
    params: Mapping[str, Mapping[str, Any]],
    *,
    layers: Mapping[str, str] | None = None,
) -> tuple[Cell, Params]:
    """Bring a model of Haiku in: a VanillaRNN, LSTM or GRU, Embed and Linear.

        model, params = from_haiku(net.init(key, xs))

    Modules are known by Haiku's names, lstm, lstm_1 and so on; their order is the one
    in which each reads what the one before writes. What a function of yours does
    between them is not seen: compare the outputs of both on an example.

    Args:
        params: what `init` of a transformed function gives.
        layers: from names to kinds in their order, for modules with names of their own
            or where sizes leave the order open: vanilla_rnn, lstm, gru, embed, linear.

    Returns:
        `(model, params)`: a cell, or a stack, and its parameters as JAX arrays.

    Raises:
        TypeError: a dtype that JAX would cut.
        ValueError: an entry is missing, too much or of the wrong shape; more than one
            order fits.

    Example:
        >>> import jrnn
        >>> gates = {"w": jnp.ones((3 + 2, 8)), "b": jnp.zeros(8)}
        >>> model, params = from_haiku({"lstm/linear": gates})
        >>> params.b.tolist()  # the forget gate's is one more
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    model, ours = together(
        [_layer(core) for core in _cores("from_haiku", params, layers)]
    )
    assert isinstance(model, Cell)  # Haiku has no layer in both directions
    return model, ours


def to_haiku(
    model: Cell,
    params: Params,
    *,
    like: Mapping[str, Mapping[str, Any]] | None = None,
    layers: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """The parameters of a model for Haiku.

    Names are Haiku's own, or those of `like`. Where jrnn's bias is the sum of two
    numbers there, the second bias of a VanillaRNN or the 1 of an LSTM, the bias of
    `like` is kept wherever the sum is the same, bit for bit; so with `like` what
    `from_haiku` has read comes back with the same bytes. Without it a forget bias near
    0 is rounded as 1 is: Haiku's form has no other number for it.

    Args:
        model: a cell, or a stack of `embed`, `irnn` or `elman` (relu), `lstm`, `gru`
            (reset before), `linear`, `one_hot`, `activation`, dropout.
        params: its parameters.
        like: the parameters that the result is for.
        layers: of `like`, as in `from_haiku`.

    Returns:
        Dictionaries of JAX arrays.

    Raises:
        TypeError: a cell that was not made by a factory.
        ValueError: a layer that Haiku does not have; `like` is of another model.

    Example:
        >>> import jax, jrnn
        >>> cell = jrnn.irnn(2)
        >>> list(to_haiku(cell, cell.init(jax.random.key(0), jnp.zeros(3))))
        ['vanilla_rnn/linear', 'vanilla_rnn/linear_1']
    """
    found = pieces("to_haiku", model, params)
    found = [p for p in found if p.kind not in WITHOUT_PARAMS]
    cores = _named(found) if like is None else _cores("to_haiku", like, layers)
    if len(cores) != len(found):
        raise ValueError(
            f"to_haiku: like has {len(cores)} layers with parameters, expected "
            f"{len(found)} as the model has. Pass the parameters that it came from."
        )
    written: dict[str, dict[str, Any]] = {}
    for piece, core in zip(found, cores, strict=True):
        for entry, array in _written(piece, core).items():
            module, _, key = entry.rpartition("/")
            name = f"{core.name}/{module}" if module else core.name
            written.setdefault(name, {})[key] = jnp.array(array)
    return written if like is None else {name: written[name] for name in like}


def _cores(function: str, params, layers) -> list[_Core]:
    """The modules, in their order."""
    cores: dict[str, _Core] = {}
    for name, node in params.items():
        owner, module = _owner(name, layers or {})
        kind = (layers or {}).get(owner) or re.sub(r"_\d+$", "", owner.split("/")[-1])
        if kind not in KINDS:
            raise ValueError(
                f"{function}: {name} is no layer that is known by its name: "
                f"{', '.join(KINDS)}. Pass layers={{{owner!r}: 'lstm'}}, say, with all "
                "layers in their order."
            )
        core = cores.setdefault(owner, _Core(owner, kind, {}))
        for key, value in node.items():
            core.arrays[f"{module}/{key}" if module else key] = np.asarray(value)
    for core in cores.values():
        _check_core(function, core)
    names = [name for name in layers if name in cores] if layers else cores
    ordered = [cores[name] for name in names]
    if len(ordered) < len(cores) or not cores:
        left = sorted(cores.keys() - {core.name for core in ordered})
        raise ValueError(
            f"{function}: layers must name every layer, but not {', '.join(left)}."
            if cores
            else f"{function}: expected parameters, got none."
        )
    parts = [[Part(c.name, c.kind, *_sizes(c))] for c in ordered]
    chain = in_order(function, parts, known=bool(layers))
    return [cores[part.name] for part in chain]


def _owner(name: str, layers) -> tuple[str, str]:
    """The core that has made a module, and the module's name in it."""
    parent, _, last = name.rpartition("/")
    kind = layers.get(parent) or re.sub(r"_\d+$", "", parent.split("/")[-1])
    if kind in ("lstm", "vanilla_rnn") and last in ("linear", "linear_1"):
        return parent, last
    return name, ""


def _sizes(core: _Core) -> tuple[int | None, int]:
    a = core.arrays
    if core.kind == "embed":
        return TOKENS, a["embeddings"].shape[1]
    if core.kind == "gru":
        return a["w_i"].shape[0], a["w_h"].shape[0]
    if core.kind == "lstm":
        rows, columns = a["linear/w"].shape
        return rows - columns // 4, columns // 4
    return a["w" if core.kind == "linear" else "linear/w"].shape


def _check_core(function: str, core: _Core) -> None:
    """Raise unless a core has its arrays, in the right shapes."""
    expected = [
        f"{module}/{key}" if module else key
        for module, keys in _ENTRIES[core.kind].items()
        for key in keys
    ]
    optional = {"vanilla_rnn": "linear_1/b", "linear": "b"}.get(core.kind)
    missing = [e for e in expected if e not in core.arrays and e != optional]
    extra = [e for e in core.arrays if e not in expected]
    if missing or extra:
        raise ValueError(
            f"{function}: {core.name} ({core.kind}) has {', '.join(core.arrays)}; "
            f"missing {', '.join(missing) or 'none'}, too much "
            f"{', '.join(extra) or 'none'}."
        )
    arrays.one_dtype(function, core.name, core.arrays)
    for entry, shape in _shapes(core).items():
        if entry in core.arrays and core.arrays[entry].shape != shape:
            raise ValueError(
                f"{function}: {core.name}: {entry} has shape "
                f"{core.arrays[entry].shape}, expected {shape}."
            )


def _shapes(core: _Core) -> dict[str, tuple[int, ...]]:
    """Shapes that follow from those of other entries."""
    reads, size = _sizes(core)
    if reads is None:  # an embedding
        return {}
    if core.kind == "vanilla_rnn":
        b = (size,)
        return {"linear/b": b, "linear_1/w": (size, size), "linear_1/b": b}
    if core.kind == "lstm":
        w = max(reads, 1) + size, 4 * size
        return {"linear/w": w, "linear/b": (4 * size,)}
    if core.kind == "gru":
        w = 3 * size
        return {"w_i": (reads, w), "w_h": (size, w), "b": (w,)}
    return {"b": (size,)} if core.kind == "linear" else {}


def _layer(core: _Core) -> Filled:
    """The cell of one module."""
    a, size = core.arrays, _sizes(core)[1]
    to_jax = lambda array: arrays.to_jax("from_haiku", core.name, array)
    if core.kind == "embed":
        table = to_jax(a["embeddings"])
        return Filled(embed(*table.shape), EmbedParams(table))
    if core.kind == "linear":
        b = a.get("b", np.zeros(size, a["w"].dtype))
        return Filled(linear(size), LinearParams(to_jax(a["w"]), to_jax(b)))
    if core.kind == "vanilla_rnn":
        b = a["linear/b"]
        if "linear_1/b" in a:
            b = arrays.sum_of(b, a["linear_1/b"])
        params = ElmanParams(to_jax(a["linear/w"]), to_jax(a["linear_1/w"]), to_jax(b))
        return Filled(elman(size, "relu"), params)
    if core.kind == "lstm":
        w, b = _exchanged(a["linear/w"]), _with_one(_exchanged(a["linear/b"]))
        return Filled(
            lstm(size), LSTMParams(to_jax(w[:-size]), to_jax(w[-size:]), to_jax(b))
        )
    values = [_reset_first(a[entry]) for entry in ("w_i", "w_h", "b")]
    params = GRUParams(*map(to_jax, values), b_h=to_jax(np.zeros_like(values[2])))
    return Filled(gru(size, "before"), params)


def _exchanged(a: np.ndarray) -> np.ndarray:
    """Gates i g f o as i f g o, and back."""
    i, g, f, o = np.split(a, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1)


def _with_one(b: np.ndarray) -> np.ndarray:
    """Gates i f g o with 1 more for f."""
    i, f, g, o = np.split(b, 4)
    return np.concatenate([i, f + np.ones_like(f), g, o])


def _reset_first(a: np.ndarray) -> np.ndarray:
    """Gates z r a as r z n: sigmoid(-z) = 1 - sigmoid(z)."""
    z, r, n = np.split(a, 3, axis=-1)
    return np.concatenate([r, -z, n], axis=-1)


def _update_first(a: np.ndarray) -> np.ndarray:
    """The way back."""
    r, z, n = np.split(a, 3, axis=-1)
    return np.concatenate([-z, r, n], axis=-1)


def _named(found: list[Piece]) -> list[_Core]:
    """Haiku's own names: lstm, lstm_1 and so on."""
    seen: Counter[str] = Counter()
    cores = []
    for piece in found:
        kind = _kind(piece)
        name = f"{kind}_{seen[kind]}" if seen[kind] else kind
        seen[kind] += 1
        cores.append(_Core(name, kind, {}))
    return cores


def _kind(piece: Piece) -> str:
    kind = _KIND.get(piece.kind, piece.kind)
    wrong = None
    if piece.kind == "elman":
        name = activation_name(piece.arguments["activation"])
        wrong = None if name == "relu" else f"the activation {name}; Haiku has relu"
    if piece.kind == "gru" and piece.arguments["reset"] != "before":
        wrong = 'reset="after"; Haiku has "before"'
    if piece.kind == "bidirectional":
        wrong = "two directions; Haiku has no such module. Pass them one by one"
    if wrong:
        raise ValueError(f"to_haiku: {piece.place} ({piece.kind}) has {wrong}.")
    return kind


def _written(piece: Piece, core: _Core) -> dict[str, np.ndarray]:
    """The entries of one module."""
    kind, old = _kind(piece), core.arrays
    if kind != core.kind:
        raise ValueError(
            f"to_haiku: like has {core.kind} at {core.name}, but the model has {kind}, "
            f"{piece.place}. Pass the parameters that it came from."
        )
    numpy = lambda key: arrays.to_numpy(
        "to_haiku", f"{piece.place}: {key}", getattr(piece.params, key)
    )
    new: dict[str, np.ndarray]
    if kind == "embed":
        new = {"embeddings": numpy("table")}
    elif kind == "linear":
        new = {"w": numpy("w"), "b": numpy("b")}
        if old and "b" not in old:
            arrays.no_bias("to_haiku", piece.place, b=new.pop("b"))
    elif kind == "vanilla_rnn":
        new = _of_vanilla(numpy, old)
    elif kind == "lstm":
        new = _of_lstm(numpy, old, hidden_size(piece))
    else:
        b = arrays.sum_of(numpy("b_x"), numpy("b_h"))
        values = numpy("w_x"), numpy("w_h"), b
        new = dict(zip(("w_i", "w_h", "b"), map(_update_first, values), strict=True))
    for entry, array in new.items():
        if old and old[entry].shape != array.shape:
            raise ValueError(
                f"to_haiku: {core.name}: {entry} has shape {array.shape}, expected "
                f"{old[entry].shape} as in like."
            )
    return new


def _of_vanilla(numpy, old) -> dict[str, np.ndarray]:
    b = numpy("b")
    new = {"linear/w": numpy("w_x"), "linear/b": b, "linear_1/w": numpy("w_h")}
    if old and "linear_1/b" not in old:
        return new
    like = (old["linear/b"], old["linear_1/b"]) if old else None
    if like and like[0].shape != b.shape:
        like = None
    new["linear/b"], new["linear_1/b"] = arrays.split(b, like)
    return new


def _of_lstm(numpy, old, size: int) -> dict[str, np.ndarray]:
    """One matrix of [x, h], and the forget bias without its 1."""
    w, b = np.concatenate([numpy("w_x"), numpy("w_h")]), numpy("b")
    i, f, g, o = np.split(b, 4)
    one = np.ones_like(f)
    less = f - one
    if old and old["linear/b"].shape == b.shape and old["linear/b"].dtype == b.dtype:
        before = old["linear/b"][2 * size : 3 * size]
        less = np.where(arrays.same_bits(before + one, f), before, less)
    b = np.concatenate([i, less, g, o])
    return {"linear/w": _exchanged(w), "linear/b": _exchanged(b)}
