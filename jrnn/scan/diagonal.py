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

    Joined pairwise, states are right up to rounding of

        H_t = |a_t| H_{t-1} + |u_t|,   H_0 = |h_0|

    as long as that is finite, however large or small products of factors are. Where it
    is not, because terms as large as the largest float cancel, use the loop. Factors of
    modulus 1 that never change are rounded alike in every join: after 100,000 steps in
    float32 with complex ones the error is 8e-4 of the largest state, and 1e-5 in the
    loop; with factors that change it is 1e-5 in both.

    Args:
        a: factors, `(T, ...)` on every leaf; may be real where states are complex.
        u: inputs, of the same tree and shapes.
        init: state before the first step, `(...)` on every leaf, of the dtype that the
            states have.
        reverse: run from the last step to the first; states keep their places.
        parallel: True to join pairwise, False to loop, None to loop on CPU only.

    Returns:
        h, `(T, ...)` on every leaf.

    Raises:
        ValueError: shapes that do not go together.
        TypeError: `init` has another dtype than `a * init + u`.

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
    _check_dtypes(a, u, init)
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
    def one(a, u, h):
        dtype = jnp.result_type(u, h)
        a, u, h = (x.astype(_float32_or_wider(x.dtype)) for x in (a, u, h))
        return _states(reverse, a, u, h).astype(dtype)

    as_arrays = lambda tree: jax.tree.map(jnp.asarray, tree)
    return jax.tree.map(one, *map(as_arrays, (a, u, init)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _states(reverse: bool, a: jax.Array, u: jax.Array, h: jax.Array) -> jax.Array:
    """One leaf, joined pairwise."""
    if not len(a):
        return u
    first = -1 if reverse else 0
    u = u.astype(jnp.result_type(u, h))
    u = u.at[first].add(a[first] * h)  # h_0 enters with the first input
    if not jnp.issubdtype(u.dtype, jnp.inexact):  # modulo 2^n, where nothing is lost
        join = lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1])
        return lax.associative_scan(join, (a, u), reverse=reverse)[1]
    return lax.associative_scan(_join, (*_split(a), u), reverse=reverse)[2]


@_states.defjvp
def _push(reverse, primals, tangents):
    """dh_t = a_t dh_{t-1} + (da_t h_{t-1} + du_t): a recurrence with the same a."""
    (a, u, h), (da, du, dh) = primals, tangents
    hs = _states(reverse, a, u, h)
    if not len(a):
        return hs, du
    before = [hs[1:], h[None]] if reverse else [h[None], hs[:-1]]
    return hs, _states(reverse, a, da * jnp.concatenate(before) + du, dh)


# A product of many factors leaves the range of floats long before the states do: it is
# kept as m * 2^e, the largest part of m in [0.3, 0.6), or zero.
#
# Scaling m and counting in e must follow from one number. A compiler may compute a
# product twice and round it in two ways, on either side of the bound: the barriers keep
# it from that, except on CPUs before jaxlib 0.12, which drop them early. So the bounds
# are far from powers of two, where the factors of many recurrences lie, and from half
# the largest part of a number of modulus 1, 0.35 to 0.5.
_LOW, _HIGH = 0.3, 0.6


def _join(first, second):
    (m, e, u), (m_next, e_next, u_next) = first, second
    m = lax.optimization_barrier(m_next * m)
    s = _size(m)  # in [0.09, 0.36); of complex numbers in [0.06, 0.72)
    of_dtype = lambda condition: condition.astype(e.dtype)
    below = (of_dtype(s < _LOW / 2**i) for i in range(3))
    k = of_dtype(s >= _HIGH) - sum(below)
    u = _ldexp(m_next.astype(u.dtype) * u, e_next)
    e = jnp.where(s == 0, _LEAST, e + e_next + k)
    return _ldexp_normal(m, -k), e, u + u_next


def _split(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    a = lax.optimization_barrier(a)
    e = jnp.frexp(_size(a) * (0.5 / _HIGH))[1] + 1  # |a| / (0.6 * 2^e) in [1/2, 1)
    return _ldexp(a, -e), jnp.where(a == 0, _LEAST, e)


_LEAST = -(2**14)  # of zero, which no 2^e then turns to infinity, going back either


def _size(x: jax.Array) -> jax.Array:
    parts = [x.real, x.imag] if jnp.iscomplexobj(x) else [x]
    return functools.reduce(jnp.maximum, map(jnp.abs, parts))


def _ldexp(x: jax.Array, e: jax.Array) -> jax.Array:
    """The product x * 2^e, also where 2^e is no float."""
    half = e >> 1
    return _ldexp_normal(_ldexp_normal(x, half), e - half)


def _ldexp_normal(x: jax.Array, k: jax.Array) -> jax.Array:
    """The product x * 2^k, in float32 for k in -126 .. 127; from -127 on, zero."""
    if jnp.iscomplexobj(x):
        return lax.complex(_ldexp_normal(x.real, k), _ldexp_normal(x.imag, k))
    info = jnp.finfo(x.dtype)
    bias = info.maxexp - 1  # 127 for float32, whose numbers have 23 bits behind it
    integer = jnp.int32 if info.bits == 32 else jnp.int64
    bits = (jnp.clip(k, -bias, bias) + bias).astype(integer) << info.nmant
    return x * lax.bitcast_convert_type(bits, x.dtype)


def _float32_or_wider(dtype: jnp.dtype) -> jnp.dtype:
    """Half precision is joined in float32."""
    half = jnp.issubdtype(dtype, jnp.inexact) and jnp.finfo(dtype).bits < 32
    return jnp.dtype("float32") if half else dtype


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


def _check_dtypes(a: PyTree, u: PyTree, init: PyTree) -> None:
    for leaves in zip(*map(jax.tree.leaves, (a, u, init)), strict=True):
        dtypes = [jnp.result_type(leaf) for leaf in leaves]
        with jax.numpy_dtype_promotion("standard"):
            state = jnp.result_type(*leaves)
        weak = not hasattr(leaves[2], "dtype") or jax.typeof(leaves[2]).weak_type
        if state != dtypes[2] and not weak:
            got = "{}, {} and {}".format(*dtypes)
            raise TypeError(
                "diagonal_scan: init must have the dtype of the states that a and u "
                f"make of it, {state}, got {got} for a, u and init. "
                f"Use init.astype(jnp.{state})."
            )
