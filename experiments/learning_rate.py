"""Which learning rates train a tanh network, and what do clipping and its start change?

A network reads numbers drawn evenly from [-1, 1] and must say, at every step, the one
it read `delay` steps before: its state has to carry the last numbers along. Adagrad
behind clip-by-norm, by learning rate, clipping threshold and spectral radius of the
initial recurrent weight (random orthogonal times the radius), some seeds each, all in
one sweep. Then successive halving (Jamieson, Talwalkar 2016, arXiv:1502.07943) looks
for the best of the same configurations with a part of the updates.

Expect: a basin that is some factor of ten wide: too small a rate does not arrive, too
large a one destroys the memory that the initial weights gave. A radius well below 1
forgets the number before it is asked for. Halving finds the best or nearly so.

Time: about a minute on two CPU cores.
"""

import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from experiments._training import descend
from jrnn import initializers, optimizers
from jrnn.devices import provide_cores
from jrnn.sweep import grid, ranking, successive_halving, sweep
from jrnn.train import init_state

BASELINE = 1 / 3  # mean square of a number drawn evenly from [-1, 1]


@dataclass(frozen=True)
class Config:
    hidden_size: int = 32
    """Units."""
    delay: int = 8
    """Steps between a number and its turn."""
    steps: int = 32
    """Length of a sequence."""
    batch_size: int = 8
    """Sequences in an update."""
    updates: int = 270
    """Of each training; a multiple of 9."""
    rates: int = 13
    """Learning rates, 0.001 to 1."""
    clips: tuple[float, ...] = (0.1, 1.0, 10.0)
    """Clipping thresholds."""
    radii: tuple[float, ...] = (0.3, 0.7, 1.0, 1.5)
    """Spectral radii of the initial recurrent weight."""
    seeds: int = 4
    """Networks for each configuration."""


SMOKE = Config(2, 1, 4, 2, updates=9, rates=2, clips=(1.0,), radii=(1.0,), seeds=1)


@dataclass(frozen=True)
class Result:
    rates: np.ndarray  # (R,)
    clips: tuple[float, ...]
    radii: tuple[float, ...]
    share: np.ndarray  # (radii, clips, R) final error over the baseline, mean of seeds
    diverged: int
    best: dict
    best_share: float
    halving: list[tuple[int, int]]  # steps and configurations of each rung
    halving_best: dict
    halving_updates: float  # over those of the whole grid
    halving_share: float  # the error of halving's choice in the whole grid
    seconds: float
    compile_seconds: float
    batch_size: int


def start(cfg: Config, config, key):
    """State of a training, and the key of its data."""
    init_key, data_key = jax.random.split(key)
    model = network(cfg, config["radius"])
    params = model.init(init_key, jnp.zeros(1))
    return init_state(params, (), optimizers.adagrad), data_key


def network(cfg: Config, radius=1.0) -> jrnn.Cell:
    w_h = initializers.orthogonal(radius)
    return jrnn.stack(jrnn.elman(cfg.hidden_size, w_h_init=w_h), jrnn.linear(1))


def train(cfg: Config, config, state, updates: int):
    """State after some updates, and the mean error of the last third of them."""
    model = network(cfg)
    shape = cfg.batch_size, cfg.steps

    def loss(params, xs):
        run = lambda x: jrnn.unroll(model, params, x[:, None])[1][:, 0]
        late = jax.vmap(run)(xs)[:, cfg.delay :]  # (B, T - delay)
        return jnp.square(late - xs[:, : -cfg.delay]).mean()

    def batches(n):
        return (jax.random.uniform(jax.random.fold_in(key, n), shape, minval=-1.0),)

    (state, key), adagrad = state, optimizers.adagrad
    rate, clip = config["learning_rate"], config["clip"]
    state, errors = descend(loss, adagrad, state, batches, updates, rate, clip)
    return (state, key), errors[-max(1, updates // 3) :].mean()


def run(cfg: Config) -> Result:
    rates = np.geomspace(1e-3, 1.0, cfg.rates)
    space = grid(radius=cfg.radii, clip=cfg.clips, learning_rate=rates.tolist())

    def whole(config, key):
        # in the same three parts as halving, whose errors are those of the last part
        state = start(cfg, config, key)
        for part in parts(cfg):
            state, error = train(cfg, config, state, part)
        return {"error": error}

    begin = time.perf_counter()
    found = sweep(whole, space, seeds=cfg.seeds)
    seconds = time.perf_counter() - begin
    rows = ranking(found.runs, "error")
    errors = {repr(row.config): row.mean / BASELINE for row in rows}
    share = np.array([errors[repr(config)] for config in space])
    rungs = successive_halving(
        lambda config, key: start(cfg, config, key),
        lambda config, state, updates: train(cfg, config, state, updates),
        space,
        steps=np.cumsum(parts(cfg)).tolist(),
        seeds=cfg.seeds,
    )
    made = [len(r.configs) * part for r, part in zip(rungs, parts(cfg), strict=False)]
    chosen = rungs[-1].configs[0]
    return Result(
        rates,
        cfg.clips,
        cfg.radii,
        share.reshape(len(cfg.radii), len(cfg.clips), len(rates)),
        sum(r.status == "diverged" for r in found.runs),
        rows[0].config,
        rows[0].mean / BASELINE,
        [(r.steps, len(r.configs)) for r in rungs],
        chosen,
        sum(made) / (len(space) * cfg.updates),
        errors[repr(chosen)],
        seconds,
        found.groups[0].compile_seconds,
        found.groups[0].batch_size,
    )


def parts(cfg: Config) -> list[int]:
    """Updates of the rungs of halving: a ninth, to a third, to all."""
    ninth = cfg.updates // 9
    return [ninth, 2 * ninth, cfg.updates - 3 * ninth]


def summary(result: Result) -> dict:
    basin = result.share < 2 * result.share.min()
    return {
        "configurations": result.share.size,
        "error_over_baseline": {
            f"radius {radius:g}": {
                f"clip {clip:g}": result.share[i, j].min()
                for j, clip in enumerate(result.clips)
            }
            for i, radius in enumerate(result.radii)
        },
        "best": result.best,
        "best_error_over_baseline": result.best_share,
        "share_within_twice_the_best": basin.mean(),
        "diverged": result.diverged,
        "halving": {
            "rungs": result.halving,
            "best": result.halving_best,
            "error_over_baseline": result.halving_share,
            "share_of_updates": result.halving_updates,
        },
        "seconds": result.seconds,
        "compile_seconds": result.compile_seconds,
        "side_by_side_on_a_device": result.batch_size,
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(
        1,
        len(result.radii),
        figsize=(11, 3.4),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    colours = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")
    for ax, radius, rows in zip(axes[0], result.radii, result.share, strict=True):
        for clip, row, colour in zip(result.clips, rows, colours, strict=False):
            ax.plot(result.rates, row, "o-", ms=3, color=colour, label=f"clip {clip:g}")
        ax.axhline(1, color="black", ls=":", lw=0.8)
        ax.set(xscale="log", xlabel="learning rate", yscale="log")
        ax.set_title(f"spectral radius {radius:g}", fontsize=10)
    axes[0, 0].set_ylabel("error over that of answering 0")
    axes[0, -1].legend(fontsize=8)
    return figure


def main(cfg: Config) -> None:
    provide_cores()
    result = run(cfg)
    metrics = summary(result)
    save("learning_rate", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
