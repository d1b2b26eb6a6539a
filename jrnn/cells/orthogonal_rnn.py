"""Recurrent network whose matrix is orthogonal, always and exactly.

W = exp(a - a^T)  or  (I - a + a^T)^{-1} (I + a - a^T)
h_t = modrelu(x_t w_x + h_{t-1} W)
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jrnn import _check
from jrnn._description import described
from jrnn._replacements.one_by_one import one_by_one
from jrnn.cell import Cell
from jrnn.initializers import Initializer

FORMS = ("exponential", "cayley")


class OrthogonalRNNParams(NamedTuple):
    """Weights of the orthogonal network."""

    w_x: jax.Array  # (I, H)
    a: jax.Array  # (H, H), of which the antisymmetric part a - a^T acts
    b: jax.Array  # (H,) added to moduli


@described
def orthogonal_rnn(
    hidden_size: int,
    form: Literal["exponential", "cayley"] = "exponential",
    *,
    w_x_init: Initializer = jax.nn.initializers.glorot_uniform(),
    b_init: Initializer = jax.nn.initializers.zeros,
) -> Cell:
    """Recurrent network with an exactly orthogonal matrix (expRNN, scoRNN).

        A = a - a^T
        W = exp(A)                    form="exponential", expRNN
        W = (I - A)^{-1} (I + A)      form="cayley", scoRNN
        h_t = modrelu(x_t w_x + h_{t-1} W),   modrelu(z) = sign(z) max(0, |z| + b)
        y_t = h_t

    W^T W = I for every a: gradient steps on a cannot leave the orthogonal matrices, and
    with b = 0, as at the start, the norm of a gradient is the same however many steps
    it goes back. `elman` with `initializers.orthogonal` is so at the start only.
    Neither PyTorch, Keras nor Flax has it (PyTorch can parametrise a weight in this
    way). A starts as rotations of pairs of units by angles drawn uniformly from
    (-pi, pi). Without the signs D of scoRNN, W is a rotation: its determinant is 1, and
    in the Cayley form no eigenvalue is -1.

    Making W costs some products of (H, H) matrices; `jrnn.scan`, and so `unroll` in a
    `jit`, makes it once for all steps.

    Args:
        hidden_size: number of units H.
        form: how a rotation is made: "exponential" (default) reaches all of them,
            "cayley" all but those that turn something by exactly half a turn, by one
            inverse.
        w_x_init: initialiser of w_x (I, H); Glorot uniform by default.
        b_init: initialiser of b (H,); zeros by default.

    Returns:
        A cell with `OrthogonalRNNParams`, carry `h` (H,) and output `h` (H,).

    Raises:
        ValueError: `hidden_size` is not a positive integer; `form` is neither; x or
            carry of another size.
        TypeError: an input or a carry that the step would widen.

    Example:
        >>> import jrnn
        >>> cell, h = jrnn.orthogonal_rnn(4), jnp.array([3.0, 0.0, 4.0, 0.0])
        >>> params = cell.init(jax.random.key(0), jnp.zeros(2))
        >>> h, _ = cell.step(params, h, jnp.zeros(2))
        >>> round(float(jnp.linalg.norm(h)), 4)
        5.0

    References:
        Lezcano-Casado, Martinez-Rubio (2019), Cheap orthogonal constraints in neural
        networks, arXiv:1901.08428, section 3.
        Helfrich, Willmott, Ye (2018), Orthogonal recurrent neural networks with scaled
        Cayley transform, arXiv:1707.09520, equations 2 and 3.
        Higham (2005), The scaling and squaring method for the matrix exponential
        revisited, SIAM Journal on Matrix Analysis and Applications 26.
        Arjovsky, Shah, Bengio (2016), Unitary evolution recurrent neural networks,
        arXiv:1511.06464, equation 6 (modrelu).
    """
    name = "orthogonal_rnn"
    _check.positive(name, "hidden_size", hidden_size)
    _check.one_of(name, "form", form, FORMS)
    rotation = {"exponential": _exponential, "cayley": _cayley}[form]

    def init(key, x):
        size, dtype = _check.example_vector(name, key, x)
        x_key, a_key, b_key = jax.random.split(key, 3)
        return OrthogonalRNNParams(
            w_x=w_x_init(x_key, (size, hidden_size), dtype),
            a=_pairs(a_key, hidden_size, form).astype(dtype),
            b=b_init(b_key, (hidden_size,), dtype),
        )

    def initial_carry(params, *, key=None):
        del key
        _check.params_type(name, params, OrthogonalRNNParams)
        return jnp.zeros_like(params.b)

    def step(params, carry, x, *, key=None):
        del key
        _check.params_type(name, params, OrthogonalRNNParams)
        _check.step_input(name, x, params.w_x.shape[0])
        _check.carry_shape(name, carry, params.b.shape)
        _check.step_dtype(name, x, params.a, carry)
        w = _of_dtype(rotation, params.a)  # (H, H), the same in every step
        z = x @ params.w_x + carry @ w  # (H,)
        h = jnp.sign(z) * jax.nn.relu(jnp.abs(z) + params.b)  # (H,)
        return h, h

    return Cell(init, initial_carry, step)


# exp(A) = exp(A / 2^s)^(2^s), by products: `jax.scipy.linalg.expm` solves a system, and
# systems in a batch can make a CPU wait for good (_replacements/one_by_one.py).
_SQUARINGS = 16  # at most, for norms of A up to 2^15; beyond, W is NaN
_SERIES = [1 / math.factorial(n) for n in range(17)]


def _exponential(a: jax.Array) -> jax.Array:
    norm = lax.stop_gradient(jnp.abs(a).sum(axis=0).max())
    s = jnp.clip(jnp.ceil(jnp.log2(norm)) + 1, 0, _SQUARINGS)  # |A / 2^s| <= 1/2
    w = _series(a * jnp.exp2(-s))  # off by (1/2)^17 / 17!, below any rounding

    def square(w, n):
        return lax.cond(n < s, lambda w: w @ w, lambda w: w, w), None

    w, _ = lax.scan(square, w, jnp.arange(_SQUARINGS, dtype=a.dtype))
    w = jnp.where(norm <= 2 ** (_SQUARINGS - 1), w, jnp.nan)
    return _orthogonal_again(w)  # every squaring doubles what is off


def _series(a: jax.Array) -> jax.Array:
    """Sum of a^n / n! for n = 0 .. 16, in six products (Paterson, Stockmeyer 1973)."""
    powers = [jnp.eye(len(a), dtype=a.dtype), a]
    for _ in range(3):
        powers.append(powers[-1] @ a)
    *lower, fourth = powers  # a^0 .. a^3, and a^4
    total = _SERIES[16] * lower[0]
    for start in (12, 8, 4, 0):
        part = sum(_SERIES[start + n] * p for n, p in enumerate(lower))
        total = total @ fourth + part
    return total


def _cayley(a: jax.Array) -> jax.Array:
    one = jnp.eye(len(a), dtype=a.dtype)
    return _orthogonal_again(_inverse(one - a) @ (one + a))


@jax.custom_jvp
def _inverse(m: jax.Array) -> jax.Array:
    return _inverse_alone(m)


_inverse_alone = one_by_one(jnp.linalg.inv)


@_inverse.defjvp
def _inverse_jvp(primals, tangents):
    (m,), (dm,) = primals, tangents
    v = _inverse(m)
    return v, -v @ dm @ v


def _orthogonal_again(w: jax.Array) -> jax.Array:
    """W that is orthogonal but for rounding, one Newton step closer."""
    return w + w @ (jnp.eye(len(w), dtype=w.dtype) - w.T @ w) / 2


def _of_dtype(rotation, a: jax.Array) -> jax.Array:
    """The rotation of the antisymmetric part; half precision has no linear solves."""
    wide = a.astype(_check.at_least_float32(a.dtype))
    return rotation(wide - wide.T).astype(a.dtype)


def _pairs(key: jax.Array, size: int, form: str) -> jax.Array:
    """Angles of rotation for units 0 and 1, 2 and 3, ..., as half of a - a^T."""
    angles = jax.random.uniform(key, (size // 2,), minval=-math.pi, maxval=math.pi)
    entries = angles if form == "exponential" else jnp.tan(angles / 2)
    first = 2 * jnp.arange(size // 2)
    return jnp.zeros((size, size), entries.dtype).at[first, first + 1].set(entries)
