"""`fit`: a plain training loop for scripts."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn.cell import Key
from jrnn.train.step import Hyper, Metrics, TrainState, make_steps


def fit(
    step: Callable[..., tuple[TrainState, Metrics]],
    state: TrainState,
    next_batch: Callable[[Any, jax.Array], Any],
    data: Any,
    key: Key,
    num_steps: int,
    *,
    learning_rate: ArrayLike,
    max_norm: ArrayLike = jnp.inf,
    steps_per_call: int = 16,
) -> tuple[TrainState, Metrics]:
    """Train for a number of steps and return every step's metrics.

    Compiles once and calls the compiled program every `steps_per_call` steps; results
    stay on the device until the end, so nothing waits for a loss to be printed.

    Args:
        step: as from `make_step`.
        state: where to start.
        next_batch: `next_batch(data, n) -> batch`, traced: a slice of `data`, or
            sequences drawn with `fold_in(key, n)`.
        data: arrays that `next_batch` reads; `()` if it needs none.
        key: for everything random in the steps.
        num_steps: updates to make.
        learning_rate: a number, or one for every step, (num_steps,).
        max_norm: threshold of the gradient's global norm.
        steps_per_call: steps in one compiled call; a last, shorter call compiles again.

    Returns:
        `(state, metrics)`, metrics stacked over steps, (num_steps,).

    Raises:
        ValueError: `num_steps` is not positive.

    Example:
        >>> import jrnn
        >>> from jrnn.train import fit, init_state, make_step
        >>> def loss(params, carry, batch, *, key=None):
        ...     return jnp.square(params - batch).sum(), carry
        >>> state = init_state(jnp.zeros(2), (), jrnn.optimizers.adagrad)
        >>> step = make_step(loss, jrnn.optimizers.adagrad)
        >>> target = jnp.array([1.0, -2.0])
        >>> state, metrics = fit(
        ...     step, state, lambda data, n: data, target, jax.random.key(0), 200,
        ...     learning_rate=0.5)
        >>> bool(metrics.loss[-1] < 1e-4)
        True
    """
    if num_steps < 1:
        raise ValueError(f"fit: num_steps must be positive, got {num_steps}.")
    steps = jax.jit(make_steps(step, next_batch))
    rates = jnp.broadcast_to(jnp.asarray(learning_rate, float), (num_steps,))
    norms = jnp.broadcast_to(jnp.asarray(max_norm, float), (num_steps,))
    parts = []
    for start in range(0, num_steps, steps_per_call):
        stop = min(start + steps_per_call, num_steps)
        state, metrics = steps(
            state, data, Hyper(rates[start:stop], norms[start:stop]), key
        )
        parts.append(metrics)
    return state, jax.tree.map(lambda *m: jnp.concatenate(m), *parts)
