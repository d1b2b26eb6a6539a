"""How does a trained network remember two bits?

Source: Sussillo, Barak (2013), Opening the black box: low-dimensional dynamics in
high-dimensional recurrent neural networks, doi:10.1162/NECO_a_00409, section 3 (there
three bits). At every step each of two inputs is 0, or with some probability a pulse of
+1 or -1; each of two outputs is to hold the sign of the last pulse of its input, for as
long as it takes. What it answers before the first pulse does not count.

A GRU is trained on it, then everything that holds still without input is searched for
from states that it visits: fixed points, their stability from the eigenvalues of the
step there, in the plane of the first two principal components of the states.

Expect: one stable fixed point for each of the 2^2 memories, at the corners of a square,
and between neighbours saddles with one unstable direction, over which a pulse has to
push the state.

Time: about two minutes on two CPU cores.
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
from experiments._training import descend
from jrnn import dynamics, optimizers
from jrnn.train import init_state


@dataclass(frozen=True)
class Config:
    bits: int = 2
    """Bits to remember."""
    hidden_size: int = 24
    """Units of the GRU."""
    length: int = 60
    """Steps of a sequence."""
    pulse_probability: float = 0.1
    """Of a pulse at each step and input."""
    batch_size: int = 32
    """Sequences in an update, all fresh."""
    learning_rate: float = 5e-3
    """Of Adam."""
    updates: int = 1500
    """Updates of training."""
    candidates: int = 200
    """States from which fixed points are searched."""
    noise: float = 0.3
    """Standard deviation of what is added to them."""
    seed: int = 0
    """Of weights, data and candidates."""


SMOKE = Config(hidden_size=3, length=6, batch_size=2, updates=3, candidates=4)


@dataclass(frozen=True)
class Result:
    loss: np.ndarray  # (updates,)
    accuracy: float  # share of remembered signs that are right, on fresh sequences
    states: np.ndarray  # (S, 2) visited, in the plane of the principal components
    explained: np.ndarray  # (2,) share of the variance of each
    points: np.ndarray  # (P, 2) distinct fixed points, in that plane
    unstable: np.ndarray  # (P,) number of eigenvalues outside the unit circle
    outputs: np.ndarray  # (P, bits) what the network answers there
    largest: np.ndarray  # (P,) largest modulus of an eigenvalue
    speeds: np.ndarray  # (P,)
    slow_points: int


def sequences(cfg: Config, key: jax.Array):
    """Pulses (B, T, bits) and the signs to hold (B, T, bits), 0 before the first."""
    shape = (cfg.batch_size, cfg.length, cfg.bits)
    when_key, sign_key = jax.random.split(key)
    when = jax.random.bernoulli(when_key, cfg.pulse_probability, shape)
    xs = when * jax.random.rademacher(sign_key, shape, dtype=jnp.result_type(float))
    hold = lambda held, x: (jnp.where(x != 0, x, held),) * 2
    _, targets = jax.lax.scan(hold, xs[:, 0] * 0, jnp.swapaxes(xs, 0, 1))
    return xs, jnp.swapaxes(targets, 0, 1)


def model(cfg: Config) -> jrnn.Cell:
    return jrnn.stack(jrnn.gru(cfg.hidden_size), jrnn.linear(cfg.bits))


@partial(jax.jit, static_argnums=0)
def train(cfg: Config, key: jax.Array):
    """Trained parameters and the losses (updates,)."""
    init_key, data_key = jax.random.split(key)
    params = model(cfg).init(init_key, jnp.zeros(cfg.bits))

    def loss(params, xs, targets):
        ys = jax.vmap(lambda x: jrnn.unroll(model(cfg), params, x)[1])(xs)
        known = targets != 0  # before the first pulse any answer will do
        return (known * jnp.square(ys - targets)).sum() / known.sum()

    adam, keys = optimizers.adam, jax.random.split(data_key, cfg.updates)
    batches = lambda n: sequences(cfg, keys[n])
    state = init_state(params, (), adam)
    rate, clip = cfg.learning_rate, 1.0
    state, losses = descend(loss, adam, state, batches, cfg.updates, rate, clip)
    return state.params, losses


@partial(jax.jit, static_argnums=0)
def visit(cfg: Config, params, key: jax.Array):
    """States (B, T, H) on fresh sequences and the share of right signs."""
    xs, targets = sequences(cfg, key)
    cell = jrnn.stack(jrnn.record(jrnn.gru(cfg.hidden_size)))
    hs = jax.vmap(lambda x: jrnn.unroll(cell, params[:1], x)[1].carry)(xs)
    ys = hs @ params[1].w + params[1].b
    known = targets != 0
    return hs, (known & (ys * targets > 0)).sum() / jnp.maximum(known.sum(), 1)


@partial(jax.jit, static_argnums=0)
def search(cfg: Config, params, candidates: jax.Array) -> dynamics.FixedPoints:
    gru = jrnn.gru(cfg.hidden_size)
    return dynamics.fixed_points(gru, params[0], jnp.zeros(cfg.bits), candidates)


def analyse(cfg: Config, params, losses, key: jax.Array) -> Result:
    visit_key, choice_key, noise_key = jax.random.split(key, 3)
    hs, accuracy = visit(cfg, params, visit_key)
    states = hs.reshape(-1, cfg.hidden_size)
    chosen = jax.random.choice(choice_key, states, (cfg.candidates,))
    noise = cfg.noise * jax.random.normal(noise_key, chosen.shape)
    found = jax.tree.map(np.asarray, search(cfg, params, chosen + noise))
    states = np.asarray(states)
    centre = states.mean(axis=0)
    _, spread, axes = np.linalg.svd(states - centre, full_matrices=False)
    keep = found.distinct & found.fixed
    points, moduli = found.points[keep], np.abs(found.eigenvalues[keep])
    return Result(
        loss=np.asarray(losses),
        accuracy=float(accuracy),
        states=(states - centre) @ axes[:2].T,
        explained=(spread**2 / (spread**2).sum())[:2],
        points=(points - centre) @ axes[:2].T,
        unstable=(moduli > 1).sum(axis=1),
        outputs=points @ np.asarray(params[1].w) + np.asarray(params[1].b),
        largest=moduli[:, 0],
        speeds=found.speeds[keep],
        slow_points=int((found.distinct & found.slow).sum()),
    )


def run(cfg: Config) -> Result:
    train_key, key = jax.random.split(jax.random.key(cfg.seed))
    params, losses = train(cfg, train_key)
    with jax.enable_x64(True):  # a fixed point is one to 1e-10
        params = jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), params)
        return analyse(cfg, params, losses, key)


def summary(result: Result) -> dict:
    stable = result.unstable == 0
    return {
        "last_loss": result.loss[-100:].mean(),
        "accuracy": result.accuracy,
        "variance_explained_by_two_components": result.explained.sum(),
        "fixed_points": len(result.points),
        "by_unstable_directions": {
            str(n): int((result.unstable == n).sum())
            for n in np.unique(result.unstable)
        },
        "slow_points": result.slow_points,
        "outputs_at_stable_points": result.outputs[stable],
        "largest_modulus_of_an_eigenvalue_at_stable_points": result.largest[stable],
        "largest_speed": result.speeds.max() if result.speeds.size else None,
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(5.5, 5), layout="constrained")
    axes.plot(*result.states.T, ".", color="0.8", markersize=2, label="states visited")
    styles = {
        0: ("o", "#0072b2", "stable"),
        1: ("X", "#d55e00", "saddle, one unstable direction"),
        2: ("s", "#cc79a7", "two unstable directions"),
    }
    for count, (marker, colour, label) in styles.items():
        here = result.unstable == count if count < 2 else result.unstable >= 2
        if here.any():
            axes.plot(
                *result.points[here].T, marker, color=colour, label=label, markersize=9,
                markeredgecolor="black", linestyle="none",
            )  # fmt: skip
    for place, outputs in zip(
        result.points[result.unstable == 0],
        result.outputs[result.unstable == 0],
        strict=True,
    ):
        text = "".join("+" if out > 0 else "-" for out in outputs)
        axes.annotate(text, place, (8, 6), textcoords="offset points", fontsize=12)
    first, second = result.explained
    axes.set_xlabel(f"first principal component ({first:.0%} of the variance)")
    axes.set_ylabel(f"second principal component ({second:.0%})")
    count = int((result.unstable == 0).sum())
    axes.set_title(f"A memory of two bits: {count} stable points", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("fixed_points", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
