"""What do more layers give at the same number of parameters, and is one W enough?

Source: multi-layer networks of the course text 001, where each layer has a single W of
shape (H, 2H) for its two inputs:

    h_t^l = tanh(W^l [h_t^{l-1}, h_{t-1}^l])

The library has two matrices in its place, h_t = tanh(x_t w_x + h_{t-1} w_h). Both forms
are run here on the same numbers, then stacks of one, two and three layers are trained
on the built-in text, the Python language reference.

Expect: equal outputs and gradients, since W is w_x and w_h one above the other. With
about 120,000 parameters each, two layers are better than one by some hundredths of a
nat, though each is narrower; a third one makes no difference that three seeds can show.

Time: about 3 minutes on two CPU cores.
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
from jrnn.initializers import orthogonal

COLOURS = ("#d55e00", "#009e73", "#0072b2", "#cc79a7")


@dataclass(frozen=True)
class Config:
    sizes: tuple[tuple[int, int], ...] = ((1, 200), (2, 150), (3, 126))
    """Layers, and units of each."""
    window: int = 64
    """Characters in a sequence."""
    batch_size: int = 32
    """Sequences in an update."""
    updates: int = 3000
    """In all."""
    learning_rate: float = 2e-3
    """Of Adam at the start; it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    held_out: float = 0.1
    """Share of the text, its end, to measure on."""
    characters: int | None = None
    """Of the text, from its beginning; all if none."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network of each depth for each."""


SMOKE = Config(
    sizes=((2, 2),),
    window=4,
    batch_size=2,
    updates=2,
    characters=2000,
    seeds=(0,),
)


@dataclass(frozen=True)
class Result:
    nats: dict[int, np.ndarray]  # (seeds,) held out, by layers
    losses: dict[int, np.ndarray]  # (seeds, blocks)
    parameters: dict[int, int]
    difference: float  # of outputs and gradients between the two forms
    updates: int


def layer(hidden_size: int) -> jrnn.Cell:
    """tanh(W [x_t, h_{t-1}]) with one W; here rows are inputs, so W is (2H, H)."""
    two = jrnn.elman(hidden_size, w_h_init=orthogonal())

    def init(key, x):
        params = two.init(key, x)
        return jnp.concatenate([params.w_x, params.w_h])

    def initial_carry(w, *, key=None):
        return jnp.zeros(w.shape[1], w.dtype)

    def step(w, h, x, *, key=None):
        h = jnp.tanh(jnp.concatenate([x, h]) @ w)
        return h, h

    return jrnn.Cell(init, initial_carry, step)


def model(vocab_size: int, layers: int, hidden_size: int) -> jrnn.Cell:
    front, readout = jrnn.embed(vocab_size, hidden_size), jrnn.linear(vocab_size)
    return jrnn.stack(front, *[layer(hidden_size)] * layers, readout)


def difference_of_forms(layers: int = 3, hidden_size: int = 5, steps: int = 7) -> float:
    """The largest between one W and w_x, w_h, in outputs and in gradients."""
    with jax.enable_x64():
        x_key, init_key = jax.random.split(jax.random.key(0))
        xs = jax.random.normal(x_key, (steps, hidden_size), jnp.float64)
        one = jrnn.stack(*[layer(hidden_size)] * layers)
        two = jrnn.stack(*[jrnn.elman(hidden_size)] * layers)
        ws = one.init(init_key, xs[0])

        def parted(ws):
            bias = jnp.zeros(hidden_size)
            cut = lambda w: (w[:hidden_size], w[hidden_size:])
            return tuple(jrnn.ElmanParams(*cut(w), bias) for w in ws)

        def loss(run):
            value = lambda ws: (ys := run(ws), jnp.sum(jnp.sin(ys)))[::-1]
            return jax.value_and_grad(value, has_aux=True)(ws)

        (_, ys), gradient = loss(lambda ws: jrnn.unroll(one, ws, xs)[1])
        (_, ys_2), gradient_2 = loss(lambda ws: jrnn.unroll(two, parted(ws), xs)[1])
        off = jax.tree.map(
            lambda a, b: jnp.abs(a - b).max(), (ys, gradient), (ys_2, gradient_2)
        )
        return float(max(jax.tree.leaves(off)))


def run(cfg: Config) -> Result:
    data = _characters.load(cfg.held_out, cfg.characters)
    found, losses, parameters = {}, {}, {}
    for layers, units in cfg.sizes:
        net = model(data.vocab_size, layers, units)
        nats, losses[layers] = _characters.held_out_nats(net, data, cfg, cfg.seeds)
        found[layers] = np.array(nats)
        shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.int32(0))
        parameters[layers] = size(shapes)
    return Result(found, losses, parameters, difference_of_forms(), cfg.updates)


def summary(result: Result) -> dict:
    """Nats a character of the held-out text; mean, and range over seeds."""
    return {
        "held_out_nats": {str(n): spread(a) for n, a in result.nats.items()},
        "parameters": {str(n): p for n, p in result.parameters.items()},
        "largest_difference_between_the_two_forms": result.difference,
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=(1.6, 1)
    )
    for (layers, curves), colour in zip(result.losses.items(), COLOURS, strict=False):
        x = np.linspace(0, result.updates, curves.shape[1] + 1)[1:]
        lines = left.plot(x, curves.T, color=colour, lw=1)
        lines[0].set_label(f"{layers} layer{'s'[: layers > 1]}")
        nats = result.nats[layers]
        right.plot(np.full(len(nats), layers), nats, "o", ms=5, color=colour)
    left.set(xlabel="update", ylabel="training loss, nats a character")
    left.legend()
    left.set_title("Each of the networks", fontsize=10)
    right.plot(list(result.nats), [a.mean() for a in result.nats.values()], "k:", lw=1)
    right.set(xlabel="layers", ylabel="held-out loss, nats a character")
    right.set(xticks=list(result.nats), xlim=(0.5, max(result.nats) + 0.5))
    right.set_title("Dots: seeds, line: mean", fontsize=10)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("depth", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
