"""Weights from Flax, linen and nnx, and back.

Kernels lie as in jrnn, (I, H). Flax's carry of an LSTM is (c, h), here it is named.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jrnn.cell import Cell, Params
from jrnn.cells import ElmanParams, GRUParams, LSTMParams, gru, lstm
from jrnn.interop import arrays
from jrnn.interop.flax_modules import (
    Told,
    ToldFunction,
    is_linen,
    linen_layers,
    nnx_layers,
    nnx_parameters,
)
from jrnn.interop.flax_weights import (
    BOTH,
    LINEN,
    OF_NO_CELL,
    FoundLayer,
    Names,
    all_paths,
    at,
    ways_of,
)
from jrnn.interop.layers import (
    RECURRENT,
    WITHOUT_PARAMS,
    Filled,
    Piece,
    both_ways,
    elman_layer,
    pieces,
    together,
)
from jrnn.layers import EmbedParams, LinearParams, activation, embed, linear
from jrnn.sequence import SequenceModel

_KIND = {"elman": "simple", "linear": "dense"}


def from_flax(
    source: Any,
    variables: Mapping[str, Any] | None = None,
    *,
    layers: Sequence[str] | None = None,
    activation: str | None = None,
) -> tuple[Cell | SequenceModel, Params]:
    """Bring a model of Flax in: an RNN of linen or nnx, or a Sequential with one.

        model, params = from_flax(nn.RNN(nn.LSTMCell(64)), variables)   # linen
        model, params = from_flax(net)                                  # nnx
        _, ys = jrnn.unroll(model, params, xs)

    A single layer becomes a cell, several become a `stack` of `embed`, `elman`, `lstm`,
    `gru`, `bidirectional`, `linear` and `activation`. Weights are copied and keep their
    dtype.

    Of a module of your own only the layers are read, never `__call__`: their order is
    the one in which each reads what the one before writes, gates are taken to be
    sigmoid and tanh, and what `__call__` does between layers is not seen. Compare the
    outputs of both on an example.

    Args:
        source: an RNN of SimpleCell, LSTMCell, OptimizedLSTMCell or GRUCell, such a
            cell, a Bidirectional of RNNs, Embed, Dense or Linear, a Sequential of them,
            or another module that has them; or a dictionary of parameters.
        variables: of a module of linen, what `init` gives.
        layers: names of the layers in their order, where sizes leave it open.
        activation: of the SimpleCells of a dictionary, which does not say.

    Returns:
        `(model, params)`: a cell, and its parameters as JAX arrays.

    Raises:
        TypeError: a module that jrnn has no counterpart of; variables are missing.
        ValueError: an entry is missing, too much or of the wrong shape; an option that
            jrnn does not have; more than one order fits.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> dense = {"kernel": jnp.ones((4, 2)), "bias": jnp.zeros(2)}
        >>> cell = {"i": {"kernel": jnp.ones((3, 4)), "bias": jnp.zeros(4)},
        ...         "h": {"kernel": jnp.ones((4, 4))}}
        >>> model, params = from_flax({"layers_0": {"cell": cell}, "layers_1": dense},
        ...                           activation="tanh")
        >>> jrnn.unroll(model, params, jnp.ones((5, 3)))[1].shape
        (5, 2)
    """
    tree, told = _read("from_flax", source, variables, layers)
    found = []
    for layer in told:
        if isinstance(layer, ToldFunction):
            found.append(_function(layer))
            continue
        ways = ways_of("from_flax", tree, layer.path)
        name = layer.activation or activation
        cells = [_layer(way, name) for way in ways]
        found += cells if len(cells) == 1 else [both_ways(*cells)]
    return together(found)


def to_flax(
    model: Cell | SequenceModel,
    params: Params,
    *,
    like: Any = None,
    layers: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The parameters of a model for Flax.

    Without `like` they are those of linen, `{"params": ...}`, of nn.RNN(cell) for a
    cell and of nn.Sequential for a stack, each recurrent layer in an nn.RNN of its own.
    With it they have the form of `like`; of a module of nnx they are for
    `nnx.update(net, to_flax(model, params, like=net))`.

    Flax has one bias a gate: the two of a `gru` are added for r and z, and stay apart
    for n. What `from_flax` has read comes back with the same bytes.

    Args:
        model: a cell, or a stack of `embed`, `elman`, `irnn`, `lstm`, `gru` (reset
            after), `bidirectional` of two such cells, `linear`, `one_hot`,
            `activation`, dropout.
        params: its parameters.
        like: variables of linen, or a module of nnx, that the result is for.
        layers: of `like`, as in `from_flax`.

    Returns:
        Nested dictionaries of JAX arrays.

    Raises:
        TypeError: a cell that was not made by a factory.
        ValueError: a layer that Flax does not have; `like` is of another model.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> cell = jrnn.elman(2)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> jax.tree.map(jnp.shape, to_flax(cell, params))["params"]["cell"]["i"]
        {'bias': (2,), 'kernel': (3, 2)}
    """
    found = pieces("to_flax", model, params)
    if like is None:
        return {"params": _sequential(found)}
    wrapped = isinstance(like, Mapping) and "params" in like
    tree, told = _read("to_flax", like, None, layers)
    left = [p for p in found if p.kind not in WITHOUT_PARAMS]
    slots = [layer for layer in told if isinstance(layer, Told)]
    if len(slots) != len(left):
        raise ValueError(
            f"to_flax: like has {len(slots)} layers with parameters, expected "
            f"{len(left)} as the model has. Pass the module that it came from."
        )
    written = _copy(tree)
    for layer, piece in zip(slots, left, strict=True):
        found = ways_of("to_flax", tree, layer.path)
        for way, one in zip(found, piece.ways("to_flax", len(found)), strict=True):
            _fill(at(written, way.path), way, one)
    return {"params": written} if wrapped else written


