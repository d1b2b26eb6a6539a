"""Feed-forward layers as cells with an empty carry.

Tokens outside 0..V-1 have no row: `one_hot` and `embed` give zeros for them and no
gradient, so that embed is one_hot times its table for every integer, and padding with
-1 is harmless. To find such a token, start the program with `JAX_DEBUG_NANS=1`: then
they are NaN, and JAX stops where one arises. (`jax.debug_nans(True)` does the same for
what is traced under it, not for what is compiled already.)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._activation import named
from jrnn._description import described
from jrnn._rows import no_row, rows
from jrnn.cell import Cell, stateless
from jrnn.initializers import Initializer


class LinearParams(NamedTuple):
    """Weights of an affine map."""

    w: jax.Array  # (I, O)
    b: jax.Array  # (O,)


class EmbedParams(NamedTuple):
    """A table with one row for each token."""

    table: jax.Array  # (V, D)


@described
def linear(
    output_size: int,
    *,
    w_init: Initializer = jax.nn.initializers.glorot_uniform(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Affine map at every step, the readout of most models.

        y_t = x_t w + b

    Args:
        output_size: number of outputs O.
        w_init: initialiser of w (I, O); Glorot uniform by default.
        b_init: initialiser of b (O,); zeros by default.

    Returns:
        A cell with `LinearParams`, carry `()` and output (O,).

    Raises:
        ValueError: `output_size` is not a positive integer; x of another size.

    Example:
        >>> layer = linear(2)
        >>> params = layer.init(jax.random.key(0), jnp.zeros(3))
        >>> params.w.shape, layer.step(params, (), jnp.ones(3))[1].shape
        ((3, 2), (2,))
    """
    _check.positive("linear", "output_size", output_size)

    def init(key, x):
        size, dtype = _check.example_vector("linear", key, x)
        w_key, b_key = jax.random.split(key)
        return LinearParams(
            w=w_init(w_key, (size, output_size), dtype),
            b=b_init(b_key, (output_size,), dtype),
        )

    def apply(params, x, key):
        del key
        _check.params_type("linear", params, LinearParams)
        _check.step_input("linear", x, params.w.shape[0])
        return x @ params.w + params.b

    return stateless(init, apply)


@described
def embed(
    vocab_size: int,
    size: int,
    *,
    dtype: jnp.dtype | None = None,
    table_init: Initializer = jax.nn.initializers.normal(1.0),
) -> Cell:
    """One learned row for each integer token.

        y_t = table[x_t]

    Args:
        vocab_size: number of tokens V. Tokens outside 0..V-1 give zeros, or NaN under
            `JAX_DEBUG_NANS=1`.
        size: length D of a row.
        dtype: of the table; JAX's default float if None. (Tokens are integers, so it
            cannot be read from the input as everywhere else.)
        table_init: initialiser of the table (V, D); standard Gaussian, as in PyTorch.

    Returns:
        A cell with `EmbedParams`, carry `()` and output (D,).

    Raises:
        ValueError: a size is not a positive integer; x is not a scalar.
        TypeError: x is not an integer.

    Example:
        >>> layer = embed(5, 3)
        >>> params = layer.init(jax.random.key(0), jnp.array(0))
        >>> bool((layer.step(params, (), jnp.array(4))[1] == params.table[4]).all())
        True
    """
    _check.positive("embed", "vocab_size", vocab_size)
    _check.positive("embed", "size", size)

    def init(key, x):
        _check.random_key("embed", key)
        _token("embed", x)
        float_dtype = jnp.result_type(float) if dtype is None else dtype
        return EmbedParams(table_init(key, (vocab_size, size), float_dtype))

    def apply(params, x, key):
        del key
        _check.params_type("embed", params, EmbedParams)
        _token("embed", x)
        return rows(params.table, x)

    return stateless(init, apply)


@described
def one_hot(vocab_size: int, *, dtype: jnp.dtype | None = None) -> Cell:
    """Integer token to a vector with a single 1.

        y_t[k] = 1 if k = x_t else 0

    Args:
        vocab_size: number of tokens V. Tokens outside 0..V-1 give zeros, or NaN under
            `JAX_DEBUG_NANS=1`.
        dtype: of the output; JAX's default float if None.

    Returns:
        A cell without parameters, carry `()` and output (V,).

    Raises:
        ValueError: `vocab_size` is not a positive integer; x is not a scalar.
        TypeError: x is not an integer.

    Example:
        >>> one_hot(3).step((), (), jnp.array(1))[1].tolist()
        [0.0, 1.0, 0.0]
    """
    _check.positive("one_hot", "vocab_size", vocab_size)

    def init(key, x):
        _check.random_key("one_hot", key)
        _token("one_hot", x)
        return ()

    def apply(params, x, key):
        del params, key
        _token("one_hot", x)
        float_dtype = jnp.result_type(float) if dtype is None else dtype
        y = jax.nn.one_hot(x, vocab_size, dtype=float_dtype)
        if no_row():
            y = jnp.where((x >= 0) & (x < vocab_size), y, no_row())
        return y

    return stateless(init, apply)


@described
def activation(f: Callable[[jax.Array], jax.Array] | str) -> Cell:
    """Any function of the step's input, as a layer without parameters.

        y_t = f(x_t)

    Args:
        f: a pure function of one step's value, or a name in `jax.nn`.

    Returns:
        A cell without parameters and carry `()`.

    Raises:
        ValueError: no activation of that name.
        TypeError: f is neither a function nor a name.

    Example:
        >>> activation(jax.nn.relu).step((), (), jnp.array([-1.0, 2.0]))[1].tolist()
        [0.0, 2.0]
    """
    f = named("activation", f)
    return stateless(lambda key, x: (), lambda params, x, key: f(x))


def _token(name: str, x) -> None:
    dtype, shape = jnp.result_type(x), jnp.shape(x)
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"{name}: x must be an integer token, got {dtype}.")
    if shape != ():
        raise ValueError(
            f"{name}: x must be one token, a scalar, got shape {shape}. "
            "Cells step one example; use jax.vmap for a batch."
        )
