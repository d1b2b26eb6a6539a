"""How often does a random setting train at all, by cell?

The question of Collins, Sohl-Dickstein, Sussillo (2017), arXiv:1611.09913: with the
best setting all cells hold about the same, five bits a parameter, but gated cells get
there from many more settings. Here each network, of about equal numbers of parameters,
must learn the labels of random sequences by heart: `items` sequences of random bits,
each with a random label of one bit, asked for at the last step. For every cell a number
of settings are drawn: learning rate of Adam, clipping threshold, gain of the initial
recurrent weights; each is trained with some seeds, all in one sweep with one program a
cell.

Expect: the best settings of all cells learn nearly everything; of random ones, those of
the gated cells more often, and the IRNN's, which may explode, least.

Time: about three minutes on two CPU cores.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from experiments._training import descend
from jrnn import losses, optimizers
from jrnn.devices import provide_cores
from jrnn.sweep import LogUniform, Run, draw, sweep
from jrnn.train import init_state

CELLS = {"tanh": jrnn.elman, "IRNN": jrnn.irnn, "GRU": jrnn.gru, "LSTM": jrnn.lstm}
COLOURS = {"tanh": "#d55e00", "IRNN": "#cc79a7", "GRU": "#009e73", "LSTM": "#0072b2"}


@dataclass(frozen=True)
class Config:
    sizes: tuple[tuple[str, int], ...] = (
        ("tanh", 40),
        ("IRNN", 40),
        ("GRU", 22),
        ("LSTM", 18),
    )
    """Units of each cell, for about 2000 parameters."""
    items: int = 128
    """Sequences to be learnt."""
    steps: int = 10
    """Length of a sequence."""
    bits: int = 6
    """Random bits at each step."""
    updates: int = 300
    """Of each training; every one sees all sequences."""
    settings: int = 60
    """Drawn for each cell."""
    seeds: int = 2
    """Networks and data sets for each setting."""


SMOKE = Config(
    (("tanh", 3), ("LSTM", 2)), items=4, steps=3, bits=2, updates=2, settings=2, seeds=1
)


@dataclass(frozen=True)
class Result:
    accuracy: dict[str, np.ndarray]  # (settings, seeds) share of labels known by heart
    parameters: dict[str, int]
    diverged: dict[str, int]
    side_by_side: dict[str, int]  # runs on a device at a time, as measured


def network(cell: str, size: int) -> jrnn.Cell:
    return jrnn.stack(CELLS[cell](size), jrnn.linear(2))


def training(cfg: Config, config, key):
    """The share of labels that a network knows after training."""
    init_key, x_key, label_key = jax.random.split(key, 3)
    shape = cfg.items, cfg.steps, cfg.bits
    xs = jax.random.bernoulli(x_key, 0.5, shape).astype(jnp.float32)
    labels = jax.random.randint(label_key, (cfg.items,), 0, 2)
    model = network(config["cell"], config["size"])
    recurrent, readout = model.init(init_key, xs[0, 0])
    params = recurrent._replace(w_h=config["gain"] * recurrent.w_h), readout

    def answers(params):
        return jax.vmap(lambda x: jrnn.unroll(model, params, x)[1][-1])(xs)

    loss = lambda params: losses.cross_entropy(answers(params), labels)
    adam, all_of_them = optimizers.adam, lambda n: ()
    state = init_state(params, (), adam)
    rate, clip = config["learning_rate"], config["clip"]
    state, course = descend(loss, adam, state, all_of_them, cfg.updates, rate, clip)
    right = answers(state.params).argmax(-1) == labels
    return {"accuracy": right.mean(), "loss": course[-1]}


def run(cfg: Config) -> Result:
    drawn = draw(
        cfg.settings,
        0,
        learning_rate=LogUniform(1e-4, 1.0),
        clip=LogUniform(0.03, 30.0),
        gain=LogUniform(0.2, 4.0),
    )
    space = [
        {"cell": cell, "size": size, **setting}
        for cell, size in cfg.sizes
        for setting in drawn
    ]
    found = sweep(
        lambda config, key: training(cfg, config, key),
        space,
        seeds=cfg.seeds,
        structural=["cell", "size"],
    )
    of = lambda cell: [r for r in found.runs if r.config["cell"] == cell]
    return Result(
        {c: table(of(c), cfg.seeds) for c, _ in cfg.sizes},
        {c: parameters(cfg, c, size) for c, size in cfg.sizes},
        {c: sum(r.status == "diverged" for r in of(c)) for c, _ in cfg.sizes},
        {g.fixed["cell"]: g.batch_size for g in found.groups},
    )


def table(runs: list[Run], seeds: int) -> np.ndarray:
    """Accuracies (settings, seeds); a run that diverged knows as much as a coin."""
    known = [r.metrics["accuracy"] if r.status == "done" else 0.5 for r in runs]
    return np.reshape(known, (-1, seeds))


def parameters(cfg: Config, cell: str, size: int) -> int:
    x = jax.ShapeDtypeStruct((cfg.bits,), jnp.float32)
    params = jax.eval_shape(network(cell, size).init, jax.random.key(0), x)
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def summary(result: Result) -> dict:
    return {
        name: {
            "parameters": result.parameters[name],
            "best": rows.mean(1).max(),
            "median": np.median(rows.mean(1)),
            "share_of_settings_above_0.95": (rows.mean(1) > 0.95).mean(),
            "diverged_runs": result.diverged[name],
            "side_by_side_on_a_device": result.side_by_side[name],
        }
        for name, rows in result.accuracy.items()
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for name, rows in result.accuracy.items():
        best_first = np.sort(rows.mean(1))[::-1]
        share = 100 * np.arange(1, len(best_first) + 1) / len(best_first)
        axes.plot(
            share, best_first, drawstyle="steps-post", color=COLOURS[name], label=name
        )
    axes.axhline(0.5, color="black", ls=":", lw=0.8, label="a coin")
    axes.axhline(0.95, color="grey", ls=":", lw=0.8)
    axes.set(
        xlabel="random settings, best first, per cent",
        ylabel="labels known by heart",
        xlim=(0, 100),
    )
    axes.set_title("How often a random setting trains", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def main(cfg: Config) -> None:
    provide_cores()
    result = run(cfg)
    metrics = summary(result)
    save("capacity", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
