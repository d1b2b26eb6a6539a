"""How long must a fixed window be to do what a recurrent network does?

Source: the fixed-window neural language model of the course text 002; Bengio et al.
(2003), jmlr.org/papers/v3/bengio03a.html. Each predicts the next character of the
built-in text, the Python language reference, with about 60,000 parameters: networks
with one hidden layer that see the last 1 to 16 characters, and recurrent ones, tanh and
GRU, that see the last one and their state.

Expect: a longer window helps until the parameters that it takes are missing elsewhere:
every character more takes a row of weights for each hidden unit. A recurrent network
shares its weights over time, so it needs no choice of a length, and the GRU is better
than the best window. Reference: an interpolated count of which character follows which.

Time: about 4 minutes on two CPU cores.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments import _characters
from experiments._results import save, show
from experiments._training import size, spread

RECURRENT = {"tanh": (jrnn.elman, "#d55e00"), "GRU": (jrnn.gru, "#0072b2")}


@dataclass(frozen=True)
class Config:
    windows: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 16)
    """Characters that a network with a fixed window sees."""
    embed_size: int = 24
    """Length of a character's learned row."""
    parameters: int = 60_000
    """Of each network, about."""
    window: int = 64
    """Characters in a training sequence."""
    batch_size: int = 32
    """Sequences in an update."""
    updates: int = 3000
    """In all."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    held_out: float = 0.1
    """Share of the text, its end, to measure on."""
    characters: int | None = None
    """Of the text, from its beginning; all if none."""
    seeds: tuple[int, ...] = (0, 1)
    """One network of each kind for each."""


SMOKE = Config(
    windows=(2,),
    embed_size=2,
    parameters=400,
    window=4,
    batch_size=2,
    updates=2,
    characters=2000,
    seeds=(0,),
)


@dataclass(frozen=True)
class Result:
    window: dict[int, np.ndarray]  # (seeds,) held-out nats, by length
    recurrent: dict[str, np.ndarray]
    pairs: float  # nats of the counts
    parameters: dict[str, int]


def fixed(cfg: Config, vocab_size: int, length: int) -> jrnn.Cell:
    """P(next) = softmax(tanh([x_{t-n+1}, ..., x_t] w + b) v + c)."""
    D, V = cfg.embed_size, vocab_size
    rest = cfg.parameters - V * D - (length - 1) * D - V
    units = max(1, round(rest / (length * D + 1 + V)))
    return jrnn.stack(
        jrnn.embed(V, D),
        jrnn.window(length),
        jrnn.linear(units),
        jrnn.activation(jnp.tanh),
        jrnn.linear(V),
    )


def recurrent(cfg: Config, vocab_size: int, name: str) -> jrnn.Cell:
    make = lambda units: jrnn.stack(
        jrnn.embed(vocab_size, cfg.embed_size),
        RECURRENT[name][0](units),
        jrnn.linear(vocab_size),
    )
    units = 1
    while parameters(make(units + 1)) <= cfg.parameters:
        units += 1
    return make(units)


def parameters(net: jrnn.Cell) -> int:
    return size(jax.eval_shape(net.init, jax.random.key(0), jnp.int32(0)))


def pairs_nats(data: _characters.Characters) -> float:
    """Held-out nats of counts: pairs, and single characters as far as those are rare.

    P(b | a) = (c(a, b) + d(a) P(b)) / (c(a) + d(a)), d(a) the number of different
    characters behind a (Witten, Bell 1991, doi:10.1109/18.87000).
    """
    V = data.vocab_size
    single = np.bincount(data.train, minlength=V) + 1.0
    counts = np.zeros((V, V))
    np.add.at(counts, (data.train[:-1], data.train[1:]), 1)
    kinds = np.maximum((counts > 0).sum(axis=1, keepdims=True), 1)
    p = (counts + kinds * single / single.sum()) / (
        counts.sum(axis=1, keepdims=True) + kinds
    )
    return float(-np.log(p[data.held_out[:-1], data.held_out[1:]]).mean())


def run(cfg: Config) -> Result:
    data = _characters.load(cfg.held_out, cfg.characters)
    nets = {n: fixed(cfg, data.vocab_size, n) for n in cfg.windows}
    nets |= {name: recurrent(cfg, data.vocab_size, name) for name in RECURRENT}
    nats = {
        name: np.array(_characters.held_out_nats(net, data, cfg, cfg.seeds)[0])
        for name, net in nets.items()
    }
    return Result(
        {n: nats[n] for n in cfg.windows},
        {name: nats[name] for name in RECURRENT},
        pairs_nats(data),
        {str(name): parameters(net) for name, net in nets.items()},
    )


def summary(result: Result) -> dict:
    """Perplexity of a held-out character; mean, and range over seeds."""
    return {
        "perplexity_by_window": {
            str(n): spread(np.exp(a)) for n, a in result.window.items()
        },
        "perplexity_recurrent": {
            name: spread(np.exp(a)) for name, a in result.recurrent.items()
        },
        "perplexity_of_counted_pairs": np.exp(result.pairs),
        "parameters": result.parameters,
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    lengths = list(result.window)
    points = np.exp(np.array(list(result.window.values())))
    axes.plot(lengths, points, "k.", ms=5)
    axes.plot(lengths, points.mean(axis=1), "k-", lw=1, label="fixed window")
    for name, nats in result.recurrent.items():
        mean = np.exp(nats).mean()
        axes.axhline(mean, color=RECURRENT[name][1], lw=1.5, label=f"{name}, recurrent")
    axes.axhline(np.exp(result.pairs), color="0.5", ls=":", lw=1, label="counted pairs")
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [str(n) for n in lengths])
    axes.minorticks_off()
    axes.set(xlabel="length of the window, characters", ylabel="held-out perplexity")
    axes.set_title("Equal parameters; dots: seeds", fontsize=10)
    axes.legend()
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("fixed_window", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
