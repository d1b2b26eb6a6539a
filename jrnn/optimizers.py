"""Optimisers: Optax's, each behind clip-by-global-norm, and the textbook Adagrad.

Learning rates and clipping thresholds may be traced: build the optimiser inside the
traced training step and changing them compiles nothing anew. A schedule, that is a
function from the step count to a rate, can stand wherever a learning rate can.

Norms are right for gradients of any magnitude whose norm is finite in float32 or wider,
half precision is worked on and remembered in float32, and a NaN in a gradient goes
through: see `jrnn.train.skip_nonfinite`. Complex gradients are taken as directions of
ascent, the conjugates of what `jax.grad` returns.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._norm import at_least_float32, is_inexact, scaled_norm

LearningRate = ArrayLike | Callable[[jax.Array], jax.Array]
GradientTransformation = optax.GradientTransformation


class AdagradState(NamedTuple):
    """State of Adagrad."""

    sum_of_squares: optax.Params  # like the parameters, real


def scale_by_adagrad(eps: float = 1e-8) -> GradientTransformation:
    """Textbook Adagrad direction: accumulator from zero, eps inside the root.

        s_t = s_{t-1} + |g_t|^2,   s_0 = 0
        u_t = g_t / sqrt(s_t + eps)

    `optax.adagrad` starts its accumulator at 0.1 and has eps 1e-7: for a first gradient
    of 0.01 at rate 0.1 that is a step 30 times shorter than this one.

    Args:
        eps: keeps the root away from zero.

    Returns:
        A gradient transformation.

    Example:
        >>> rule = scale_by_adagrad()
        >>> g = jnp.array([0.5, -2.0])
        >>> updates, _ = rule.update(g, rule.init(g))
        >>> jnp.round(updates, 5).tolist()
        [1.0, -1.0]

    References:
        Duchi, Hazan, Singer (2011), Adaptive subgradient methods for online learning
        and stochastic optimization, jmlr.org/papers/v12/duchi11a.html, figure 1
        (diagonal form).
    """

    def init(params):
        return AdagradState(jax.tree.map(lambda p: jnp.zeros_like(p.real), params))

    def update(updates, state, params=None):
        del params
        square = lambda g: g * g if jnp.isrealobj(g) else g.real**2 + g.imag**2
        move = lambda g, s: g / jnp.sqrt(s + eps).astype(g.dtype)
        total = jax.tree.map(lambda s, g: s + square(g), state.sum_of_squares, updates)
        return jax.tree.map(move, updates, total), AdagradState(total)

    return optax.GradientTransformation(init, update)


def adagrad(
    learning_rate: LearningRate, max_norm: ArrayLike = 5.0, *, eps: float = 1e-8
) -> GradientTransformation:
    """Textbook Adagrad behind clip-by-global-norm, the library's default.

        g_t <- g_t * min(1, max_norm / ||g_t||)
        s_t = s_{t-1} + |g_t|^2,   s_0 = 0
        theta_t = theta_{t-1} - learning_rate * g_t / sqrt(s_t + eps)

    Args:
        learning_rate: step size; a number, a traced scalar or a schedule.
        max_norm: largest norm of the whole gradient, at least 0; `inf` turns clipping
            off.
        eps: keeps the root away from zero.

    Returns:
        A gradient transformation.

    Raises:
        ValueError: `max_norm` is negative or NaN.

    Example:
        >>> optimizer = adagrad(0.1)
        >>> g = jnp.array([0.01])
        >>> updates, _ = optimizer.update(g, optimizer.init(g))
        >>> round(float(updates[0]), 4)
        -0.1

    References:
        Duchi, Hazan, Singer (2011), jmlr.org/papers/v12/duchi11a.html.
        Pascanu, Mikolov, Bengio (2013), arXiv:1211.5063, algorithm 1 (clipping).
    """
    return _clipped("adagrad", max_norm, scale_by_adagrad(eps), learning_rate)


def adam(
    learning_rate: LearningRate,
    max_norm: ArrayLike = 1.0,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> GradientTransformation:
    """Adam behind clip-by-global-norm.

    Args:
        learning_rate: step size; a number, a traced scalar or a schedule.
        max_norm: largest norm of the whole gradient, at least 0; `inf` turns clipping
            off.
        b1: decay of the mean of gradients.
        b2: decay of the mean of their squares.
        eps: added to the root.

    Returns:
        A gradient transformation.

    Raises:
        ValueError: `max_norm` is negative or NaN.

    Example:
        >>> optimizer = adam(1e-3)
        >>> g = jnp.array([0.3])
        >>> updates, _ = optimizer.update(g, optimizer.init(g))
        >>> round(float(updates[0]), 6)
        -0.001

    References:
        Kingma, Ba (2015), Adam, arXiv:1412.6980, algorithm 1.
    """
    return _clipped("adam", max_norm, optax.scale_by_adam(b1, b2, eps), learning_rate)


def adamw(
    learning_rate: LearningRate,
    max_norm: ArrayLike = 1.0,
    *,
    weight_decay: jax.Array | float = 1e-2,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> GradientTransformation:
    """Adam with decoupled weight decay, behind clip-by-global-norm.

    Weights with at least two axes decay; biases, scales and offsets do not.

    Args:
        learning_rate: step size; a number, a traced scalar or a schedule.
        max_norm: largest norm of the whole gradient, at least 0; `inf` turns clipping
            off.
        weight_decay: share of a weight, times the learning rate, taken off each step.
        b1: decay of the mean of gradients.
        b2: decay of the mean of their squares.
        eps: added to the root.

    Returns:
        A gradient transformation.

    Raises:
        ValueError: `max_norm` is negative or NaN.

    Example:
        >>> optimizer = adamw(1e-3, weight_decay=0.1)
        >>> w = jnp.ones((2, 2))
        >>> updates, _ = optimizer.update(jnp.zeros((2, 2)), optimizer.init(w), w)
        >>> round(float(updates[0, 0]), 6)
        -0.0001

    References:
        Loshchilov, Hutter (2019), Decoupled weight decay regularization,
        arXiv:1711.05101, algorithm 2.
    """
    decay = optax.add_decayed_weights(weight_decay, mask=_is_weight)
    rule = optax.chain(optax.scale_by_adam(b1, b2, eps), decay)
    return _clipped("adamw", max_norm, rule, learning_rate)


def rmsprop(
    learning_rate: LearningRate,
    max_norm: ArrayLike = 5.0,
    *,
    decay: float = 0.95,
    eps: float = 1e-8,
) -> GradientTransformation:
    """RMSProp behind clip-by-global-norm.

        s_t = decay * s_{t-1} + (1 - decay) * g_t^2
        theta_t = theta_{t-1} - learning_rate * g_t / sqrt(s_t + eps)

    Args:
        learning_rate: step size; a number, a traced scalar or a schedule.
        max_norm: largest norm of the whole gradient, at least 0; `inf` turns clipping
            off.
        decay: memory of the squares; 0.95 as in char-rnn (Optax: 0.9).
        eps: added inside the root.

    Returns:
        A gradient transformation.

    Raises:
        ValueError: `max_norm` is negative or NaN.

    Example:
        >>> optimizer = rmsprop(1e-2, decay=0.75)
        >>> g = jnp.array([0.4])
        >>> updates, _ = optimizer.update(g, optimizer.init(g))
        >>> round(float(updates[0]), 5)
        -0.02

    References:
        Tieleman, Hinton (2012), Neural Networks for Machine Learning, lecture 6.5.
    """
    return _clipped("rmsprop", max_norm, optax.scale_by_rms(decay, eps), learning_rate)


def sgd(
    learning_rate: LearningRate,
    max_norm: ArrayLike = 1.0,
    *,
    momentum: float | None = None,
) -> GradientTransformation:
    """Gradient descent, with momentum if asked for, behind clip-by-global-norm.

    Args:
        learning_rate: step size; a number, a traced scalar or a schedule.
        max_norm: largest norm of the whole gradient, at least 0; `inf` turns clipping
            off.
        momentum: decay of the running sum of gradients; none if None.

    Returns:
        A gradient transformation.

    Raises:
        ValueError: `max_norm` is negative or NaN.

    Example:
        >>> optimizer = sgd(0.1, max_norm=1.0)
        >>> g = jnp.array([3.0, 4.0])
        >>> updates, _ = optimizer.update(g, optimizer.init(g))
        >>> [round(float(u), 4) for u in updates]
        [-0.06, -0.08]

    References:
        Pascanu, Mikolov, Bengio (2013), arXiv:1211.5063, algorithm 1.
    """
    rule = optax.identity() if momentum is None else optax.trace(momentum)
    return _clipped("sgd", max_norm, rule, learning_rate)


def clip_by_global_norm(max_norm: ArrayLike) -> GradientTransformation:
    """Shorten the gradient where it is longer than a threshold.

        g <- g * min(1, max_norm / ||g||),   ||g||^2 = sum |g_i|^2 over all leaves

    `optax.clip_by_global_norm` for gradients of any magnitude: there a square that
    overflows makes zeros of the gradient, and one that underflows hides it. Leaves that
    are not floating-point do not count and stay as they are.

    Args:
        max_norm: largest norm, at least 0; `inf` leaves any gradient as it is. May be
            traced.

    Returns:
        A gradient transformation, to be chained in front of an optimiser.

    Raises:
        ValueError: `max_norm` is negative or NaN.

    Example:
        >>> rule = clip_by_global_norm(1.0)
        >>> g = jnp.array([3e20, 4e20])
        >>> [round(float(u), 4) for u in rule.update(g, rule.init(g))[0]]
        [0.6, 0.8]

    References:
        Pascanu, Mikolov, Bengio (2013), arXiv:1211.5063, algorithm 1.
    """
    _check.not_negative("clip_by_global_norm", "max_norm", max_norm)

    def update(updates, params):
        del params
        n, s = scaled_norm(updates)
        limit = jnp.asarray(max_norm).astype(n.dtype)
        short = (n / s <= limit) | (limit == jnp.inf)
        factor = limit / jnp.where(n == 0, 1, n)

        def clip(g):
            if not is_inexact(g):
                return g
            wide = np.promote_types(g.dtype, n.dtype)  # s may be too large for g's own
            less = g.astype(wide) * s.astype(wide) * factor.astype(wide)
            return jnp.where(short, g, less.astype(g.dtype))

        return jax.tree.map(clip, updates)

    return optax.stateless(update)


def clip_elementwise(limit: ArrayLike) -> GradientTransformation:
    """Clip every entry of the gradient to [-limit, limit].

        g <- min(limit, max(-limit, g))

    The rule of min-char-rnn, char-rnn and torch-rnn (limit 5). It changes the
    gradient's direction; clip-by-global-norm does not, and thresholds do not carry
    over from one to the other.

    Args:
        limit: largest modulus of an entry; may be traced.

    Returns:
        A gradient transformation, to be chained in front of an optimiser.

    Raises:
        ValueError: `limit` is negative or NaN.
        TypeError: the gradient is complex.

    Example:
        >>> rule = clip_elementwise(1.0)
        >>> rule.update(jnp.array([-3.0, 0.5]), rule.init(None))[0].tolist()
        [-1.0, 0.5]
    """
    _check.not_negative("clip_elementwise", "limit", limit)

    def update(updates, params):
        del params
        _real("clip_elementwise", updates)
        bounds = lambda g: (jnp.asarray(s * limit, g.dtype) for s in (-1, 1))
        return jax.tree.map(lambda g: jnp.clip(g, *bounds(g)), updates)

    return optax.stateless(update)


class RpropState(NamedTuple):
    """State of Rprop."""

    step_sizes: optax.Params  # like the parameters
    signs: optax.Params  # of the last gradient; 0 before the first


def rprop(
    learning_rate: ArrayLike = 0.001,
    *,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step: float = 1e-6,
    max_step: float = 50.0,
) -> GradientTransformation:
    """Resilient backpropagation: step sizes from the signs of gradients (full batch).

        d_t = eta_plus * d_{t-1}    where g_t g_{t-1} > 0,   at most max_step
              eta_minus * d_{t-1}   where g_t g_{t-1} < 0,   at least min_step
              d_{t-1}               elsewhere;               d_0 = learning_rate
        theta_t = theta_{t-1} - sign(g_t) * d_t

    Magnitudes of gradients play no part, so nothing is clipped. This is the form
    without weight-backtracking, called Rprop- in the second reference. (`optax.rprop`
    0.2.8 moves by the step of the call before.)

    Args:
        learning_rate: first step size.
        eta_minus: factor of a step whose gradient changes its sign.
        eta_plus: factor of a step whose gradient keeps it.
        min_step: smallest step.
        max_step: largest step.

    Returns:
        A gradient transformation.

    Raises:
        TypeError: parameters or gradient are complex.

    Example:
        >>> optimizer = rprop(0.01)
        >>> g = jnp.array([123.0, -0.1])
        >>> updates, state = optimizer.update(g, optimizer.init(g))
        >>> [round(float(u), 4) for u in updates]
        [-0.01, 0.01]
        >>> [round(float(u), 4) for u in optimizer.update(g, state)[0]]
        [-0.012, 0.012]

    References:
        Riedmiller, Braun (1993), A direct adaptive method for faster backpropagation
        learning: the RPROP algorithm, doi:10.1109/ICNN.1993.298623.
        Igel, Huesken (2003), Empirical evaluation of the improved Rprop learning
        algorithms, doi:10.1016/S0925-2312(01)00700-7.
    """

    def init(params):
        _real("rprop", params)
        first = lambda p: jnp.full_like(p, learning_rate)
        return RpropState(
            jax.tree.map(first, params), jax.tree.map(jnp.zeros_like, params)
        )

    def update(updates, state, params=None):
        del params
        _real("rprop", updates)
        signs = jax.tree.map(jnp.sign, updates)

        def resize(d, sign, last):
            agree = sign * last
            factor = jnp.where(
                agree > 0, eta_plus, jnp.where(agree < 0, eta_minus, 1.0)
            )
            return jnp.clip(d * factor.astype(d.dtype), min_step, max_step)

        sizes = jax.tree.map(resize, state.step_sizes, signs, state.signs)
        moves = jax.tree.map(lambda sign, d: -sign * d, signs, sizes)
        return moves, RpropState(sizes, signs)

    return _at_least_float32(optax.GradientTransformation(init, update))


def _clipped(name: str, max_norm, rule, learning_rate) -> GradientTransformation:
    _check.not_negative(name, "max_norm", max_norm)
    rate = optax.scale_by_learning_rate(learning_rate)
    return _at_least_float32(optax.chain(clip_by_global_norm(max_norm), rule, rate))


def _at_least_float32(rule: GradientTransformation) -> GradientTransformation:
    """Run a rule on half-precision parameters in float32, which its memory stays in.

    In float16 the squares of most gradients and every eps here are zero.
    """

    def init(params):
        return rule.init(at_least_float32(params))

    def update(updates, state, params=None):
        moves, state = rule.update(
            at_least_float32(updates), state, at_least_float32(params)
        )
        back = lambda move, g: move.astype(g.dtype) if is_inexact(g) else move
        return jax.tree.map(back, moves, updates), state

    return optax.GradientTransformation(init, update)


def _real(name: str, tree) -> None:
    """Raise where a rule that reads signs meets complex numbers."""
    for leaf in jax.tree.leaves(tree):
        if jnp.iscomplexobj(leaf):
            raise TypeError(
                f"{name}: needs real numbers, got {leaf.dtype}. Wrap it in "
                "optax.contrib.split_real_and_imaginary."
            )


def _is_weight(params):
    return jax.tree.map(lambda p: jnp.ndim(p) >= 2, params)
