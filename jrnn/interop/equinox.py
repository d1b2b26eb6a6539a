"""Weights from Equinox and back.

Its weights are those of PyTorch, (G H, I), with one bias, and a second one of n in the
GRU. Gates are i f g o and r z n, as in jrnn.
"""

import importlib
from typing import Any

import jax
import numpy as np

from jrnn.cell import Cell, Params
from jrnn.cells import GRUParams, LSTMParams, gru, lstm
from jrnn.interop import arrays
from jrnn.interop.layers import WITHOUT_PARAMS, Filled, Piece, pieces, together
from jrnn.interop.order import TOKENS, Part, in_order
from jrnn.layers import EmbedParams, LinearParams, embed, linear

_KIND = {"embed": "Embedding", "linear": "Linear", "lstm": "LSTMCell", "gru": "GRUCell"}


def from_equinox(*layers: Any) -> tuple[Cell, Params]:
    """Bring layers of Equinox in: LSTMCell, GRUCell, Embedding, Linear.

        model, params = from_equinox(net.embedding, net.cell, net.readout)

    Args:
        *layers: one, or several in the order in which they follow each other.

    Returns:
        `(model, params)`: a cell, or a stack, and its parameters as JAX arrays.

    Raises:
        TypeError: a module that jrnn has no counterpart of.
        ValueError: no layer is given, or one does not read what the one before writes.

    Example:
        >>> import jax, jrnn, pytest
        >>> eqx = pytest.importorskip("equinox")
        >>> cell = eqx.nn.GRUCell(3, 4, key=jax.random.key(0))
        >>> model, params = from_equinox(cell)
        >>> jrnn.unroll(model, params, np.ones((5, 3), np.float32))[1].shape
        (5, 4)
    """
    if not layers:
        raise ValueError("from_equinox: needs at least one layer.")
    parts = []
    for n, module in enumerate(layers):
        kind = _kind_of("from_equinox", module)
        if "Cell" in kind:
            sizes = module.input_size, module.hidden_size
        elif kind == "Embedding":
            sizes = TOKENS, module.weight.shape[1]
        else:
            sizes = module.weight.shape[::-1]
        parts.append([Part(f"layers[{n}]", kind, *sizes)])
    in_order("from_equinox", parts, known=True)
    model, params = together([_layer(module) for module in layers])
    assert isinstance(model, Cell)  # Equinox has no layer in both directions
    return model, params


def to_equinox(model: Cell, params: Params, *, like: Any = None) -> Any:
    """The layers of a model as modules of Equinox.

    The two biases of a `gru` are added for r and z, and stay apart for n. What
    `from_equinox` has read comes back with the same bytes.

    Args:
        model: a cell, or a stack of `embed`, `lstm`, `gru` (reset after), `linear`,
            `one_hot`, `activation`, dropout.
        params: its parameters.
        like: the module or the tuple of modules that the result is for; where it has no
            bias, the result has none.

    Returns:
        A module, or a tuple of them for several layers.

    Raises:
        TypeError: a cell that was not made by a factory.
        ValueError: a layer that Equinox does not have; `like` is of another model.

    Example:
        >>> import jax, jax.numpy as jnp, jrnn, pytest
        >>> eqx = pytest.importorskip("equinox")
        >>> cell = jrnn.lstm(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> to_equinox(cell, params).weight_ih.shape
        (16, 3)
    """
    found = pieces("to_equinox", model, params)
    found = [p for p in found if p.kind not in WITHOUT_PARAMS]
    if like is None:
        likes = [None] * len(found)
    else:
        likes = like if isinstance(like, tuple | list) else [like]
    if len(likes) != len(found):
        raise ValueError(
            f"to_equinox: like has {len(likes)} layers, expected {len(found)} as the "
            "model has. Pass a tuple of the layers that it came from."
        )
    made = tuple(_module(p, old) for p, old in zip(found, likes, strict=True))
    return made[0] if len(made) == 1 else made


def _kind_of(function: str, module: Any) -> str:
    nn = importlib.import_module("equinox.nn")

    for name in _KIND.values():
        if isinstance(module, getattr(nn, name)):
            return name
    raise TypeError(
        f"{function}: expected {', '.join(_KIND.values())} of Equinox, got "
        f"{type(module).__name__}. Pass such layers one by one, in their order."
    )


