"""Can a linear network of one unit learn to count, and why does plain descent fail?

Source: text 003 (Roelants, How to implement a recurrent neural network, part 1,
peterroelants.github.io), whose 20 sequences, start and rule these are:

    s_k = x_k w_x + s_{k-1} w_rec,   y = s_n,   loss = mean over sequences (y - t)^2

with t the number of ones among 10 binary inputs, started from w_x = -1.5, w_rec = 2,
where the gradient is about ten million, and trained by 500 steps of Rprop, which reads
only the signs of the gradient. Rprop's first step here is 0.0005: the text begins with
0.001 and halves it at once, since a sign cannot equal the one before the first.

Expect: w_x = 1.0014 and w_rec = 0.9997, and 5.00 for a test sequence with five ones, as
the text prints; backpropagation equal to finite differences.

Time: seconds.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from jrnn import optimizers
from jrnn.gradients import gradient_flow
from jrnn.train import Hyper, init_state, make_step

SEQUENCES = """
0100000001 0101010100 1101110001 0011101101 1101001000
0100001011 0010011111 1001001011 1110010111 0101001101
0110110111 0011011110 0000111100 1110101011 1000000110
0110010111 0011000011 0110111000 1010010111 0011110011
"""
TEST = "011000010011"


@dataclass(frozen=True)
class Config:
    start: tuple[float, float] = (-1.5, 2.0)
    """Weights w_x and w_rec before the first step."""
    first_step: float = 0.0005
    """Of Rprop."""
    updates: int = 500
    """Steps of Rprop."""
    points: int = 161
    """Of the loss surface, in each direction."""


SMOKE = Config(updates=5, points=4)


@dataclass(frozen=True)
class Result:
    path: np.ndarray  # (updates + 1, 2)
    losses: np.ndarray  # (updates + 1,)
    test_output: float
    test_target: int
    gradient_at_start: np.ndarray  # (2,)
    finite_differences: np.ndarray  # (2,) at the start
    flow: dict[float, np.ndarray]  # (n,) mean |d loss / d s_k| by w_rec, at w_x = 1
    w_x: np.ndarray  # (P,)
    w_rec: np.ndarray  # (P,)
    surface: np.ndarray  # (P, P) loss by w_rec and w_x


def bits(rows: str) -> jax.Array:
    """Inputs (sequences, n, 1) of digits."""
    digits = [[float(digit) for digit in row] for row in rows.split()]
    return jnp.array(digits)[:, :, None]


CELL = jrnn.elman(1, activation=lambda a: a)


def cell_params(w: jax.Array) -> jrnn.ElmanParams:
    w_x, w_rec = w
    return jrnn.ElmanParams(w_x.reshape(1, 1), w_rec.reshape(1, 1), jnp.zeros(1))


def output(w: jax.Array, xs: jax.Array) -> jax.Array:
    """y = s_n, from inputs (n, 1)."""
    s, _ = jrnn.unroll(CELL, cell_params(w), xs)
    return s[0]


def loss(w: jax.Array, xs: jax.Array) -> jax.Array:
    y = jax.vmap(output, in_axes=(None, 0))(w, xs)  # (sequences,)
    t = xs.sum(axis=(1, 2))
    return jnp.mean((y - t) ** 2)


def descend(cfg: Config, xs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weights (updates + 1, 2) and losses on the way of Rprop."""
    rule = lambda _: optimizers.rprop(cfg.first_step, min_step=0.0)
    step = make_step(lambda w, carry, xs, *, key=None: (loss(w, xs), carry), rule)
    hyper = Hyper(jnp.zeros(()), jnp.array(jnp.inf))  # read by no part of Rprop

    def update(state, _):
        new, metrics = step(state, xs, hyper)
        return new, (state.params, metrics.loss)

    state = init_state(jnp.array(cfg.start), (), rule)
    return jax.lax.scan(update, state, length=cfg.updates + 1)[1]


def finite_differences(w: jax.Array, xs: jax.Array, step: float = 1e-6) -> jax.Array:
    """Central differences of the loss, weight by weight."""
    sides = [
        (loss(w + step * e, xs) - loss(w - step * e, xs)) / (2 * step)
        for e in jnp.eye(2)
    ]
    return jnp.stack(sides)


def flow(w: jax.Array, xs: jax.Array) -> jax.Array:
    """Mean size over sequences of d loss / d s_k, for k = 1 .. n."""

    def of_one(xs):
        end = lambda ys: (ys[-1, 0] - xs.sum()) ** 2
        return gradient_flow(CELL, cell_params(w), xs, end).norms

    return jax.vmap(of_one)(xs).mean(axis=0)


def run(cfg: Config) -> Result:
    with jax.enable_x64(True):
        xs, test = bits(SEQUENCES), bits(TEST)[0]
        path, losses = jax.jit(lambda: descend(cfg, xs))()
        w_x, w_rec = jnp.linspace(-3, 3, cfg.points), jnp.linspace(-3, 3, cfg.points)
        grid = jnp.stack(jnp.meshgrid(w_x, w_rec), axis=-1)  # (P, P, 2)
        surface = jax.jit(jax.vmap(jax.vmap(lambda w: loss(w, xs))))(grid)
        start = jnp.array(cfg.start)
        flows = {r: flow(jnp.array([1.0, r]), xs) for r in (0.5, 1.5, 2.0)}
        return Result(
            path=np.asarray(path),
            losses=np.asarray(losses),
            test_output=float(output(path[-1], test)),
            test_target=int(test.sum()),
            gradient_at_start=np.asarray(jax.grad(loss)(start, xs)),
            finite_differences=np.asarray(finite_differences(start, xs)),
            flow={r: np.asarray(values) for r, values in flows.items()},
            w_x=np.asarray(w_x),
            w_rec=np.asarray(w_rec),
            surface=np.asarray(surface),
        )


def summary(result: Result) -> dict:
    off = result.gradient_at_start / result.finite_differences - 1
    return {
        "w_x": result.path[-1, 0],
        "w_rec": result.path[-1, 1],
        "loss": result.losses[-1],
        "test_output": result.test_output,
        "test_target": result.test_target,
        "gradient_at_start": result.gradient_at_start,
        "largest_distance_from_finite_differences": np.abs(off).max(),
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    left, right = axes
    log = np.log10(np.maximum(result.surface, 1e-3))
    image = left.pcolormesh(
        result.w_x, result.w_rec, log, cmap="Greys", rasterized=True
    )
    figure.colorbar(image, ax=left, label="log10 of the loss")
    left.plot(*result.path.T, ".-", color="#0072b2", ms=3, lw=1, label="Rprop")
    left.plot(*result.path[0], "*", color="#d55e00", ms=10, label="start")
    left.plot(1, 1, "+", color="#d55e00", ms=10, mew=2, label="counting, (1, 1)")
    left.set(xlabel="w_x", ylabel="w_rec")
    left.set_title("The loss, and the way down", fontsize=10)
    left.legend(loc="lower left", fontsize=8)
    colours = ("#0072b2", "#d55e00", "#000000")
    for (w_rec, flow), colour in zip(result.flow.items(), colours, strict=True):
        k = np.arange(1, len(flow) + 1)
        right.semilogy(k, flow, ".-", color=colour, label=f"w_rec = {w_rec:g}")
    right.axhline(1, color="grey", lw=0.8, ls=":")
    right.set(xlabel="step k", ylabel="mean |d loss / d s_k|")
    right.set_title("From the last step back it shrinks or grows by w_rec", fontsize=10)
    right.legend(fontsize=8)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("counting", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
