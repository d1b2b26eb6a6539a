"""Products with one-hot vectors, found in a step and computed by looking up rows.

    one_hot(k, V) @ w = row k of w, or zeros where k is not among the V

Looking up costs G numbers a token, the product V * G. The derivative by w adds one row
a token, for as little.
"""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
from jax import lax

from jrnn.scan.program import Atom, Equation, Variable, is_variable


def looked_up(eqns: Iterable[Equation]) -> dict[int, Variable]:
    """Products of one-hot vectors with a matrix, by `id`, and the tokens of each.

    The tokens have the shape of the vectors without their last axis.
    """
    eqns = list(eqns)
    made_by = {o: eqn for eqn in eqns for o in eqn.outvars}
    found = {}
    for eqn in eqns:
        if eqn.primitive is lax.dot_general_p and _contracts_last_with_first(eqn):
            tokens = _tokens(eqn.invars[0], made_by)
            if tokens is not None:
                found[id(eqn)] = tokens
    return found


def rows(eqn: Equation, tokens: Any, w: Any) -> list[Any]:
    """The product of the one-hot vectors of `tokens` (...) with w, (..., G)."""
    row = lax.gather(
        w,
        tokens.reshape(-1, 1),
        # (N, 1, G): without an axis of length 1, XLA's CPU code copies all rows first
        lax.GatherDimensionNumbers(
            offset_dims=(1, 2), collapsed_slice_dims=(), start_index_map=(0,)
        ),
        slice_sizes=(1, w.shape[1]),
        mode=lax.GatherScatterMode.FILL_OR_DROP,
        fill_value=0,
    )
    row = row.reshape(*tokens.shape, w.shape[1])
    return [row.astype(eqn.outvars[0].aval.dtype)]


def _contracts_last_with_first(eqn: Equation) -> bool:
    x, w = eqn.invars
    (x_axes, w_axes), (batch, _) = eqn.params["dimension_numbers"]
    matrix = is_variable(x) and w.aval.ndim == 2 and not batch
    return matrix and tuple(x_axes) == (x.aval.ndim - 1,) and tuple(w_axes) == (0,)


def _tokens(atom: Atom, made_by: dict[Variable, Equation]) -> Variable | None:
    """The k where `atom` is made as `(k == iota).astype(float)`."""
    cast = made_by.get(atom)
    if cast is None or cast.primitive.name != "convert_element_type":
        return None
    compared = made_by.get(cast.invars[0])
    if compared is None or compared.primitive.name != "eq":
        return None
    places = [a for a in compared.invars if _counts(a, made_by)]
    others = [a for a in compared.invars if not _counts(a, made_by)]
    if len(places) != 1 or len(others) != 1:
        return None
    shape = atom.aval.shape[:-1]
    token = others[0]
    while is_variable(token):
        if token.aval.shape == shape:
            return token if jnp.issubdtype(token.aval.dtype, jnp.integer) else None
        eqn = made_by.get(token)
        if eqn is None or not _repeats_along_last(eqn):
            return None
        token = eqn.invars[0]
    return None


def _counts(atom: Atom, made_by: dict[Variable, Equation]) -> bool:
    """Whether `atom` is 0, 1, 2, ... along its last axis."""
    last = atom.aval.ndim - 1
    while is_variable(atom) and atom in made_by:
        eqn = made_by[atom]
        if eqn.primitive.name == "iota":
            return eqn.params["dimension"] == last
        if eqn.primitive.name != "broadcast_in_dim":
            return False
        axes = eqn.params["broadcast_dimensions"]
        atom = eqn.invars[0]
        whole = axes and atom.aval.shape[-1] == eqn.params["shape"][last]
        if not whole or axes[-1] != last:
            return False
        last = len(axes) - 1
    return False


def _repeats_along_last(eqn: Equation) -> bool:
    """Whether the result is the operand, the same all along a last axis."""
    (x,), (out,) = eqn.invars, eqn.outvars
    if eqn.primitive.name == "broadcast_in_dim":
        axes = tuple(eqn.params["broadcast_dimensions"])
        lead = tuple(range(out.aval.ndim - 1))
        same = x.aval.shape[: len(lead)] == out.aval.shape[:-1]
        with_last = axes == (*lead, out.aval.ndim - 1) and x.aval.shape[-1:] == (1,)
        return same and (axes == lead or with_last)
    return eqn.primitive.name == "reshape" and out.aval.shape == (*x.aval.shape, 1)
