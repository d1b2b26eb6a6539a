"""Why do gradients explode, and what does clipping do about it?

Source: Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural
networks, arXiv:1211.5063, figure 6. One unit, no input, 50 steps:

    x_t = w sigmoid(x_{t-1}) + b,   x_0 = 0.5,   E = (sigmoid(x_50) - 0.7)^2

The unit has two attractors in a wedge of the plane of w and b; at its edge E has a
cliff. Gradient descent goes along its foot until a step touches the wall: the gradient
there is many times the usual, and one step throws the parameters far away. Clipped to a
norm, the step keeps its direction and its usual length.

Expect: a wall whose gradients are more than a thousand times the median; without
clipping the path leaves the picture, with clipping it goes down along the wall. Of
descents begun all over the picture, nearly all that are clipped arrive.

Time: seconds.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from jrnn.optimizers import sgd
from jrnn.train import Hyper, init_state, make_step


@dataclass(frozen=True)
class Config:
    steps: int = 50
    """Length T of the sequence."""
    target: float = 0.7
    """Wanted sigmoid(x_T)."""
    x_0: float = 0.5
    """Start of the unit."""
    w_range: tuple[float, float] = (3.6, 7.0)
    """Weights of the picture."""
    b_range: tuple[float, float] = (-3.4, -1.4)
    """Biases of the picture."""
    points: int = 241
    """Of the picture, each way."""
    start: tuple[float, float] = (6.0, -2.6)
    """Where both descents begin, (w, b)."""
    learning_rate: float = 0.5
    """Of gradient descent."""
    clip: float = 0.2
    """Largest norm of a gradient, of one of the two descents."""
    updates: int = 300
    """Of each descent."""

    starts: int = 30
    """Starts of descents all over the picture, each way."""
    arrived: float = 0.01
    """Loss below which a descent has arrived."""


SMOKE = Config(steps=10, points=5, updates=5, starts=3)


@dataclass(frozen=True)
class Result:
    w: np.ndarray  # (P,)
    b: np.ndarray  # (P,)
    loss: np.ndarray  # (P, P), by b and w
    norm: np.ndarray  # (P, P) of the gradient
    paths: dict[str, np.ndarray]  # (updates + 1, 2) by "plain" and "clipped"
    losses: dict[str, np.ndarray]  # (updates + 1,)
    last_losses: dict[str, np.ndarray]  # (starts^2,) of descents from all over
    arrived: float


def unit() -> jrnn.Cell:
    def step(params, x, _, *, key=None):
        w, b = params
        x = w * jax.nn.sigmoid(x) + b
        return x, x

    return jrnn.Cell(None, None, step)


def loss(cfg: Config, params: jax.Array) -> jax.Array:
    x_0 = jnp.asarray(cfg.x_0, params.dtype)
    x, _ = jrnn.unroll(unit(), params, jnp.zeros(cfg.steps), x_0)
    return jnp.square(jax.nn.sigmoid(x) - cfg.target)


def descend(cfg: Config, clip: float, start: jax.Array):
    """Parameters (updates + 1, 2) and losses on the way down."""
    step = make_step(lambda p, carry, _, *, key=None: (loss(cfg, p), carry), sgd)
    hyper = Hyper(jnp.array(cfg.learning_rate), jnp.array(clip))

    def update(state, _):
        new, metrics = step(state, (), hyper)
        return new, (state.params, metrics.loss)

    return jax.lax.scan(update, init_state(start, (), sgd), length=cfg.updates + 1)[1]


def run(cfg: Config) -> Result:
    w = jnp.linspace(*cfg.w_range, cfg.points)
    b = jnp.linspace(*cfg.b_range, cfg.points)
    grid = jnp.stack(jnp.meshgrid(w, b), axis=-1)  # (P, P, 2)
    point = jax.value_and_grad(lambda params: loss(cfg, params))
    values, gradients = jax.jit(jax.vmap(jax.vmap(point)))(grid)
    clips = {"plain": jnp.inf, "clipped": cfg.clip}
    descents = {n: jax.jit(partial(descend, cfg, clip)) for n, clip in clips.items()}
    start = jnp.array(cfg.start)
    found = {name: jax.tree.map(np.asarray, go(start)) for name, go in descents.items()}
    lines = (jnp.linspace(*ends, cfg.starts) for ends in (cfg.w_range, cfg.b_range))
    starts = jnp.stack(jnp.meshgrid(*lines), axis=-1).reshape(-1, 2)
    last = {n: np.asarray(jax.vmap(go)(starts)[1][:, -1]) for n, go in descents.items()}
    return Result(
        w=np.asarray(w),
        b=np.asarray(b),
        loss=np.asarray(values),
        norm=np.asarray(jnp.linalg.norm(gradients, axis=-1)),
        paths={name: path for name, (path, _) in found.items()},
        losses={name: values for name, (_, values) in found.items()},
        last_losses=last,
        arrived=cfg.arrived,
    )


def summary(result: Result) -> dict:
    steps = {
        name: np.linalg.norm(np.diff(path, axis=0), axis=1)
        for name, path in result.paths.items()
    }
    return {
        "gradient_norm": {
            "median": np.median(result.norm),
            "largest": result.norm.max(),
            "largest_over_median": result.norm.max() / np.median(result.norm),
        },
        "longest_step": {name: step.max() for name, step in steps.items()},
        "last_loss": {name: values[-1] for name, values in result.losses.items()},
        "smallest_loss": {name: values.min() for name, values in result.losses.items()},
        "share_of_all_starts_that_arrive": {
            name: (values < result.arrived).mean()
            for name, values in result.last_losses.items()
        },
        "end": {name: path[-1] for name, path in result.paths.items()},
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    norm = np.log10(np.maximum(result.norm, 1e-6))
    image = left.pcolormesh(result.w, result.b, norm, cmap="Greys", rasterized=True)
    figure.colorbar(image, ax=left, label="log10 of the gradient's norm")
    left.contour(
        result.w, result.b, result.loss, levels=8, linewidths=0.5, colors="#56b4e9"
    )
    for name, colour in (("plain", "#d55e00"), ("clipped", "#0072b2")):
        path = result.paths[name]
        left.plot(*path.T, ".-", color=colour, markersize=3, linewidth=1, label=name)
        share = (result.last_losses[name] < result.arrived).mean()
        label = f"{name}; of all starts {share:.0%} arrive"
        right.plot(result.losses[name], color=colour, label=label, linewidth=1)
    left.plot(*result.paths["plain"][0], "k*", label="start")
    left.set(xlabel="weight w", ylabel="bias b")
    left.set(xlim=(result.w[0], result.w[-1]), ylim=(result.b[0], result.b[-1]))
    left.set_title("The cliff (dark), and two descents", fontsize=10)
    left.legend(loc="upper right", fontsize=8)
    right.set(xlabel="update", ylabel="loss E", yscale="log")
    right.set_title("Clipping keeps the step at its usual length", fontsize=10)
    right.legend(fontsize=8)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("cliff", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
