"""How experiments train: `fit_sequences`, or `jrnn.train.fit` in one call."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from jrnn import optimizers
from jrnn.data import Dataset
from jrnn.tasks import Fitted, Task, fit_sequences
from jrnn.train import TrainState, fit, init_state, make_step

Optimizer = Callable[..., optax.GradientTransformation]


def descend(
    loss: Callable[..., jax.Array],
    optimizer: Optimizer,
    state: TrainState,
    batches: Callable[[jax.Array], tuple],
    updates: int,
    learning_rate: ArrayLike,
    max_norm: ArrayLike = jnp.inf,
) -> tuple[TrainState, jax.Array]:
    """State and losses (updates,) of some updates of a loss without a carry.

    Update n, counted from 0 over all calls, is one of `loss(params, *batches(n))`. To
    be traced: called in `jit`, it is compiled once for any number of seeds.
    """

    def of_batch(params, carry, batch, *, key=None):
        return loss(params, *batch), carry

    state, metrics = fit(
        make_step(of_batch, optimizer),
        state,
        lambda _, n: batches(n),
        (),
        None,
        updates,
        learning_rate=learning_rate,
        max_norm=max_norm,
        steps_per_call=updates,
    )
    return state, metrics.loss


def trainer(
    loss: Callable[[Any, Any, jax.Array], jax.Array],
    cfg: Any,
    blocks: int = 20,
    *,
    optimizer: Optimizer = optimizers.adam,
    rate: ArrayLike | None = None,
) -> Callable[..., tuple[Any, np.ndarray]]:
    """A function `(params, data, key) -> (params, losses)` that makes all updates.

    `loss` takes params, a batch (rows of every array in `data`, drawn with replacement)
    and a key. Losses are means over the updates of a block. `cfg` has `batch_size`,
    `updates`, `clip` and `learning_rate`, which falls as in `falling` if `rate` is
    None. It is compiled once, for any number of seeds.
    """
    block = max(1, cfg.updates // blocks)
    updates = cfg.updates // block * block
    rate = falling(cfg)[:updates] if rate is None else rate

    @jax.jit
    def train(params, data, key):
        rows = len(jax.tree.leaves(data)[0])
        keys = keys_of_blocks(key, updates // block, block)

        def batches(n):
            rows_key, own_key = jax.random.split(keys[n])
            chosen = jax.random.randint(rows_key, (cfg.batch_size,), 0, rows)
            return jax.tree.map(lambda a: a[chosen], data), own_key

        state = init_state(params, (), optimizer)
        state, losses = descend(
            loss, optimizer, state, batches, updates, rate, cfg.clip
        )
        return state.params, losses.reshape(-1, block).mean(axis=1)

    def on_device(params, data, key):
        params, losses = train(params, jax.tree.map(jnp.asarray, data), key)
        return params, np.asarray(losses)

    return on_device


def fitted(cfg: Any, task: Task, train: Dataset, seed: int, **options) -> Fitted:
    """`fit_sequences` as `cfg` says, which has what it has for `trainer`."""
    return fit_sequences(
        task,
        train,
        steps=cfg.updates,
        key=jax.random.key(seed),
        batch_size=cfg.batch_size,
        learning_rate=cfg.learning_rate,
        max_norm=cfg.clip,
        **options,
    )


def keys_of_blocks(key: jax.Array, blocks: int, block: int) -> jax.Array:
    """A key for each update, (blocks * block,): of each block its own."""
    split = lambda key: jax.random.split(key, block)
    return jax.vmap(split)(jax.random.split(key, blocks)).reshape(-1)


def falling(cfg: Any) -> jax.Array:
    """Learning rates (updates,) that fall to 0 along a cosine.

    `cfg` has `learning_rate` and `updates`.
    """
    rate = optax.cosine_decay_schedule(cfg.learning_rate, cfg.updates)
    return rate(jnp.arange(cfg.updates))


def spread(values) -> dict[str, float]:
    """Mean and range over seeds."""
    values = np.asarray(values)
    return {"mean": values.mean(), "least": values.min(), "most": values.max()}


def size(params: Any) -> int:
    """Numbers in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
