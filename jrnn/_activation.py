"""Activations by the names that `jax.nn` has for them."""

import difflib
from collections.abc import Callable

import jax

# elementwise, of one argument
NAMES = (
    "celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu "
    "log_sigmoid mish relu relu6 selu sigmoid silu soft_sign softplus sparse_plus "
    "squareplus swish tanh"
).split()


def named(name: str, activation: Callable | str) -> Callable:
    """A function as it is, a name as the function of `jax.nn`."""
    if callable(activation):
        return activation
    if activation in NAMES:
        return getattr(jax.nn, activation)
    if not isinstance(activation, str):
        raise TypeError(
            f"{name}: the activation must be a function or a name, got "
            f"{type(activation).__name__}. Pass jnp.tanh, say, or 'tanh'."
        )
    near = difflib.get_close_matches(activation.lower(), NAMES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"{name}: no activation {activation!r}.{hint} Names are those of jax.nn: "
        f"{', '.join(NAMES)}; or pass any function of an array."
    )
