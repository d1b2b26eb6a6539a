"""Models taken apart into layers, and layers put together to a model."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._activation import NAMES, named
from jrnn.cell import Cell, Params
from jrnn.cells import ElmanParams, GRUParams, LSTMParams, elman
from jrnn.combine import bidirectional, stack
from jrnn.layers import EmbedParams, LinearParams, activation
from jrnn.sequence import SequenceModel
from jrnn.sequence_layers import pool

PARAMS = {
    "elman": ElmanParams,
    "lstm": LSTMParams,
    "gru": GRUParams,
    "linear": LinearParams,
    "embed": EmbedParams,
}
RECURRENT = "elman", "lstm", "gru"
WITHOUT_PARAMS = "one_hot", "activation", "pool"
# their parameters are those of the cell inside, and they do nothing in evaluation
TRANSPARENT = (
    "dropout",
    "recurrent_dropout",
    "variational_dropout",
    "weight_dropout",
)


class Filled(NamedTuple):
    """A cell filled with its parameters."""

    cell: Cell | SequenceModel
    params: Params


class Piece(NamedTuple):
    """A layer of a model of jrnn, and how it was made."""

    place: str  # model.cells[1]
    kind: str  # of PARAMS or WITHOUT_PARAMS, or bidirectional
    arguments: dict[str, Any]
    params: Params

    def ways(self, function: str, number: int) -> tuple["Piece", ...]:
        """The recurrent layers of a layer, of which there must be so many."""
        both = self.arguments.get("ways", (self,))
        if len(both) != number:
            raise ValueError(
                f"{function}: {self.place} reads in {len(both)} direction"
                f"{'s' * (len(both) > 1)}, expected {number} as in like. Pass the "
                "module that the model came from."
            )
        return both


def together(layers: Sequence[Filled]) -> tuple[Cell | SequenceModel, Params]:
    """One layer as it is, several as a stack."""
    if len(layers) == 1:
        return layers[0].cell, layers[0].params
    return stack(*(a.cell for a in layers)), tuple(a.params for a in layers)


def pieces(function: str, model: Cell | SequenceModel, params: Params) -> list[Piece]:
    """The layers of a model in their order, with dropout left out.

    Args:
        function: the public function, for messages.
        model: a cell made by factories of jrnn.
        params: its parameters.

    Returns:
        A piece for each layer.

    Raises:
        TypeError: no cell, or one that no factory has made; parameters of another one.
        ValueError: a cell that the other libraries do not have.
    """
    return list(_pieces(function, "model", model, params))


def _pieces(
    function: str, place: str, cell: Cell | SequenceModel, params: Params
) -> Iterator[Piece]:
    description = getattr(cell, "description", None)
    if description is None:
        of_functions = isinstance(cell, Cell)
        got = "a cell of three functions" if of_functions else _check.kind(cell)
        raise TypeError(
            f"{function}: {place} must be made by factories of jrnn, such as lstm(64), "
            f"got {got}. The order is {function}(model, params)."
        )
    kind, arguments = description
    if kind == "stack":
        cells = arguments["cells"]
        _entries(function, place, params, len(cells))
        for n, (inner, p) in enumerate(zip(cells, params, strict=True)):
            yield from _pieces(function, f"{place}.cells[{n}]", inner, p)
        return
    if kind in TRANSPARENT:
        yield from _pieces(function, f"{place}.cell", arguments["cell"], params)
        return
    if kind == "bidirectional":
        yield Piece(
            place, kind, {"ways": _both(function, place, arguments, params)}, params
        )
        return
    if kind == "irnn":
        kind, arguments = "elman", {**arguments, "activation": jax.nn.relu}
    if kind in PARAMS:
        _check.params_type(f"{function}: {place}", params, PARAMS[kind])
    elif kind not in WITHOUT_PARAMS:
        raise ValueError(
            f"{function}: {place} is made by {kind}, which has no counterpart there. "
            f"Only {', '.join((*PARAMS, *WITHOUT_PARAMS))}, irnn and stacks of them do."
        )
    yield Piece(place, kind, arguments, params)


def _both(function: str, place: str, arguments, params) -> tuple[Piece, Piece]:
    """The layers of both directions."""
    _entries(function, place, params, 2)
    ways = []
    for name, p in zip(("forward", "backward"), params, strict=True):
        found = list(_pieces(function, f"{place}.{name}", arguments[name], p))
        found = [piece for piece in found if piece.kind != "pool"]
        if len(found) != 1 or found[0].kind not in RECURRENT:
            raise ValueError(
                f"{function}: {place}.{name} must be one recurrent layer, "
                f"{', '.join(RECURRENT)}, got {', '.join(p.kind for p in found)}."
            )
        ways += found
    return tuple(ways)


def _entries(function: str, place: str, params: Params, number: int) -> None:
    if not isinstance(params, tuple) or len(params) != number:
        got = len(params) if isinstance(params, tuple) else _check.kind(params)
        raise ValueError(
            f"{function}: the parameters of {place} must be a tuple of {number}, got "
            f"{got}."
        )


def hidden_size(piece: Piece) -> int:
    """Units H of a recurrent layer."""
    return piece.params.w_h.shape[0]


def activation_name(f: Any) -> str | None:
    """The name in `jax.nn` of an activation, if it has one."""
    f = named("activation", f)
    if f is jnp.tanh:
        return "tanh"
    return next((name for name in NAMES if getattr(jax.nn, name) is f), None)


def elman_layer(name: str, params: ElmanParams) -> Filled:
    """The simple network with an activation by its name; tanh is the default."""
    size = params.w_h.shape[0]
    return Filled(elman(size) if name == "tanh" else elman(size, name), params)


def activation_layer(name: str) -> Filled:
    """An activation as a layer."""
    return Filled(activation(name), ())


def both_ways(forward: Filled, backward: Filled, *, pooled: bool = False) -> Filled:
    """Two layers as one that reads in both directions, or gives the last of each."""
    if pooled:
        last = Filled(pool("last"), ())
        forward, backward = (
            Filled(*together([way, last])) for way in (forward, backward)
        )
    model = bidirectional(forward.cell, backward.cell)
    return Filled(model, (forward.params, backward.params))
