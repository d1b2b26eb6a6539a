"""Can a network hold ten symbols, and what does one do that cannot?

Source: the copy task of Hochreiter, Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735,
in the form of Arjovsky, Shah, Bengio (2016), arXiv:1511.06464, section 5.1; Henaff,
Szlam, LeCun (2016), arXiv:1602.06662, for the linear solution. Ten symbols out of
eight, T - 1 blanks, a marker, ten blanks: T + 20 steps. The answer is blank for T + 10
steps and then the ten symbols. The loss is the cross-entropy, averaged over all steps.

A network without memory can do no better than guess the ten symbols evenly:
10 ln 8 / (T + 20).

Expect (Adam 1e-3, batches of 50, 128 units): a linear network with an orthogonal weight
solves T = 50 within 1,000 updates: nothing is lost, and the readout has only to find
it. A tanh network with a Gaussian weight of gain 0.7, whose gradients vanish, ends on
the memoryless formula; at gain 1, where they live longest, it may begin to learn. A GRU
is on its way in between.

Time: about 5 minutes on two CPU cores.
"""

import math
from dataclasses import dataclass
from functools import partial

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

COLOURS = {
    "linear orthogonal": "#0072b2",
    "tanh, gain 0.7": "#d55e00",
    "tanh, gain 1": "#e69f00",
    "GRU": "#009e73",
}


