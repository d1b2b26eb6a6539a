"""Inputs of cells in continuous time: x alone, or with the time since the last one."""

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn.cell import Input


def timed(name: str, x: Input) -> tuple[Any, ArrayLike]:
    """X and the time elapsed, which is 1 where the input is x alone."""
    if not isinstance(x, tuple):
        return x, 1.0
    if len(x) != 2:
        raise TypeError(
            f"{name}: the input must be x or a pair (x, elapsed), got {len(x)} entries."
        )
    x, elapsed = x
    if jnp.shape(elapsed) != ():
        raise ValueError(
            f"{name}: elapsed must be one number, a scalar, got shape "
            f"{jnp.shape(elapsed)}. Cells step one example; use jax.vmap for a batch."
        )
    return x, elapsed
