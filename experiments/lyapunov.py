"""When does a random tanh network turn to chaos, and what does noise do to it?

Source: Sompolinsky, Crisanti, Sommers (1988), doi:10.1103/PhysRevLett.61.259, for the
transition; Molgedey, Schuchhardt, Schuster (1992), doi:10.1103/PhysRevLett.69.3717, for
the exact curve in discrete time and for noise; Engelken, Wolf, Abbott (2023),
arXiv:2006.02427, for finite networks.

    h_t = tanh(h_{t-1} w_h + noise_t),   w_h ~ N(0, gain^2 / N)

The largest Lyapunov exponent of networks of 50 to 400 units, without input and with
independent Gaussian noise of variance 0.25 at each unit and step, against the theory of
infinitely large networks.

Expect: below gain 1 the exponent is the log of the largest eigenvalue; above, it
follows the theory from below, the nearer the larger the network, at 400 units within
0.02 of 0.0652, 0.1547 and 0.3102 at gains 1.5, 2 and 3. With noise the transition
comes at gain 1.55 instead of 1.

Time: about a minute on two CPU cores.
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
from jrnn import dynamics, initializers

COLOURS = ("#56b4e9", "#0072b2", "#000000")


@dataclass(frozen=True)
class Config:
    sizes: tuple[int, ...] = (50, 150, 400)
    """Units N of the networks."""
    gains: tuple[float, ...] = (0.5, 0.8, 1.0, 1.2, 1.5, 1.75, 2.0, 2.5, 3.0)
    """Standard deviation of the weights times sqrt(N)."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Networks for each size and gain."""
    noise_variance: float = 0.25
    """Of the noisy half of the runs."""
    steps: int = 1500
    """Steps that are averaged."""
    burn_in: int = 300
    """Steps before them."""


SMOKE = Config(sizes=(4, 6), gains=(0.5, 2.0), seeds=(0, 1), steps=20, burn_in=5)


@dataclass(frozen=True)
class Result:
    sizes: tuple[int, ...]
    gains: np.ndarray  # (G,)
    noise_variance: float
    quiet: np.ndarray  # (sizes, G, seeds) largest exponents without input
    noisy: np.ndarray  # (sizes, G, seeds) with noise
    eigenvalues: np.ndarray  # (sizes, G, seeds) log of the spectral radius
    fine_gains: np.ndarray  # (F,)
    quiet_theory: np.ndarray  # (F,)
    noisy_theory: np.ndarray  # (F,)
    critical_gain: float  # with noise


@partial(jax.jit, static_argnums=(0, 1))
def measure(cfg: Config, size: int, gain: jax.Array, key: jax.Array):
    """Exponents without and with noise, and log of the spectral radius, of a network.

    The noise of step t is a function of t, drawn inside the step: a sequence of it for
    every network would be large.
    """
    w_key, start_key, noise_key = jax.random.split(key, 3)
    w_h = initializers.gain(gain)(w_key, (size, size), jnp.float32)
    start = 0.1 * jax.random.normal(start_key, (size,))
    net = jrnn.elman(size)

    def step(params, h, t, *, key=None):
        w_h, deviation = params
        noise = jax.random.normal(jax.random.fold_in(noise_key, t), (size,))
        full = jrnn.ElmanParams(jnp.zeros((1, size)), w_h, deviation * noise)
        return net.step(full, h, jnp.zeros(1))

    noisy = jrnn.Cell(net.init, None, step)
    ts = jnp.arange(cfg.burn_in + cfg.steps)
    exponent = lambda deviation: dynamics.largest_exponent(
        noisy, (w_h, deviation), ts, carry=start, burn_in=cfg.burn_in
    )
    deviations = jnp.array([0.0, cfg.noise_variance**0.5])
    radius = jnp.abs(jnp.linalg.eigvals(w_h)).max()
    return jax.vmap(exponent)(deviations), jnp.log(radius)


def run(cfg: Config) -> Result:
    gains = jnp.array(cfg.gains)
    keys = jax.vmap(jax.random.key)(jnp.array(cfg.seeds))
    found = []
    for size in cfg.sizes:
        over_seeds = jax.vmap(partial(measure, cfg, size), (None, 0))
        found.append([over_seeds(gain, keys) for gain in gains])
    exponents = np.array([[e for e, _ in row] for row in found])  # (sizes, G, seeds, 2)
    fine = np.linspace(min(cfg.gains), max(cfg.gains), 60)
    with jax.enable_x64(True):
        theory = jax.jit(jax.vmap(dynamics.mean_field, (0, None)))
        critical = dynamics.critical_gain(cfg.noise_variance)
        curves = [theory(fine, v).largest_exponent for v in (0.0, cfg.noise_variance)]
    return Result(
        sizes=cfg.sizes,
        gains=np.array(cfg.gains),
        noise_variance=cfg.noise_variance,
        quiet=exponents[..., 0],
        noisy=exponents[..., 1],
        eigenvalues=np.array([[r for _, r in row] for row in found]),
        fine_gains=fine,
        quiet_theory=np.asarray(curves[0]),
        noisy_theory=np.asarray(curves[1]),
        critical_gain=float(critical),
    )


def summary(result: Result) -> dict:
    below = result.gains < 0.95
    table = lambda found: {
        str(size): {
            f"{gain:g}": {"mean": row.mean(), "deviation": row.std()}
            for gain, row in zip(result.gains, rows, strict=True)
        }
        for size, rows in zip(result.sizes, found, strict=True)
    }
    at = lambda curve: np.interp(result.gains, result.fine_gains, curve)
    largest = lambda found, curve: np.abs(found[-1].mean(axis=-1) - at(curve))[
        result.gains > 1.3
    ].max()
    return {
        "quiet": table(result.quiet),
        "noisy": table(result.noisy),
        "largest_distance_from_theory_above_gain_1.3": {
            "quiet": largest(result.quiet, result.quiet_theory),
            "noisy": largest(result.noisy, result.noisy_theory),
        },
        "largest_distance_from_log_spectral_radius_below_gain_0.95": np.abs(
            result.quiet - result.eigenvalues
        )[:, below].max(),
        "critical_gain_with_noise": result.critical_gain,
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
    for colour, size, quiet, noisy in zip(
        COLOURS, result.sizes, result.quiet, result.noisy, strict=False
    ):
        for found, marker, kind in ((quiet, "o", "no input"), (noisy, "s", "noise")):
            axes.errorbar(
                result.gains, found.mean(axis=-1), found.std(axis=-1), fmt=marker,
                color=colour, markersize=4, linewidth=1, label=f"N = {size}, {kind}",
                fillstyle="full" if marker == "o" else "none",
            )  # fmt: skip
    axes.plot(result.fine_gains, result.quiet_theory, "k-", label="theory, no input")
    axes.plot(result.fine_gains, result.noisy_theory, "k--", label="theory, noise")
    axes.axhline(0, color="grey", linewidth=0.7)
    axes.annotate(
        "chaos with noise\nfrom here", (result.critical_gain, 0),
        (result.critical_gain + 0.1, -0.35), fontsize=8,
        arrowprops={"arrowstyle": "->"},
    )  # fmt: skip
    right = max(result.gains)
    axes.text(
        right, -0.02, "chaos above, order below", fontsize=8, ha="right", va="top"
    )
    axes.set(xlabel="gain g", ylabel="largest Lyapunov exponent, nats per step")
    axes.set_title(
        f"Noise of variance {result.noise_variance:g} suppresses chaos", fontsize=10
    )
    axes.legend(fontsize=7, loc="lower right")
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("lyapunov", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