def _layer(module: Any) -> Filled:
    """The cell of one module."""
    kind = _kind_of("from_equinox", module)
    get = lambda name: np.asarray(getattr(module, name))
    to_jax = lambda name, a: arrays.to_jax("from_equinox", f"{kind}: {name}", a)
    if kind == "Embedding":
        table = to_jax("weight", get("weight"))
        return Filled(embed(*table.shape), EmbedParams(table))
    if kind == "Linear":
        w = get("weight").T  # (I, O)
        b = get("bias") if module.use_bias else np.zeros(w.shape[1], w.dtype)
        return Filled(linear(w.shape[1]), LinearParams(to_jax("w", w), to_jax("b", b)))
    w_x, w_h = get("weight_ih").T, get("weight_hh").T  # (I, G H), (H, G H)
    size = len(w_h)
    b = get("bias") if module.use_bias else np.zeros(w_x.shape[1], w_x.dtype)
    values = [to_jax("weights", a) for a in (w_x, w_h, b)]
    if kind == "LSTMCell":
        return Filled(lstm(size), LSTMParams(*values))
    b_h = np.zeros_like(b)
    if module.use_bias:
        b_h[2 * size :] = get("bias_n")
    return Filled(gru(size), GRUParams(*values, b_h=to_jax("bias_n", b_h)))


def _module(piece: Piece, like: Any) -> Any:
    """One layer as a module."""
    equinox = importlib.import_module("equinox")
    _supported(piece)
    arrays_by_name = _arrays(piece)
    if like is None:
        first = next(iter(arrays_by_name.values()))
        make = getattr(equinox.nn, _KIND[piece.kind])
        sizes = _sizes(piece, arrays_by_name)
        like = make(*sizes, key=jax.random.key(0), dtype=first.dtype)
    elif _kind_of("to_equinox", like) != _KIND[piece.kind]:
        raise ValueError(
            f"to_equinox: like has {type(like).__name__}, but the model has "
            f"{piece.kind}, {piece.place}. Pass the layers that it came from."
        )
    names = [name for name in arrays_by_name if getattr(like, name) is not None]
    lacking = {k: a for k, a in arrays_by_name.items() if k not in names}
    arrays.no_bias("to_equinox", piece.place, **lacking)
    for name in names:
        got, expected = arrays_by_name[name].shape, getattr(like, name).shape
        if got != expected:
            raise ValueError(
                f"to_equinox: {piece.place}: {name} has shape {got}, expected "
                f"{expected} as in like."
            )
    where = lambda module: [getattr(module, name) for name in names]
    new = [jax.numpy.array(arrays_by_name[name]) for name in names]
    return equinox.tree_at(where, like, new)


def _supported(piece: Piece) -> None:
    reset = piece.arguments.get("reset", "after")
    if piece.kind not in _KIND or reset != "after":
        form = f' of reset="{reset}"' if piece.kind == "gru" else ""
        raise ValueError(
            f"to_equinox: {piece.place} is made by {piece.kind}{form}, which Equinox "
            f"does not have. It has {', '.join(_KIND.values())}."
        )


def _sizes(piece: Piece, by_name) -> tuple[int, int]:
    if piece.kind == "embed":
        return by_name["weight"].shape
    w = by_name["weight_ih" if piece.kind in ("lstm", "gru") else "weight"]
    out = by_name["weight_hh"].shape[1] if piece.kind in ("lstm", "gru") else len(w)
    return w.shape[1], out


def _arrays(piece: Piece) -> dict[str, np.ndarray]:
    """Equinox's arrays by their names."""
    numpy = lambda key: arrays.to_numpy(
        "to_equinox", f"{piece.place}: {key}", getattr(piece.params, key)
    )
    if piece.kind == "embed":
        return {"weight": numpy("table")}
    if piece.kind == "linear":
        return {"weight": numpy("w").T, "bias": numpy("b")}
    found = {"weight_ih": numpy("w_x").T, "weight_hh": numpy("w_h").T}
    if piece.kind == "lstm":
        return {**found, "bias": numpy("b")}
    b_x, b_h = numpy("b_x"), numpy("b_h")
    rz = 2 * len(b_x) // 3
    bias = np.concatenate([arrays.sum_of(b_x[:rz], b_h[:rz]), b_x[rz:]])
    return {**found, "bias": bias, "bias_n": b_h[rz:]}
