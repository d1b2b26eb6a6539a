"""What a module of Flax says that its parameters do not: an order, and functions."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jrnn.interop.flax_weights import BOTH, Path
from jrnn.interop.layers import activation_name


class Told(NamedTuple):
    """A layer that a module tells of."""

    path: Path  # of its parameters
    activation: str | None = None  # of a SimpleCell, by name


class ToldFunction(NamedTuple):
    """A function in a Sequential."""

    f: Callable


Layers = list[Told | ToldFunction]


def linen_layers(function: str, module: Any) -> Layers | None:
    """Layers of a module of linen in their order; None where `__call__` says it."""
    linen = importlib.import_module("flax.linen")

    return _layers(function, linen, module, ())


def nnx_layers(function: str, module: Any) -> Layers | None:
    """Layers of a module of nnx in their order; None where `__call__` says it."""
    nnx = importlib.import_module("flax.nnx")

    return _layers(function, nnx, module, ())


def nnx_parameters(module: Any) -> Mapping[Any, Any]:
    """Parameters of a module of nnx as nested dictionaries."""
    nnx = importlib.import_module("flax.nnx")

    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def is_linen(module: Any) -> bool:
    """Whether this is a module of linen and not of nnx."""
    linen = importlib.import_module("flax.linen")

    return isinstance(module, linen.Module)


def _layers(function: str, library: Any, module: Any, path: Path) -> Layers | None:
    """The same for both, whose classes have the same names."""
    place = "/".join(map(str, path)) or type(module).__name__
    if isinstance(module, library.Sequential):
        return _sequential(function, library, module, path)
    if isinstance(module, library.Dropout):
        return []
    if isinstance(module, library.Bidirectional):
        forward, backward = (
            _layers(function, library, getattr(module, name), (*path, name))
            for name in BOTH
        )
        _joined(function, place, module, library)
        if forward is None or backward is None:
            return None
        assert isinstance(forward[0], Told)  # the cell of an RNN
        return [forward[0]._replace(path=path)]
    if isinstance(module, library.RNN):
        if module.reverse:
            raise ValueError(
                f"{function}: {place} has reverse=True, which is no part of a cell. "
                "Bring the RNN in without it, and run it by "
                "jrnn.unroll(..., reverse=True), whose outputs are in the order of "
                "time."
            )
        return _layers(function, library, module.cell, (*path, "cell"))
    if isinstance(module, library.RNNCellBase):
        return [Told(path, _functions(function, library, place, module))]
    linear = library.Dense if hasattr(library, "Dense") else library.Linear
    if isinstance(module, library.Embed | linear):
        return [Told(path)]
    if isinstance(module, library.Module):
        return None
    if callable(module):  # in a Sequential
        return [ToldFunction(module)]
    raise TypeError(
        f"{function}: expected a module of Flax at {place}, got "
        f"{type(module).__name__}."
    )


def _sequential(function: str, library: Any, module: Any, path: Path) -> Layers | None:
    linen = library.__name__ == "flax.linen"
    found: Layers = []
    for n, inner in enumerate(module.layers):
        below = (*path, f"layers_{n}") if linen else (*path, "layers", n)
        layers = _layers(function, library, inner, below)
        if layers is None:
            return None
        found += layers
    return found


def _functions(function: str, library: Any, place: str, cell: Any) -> str | None:
    """The activation of a SimpleCell; gates must be as in jrnn."""
    kinds = [library.SimpleCell, library.GRUCell, library.LSTMCell]
    if not isinstance(cell, (*kinds, library.OptimizedLSTMCell)):
        raise TypeError(
            f"{function}: {place} is {type(cell).__name__}, which jrnn has no "
            "counterpart of. Only SimpleCell, LSTMCell, OptimizedLSTMCell and GRUCell "
            "have."
        )
    if isinstance(cell, library.SimpleCell):
        name = activation_name(cell.activation_fn)
        if cell.residual or name is None:
            wrong = "residual=True" if cell.residual else "an activation without a name"
            raise ValueError(
                f"{function}: {place} has {wrong}; jrnn.elman has activations of "
                "jax.nn, and no residual before them."
            )
        return name
    if (
        activation_name(cell.activation_fn) != "tanh"
        or cell.gate_fn is not jax.nn.sigmoid
    ):
        raise ValueError(
            f"{function}: {place} has gate_fn or activation_fn of its own; jrnn's "
            "gates have sigmoid and tanh."
        )
    return None


def _joined(function: str, place: str, module: Any, library: Any) -> None:
    default = library.Bidirectional.__init__.__kwdefaults__ or {}
    fields = getattr(library.Bidirectional, "__dataclass_fields__", {})
    known = default.get("merge_fn") or fields["merge_fn"].default
    if module.merge_fn not in (known, jnp.concatenate):
        raise ValueError(
            f"{function}: {place} has a merge_fn of its own; jrnn.bidirectional joins "
            "the outputs, as the default does."
        )
