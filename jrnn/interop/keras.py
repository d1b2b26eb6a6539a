"""Weights from Keras and back.

Kernels lie as in jrnn, (I, G H). An LSTM's gates have jrnn's order, i f c o; those of a
GRU are z r h there and r z n here, with two biases where reset_after=True.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jrnn.cell import Cell, Params
from jrnn.cells import ElmanParams, GRUParams, LSTMParams, gru, lstm
from jrnn.interop import arrays
from jrnn.interop.keras_layers import layers_of, read_file
from jrnn.interop.keras_weights import (
    GATES,
    KerasLayer,
    UnfitWeights,
    Weights,
    guessed,
    told,
)
from jrnn.interop.layers import (
    WITHOUT_PARAMS,
    Filled,
    Piece,
    activation_layer,
    activation_name,
    both_ways,
    elman_layer,
    pieces,
    together,
)
from jrnn.layers import EmbedParams, LinearParams, activation, embed, linear
from jrnn.sequence import SequenceModel

# Keras's activations that are functions of jax.nn with the same constants
ACTIVATIONS = {
    "celu": "celu",
    "elu": "elu",
    "hard_sigmoid": "hard_sigmoid",
    "hard_silu": "hard_silu",
    "hard_tanh": "hard_tanh",
    "linear": "identity",
    "log_sigmoid": "log_sigmoid",
    "mish": "mish",
    "relu": "relu",
    "relu6": "relu6",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "softplus": "softplus",
    "softsign": "soft_sign",
    "tanh": "tanh",
}
_KIND = {"elman": "simple_rnn", "embed": "embedding", "linear": "dense"}


def from_keras(
    source: Any,
    *,
    layers: Sequence[str] | None = None,
    activation: str | None = None,
    reset_after: bool | None = None,
    logits: bool = False,
) -> tuple[Cell | SequenceModel, Params]:
    """Bring a model of Keras in: a SimpleRNN, LSTM or GRU, or a Sequential with them.

        model, params = from_keras("model.keras")   # or the model, or a layer
        _, ys = jrnn.unroll(model, params, xs)      # what return_sequences=True gives

    A single layer becomes a cell, several become a `stack` of `embed`, `elman`, `lstm`,
    `gru`, `bidirectional`, `linear` and `activation`. Where Keras has
    return_sequences=False, its output is jrnn's last, `ys[-1]`; a Bidirectional then
    gives one output, by `pool("last")` in both directions. Dropout is left out, as in
    evaluation; stateful=True is what passing the carry on does. Weights are copied and
    keep their dtype; float64 needs `jax_enable_x64`.

    Args:
        source: a layer (SimpleRNN, LSTM, GRU, an RNN of their cells, Bidirectional,
            Embedding, Dense), a Sequential, the path of a .keras file, or the list that
            `get_weights()` gives.
        layers: kinds of the layers of such a list, where its shapes leave them open:
            embedding, dense, simple_rnn, lstm, gru, and bidirectional_lstm and so on.
        activation: of the SimpleRNNs of a list, which does not say.
        reset_after: of the GRUs without bias of a list, which does not say.
        logits: leave out a softmax at the end: jrnn's losses take logits.

    Returns:
        `(model, params)`: a cell, and its parameters as JAX arrays.

    Raises:
        TypeError: a layer that jrnn has no counterpart of; a dtype that JAX would cut.
        ValueError: an option that jrnn does not have, weights of the wrong shape, or a
            list that more than one model fits.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> kernel, recurrent = np.ones((3, 8)), np.ones((2, 8))
        >>> weights = [w.astype(np.float32) for w in (kernel, recurrent, np.zeros(8))]
        >>> model, params = from_keras(weights)
        >>> jrnn.unroll(model, params, jnp.ones((5, 3)))[1].shape
        (5, 2)
    """
    found = _read("from_keras", source, layers, activation, reset_after)
    if logits and found[-1].activation == "softmax":
        found[-1] = found[-1]._replace(activation="linear")
        if found[-1].kind == "activation":
            found.pop()
    return together([x for layer in found for x in _layers(layer)])


def to_keras(
    model: Cell | SequenceModel,
    params: Params,
    *,
    like: Any = None,
    layers: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """The weights of a model for Keras: `net.set_weights(to_keras(...))`.

    Every layer has its bias, unless `like` says otherwise. The two biases of a GRU with
    reset="before" become one, their sum; those of other layers are as they are, so what
    `from_keras` has read comes back with the same bytes.

    Args:
        model: a cell, or a stack of `embed`, `elman`, `irnn`, `lstm`, `gru`,
            `bidirectional` of two such cells, `linear`, `one_hot`, `activation`,
            dropout.
        params: its parameters.
        like: the layer, the Sequential or the list of weights that the result is for,
            to leave out biases that it does not have, and to compare shapes.
        layers: of `like`, as in `from_keras`.

    Returns:
        Arrays of NumPy, in the order of `get_weights()`.

    Raises:
        TypeError: a cell that was not made by a factory.
        ValueError: a layer that Keras does not have; `like` is of another model.

    Example:
        >>> import jax, jax.numpy as jnp, jrnn
        >>> cell = jrnn.gru(2)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> [w.shape for w in to_keras(cell, params)]
        [(3, 6), (2, 6), (2, 6)]
    """
    found = pieces("to_keras", model, params)
    found = [p for p in found if p.kind not in WITHOUT_PARAMS]
    originals: list[KerasLayer | None] = [None] * len(found)
    if like is not None:
        ways = [p for piece in found for p in piece.arguments.get("ways", (piece,))]
        simple = next((p for p in ways if p.kind == "elman"), None)
        f = simple and _keras_name(simple)
        after = all(p.arguments.get("reset", "after") == "after" for p in ways)
        read = _read("to_keras", like, layers, f, after)
        originals = [layer for layer in read if layer.kind != "activation"]
        if len(originals) != len(found):
            raise ValueError(
                f"to_keras: like has {len(originals)} layers with weights, expected "
                f"{len(found)} as the model has. Pass the model that it came from."
            )
    written = []
    for piece, layer in zip(found, originals, strict=True):
        written += _written(piece, layer)
    return written


def _read(function: str, source, layers, activation, reset_after) -> list[KerasLayer]:
    """The layers of whatever may be given."""
    if isinstance(source, list | tuple):
        return _of_list(function, source, layers, activation, reset_after)
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"{function}: there is no file {path}.")
        if not zipfile.is_zipfile(path):
            raise ValueError(
                f"{function}: {path} is damaged, or no .keras file, which is a zip "
                "archive. Write one by model.save('NAME.keras')."
            )
        source = read_file(path)
    given = {"layers": layers, "activation": activation, "reset_after": reset_after}
    if function == "from_keras" and any(v is not None for v in given.values()):
        raise ValueError(
            f"{function}: layers, activation and reset_after are for a list of "
            f"weights; {type(source).__name__} says them itself. Leave them out."
        )
    if not hasattr(source, "get_weights"):
        raise TypeError(
            f"{function}: expected a layer or a Sequential of Keras, a path or a list "
            f"of weights, got {type(source).__name__}."
        )
    return layers_of(function, source)


def _of_list(function: str, weights, layers, activation, reset_after):
    """The layers of a list of weights."""
    weights = [np.asarray(w) for w in weights]
    try:
        found = guessed(weights) if layers is None else told(weights, layers)
    except UnfitWeights as error:
        raise ValueError(f"{function}: {error}") from None
    for n, layer in enumerate(found):
        if layer.kind == "simple_rnn" and activation is None:
            raise ValueError(
                f"{function}: {layer.place}: the weights of a SimpleRNN do not say its "
                "activation. Pass activation='tanh', say."
            )
        if layer.kind == "simple_rnn":
            found[n] = layer._replace(activation=activation)
        elif layer.kind == "gru" and layer.ways[0].bias is None:
            if reset_after is None:
                raise ValueError(
                    f"{function}: {layer.place}: the weights of a GRU without bias do "
                    "not say its form. Pass reset_after=True or False."
                )
            found[n] = layer._replace(reset_after=reset_after)
    return found


def _layers(layer: KerasLayer) -> list[Filled]:
    """The cells of one layer: itself, and its activation if it is not its own."""
    if layer.kind in GATES:
        ways = [_recurrent(layer, weights) for weights in layer.ways]
        return ways if len(ways) == 1 else [both_ways(*ways, pooled=layer.pooled)]
    found = []
    if layer.kind != "activation":
        arrays.one_dtype("from_keras", layer.place, _named(layer.ways[0]))
        w = _jax(layer, "kernel", layer.ways[0].kernel)
        if layer.kind == "embedding":
            return [Filled(embed(*w.shape), EmbedParams(w))]
        b = _bias(layer, layer.ways[0], (w.shape[1],))
        found = [Filled(linear(w.shape[1]), LinearParams(w, _jax(layer, "bias", b)))]
    if layer.activation == "softmax":
        return [*found, Filled(activation(jax.nn.softmax), ())]
    if layer.activation != "linear":
        found.append(activation_layer(_jax_name(layer)))
    return found


def _recurrent(layer: KerasLayer, weights: Weights) -> Filled:
    """One layer in one direction."""
    arrays.one_dtype("from_keras", layer.place, _named(weights))
    kernel, recurrent = weights.kernel, weights.recurrent
    assert recurrent is not None  # as `checked` has seen
    size, width = recurrent.shape
    if layer.kind != "gru":
        w_x, w_h = _jax(layer, "kernel", kernel), _jax(layer, "recurrent", recurrent)
        b = _jax(layer, "bias", _bias(layer, weights, (width,)))
        if layer.kind == "lstm":
            return Filled(lstm(size), LSTMParams(w_x, w_h, b))
        return elman_layer(_jax_name(layer), ElmanParams(w_x, w_h, b))
    bias = _bias(layer, weights, (2, width))
    if bias.ndim == 1:  # reset_after=False has the one of the input only
        bias = np.stack([bias, np.zeros_like(bias)])
    values = kernel, recurrent, bias[0], bias[1]
    swapped = [_jax(layer, "weights", _swapped(a)) for a in values]
    form = "after" if layer.reset_after else "before"
    return Filled(gru(size, form), GRUParams(*swapped))


def _named(weights: Weights) -> dict[str, np.ndarray]:
    return {k: w for k, w in weights._asdict().items() if w is not None}


def _jax(layer: KerasLayer, name: str, array: np.ndarray) -> jax.Array:
    return arrays.to_jax("from_keras", f"{layer.place}: {name}", array)


def _bias(layer: KerasLayer, weights: Weights, shape: tuple[int, ...]) -> np.ndarray:
    """The bias, zeros where there is none."""
    del layer
    return (
        np.zeros(shape, weights.kernel.dtype) if weights.bias is None else weights.bias
    )


def _swapped(a: np.ndarray) -> np.ndarray:
    """The first two of three gates exchanged: z r n to r z n, and back."""
    z, r, n = np.split(a, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


def _jax_name(layer: KerasLayer) -> str:
    """The name in `jax.nn` of an activation of Keras."""
    if layer.activation not in ACTIVATIONS:
        raise ValueError(
            f"from_keras: {layer.place} has activation={layer.activation!r}, which is "
            "no function of jax.nn with the same constants. Those that are: "
            f"{', '.join(ACTIVATIONS)}, and softmax of a Dense."
        )
    return ACTIVATIONS[layer.activation]


def _keras_name(piece: Piece) -> str:
    """Keras's name of the activation of a simple network."""
    name = activation_name(piece.arguments["activation"])
    found = next((k for k, v in ACTIVATIONS.items() if v == name), None)
    if found is None:
        raise ValueError(
            f"to_keras: {piece.place} has the activation {name or 'of your own'}, "
            f"which Keras does not have. It has {', '.join(ACTIVATIONS)}."
        )
    return found


