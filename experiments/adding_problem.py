"""How far back can each cell remember two numbers?

Source: Hochreiter, Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735, in the form of
Arjovsky, Shah, Bengio (2016), arXiv:1511.06464, section 5.2. T pairs (u_t, mark_t), u_t
uniform in [0, 1]; one mark in each half of the sequence; the target at the end is the
sum of the two marked numbers. A network that has not understood the marks can do no
better than answer 1, a squared error of 1/6.

Expect (100 units, Adam 1e-3, gradients clipped to norm 1, batches of 50): GRU and LSTM
reach an error of 0.01 within 3,000 updates at T = 100; the tanh network, although it
starts from an orthogonal weight, does not within 8,000, and at T = 200 it does not
leave the baseline.

A run ends when all its seeds have reached the target, or at the limit of updates. All
seeds of a cell train at once, under one vmap.

Time: about 14 minutes on two busy CPU cores, most of it for tanh.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save
from experiments._training import Optimizer, descend
from jrnn import optimizers
from jrnn.train import init_state

CELLS: dict[str, Callable[[int], jrnn.Cell]] = {
    "tanh": jrnn.elman,
    "GRU": jrnn.gru,
    "LSTM": jrnn.lstm,
}
COLOURS = {"tanh": "#d55e00", "GRU": "#0072b2", "LSTM": "#009e73"}
BASELINE = 1 / 6  # variance of the sum of two uniform numbers


@dataclass(frozen=True)
class Config:
    runs: tuple[tuple[str, int, int], ...] = (
        ("GRU", 100, 3000),
        ("LSTM", 100, 3000),
        ("tanh", 100, 8000),
        ("tanh", 200, 8000),
    )
    """Cell, length T and limit of updates of each run."""
    hidden_size: int = 100
    """Units of the recurrent layer."""
    batch_size: int = 50
    """Sequences in an update, all fresh."""
    learning_rate: float = 1e-3
    """Of Adam."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    block: int = 100
    """Updates over which errors are averaged."""
    target: float = 0.01
    """Squared error that counts as solved, as the mean over a block."""
    seeds: tuple[int, ...] = (0, 1)
    """One network each; they differ in weights and data."""


SMOKE = Config(
    runs=(("GRU", 6, 4), ("tanh", 8, 4)), hidden_size=3, batch_size=2, block=2
)


@dataclass(frozen=True)
class Result:
    block: int
    target: float
    errors: dict[str, np.ndarray]  # (seeds, blocks) by "cell, T = length"


def batch(cfg: Config, length: int, key: jax.Array):
    """Sequences (B, T, 2) and their sums (B,)."""
    value_key, *mark_keys = jax.random.split(key, 3)
    values = jax.random.uniform(value_key, (cfg.batch_size, length))
    half = length // 2
    first = jax.random.randint(mark_keys[0], (cfg.batch_size,), 0, half)
    second = jax.random.randint(mark_keys[1], (cfg.batch_size,), half, length)
    marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
    return jnp.stack([values, marks], axis=-1), (values * marks).sum(axis=1)


@partial(jax.jit, static_argnums=(0, 1))
def start(model: jrnn.Cell, optimizer: Optimizer, keys: jax.Array):
    init = lambda key: model.init(key, jnp.zeros(2))
    return jax.vmap(lambda key: init_state(init(key), (), optimizer))(keys)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def train_block(
    cfg: Config, model: jrnn.Cell, optimizer: Optimizer, length: int, state, keys
):
    """A block of updates of every seed; returns their mean squared errors (seeds,)."""

    def loss(params, xs, targets):
        predict = lambda xs: jrnn.unroll(model, params, xs)[1][-1, 0]
        return jnp.square(jax.vmap(predict)(xs) - targets).mean()

    def one(state, key):
        keys = jax.random.split(key, cfg.block)
        batches = lambda n: batch(cfg, length, keys[n % cfg.block])
        rate, clip = cfg.learning_rate, cfg.clip
        state, errors = descend(loss, optimizer, state, batches, cfg.block, rate, clip)
        return state, errors.mean()

    return jax.vmap(one)(state, keys)


def train(
    cfg: Config,
    model: jrnn.Cell,
    length: int,
    limit: int,
    optimizer: Optimizer = optimizers.adam,
) -> np.ndarray:
    """Errors (seeds, blocks) until all seeds have solved the task, or the limit."""
    return train_on(cfg, model, [length], limit, optimizer)[0]


def train_on(
    cfg: Config,
    model: jrnn.Cell,
    lengths: list[int],
    limit: int,
    optimizer: Optimizer = optimizers.adam,
) -> list[np.ndarray]:
    """For each length, one after the other with the same networks, what `train` has."""
    keys = jax.vmap(jax.random.key)(jnp.array(cfg.seeds))
    state = start(model, optimizer, jax.vmap(lambda k: jax.random.fold_in(k, 0))(keys))
    of_lengths, n = [], 0
    for length in lengths:
        errors = []
        for _ in range(limit // cfg.block):
            n += 1
            now = jax.vmap(lambda k: jax.random.fold_in(k, n))(keys)  # noqa: B023
            state, error = train_block(cfg, model, optimizer, length, state, now)
            errors.append(np.asarray(error))
            if (np.min(errors, axis=0) < cfg.target).all():
                break
        of_lengths.append(np.stack(errors, axis=1))
    return of_lengths


def run(cfg: Config) -> Result:
    model = lambda name: jrnn.stack(CELLS[name](cfg.hidden_size), jrnn.linear(1))
    errors = {
        f"{name}, T = {length}": train(cfg, model(name), length, limit)
        for name, length, limit in cfg.runs
    }
    return Result(cfg.block, cfg.target, errors)


def summary(result: Result) -> dict:
    """For each run: updates until solved by seed, None if never, and the last error."""

    def solved_at(errors):
        below = errors < result.target
        return int(result.block * (below.argmax() + 1)) if below.any() else None

    return {
        name: {
            "updates": int(result.block * errors.shape[1]),
            "updates_until_solved": [solved_at(row) for row in errors],
            "last_error": errors[:, -1],
            "last_error_over_baseline": errors[:, -1] / BASELINE,
            "smallest_error": errors.min(axis=1),
        }
        for name, errors in result.errors.items()
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, errors in result.errors.items():
        updates = result.block * np.arange(1, errors.shape[1] + 1)
        cell, _, length = name.partition(", T = ")
        style = {"color": COLOURS[cell], "linestyle": "--" if length == "200" else "-"}
        lines = axes.plot(updates, errors.T, linewidth=1.2, **style)
        lines[0].set_label(name)
    axes.axhline(BASELINE, color="black", linestyle=":", linewidth=1)
    axes.text(700, BASELINE * 1.25, "no memory: answer 1, error 1/6", fontsize=8)
    axes.axhline(result.target, color="grey", linestyle=":", linewidth=1)
    right = axes.get_xlim()[1]
    axes.text(right, result.target * 1.1, "solved  ", ha="right", fontsize=8)
    axes.set(xlabel="update", ylabel="squared error", yscale="log", ylim=(None, 0.4))
    axes.set_title("Adding problem: gated cells remember, tanh does not", fontsize=10)
    axes.legend(loc="center right")
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("adding_problem", cfg, metrics, plot(result))
    for name, numbers in metrics.items():
        print(f"{name}: {numbers}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
