"""Echo state network: a random reservoir that is not trained, and its readout.

h_t = (1 - leak) h_{t-1} + leak * tanh(x_t w_x + h_{t-1} w_h + b)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell
from jrnn.initializers import Initializer, spectral_radius
from jrnn.layers import LinearParams


class EchoStateParams(NamedTuple):
    """Weights of the reservoir, whose gradients are zero."""

    w_x: jax.Array  # (I, H)
    w_h: jax.Array  # (H, H), most of it zero
    b: jax.Array  # (H,)


@described
def echo_state(
    hidden_size: int,
    *,
    radius: float = 0.9,
    leak: float = 1.0,
    density: float = 0.1,
    input_scale: float = 1.0,
    bias_scale: float = 0.0,
) -> Cell:
    """Echo state network: a fixed random reservoir.

        h_t = (1 - leak) h_{t-1} + leak * tanh(x_t w_x + h_{t-1} w_h + b)
        y_t = h_t

    The weights are drawn once and their gradients are zero: behind it, only a readout
    is trained, in one step by `ridge_readout`, row by row by
    `online.recursive_least_squares`, or with any optimiser in `stack(echo_state(H),
    linear(O))`. (Weight decay would shrink them all the same.)
    Gradients do reach inputs and the first state. To train the recurrence too, use
    `leaky(H, tau=1, dt=leak)`, which is the same step.

    w_h has the spectral radius asked for, exactly, by its eigenvalues. Every unit has
    max(1, round(density H)) inputs from others or itself, as many for each: then the
    radius before scaling is never zero, as it can be where every weight is drawn by
    itself. Neither PyTorch, Keras nor Flax has it; reservoirpy's has rows and columns
    exchanged.

    Args:
        hidden_size: number of units H.
        radius: spectral radius of w_h, above 0. Below 1 states forget how they started,
            for most inputs; the echo state property proper asks more, or less, by case.
        leak: share of the state renewed in a step, in (0, 1].
        density: share of the weights in w_h that are not zero, in (0, 1].
        input_scale: w_x is uniform in [-input_scale, input_scale].
        bias_scale: so is b, with this one; 0 for no biases.

    Returns:
        A cell with `EchoStateParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `radius` is not above 0,
            `leak` or `density` outside (0, 1], a scale negative; x or carry of another
            size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> wave = jnp.sin(0.2 * jnp.arange(401.0))[:, None]
        >>> cell = jrnn.echo_state(50)
        >>> params = cell.init(jax.random.key(0), wave[0])
        >>> hs = jrnn.unroll(cell, params, wave[:-1])[1]
        >>> readout = jrnn.ridge_readout(hs[100:300], wave[101:301], 1e-6)
        >>> error = hs[300:] @ readout.w + readout.b - wave[301:]
        >>> bool(jnp.abs(error).max() < 1e-2)
        True

    References:
        Jaeger (2001), The "echo state" approach to analysing and training recurrent
        neural networks, GMD Report 148, section 3.
        Jaeger, Lukosevicius, Popovici, Siewert (2007), Optimization and applications of
        echo state networks with leaky-integrator neurons,
        doi:10.1016/j.neunet.2007.04.016, equation 2.
    """
    name = "echo_state"
    _check.positive(name, "hidden_size", hidden_size)
    _check.above_zero(name, "radius", radius)
    _check.above_zero(name, "leak", leak, most=1)
    _check.above_zero(name, "density", density, most=1)
    _check.not_negative(name, "input_scale", input_scale)
    _check.not_negative(name, "bias_scale", bias_scale)
    inputs = max(1, round(density * hidden_size))  # of each unit from the reservoir

    def init(key, x):
        size, dtype = _check.example_vector(name, key, x)
        x_key, h_key, b_key = jax.random.split(key, 3)
        w_h = spectral_radius(radius, _sparse(inputs))
        return EchoStateParams(
            w_x=_uniform(x_key, (size, hidden_size), dtype, input_scale),
            w_h=w_h(h_key, (hidden_size, hidden_size), dtype),
            b=_uniform(b_key, (hidden_size,), dtype, bias_scale),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type(name, params, EchoStateParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type(name, params, EchoStateParams)
        _check.step_input(name, x, params.w_x.shape[0])
        _check.carry_shape(name, carry, params.b.shape)
        _check.step_dtype(name, x, params.w_h, carry)
        w_x, w_h, b = lax.stop_gradient(params)
        h = (1 - leak) * carry + leak * jnp.tanh(x @ w_x + carry @ w_h + b)  # (H,)
        return h, h

    return Cell(init, initial_carry, step)


def ridge_readout(hs: jax.Array, ys: jax.Array, penalty: ArrayLike) -> LinearParams:
    """Readout of a reservoir by linear regression with a penalty (ridge regression).

        w, b = argmin  sum over rows |h w + b - y|^2 + penalty |w|^2

    The parameters of `linear(O)` that fit states to what they are to say, in one step:
    `(params, ridge_readout(...))` are those of `stack(cell, linear(O))`. The bias is
    not penalised. Solved by singular values of the states, which keeps twice as many
    digits as the usual equations with h^T h. With a penalty of 0, directions in which
    the states do not differ, up to rounding, are left out.

    Leave out the first steps, in which states still remember how they started:
    `ridge_readout(hs[100:], ys[100:], 1e-6)`.

    Args:
        hs: states, `(..., H)`: any axes in front, such as sequences and time.
        ys: targets, `(..., O)`, of the same axes.
        penalty: at least 0; may be traced. About 1e-8 to 1 for states of order 1.

    Returns:
        `LinearParams(w, b)`, (H, O) and (O,).

    Raises:
        ValueError: other axes in front; a negative penalty.

    Example:
        >>> hs = jnp.array([[0.0], [1.0], [2.0]])
        >>> readout = ridge_readout(hs, 3 * hs + 1, 0.0)
        >>> readout.w.round(4).tolist(), readout.b.round(4).tolist()
        ([[3.0]], [1.0])

    References:
        Hoerl, Kennard (1970), Ridge regression: biased estimation for nonorthogonal
        problems, doi:10.1080/00401706.1970.10488634.
        Lukosevicius (2012), A practical guide to applying echo state networks,
        doi:10.1007/978-3-642-35289-8_36, section 4.
    """
    if jnp.ndim(hs) < 2 or jnp.shape(hs)[:-1] != jnp.shape(ys)[:-1]:
        raise ValueError(
            "ridge_readout: hs must be (..., H) and ys (..., O) with the same axes in "
            f"front, got {jnp.shape(hs)} and {jnp.shape(ys)}."
        )
    _check.not_negative("ridge_readout", "penalty", penalty)
    hs, ys = hs.reshape(-1, hs.shape[-1]), ys.reshape(-1, ys.shape[-1])
    mean_h, mean_y = (a.mean(axis=0, keepdims=True) for a in (hs, ys))
    u, s, vt = jnp.linalg.svd(hs - mean_h, full_matrices=False)
    least = s.max() * max(hs.shape) * jnp.finfo(s.dtype).eps
    square = s**2 + jnp.asarray(penalty, s.dtype)
    share = jnp.where(s > least, s, 0) / jnp.where(square > 0, square, 1)
    w = vt.T @ (share[:, None] * (u.T @ (ys - mean_y)))  # (H, O)
    return LinearParams(w=w, b=(mean_y - mean_h @ w)[0])


def _sparse(inputs: int) -> Initializer:
    """Normal weights, so many in every column."""

    def init(key, shape, dtype=float):
        place_key, weight_key = jax.random.split(key)
        order = jax.random.uniform(place_key, shape).argsort(axis=0).argsort(axis=0)
        weights = jax.random.normal(weight_key, shape, dtype)
        return jnp.where(order < inputs, weights, 0)

    return init


def _uniform(key: jax.Array, shape, dtype, scale: float) -> jax.Array:
    return scale * jax.random.uniform(key, shape, dtype, minval=-1, maxval=1)
