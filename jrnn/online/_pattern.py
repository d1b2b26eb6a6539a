"""Where influences are kept: rows of parameters' derivatives that share no entry.

The influence of a parameter is the derivative of every entry of the state by it. Where
most are zero for good, entries of the state that share no parameter share a row
(Curtis, Powell, Reid 1974, doi:10.1093/imamat/13.1.117): of a diagonal cell one row
holds all of them, of a dense one there are as many rows as entries.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.online._dependence import Columns, Pattern, columns_of


class InfluenceRows(NamedTuple):
    """InfluenceRows of influence of one array of parameters, C of them."""

    units: np.ndarray  # (C, ...) entry of the state in a row, N for none; the axes are
    # those of the array, of length 1 where it is the same along one
    seeds: np.ndarray  # (C, N) the sum of entries of the state that is a row


class Layout(NamedTuple):
    """Where everything is kept: static, for one cell and one form of its arguments."""

    size: int  # N entries of the state
    rows: tuple[InfluenceRows, ...]  # one for each array of parameters
    jacobian: np.ndarray  # (N, N) bool, where dh_t/dh_{t-1} may differ from zero
    row_of: np.ndarray  # (N,) the compressed row that holds a row of it
    seeds: np.ndarray  # (K, N) the sums of rows that these are


def layout(jacobian: Pattern, influence: Columns, shapes: Sequence[tuple]) -> Layout:
    """Give every entry of the patterns (N, N) and (N, P) its place.

    Args:
        jacobian: where the derivative of the state by the state before may be not zero.
        influence: where the derivative by the parameters is kept, by its different
            columns.
        shapes: of the arrays of parameters, in the order of the columns.
    """
    row_of, seeds = _share(jacobian)
    starts = np.cumsum([0, *(int(np.prod(s, dtype=int)) for s in shapes)])
    rows = tuple(
        _rows(influence.different, influence.kind[a:b].reshape(shape))
        for (a, b), shape in zip(itertools.pairwise(starts), shapes, strict=True)
    )
    return Layout(jacobian.shape[0], rows, jacobian.toarray(), row_of, seeds)


def _share(pattern: Pattern) -> tuple[np.ndarray, np.ndarray]:
    """InfluenceRows of a pattern put together where they share no column.

    Returns the shared row of each, -1 for an empty one, and which each sums up.
    """
    size = pattern.shape[0]
    different = columns_of(pattern).different.astype(np.int32)
    meets = (different @ different.T).toarray() > 0  # (N, N) share a column
    row_of = np.full(size, -1)
    for n in np.flatnonzero(meets.diagonal()):
        taken = set(row_of[:n][meets[n, :n]])
        row_of[n] = next(c for c in range(size) if c not in taken)
    count = row_of.max(initial=-1) + 1
    return row_of, row_of == np.arange(count)[:, None]


def _rows(different: Pattern, kind: np.ndarray) -> InfluenceRows:
    """The rows of one array of parameters, of which element has which column."""
    used, nth = np.unique(kind, return_inverse=True)
    own = columns_of(different[:, used])
    kind = own.kind[nth].reshape(kind.shape)
    for axis in range(kind.ndim):  # most often only the last one counts
        first = kind.take([0], axis) if kind.shape[axis] else kind
        if kind.shape[axis] and (kind == first).all():
            kind = first
    size, entries = different.shape[0], own.different.tocoo()
    row_of, seeds = _share(own.different)
    units = np.full((len(seeds), own.different.shape[1]), size, np.int32)
    units[row_of[entries.row], entries.col] = entries.row
    return InfluenceRows(units[:, kind], seeds)


def zeros(where: Layout, params: Sequence[Any]) -> list[jax.Array]:
    """An influence of nothing: `(C, ...)` for each array of parameters."""
    return [
        jnp.zeros((len(rows.seeds), *p.shape), p.dtype)
        for rows, p in zip(where.rows, params, strict=True)
    ]


def pulled(where: Layout, pull: Any, state_dtype: Any) -> list[jax.Array]:
    """The rows of the derivative of the state by the parameters, `(C, ...)` each.

    Args:
        where: the layout.
        pull: from a cotangent of the state (N,) to those of the parameters, a list.
        state_dtype: of the cotangent.
    """
    by_seeds = {}
    for rows in where.rows:
        by_seeds.setdefault(rows.seeds.tobytes(), rows.seeds)
    # arrays with the same rows are differentiated together
    found = {
        key: jax.vmap(pull)(jnp.asarray(seeds, state_dtype)) if len(seeds) else None
        for key, seeds in by_seeds.items()
    }
    like = jax.eval_shape(pull, jax.ShapeDtypeStruct((where.size,), state_dtype))
    return [
        jnp.zeros((0, *a.shape), a.dtype) if f is None else f[n]
        for n, (rows, a) in enumerate(zip(where.rows, like, strict=True))
        for f in [found[rows.seeds.tobytes()]]
    ]


def pushed(
    where: Layout, jacobian: jax.Array, influence: Sequence[jax.Array]
) -> list[jax.Array]:
    """dh_t/dh_{t-1} times the influence on h_{t-1}, where it is kept.

    Args:
        where: the layout.
        jacobian: (K, N) its rows, those that share no entry put together.
        influence: `(C, ...)` for each array of parameters.
    """
    return [
        _push(where, jacobian, rows.units, e)
        for rows, e in zip(where.rows, influence, strict=True)
    ]


def _push(where: Layout, jacobian, units: np.ndarray, e: jax.Array) -> jax.Array:
    if not e.size:
        return e
    to, by = units[:, None], units[None]  # (C, 1, ...), (1, C, ...)
    padded = np.pad(where.jacobian, ((0, 1), (0, 1)))  # entry N is no entry
    row = np.append(where.row_of, 0)[to]
    factors = jacobian[row, np.minimum(by, where.size - 1)]  # (C, C, ...)
    factors = jnp.where(padded[to, by], factors, 0).astype(e.dtype)
    if len(e) <= 4:
        return (factors * e[None]).sum(axis=1)
    varied = [n for n in range(1, units.ndim) if units.shape[n] > 1]
    axes = list(range(2, e.ndim + 1))  # letters of the array; 0 and 1 are C and C
    return jnp.einsum(
        factors.reshape(*factors.shape[:2], *(units.shape[n] for n in varied)),
        [0, 1, *(n + 1 for n in varied)],
        e,
        [1, *axes],
        [0, *axes],
    )


def weighed(
    where: Layout, v: jax.Array, influence: Sequence[jax.Array]
) -> list[jax.Array]:
    """v^T P: of a derivative by the state (N,), what the influence makes of it."""
    v = jnp.append(v, jnp.zeros((), v.dtype))  # entry N is no entry
    return [
        (v[rows.units].astype(e.dtype) * e).sum(axis=0)
        for rows, e in zip(where.rows, influence, strict=True)
    ]