def _read(function: str, source: Any, variables, layers):
    """Parameters as nested dictionaries, and the layers in their order."""
    if isinstance(source, Mapping):
        tree, told = source, None
    elif is_linen(source):
        if variables is None:
            raise TypeError(
                f"{function}: a module of linen holds no parameters. Pass "
                f"{function}(module, module.init(key, xs)), or the parameters alone."
            )
        tree, told = variables, linen_layers(function, source)
    else:
        told = nnx_layers(function, source)
        tree = nnx_parameters(source)
    tree = tree["params"] if "params" in tree else tree
    if not tree:
        raise ValueError(f"{function}: expected parameters, got none.")
    if told is None or layers is not None:
        told = [Told(path) for path in all_paths(function, tree, layers)]
    return tree, told


def _function(layer: ToldFunction) -> Filled:
    """A function in a Sequential."""
    return Filled(activation(layer.f), ())


def _layer(found: FoundLayer, name: str | None) -> Filled:
    """One layer in one direction."""
    to_jax = lambda entry, a: arrays.to_jax("from_flax", f"{found.place}: {entry}", a)
    if found.kind == "embed":
        table = to_jax("embedding", found.array("embedding"))
        return Filled(embed(*table.shape), EmbedParams(table))
    if found.kind == "dense":
        w = found.array("kernel")
        has = "bias" in found.node
        b = found.array("bias") if has else np.zeros(w.shape[1], w.dtype)
        arrays.one_dtype("from_flax", found.place, {"kernel": w, "bias": b})
        return Filled(
            linear(w.shape[1]), LinearParams(to_jax("kernel", w), to_jax("bias", b))
        )
    return _cell(found, name, to_jax)


def _cell(found: FoundLayer, name: str | None, to_jax) -> Filled:
    size, names = found.hidden_size, found.names
    side_by_side = lambda entries, what: np.concatenate(
        [found.array(entry, what) for entry in entries], axis=-1
    )
    w_x, w_h = side_by_side(names.x, "kernel"), side_by_side(names.h, "kernel")
    b = side_by_side(names.biases, "bias")
    arrays.one_dtype("from_flax", found.place, {"w_x": w_x, "w_h": w_h, "b": b})
    w_x, w_h = to_jax("kernel", w_x), to_jax("kernel", w_h)
    if found.kind == "gru":
        # biases of r, z, n, and in linen another of n, inside the reset
        b_x, b_hn = b[: 3 * size], b[3 * size :]
        b_h = np.concatenate([np.zeros(3 * size - len(b_hn), b.dtype), b_hn])
        params = GRUParams(w_x, w_h, to_jax("bias", b_x), to_jax("bias", b_h))
        return Filled(gru(size), params)
    if found.kind == "lstm":
        return Filled(lstm(size), LSTMParams(w_x, w_h, to_jax("bias", b)))
    if name is None:
        raise ValueError(
            f"from_flax: {found.place}: the parameters of a SimpleCell do not say its "
            "activation. Pass activation='tanh', say, or the module too."
        )
    return elman_layer(name, ElmanParams(w_x, w_h, to_jax("bias", b)))


