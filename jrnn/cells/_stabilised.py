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
    kept = log_of(f, forget) + m
    m = jnp.maximum(kept, i)
    return jnp.exp(i - m), jnp.exp(kept - m), m


def exponential_gates_between(
    i: jax.Array, f: jax.Array, m: jax.Array, forget: str
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What is left, after each of L steps, of each step and of the start; and m_t.

    l_ts = i_s + sum over s < r <= t of log f_r, and -inf where s > t   (L, L)
    l_t = m_0 + sum over r <= t of log f_r                              (L,)
    m_t = max(l_t, max_s l_ts)
    i'_ts = exp(l_ts - m_t),   f'_t = exp(l_t - m_t)

    Sums are of the gates between only: differences of longer ones would lose digits.
    """
    log_f, step = log_of(f, forget), jnp.arange(len(f))
    r, s = step[:, None], step[None]
    between = jnp.cumsum(jnp.where(r > s, log_f[:, None], 0), axis=0)  # (t, s)
    of_steps = jnp.where(r >= s, i[None] + between, -jnp.inf)
    of_start = m + jnp.cumsum(log_f)
    m = largest(jnp.concatenate([of_start[:, None], of_steps], axis=1))
    return jnp.exp(of_steps - m[:, None]), jnp.exp(of_start - m), m


def largest(rows: jax.Array) -> jax.Array:
    """The largest of each row; its derivative is that of the entry that it is.

    The derivative of `max` looks for entries that equal the largest. A compiler that
    computes them twice may round them in two ways, finds none, and divides by zero.
    """
    at = jnp.argmax(rows, axis=1)
    chosen = jnp.arange(rows.shape[1])[None] == at[:, None]
    return jnp.where(chosen, rows, 0).sum(1)


def log_of(f: jax.Array, forget: str) -> jax.Array:
    """The logarithm of the forget gate."""
    return jax.nn.log_sigmoid(f) if forget == "sigmoid" else f
