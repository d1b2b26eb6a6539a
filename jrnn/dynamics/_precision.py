"""One warning for all that needs double precision."""

import warnings

import jax.numpy as jnp


def warn_below_float64(name: str, dtype: jnp.dtype, why: str) -> None:
    """Warn, while tracing, where a result is computed in less than float64."""
    if jnp.finfo(dtype).bits < 64:
        warnings.warn(
            f"{name}: computing in {jnp.dtype(dtype).name}; {why} Use float64: "
            'jax.config.update("jax_enable_x64", True) before anything else, and '
            "parameters and inputs in float64.",
            stacklevel=3,
        )
