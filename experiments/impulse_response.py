"""What does a single linear recurrent unit remember of one impulse?

Source: text 000, the infinite impulse response filter

    h_t = w h_{t-1} + x_t

with w = -0.9. An impulse x = 1, 0, 0, ... gives h_t = w^t: it never ends, and whether
it dies out, changes sign at every step or explodes is all in w. The derivative of h_t
with respect to h_0 is the same number, which is why the same w decides about gradients.

Expect: w^t to the last digits, from `jrnn.unroll` and as a derivative by `jax.grad`.

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


@dataclass(frozen=True)
class Config:
    w: tuple[float, ...] = (-0.9, 0.9, 0.5, -1.0, 1.0, 1.1, -1.1)
    """Recurrent weights."""
    steps: int = 30
    """Steps after the impulse."""


SMOKE = Config(w=(-0.9, 1.1), steps=4)


@dataclass(frozen=True)
class Result:
    w: np.ndarray  # (W,)
    response: np.ndarray  # (W, steps + 1)
    derivative: np.ndarray  # (W, steps + 1) of h_t with respect to h_0
    powers: np.ndarray  # (W, steps + 1) w^t


CELL = jrnn.elman(1, activation=lambda a: a)


def states(w: jax.Array, xs: jax.Array, before: jax.Array) -> jax.Array:
    """h_t (T,) of inputs (T,), from the state before the first step."""
    one = jnp.ones((1, 1))
    params = jrnn.ElmanParams(w_x=one, w_h=w * one, b=jnp.zeros(1))
    _, h = jrnn.unroll(CELL, params, xs[:, None], before[None])
    return h[:, 0]


def run(cfg: Config) -> Result:
    with jax.enable_x64(True):
        w, t = jnp.array(cfg.w), np.arange(cfg.steps + 1)
        impulse = jnp.zeros(cfg.steps + 1).at[0].set(1.0)
        zero = jnp.array(0.0)
        response = jax.vmap(lambda w: states(w, impulse, zero))(w)
        # the state before the first step reaches h_t with one more factor than h_0
        later = jax.vmap(lambda w: jax.jacobian(states, argnums=2)(w, impulse, zero))(w)
        return Result(
            w=np.asarray(w),
            response=np.asarray(response),
            derivative=np.asarray(later / w[:, None]),
            powers=np.asarray(cfg.w)[:, None] ** t,
        )


def summary(result: Result) -> dict:
    off = lambda found: np.abs(found / result.powers - 1).max()
    return {
        "largest_relative_distance_from_w^t": {
            "response": off(result.response),
            "derivative": off(result.derivative),
        },
        "last": dict(zip(map(str, result.w), result.response[:, -1], strict=True)),
    }


def plot(result: Result) -> plt.Figure:
    rows = -(-len(result.w) // 4)
    figure, axes = plt.subplots(
        rows,
        4,
        figsize=(10, 2.2 * rows),
        sharex=True,
        layout="constrained",
        squeeze=False,
    )
    for ax, w, h in zip(axes.flat, result.w, result.response, strict=False):
        ax.axhline(0, color="grey", lw=0.8)
        ax.vlines(np.arange(len(h)), 0, h, color="#0072b2", lw=1)
        ax.plot(h, ".", color="#0072b2", ms=4)
        kind = "decays" if abs(w) < 1 else "stays" if abs(w) == 1 else "explodes"
        ax.set_title(f"w = {w:g}: {'alternates, ' if w < 0 else ''}{kind}", fontsize=10)
    for ax in axes.flat[len(result.w) :]:
        ax.remove()
    for ax in axes[-1]:
        ax.set_xlabel("step t")
    axes[0, 3].set_xlabel("step t")
    axes[0, 3].tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel("state h_t")
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("impulse_response", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
