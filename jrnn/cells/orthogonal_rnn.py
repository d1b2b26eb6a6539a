"""Recurrent network whose matrix is orthogonal, always and exactly.

W = exp(a - a^T)  or  (I - a + a^T)^{-1} (I + a - a^T)
h_t = modrelu(x_t w_x + h_{t-1} W)
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
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
            linear solve.
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


def _exponential(a: jax.Array) -> jax.Array:
    return jax.scipy.linalg.expm(a)


def _cayley(a: jax.Array) -> jax.Array:
    one = jnp.eye(len(a), dtype=a.dtype)
    return jnp.linalg.solve(one - a, one + a)


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
