"""Layers that read the whole sequence: convolution over time, and pooling."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import InitFn
from jrnn.initializers import Initializer
from jrnn.sequence import SequenceModel, only_valid


class ConvParams(NamedTuple):
    """Weights of a convolution over time."""

    w: jax.Array  # (K, I, O)
    b: jax.Array  # (O,)


@described
def conv(
    output_size: int,
    width: int,
    *,
    padding: Literal["same", "causal"] = "same",
    dilation: int = 1,
    w_init: Initializer = jax.nn.initializers.glorot_uniform(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> SequenceModel:
    """Convolution over time, the same weights at every step.

        y_t = b + sum_k x_{t + d k - l} w_k,   k = 0 .. K-1
        l = floor(d (K - 1) / 2)   "same"
        l = d (K - 1)              "causal": no later input

    What lies outside the sequence, or is not valid, reads as zero. As in every library
    for neural networks w is not turned round (a cross-correlation). The layout of w is
    that of Keras and Flax; PyTorch's is (O, I, K). There is no stride and no padding
    "valid": with either, the steps of the outputs would not be those of the inputs, of
    which masks speak.

    A causal convolution can be written as a cell too, which can be stepped:
    `stack(window(K), linear(O))`, with a start that is learned.

    Args:
        output_size: number of outputs O.
        width: number of steps K that each output reads.
        padding: "same" reads as many steps behind as ahead (one more ahead if they
            are odd in number, as in PyTorch), "causal" the last ones only.
        dilation: steps d from one input that is read to the next.
        w_init: initialiser of w (K, I, O); Glorot uniform by default.
        b_init: initialiser of b (O,); zeros by default.

    Returns:
        A `SequenceModel` with `ConvParams`, carry `()` and outputs (T, O).

    Raises:
        ValueError: a size that is not a positive integer; another padding; inputs of
            another size.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(conv(4, 3), jrnn.activation("relu"), jrnn.lstm(5))
        >>> params = model.init(jax.random.key(0), jnp.zeros(2))
        >>> params[0].w.shape, jrnn.unroll(model, params, jnp.ones((6, 2)))[1].shape
        ((3, 2, 4), (6, 5))

    References:
        Waibel et al. (1989), Phoneme recognition using time-delay neural networks,
        doi:10.1109/29.21701.
        van den Oord et al. (2016), WaveNet: a generative model for raw audio,
        arXiv:1609.03499, section 2.1 (causal and dilated).
    """
    for name, size in (
        ("output_size", output_size),
        ("width", width),
        ("dilation", dilation),
    ):
        _check.positive("conv", name, size)
    _check.one_of("conv", "padding", padding, ("same", "causal"))
    around = dilation * (width - 1)
    before = around if padding == "causal" else around // 2

    def init(key, x):
        size, dtype = _check.example_vector("conv", key, x)
        w_key, b_key = jax.random.split(key)
        return ConvParams(
            w=w_init(w_key, (width, size, output_size), dtype),
            b=b_init(b_key, (output_size,), dtype),
        )

    def apply(params, xs, valid):
        _check.params_type("conv", params, ConvParams)
        _check.sequence_input("conv", xs, params.w.shape[1])
        ys = jax.lax.conv_general_dilated(
            only_valid(valid, xs)[None],
            params.w,
            window_strides=(1,),
            padding=[(before, around - before)],
            rhs_dilation=(dilation,),
            dimension_numbers=("NTC", "TIO", "NTC"),
        )[0]
        return only_valid(valid, ys + params.b[None])

    return _layer(init, apply)


@described
def pool(how: Literal["mean", "max", "last"]) -> SequenceModel:
    """One output for the sequence: the mean, the maximum or the last of its steps.

        y = 1/n sum_t x_t     "mean", over the n valid steps
        y = max_t x_t         "max", for each feature
        y = x_n               "last", of the last valid step

    Zeros if no step is valid. In a stack, cells behind it make one step:
    `stack(bidirectional(lstm(64), lstm(64)), pool("mean"), linear(10))` is a class for
    a sequence.

    Args:
        how: "mean", "max" or "last".

    Returns:
        A `SequenceModel` that pools, without parameters, carry `()` and one output of
        the form of a step's input.

    Raises:
        ValueError: another word.
        TypeError: inputs that are not floating-point arrays.

    Example:
        >>> import jrnn
        >>> xs, valid = jnp.array([1.0, 3.0, jnp.nan]), jrnn.length_mask(2, 3)
        >>> run = lambda how: jrnn.unroll(jrnn.masked(pool(how)), (), (xs, valid))[1]
        >>> [run(how).item() for how in ("mean", "max", "last")]
        [2.0, 3.0, 3.0]
    """
    _check.one_of("pool", "how", how, _POOLS)
    of_valid = _POOLS[how]

    def apply(params, xs, valid):
        del params
        _check.float_leaves("pool", "xs", xs)
        if valid is None:
            valid = jnp.ones(_check.num_steps("pool", xs), bool)
        return jax.tree.map(lambda x: of_valid(x, valid), xs)

    return _layer(lambda key, x: (), apply, pools=True)


def _mean(xs: jax.Array, valid: jax.Array) -> jax.Array:
    # half-precision sums and counts are too coarse for long sequences
    dtype = _check.at_least_float32(xs.dtype)
    n = jnp.maximum(valid.sum(), 1).astype(dtype)
    return (only_valid(valid, xs).sum(axis=0, dtype=dtype) / n).astype(xs.dtype)


def _max(xs: jax.Array, valid: jax.Array) -> jax.Array:
    flags = valid.reshape(-1, *[1] * (xs.ndim - 1))
    largest = jnp.where(flags, xs, -jnp.inf).max(axis=0, initial=-jnp.inf)
    return jnp.where(valid.any(), largest, jnp.zeros_like(largest))


def _last(xs: jax.Array, valid: jax.Array) -> jax.Array:
    behind = jnp.cumsum(valid[::-1])[::-1]  # valid steps from t on
    return only_valid(valid & (behind == 1), xs).sum(axis=0, dtype=xs.dtype)


def _layer(init: InitFn, apply, pools: bool = False) -> SequenceModel:
    """A layer with an empty carry, `apply(params, xs, valid) -> ys`."""

    def initial_carry(params, *, key=None):
        del params, key
        return ()

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        del key, remat
        return carry, apply(params, xs, valid)

    return SequenceModel(init, initial_carry, run, pools)


_POOLS = {"mean": _mean, "max": _max, "last": _last}
