"""How often the gates of a trained cell are shut or wide open."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.cells import GRUParams, LSTMParams
from jrnn.scan import scan


class Saturation(NamedTuple):
    """Shares of the steps at which each unit's gate is saturated."""

    shut: jax.Array  # (H,) gate below `low`
    open: jax.Array  # (H,) gate above `high`


def gate_saturation(
    cell: Cell,
    params: Params,
    xs: Input,
    carry: Carry | None = None,
    *,
    low: float = 0.1,
    high: float = 0.9,
) -> dict[str, Saturation]:
    """Share of steps at which each gate of an LSTM or a GRU is shut or open.

        shut_j = mean_t [gate_t[j] < low],   open_j = mean_t [gate_t[j] > high]

    Where the forget gate of an LSTM (or the update gate of a GRU) is open, gradients
    pass unhindered; where a gate is saturated either way, little gradient reaches the
    weights of the gate itself.

    Args:
        cell: `jrnn.lstm` or `jrnn.gru`; of a stack, one layer with that layer's inputs.
        params: its parameters, `LSTMParams` or `GRUParams`.
        xs: inputs `(T, I)`.
        carry: state before the first step; `cell.initial_carry(params)` if None.
        low: a gate below it counts as shut.
        high: a gate above it counts as open.

    Returns:
        A `Saturation(shut, open)` of shape (H,) each, for every gate by its letter:
        i, f, o for an LSTM, r, z for a GRU.

    Raises:
        TypeError: the parameters are neither of an LSTM nor of a GRU.

    Example:
        >>> import jrnn
        >>> cell = jrnn.lstm(3, forget_bias=5.0)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(2))
        >>> gates = gate_saturation(cell, params, jnp.zeros((8, 2)))
        >>> sorted(gates), gates["f"].open.tolist()
        (['f', 'i', 'o'], [1.0, 1.0, 1.0])

    References:
        Karpathy, Johnson, Li (2015), Visualizing and understanding recurrent networks,
        arXiv:1506.02078, section 4.2.
    """
    _check.cell("gate_saturation", cell, "Pass a cell in it, and the inputs it gets.")
    if not isinstance(params, LSTMParams | GRUParams):
        raise TypeError(
            "gate_saturation: expected LSTMParams or GRUParams, got "
            f"{type(params).__name__}. Of a stack, pass one layer and its inputs."
        )
    _check.num_steps("gate_saturation", xs)
    if carry is None:
        carry = cell.initial_carry(params)

    def step(carry, x):
        return cell.step(params, carry, x)[0], gates_of(params, carry, x)

    _, gates = scan(step, carry, xs)
    share = lambda flags: flags.mean(axis=0, dtype=params.w_h.dtype)
    return {
        letter: Saturation(share(gate < low), share(gate > high))
        for letter, gate in gates.items()
    }


def gates_of(params: Params, carry: Carry, x: jax.Array) -> dict[str, jax.Array]:
    """The gates of one step, by the equations of the cell."""
    if isinstance(params, LSTMParams):
        z = x @ params.w_x + carry.h @ params.w_h + params.b  # (4H,)
        i, f, _, o = jnp.split(z, 4)
        return {k: jax.nn.sigmoid(a) for k, a in (("i", i), ("f", f), ("o", o))}
    z = x @ params.w_x + params.b_x + carry @ params.w_h + params.b_h  # (3H,)
    r, z, _ = jnp.split(z, 3)
    return {"r": jax.nn.sigmoid(r), "z": jax.nn.sigmoid(z)}
