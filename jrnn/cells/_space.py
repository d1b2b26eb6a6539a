"""Cells whose states are images: their sizes, checks and convolution."""

import jax
import jax.numpy as jnp

from jrnn import _check


def convolve(x: jax.Array, w: jax.Array) -> jax.Array:
    """X (*S, I) and w (*K, I, O) to (*S, O); what lies outside of x reads as zero."""
    axes = "WH"[: x.ndim - 1]
    image = f"N{axes}C"
    return jax.lax.conv_general_dilated(
        x[None],
        w,
        window_strides=(1,) * len(axes),
        padding="SAME",
        dimension_numbers=(image, f"{axes}IO", image),
    )[0]


def check_sizes(name: str, shape, channels: int, width: int) -> None:
    """Raise unless these are sizes of an image with one or two axes."""
    if not isinstance(shape, tuple) or len(shape) not in (1, 2):
        raise ValueError(
            f"{name}: shape must be a tuple of one or two sizes, got {shape!r}. Write "
            "(16,) for a row and (8, 8) for an image."
        )
    for size in shape:
        _check.positive(name, "each size in shape", size)
    _check.positive(name, "channels", channels)
    _check.positive(name, "width", width)


def example_image(name: str, key, x, shape: tuple[int, ...]) -> tuple[int, jnp.dtype]:
    """Channels and dtype of the example of `init(key, x)`, an image of this shape."""
    _check.random_key(name, key)
    got = jnp.shape(x)
    if got[:-1] != shape or len(got) != len(shape) + 1:
        raise ValueError(
            f"{name}: init needs an example of one step's input, of shape "
            f"{_words(shape)}, got {got}. Pass one step of one sequence, xs[0] or "
            "batch[0, 0]."
        )
    _check.float_leaves(name, "x", x)
    return got[-1], jnp.result_type(x)


def step_image(name: str, x, shape: tuple[int, ...], channels: int) -> None:
    """Raise unless `x` is one step's input, an image of this shape."""
    if jnp.shape(x) != (*shape, channels):
        raise ValueError(
            f"{name}: x must have shape {(*shape, channels)}, got {jnp.shape(x)}. "
            "Cells step one example; use jax.vmap for a batch."
        )


def _words(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}, channels)"
