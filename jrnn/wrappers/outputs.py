"""Wrappers that change what a cell returns, and leave its recurrence alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Params, output_spec
from jrnn.initializers import Initializer
from jrnn.sequence import only_valid, pools_over_time, run_of
from jrnn.wrappers.form import Model, acting


class LayerNormParams(NamedTuple):
    """Parameters of a cell with normalised output."""

    cell: Params
    scale: jax.Array  # (O,)
    offset: jax.Array  # (O,)


class HighwayParams(NamedTuple):
    """Parameters of a cell whose output is mixed with its input."""

    cell: Params
    w_t: jax.Array  # (H, H)
    b_t: jax.Array  # (H,)


@described
def residual(cell: Model) -> Model:
    """Add the input to the output.

        y_t = cell(x_t) + x_t

    Args:
        cell: a cell, or a model of whole sequences, whose output has the shape of its
            input.

    Returns:
        A cell with the params and carry of `cell`.

    Raises:
        ValueError: input and output differ in shape.

    Example:
        >>> import jrnn
        >>> cell = residual(jrnn.gru(3))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].shape
        (5, 3)

    References:
        He, Zhang, Ren, Sun (2016), Deep residual learning for image recognition,
        arXiv:1512.03385, equation 1.
    """
    _check.model("residual", cell)

    def add(x, y):
        _same_shape("residual", x, y)
        return y + x

    def step(params, carry, x, *, key=None):
        carry, y = cell.step(params, carry, x, key=key)
        return carry, add(x, y)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        carry, ys = run_of(cell)(params, xs, carry, valid, key=key, remat=remat)
        return carry, add(only_valid(valid, xs), ys)

    return acting(cell, step, run)


@described
def highway(
    cell: Model,
    *,
    gate_bias: float = -1.0,
    w_t_init: Initializer = jax.nn.initializers.glorot_uniform(),
) -> Model:
    """Mix the output with the input, by a gate that is learned.

        t = sigmoid(x w_t + b_t)
        y = t * cell(x) + (1 - t) * x

    The gate reads the input of the step, and not the state. A negative bias at the
    start lets most of the input pass, so that deep stacks can be trained. It gates the
    outputs of a layer; the highway LSTM of Zhang et al. (2016), arXiv:1510.08983,
    connects the states c of neighbouring layers, which is another thing. Haiku and Flax
    have none.

    Args:
        cell: a cell, or a model of whole sequences, whose output has the shape of its
            input, (H,).
        gate_bias: b_t at the start.
        w_t_init: initialiser of w_t (H, H); Glorot uniform by default.

    Returns:
        A cell with `HighwayParams(cell, w_t, b_t)` and the carry of `cell`.

    Raises:
        ValueError: input and output differ in shape.

    Example:
        >>> import jrnn
        >>> cell = highway(jrnn.gru(3), gate_bias=-50.0)
        >>> xs = jax.random.normal(jax.random.key(1), (5, 3))
        >>> params = cell.init(jax.random.key(0), xs[0])
        >>> bool(jnp.allclose(jrnn.unroll(cell, params, xs)[1], xs))
        True

    References:
        Srivastava, Greff, Schmidhuber (2015), Highway networks, arXiv:1505.00387,
        equation 3.
    """
    name = "highway"
    _check.model(name, cell)

    def init(key, x):
        size, dtype = _check.example_vector(name, key, x)
        cell_key, gate_key = jax.random.split(key)
        return HighwayParams(
            cell=cell.init(cell_key, x),
            w_t=w_t_init(gate_key, (size, size), dtype),
            b_t=jnp.full(size, gate_bias, dtype),
        )

    def initial_carry(params, *, key=None):
        _check.params_type(name, params, HighwayParams)
        return cell.initial_carry(params.cell, key=key)

    def step(params, carry, x, *, key=None):
        _check.params_type(name, params, HighwayParams)
        carry, y = cell.step(params.cell, carry, x, key=key)
        return carry, mixed(params, x, y)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _check.params_type(name, params, HighwayParams)
        carry, ys = run_of(cell)(params.cell, xs, carry, valid, key=key, remat=remat)
        _same_shape(name, xs, ys)
        return carry, jax.vmap(mixed, (None, 0, 0))(params, only_valid(valid, xs), ys)

    def mixed(params, x, y):
        _same_shape(name, x, y)
        t = jax.nn.sigmoid(x @ params.w_t + params.b_t)  # (H,)
        return t * y + (1 - t) * x

    return acting(cell, step, run, init=init, initial_carry=initial_carry)


def _same_shape(name: str, x, y) -> None:
    if jnp.shape(x) != jnp.shape(y):
        raise ValueError(
            f"{name}: input has shape {jnp.shape(x)} and output {jnp.shape(y)}; "
            "they must match."
        )


@described
def layer_norm(cell: Model, *, epsilon: float = 1e-6) -> Model:
    """Normalise the output over its features.

        y = scale * (u - mean(u)) / sqrt(var(u) + epsilon) + offset,   u = cell(x)

    Only the output is normalised; the carry, and so the recurrence, is not touched.

    Args:
        cell: a cell, or a model of whole sequences, whose output is one array.
        epsilon: added to the variance.

    Returns:
        A cell with `LayerNormParams(cell, scale, offset)` and the carry of `cell`.

    Example:
        >>> import jrnn
        >>> cell = layer_norm(jrnn.elman(4))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> ys = jrnn.unroll(cell, params, jnp.ones((5, 3)))[1]
        >>> bool(jnp.abs(ys.mean(-1)).max() < 1e-6)
        True

    References:
        Ba, Kiros, Hinton (2016), Layer normalization, arXiv:1607.06450, equation 3.
    """
    _check.model("layer_norm", cell)

    def init(key, x):
        params = cell.init(key, x)
        y = output_spec(cell, params, x)
        size = y.shape[-1:]
        return LayerNormParams(
            params, jnp.ones(size, y.dtype), jnp.zeros(size, y.dtype)
        )

    def initial_carry(params, *, key=None):
        _check.params_type("layer_norm", params, LayerNormParams)
        return cell.initial_carry(params.cell, key=key)

    def step(params, carry, x, *, key=None):
        _check.params_type("layer_norm", params, LayerNormParams)
        carry, u = cell.step(params.cell, carry, x, key=key)
        return carry, normal(params, u)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _check.params_type("layer_norm", params, LayerNormParams)
        carry, us = run_of(cell)(params.cell, xs, carry, valid, key=key, remat=remat)
        if pools_over_time(cell):
            return carry, normal(params, us)
        return carry, only_valid(valid, jax.vmap(normal, (None, 0))(params, us))

    def normal(params, u):
        u = u - u.mean(axis=-1, keepdims=True)
        var = jnp.square(u).mean(axis=-1, keepdims=True)
        return params.scale * u * jax.lax.rsqrt(var + epsilon) + params.offset

    return acting(cell, step, run, init=init, initial_carry=initial_carry)
