"""Attention: a query looks at every step of a memory and takes a weighted mean.

A score is a `Score` of three pure functions. What depends on the memory alone is done
once for a sequence by `keys`; `score` is what remains for every query.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn.cell import Key, Params
from jrnn.initializers import Initializer

__all__ = [
    "AdditiveParams",
    "DotParams",
    "Score",
    "additive",
    "attend",
    "dot",
]


class Score(NamedTuple):
    """How well a query fits each step of a memory, as three pure functions."""

    init: Callable[[Key, int, int], Params]  # (key, query size Q, memory size M)
    keys: Callable[[Params, jax.Array], jax.Array]  # (params, (S, M)) -> (S, A)
    score: Callable[[Params, jax.Array, jax.Array], jax.Array]  # q, keys -> (S,)


class DotParams(NamedTuple):
    """Weight of the product that makes a key as long as a query."""

    w: jax.Array  # (M, Q)


class AdditiveParams(NamedTuple):
    """Weights of a hidden layer over query and memory."""

    w_q: jax.Array  # (Q, A)
    w_m: jax.Array  # (M, A)
    v: jax.Array  # (A,)


def attend(
    scores: jax.Array, memory: jax.Array, valid: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Weighted mean of a memory, by the softmax of scores.

        a_s = exp(e_s) / sum_r exp(e_r)     over the valid steps
        c   = sum_s a_s m_s

    Steps that are not valid have weight 0 and pass no gradient, whatever their scores
    and memory hold. Where none is valid, weights and mean are 0.

    Args:
        scores: e, (S,).
        memory: m, (S, M).
        valid: booleans (S,); all of them if None.

    Returns:
        `(c, a)`: the mean (M,) and the weights (S,).

    Raises:
        ValueError: scores or valid that are not of shape (S,).

    Example:
        >>> memory = jnp.array([[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]])
        >>> valid = jnp.array([True, True, False])
        >>> mean, weights = attend(jnp.zeros(3), memory, valid)
        >>> mean.tolist(), weights.tolist()
        ([2.0, 1.0], [0.5, 0.5, 0.0])

    References:
        Bahdanau, Cho, Bengio (2015), Neural machine translation by jointly learning to
        align and translate, arXiv:1409.0473, section 3.1.
    """
    steps = memory.shape[:1]
    _steps("attend", "scores", scores, steps)
    if valid is not None:
        _steps("attend", "valid", valid, steps)
        # before the exponential, not only behind it: padding may hold anything
        scores = jnp.where(valid, scores, jnp.finfo(scores.dtype).min)
        memory = jnp.where(valid[:, None], memory, jnp.zeros_like(memory))
    weights = jax.nn.softmax(scores)
    if valid is not None:
        weights = jnp.where(valid, weights, jnp.zeros_like(weights))
    return weights @ memory, weights


def dot(*, w_init: Initializer = jax.nn.initializers.glorot_uniform()) -> Score:
    """Score by a scaled product of query and memory.

        e_s = q . (m_s w) / sqrt(Q)

    This is the form called "general" by Luong et al., with the scale of Vaswani et al.
    (2017), arXiv:1706.03762, section 3.2.1, without which long queries begin with sharp
    weights. Keras' `Attention` has no weight and no scale by default.

    Args:
        w_init: initialiser of w (M, Q); Glorot uniform.

    Returns:
        A `Score` with `DotParams`.

    Example:
        >>> score = dot()
        >>> params = score.init(jax.random.key(0), 4, 6)
        >>> keys = score.keys(params, jnp.ones((5, 6)))
        >>> keys.shape, score.score(params, jnp.ones(4), keys).shape
        ((5, 4), (5,))

    References:
        Luong, Pham, Manning (2015), Effective approaches to attention-based neural
        machine translation, arXiv:1508.04025, equation 8.
    """

    def init(key, query_size, memory_size):
        return DotParams(w_init(key, (memory_size, query_size), jnp.result_type(float)))

    def keys(params, memory):
        _check.params_type("dot", params, DotParams)
        return memory @ params.w

    def score(params, query, keys):
        del params
        return keys @ query / jnp.sqrt(jnp.array(query.shape[0], query.dtype))

    return Score(init, keys, score)


def additive(
    size: int,
    *,
    w_init: Initializer = jax.nn.initializers.glorot_uniform(),
    v_init: Initializer = jax.nn.initializers.normal(0.1),
) -> Score:
    """Score by a small network with one hidden layer.

        e_s = v . tanh(q w_q + m_s w_m)

    Args:
        size: units A of the hidden layer.
        w_init: initialiser of w_q (Q, A) and w_m (M, A); Glorot uniform.
        v_init: initialiser of v (A,); Gaussian of deviation 0.1.

    Returns:
        A `Score` with `AdditiveParams`.

    Raises:
        ValueError: `size` is not a positive integer.

    Example:
        >>> score = additive(3)
        >>> params = score.init(jax.random.key(0), 4, 6)
        >>> keys = score.keys(params, jnp.ones((5, 6)))
        >>> keys.shape, score.score(params, jnp.ones(4), keys).shape
        ((5, 3), (5,))

    References:
        Bahdanau, Cho, Bengio (2015), arXiv:1409.0473, appendix A.1.2.
    """
    _check.positive("additive", "size", size)

    def init(key, query_size, memory_size):
        q_key, m_key, v_key = jax.random.split(key, 3)
        dtype = jnp.result_type(float)
        return AdditiveParams(
            w_q=w_init(q_key, (query_size, size), dtype),
            w_m=w_init(m_key, (memory_size, size), dtype),
            v=v_init(v_key, (size,), dtype),
        )

    def keys(params, memory):
        _check.params_type("additive", params, AdditiveParams)
        return memory @ params.w_m

    def score(params, query, keys):
        return jnp.tanh((query @ params.w_q)[None] + keys) @ params.v

    return Score(init, keys, score)


def _steps(name: str, argument: str, value, shape: tuple[int, ...]) -> None:
    if jnp.shape(value) != shape:
        raise ValueError(
            f"{name}: {argument} must have shape {shape}, one for each step of the "
            f"memory, got {jnp.shape(value)}. Use jax.vmap for several queries."
        )
