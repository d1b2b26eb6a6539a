"""Wrappers that compute the weights of a step from those that are trained.

What they compute depends on parameters and on masks that last a sequence, not on the
step: `jrnn.scan` does it once for a sequence, ahead of the loop, and the product of the
inputs leaves the loop as it does without them.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Carry, Cell, Params
from jrnn.wrappers.form import dropout_mask, wrap_inside


class WeightDropoutCarry(NamedTuple):
    """State of a cell under weight dropout."""

    cell: Carry
    mask: tuple[jax.Array, ...]  # 0 or 1 / (1 - rate), in the form of each weight


class WeightNormParams(NamedTuple):
    """Parameters of a cell whose weights are a direction and a length each."""

    cell: Params  # with v in the place of each weight
    g: tuple[jax.Array, ...]  # (G,) for each weight, one for each column of v


@described
def weight_dropout(
    cell: Cell, rate: ArrayLike, *, weights: tuple[str, ...] = ("w_h",)
) -> Cell:
    """Drop single connections, the same ones at every step of a sequence.

        carry_t, y_t = cell(carry_{t-1}, x_t)   with  m * w_h / (1 - rate)  for w_h
        m ~ Bernoulli(1 - rate) for each entry of w_h, once a sequence

    The masks are drawn in `initial_carry` and carried, so the step is deterministic;
    `resample` draws new ones in the middle of a stream. Evaluate with the cell without
    it: it has the same parameters.

    Under `jax.vmap` with a key for each row every row has masks of its own, which costs
    as many weights as there are rows, and a product by each. AWD-LSTM draws one mask
    for all rows of a batch: pass one key for all of them, `in_axes=None`.

    Args:
        cell: a cell whose params have the weights named. Wrap the layers of a stack one
            by one.
        rate: probability of zero, in [0, 1); may be traced.
        weights: names of the weights to drop from; ("w_h",), the recurrent one of most
            cells.

    Returns:
        A cell with the params of `cell` and carry `WeightDropoutCarry(cell, mask)`,
        which needs a key for its initial carry.

    Raises:
        ValueError: `rate` is outside [0, 1), or no key is given.
        TypeError: the params have no such weight; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> cell = weight_dropout(jrnn.lstm(4), 0.5)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> carry, ys = jrnn.unroll(
        ...     cell, params, jnp.ones((5, 3)), key=jax.random.key(1))
        >>> carry.mask[0].shape, ys.shape
        ((4, 16), (5, 4))

    References:
        Merity, Keskar, Socher (2017), Regularizing and optimizing LSTM language models,
        arXiv:1708.02182, section 2 (weight-dropped LSTM).
        Wan, Zeiler, Zhang, LeCun, Fergus (2013), Regularization of neural networks
        using DropConnect, proceedings.mlr.press/v28/wan13.html.
    """
    name = "weight_dropout"
    _check.cell(name, cell, wrap_inside("weight_dropout(lstm(64), rate)"))
    _check.rate(name, rate)
    _check_names(name, weights)

    def initial_carry(params, *, key=None):
        key = _check.key_given(name, key, "initial_carry")
        cell_key, mask_key = jax.random.split(key)
        ws = _chosen(name, params, weights)
        keys = jax.random.split(mask_key, len(ws))
        mask = tuple(dropout_mask(k, rate, w) for k, w in zip(keys, ws, strict=True))
        return WeightDropoutCarry(cell.initial_carry(params, key=cell_key), mask)

    def step(params, carry, x, *, key=None):
        _check.carry_type(name, carry, WeightDropoutCarry)
        ws = _chosen(name, params, weights)
        dropped = [m * w for m, w in zip(carry.mask, ws, strict=True)]
        inner, y = cell.step(_with(params, weights, dropped), carry.cell, x, key=key)
        return WeightDropoutCarry(inner, carry.mask), y

    return cell._replace(initial_carry=initial_carry, step=step)


@described
def weight_norm(cell: Cell, *, weights: tuple[str, ...] = ("w_x", "w_h")) -> Cell:
    """Train the length of each column of a weight apart from its direction.

        w[:, k] = g[k] * v[:, k] / |v[:, k]|

    A column holds the weights of one unit, or of one gate of it. At the start g is the
    length of what `cell` draws, so that the cell begins as it would without; the start
    from data of the paper is not done. It is `torch.nn.utils.parametrizations.
    weight_norm` with `dim=0`, where weights lie the other way round.

    Args:
        cell: a cell whose params have the weights named. A column of zeros has no
            direction, and gives NaN.
        weights: names of the weights; ("w_x", "w_h"), those of most cells.

    Returns:
        A cell with `WeightNormParams(cell, g)`, where `cell` holds v, and the carry of
        `cell`.

    Raises:
        TypeError: the params have no such weight; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> cell = weight_norm(jrnn.lstm(4))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> [g.shape for g in params.g]
        [(16,), (16,)]

    References:
        Salimans, Kingma (2016), Weight normalization: a simple reparameterization to
        accelerate training of deep neural networks, arXiv:1602.07868, equation 2.
    """
    name = "weight_norm"
    _check.cell(name, cell, wrap_inside("weight_norm(lstm(64))"))
    _check_names(name, weights)

    def init(key, x):
        params = cell.init(key, x)
        g = tuple(_lengths(w).astype(w.dtype) for w in _chosen(name, params, weights))
        return WeightNormParams(params, g)

    def plain(params):
        _check.params_type(name, params, WeightNormParams)
        vs = _chosen(name, params.cell, weights)
        ws = [_of_length(v, g) for v, g in zip(vs, params.g, strict=True)]
        return _with(params.cell, weights, ws)

    def initial_carry(params, *, key=None):
        return cell.initial_carry(plain(params), key=key)

    def step(params, carry, x, *, key=None):
        return cell.step(plain(params), carry, x, key=key)

    return Cell(init, initial_carry, step)


@described
def spectral_norm(
    cell: Cell, value: ArrayLike = 1.0, *, weights: tuple[str, ...] = ("w_h",)
) -> Cell:
    """Give weights a spectral norm: the largest factor by which they stretch a vector.

        w = value * v / s(v),   s(v) = max_h |h v| / |h|,  the largest singular value

    s is exact but for rounding: the singular vector is that of a power of v v^T (or of
    v^T v, if that is smaller) so high that nothing else is left of it, by 23 squarings
    in float32 and 52 in float64, once a sequence. The derivative is that of a v b^T
    with both singular vectors held fixed, which is the true one where the largest
    singular value is simple, and a subgradient elsewhere, as at an orthogonal start.
    PyTorch and Flax make one step of a power iteration in each training step, from a
    vector that is no parameter but kept and changed beside them, and so divide by an
    estimate that is too small; here the function is pure, and there is nothing to keep.

    Of gates that lie side by side, (H, 4H), it is the norm of all together, which none
    of them exceeds. The norm bounds the spectral radius. With value below 1 an `elman`
    network with tanh forgets where it started: its step is a contraction.

    The norm belongs to the model: evaluate with the wrapper too.

    Args:
        cell: a cell whose params have the weights named; a weight of zeros has no
            direction, and gives NaN.
        value: the norm that each weight gets; may be traced.
        weights: names of the weights; ("w_h",), the recurrent one of most cells.

    Returns:
        A cell with the params and carry of `cell`.

    Raises:
        ValueError: `value` is not above 0.
        TypeError: the params have no such weight; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> cell, h = spectral_norm(jrnn.elman(4), 0.5), jnp.array([2.0, 0, 0, 0])
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))  # w_h is orthogonal
        >>> h, _ = cell.step(params, h, jnp.zeros(3))
        >>> round(float(jnp.linalg.norm(jnp.arctanh(h))), 4)
        1.0

    References:
        Miyato, Kataoka, Koyama, Yoshida (2018), Spectral normalization for generative
        adversarial networks, arXiv:1802.05957, section 2.
    """
    name = "spectral_norm"
    _check.cell(name, cell, wrap_inside("spectral_norm(lstm(64))"))
    _check.above_zero(name, "value", value)
    return _reweighted(name, cell, weights, lambda w, s: _as(value, s) / s)


@described
def spectral_bound(
    cell: Cell, bound: ArrayLike = 1.0, *, weights: tuple[str, ...] = ("w_h",)
) -> Cell:
    """Keep the spectral norm of weights, and so their spectral radius, below a bound.

        w = v * bound / max(s(v), bound),   s(v) the largest singular value

    A weight within the bound is left as it is; one outside is scaled down onto it. See
    `spectral_norm` for s and its derivative, and for what is true of gates.

    The bound belongs to the model: evaluate with the wrapper too.

    Args:
        cell: a cell whose params have the weights named.
        bound: the largest norm that a weight may have; may be traced.
        weights: names of the weights; ("w_h",), the recurrent one of most cells.

    Returns:
        A cell with the params and carry of `cell`.

    Raises:
        ValueError: `bound` is not above 0.
        TypeError: the params have no such weight; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> cell, h = spectral_bound(jrnn.elman(4), 9.0), jnp.array([2.0, 0, 0, 0])
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> same = jrnn.elman(4).step(params, h, jnp.zeros(3))[0]
        >>> bool((cell.step(params, h, jnp.zeros(3))[0] == same).all())
        True

    References:
        Miyato, Kataoka, Koyama, Yoshida (2018), Spectral normalization for generative
        adversarial networks, arXiv:1802.05957, section 2.
        Gouk, Frank, Pfahringer, Cree (2021), Regularisation of neural networks by
        enforcing Lipschitz continuity, arXiv:1804.04368 (the projection).
    """
    name = "spectral_bound"
    _check.cell(name, cell, wrap_inside("spectral_bound(lstm(64))"))
    _check.above_zero(name, "bound", bound)

    def factor(w, s):
        del w
        most = _as(bound, s)
        return most / jnp.maximum(s, most)

    return _reweighted(name, cell, weights, factor)


def _reweighted(name: str, cell: Cell, weights: tuple[str, ...], factor) -> Cell:
    """A cell whose weights are scaled by a function of themselves and their norm."""
    _check_names(name, weights)

    def scaled(w):
        wide = w.astype(_check.at_least_float32(w.dtype))
        return (wide * factor(wide, largest_singular_value(wide))).astype(w.dtype)

    def plain(params):
        return _with(params, weights, map(scaled, _chosen(name, params, weights)))

    def initial_carry(params, *, key=None):
        return cell.initial_carry(plain(params), key=key)

    def step(params, carry, x, *, key=None):
        return cell.step(plain(params), carry, x, key=key)

    return cell._replace(initial_carry=initial_carry, step=step)


def largest_singular_value(w: jax.Array) -> jax.Array:
    """The spectral norm of a matrix; of a kernel, that of it as one with O columns."""
    m = w.reshape(-1, w.shape[-1])
    m = m if m.shape[0] <= m.shape[1] else m.T
    fixed = jax.lax.stop_gradient(m)
    u = _top_vector(fixed @ fixed.T)  # left singular vector
    v = _normal(u @ fixed)
    return u @ m @ v


def _top_vector(g: jax.Array) -> jax.Array:
    """The eigenvector of the largest eigenvalue, where none is negative.

    g is squared until all others have vanished beside it: what is left after n
    squarings is the 2^n-th power. An eigenvalue that is larger than others by no more
    than rounding is none of its own. Products alone, for any platform.
    """
    squarings = int(jnp.finfo(g.dtype).nmant)  # 23 in float32, 52 in float64

    def square(_, g):
        trace = jnp.trace(g)
        g = g / jnp.where(trace > 0, trace, jnp.ones_like(trace))
        return g @ g

    g = jax.lax.fori_loop(0, squarings, square, g)
    return _normal(g[:, jnp.argmax(jnp.diagonal(g))])


def _normal(u: jax.Array) -> jax.Array:
    """A vector of length 1, or zeros."""
    length = jnp.linalg.norm(u)
    return u / jnp.where(length > 0, length, jnp.ones_like(length))


def _lengths(w: jax.Array) -> jax.Array:
    """Of each column, in at least single precision."""
    wide = w.astype(_check.at_least_float32(w.dtype))
    return jnp.sqrt(jnp.square(wide).sum(axis=range(w.ndim - 1)))


def _of_length(v: jax.Array, g: jax.Array) -> jax.Array:
    """Columns of a direction, with lengths g."""
    lengths = _lengths(v)
    factor = g.astype(lengths.dtype) / lengths  # (G,)
    factor = factor.reshape((1,) * (v.ndim - 1) + factor.shape)
    return (v.astype(factor.dtype) * factor).astype(v.dtype)


def _as(value: ArrayLike, like: jax.Array) -> jax.Array:
    return jnp.asarray(value).astype(like.dtype)


def _with(params: Params, names: tuple[str, ...], weights) -> Params:
    new = dict(zip(names, weights, strict=True))
    return {**params, **new} if isinstance(params, dict) else params._replace(**new)


def _chosen(name: str, params: Params, names: tuple[str, ...]) -> list[jax.Array]:
    by_name = params if isinstance(params, dict) else _fields(params)
    found = [w for w, value in by_name.items() if getattr(value, "ndim", 0) > 1]
    if missing := [w for w in names if w not in found]:
        has = f"It has {', '.join(found)}" if found else "It has none"
        raise TypeError(
            f"{name}: {_check.kind(params)} has no weight {missing[0]}. {has}: name "
            'them, weights=("w_x", "w_h"), and wrap the cell itself, inside of other '
            "wrappers and of a stack."
        )
    return [by_name[w] for w in names]


def _fields(params: Params) -> dict[str, Any]:
    """What a NamedTuple holds, and nothing of anything else."""
    return {w: getattr(params, w) for w in getattr(params, "_fields", ())}


def _check_names(name: str, weights: tuple[str, ...]) -> None:
    texts = isinstance(weights, tuple) and all(isinstance(w, str) for w in weights)
    if not texts or not weights:
        raise TypeError(
            f"{name}: weights must be a tuple of names, got {weights!r}. Write "
            'weights=("w_h",).'
        )
