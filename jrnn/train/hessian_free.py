"""Hessian-free training: Gauss-Newton steps by conjugate gradients.

(G + lambda I) d = -g,   G = J' H J,   theta = theta + alpha d
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Params

LEAST_DAMPING = 1e-10  # below it G may be singular in float32


class HessianFreeState(NamedTuple):
    """What is remembered from one step to the next."""

    direction: Params  # d of the step before: where the next search begins
    damping: jax.Array  # (), lambda


class HessianFreeMetrics(NamedTuple):
    """What one step reports."""

    loss: jax.Array  # (), before the step
    loss_after: jax.Array  # (), on the same batch
    grad_norm: jax.Array  # ()
    ratio: jax.Array  # (), of the loss's fall to that of the quadratic model
    damping: jax.Array  # (), with which the step was made
    step_size: jax.Array  # (), alpha; 0 where no step made the loss smaller


def gauss_newton_product(
    outputs: Callable[[Params], Any], loss: Callable[[Any], jax.Array], params: Params
) -> Callable[[Params], Params]:
    """The product of the Gauss-Newton matrix with a vector, without the matrix.

        G v = J' H J v,   J = d outputs / d params,   H = d^2 loss / d outputs^2

    A product costs about two gradients: J v forward through time, J' u backward. G is
    the Hessian of `loss(outputs(params))` without the curvature of the outputs, and is
    positive semidefinite wherever the loss is convex in the outputs.

    Args:
        outputs: params -> ys, any pytree: logits rather than probabilities.
        loss: ys -> scalar, convex in ys.
        params: where G is taken.

    Returns:
        v -> G v, linear; v and G v are like the parameters.

    Example:
        >>> x = jnp.array([1.0, 2.0])
        >>> product = gauss_newton_product(
        ...     lambda w: w @ x, lambda y: 0.5 * y**2, jnp.zeros(2))
        >>> product(jnp.array([1.0, 0.0])).tolist()  # (x x') v
        [1.0, 2.0]

    References:
        Schraudolph (2002), Fast curvature matrix-vector products for second-order
        gradient descent, doi:10.1162/08997660260028683.
    """
    ys, jacobian = jax.linearize(outputs, params)
    _, hessian = jax.linearize(jax.grad(loss), ys)
    transposed = jax.linear_transpose(jacobian, params)
    return lambda v: transposed(hessian(jacobian(v)))[0]


def hessian_free(
    outputs: Callable[[Params, Any], Any],
    loss: Callable[[Any, Any], jax.Array],
    *,
    iterations: int = 50,
    tolerance: float = 1e-4,
    momentum: float = 0.95,
    damping: float = 1.0,
    states: Callable[[Params, Any], Any] | None = None,
    structural: ArrayLike = 0.1,
) -> tuple[Callable[..., HessianFreeState], Callable[..., Any]]:
    """Truncated Newton steps with the Gauss-Newton matrix (Hessian-free).

        g = d loss(ys) / d theta,   ys = outputs(theta, batch)
        (G + lambda I + lambda mu S) d = -g    by conjugate gradients from momentum * d
        theta = theta + alpha d,   alpha = 1, 1/2, 1/4, ...   first with Armijo's fall
        rho = (L(theta + d) - L(theta)) / (g'd + d'G d / 2)
        lambda = 2/3 lambda if rho > 3/4,   3/2 lambda if rho < 1/4

    S = J_h' J_h / N is the structural damping of Martens and Sutskever: it holds back
    steps that change the hidden states h = states(theta, batch) much, which a small
    step of recurrent weights may do; N is the number of sequences, the leading axis.

    Differs from the source: conjugate gradients end at a tolerance of the residual or
    after so many iterations, rather than by the progress of the quadratic model, and
    their last iterate is taken rather than the best of several; the distance of hidden
    states is half the squared one whatever their nonlinearity; gradient and curvature
    are those of one batch, which should be large. Optax, PyTorch and Keras have none.

    Args:
        outputs: `outputs(params, batch) -> ys`, any pytree.
        loss: `loss(ys, batch) -> scalar`, convex in ys.
        iterations: at most so many products with G in a step, at least 1.
        tolerance: of conjugate gradients: norm of the residual over that of g.
        momentum: how much of the direction before a search begins from, 0 to 1.
        damping: lambda of the first step, > 0.
        states: `states(params, batch) -> hs`, leading axes (N, T), any pytree; None
            for no structural damping.
        structural: mu, at least 0.

    Returns:
        `(init, step)`: `init(params) -> HessianFreeState`, and
        `step(params, state, batch) -> (params, state, HessianFreeMetrics)`, pure and
        not compiled.

    Raises:
        ValueError: `iterations` is not a positive integer; `damping` is not positive.

    Example:
        >>> A = jnp.array([[2.0, 0.0], [0.0, 0.5]])
        >>> init, step = hessian_free(
        ...     lambda w, batch: A @ w - batch, lambda ys, batch: 0.5 * (ys @ ys),
        ...     damping=1e-6)
        >>> params = jnp.zeros(2)
        >>> params, _, metrics = step(params, init(params), jnp.ones(2))
        >>> jnp.round(params, 3).tolist(), bool(metrics.loss_after < 1e-6)
        ([0.5, 2.0], True)

    References:
        Martens (2010), Deep learning via Hessian-free optimization,
        icml.cc/Conferences/2010/papers/458.pdf.
        Martens, Sutskever (2011), Learning recurrent neural networks with Hessian-free
        optimization, icml-2011.org/papers/532_icmlpaper.pdf.
    """
    _check.positive("hessian_free", "iterations", iterations)
    if not damping > 0:
        raise ValueError(f"hessian_free: damping must be > 0, got {damping}.")

    def init(params: Params) -> HessianFreeState:
        dtype = ravel_pytree(params)[0].dtype
        return HessianFreeState(
            jax.tree.map(jnp.zeros_like, params), jnp.asarray(damping, dtype)
        )

    def step(params: Params, state: HessianFreeState, batch: Any):
        theta, unravel = ravel_pytree(params)
        objective = lambda theta: loss(outputs(unravel(theta), batch), batch)
        value, g = jax.value_and_grad(objective)(theta)
        G, damped = _curvature(theta, unravel, batch, state.damping)
        start = momentum * ravel_pytree(state.direction)[0]
        d, _ = cg(damped, -g, start, maxiter=iterations, tol=tolerance)
        d = jnp.where(jnp.isfinite(d).all(), d, 0)  # or it stays NaN for good
        expected = g @ d + d @ G(d) / 2  # < 0
        ratio = (objective(theta + d) - value) / expected
        alpha, after = _line_search(objective, theta, value, d, g @ d)
        metrics = HessianFreeMetrics(
            value, after, jnp.linalg.norm(g), ratio, state.damping, alpha
        )
        new = HessianFreeState(unravel(d), _adapted(state.damping, ratio))
        return unravel(theta + alpha * d), new, metrics

    def _curvature(theta, unravel, batch, lam):
        ravelled = lambda function: lambda theta: function(unravel(theta), batch)
        G = gauss_newton_product(ravelled(outputs), lambda ys: loss(ys, batch), theta)
        if states is None:
            return G, lambda v: G(v) + lam * v
        S = gauss_newton_product(ravelled(states), _half_squares, theta)
        return G, lambda v: G(v) + lam * (v + structural * S(v))

    return init, step


def _half_squares(hs: Any) -> jax.Array:
    """Half the squared norm of states, a sequence."""
    leaves = jax.tree.leaves(hs)
    return sum(jnp.square(h).sum() for h in leaves) / (2 * leaves[0].shape[0])


def _adapted(damping: jax.Array, ratio: jax.Array) -> jax.Array:
    """Levenberg and Marquardt's rule; a NaN counts as a bad step."""
    factor = jnp.where(ratio > 0.75, 2 / 3, jnp.where(ratio >= 0.25, 1.0, 3 / 2))
    return jnp.maximum(damping * factor, LEAST_DAMPING).astype(damping.dtype)


def _line_search(objective, theta, value, d, slope, halvings: int = 20):
    """The first alpha = 2^-n by which the loss falls 1 % of what its slope promises."""

    def bad(found):
        alpha, after = found
        enough = after <= value + 0.01 * alpha * slope  # False where it is NaN
        return ~enough & (alpha > 2.0**-halvings)

    def halve(found):
        alpha = found[0] / 2
        return alpha, objective(theta + alpha * d)

    one = jnp.ones((), value.dtype)
    alpha, after = jax.lax.while_loop(bad, halve, (one, objective(theta + d)))
    better = after < value
    return jnp.where(better, alpha, 0), jnp.where(better, after, value)
