"""`affine_scan`: a linear recurrence with a matrix for each step, in parallel."""

import jax
import jax.numpy as jnp
from jax import lax

from jrnn import _check
from jrnn.scan.diagonal import _ldexp


def affine_scan(
    a: jax.Array, u: jax.Array, init: jax.Array, *, reverse: bool = False
) -> jax.Array:
    """All states of a linear recurrence, joined pairwise.

        h_t = A_t h_{t-1} + u_t,   t = 1 .. T

    Two such steps in a row are a step of the same form,

        h_{t+1} = (A_{t+1} A_t) h_{t-1} + (A_{t+1} u_t + u_{t+1}),

    so that all T are joined in about 2 log2(T) rounds of products of matrices: O(T N^3)
    operations where the loop needs O(T N^2), and O(T N^2) memory. A product is kept as
    a matrix and a power of two, so that it leaves the range of floats only where the
    states do. The derivative is a recurrence of the same form, and so is its transpose,
    g_t = A_{t+1}^T g_{t+1} + v_t.

    `diagonal_scan` is the form for factors that do not mix.

    Args:
        a: matrices `(T, N, N)`; `a[t] @ h` is the product.
        u: inputs `(T, N)`.
        init: state before the first step `(N,)`.
        reverse: run from the last step to the first; states keep their places.

    Returns:
        h, `(T, N)`.

    Raises:
        ValueError: shapes that do not go together.
        TypeError: arrays of different dtypes, or not of floating point.

    Example:
        >>> turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])  # a quarter of a circle
        >>> a, u = jnp.stack([turn] * 4), jnp.zeros((4, 2))
        >>> affine_scan(a, u, jnp.array([2.0, 0.0]))[-1].tolist()
        [2.0, 0.0]

    References:
        Blelloch (1990), Prefix sums and their applications, CMU-CS-90-190, section 1.4.
    """
    a, u, init = map(jnp.asarray, (a, u, init))
    _check_form(a, u, init)
    if not u.size:
        return u
    wide = _check.at_least_float32(u.dtype)
    dtype, (a, u, init) = u.dtype, (x.astype(wide) for x in (a, u, init))
    first = -1 if reverse else 0
    u = u.at[first].add(_times(a[first], init))  # h_0 enters with the first input
    # (I - S) h = u, where (S h)_t = A_t h_{t-1}
    system = lambda h: h - _times(a, shifted(h, jnp.zeros_like(init), reverse))
    last = jnp.zeros_like(a[0])
    back = shifted(a, last, not reverse).mT  # A_{t+1}^T
    return lax.custom_linear_solve(
        system,
        u,
        lambda _, u: _joined(a, u, reverse),
        lambda _, v: _joined(back, v, not reverse),
    ).astype(dtype)


def shifted(hs: jax.Array, first: jax.Array, reverse: bool = False) -> jax.Array:
    """What each step finds: the first state, and then those of the steps before."""
    if reverse:
        return jnp.concatenate([hs, first[None]])[1:]
    return jnp.concatenate([first[None], hs])[:-1]


def _times(a: jax.Array, h: jax.Array) -> jax.Array:
    """Products of matrices (..., N, N) and vectors (..., N)."""
    return jnp.einsum("...ij,...j->...i", a, h, precision=lax.Precision.HIGHEST)


def _joined(a: jax.Array, u: jax.Array, reverse: bool) -> jax.Array:
    """All states from zero."""
    m, e = _scaled(a, jnp.zeros(len(a), jnp.int32))
    return lax.associative_scan(_join, (m, e, u), reverse=reverse)[2]


def _join(first, second):
    """Two runs of steps: the product of their matrices is m * 2^e."""
    (m, e, u), (m_next, e_next, u_next) = first, second
    u = _ldexp(_times(m_next, u), e_next[:, None]) + u_next
    m = jnp.einsum("tij,tjk->tik", m_next, m, precision=lax.Precision.HIGHEST)
    return *_scaled(m, e + e_next), u


def _scaled(m: jax.Array, e: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same m * 2^e with the largest entry of m in [1/2, 1), or zero."""
    m = lax.optimization_barrier(m)
    k = jnp.frexp(jnp.abs(m).max((1, 2)))[1]  # (T,)
    return _ldexp(m, -k[:, None, None]), e + k


def _check_form(a: jax.Array, u: jax.Array, init: jax.Array) -> None:
    n = init.shape[0] if init.ndim == 1 else -1
    if u.ndim != 2 or u.shape[1] != n or a.shape != (*u.shape, n):
        raise ValueError(
            "affine_scan: a, u and init must have shapes (T, N, N), (T, N) and (N,), "
            f"got {a.shape}, {u.shape} and {init.shape}."
        )
    dtypes = [x.dtype for x in (a, u, init)]
    if len(set(dtypes)) > 1 or not jnp.issubdtype(dtypes[0], jnp.floating):
        raise TypeError(
            "affine_scan: a, u and init must have one dtype of floating point, got "
            f"{', '.join(map(str, dtypes))}."
        )
