"""Held-out loss of a text under a model, every token counted once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jrnn import _check
from jrnn._replacements.likelihood import negative_log_likelihood
from jrnn.cell import Cell, Params
from jrnn.train.truncated import initial_carries
from jrnn.unroll import unroll


def evaluate(
    cell: Cell,
    params: Params,
    tokens: jax.Array,
    *,
    rows: int = 16,
    context: int = 512,
    counted: np.ndarray | None = None,
) -> tuple[jax.Array, int]:
    """Mean negative log-likelihood of a text, each token given those before it.

        L = - 1/(N-1) sum_t log p(token_t | token_{t - c}, ..., token_{t-1})

    The text is cut into rows that run side by side. Each row but the first starts with
    the last `context` tokens of the row before it, which warm the carry up and are not
    counted, so every token but the first counts exactly once and c >= `context` for
    all of them but those near the start. With `rows=1` c is everything before.

    Args:
        cell: a model without dropout, from integer tokens to logits (V,).
        params: its parameters.
        tokens: integers (N,), at least 2.
        rows: rows that run side by side; fewer if the text is short.
        context: tokens that warm up each row.
        counted: booleans (N,), which tokens are in the mean; the others are read and
            not counted, unknown ones for instance. All but the first if None.

    Returns:
        `(L, count)`: the mean in nats, NaN if a token is not among 0..V-1, and the
        number of tokens counted, N - 1 of all.

    Raises:
        ValueError: the text has fewer than two tokens; `counted` has another shape, or
            leaves none to count.
        TypeError: a model that reads the whole sequence, and with it the token that it
            is to predict.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(4), jrnn.gru(3), jrnn.linear(4))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> zero = jax.tree.map(jnp.zeros_like, params)
        >>> nats, count = evaluate(model, zero, jnp.arange(40) % 4)
        >>> round(float(nats), 4), count  # log 4 for a model that knows nothing
        (1.3863, 39)
    """
    _check.cell("evaluate", cell, "It would read the tokens to be predicted.")
    tokens = np.asarray(tokens)
    xs, targets, valid = evaluation_rows(tokens, rows, context)
    if counted is not None:
        valid &= _targets_counted(np.asarray(counted, bool), tokens, rows, context)
    count = int(valid.sum())
    return _sum(cell, params, xs, targets, valid) / count, count


def _targets_counted(counted, tokens, rows: int, context: int) -> np.ndarray:
    if counted.shape != tokens.shape:
        raise ValueError(
            f"evaluate: counted must have the shape of tokens, {tokens.shape}, got "
            f"{counted.shape}."
        )
    if not counted[1:].any():
        raise ValueError("evaluate: counted leaves no token but the first.")
    return evaluation_rows(counted, rows, context)[1]


def evaluation_rows(
    tokens: np.ndarray, rows: int, context: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a text into overlapping rows in which every target is valid exactly once.

    Args:
        tokens: integers (N,), at least 2.
        rows: rows wanted; fewer where they would be shorter than the context.
        context: tokens before a row's first counted target.

    Returns:
        `(xs, targets, valid)`, each (rows, context + length), the last one boolean.

    Raises:
        ValueError: the text has fewer than two tokens.

    Example:
        >>> xs, targets, valid = evaluation_rows(np.arange(10), 3, 2)
        >>> targets[valid].tolist()
        [1, 2, 3, 4, 5, 6, 7, 8, 9]
        >>> xs[1].tolist()  # 2 tokens of context, then 3 that count
        [1, 2, 3, 4, 5]
    """
    count = len(tokens) - 1
    if count < 1:
        raise ValueError(
            f"evaluate: needs at least two tokens to predict one from the other, "
            f"got {len(tokens)}."
        )
    rows = max(1, min(rows, count // max(1, context)))
    context = 0 if rows == 1 else context
    length = -(-count // rows)
    ends = np.minimum(np.arange(1, rows + 1) * length, count)
    # Every row has the same shape; one that would begin before the text or run past its
    # end is moved inside, and what another row counts is not valid in it.
    starts = np.clip(ends - length - context, 0, count - min(count, length + context))
    index = starts[:, None] + np.arange(min(count, length + context))
    first = np.arange(rows) * length
    valid = (index >= first[:, None]) & (index < ends[:, None])
    return tokens[index], tokens[index + 1], valid


# The cell is static: evaluating again during training compiles nothing anew.
@functools.partial(jax.jit, static_argnums=0)
def _sum(cell, params, xs, targets, valid):
    carry = initial_carries(cell, params, xs.shape[0])

    def nats(carry, xs, targets):
        _, logits = unroll(cell, params, xs, carry)
        return negative_log_likelihood(logits, targets)

    losses = jax.vmap(nats)(carry, xs, targets)
    return jnp.where(valid, losses, jnp.zeros_like(losses)).sum()
