"""`diagonal_scan`: a linear recurrence without mixing, in a loop or in parallel."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jrnn.scan.loop import scan

PyTree = Any


def diagonal_scan(
    a: PyTree,
    u: PyTree,
    init: PyTree,
    *,
    reverse: bool = False,
    parallel: bool | None = None,
) -> PyTree:
    """All states of a recurrence that is linear and diagonal.

        h_t = a_t * h_{t-1} + u_t        elementwise, t = 1 .. T

    Two such steps in a row are a step of the same form,

        h_{t+1} = (a_{t+1} a_t) * h_{t-1} + (a_{t+1} u_t + u_{t+1}),

    so all T can be joined pairwise in about log2(T) rounds. That does twice the work of
    the loop and reads memory more often: it pays on GPU and TPU, where a loop leaves
    most of the machine idle, and not on CPU.

    Args:
        a: factors, `(T, ...)` on every leaf.
        u: inputs, of the same tree, shapes and dtypes.
        init: state before the first step, `(...)` on every leaf.
        reverse: run from the last step to the first; states keep their places.
        parallel: True to join pairwise, False to loop, None to loop on CPU only.

    Returns:
        h, `(T, ...)` on every leaf.

    Raises:
        ValueError: shapes that do not go together.

    Example:
        >>> a, u = jnp.array([0.5, 0.5, 2.0]), jnp.ones(3)
        >>> diagonal_scan(a, u, jnp.array(2.0)).tolist()
        [2.0, 2.0, 5.0]
        >>> diagonal_scan(a, u, jnp.array(2.0), parallel=True).tolist()
        [2.0, 2.0, 5.0]

    References:
        Blelloch (1990), Prefix sums and their applications, CMU-CS-90-190, section 1.4.
        Martin, Cundy (2018), Parallelizing linear recurrent neural nets over sequence
        length, arXiv:1709.04057.
    """
    _check_shapes(a, u, init)
    loop = functools.partial(_loop, reverse=reverse)
    pairwise = functools.partial(_pairwise, reverse=reverse)
    if parallel is None:
        return lax.platform_dependent(a, u, init, cpu=loop, default=pairwise)
    return (pairwise if parallel else loop)(a, u, init)


def _loop(a: PyTree, u: PyTree, init: PyTree, *, reverse: bool) -> PyTree:
    def step(h, now):
        h = jax.tree.map(lambda a, h, u: a * h + u, now[0], h, now[1])
        return h, h

    return scan(step, init, (a, u), reverse=reverse)[1]


def _pairwise(a: PyTree, u: PyTree, init: PyTree, *, reverse: bool) -> PyTree:
    def join(first, second):
        (a, u), (b, v) = first, second
        return b * a, b * u + v

    def one(a, u, h):
        if not len(a):
            return u
        first = -1 if reverse else 0
        u = u.at[first].add(a[first] * h)  # h_0 enters with the first input
        return lax.associative_scan(join, (a, u), reverse=reverse)[1]

    return jax.tree.map(one, a, u, init)


def _check_shapes(a: PyTree, u: PyTree, init: PyTree) -> None:
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    same_form = (
        jax.tree.structure(a) == jax.tree.structure(u) == jax.tree.structure(init)
    )
    if not same_form or shapes(a) != shapes(u):
        raise ValueError(
            f"diagonal_scan: a and u must have the same form, got {shapes(a)} and "
            f"{shapes(u)} with init {shapes(init)}."
        )
    for x, h in zip(jax.tree.leaves(a), jax.tree.leaves(init), strict=True):
        if jnp.ndim(x) == 0 or jnp.shape(x)[1:] != jnp.shape(h):
            raise ValueError(
                f"diagonal_scan: a must be (T, ...) where init is (...), got "
                f"{jnp.shape(x)} and {jnp.shape(h)}."
            )
