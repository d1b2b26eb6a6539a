"""All states as the root of a system, and its derivative, computed at once.

    h_t - f(h_{t-1}, x_t; p) = 0,   t = 1 .. T

However the root was found, by a loop or by Newton's method, its derivative follows from
the system (implicit function theorem): with J_t = df/dh at h_{t-1},

    dh_t = J_t dh_{t-1} + df_t,   df_t = (df/dx) dx_t + (df/dp) dp.

That is an affine recurrence, as is its transpose, the cotangent's,

    g_t = J_{t+1}^T g_{t+1} + dL/dh_t,

where dL/dh_t is what the output of step t + 1 and the last carry contribute. The
cotangents of p and x_t are those of one step: one `vjp` for all steps.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.cell import Cell, Output
from jrnn.parallel_time._state import FlatStep, Problem, flat_step, form_of, split
from jrnn.parallel_time.affine import affine_scan, shifted


class Solution(NamedTuple):
    """What a method found: states after each step, outputs, and what it reports."""

    hs: jax.Array  # (T, N)
    rests: list[jax.Array]  # (T, ...) what of the carry has no derivative
    ys: Output
    report: Any = ()


# (step, params, h_0, rest_0, xs, keys) -> Solution
Find = Callable[..., Solution]


def solve(find: Find, cell: Cell, given: Problem) -> tuple[Any, Output, Any]:
    """The last carry, the outputs and the report; differentiable with any `find`."""
    form = form_of(given.carry)
    h_0, rest_0 = form.flatten(given.carry)
    inputs = split((given.params, h_0, rest_0, given.xs, given.keys))
    found = _solution(
        find, flat_step(cell, form), inputs.join, inputs.floats, inputs.rest
    )
    before = lambda first, all_of: jax.tree.map(
        lambda a, b: jnp.concatenate([a[None], b])[-1], first, all_of
    )
    last = form.unflatten(*before((h_0, rest_0), (found.hs, found.rests)))
    return last, found.ys, found.report


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _solution(find: Find, step: FlatStep, join, floats, rest) -> Solution:
    return find(step, *join(floats, rest))


@_solution.defjvp
def _push(find, step, join, primals, tangents):
    (floats, rest), (d_floats, _) = primals, tangents
    found = _solution(find, step, join, floats, rest)
    params, h_0, rest_0, xs, keys = join(floats, rest)
    rests = jax.tree.map(shifted, found.rests, rest_0)

    def by_inputs(floats):  # the state before the first step is one of them
        params, h_0, _, xs, keys = join(floats, rest)
        hs = shifted(found.hs, h_0)
        return all_steps(step, params, hs, rests, xs, keys)

    def by_states(hs):
        return all_steps(step, params, hs, rests, xs, keys)

    df, dy = jax.jvp(by_inputs, (floats,), (d_floats,))[1]
    hs = shifted(found.hs, h_0)
    jacobians = jacobians_of(step, params, hs, rests, xs, keys)
    dh = affine_scan(jacobians, df, jnp.zeros_like(h_0))
    through = shifted(dh, jnp.zeros_like(h_0))
    dy_through = jax.jvp(lambda hs: by_states(hs)[1], (hs,), (through,))[1]
    ys = jax.tree.map(_sum, dy, dy_through)
    return found, Solution(dh, _zeros(found.rests), ys, _zeros(found.report))


def all_steps(step: FlatStep, params, hs, rests, xs, keys):
    """Every step at once, from the states before them: states after them, outputs."""

    def one(h, rest, x, key):
        h, _, y = step(params, h, rest, x, key)
        return h, y

    return jax.vmap(one)(hs, rests, xs, keys)


def jacobians_of(step: FlatStep, params, hs, rests, xs, keys) -> jax.Array:
    """Of every step by the state before it, (T, N, N)."""
    state = lambda h, rest, x, key: step(params, h, rest, x, key)[0]
    return jax.vmap(jax.jacfwd(state))(hs, rests, xs, keys)


def _sum(a, b):
    return a if a.dtype == jax.dtypes.float0 else a + b


def _zeros(tree):
    """Tangents of what does not change."""
    number = lambda x: jnp.issubdtype(x.dtype, jnp.inexact)
    none = lambda x: np.zeros(x.shape, jax.dtypes.float0)
    return jax.tree.map(lambda x: jnp.zeros_like(x) if number(x) else none(x), tree)