def _sequential(found: list[Piece]) -> dict[str, Any]:
    """Parameters of linen's Sequential, or of one layer."""
    written = [_linen(piece) for piece in found]
    if len(written) == 1:
        return written[0]
    return {f"layers_{n}": node for n, node in enumerate(written) if node}


def _linen(piece: Piece) -> dict[str, Any]:
    if piece.kind == "bidirectional":
        return {
            name: _linen(p)
            for name, p in zip(BOTH, piece.ways("to_flax", 2), strict=True)
        }
    node: dict[str, Any] = {}
    if piece.kind in WITHOUT_PARAMS:
        return node
    kind = _KIND.get(piece.kind, piece.kind)
    found = FoundLayer((), kind, {"bias": None}, LINEN.get(kind, OF_NO_CELL))
    _fill(node, found, piece)
    return {"cell": node} if piece.kind in RECURRENT else node


def _fill(node: dict[str, Any], found: FoundLayer, piece: Piece) -> None:
    """Write the arrays of a layer into its dictionary."""
    kind = _KIND.get(piece.kind, piece.kind)
    if kind != found.kind:
        raise ValueError(
            f"to_flax: like has {found.kind} at {found.place}, but the model has "
            f"{kind}, {piece.place}. Pass the module that it came from."
        )
    numpy = lambda key: arrays.to_numpy(
        "to_flax", f"{piece.place}: {key}", getattr(piece.params, key)
    )
    if kind == "embed":
        values = {("embedding",): numpy("table")}
    elif kind == "dense":
        values = {("kernel",): numpy("w"), ("bias",): numpy("b")}
        if "bias" not in found.node:
            arrays.no_bias("to_flax", piece.place, b=values.pop(("bias",)))
    else:
        values = _of_cell(found.names, piece, numpy)
    for entry, array in values.items():
        _put(node, entry, array, f"{found.place}: {'/'.join(entry)}")


def _of_cell(names: Names, piece: Piece, numpy) -> dict[tuple[str, str], np.ndarray]:
    """Arrays of a cell by their entries."""
    cut = lambda entries, a: np.split(a, len(entries), axis=-1)
    values = {}
    for entries, key in ((names.x, "w_x"), (names.h, "w_h")):
        for entry, array in zip(entries, cut(entries, numpy(key)), strict=True):
            values[entry, "kernel"] = array
    b = _biases_of_gru(names, piece, numpy) if piece.kind == "gru" else numpy("b")
    for entry, array in zip(names.biases, cut(names.biases, b), strict=True):
        values[entry, "bias"] = array
    return values


def _biases_of_gru(names: Names, piece: Piece, numpy) -> np.ndarray:
    """Biases of r, z, n, and in linen the other one of n."""
    if piece.arguments["reset"] != "after":
        raise ValueError(
            f'to_flax: {piece.place} is a gru with reset="before"; Flax has "after".'
        )
    b_x, b_h = numpy("b_x"), numpy("b_h")
    size = len(b_x) // 3
    rz, n = arrays.sum_of(b_x[: 2 * size], b_h[: 2 * size]), b_x[2 * size :]
    if len(names.biases) == 1:  # nnx has none inside the reset
        if np.any(b_h[2 * size :] != 0):
            raise ValueError(
                f"to_flax: {piece.place}: nnx.GRUCell has no bias inside the reset of "
                "n, but b_h of it is not zero: its largest entry is "
                f"{float(abs(b_h[2 * size :]).max()):.3g}. Use linen."
            )
        return np.concatenate([rz, n])
    return np.concatenate([rz, n, b_h[2 * size :]])


def _put(node: dict[str, Any], entry: tuple[str, ...], array, place: str) -> None:
    for name in entry[:-1]:
        node = node.setdefault(name, {})
    old = node.get(entry[-1])
    if old is not None and np.shape(old) != array.shape:
        raise ValueError(
            f"to_flax: {place} has shape {array.shape}, expected {np.shape(old)} as in "
            "like. Pass the module that the model came from."
        )
    node[entry[-1]] = jax.numpy.array(array)


def _copy(tree: Any) -> Any:
    """Nested dictionaries of the same arrays."""
    if isinstance(tree, Mapping):
        return {name: _copy(value) for name, value in tree.items()}
    return tree
