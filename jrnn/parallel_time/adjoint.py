"""`adjoint_unroll`: forward in a loop, the derivative of all steps in parallel."""

import jax

from jrnn._reversed import turned
from jrnn.cell import Carry, Cell, Input, Key, Output, Params
from jrnn.parallel_time._state import form_of, problem
from jrnn.parallel_time.solution import Solution, solve
from jrnn.scan import scan


def adjoint_unroll(
    cell: Cell,
    params: Params,
    xs: Input,
    carry: Carry | None = None,
    *,
    key: Key | None = None,
    reverse: bool = False,
) -> tuple[Carry, Output]:
    """`unroll` with an exact backward pass that is parallel over time.

        forward:   h_t = f(h_{t-1}, x_t; p)                   a loop, as in `unroll`
        backward:  J_t = df/dh at h_{t-1}                     for all t at once
                   g_t = J_{t+1}^T g_{t+1} + dL/dh_t          by `affine_scan`
                   dL/dp, dL/dx_t from g_t                    for all t at once

    However nonlinear the cell, the recurrence of its cotangents is affine. Values are
    those of `unroll`, gradients up to rounding, of any order and in both modes.

    Experimental. With N numbers in the carry, it takes O(T N^3) operations in O(log T)
    rounds and O(T N^2) memory; the loop takes O(T N^2) in T rounds, and O(T N). It is
    for long sequences and small states, and on CPUs it is slower.

    Args:
        cell: any cell. What of its carry is no number of floating point (a counter, a
            flag) is followed forward and has no derivative.
        params: its parameters.
        xs: inputs, a pytree with time first on every leaf, `(T, ...)`.
        carry: state before the first step; `cell.initial_carry(params)` if None.
        key: for cells that need randomness; used as by `unroll`.
        reverse: run from the last step to the first; outputs keep their places.

    Returns:
        `(carry, ys)`, as `unroll`.

    Raises:
        ValueError: the leaves of `xs` disagree about T.
        TypeError: a model of whole sequences; arrays of several dtypes in the carry.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> from jrnn.parallel_time import adjoint_unroll
        >>> cell, xs = jrnn.gru(4), jnp.ones((9, 3))
        >>> params = cell.init(jax.random.key(0), xs[0])
        >>> total = lambda unroll, params: unroll(cell, params, xs)[1].sum()
        >>> gradient = jax.grad(total, 1)
        >>> a, b = gradient(adjoint_unroll, params), gradient(jrnn.unroll, params)
        >>> bool(jnp.allclose(a.w_h, b.w_h, rtol=1e-4))
        True

    References:
        Lim, Zhu, Selfridge, Kasim (2024), Parallelizing non-linear sequential models
        over the sequence length, arXiv:2309.12252, section 3.
    """
    given = problem("adjoint_unroll", cell, params, xs, carry, key, reverse)
    form = form_of(given.carry)

    def loop(_, params, h_0, rest_0, xs, keys):
        def step(carry, x_and_key):
            carry, y = cell.step(params, carry, x_and_key[0], key=x_and_key[1])
            return carry, (carry, y)

        start = form.unflatten(h_0, rest_0)
        carries, ys = scan(step, start, (xs, keys))[1]
        steps = len(jax.tree.leaves(xs)[0])
        return Solution(*jax.vmap(form.flatten, axis_size=steps)(carries), ys)

    carry, ys, _ = solve(loop, cell, given)
    return carry, turned(ys, reverse)