def _written(piece: Piece, like: KerasLayer | None) -> list[np.ndarray]:
    """The weights of one layer, those of both directions one after the other."""
    number = len(piece.arguments.get("ways", (1,))) if like is None else len(like.ways)
    weights = []
    for n, way in enumerate(piece.ways("to_keras", number)):
        kind = _KIND.get(way.kind, way.kind)
        if like is not None and like.kind != kind:
            raise ValueError(
                f"to_keras: like has {like.kind} at {like.place}, but the model has "
                f"{kind}, {way.place}. Pass the model that it came from."
            )
        own = _own(kind, way)
        weights += own if like is None else _fitted(way, like, like.ways[n], own)
    return weights


def _own(kind: str, piece: Piece) -> list[np.ndarray]:
    """The weights of a layer in one direction, with its bias."""
    numpy = lambda key: arrays.to_numpy(
        "to_keras", f"{piece.place}: {key}", getattr(piece.params, key)
    )
    if kind == "embedding":
        return [numpy("table")]
    if kind == "dense":
        return [numpy("w"), numpy("b")]
    if kind == "gru":
        return _of_gru(piece, numpy)
    if kind == "simple_rnn":
        _keras_name(piece)
    return [numpy("w_x"), numpy("w_h"), numpy("b")]


def _of_gru(piece: Piece, numpy) -> list[np.ndarray]:
    w_x, w_h, b_x, b_h = (_swapped(numpy(k)) for k in GRUParams._fields)
    if piece.arguments["reset"] == "after":
        return [w_x, w_h, np.stack([b_x, b_h])]
    return [w_x, w_h, arrays.sum_of(b_x, b_h)]


def _fitted(
    piece: Piece, like: KerasLayer, its: Weights, weights: list[np.ndarray]
) -> list[np.ndarray]:
    """The weights in the shapes of others, without a bias that those do not have."""
    expected = its.present()
    if len(expected) < len(weights):
        arrays.no_bias("to_keras", piece.place, bias=weights.pop())
    for name, array, other in zip(_named(its), weights, expected, strict=True):
        if array.shape != other.shape:
            raise ValueError(
                f"to_keras: {piece.place}: {name} has shape {array.shape}, expected "
                f"{other.shape} as in like, {like.place}."
            )
    return weights
