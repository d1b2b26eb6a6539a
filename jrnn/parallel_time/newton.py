"""`newton_unroll`: the states of any cell as the root of a system, in parallel."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from jrnn import _check
from jrnn._reversed import turned
from jrnn.cell import Carry, Cell, Input, Key, Output, Params
from jrnn.parallel_time._state import FlatStep, problem, split
from jrnn.parallel_time.affine import affine_scan, shifted
from jrnn.parallel_time.solution import Solution, all_steps, jacobians_of, solve
from jrnn.scan import diagonal_scan, scan


class NewtonReport(NamedTuple):
    """How Newton's method went; arrays, so that it passes through jit and vmap."""

    iterations: jax.Array  # () integer, how often all states were corrected
    residual: jax.Array  # () largest |r_t| / max(1, |f(h_{t-1}, x_t)|)
    converged: jax.Array  # () bool, whether that is within the tolerance


class NewtonUnroll(NamedTuple):
    """What `unroll` returns, and how far it is to be trusted."""

    carry: Carry
    ys: Output  # (T, ...)
    report: NewtonReport


def newton_unroll(
    cell: Cell,
    params: Params,
    xs: Input,
    carry: Carry | None = None,
    *,
    key: Key | None = None,
    reverse: bool = False,
    jacobian: Literal["full", "diagonal"] = "full",
    damping: float = 0.0,
    tolerance: float | None = None,
    max_iterations: int = 100,
) -> NewtonUnroll:
    """`unroll` without a loop over time: all states by Newton's method.

    The states are the root of h_t - f(h_{t-1}, x_t) = 0 for t = 1 .. T. From a guess
    for all of them, the first carry, each iteration solves the equations made linear,

        r_t = f(h_{t-1}, x_t) - h_t                 how far off they are
        A_t = (1 - damping) * J_t,   J_t = df/dh at h_{t-1}
        d_t = A_t d_{t-1} + r_t,     d_0 = 0        all t by `affine_scan`
        h_t <- f(h_{t-1}, x_t) + A_t d_{t-1}        which is h_t + d_t

    until |r_t| <= tolerance * max(1, |f(h_{t-1}, x_t)|) for all t, where |.| is the
    largest entry. Each iteration makes at least one state more correct, so that T of
    them always suffice; Newton's method (DEER) is worth it where a few do, which is for
    cells that forget. Chaotic ones need many, whatever the damping: leave them to the
    loop.

    `jacobian="diagonal"` (quasi-DEER) keeps the diagonal of J_t alone: O(T N) memory in
    place of O(T N^2), products of numbers instead of matrices, and more iterations.
    `damping` above 0 (scale-ELK) stabilises cells whose products of Jacobians grow: it
    converges slower where Newton's method does, and also where that does not. Where a
    correction is not finite, h_t <- f(h_{t-1}, x_t), as with damping 1.

    The derivative is that of the root (see `adjoint_unroll`), in parallel and with the
    full Jacobian in either case; iterations are not differentiated. It is as good as
    the states are: with `report.converged` False, neither can be used.

    Experimental, and on CPUs many times slower than the loop. It is no option of
    `unroll`, since it has arguments of its own and may fail, as its report then says.

    Args:
        cell: any cell with a carry of floating-point arrays.
        params: its parameters.
        xs: inputs, a pytree with time first on every leaf, `(T, ...)`.
        carry: state before the first step; `cell.initial_carry(params)` if None.
        key: for cells that need randomness; used as by `unroll`.
        reverse: run from the last step to the first; outputs keep their places.
        jacobian: "full", or "diagonal".
        damping: in [0, 1], the share of the Jacobian that is left out. 0.1 is a start.
        tolerance: bound of |r_t|; 20 times the eps of the dtype if None.
        max_iterations: bound of the iterations.

    Returns:
        `NewtonUnroll(carry, ys, report)`: what `unroll` returns, and
        `NewtonReport(iterations, residual, converged)`.

    Raises:
        ValueError: an option out of range; the leaves of `xs` disagree about T.
        TypeError: a model of whole sequences; a carry with integers or flags, or arrays
            of several dtypes.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> from jrnn.parallel_time import newton_unroll
        >>> cell = jrnn.lstm(4)
        >>> xs = jax.random.normal(jax.random.key(1), (200, 3))
        >>> params = cell.init(jax.random.key(0), xs[0])
        >>> carry, ys, report = newton_unroll(cell, params, xs)
        >>> bool(report.converged), int(report.iterations) < 10
        (True, True)
        >>> bool(jnp.allclose(ys, jrnn.unroll(cell, params, xs)[1], atol=1e-5))
        True

    References:
        Lim, Zhu, Selfridge, Kasim (2024), Parallelizing non-linear sequential models
        over the sequence length, arXiv:2309.12252, section 3 (DEER).
        Gonzalez, Warrington, Smith, Linderman (2024), Towards scalable and stable
        parallelization of nonlinear RNNs, arXiv:2407.19115, section 4 (quasi-DEER) and
        appendix A.4 (scale-ELK, whose k is `damping`).
        Gonzalez, Kozachkov, Zoltowski, Clarkson, Linderman (2025), Predictability
        enables parallelization of nonlinear state space models, arXiv:2508.16817.
    """
    _check_options(jacobian, damping, tolerance, max_iterations)
    given = problem("newton_unroll", cell, params, xs, carry, key, reverse)
    if others := split(given.carry).rest:
        raise TypeError(
            "newton_unroll: the carry must be floating-point, got an array of "
            f"{others[0].dtype}, for which there is no Newton's method. Use unroll, or "
            "adjoint_unroll for a parallel backward pass."
        )
    correct = {"full": _by_matrices, "diagonal": _by_diagonals}[jacobian]

    def find(step, params, h_0, rest_0, xs, keys):
        system = _System(step, params, h_0, xs, keys)
        return _iterate(system, correct, damping, tolerance, max_iterations)

    carry, ys, report = solve(find, cell, given)
    return NewtonUnroll(carry, turned(ys, reverse), report)


