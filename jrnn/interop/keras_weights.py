"""Layers of Keras, as the shapes of their weights tell them.

    SimpleRNN  kernel (I, H), recurrent (H, H), bias (H,)
    LSTM       kernel (I, 4H), recurrent (H, 4H), bias (4H,)
    GRU        kernel (I, 3H), recurrent (H, 3H), bias (2, 3H), or (3H,) with
               reset_after=False
    Embedding  (V, D)
    Dense      kernel (I, O), bias (O,)

A Bidirectional has the weights of both, first those of the layer forward.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4}
BOTH = "bidirectional_"
KINDS = ("embedding", "dense", *GATES, *(BOTH + kind for kind in GATES))


class UnfitWeights(ValueError):
    """Weights that are not those of a layer; the message names the entry."""


class Weights(NamedTuple):
    """The weights of a layer in one direction."""

    kernel: np.ndarray
    recurrent: np.ndarray | None = None
    bias: np.ndarray | None = None

    def present(self) -> list[np.ndarray]:
        """In the order of `get_weights`."""
        return [w for w in self if w is not None]


class KerasLayer(NamedTuple):
    """A layer, whatever it was read from."""

    place: str  # its name, or where its weights begin in the list
    kind: str  # of GATES, embedding, dense or activation
    ways: tuple[Weights, ...] = ()  # one, or two of a Bidirectional
    activation: str = "linear"  # of Keras
    reset_after: bool = True
    pooled: bool = False  # a Bidirectional with return_sequences=False

    @property
    def writes(self) -> int:
        """Features of its output."""
        last = self.ways[0].recurrent
        size = self.ways[0].kernel.shape[1] if last is None else last.shape[0]
        return size * len(self.ways)

    @property
    def reads(self) -> int | None:
        """Features of its input; None for tokens."""
        return None if self.kind == "embedding" else self.ways[0].kernel.shape[0]


def checked(place: str, kind: str, weights: Sequence[np.ndarray]) -> Weights:
    """The weights of one layer in one direction.

    Args:
        place: for messages.
        kind: embedding, dense, or one of GATES.
        weights: its arrays, in Keras's order.

    Returns:
        The same by their names.

    Raises:
        UnfitWeights: an array is missing, too much, or has another shape.
    """
    names = ("kernel", "recurrent", "bias") if kind in GATES else ("kernel", "bias")
    names = ("embeddings",) if kind == "embedding" else names
    least = 2 if kind in GATES else 1
    if not least <= len(weights) <= len(names):
        raise UnfitWeights(
            f"{place}: {kind} has {', '.join(names)}, but got "
            f"{', '.join(str(w.shape) for w in weights) or 'no weights'}."
        )
    kernel = weights[0]
    if kernel.ndim != 2:
        raise UnfitWeights(
            f"{place}: {names[0]} has shape {kernel.shape}, expected two axes."
        )
    if kind not in GATES:
        found = Weights(kernel, bias=weights[1] if len(weights) > 1 else None)
        return _with_bias(place, found, [(kernel.shape[1],)])
    recurrent, gates = weights[1], GATES[kind]
    size, rest = divmod(kernel.shape[1], gates)
    if rest or recurrent.shape != (size, gates * size):
        raise UnfitWeights(
            f"{place}: recurrent has shape {recurrent.shape}, expected (H, {gates}H) "
            f"of {kind} beside the kernel of shape {kernel.shape}."
        )
    found = Weights(kernel, recurrent, weights[2] if len(weights) > 2 else None)
    wide = (gates * size,)
    return _with_bias(place, found, [(2, *wide), wide] if kind == "gru" else [wide])


def _with_bias(place: str, found: Weights, shapes: list[tuple[int, ...]]) -> Weights:
    if found.bias is not None and found.bias.shape not in shapes:
        raise UnfitWeights(
            f"{place}: bias has shape {found.bias.shape}, expected "
            f"{' or '.join(map(str, shapes))} beside the kernel of shape "
            f"{found.kernel.shape}."
        )
    return found


def told(weights: Sequence[np.ndarray], kinds: Sequence[str]) -> list[KerasLayer]:
    """Layers of these kinds from the weights of a model.

    A bias is taken where there is one of the right shape.
    """
    found, start = [], 0
    for n, kind in enumerate(kinds):
        if kind not in KINDS:
            raise UnfitWeights(
                f"layers[{n}] must be one of {', '.join(KINDS)}, got {kind!r}."
            )
        layer, start = _take(weights, start, kind, maybe_bias=True)
        found.append(layer)
    if start < len(weights):
        raise UnfitWeights(
            f"weights[{start}] of shape {weights[start].shape} and what follows is too "
            f"much for layers={tuple(kinds)}."
        )
    return found


def guessed(weights: Sequence[np.ndarray]) -> list[KerasLayer]:
    """The one model whose weights these can be.

    A Dense without bias or right behind an Embedding is not thought of, nor, where a
    recurrent layer is possible, a model without one.
    """
    found = list(_all(weights, 0, None))
    recurrent = lambda model: any(layer.kind in GATES for layer in model)
    found = list(filter(recurrent, found)) or found
    shapes = ", ".join(str(w.shape) for w in weights)
    if not found:
        raise UnfitWeights(
            f"weights of shapes {shapes} are those of no model of Embedding, "
            "SimpleRNN, "
            "LSTM, GRU, Bidirectional and, with bias, Dense. Pass what they are: "
            "layers=('embedding', 'lstm', 'dense')."
        )
    if len(found) > 1:
        names = [tuple(_kind(layer) for layer in model) for model in found[:2]]
        raise UnfitWeights(
            f"weights of shapes {shapes} can be those of more than one model. Pass the "
            f"one that is meant: layers={names[0]} or layers={names[1]}."
        )
    return found[0]


def _kind(layer: KerasLayer) -> str:
    return (BOTH if len(layer.ways) > 1 else "") + layer.kind


def _all(weights, start: int, features: int | None) -> Iterator[list[KerasLayer]]:
    """Every model that reads so many features."""
    if start == len(weights) and start:
        yield []
    if start >= len(weights):
        return
    for kind in KINDS:
        try:
            layer, end = _take(weights, start, kind, maybe_bias=False)
        except UnfitWeights:
            continue
        if start and (kind == "embedding" or layer.reads != features):
            continue
        for rest in _all(weights, end, layer.writes):
            if not (kind == "embedding" and rest and rest[0].kind == "dense"):
                yield [layer, *rest]


def _take(weights, start: int, kind: str, maybe_bias: bool) -> tuple[KerasLayer, int]:
    """The layer whose weights begin at a place, and where those of the next do."""
    plain = kind.removeprefix(BOTH)
    ways, end = [], start
    for _ in range(2 if kind != plain else 1):
        number = {"embedding": 1, "dense": 2}.get(plain, 3)
        own = list(weights[end : end + number])
        without = plain != "embedding" and not _is_bias(own, number)
        if without and (maybe_bias or plain in GATES):
            own = own[: number - 1]
        ways.append(checked(f"weights[{start}]", plain, own))
        end += len(own)
        if without and not maybe_bias and plain == "dense":
            raise UnfitWeights(f"weights[{start}]: a dense without bias.")
    if kind != plain and ways[0].kernel.shape != ways[1].kernel.shape:
        raise UnfitWeights(
            f"weights[{start}]: the two ways of {kind} have kernels of shapes "
            f"{ways[0].kernel.shape} and {ways[1].kernel.shape}."
        )
    bias = ways[0].bias
    after = bias is None or bias.ndim == 2
    return KerasLayer(f"weights[{start}]", plain, tuple(ways), reset_after=after), end


def _is_bias(own: list[np.ndarray], number: int) -> bool:
    """Whether the last of some arrays is a bias, and not the kernel of what follows."""
    if len(own) < number:
        return False
    bias, width = own[-1], own[0].shape[-1]
    of_gru = bias.shape == (2, width) and number == 3 and own[1].shape[0] * 3 == width
    return bias.shape == (width,) or of_gru
