"""Initialisers that `jax.nn.initializers` lacks, in its form: `(key, shape, dtype)`.

Matrices are used as `h @ w`, so rows are sources and columns are targets.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._description import described
from jrnn._replacements.one_by_one import one_by_one

Initializer = Callable[..., jax.Array]


@described
def orthogonal(scale: ArrayLike = 1.0) -> Initializer:
    """Random orthogonal matrix times `scale`.

        w = scale * Q,  Q^T Q = I,  Q uniform over the orthogonal group

    Every singular value is `scale`, so the k-step Jacobian of a linear recurrence has
    all its singular values equal to scale^k.

    Args:
        scale: factor; may be traced.

    Returns:
        Initialiser for square or rectangular matrices.

    Raises:
        ValueError: the shape asked for has fewer than two axes.

    Example:
        >>> w = orthogonal(0.5)(jax.random.key(0), (4, 4))
        >>> bool(jnp.allclose(w.T @ w, 0.25 * jnp.eye(4), atol=1e-6))
        True

    References:
        Saxe, McClelland, Ganguli (2014), Exact solutions to the nonlinear dynamics of
        learning in deep linear neural networks, arXiv:1312.6120.
    """

    def init(key, shape, dtype=float):
        if len(shape) < 2:
            raise ValueError(
                f"orthogonal: shape must have two axes or more, got {tuple(shape)}.\n"
                "Give vectors, such as biases, another initialiser."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        high = max(rows, columns), min(rows, columns)
        q = _orthonormal(jax.random.normal(key, high, _check.at_least_float32(dtype)))
        q = q if rows >= columns else q.T
        return _times(scale, q.reshape(shape)).astype(dtype)

    return init


@one_by_one
def _orthonormal(a: jax.Array) -> jax.Array:
    """Orthonormal columns, uniform if `a` is Gaussian: Q of a = Q R with R_ii > 0."""
    q, r = jnp.linalg.qr(a)
    return q * jnp.sign(jnp.diag(r))[None]


_eigenvalues = one_by_one(jnp.linalg.eigvals)


@described
def identity(scale: ArrayLike = 1.0) -> Initializer:
    """Scaled identity matrix, `w = scale * I`, the start of the IRNN.

    Args:
        scale: factor; may be traced.

    Returns:
        Initialiser for square matrices; the key is not used.

    Raises:
        ValueError: the shape asked for is not square.

    Example:
        >>> identity(0.5)(jax.random.key(0), (2, 2)).tolist()
        [[0.5, 0.0], [0.0, 0.5]]

    References:
        Le, Jaitly, Hinton (2015), A simple way to initialize recurrent networks of
        rectified linear units, arXiv:1504.00941.
    """

    def init(key, shape, dtype=float):
        del key
        _square("identity", shape)
        return _times(scale, jnp.eye(shape[0], dtype=dtype))

    return init


@described
def spectral_radius(rho: ArrayLike, base: Initializer | None = None) -> Initializer:
    """Random matrix rescaled to have spectral radius `rho` exactly.

        w = rho * a / max_i |lambda_i(a)|,  a ~ base

    The radius is computed from the eigenvalues of the matrix drawn, not from its
    expectation. JAX computes eigenvalues of general matrices on CPU (and newer versions
    on GPU); draw parameters there.

    Args:
        rho: largest modulus of an eigenvalue, >= 0; may be traced.
        base: initialiser of the matrix before scaling; standard Gaussian by default.

    Returns:
        Initialiser for square matrices.

    Raises:
        ValueError: the shape asked for is not square.

    Example:
        >>> w = spectral_radius(0.9)(jax.random.key(0), (5, 5))
        >>> radius = jnp.abs(jnp.linalg.eigvals(w)).max()
        >>> round(float(radius), 5)
        0.9

    References:
        Jaeger (2001), The "echo state" approach to analysing and training recurrent
        neural networks, GMD Report 148, section 3.
        Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural
        networks, arXiv:1211.5063, section 2.1.
    """
    base = jax.nn.initializers.normal(1.0) if base is None else base

    def init(key, shape, dtype=float):
        _square("spectral_radius", shape)
        a = base(key, shape, _check.at_least_float32(dtype))
        radius = jnp.max(jnp.abs(_eigenvalues(a)))
        return _times(rho, a / radius.astype(a.dtype)).astype(dtype)

    return init


@described
def gain(g: ArrayLike = 1.0) -> Initializer:
    """Gaussian entries with standard deviation `g / sqrt(H)`, H the number of rows.

    The spectral radius tends to `g` as H grows (circular law). A random tanh network
    turns from decay to chaos at g = 1.

    Args:
        g: gain; may be traced.

    Returns:
        Initialiser for matrices.

    Example:
        >>> w = gain(2.0)(jax.random.key(0), (400, 400))
        >>> bool(abs(w.std() - 2.0 / 20.0) < 0.002)
        True

    References:
        Sompolinsky, Crisanti, Sommers (1988), Chaos in random neural networks,
        doi:10.1103/PhysRevLett.61.259.
    """

    def init(key, shape, dtype=float):
        w = jax.random.normal(key, shape, dtype)
        return _times(g, w / jnp.asarray(math.sqrt(shape[0]), w.dtype))

    return init


@described
def gatewise(base: Initializer, gates: int) -> Initializer:
    """Draw each gate's block of a joint weight by itself and put them side by side.

    An orthogonal or scaled initialiser applied to the joint `(H, G * H)` matrix would
    see the wrong fan-out; this gives every gate its own `(H, H)` draw.

    Args:
        base: initialiser of one block.
        gates: number of blocks G on the last axis.

    Returns:
        Initialiser for shapes whose last axis is divisible by `gates`.

    Raises:
        ValueError: the last axis of the shape asked for is not.

    Example:
        >>> w = gatewise(orthogonal(), 4)(jax.random.key(0), (3, 12))
        >>> bool(jnp.allclose(w[:, 3:6].T @ w[:, 3:6], jnp.eye(3), atol=1e-6))
        True
    """

    def init(key, shape, dtype=float):
        if shape[-1] % gates:
            raise ValueError(
                f"gatewise: the last axis must be divisible by {gates} gates, got "
                f"shape {tuple(shape)}."
            )
        block = (*shape[:-1], shape[-1] // gates)
        keys = jax.random.split(key, gates)
        return jnp.concatenate([base(k, block, dtype) for k in keys], axis=-1)

    return init


def _times(scale: ArrayLike, w: jax.Array) -> jax.Array:
    return w * jnp.asarray(scale).astype(w.dtype)


def _square(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"{name}: needs a square matrix, got shape {tuple(shape)}.")
