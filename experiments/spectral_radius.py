"""What does the spectral radius of a recurrent weight say about its gradients?

Source: Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural
networks, arXiv:1211.5063, section 2.1, for the question; Saxe, McClelland, Ganguli
(2014), arXiv:1312.6120, for orthogonal and Gaussian weights; Chen, Pennington,
Schoenholz (2018), arXiv:1806.05394, for the theory of random tanh networks; Kerg et al.
(2019), arXiv:1905.12080, for weights that are not normal.

Untrained networks, driven by weak noise: every spectral radius rho from 0.1 to 2, four
ways to draw a matrix with that radius, three cells, several seeds; all of them in one
compiled call. (Each gate of GRU and LSTM has a matrix of that radius.) Of each:
the norm of d carry_T / d carry_{T-k} for every lag k, the rate at which it decays, and
the largest Lyapunov exponent. Norms are kept as logarithms: at rho = 0.1 and lag 100
they are beyond single precision.

* Gaussian: rescaled to have rho exactly. Orthogonal and identity: times rho.
* Non-normal: a chain of units, rho on the diagonal and beside it, in a random basis.
  Its singular values reach 2 rho.

Expect:

* tanh, rho < 1: the rate is log rho for the first three. Above 1 gradients do not
  explode as rho^k: units saturate, and theory says by how much (for an infinite
  Gaussian network; with 32 units the transition comes later). The identity's units,
  each on its own, saturate so far that gradients vanish again.
* Non-normal: gradients live for far longer than log rho says.
* GRU and LSTM: rates depend much less on rho; part of the gradient passes by.
* Two weights with one radius, 0.9, and opposite beginnings: one gradient falls at once,
  the other first grows nearly twentyfold. The spectral radius tells about the end, not
  about the way.

Time: under a minute on two CPU cores for 960 networks.
"""

import time
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from jrnn import dynamics, gradients, initializers

COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#d55e00")
CELLS = ("tanh", "GRU", "LSTM")
MATRICES = ("Gaussian", "orthogonal", "identity", "non-normal")


@dataclass(frozen=True)
class Config:
    radii: tuple[float, ...] = tuple(0.1 * n for n in range(1, 21))
    """Spectral radii of the recurrent matrices."""
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    """Networks for each radius, matrix and cell."""
    hidden_size: int = 32
    """Units of a network."""
    input_size: int = 16
    """Inputs, independent Gaussian numbers."""
    input_variance: float = 0.01
    """Of the input to each unit."""
    lags: int = 100
    """Steps back in time that are measured."""
    burn_in: int = 100
    """Steps before, in which the network forgets its start."""
    skip: int = 10
    """Lags at the beginning that the fit of the rate leaves out."""
    pair_radius: float = 0.9
    """Spectral radius of the two matrices [[rho, c], [0, rho]] with equal radius."""
    pair_couplings: tuple[float, ...] = (0.05, 5.0)
    """Their c."""


SMOKE = Config(
    radii=(0.5, 1.5),
    seeds=(0,),
    hidden_size=4,
    input_size=2,
    lags=16,
    burn_in=4,
    skip=2,
)


@dataclass(frozen=True)
class Result:
    radii: np.ndarray  # (R,)
    log_norms: dict[str, np.ndarray]  # by cell (matrices, R, seeds, lags)
    rates: dict[str, np.ndarray]  # by cell (matrices, R, seeds)
    exponents: dict[str, np.ndarray]  # by cell (matrices, R, seeds)
    theory: np.ndarray  # (R,) largest exponent of an infinite Gaussian tanh network
    critical_gain: float
    pair: dict[str, np.ndarray]  # by coupling (lags,) norms
    pair_radius: float
    networks: int
    compile_seconds: float
    seconds: float


def matrix(name: str, rho: jax.Array) -> initializers.Initializer:
    """An initialiser of square matrices with spectral radius rho."""
    if name == "Gaussian":
        return initializers.spectral_radius(rho)
    if name == "orthogonal":
        return initializers.orthogonal(rho)
    if name == "identity":
        return initializers.identity(rho)

    def chain(key, shape, dtype=float):
        basis = initializers.orthogonal()(key, shape, dtype)
        links = jnp.eye(shape[0], dtype=dtype) + jnp.eye(shape[0], k=1, dtype=dtype)
        return rho * basis @ links @ basis.T

    return chain


def cell(cfg: Config, name: str, w_h_init=None, w_x_init=None) -> jrnn.Cell:
    if name == "tanh":
        options = {"w_h_init": w_h_init, "w_x_init": w_x_init}
        given = {k: v for k, v in options.items() if v is not None}
        return jrnn.elman(cfg.hidden_size, **given)
    factory, gates = {"GRU": (jrnn.gru, 3), "LSTM": (jrnn.lstm, 4)}[name]
    if w_h_init is None:
        return factory(cfg.hidden_size)
    return factory(
        cfg.hidden_size,
        w_h_init=initializers.gatewise(w_h_init, gates),
        w_x_init=initializers.gatewise(w_x_init, gates),
    )


