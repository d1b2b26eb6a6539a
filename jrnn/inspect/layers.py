"""The layers of a stack, and what there is to see in each of them."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import Description
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.cells import GRUParams, LSTMCarry, LSTMParams
from jrnn.gradients.saturation import gates_of
from jrnn.layers import LinearParams, linear
from jrnn.wrappers import LayerNormParams, LearnedCarryParams


class Layer(NamedTuple):
    """One cell of a stack."""

    cell: Cell
    params: Params
    kind: str  # the factory that made it, such as lstm
    units: int  # of its state; 0 for a layer that has none


def layers_of(name: str, model: Cell, params: Params) -> list[Layer]:
    """The cells of a stack; those of a stack in it stand in its place.

    Args:
        name: of the function that asks, for messages.
        model: a cell; one that is no stack counts as a stack of one.
        params: its parameters.

    Returns:
        A `Layer` for each cell, in the order in which they act.

    Raises:
        TypeError: a model that reads the whole sequence.
        ValueError: no cell has a state.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(3), jrnn.lstm(4), jrnn.linear(3))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> [(layer.kind, layer.units) for layer in layers_of("f", model, params)]
        [('one_hot', 0), ('lstm', 4), ('linear', 0)]
    """
    _check.cell(name, model, "It has no state after each step to show.")
    layers = [Layer(*of, *kind_and_units(*of)) for of in _cells(model, params)]
    if not any(layer.units for layer in layers):
        raise ValueError(f"{name}: the model has no layer with a state to show.")
    return layers


def states(carry: Carry) -> dict[str, jax.Array]:
    """The vectors of a carry that have one number for each unit, by name.

    A carry that is one array is called h. An array of another length than the first
    one has other units, and is left out.

    Args:
        carry: of one layer.

    Returns:
        Vectors (H,): h of a GRU or a simple network, h and c of an LSTM.

    Example:
        >>> import jrnn
        >>> sorted(states(jrnn.LSTMCarry(h=jnp.zeros(4), c=jnp.ones(4))))
        ['c', 'h']
        >>> states(jnp.ones(3))["h"].shape, states(())
        ((3,), {})
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(carry)
    numbers = [
        (jax.tree_util.keystr(path).lstrip(".") or "h", jnp.ravel(leaf))
        for path, leaf in leaves
        if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    ]
    return {name: leaf for name, leaf in numbers if leaf.size == numbers[0][1].size}


def gates(params: Params, carry: Carry, x: Input) -> dict[str, jax.Array]:
    """The gates of one step of a layer, if it is an LSTM or a GRU.

    A cell in `layer_norm`, `learned_carry`, `residual` or `dropout` has the gates that
    it has outside: none of them changes what it reads.

    Args:
        params: of the layer.
        carry: before the step.
        x: what the layer reads.

    Returns:
        Vectors (H,): i, f and o of an LSTM, r and z of a GRU, nothing of others.

    Example:
        >>> import jrnn
        >>> cell, x = jrnn.layer_norm(jrnn.gru(4)), jnp.ones(3)
        >>> params = cell.init(jax.random.key(0), x)
        >>> sorted(gates(params, cell.initial_carry(params), x))
        ['r', 'z']
    """
    while isinstance(params, LayerNormParams | LearnedCarryParams):
        params = params.cell
    is_lstm = isinstance(params, LSTMParams) and isinstance(carry, LSTMCarry)
    is_gru = isinstance(params, GRUParams) and isinstance(carry, jax.Array)
    return gates_of(params, carry, x) if is_lstm or is_gru else {}


def changes_weights(cell: Cell) -> bool:
    """Whether a cell computes with other weights than stand in its parameters.

    Args:
        cell: of a layer.

    Returns:
        True of `spectral_norm` and `spectral_bound`, and what is made of them.

    Example:
        >>> import jrnn
        >>> changes_weights(jrnn.layer_norm(jrnn.spectral_norm(jrnn.lstm(4))))
        True
    """
    made = cell.description
    if not isinstance(made, Description):
        return False
    inner = made.arguments.get("cell")
    return made.factory in ("spectral_norm", "spectral_bound") or (
        isinstance(inner, Cell) and changes_weights(inner)
    )


def _cells(model: Cell, params: Params) -> Iterator[tuple[Cell, Params]]:
    made = model.description
    if isinstance(made, Description) and made.factory == "stack":
        for cell, own in zip(made.arguments["cells"], params, strict=True):
            yield from _cells(cell, own)
    elif isinstance(made, Description) and made.factory == "tied":
        yield made.arguments["embedding"], params.embed
        yield from _cells(made.arguments["cell"], params.cell)
        table = params.embed.table
        yield linear(len(table)), LinearParams(table.T, params.b)
    else:
        yield model, params


def kind_and_units(cell: Cell, params: Params) -> tuple[str, int]:
    """The factory that made a cell, and the units of its state.

    Args:
        cell: of a layer.
        params: its parameters.

    Returns:
        A word such as "lstm", and H; 0 of a cell without a state.

    Example:
        >>> import jrnn
        >>> cell = jrnn.gru(4)
        >>> kind_and_units(cell, cell.init(jax.random.key(0), jnp.ones(2)))
        ('gru', 4)
    """
    kind = cell.description.factory if cell.description else "cell"
    found = jax.eval_shape(lambda own: states(cell.initial_carry(own)), params)
    return kind, next((vector.size for vector in found.values()), 0)
