"""Layers of Keras from its objects: a layer, a Sequential, a .keras file."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jrnn.interop.keras_weights import KerasLayer, UnfitWeights, checked

# Without effect in evaluation, or on the shape of a batch only.
_IDLE = (
    "InputLayer Dropout SpatialDropout1D GaussianDropout GaussianNoise Identity"
).split()


def read_file(path: Path) -> Any:
    """The model in a .keras file."""
    keras = importlib.import_module("keras")
    # in safe mode no code in the file is run
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def layers_of(function: str, source: Any) -> list[KerasLayer]:
    """The layers of a layer or a Sequential, in their order.

    Args:
        function: the public function, for messages.
        source: any layer of Keras.

    Returns:
        Each with its weights and what matters of its options.

    Raises:
        TypeError: a layer that jrnn has no counterpart of.
        ValueError: one with an option that jrnn has no counterpart of, or no weights.
    """
    try:
        return list(_layers(function, source))
    except UnfitWeights as error:
        raise ValueError(f"{function}: {error}") from None


def _layers(function: str, layer: Any) -> Iterator[KerasLayer]:
    keras = importlib.import_module("keras")
    layers, models = keras.layers, keras.models

    if isinstance(layer, models.Sequential):
        for inner in layer.layers:
            yield from _layers(function, inner)
    elif isinstance(layer, layers.TimeDistributed):
        yield from _layers(function, layer.layer)
    elif isinstance(layer, tuple(getattr(layers, name) for name in _IDLE)):
        return
    elif isinstance(layer, layers.Bidirectional):
        yield _bidirectional(function, layer)
    elif isinstance(layer, layers.RNN):
        _forward_only(function, layer)
        yield _recurrent(function, layer.name, layer.cell)
    elif isinstance(layer, layers.Embedding):
        _no_mask(function, layer)
        table = checked(layer.name, "embedding", _weights(function, layer))
        yield KerasLayer(layer.name, "embedding", (table,))
    elif isinstance(layer, layers.Dense):
        weights = checked(layer.name, "dense", _weights(function, layer))
        name = _activation(function, layer, layer.activation)
        yield KerasLayer(layer.name, "dense", (weights,), name)
    elif isinstance(layer, layers.Activation):
        name = _activation(function, layer, layer.activation)
        yield KerasLayer(layer.name, "activation", activation=name)
    else:
        yield _recurrent(function, layer.name, layer)


def _recurrent(function: str, place: str, cell: Any) -> KerasLayer:
    """From the cell of a layer, or a cell."""
    layers = importlib.import_module("keras.layers")

    kinds = {
        layers.SimpleRNNCell: "simple_rnn",
        layers.LSTMCell: "lstm",
        layers.GRUCell: "gru",
    }
    kind = next((k for c, k in kinds.items() if isinstance(cell, c)), None)
    if kind is None:
        raise TypeError(
            f"{function}: {place} is {type(cell).__name__}, which jrnn has no "
            "counterpart of. Only SimpleRNN, LSTM, GRU, RNN of their cells, "
            "Bidirectional, Embedding, Dense, TimeDistributed of it, Activation and "
            "Dropout have; of a functional model pass "
            "keras.Sequential(model.layers) if it is a chain."
        )
    weights = checked(place, kind, _weights(function, cell, place))
    activation = _activation(function, cell, cell.activation)
    if kind != "simple_rnn":
        gate = _activation(function, cell, cell.recurrent_activation)
        if (activation, gate) != ("tanh", "sigmoid"):
            raise ValueError(
                f"{function}: {place} has activation={activation!r} and "
                f"recurrent_activation={gate!r}; jrnn's {kind} has 'tanh' and "
                "'sigmoid' only. Train it with those."
            )
    after = getattr(cell, "reset_after", True)
    return KerasLayer(place, kind, (weights,), activation, after)


def _bidirectional(function: str, layer: Any) -> KerasLayer:
    if layer.merge_mode != "concat":
        raise ValueError(
            f"{function}: {layer.name} has merge_mode={layer.merge_mode!r}; "
            "jrnn.bidirectional joins outputs, 'concat'."
        )
    if layer.forward_layer.go_backwards or not layer.backward_layer.go_backwards:
        raise ValueError(
            f"{function}: {layer.name} has layers of go_backwards="
            f"{layer.forward_layer.go_backwards} and "
            f"{layer.backward_layer.go_backwards}, expected False and True."
        )
    ways = [
        _recurrent(function, inner.name, inner.cell)
        for inner in (layer.forward_layer, layer.backward_layer)
    ]
    same = lambda a: (a.kind, a.activation, a.reset_after)
    if same(ways[0]) != same(ways[1]):
        raise ValueError(
            f"{function}: {layer.name} has two different layers, {same(ways[0])} and "
            f"{same(ways[1])}. Bring them in one by one."
        )
    both = tuple(way.ways[0] for way in ways)
    pooled = not layer.return_sequences
    return ways[0]._replace(place=layer.name, ways=both, pooled=pooled)


def _forward_only(function: str, layer: Any) -> None:
    if layer.go_backwards:
        raise ValueError(
            f"{function}: {layer.name} has go_backwards=True, which is no part of a "
            f"cell. Set {layer.name}.go_backwards = False, and run it by "
            "jrnn.unroll(..., reverse=True); its outputs are then in the order of time."
        )


def _no_mask(function: str, layer: Any) -> None:
    if layer.mask_zero:
        raise ValueError(
            f"{function}: {layer.name} has mask_zero=True: the layers behind it skip "
            f"token 0. Set {layer.name}.mask_zero = False, and put the recurrent "
            "layers into jrnn.masked, which reads (x, token != 0)."
        )


def _activation(function: str, layer: Any, f: Any) -> str:
    """The name that Keras has for an activation."""
    activations = importlib.import_module("keras.activations")

    name = activations.serialize(f)
    if not isinstance(name, str) or activations.get(name) is not f:
        raise ValueError(
            f"{function}: {layer.name} has an activation without a name in Keras, "
            f"{name}. Train it with a named one."
        )
    return name


def _weights(function: str, layer: Any, place: str = "") -> list[np.ndarray]:
    if not layer.built:
        raise ValueError(
            f"{function}: {place or layer.name} has no weights yet. Call it on a "
            "batch, or layer.build(shape), first."
        )
    return [np.asarray(w) for w in layer.get_weights()]
