"""Arrays on their way in and out: no rounding, and biases that come in pairs.

Where another library adds two biases and jrnn has one, b = b_1 + b_2, the sum alone
would not say how it was split. On the way back the split of the original is kept
wherever its sum still is b, bit for bit, and b itself with a zero stands elsewhere.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def to_jax(function: str, name: str, array: np.ndarray) -> jax.Array:
    """A copy of an array as a parameter, of the same dtype."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{function}: {name} must be floating-point, got {array.dtype}. Pass the "
            "weights as they were before they were quantised."
        )
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        raise TypeError(
            f"{function}: {name} is {array.dtype}, which JAX would cut to "
            f"{jax.dtypes.canonicalize_dtype(array.dtype)}. Call "
            'jax.config.update("jax_enable_x64", True) first.'
        )
    # never its memory, into which the other library may go on writing
    return jnp.array(array)


def to_numpy(function: str, name: str, value) -> np.ndarray:
    """A parameter as an array of NumPy, of the same dtype."""
    if isinstance(value, Tracer):
        raise TypeError(
            f"{function}: {name} has no value yet. Call {function} outside of jit, "
            "grad, vmap."
        )
    return np.asarray(value)


def one_dtype(function: str, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise unless all arrays of a layer have one dtype."""
    dtypes = {key: array.dtype.name for key, array in arrays.items()}
    if len(set(dtypes.values())) > 1:
        told = ", ".join(f"{key} {dtype}" for key, dtype in dtypes.items())
        raise TypeError(
            f"{function}: expected one dtype in the layer {name or '(the only one)'}, "
            f"got {told}. Cast the layer to one."
        )


def sum_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Their sum; the first itself where the second is zero, a -0 too."""
    return np.where(second == 0, first, first + second)


def split(
    b: np.ndarray, like: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Two biases whose sum is b: those of `like` where theirs is, (b, 0) elsewhere."""
    zero = np.zeros_like(b)
    if like is None or like[0].dtype != b.dtype:
        return b, zero
    kept = same_bits(sum_of(*like), b)
    return np.where(kept, like[0], b), np.where(kept, like[1], zero)


def same_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays of one dtype hold the same bytes, NaN and -0 told apart."""
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    bits = lambda x: np.ascontiguousarray(x).view(unsigned)
    return bits(a) == bits(b)


def no_bias(function: str, place: str, **biases: np.ndarray) -> None:
    """Raise unless biases that the other layer does not have are zero."""
    for name, b in biases.items():
        if np.any(b != 0):
            raise ValueError(
                f"{function}: the layer that is to hold {place} has no bias, but "
                f"{name} is not zero: its largest entry is {float(abs(b).max()):.3g}. "
                "Make that layer with a bias."
            )
