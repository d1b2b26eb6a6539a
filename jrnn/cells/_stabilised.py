"""Exponential gates that stay within range, of the two cells of xLSTM."""

import jax
import jax.numpy as jnp


def empty(dtype) -> float:
    """The m of a memory that holds nothing: far below any i, and finite."""
    return float(jnp.finfo(dtype).min) / 2


def exponential_gates(
    i: jax.Array, f: jax.Array, m: jax.Array, forget: str
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Input and forget gate divided by the scale exp(m_t), and m_t itself.

    m_t = max(log f + m_{t-1}, i)
    i' = exp(i - m_t),   f' = exp(log f + m_{t-1} - m_t)
    """
    log_f = jax.nn.log_sigmoid(f) if forget == "sigmoid" else f
    kept = log_f + m
    m = jnp.maximum(kept, i)
    return jnp.exp(i - m), jnp.exp(kept - m), m
