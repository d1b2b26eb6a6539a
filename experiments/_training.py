"""The loop that most experiments train by: random rows, many updates in one call."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jrnn import optimizers


def trainer(
    loss: Callable[[Any, Any, jax.Array], jax.Array],
    rule: optax.GradientTransformation,
    batch_size: int,
    updates: int,
    blocks: int = 20,
) -> Callable[..., tuple[Any, np.ndarray]]:
    """A function `(params, data, key) -> (params, losses)` that makes all updates.

    `loss` takes params, a batch (`batch_size` rows of every array in `data`, drawn with
    replacement) and a key. Losses are means over the updates of a block. It is compiled
    once, for any number of seeds.
    """
    block = max(1, updates // blocks)

    @jax.jit
    def train_block(state, data, key):
        rows = len(jax.tree.leaves(data)[0])

        def update(state, key):
            params, memory = state
            rows_key, key = jax.random.split(key)
            chosen = jax.random.randint(rows_key, (batch_size,), 0, rows)
            batch = jax.tree.map(lambda a: a[chosen], data)
            value, gradient = jax.value_and_grad(loss)(params, batch, key)
            steps, memory = rule.update(gradient, memory, params)
            return (optax.apply_updates(params, steps), memory), value

        state, losses = jax.lax.scan(update, state, jax.random.split(key, block))
        return state, losses.mean()

    def train(params, data, key):
        data = jax.tree.map(jnp.asarray, data)
        state, losses = (params, rule.init(params)), []
        for block_key in jax.random.split(key, updates // block):
            state, mean = train_block(state, data, block_key)
            losses.append(float(mean))
        return state[0], np.array(losses)

    return train


def falling_adam(cfg: Any) -> optax.GradientTransformation:
    """Adam whose rate falls to 0 along a cosine.

    `cfg` has `learning_rate`, `updates` and `clip`.
    """
    rate = optax.cosine_decay_schedule(cfg.learning_rate, cfg.updates)
    return optimizers.adam(rate, max_norm=cfg.clip)


def spread(values) -> dict[str, float]:
    """Mean and range over seeds."""
    values = np.asarray(values)
    return {"mean": values.mean(), "least": values.min(), "most": values.max()}


def size(params: Any) -> int:
    """Numbers in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