def draw(cfg: Config, name: str, radii: jax.Array, keys: jax.Array):
    """Parameters of all networks of a cell, leaves (matrices * R * seeds, ...)."""
    scale = (cfg.input_variance / cfg.input_size) ** 0.5
    x = jnp.zeros(cfg.input_size)

    def one(kind, rho, key):
        w_x_init = jax.nn.initializers.normal(scale)
        return cell(cfg, name, matrix(kind, rho), w_x_init).init(key, x)

    over_seeds = lambda kind, rho: jax.vmap(partial(one, kind, rho))(keys)
    kinds = [jax.vmap(partial(over_seeds, kind))(radii) for kind in MATRICES]
    return jax.tree.map(lambda *a: jnp.stack(a).reshape(-1, *a[0].shape[2:]), *kinds)


def measure(cfg: Config, name: str, params, xs: jax.Array):
    """Log norms by lag (lags,), their rate, and the largest exponent of one network."""
    model = cell(cfg, name)
    carry, _ = jrnn.unroll(model, params, xs[: cfg.burn_in])
    xs = xs[cfg.burn_in :]
    by_lag = gradients.lag_jacobians(model, params, xs, carry, every=1)
    size = sum(leaf.size for leaf in jax.tree.leaves(carry))
    log_norms = by_lag.log_norms - 0.5 * np.log(size)  # 0 for an orthogonal matrix
    fit = gradients.decay_rate(log_norms[cfg.skip :], by_lag.lags[cfg.skip :])
    exponent = dynamics.largest_exponent(model, params, xs, carry=carry)
    return log_norms, fit.rate, exponent


@partial(jax.jit, static_argnums=0)
def measure_all(cfg: Config, radii: jax.Array, keys: jax.Array, xs: jax.Array):
    """All networks in one program: for each cell what `measure` returns."""
    shape = (len(MATRICES), len(cfg.radii), len(cfg.seeds))
    measured = {}
    for name in CELLS:
        params = draw(cfg, name, radii, keys)
        found = jax.vmap(lambda p: measure(cfg, name, p, xs))(params)  # noqa: B023
        measured[name] = jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), found)
    return measured


def pair(cfg: Config) -> dict[str, np.ndarray]:
    """Norm by lag of two linear networks that differ only in how they are coupled."""
    norms, model = {}, jrnn.elman(2, lambda a: a)
    for c in cfg.pair_couplings:
        w_h = jnp.array([[cfg.pair_radius, c], [0.0, cfg.pair_radius]])
        params = jrnn.ElmanParams(jnp.zeros((1, 2)), w_h, jnp.zeros(2))
        by_lag = gradients.lag_jacobians(model, params, jnp.zeros((cfg.lags, 1)))
        norms[f"{c:g}"] = np.exp(np.asarray(by_lag.log_singular_values[:, 0]))
    return norms


def run(cfg: Config) -> Result:
    radii = jnp.array(cfg.radii)
    keys = jax.vmap(jax.random.key)(jnp.array(cfg.seeds))
    xs = np.random.default_rng(0).normal(size=(cfg.burn_in + cfg.lags, cfg.input_size))
    arguments = radii, keys, jnp.asarray(xs, radii.dtype)
    begin = time.perf_counter()
    program = measure_all.lower(cfg, *arguments).compile()
    middle = time.perf_counter()
    measured = jax.block_until_ready(program(*arguments))
    end = time.perf_counter()
    with jax.enable_x64(True):
        theory = jax.vmap(dynamics.mean_field, (0, None))(
            jnp.array(cfg.radii), cfg.input_variance
        )
        critical = dynamics.critical_gain(cfg.input_variance)
    split = lambda n: {name: np.asarray(found[n]) for name, found in measured.items()}
    return Result(
        radii=np.array(cfg.radii),
        log_norms=split(0),
        rates=split(1),
        exponents=split(2),
        theory=np.asarray(theory.largest_exponent),
        critical_gain=float(critical),
        pair=pair(cfg),
        pair_radius=cfg.pair_radius,
        networks=sum(rates.size for rates in split(1).values()),
        compile_seconds=middle - begin,
        seconds=end - middle,
    )


