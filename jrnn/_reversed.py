"""Sequences read from their end."""

from typing import Any

import jax


def turned(tree: Any, reverse: bool) -> Any:
    """A sequence read from its end, if that is asked for."""
    return jax.tree.map(lambda a: a[::-1], tree) if reverse else tree
