"""Weights in eight bits, and what that costs in accuracy."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jrnn.cell import Cell, Input, Params
from jrnn.generate import prime, sample
from jrnn.losses import cross_entropy
from jrnn.unroll import unroll

STEPS = 1000  # of the sequence on which the cost is measured
LARGEST = 127


def quantised(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers and one scale a row, so that w[i] is near q[i] * scale[i].

    Args:
        w: a matrix (N, M), float32.

    Returns:
        q (N, M), int8 from -127 to 127, and scale (N,), float32.
    """
    scale = np.abs(w).max(axis=1) / np.float32(LARGEST)
    divisor = np.where(scale > 0, scale, 1)[:, None]
    q = np.clip(np.rint(w / divisor), -LARGEST, LARGEST)
    return q.astype(np.int8), scale.astype(np.float32)


def rounded(w: np.ndarray) -> np.ndarray:
    """A matrix as its eight bits stand for it; other arrays as they are."""
    if w.ndim != 2:
        return w
    q, scale = quantised(w)
    return q * scale[:, None]


def cost(
    model: Cell,
    params: Params,
    rough: Params,
    x: Input,
    sizes: tuple[int | None, int],
    xs: ArrayLike | None,
) -> dict[str, float]:
    """How far the outputs of a model with rounded weights are from its own.

    Args:
        model: a cell whose output is one vector.
        params: its parameters.
        rough: the same, rounded.
        x: the spec of one step's input.
        sizes: number of tokens that it reads, or None, and of its outputs.
        xs: a sequence (T, ...) to measure it on; 1,000 steps drawn at random if None:
            of standard Gaussian numbers, or tokens that the model writes itself, or
            any tokens where it has not an output for each token.

    Returns:
        `steps`, `largest difference` of an output, `relative difference` (of root mean
        squares: that of the difference over that of the outputs), and for a model with
        an output for each token `nats` and `nats in int8`, its loss on xs.
    """
    params, rough = (jax.tree.map(jnp.asarray, tree) for tree in (params, rough))
    if xs is None:
        xs = _drawn(model, params, x, sizes)
    xs = jnp.asarray(xs, x.dtype)
    if xs.ndim != 1 + len(x.shape) or xs.shape[1:] != x.shape or len(xs) < 2:
        raise ValueError(
            f"to_c: xs must have shape (T, {', '.join(map(str, x.shape))}), at least "
            f"two steps, got {xs.shape}."
        )
    run = jax.jit(lambda params: unroll(model, params, xs)[1])
    ys, rough_ys = run(params), run(rough)  # (T, O)
    rms = lambda a: float(jnp.sqrt(jnp.mean(jnp.square(a))))
    found = {
        "steps": len(ys),
        "largest difference": float(jnp.abs(ys - rough_ys).max()),
        "relative difference": rms(ys - rough_ys) / max(rms(ys), 1e-30),
    }
    if sizes[0] == sizes[1]:
        for name, y in ("nats", ys), ("nats in int8", rough_ys):
            found[name] = float(cross_entropy(y[:-1], xs[1:]))
    return found


def _drawn(
    model: Cell, params: Params, x: Input, sizes: tuple[int | None, int]
) -> jax.Array:
    key, (tokens, outputs) = jax.random.key(0), sizes
    if tokens is None:
        return jax.random.normal(key, (STEPS, *x.shape), x.dtype)
    if tokens == outputs:
        start = prime(model, params, jnp.zeros(1, jnp.int32))
        return sample(model, params, key, start, STEPS)[1]
    return jax.random.randint(key, (STEPS,), 0, tokens)