class _System(NamedTuple):
    """The equations h_t = f(h_{t-1}, x_t) of one sequence."""

    step: FlatStep
    params: Params
    h_0: jax.Array  # (N,)
    xs: Input
    keys: Key | None

    def f(self, before: jax.Array) -> tuple[jax.Array, Output]:
        """Every step from the state before it, (T, N): states and outputs."""
        return all_steps(self.step, self.params, before, [], self.xs, self.keys)


class _State(NamedTuple):
    hs: jax.Array  # (T, N)
    f: jax.Array  # (T, N) f(h_{t-1}, x_t)
    residual: jax.Array  # ()
    iterations: jax.Array  # ()


# (system, states before each step, r, damping) -> A_t d_{t-1}, all (T, N)
_Correction = Callable[[_System, jax.Array, jax.Array, Any], jax.Array]


def _iterate(
    system: _System, correct: _Correction, damping, tolerance, max_iterations
) -> Solution:
    dtype = system.h_0.dtype
    bound = 20 * jnp.finfo(dtype).eps if tolerance is None else tolerance
    num_steps = _check.num_steps("newton_unroll", system.xs)
    size = lambda hs: jnp.abs(hs).max(1, initial=0)  # (T,)
    most = 0.5 / jnp.finfo(dtype).tiny  # XLA takes the reciprocal of more for zero

    def at(hs, iterations):  # by step: next to a state that grew, all else looks small
        f, _ = system.f(shifted(hs, system.h_0))
        residual = (size(f - hs) / jnp.clip(size(f), 1, most)).max(initial=0)
        return _State(hs, f, residual, iterations)

    def within(state):  # what is no number is within no bound
        return state.residual <= jnp.asarray(bound, dtype)

    def going_on(state):
        return ~within(state) & (state.iterations < max_iterations)

    def iteration(state):
        r = state.f - state.hs
        before = shifted(state.hs, system.h_0)
        hs = state.f + correct(system, before, r, jnp.asarray(damping, dtype))
        hs = jnp.where(jnp.isfinite(hs), hs, state.f)
        return at(hs, state.iterations + 1)

    guess = jnp.broadcast_to(system.h_0, (num_steps, *system.h_0.shape))
    state = lax.while_loop(going_on, iteration, at(guess, jnp.int32(0)))
    report = NewtonReport(state.iterations, state.residual, within(state))
    _, ys = system.f(shifted(state.hs, system.h_0))
    return Solution(state.hs, [], ys, report)


def _by_matrices(system: _System, before, r, damping) -> jax.Array:
    """Newton's method, with all of the Jacobian."""
    step, params, h_0, xs, keys = system
    a = (1 - damping) * jacobians_of(step, params, before, [], xs, keys)  # (T, N, N)
    zero = jnp.zeros_like(h_0)
    d = shifted(affine_scan(a, r, zero), zero)
    return jnp.einsum("tij,tj->ti", a, d, precision=lax.Precision.HIGHEST)


def _by_diagonals(system: _System, before, r, damping) -> jax.Array:
    """As if no number of the state would change another."""
    zero = jnp.zeros_like(system.h_0)
    a = (1 - damping) * _diagonals(system, before)  # (T, N)
    return a * shifted(diagonal_scan(a, r, zero, parallel=True), zero)


def _diagonals(system: _System, before: jax.Array) -> jax.Array:
    """The diagonal of every Jacobian, one number of the state after the other.

    Of a cell that may be any, each of its N entries is a derivative of all; one at a
    time they need no more memory than the states.
    """
    _, push = jax.linearize(lambda before: system.f(before)[0], before)

    def entry(_, i):
        only = jnp.zeros_like(before).at[:, i].set(1)
        return (), push(only)[:, i]

    return scan(entry, (), jnp.arange(before.shape[1]))[1].T


def _check_options(jacobian, damping, tolerance, max_iterations) -> None:
    _check.one_of("newton_unroll", "jacobian", jacobian, ("full", "diagonal"))
    _check.not_negative("newton_unroll", "damping", damping)
    if not isinstance(damping, Tracer) and damping > 1:
        raise ValueError(f"newton_unroll: damping must be at most 1, got {damping}.")
    if tolerance is not None:
        _check.not_negative("newton_unroll", "tolerance", tolerance)
    _check.positive("newton_unroll", "max_iterations", max_iterations)
