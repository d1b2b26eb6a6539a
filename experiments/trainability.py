"""Which tanh networks can be trained to bridge a gap, and how does clipping help?

Source: Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural
networks, arXiv:1211.5063, section 4.1 and figure 7. Temporal order: L symbols,
distractors c to f but for two of A or B, the first at L/10 to 2L/10, the second at
5L/10 to 6L/10; at the end the network names the pair, one of four. A sequence counts
as an error if it names another; a network has succeeded with errors on fewer than 1 %
of fresh sequences. "adding" is the paper's adding problem: an error is a squared error
above 0.04 of half the sum.

All networks of a length, over spectral radius by clipping threshold by seed, train at
once under one vmap, and stop when all have succeeded or at the limit of updates.

Smaller than the paper's: 32 units instead of 50, a larger rate, thousands of updates
instead of millions, shorter sequences. What is compared is the ordering.

Expect, as there: success falls with length; a spectral radius far below 1 does worse,
for want of gradient; clipping decides: without it nothing is learned at L = 20, where
with it nearly every network succeeds. (On the adding problem, whose gradients are
smaller, clipping helps the large radius only.)

Time: 2 to 6 minutes on two CPU cores for each task.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save
from experiments._training import descend
from jrnn import initializers, optimizers
from jrnn.train import init_state


@dataclass(frozen=True)
class Config:
    task: Literal["order", "adding"] = "order"
    """Temporal order, or the adding problem."""
    lengths: tuple[int, ...] = (10, 20, 40)
    """Lengths L of the sequences."""
    radii: tuple[float, ...] = (0.5, 0.95, 1.3)
    """Spectral radii of the recurrent weight at the start."""
    clips: tuple[float, ...] = (float("inf"), 1.0)
    """Largest norm of a gradient; inf: not clipped."""
    seeds: tuple[int, ...] = tuple(range(10))
    """Networks for each of these."""
    hidden_size: int = 32
    """Units."""
    batch_size: int = 20
    """Sequences in an update, all fresh."""
    learning_rate: float = 0.05
    """Of plain gradient descent."""
    momentum: float = 0.9
    """Of gradient descent."""
    updates: int = 3000
    """Limit of updates."""
    block: int = 500
    """Updates between tests."""
    test_size: int = 1000
    """Fresh sequences in a test."""


SMOKE = Config(
    lengths=(10,),
    radii=(0.9,),
    seeds=(0, 1),
    hidden_size=4,
    batch_size=2,
    updates=4,
    block=2,
    test_size=8,
)


@dataclass(frozen=True)
class Result:
    task: str
    lengths: tuple[int, ...]
    radii: tuple[float, ...]
    clips: tuple[float, ...]
    success: np.ndarray  # (lengths, radii, clips, seeds) bool, in any test
    errors: np.ndarray  # (lengths, radii, clips, seeds) smallest share of errors
    updates: np.ndarray  # (lengths, radii, clips, seeds) until success, or the limit


def temporal_order(length: int, size: int, key: jax.Array):
    """One-hot symbols (B, L, 6) and classes (B,)."""
    keys = jax.random.split(key, 4)
    symbols = jax.random.randint(keys[0], (size, length), 2, 6)  # distractors
    pair = jax.random.randint(keys[1], (size, 2), 0, 2)  # A or B
    tenth = length // 10
    first = jax.random.randint(keys[2], (size,), tenth, 2 * tenth)
    second = jax.random.randint(keys[3], (size,), 5 * tenth, 6 * tenth)
    row = jnp.arange(size)
    symbols = symbols.at[row, first].set(pair[:, 0]).at[row, second].set(pair[:, 1])
    return jax.nn.one_hot(symbols, 6), 2 * pair[:, 0] + pair[:, 1]


def adding(length: int, size: int, key: jax.Array):
    """Values and marks (B, L, 2) and half the sums (B,)."""
    keys = jax.random.split(key, 3)
    values = jax.random.uniform(keys[0], (size, length))
    tenth = length // 10
    first = jax.random.randint(keys[1], (size,), 0, tenth)
    second = jax.random.randint(keys[2], (size,), tenth, length // 2)
    marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
    return jnp.stack([values, marks], axis=-1), (values * marks).sum(axis=1) / 2


def of_task(cfg: Config):
    """Data, outputs, loss and whether an answer is wrong."""
    if cfg.task == "order":
        wrong = lambda outs, labels: outs.argmax(axis=-1) != labels
        return temporal_order, 4, jrnn.losses.cross_entropy, wrong
    square = lambda outs, sums: jnp.square(outs[:, 0] - sums)
    return adding, 1, lambda *a: square(*a).mean(), lambda *a: square(*a) > 0.04


def outputs(cfg: Config, params, xs: jax.Array) -> jax.Array:
    """What a network answers at the end of each sequence (B, O)."""
    cell_params, readout = params
    last = lambda x: jrnn.unroll(jrnn.elman(cfg.hidden_size), cell_params, x)[0]
    return jax.vmap(last)(xs) @ readout.w + readout.b


def optimizer(cfg: Config):
    return partial(optimizers.sgd, momentum=cfg.momentum)


@partial(jax.jit, static_argnums=0)
def start(cfg: Config, radii: jax.Array, keys: jax.Array):
    """Parameters and momenta of every network; weights depend on radius and seed."""
    data, size, _, _ = of_task(cfg)
    xs, _ = jax.eval_shape(partial(data, 10, 1), keys[0])
    small, x = jax.nn.initializers.normal(0.1), jnp.zeros(xs.shape[-1])

    def one(radius, key):
        w_h = initializers.spectral_radius(radius)
        cell = jrnn.elman(cfg.hidden_size, w_h_init=w_h, w_x_init=small)
        params = jrnn.stack(cell, jrnn.linear(size, w_init=small)).init(key, x)
        return init_state(params, (), optimizer(cfg))

    return jax.vmap(one)(radii, keys)


@partial(jax.jit, static_argnums=(0, 1))
def train_block(cfg: Config, length: int, state, clips: jax.Array, keys: jax.Array):
    """A block of updates of every network, and their share of errors after it."""
    data, _, distance, wrong = of_task(cfg)
    loss = lambda params, xs, targets: distance(outputs(cfg, params, xs), targets)

    def one(state, clip, key):
        train_key, test_key = jax.random.split(key)
        keys = jax.random.split(train_key, cfg.block)
        batches = lambda n: data(length, cfg.batch_size, keys[n % cfg.block])
        rule, rate = optimizer(cfg), cfg.learning_rate
        state, _ = descend(loss, rule, state, batches, cfg.block, rate, clip)
        xs, targets = data(length, cfg.test_size, test_key)
        return state, wrong(outputs(cfg, state.params, xs), targets).mean()

    return jax.vmap(one)(state, clips, keys)


def train(cfg: Config, length: int):
    """Smallest share of errors of each network, and the update of its success."""
    grid = np.meshgrid(cfg.radii, cfg.clips, cfg.seeds, indexing="ij")
    radii, clips = (jnp.asarray(a.ravel(), jnp.float32) for a in grid[:2])
    keys = jax.vmap(jax.random.key)(jnp.asarray(grid[2].ravel().astype(int)))
    fold = lambda n: jax.vmap(lambda key: jax.random.fold_in(key, n))(keys)
    state = start(cfg, radii, fold(0))
    smallest, solved = np.ones(len(radii)), np.full(len(radii), cfg.updates)
    for n in range(1, cfg.updates // cfg.block + 1):
        state, errors = train_block(cfg, length, state, clips, fold(n))
        errors = np.nan_to_num(np.asarray(errors), nan=1.0)
        solved = np.where((smallest >= 0.01) & (errors < 0.01), n * cfg.block, solved)
        smallest = np.minimum(smallest, errors)
        if (smallest < 0.01).all():
            break
    return smallest.reshape(grid[0].shape), solved.reshape(grid[0].shape)


def run(cfg: Config) -> Result:
    found = [train(cfg, length) for length in cfg.lengths]
    errors = np.stack([smallest for smallest, _ in found])
    updates = np.stack([solved for _, solved in found])
    return Result(
        cfg.task, cfg.lengths, cfg.radii, cfg.clips, errors < 0.01, errors, updates
    )


def name_of(clip: float) -> str:
    return "not clipped" if np.isinf(clip) else f"clipped to {clip:g}"


def summary(result: Result) -> dict:
    rate = result.success.mean(axis=-1)  # (lengths, radii, clips)
    by_clip = lambda values: {
        name_of(clip): value for clip, value in zip(result.clips, values, strict=True)
    }
    return {
        "task": result.task,
        "networks": int(result.success.size),
        "seeds": int(result.success.shape[-1]),
        "success_rate": {
            f"L = {length}": {
                f"rho = {radius:g}": by_clip(row)
                for radius, row in zip(result.radii, rows, strict=True)
            }
            for length, rows in zip(result.lengths, rate, strict=True)
        },
        "success_rate_by_length": {
            f"L = {length}": by_clip(rows.mean(axis=0))
            for length, rows in zip(result.lengths, rate, strict=True)
        },
        "success_rate_by_radius": {
            f"rho = {radius:g}": by_clip(rate[:, n].mean(axis=0))
            for n, radius in enumerate(result.radii)
        },
        "median_updates_until_success_or_limit": {
            f"L = {length}": by_clip(np.median(rows, axis=(0, 2)))
            for length, rows in zip(result.lengths, result.updates, strict=True)
        },
    }


def plot(result: Result) -> plt.Figure:
    rate = result.success.mean(axis=-1)
    figure, axes = plt.subplots(
        1, len(result.clips), figsize=(4 * len(result.clips), 3.6), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for n, (ax, clip) in enumerate(zip(axes[0], result.clips, strict=True)):
        image = ax.imshow(rate[:, :, n], vmin=0, vmax=1, cmap="cividis", origin="lower")
        ax.set_xticks(range(len(result.radii)), [f"{r:g}" for r in result.radii])
        ax.set_yticks(range(len(result.lengths)), result.lengths)
        for (y, x), value in np.ndenumerate(rate[:, :, n]):
            colour = "black" if value > 0.5 else "white"
            ax.text(x, y, f"{value:.0%}", ha="center", va="center", color=colour)
        ax.set(xlabel="spectral radius at the start", title=name_of(clip))
    axes[0, 0].set_ylabel("length L")
    figure.colorbar(image, ax=axes, label="share of seeds that succeed")
    names = {"order": "temporal order", "adding": "the adding problem"}
    figure.suptitle(f"tanh networks on {names[result.task]}", fontsize=11)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    name = "trainability" if cfg.task == "order" else f"trainability_{cfg.task}"
    save(name, cfg, metrics, plot(result))
    for key, value in metrics.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
