"""Settings of JAX, most of which its own type hints do not list."""

from typing import Any

import jax


def setting(name: str) -> Any:
    """The value of `jax.config.NAME` here, where a context manager may have changed it.

    `jax.config.read` refuses the settings that a context manager can change.
    """
    return getattr(jax.config, name)