def summary(result: Result) -> dict:
    below = result.radii < 0.95
    tanh = result.rates["tanh"]
    off = lambda rates: np.abs(rates - np.log(result.radii)[:, None])[
        ..., below, :
    ].max()
    return {
        "networks": result.networks,
        "compile_seconds": result.compile_seconds,
        "seconds": result.seconds,
        "radii": result.radii,
        "tanh_largest_distance_of_rate_from_log_rho_below_0.95": {
            name: off(rates) for name, rates in zip(MATRICES, tanh, strict=True)
        },
        "tanh_Gaussian_largest_distance_of_mean_exponent_from_theory": np.abs(
            result.exponents["tanh"][0].mean(axis=-1) - result.theory
        ).max(),
        "critical_gain_of_the_theory": result.critical_gain,
        "theory": result.theory,
        "rates_mean_over_seeds": {
            name: dict(zip(MATRICES, rates.mean(axis=-1), strict=True))
            for name, rates in result.rates.items()
        },
        "exponents_mean_over_seeds": {
            name: dict(zip(MATRICES, exponents.mean(axis=-1), strict=True))
            for name, exponents in result.exponents.items()
        },
        "pair": {
            c: {
                "peak": norms.max(),
                "lag_of_peak": int(norms.argmax() + 1),
                "first_lag_after_it_below_1": _first_below_1(norms),
            }
            for c, norms in result.pair.items()
        },
    }


def _first_below_1(norms: np.ndarray) -> int | None:
    below = np.flatnonzero((norms < 1) & (np.arange(len(norms)) >= norms.argmax()))
    return int(below[0] + 1) if below.size else None


def plot(result: Result) -> plt.Figure:
    figure = plt.figure(figsize=(11, 11.5), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.75, 1))
    heat_maps(top, result)
    axes = bottom.subplots(1, 3)
    plot_rates(axes[0], result)
    plot_cells(axes[1], result)
    plot_pair(axes[2], result)
    return figure


def heat_maps(figure, result: Result) -> None:
    axes = figure.subplots(len(CELLS), len(MATRICES), sharex=True, sharey=True)
    for row, name in zip(axes, CELLS, strict=True):
        for ax, kind, log_norms in zip(
            row, MATRICES, result.log_norms[name], strict=True
        ):
            middle = np.median(log_norms, axis=1) / np.log(10)  # (R, lags)
            lags = np.arange(1, middle.shape[1] + 1)
            image = ax.pcolormesh(
                result.radii, lags, middle.T, cmap="RdBu_r", vmin=-8, vmax=8,
                shading="nearest", rasterized=True,
            )  # fmt: skip
            ax.axvline(1.0, color="black", linestyle=":", linewidth=1)
            ax.set_title(f"{name}, {kind}", fontsize=9)
    for ax in axes[:, 0]:
        ax.set_ylabel("lag k, steps")
    for ax in axes[-1]:
        ax.set_xlabel("spectral radius")
    bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.8)
    bar.set_label(
        "log10 of the norm of dh(T) / dh(T-k)\nblue: vanishing, red: exploding"
    )
    figure.suptitle(
        f"Gradients by lag in {result.networks} untrained networks (median over seeds)"
    )


def plot_rates(ax, result: Result) -> None:
    for colour, kind, rates in zip(
        COLOURS, MATRICES, result.rates["tanh"], strict=True
    ):
        ax.plot(result.radii, rates, ".", color=colour, markersize=4)
        ax.plot(result.radii, rates.mean(axis=1), color=colour, label=kind, linewidth=1)
    ax.plot(result.radii, np.log(result.radii), "k:", label="log rho")
    ax.plot(result.radii, result.theory, "k--", label="theory, Gaussian")
    ax.axhline(0, color="grey", linewidth=0.5)
    ax.set(xlabel="spectral radius rho", ylabel="rate, nats per step", ylim=(-2.4, 0.8))
    ax.set_title("tanh: log rho below 1, saturation above", fontsize=9)
    ax.legend(fontsize=7)


def plot_cells(ax, result: Result) -> None:
    for colour, name in zip(COLOURS, CELLS, strict=False):
        rates, exponents = result.rates[name][0], result.exponents[name][0]
        ax.plot(result.radii, rates.mean(axis=1), color=colour, label=f"{name}, rate")
        ax.plot(
            result.radii, exponents.mean(axis=1), "x", color=colour, markersize=5,
            label=f"{name}, Lyapunov exponent",
        )  # fmt: skip
    ax.plot(result.radii, np.log(result.radii), "k:", label="log rho")
    ax.axhline(0, color="grey", linewidth=0.5)
    ax.set(xlabel="spectral radius rho", ylabel="nats per step", ylim=(-2.4, 0.8))
    ax.set_title("Gaussian matrices: gates pass gradients by", fontsize=9)
    ax.legend(fontsize=7)


def plot_pair(ax, result: Result) -> None:
    for colour, (c, norms) in zip(COLOURS[::3], result.pair.items(), strict=False):
        lags = np.arange(1, len(norms) + 1)
        ax.plot(lags, norms, color=colour, label=f"coupling {c}")
    ax.plot(lags, result.pair_radius**lags, "k:", label="rho^k")
    ax.axhline(1, color="grey", linewidth=0.5)
    ax.set(xlabel="lag k, steps", ylabel="norm of dh(T) / dh(T-k)", yscale="log")
    ax.set_title(f"Two linear networks, both rho = {result.pair_radius:g}", fontsize=9)
    ax.legend(fontsize=7)


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("spectral_radius", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
