"""Fixed points and slow points of a cell under constant input, and their stability."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.dynamics._precision import warn_below_float64
from jrnn.gradients._flat import FlatCell, flat_cell
from jrnn.scan import scan


class FixedPoints(NamedTuple):
    """Where K searches ended; select with the flags, as in `speeds[fixed & distinct]`.

    All shapes are fixed in advance, so that the search can be compiled and batched.
    """

    points: Carry  # a carry whose every leaf is (K, ...)
    speeds: jax.Array  # (K,) half the squared distance that one step moves the point
    eigenvalues: jax.Array  # (K, N) complex, of the Jacobian, largest modulus first
    fixed: jax.Array  # (K,) bool, speed below `tolerance`
    slow: jax.Array  # (K,) bool, speed from `tolerance` to below `slow_tolerance`
    stable: jax.Array  # (K,) bool, every modulus below 1
    distinct: jax.Array  # (K,) bool, fixed or slow and the first at its place


def fixed_points(
    cell: Cell,
    params: Params,
    x: Input,
    candidates: Carry,
    *,
    tolerance: ArrayLike = 1e-20,
    slow_tolerance: ArrayLike = 1e-4,
    min_distance: ArrayLike = 1e-3,
    steps: int = 80,
) -> FixedPoints:
    """Search for states that a constant input leaves where they are, or nearly so.

        minimise  q(h) = || F(h, x) - h ||^2 / 2      from each candidate
        q = 0: a fixed point;  q small and at a minimum: a slow point

    Each search is Levenberg-Marquardt's: steps of Newton's method where they lead
    downhill, steps down the gradient where they do not, so that it also ends at minima
    of q above 0. At each end the eigenvalues of dF/dh are taken: stable where all lie
    within the unit circle, a saddle otherwise, with as many unstable directions as lie
    outside.

    Args:
        cell: any cell without randomness.
        params: its parameters.
        x: one step's input, held constant.
        candidates: where to start: a carry with K on the front of every leaf. States
            that the network visits (see `jrnn.record`), with some noise, are the usual
            choice.
        tolerance: q below it counts as a fixed point.
        slow_tolerance: q from `tolerance` up to it counts as a slow point.
        min_distance: points nearer than this to an earlier one are the same.
        steps: iterations of each search. Each costs N^3.

    Returns:
        `FixedPoints`, K of everything, in the order of the candidates.

    Raises:
        TypeError: the carry is empty or not floating-point.
        ValueError: `steps` is not a positive integer.

    Example:
        >>> import jrnn
        >>> with jax.enable_x64(True):  # one unit, h = tanh(2 h): at 0 and +- 0.9575
        ...     params = jrnn.ElmanParams(*(jnp.full(s, 2.0) for s in [(1, 1), (1, 1)]),
        ...                               jnp.zeros(1))
        ...     starts = jnp.linspace(-1.0, 1.0, 5)[:, None]
        ...     found = fixed_points(jrnn.elman(1), params, jnp.zeros(1), starts)
        >>> jnp.round(found.points[found.distinct], 4).ravel().tolist()
        [-0.9575, 0.0, 0.9575]
        >>> found.stable[found.distinct].tolist()
        [True, False, True]

    References:
        Sussillo, Barak (2013), Opening the black box: low-dimensional dynamics in
        high-dimensional recurrent neural networks, doi:10.1162/NECO_a_00409.
        Golub, Sussillo (2018), FixedPointFinder, doi:10.21105/joss.01003.
        Marquardt (1963), An algorithm for least-squares estimation of nonlinear
        parameters, doi:10.1137/0111030.
    """
    _check.positive("fixed_points", "steps", steps)
    example = jax.tree.map(lambda leaf: leaf[0], candidates)
    flat = flat_cell("fixed_points", cell, params, example)
    warn_below_float64(
        "fixed_points", flat.start.dtype, "speeds below about 1e-14 are rounding."
    )
    starts = jax.vmap(lambda carry: ravel_pytree(carry)[0])(candidates)  # (K, N)
    hs, speeds = jax.vmap(lambda h: _search(flat, x, h, steps))(starts)
    jacobians = jax.vmap(jax.jacfwd(flat.step), (0, None))(hs, x)
    values = jax.vmap(_eigenvalues)(jacobians)
    fixed, near = speeds < tolerance, speeds < slow_tolerance
    return FixedPoints(
        points=jax.vmap(flat.unflatten)(hs),
        speeds=speeds,
        eigenvalues=values,
        fixed=fixed,
        slow=near & ~fixed,
        stable=jnp.abs(values[:, 0]) < 1,
        distinct=_first_at_its_place(hs, fixed | near, min_distance),
    )


def _search(flat: FlatCell, x: Input, start: jax.Array, steps: int):
    """The end of a Levenberg-Marquardt search (N,) and q there."""
    move = lambda h: flat.step(h, x) - h
    eye = jnp.eye(start.size, dtype=start.dtype)
    half_square = lambda r: jnp.sum(r * r) / 2

    def improve(state, _):
        h, damping = state
        r, a = move(h), jax.jacfwd(move)(h)
        trial = h - jnp.linalg.solve(a.T @ a + damping * eye, a.T @ r)
        better = half_square(move(trial)) < half_square(r)
        # towards Newton after a success, towards the gradient after a failure
        damping = jnp.where(better, damping * 0.3, jnp.maximum(damping, 1e-12) * 2)
        return (jnp.where(better, trial, h), damping), None

    damping = jnp.asarray(1e-2, start.dtype)
    (h, _), _ = scan(improve, (start, damping), length=steps)
    return h, half_square(move(h))


def _eigenvalues(jacobian: jax.Array) -> jax.Array:
    values = jnp.linalg.eigvals(jacobian)
    return values[jnp.argsort(-jnp.abs(values))]


def _first_at_its_place(hs: jax.Array, counts: jax.Array, min_distance: ArrayLike):
    """Flags (K,) of the points that count and have none before them nearby."""
    distance = jax.vmap(
        lambda a: jax.vmap(lambda b: jnp.sqrt(jnp.sum(jnp.square(a - b))))(hs)
    )(hs)  # (K, K)
    near = (distance < min_distance) & counts[None, :]
    return counts & ~jnp.tril(near, -1).any(axis=1)
