"""GRU whose states are images and whose products are convolutions.

r, z = sigmoid(x_t * w_x + h_{t-1} * w_h + b)           here * is a convolution
n = tanh(x_t * w_xn + (r h_{t-1}) * w_hn + b_n)
h_t = (1 - z) n + z h_{t-1}
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.cells._space import check_sizes, convolve, example_image, step_image
from jrnn.initializers import Initializer, gatewise, orthogonal


class ConvGRUParams(NamedTuple):
    """Weights of the convolutional GRU, gates r, z, n on the last axis."""

    w_x: jax.Array  # (K, I, 3C) or (K, K, I, 3C)
    w_h: jax.Array  # (K, C, 3C) or (K, K, C, 3C)
    b: jax.Array  # (3C,)


@described
def conv_gru(
    shape: tuple[int, ...],
    channels: int,
    width: int = 3,
    *,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 3),
    w_h_init: Initializer = gatewise(orthogonal(), 3),
) -> Cell:
    """Convolutional gated recurrent unit, on rows or images.

        r = sigmoid(conv(x_t, w_xr) + conv(h_{t-1}, w_hr) + b_r)
        z = sigmoid(conv(x_t, w_xz) + conv(h_{t-1}, w_hz) + b_z)
        n = tanh(conv(x_t, w_xn) + conv(r * h_{t-1}, w_hn) + b_n)
        h_t = (1 - z) * n + z * h_{t-1}
        y_t = h_t

    Each step reads a row (S, I) or an image (S, S', I) and returns one of its size with
    C channels; what lies outside reads as zero. The reset gate is ahead of the
    convolution, as in the paper, in which a large z writes; here it keeps, as in `gru`.
    PyTorch, Keras, Flax and Haiku have none.

    Args:
        shape: size of the rows, (S,), or of the images, (S, S').
        channels: number of outputs C at each place.
        width: size K of the kernels along each axis.
        w_x_init: initialiser of w_x; Glorot uniform for each gate.
        w_h_init: initialiser of w_h; orthogonal, K^2 C to C numbers, for each gate.

    Returns:
        A cell with `ConvGRUParams`, carry `h` (*shape, C) and output `h`.

    Raises:
        ValueError: `shape` is not one or two sizes; a size that is not a positive
            integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.conv_gru((8,), channels=4, width=5)
        >>> params = cell.init(jax.random.key(0), jnp.zeros((8, 2)))
        >>> params.w_h.shape, jrnn.unroll(cell, params, jnp.ones((5, 8, 2)))[1].shape
        ((5, 4, 12), (5, 8, 4))

    References:
        Ballas, Yao, Pal, Courville (2016), Delving deeper into convolutional networks
        for learning video representations, arXiv:1511.06432, section 3.1.
    """
    check_sizes("conv_gru", shape, channels, width)
    C, kernel = channels, (width,) * len(shape)

    def init(key, x):
        size, dtype = example_image("conv_gru", key, x, shape)
        x_key, h_key = jax.random.split(key)
        return ConvGRUParams(
            w_x=w_x_init(x_key, (*kernel, size, 3 * C), dtype),
            w_h=w_h_init(h_key, (*kernel, C, 3 * C), dtype),
            b=jnp.zeros(3 * C, dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("conv_gru", params, ConvGRUParams)
        return jnp.zeros((*shape, C), params.w_h.dtype)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("conv_gru", params, ConvGRUParams)
        step_image("conv_gru", x, shape, params.w_x.shape[-2])
        _check.carry_shape("conv_gru", carry, (*shape, C))
        _check.step_dtype("conv_gru", x, params.w_h, carry)
        h = carry
        b = jnp.expand_dims(params.b, range(len(shape)))
        rz_x, n_x = jnp.split(convolve(x, params.w_x) + b, [2 * C], axis=-1)
        w_rz, w_n = jnp.split(params.w_h, [2 * C], axis=-1)
        r, z = gates(rz_x + convolve(h, w_rz), "ss")  # (*S, C) each
        n = jnp.tanh(n_x + convolve(r * h, w_n))
        h = (1 - z) * n + z * h
        return h, h

    return Cell(init, initial_carry, step)
