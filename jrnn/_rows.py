"""Rows of a table by token, and what stands for a token that does not exist."""

import math

import jax

from jrnn._setting import setting


def rows(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Rows (..., D) of a table (V, D); of a token that does not exist, zeros."""
    how = {"mode": "fill", "fill_value": no_row(), "wrap_negative_indices": False}
    return table.at[tokens].get(**how)


def no_row() -> float:
    """Zero, or NaN where JAX is asked to stop at NaN."""
    return math.nan if setting("jax_debug_nans") else 0.0
