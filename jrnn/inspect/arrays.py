"""Numbers as the page holds them: eight bits each, in base64, by name."""

import base64
from typing import NamedTuple

import numpy as np

_LEVELS = 65535  # of 16 bits
_MOST = 99.0  # nats, where a probability is zero
_KINDS = {"|u1": "u8", "<u2": "u16", "<u4": "u32", "<f4": "f32"}


class Scaled(NamedTuple):
    """Numbers in 8 or 16 bits: value = (byte - zero) * step."""

    bytes: np.ndarray  # (N,) uint8, or uint16
    zero: int
    step: float


def signed(values: np.ndarray) -> Scaled:
    """Numbers around zero in 255 levels, of which the middle one is zero itself.

        step = max |v| / 127

    Args:
        values: (N,), finite.

    Returns:
        What is off by at most half a step.

    Example:
        >>> signed(np.array([0.0, -2.0, 0.5])).bytes.tolist()
        [127, 0, 159]
    """
    values = np.asarray(values, np.float32)
    step = float(np.abs(values).max(initial=0)) / 127 or 1.0
    return Scaled((np.rint(values / step) + 127).astype(np.uint8), 127, step)


def unsigned(values: np.ndarray, top: float | None = None) -> Scaled:
    """Numbers from zero to `top`, their largest one if None, in 256 levels.

        step = top / 255

    Args:
        values: (N,), from 0 to top.
        top: the value of the highest level.

    Returns:
        What is off by at most half a step.

    Example:
        >>> unsigned(np.array([0.0, 0.4, 1.0]), top=1.0).bytes.tolist()
        [0, 102, 255]
    """
    values = np.asarray(values, np.float32)
    largest = float(values.max(initial=0)) if top is None else top
    step = largest / 255 or 1.0
    return Scaled(np.rint(values / step).astype(np.uint8), 0, step)


def costs(nats: np.ndarray) -> Scaled:
    """Losses from zero on in 65,536 levels; what is no number counts as 99.

    Args:
        nats: (N,).

    Returns:
        What is off by at most half a step.

    Example:
        >>> found = costs(np.array([0.0, 2.0, np.inf]))
        >>> (found.bytes * found.step).round(2).tolist()
        [0.0, 2.0, 99.0]
    """
    finite = np.minimum(np.nan_to_num(nats, nan=_MOST), _MOST)
    step = float(finite.max(initial=0)) / _LEVELS or 1.0
    return Scaled(np.rint(finite / step).astype(np.uint16), 0, step)


def fine(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Numbers of any size in 65,536 levels from the lowest to the highest.

        value = low + level * step

    Args:
        values: (N,), finite.

    Returns:
        Levels (N,) uint16, low and step.

    Example:
        >>> levels, low, step = fine(np.array([-1.0, 0.0, 3.0]))
        >>> levels.tolist(), low
        ([0, 16384, 65535], -1.0)
    """
    values = np.asarray(values, np.float64)
    low = float(values.min(initial=np.inf)) if len(values) else 0.0
    step = (float(values.max(initial=low)) - low) / _LEVELS or 1.0
    return np.rint((values - low) / step).astype(np.uint16), low, step


def smallest(integers: np.ndarray) -> np.ndarray:
    """Integers from zero on in the smallest type that holds them.

    Example:
        >>> smallest(np.array([3, 300])).dtype
        dtype('uint16')
    """
    return integers.astype(np.min_scalar_type(int(integers.max(initial=0))))


def encoded(array: np.ndarray) -> tuple[str, str]:
    """The kind of an array (u8, u16, u32 or f32) and its content in base64.

    Example:
        >>> encoded(np.array([1, 2], np.uint16))
        ('u16', 'AQACAA==')
    """
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return _KINDS[little.dtype.str], base64.b64encode(little.tobytes()).decode()


def decoded(kind: str, text: str) -> np.ndarray:
    """The array that `encoded` has written; the page does the same.

    Example:
        >>> decoded("u16", "AQACAA==").tolist()
        [1, 2]
    """
    dtype = next(dtype for dtype, name in _KINDS.items() if name == kind)
    return np.frombuffer(base64.b64decode(text), dtype)
