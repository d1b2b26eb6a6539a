"""LSTM whose states are images and whose products are convolutions.

i, f, g, o = split(x_t * w_x + h_{t-1} * w_h + b)       here * is a convolution
c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
h_t = sigmoid(o) tanh(c_t)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.cells._gates import gates
from jrnn.cells._space import check_sizes, convolve, example_image, step_image
from jrnn.cells.lstm import LSTMCarry
from jrnn.initializers import Initializer, gatewise, orthogonal


class ConvLSTMParams(NamedTuple):
    """Weights of the convolutional LSTM, gates i, f, g, o on the last axis."""

    w_x: jax.Array  # (K, I, 4C) or (K, K, I, 4C)
    w_h: jax.Array  # (K, C, 4C) or (K, K, C, 4C)
    b: jax.Array  # (4C,)


@described
def conv_lstm(
    shape: tuple[int, ...],
    channels: int,
    width: int = 3,
    *,
    forget_bias: float = 1.0,
    w_x_init: Initializer = gatewise(jax.nn.initializers.glorot_uniform(), 4),
    w_h_init: Initializer = gatewise(orthogonal(), 4),
) -> Cell:
    """Convolutional long short-term memory, on rows or images.

        i, f, g, o = split(conv(x_t, w_x) + conv(h_{t-1}, w_h) + b)
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)
        y_t = h_t

    Each step reads a row (S, I) or an image (S, S', I) and returns one of its size with
    C channels; what lies outside reads as zero. Gates, kernels and forget bias are
    those of Keras's ConvLSTM1D and ConvLSTM2D with padding="same". Flax and Haiku order
    the gates i, g, f, o and add 1 to f in every step. The paper has peepholes too.
    PyTorch has none.

    Args:
        shape: size of the rows, (S,), or of the images, (S, S').
        channels: number of outputs C at each place.
        width: size K of the kernels along each axis.
        forget_bias: initial value of the forget gate's bias.
        w_x_init: initialiser of w_x; Glorot uniform for each gate.
        w_h_init: initialiser of w_h; orthogonal, K^2 C to C numbers, for each gate.

    Returns:
        A cell with `ConvLSTMParams`, carry `LSTMCarry(h, c)`, each (*shape, C), and
        output `h`.

    Raises:
        ValueError: `shape` is not one or two sizes; a size that is not a positive
            integer; x or carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell = jrnn.conv_lstm((8, 6), channels=4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros((8, 6, 2)))
        >>> params.w_x.shape
        (3, 3, 2, 16)
        >>> jrnn.unroll(cell, params, jnp.ones((5, 8, 6, 2)))[1].shape
        (5, 8, 6, 4)

    References:
        Shi, Chen, Wang, Yeung, Wong, Woo (2015), Convolutional LSTM network: a machine
        learning approach for precipitation nowcasting, arXiv:1506.04214, equation 3.
    """
    check_sizes("conv_lstm", shape, channels, width)
    C, kernel = channels, (width,) * len(shape)

    def init(key, x):
        size, dtype = example_image("conv_lstm", key, x, shape)
        x_key, h_key = jax.random.split(key)
        return ConvLSTMParams(
            w_x=w_x_init(x_key, (*kernel, size, 4 * C), dtype),
            w_h=w_h_init(h_key, (*kernel, C, 4 * C), dtype),
            b=jnp.zeros(4 * C, dtype).at[C : 2 * C].set(forget_bias),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("conv_lstm", params, ConvLSTMParams)
        zeros = jnp.zeros((*shape, C), params.w_h.dtype)
        return LSTMCarry(h=zeros, c=zeros)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type("conv_lstm", params, ConvLSTMParams)
        _check.carry_type("conv_lstm", carry, LSTMCarry)
        step_image("conv_lstm", x, shape, params.w_x.shape[-2])
        _check.carry_shape("conv_lstm", carry.h, (*shape, C))
        _check.carry_shape("conv_lstm", carry.c, (*shape, C))
        _check.step_dtype("conv_lstm", x, params.w_h, carry.h)
        b = jnp.expand_dims(params.b, range(len(shape)))
        z = convolve(x, params.w_x) + convolve(carry.h, params.w_h) + b  # (*S, 4C)
        i, f, g, o = gates(z, "ssts")  # (*S, C) each
        c = f * carry.c + i * g
        h = o * jnp.tanh(c)
        return LSTMCarry(h, c), h

    return Cell(init, initial_carry, step)
