"""Weights from PyTorch and back.

PyTorch writes x W^T with W (G H, I), jrnn x w with w (I, G H): weights are transposed.
Gates are in the same order, i f g o and r z n. An nn.LSTM and an nn.RNN add two biases,
jrnn has their sum; a GRU has both here and there.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from jrnn.cell import Cell, Params
from jrnn.cells import ElmanParams, GRUParams, LSTMParams, gru, lstm
from jrnn.interop import arrays
from jrnn.interop.layers import (
    RECURRENT,
    WITHOUT_PARAMS,
    Filled,
    Piece,
    activation_layer,
    activation_name,
    both_ways,
    elman_layer,
    hidden_size,
    pieces,
    together,
)
from jrnn.interop.order import TOKENS, Part
from jrnn.interop.torch_modules import told_by
from jrnn.interop.torch_names import (
    WEIGHTLESS,
    Layers,
    Nonlinearity,
    Recurrent,
    full,
    parts_of,
)
from jrnn.layers import EmbedParams, LinearParams, embed, linear
from jrnn.sequence import SequenceModel

BFLOAT16 = np.dtype(jnp.bfloat16)
_RECURRENT = "rnn_tanh", "rnn_relu", "lstm", "gru"


def from_torch(
    source: Any, *, layers: Layers = None, nonlinearity: Nonlinearity = None
) -> tuple[Cell | SequenceModel, Params]:
    """Bring a model of PyTorch in: an RNN, LSTM or GRU, or a model made of them.

        model, params = from_torch(net)            # a module, or its state dict
        _, ys = jrnn.unroll(model, params, xs)     # what net(xs) gives

    A single layer becomes a cell, several become a `stack` of `embed`, `elman`, `lstm`,
    `gru`, `bidirectional`, `linear` and `activation`. Dropout is left out, as in
    evaluation. Weights are copied and keep their dtype; float64 needs `jax_enable_x64`.

    Of a module of your own only the layers are read, never `forward`: their order is
    the one in which each reads what the one before writes, and what `forward` does
    between them is not seen. Compare the outputs of both on an example.

    Args:
        source: an nn.RNN, nn.LSTM or nn.GRU of any number of layers, one of their
            cells, an nn.Embedding or nn.Linear, an nn.Sequential or another module of
            them; or a state dict, of tensors or of NumPy arrays.
        layers: where sizes leave open what the entries are, names of the modules in
            their order, or a dictionary from name to kind: embedding, linear, lstm,
            gru, rnn_tanh, rnn_relu; an activation's name or dropout for one that has no
            weights.
        nonlinearity: "tanh" or "relu", of the RNNs of a state dict, which does not say.

    Returns:
        `(model, params)`: a cell, and its parameters as JAX arrays.

    Raises:
        TypeError: a module that jrnn has no counterpart of; a dtype that JAX would cut.
        ValueError: an entry is missing, too much or of the wrong shape; an option that
            jrnn does not have (proj_size, max_norm); more than one model fits.

    Example:
        >>> import jax.numpy as jnp, jrnn, numpy as np
        >>> state = {"weight_ih_l0": np.ones((8, 3), np.float32),
        ...          "weight_hh_l0": np.ones((8, 2), np.float32),
        ...          "bias_ih_l0": np.ones(8, np.float32),
        ...          "bias_hh_l0": np.ones(8, np.float32)}
        >>> model, params = from_torch(state)
        >>> params.w_x.shape, params.b[0].item(), jrnn.unroll(
        ...     model, params, jnp.ones((5, 3)))[1].shape
        ((3, 8), 2.0, (5, 2))
    """
    entries, parts = _read("from_torch", source, layers, nonlinearity)
    return together([x for part in parts for x in _layers(part, entries)])


def to_torch(
    model: Cell | SequenceModel,
    params: Params,
    *,
    like: Any = None,
    layers: Layers = None,
) -> dict[str, Any]:
    """The state dict of a model for PyTorch: `net.load_state_dict(to_torch(...))`.

    Names are those of one nn.RNN, nn.LSTM or nn.GRU for a cell or a stack of equal
    cells, and those of an nn.Sequential for other stacks, in which recurrent layers of
    one size that follow each other are one module, and a layer without weights has its
    number. With `like` they are those of that module or state dict.

    jrnn's one bias of an LSTM or a simple network becomes (b, 0). With `like` it is
    split as there, wherever the sum there is still b, bit for bit: so what
    `from_torch` has read comes back with the same bytes. Of `like` nothing else is
    read but names and shapes.

    Args:
        model: a cell, or a stack of `embed`, `elman` (tanh, relu), `irnn`, `lstm`,
            `gru` (reset after), `bidirectional` of two such cells, `linear`, `one_hot`,
            `activation`, dropout.
        params: its parameters.
        like: the module or state dict that the result is for.
        layers: of `like`, as in `from_torch`.

    Returns:
        Tensors by name, copies of the same dtype.

    Raises:
        TypeError: a cell that was not made by a factory.
        ValueError: a layer that PyTorch does not have; `like` is of another model.

    Example:
        >>> import jax, jax.numpy as jnp, jrnn, pytest
        >>> torch = pytest.importorskip("torch")
        >>> model = jrnn.stack(jrnn.embed(5, 3), jrnn.gru(4), jrnn.linear(5))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> list(to_torch(model, params))[:3]
        ['0.weight', '1.weight_ih_l0', '1.weight_hh_l0']
    """
    found = pieces("to_torch", model, params)
    if like is None:
        parts, original = _sequential(found), {}
    else:
        simple = [p for piece in found for p in _ways(piece) if p.kind == "elman"]
        nonlinearity = _nonlinearity(simple[0]) if simple else "tanh"
        original, parts = _read("to_torch", like, layers, nonlinearity)
    entries: dict[str, np.ndarray] = {}
    left = [p for p in found if p.kind not in WITHOUT_PARAMS]
    for part in parts:
        if part.form != "weightless":
            entries |= _written(part, left, original)
    if left:
        raise ValueError(f"to_torch: like has no layer for {left[0].place}.")
    # in the order of the original
    return {name: _tensor(entries[name]) for name in original or entries}


def _read(function: str, source: Any, layers: Layers, nonlinearity: Nonlinearity):
    """Entries as arrays, and the layers that they are."""
    known = layers is not None
    if hasattr(source, "state_dict"):
        layers, known = _told(function, source, layers)
        source = source.state_dict()
    elif not isinstance(source, Mapping):
        raise TypeError(
            f"{function}: expected a module of PyTorch or its state dict, got "
            f"{type(source).__name__}. Read a file with torch.load(path) first."
        )
    entries = {name: _array(function, name, value) for name, value in source.items()}
    return entries, parts_of(function, entries, layers, nonlinearity, known)


def _told(function: str, module: Any, layers: Layers) -> tuple[dict, bool]:
    """What a module says of its layers, and whether they stand in their order."""
    told, known = told_by(function, module)
    if layers is not None:
        given = layers if isinstance(layers, Mapping) else dict.fromkeys(layers)
        return {name: kind or told.get(name) for name, kind in given.items()}, True
    if known:
        return told, True
    kinds = {n: kind for n, kind in told.items() if kind not in ("dropout", "identity")}
    for name, kind in kinds.items():
        if kind in WEIGHTLESS:
            raise ValueError(
                f"{function}: the place of {name} ({kind}) stands in the forward of "
                f"{type(module).__name__}, which is not read. Pass the names in their "
                f"order: layers={tuple(kinds)}, say."
            )
    return kinds, False


def _layers(part: Part, entries: Mapping[str, np.ndarray]) -> list[Filled]:
    """The cells of one module."""
    own = {k: v for k, v in entries.items() if k.rpartition(".")[0] == part.name}
    arrays.one_dtype("from_torch", part.name, own)
    to_jax = lambda key, array: arrays.to_jax("from_torch", full(part.name, key), array)
    get = lambda key: entries[full(part.name, key)]
    if part.form == "weightless":
        return [] if part.kind == "dropout" else [activation_layer(part.kind)]
    if part.kind == "embedding":
        table = to_jax("weight", get("weight"))
        return [Filled(embed(*table.shape), EmbedParams(table))]
    if part.kind == "linear":
        w = to_jax("weight", get("weight").T)
        size = w.shape[1]
        b = get("bias") if part.form else np.zeros(size, w.dtype)
        return [Filled(linear(size), LinearParams(w, to_jax("bias", b)))]
    layers = []
    for suffixes in part.form.suffixes():
        ways = [_recurrent(part, suffix, get, to_jax) for suffix in suffixes]
        layers += ways if len(ways) == 1 else [both_ways(*ways)]
    return layers


def _recurrent(part: Part, suffix: str, get, to_jax) -> Filled:
    """One layer in one direction."""
    size = part.form.hidden_size
    w_x = to_jax(f"weight_ih{suffix}", get(f"weight_ih{suffix}").T)  # (I, G H)
    w_h = to_jax(f"weight_hh{suffix}", get(f"weight_hh{suffix}").T)  # (H, G H)
    if part.form.bias:
        b_x, b_h = get(f"bias_ih{suffix}"), get(f"bias_hh{suffix}")
    else:
        b_x = b_h = np.zeros(w_x.shape[1], w_x.dtype)
    if part.kind == "gru":
        b_x, b_h = to_jax(f"bias_ih{suffix}", b_x), to_jax(f"bias_hh{suffix}", b_h)
        return Filled(gru(size), GRUParams(w_x, w_h, b_x, b_h))
    b = to_jax(f"bias_ih{suffix}", arrays.sum_of(b_x, b_h))
    if part.kind == "lstm":
        return Filled(lstm(size), LSTMParams(w_x, w_h, b))
    return elman_layer(part.kind.removeprefix("rnn_"), ElmanParams(w_x, w_h, b))


def _nonlinearity(piece: Piece) -> Literal["tanh", "relu"]:
    """The activation of a simple network, if PyTorch has it."""
    name = activation_name(piece.arguments["activation"])
    if name not in ("tanh", "relu"):
        raise ValueError(
            f"to_torch: {piece.place} has the activation {name or 'of your own'}; "
            "nn.RNN has tanh and relu."
        )
    return name


def _kind(piece: Piece) -> str:
    """The kind of `torch_names` that a layer becomes."""
    if piece.kind == "bidirectional":
        kinds = {_kind(way) for way in _ways(piece)}
        sizes = {hidden_size(way) for way in _ways(piece)}
        if len(kinds) > 1 or len(sizes) > 1:
            raise ValueError(
                f"to_torch: the two directions of {piece.place} are {sorted(kinds)} of "
                f"{sorted(sizes)} units; PyTorch has two of one kind and size."
            )
        return kinds.pop()
    if piece.kind == "elman":
        return f"rnn_{_nonlinearity(piece)}"
    if piece.kind == "gru" and piece.arguments["reset"] != "after":
        raise ValueError(
            f'to_torch: {piece.place} is a gru with reset="before"; nn.GRU has "after".'
        )
    return "embedding" if piece.kind == "embed" else piece.kind


def _sequential(found: list[Piece]) -> list[Part]:
    """Modules by the numbers of an nn.Sequential, or one without a name."""
    groups: list[list[Piece]] = []
    for piece in found:
        before = groups[-1][-1] if groups else piece
        go_on = groups and _is_recurrent(before) and _is_recurrent(piece)
        if go_on and _go_on(before, piece):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    names = map(str, range(len(groups))) if len(groups) > 1 else ("",)
    return [_part(name, group) for name, group in zip(names, groups, strict=True)]


def _ways(piece: Piece) -> tuple[Piece, ...]:
    """The layer of each direction."""
    return piece.arguments.get("ways", (piece,))


def _is_recurrent(piece: Piece) -> bool:
    return piece.kind in (*RECURRENT, "bidirectional")


def _go_on(a: Piece, b: Piece) -> bool:
    """Whether two recurrent layers can be of one module."""
    if a.kind != b.kind and "bidirectional" in (a.kind, b.kind):
        return False
    first, second = _ways(a)[0], _ways(b)[0]
    return _kind(a) == _kind(b) and hidden_size(first) == hidden_size(second)


def _part(name: str, group: list[Piece]) -> Part:
    first = group[0]
    if _is_recurrent(first):
        ways = _ways(first)
        size, reads = hidden_size(ways[0]), ways[0].params.w_x.shape[0]
        form = Recurrent(size, len(group), len(ways), bias=True, is_cell=False)
        return Part(name, _kind(first), reads, size * len(ways), form)
    if first.kind == "linear":
        reads, writes = first.params.w.shape
        return Part(name, "linear", reads, writes, True)
    if first.kind == "embed":
        return Part(name, "embedding", TOKENS, first.params.table.shape[1])
    return Part(name, first.kind, None, None, "weightless")


def _written(part: Part, left: list[Piece], original) -> dict[str, np.ndarray]:
    """The entries of one module; takes its layers from the front of those left."""
    entries: dict[str, np.ndarray] = {}
    layers = part.form.suffixes() if part.kind in _RECURRENT else [("",)]
    for suffixes in layers:
        piece = _next(part, left)
        of = {}
        if part.kind in _RECURRENT:
            ways = piece.ways("to_torch", len(suffixes))
            for way, suffix in zip(ways, suffixes, strict=True):
                of |= _entries_of_recurrent(part, suffix, way, original)
        else:
            of = _entries_of_layer(part, piece)
        entries |= {full(part.name, key): value for key, value in of.items()}
    for name, array in entries.items():
        if name in original and original[name].shape != array.shape:
            raise ValueError(
                f"to_torch: {name} has shape {array.shape}, expected "
                f"{original[name].shape} as in like. Pass the module that the model "
                "came from, or one of its sizes."
            )
    return entries


def _next(part: Part, left: list[Piece]) -> Piece:
    piece = left.pop(0) if left else None
    got = _kind(piece) if piece else "nothing more"
    if piece is None or got != part.kind:
        place = f", {piece.place}" if piece else ""
        raise ValueError(
            f"to_torch: like has {part.kind} at {part.name or 'its only place'}, but "
            f"the model has {got}{place}. Pass the module that the model came from."
        )
    return piece


def _entries_of_layer(part: Part, piece: Piece) -> dict[str, np.ndarray]:
    """Of an embedding or an affine map."""
    numpy = _numpy(piece)
    if part.kind == "embedding":
        return {"weight": numpy("table")}
    w, b = numpy("w"), numpy("b")
    if part.form:
        return {"weight": w.T, "bias": b}
    arrays.no_bias("to_torch", piece.place, b=b)
    return {"weight": w.T}


def _entries_of_recurrent(part: Part, suffix, piece: Piece, original):
    """Of one layer in one direction."""
    numpy = _numpy(piece)
    entries = {
        f"weight_ih{suffix}": numpy("w_x").T,
        f"weight_hh{suffix}": numpy("w_h").T,
    }
    names = f"bias_ih{suffix}", f"bias_hh{suffix}"
    two = part.kind == "gru"
    biases = {key: numpy(key) for key in (("b_x", "b_h") if two else ("b",))}
    if not part.form.bias:
        arrays.no_bias("to_torch", piece.place, **biases)
        return entries
    values = tuple(biases.values())
    if not two:
        like = [original.get(full(part.name, name)) for name in names]
        fits = all(a is not None and a.shape == biases["b"].shape for a in like)
        values = arrays.split(biases["b"], tuple(like) if fits else None)
    return entries | dict(zip(names, values, strict=True))


def _numpy(piece: Piece):
    """Parameters of a layer by their names, as arrays."""
    return lambda key: arrays.to_numpy(
        "to_torch", f"{piece.place}: {key}", getattr(piece.params, key)
    )


# NumPy has no bfloat16 of its own; between the two it goes as bits.


def _array(function: str, name: str, value: Any) -> np.ndarray:
    if not hasattr(value, "detach"):
        return np.asarray(value)
    torch = importlib.import_module("torch")

    if value.is_quantized:
        raise TypeError(
            f"{function}: {name} is quantised. Pass the weights as they were before."
        )
    tensor = value.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()


def _tensor(array: np.ndarray) -> Any:
    torch = importlib.import_module("torch")

    copy = np.array(array, order="C")
    if copy.dtype == BFLOAT16:
        return torch.from_numpy(copy.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(copy)