@dataclass(frozen=True)
class Config:
    runs: tuple[tuple[str, int, int], ...] = (
        ("linear orthogonal", 50, 1000),
        ("tanh, gain 0.7", 50, 2000),
        ("tanh, gain 1", 50, 2000),
        ("tanh, gain 0.7", 20, 2000),
        ("GRU", 20, 2000),
    )
    """Network, T and limit of updates of each run."""
    hidden_size: int = 128
    """Units of the recurrent layer."""
    symbols: int = 8
    """Symbols to choose from."""
    copied: int = 10
    """Symbols to remember."""
    batch_size: int = 50
    """Sequences in an update, all fresh."""
    learning_rate: float = 1e-3
    """Of Adam."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    block: int = 50
    """Updates over which losses are averaged."""
    solved: float = 0.05
    """Share of the memoryless loss below which the task counts as solved."""
    seeds: tuple[int, ...] = (0, 1)
    """One network each; they differ in weights and data."""


SMOKE = Config(
    runs=(("linear orthogonal", 3, 4), ("tanh, gain 1", 4, 4)),
    hidden_size=4,
    copied=2,
    batch_size=2,
    block=2,
)


@dataclass(frozen=True)
class Result:
    block: int
    solved: float
    losses: dict[str, np.ndarray]  # (seeds, blocks) by "network, T = blanks"
    baselines: dict[str, float]  # the same keys


def batch(cfg: Config, blanks: int, key: jax.Array):
    """Inputs and targets, tokens (B, T + 2 K); 0 is blank, S + 1 the marker."""
    shape = (cfg.batch_size, cfg.copied)
    symbols = jax.random.randint(key, shape, 1, cfg.symbols + 1)
    blank = lambda n: jnp.zeros((cfg.batch_size, n), symbols.dtype)
    marker = jnp.full((cfg.batch_size, 1), cfg.symbols + 1, symbols.dtype)
    inputs = [symbols, blank(blanks - 1), marker, blank(cfg.copied)]
    targets = [blank(blanks + cfg.copied), symbols]
    return jnp.concatenate(inputs, axis=1), jnp.concatenate(targets, axis=1)


def model(cfg: Config, name: str) -> jrnn.Cell:
    size = cfg.hidden_size
    tanh = lambda gain: jrnn.elman(size, w_h_init=initializers.gain(gain))
    cell = {
        "linear orthogonal": jrnn.elman(size, lambda a: a),
        "tanh, gain 0.7": tanh(0.7),
        "tanh, gain 1": tanh(1.0),
        "GRU": jrnn.gru(size),
    }[name]
    return jrnn.stack(jrnn.one_hot(cfg.symbols + 2), cell, jrnn.linear(cfg.symbols + 1))


@partial(jax.jit, static_argnums=0)
def start(cell: jrnn.Cell, keys: jax.Array):
    init = lambda key: cell.init(key, jnp.int32(0))
    return jax.vmap(lambda key: init_state(init(key), (), optimizers.adam))(keys)


@partial(jax.jit, static_argnums=(0, 1, 2))
def train_block(cfg: Config, cell: jrnn.Cell, blanks: int, state, keys):
    """A block of updates of every seed; returns their mean losses (seeds,)."""

    def loss(params, inputs, targets):
        logits = jax.vmap(lambda xs: jrnn.unroll(cell, params, xs)[1])(inputs)
        return jrnn.losses.cross_entropy(logits, targets)

    def one(state, key):
        adam, keys = optimizers.adam, jax.random.split(key, cfg.block)
        batches = lambda n: batch(cfg, blanks, keys[n % cfg.block])
        rate, clip = cfg.learning_rate, cfg.clip
        state, losses = descend(loss, adam, state, batches, cfg.block, rate, clip)
        return state, losses.mean()

    return jax.vmap(one)(state, keys)


def baseline(cfg: Config, blanks: int) -> float:
    return cfg.copied * math.log(cfg.symbols) / (blanks + 2 * cfg.copied)


def train(cfg: Config, name: str, blanks: int, limit: int) -> np.ndarray:
    """Losses (seeds, blocks) until all seeds have solved the task, or the limit."""
    cell = model(cfg, name)
    keys = jax.vmap(jax.random.key)(jnp.array(cfg.seeds))
    fold = lambda n: jax.vmap(lambda key: jax.random.fold_in(key, n))(keys)
    state, losses = start(cell, fold(0)), []
    for n in range(limit // cfg.block):
        state, loss = train_block(cfg, cell, blanks, state, fold(n + 1))
        losses.append(np.asarray(loss))
        if (losses[-1] < cfg.solved * baseline(cfg, blanks)).all():
            break
    return np.stack(losses, axis=1)


def run(cfg: Config) -> Result:
    losses = {f"{name}, T = {T}": train(cfg, name, T, n) for name, T, n in cfg.runs}
    baselines = {f"{name}, T = {T}": baseline(cfg, T) for name, T, _ in cfg.runs}
    return Result(cfg.block, cfg.solved, losses, baselines)


def summary(result: Result) -> dict:
    """For each run: updates until solved by seed, None if never, and the last loss."""
    numbers = {}
    for name, losses in result.losses.items():
        share = losses / result.baselines[name]
        below = share < result.solved
        numbers[name] = {
            "memoryless_loss": result.baselines[name],
            "updates": int(result.block * losses.shape[1]),
            "updates_until_solved": [
                int(result.block * (row.argmax() + 1)) if row.any() else None
                for row in below
            ],
            "last_loss": losses[:, -1],
            "last_loss_over_memoryless": share[:, -1],
            # of the last ten blocks: single blocks jump while a network learns nothing
            "median_loss_at_the_end_over_memoryless": np.median(share[:, -10:], axis=1),
        }
    return numbers


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, losses in result.losses.items():
        updates = result.block * np.arange(1, losses.shape[1] + 1)
        network, _, blanks = name.rpartition(", T = ")
        style = {
            "color": COLOURS[network],
            "linestyle": "-" if blanks == "50" else "--",
        }
        lines = axes.plot(updates, (losses / result.baselines[name]).T, **style)
        lines[0].set_label(name)
    axes.axhline(1, color="black", linestyle=":", linewidth=1)
    right = axes.get_xlim()[1]
    label = "no memory: 10 ln 8 / (T + 20)  "
    axes.text(right, 1.25, label, ha="right", fontsize=8)
    axes.set(xlabel="update", yscale="log", ylim=(0.01, 10))
    axes.set_ylabel("loss / memoryless loss")
    axes.set_title("Copy task: a linear orthogonal network remembers", fontsize=10)
    axes.legend(loc="lower right")
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("copy_memory", cfg, metrics, plot(result))
    for name, numbers in metrics.items():
        print(f"{name}: {numbers}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
