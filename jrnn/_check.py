"""Checks that run while tracing and name the function, the argument and the fix."""

import inspect
import numbers

import jax
import jax.numpy as jnp
import numpy as np


def kind(x) -> str:
    """What a wrong argument is, in words; a tracer is an array."""
    if isinstance(x, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
        return f"an array of shape {x.shape}"
    article = "an" if type(x).__name__[0] in "aeiouAEIOU" else "a"
    return f"{article} {type(x).__name__}"


def params_type(name: str, params, expected: type) -> None:
    """Raise where the parameters are those of another cell."""
    if not isinstance(params, expected):
        raise TypeError(
            f"{name}: expected {expected.__name__}, got {type(params).__name__}."
        )


def step_input(name: str, x, size: int) -> None:
    """Raise unless `x` is one step's input of shape (size,)."""
    shape = jnp.shape(x)
    if len(shape) > 1:
        raise ValueError(
            f"{name}: x must have shape ({size},), got {shape}. "
            "Cells step one example; use jax.vmap for a batch."
        )
    if len(shape) == 0:
        raise ValueError(
            f"{name}: x must have shape ({size},), got a scalar. "
            "Put one_hot(V) or embed(V, D) in front of a cell that reads tokens."
        )
    if shape[0] != size:
        raise ValueError(
            f"{name}: x has {shape[0]} features, "
            f"but params were initialised for {size}."
        )


def carry_shape(name: str, carry, shape: tuple[int, ...]) -> None:
    """Raise unless a carry field has its shape."""
    got = jnp.shape(carry)
    if got != shape:
        raise ValueError(f"{name}: carry has shape {got}, expected {shape}.")


def example_vector(name: str, x) -> tuple[int, jnp.dtype]:
    """Size and dtype of an example input for `init`, which must be a float vector."""
    shape = jnp.shape(x)
    if len(shape) != 1:
        raise ValueError(
            f"{name}: init needs an example of one step's input, of shape (features,), "
            f"got {shape}."
        )
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(
            f"{name}: init needs a floating-point example, got {x.dtype}. "
            "Put one_hot(V) or embed(V, D) in front of a cell that reads tokens."
        )
    return shape[0], x.dtype


def pair(name: str, x, flag: str) -> None:
    """Raise unless the input of a wrapped cell is `(x, flag)`."""
    if not isinstance(x, tuple) or len(x) != 2:
        got = f"{len(x)} entries" if isinstance(x, tuple) else type(x).__name__
        raise TypeError(f"{name}: the input must be a pair (x, {flag}), got {got}.")


def num_steps(name: str, xs) -> int:
    """The length of the leading axis that all leaves of a sequence share."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(xs)]
    if not shapes or () in shapes:
        raise ValueError(
            f"{name}: every leaf of xs needs a leading time axis, got {shapes}."
        )
    lengths = sorted({shape[0] for shape in shapes})
    if len(lengths) > 1:
        raise ValueError(
            f"{name}: xs must share one leading time axis, got lengths {lengths}."
        )
    return lengths[0]


def positive(name: str, argument: str, value) -> None:
    """Raise unless `value` is a positive integer."""
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integer or value < 1:
        raise ValueError(
            f"{name}: {argument} must be a positive integer, got {value!r}."
        )


def not_negative(name: str, argument: str, value) -> None:
    """Raise where a concrete number is negative or NaN; tracers pass."""
    if isinstance(value, jax.core.Tracer):
        return
    if not (np.asarray(value) >= 0).all():
        raise ValueError(f"{name}: {argument} must be at least 0, got {value}.")


def rate(name: str, value) -> None:
    """Raise where a concrete probability is outside [0, 1); tracers pass."""
    if isinstance(value, jax.core.Tracer):
        return
    if not 0.0 <= float(value) < 1.0:
        raise ValueError(f"{name}: rate must be in [0, 1), got {value}.")


def takes(name: str, argument: str, function, form: str) -> None:
    """Raise where a user's function cannot be called with arguments of this form.

    `form` is what stands between the parentheses of its definition.
    """
    if not callable(function):
        raise TypeError(
            f"{name}: {argument} must be a function {argument}({form}), got "
            f"{kind(function)}."
        )
    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are not written in Python have none
        return
    positional, _, keywords = form.partition(", *, ")
    words = {word.split("=")[0]: None for word in keywords.split(", ") if word}
    try:
        signature.bind(*positional.split(", "), **words)
    except TypeError:
        raise TypeError(
            f"{name}: {argument} must be a function {argument}({form}), but its "
            f"arguments are {signature}."
        ) from None


def key_given(name: str, key, call: str) -> None:
    """Raise where a stochastic cell is run without a key."""
    if key is None:
        raise ValueError(
            f"{name}: {call} needs a key. Pass unroll(..., key=key), or evaluate with "
            "the cell without dropout: it has the same parameters."
        )


def at_least_float32(dtype):
    """Single precision for types below it, which LAPACK and random bits are not for."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
