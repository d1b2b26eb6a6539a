"""What can a random network do when nothing but its readout is trained?

Three facts of the literature on reservoirs, each measured anew.

Chaos continued. Source: Jaeger (2001), The "echo state" approach to analysing and
training recurrent neural networks, GMD Report 148, section 6. The Mackey-Glass series

    dy/dt = 0.2 y(t - 17) / (1 + y(t - 17)^10) - 0.1 y(t)

is sampled once in a unit of time and squashed, u = tanh(y - 1). A network that reads
u_t learns u_{t+1} by linear regression on 2000 of 3000 steps; then, tuned in by 1000
new steps, it reads its own output. NRMSE84 is its error at step 84, in standard
deviations of y, over 20 such trials. The report has 0.00028 with 400 units and 3000
steps, and 0.00012 with 21000; Jaeger, Haas (2004), doi:10.1126/science.1091277, have
10^-4.2 with 1000 units and 3000 steps. The leak, scales and radius are near those of
the report, which integrates with Euler's rule in steps of 0.1 and uses no penalty. Here
it is the classical Runge-Kutta rule in the same steps, with the value halfway between
two of the past by cubic Hermite interpolation.

Memory. Source: Jaeger (2002), Short term memory in echo state networks, GMD Report 152.
The squared correlations of past inputs and their best readouts, summed over all delays,
are at most N, the number of units. The input of the same step takes up one of them, so
that N - 1 is left for delays of 1 and more. What the fit explains by chance is
subtracted.

FORCE. Source: Sussillo, Abbott (2009), doi:10.1016/j.neuron.2009.07.018, figures 1A and
2D, with fewer units. A chaotic network of gain 1.5 reads its own output while least
squares makes that a sum of four sines; after 25 periods learning ends, and it goes on
by itself.

Expect: NRMSE84 within a factor of three of the reports'; a linear reservoir remembers
nearly N - 1 inputs (of 49 some are lost to rounding: see arXiv:2305.01457), one with
tanh fewer, and fewest where strong inputs saturate it; after FORCE learning the pattern
goes on, at an error of one to a few per cent after five periods. Before it the largest
Lyapunov exponent is up to 0.04 per time constant (some networks of this size fall into
a cycle, with 0); after it all are cycles.

Time: two minutes on two CPU cores.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from experiments._training import spread
from jrnn import dynamics, initializers, online

LITERATURE = {  # NRMSE84 by number of units, 3000 training steps
    "400": ("Jaeger 2001", 0.00028),
    "1000": ("Jaeger, Haas 2004", 10**-4.2),
}
COLOURS = ("#0072b2", "#d55e00", "#009e73")


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    """Networks of each kind."""
    sizes: tuple[int, ...] = (400, 1000)
    """Units of the reservoirs that continue Mackey-Glass."""
    training_steps: int = 3000
    """Steps of the series that they are fitted to, washout among them."""
    washout: int = 1000
    """Steps at the beginning of any sequence of which the states are not used."""
    trials: int = 20
    """Continuations."""
    horizon: int = 84
    """Steps of each."""
    penalty: float = 1e-14
    """Of the regression."""
    memory_sizes: tuple[int, ...] = (10, 20, 50)
    """Units of the reservoirs that remember."""
    memory_steps: int = 10_000
    """Random inputs."""
    force_size: int = 600
    """Units of the chaotic network."""
    period: int = 600
    """Steps of the pattern, each a tenth of the network's time constant."""
    periods: tuple[int, int] = (25, 5)
    """Periods with learning, and after it."""
    exponent_steps: int = 9000
    """Steps for a Lyapunov exponent; the first third is not counted."""


SMOKE = Config((0,), (6,), 40, 10, 2, 3, 1e-6, (4,), 80, 5, 10, (2, 2), 9)


@dataclass(frozen=True)
class Result:
    nrmse: dict[str, np.ndarray]  # units: (seeds, horizon) error by steps ahead
    memory: dict[str, np.ndarray]  # kind: (memory sizes, seeds) capacity
    memory_sizes: tuple[int, ...]
    target: np.ndarray  # (period,)
    output: np.ndarray  # (seeds, learning + free periods, period)
    learning: int  # periods
    exponents: np.ndarray  # (seeds, 2) largest Lyapunov exponent before and after


# Chaos continued


def mackey_glass(steps: int, *, tau: int = 17, per_unit: int = 10) -> jax.Array:
    """The series (steps,), once a unit of time, by the method of steps.

    A stretch of length tau depends on the one before, of which values and slopes are
    kept; halfway between two of them stands the cubic of both.
    """
    dt, lag = 1 / per_unit, tau * per_unit
    slope = lambda y, past: 0.2 * past / (1 + past**10) - 0.1 * y

    def stretch(before, _):
        past, slopes = before  # (lag + 1,)
        middle = (past[:-1] + past[1:]) / 2 + dt / 8 * (slopes[:-1] - slopes[1:])

        def step(y, inputs):
            first, half, last = inputs
            k_1 = slope(y, first)
            k_2 = slope(y + dt / 2 * k_1, half)
            k_3 = slope(y + dt / 2 * k_2, half)
            k_4 = slope(y + dt * k_3, last)
            y = y + dt / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
            return y, y

        _, ys = jrnn.scan(step, past[-1], (past[:-1], middle, past[1:]))
        ys = jnp.append(past[-1], ys)
        return (ys, slope(ys, past)), ys[1:]

    start = jnp.full(lag + 1, 1.2), jnp.zeros(lag + 1)
    stretches = -(-steps // tau)
    ys = jrnn.scan(stretch, start, length=stretches)[1].reshape(-1)
    return ys[per_unit - 1 :: per_unit][:steps]


@partial(jax.jit, static_argnums=(0, 1))
def continued(cfg: Config, size: int, ys: jax.Array, key: jax.Array) -> jax.Array:
    """NRMSE (horizon,) of a network's continuations, by steps ahead."""
    inputs = 5 / size  # of each unit from others
    cell = jrnn.echo_state(
        size, radius=0.88, leak=0.4, density=inputs, input_scale=0.56, bias_scale=0.03
    )
    net = jrnn.feedback(jrnn.stack(cell, jrnn.linear(1)))
    us = jnp.tanh(ys - 1)[:, None]
    params = net.init(key, (jnp.zeros(0), us[0]))
    reservoir, _ = params.cell
    train = us[: cfg.training_steps]
    hs = jrnn.unroll(cell, reservoir, train[:-1])[1]
    readout = jrnn.ridge_readout(
        hs[cfg.washout :], train[cfg.washout + 1 :], cfg.penalty
    )
    params = params._replace(cell=(reservoir, readout))

    def trial(us):
        nothing = lambda steps: jnp.zeros((steps, 0))  # inputs but for the output
        forced = nothing(cfg.washout), us[: cfg.washout]
        carry, told = jrnn.unroll(net, params, forced)
        free = nothing(cfg.horizon - 1), None
        return jnp.append(told[-1], jrnn.unroll(net, params, free, carry)[1])

    length = cfg.washout + cfg.horizon
    test = ys[cfg.training_steps :][: cfg.trials * length].reshape(-1, length)
    found = jnp.arctanh(jax.vmap(trial)(jnp.tanh(test - 1)[..., None])) + 1
    error = found - test[:, cfg.washout :]
    return jnp.sqrt((error**2).mean(axis=0) / test.var())


# Memory


class Kind(NamedTuple):
    """A kind of reservoir."""

    linear: bool
    input_scale: float


KINDS = {
    "linear": Kind(True, 0.1),
    "tanh, inputs up to 0.1": Kind(False, 0.1),
    "tanh, inputs up to 1": Kind(False, 1.0),
}


@partial(jax.jit, static_argnums=(0, 1, 2))
def capacity(cfg: Config, kind: Kind, size: int, key: jax.Array) -> jax.Array:
    """Sum over delays from 1 on, without what chance explains."""
    net_key, key = jax.random.split(key)
    us = jax.random.uniform(key, (cfg.memory_steps, 1), minval=-1.0)
    cell = jrnn.echo_state(size, density=1.0, input_scale=kind.input_scale)
    params = cell.init(net_key, us[0])
    if kind.linear:
        cell, params = jrnn.elman(size, lambda a: a), jrnn.ElmanParams(*params)
    delays = 3 * size
    found = dynamics.memory_capacity(cell, params, us, delays).by_delay
    used = cfg.memory_steps - delays
    return (1 - (1 - found) * (used - 1) / (used - size - 1)).sum()


# FORCE


class ChaoticParams(NamedTuple):
    """Weights of the network of the paper."""

    w_r: jax.Array  # (N, N)
    w_z: jax.Array  # (O, N)


def chaotic(size: int, gain: float = 1.5, dt: float = 0.1) -> jrnn.Cell:
    """tau dx/dt = -x + r w_r + z w_z,  r = tanh(x): a cell of one's own."""

    def init(key, z):
        r_key, z_key = jax.random.split(key)
        uniform = jax.random.uniform(z_key, (*z.shape, size), z.dtype, minval=-1)
        w_r = initializers.gain(gain)(r_key, (size, size), z.dtype)
        return ChaoticParams(w_r, uniform)

    def initial_carry(params, *, key=None):
        return jnp.zeros_like(params.w_r[0])

    def step(params, x, z, *, key=None):
        r = jnp.tanh(x)
        x = (1 - dt) * x + dt * (r @ params.w_r + z @ params.w_z)
        return x, jnp.tanh(x)

    return jrnn.Cell(init, initial_carry, step)


def four_sines(period: int) -> np.ndarray:
    """The pattern (period,), between about -1 and 1."""
    t = 2 * np.pi * np.arange(period) / period
    weights = (1, 1 / 2, 1 / 6, 1 / 3)
    return 0.87 * sum(a * np.sin((n + 1) * t) for n, a in enumerate(weights))


@partial(jax.jit, static_argnums=0)
def forced(cfg: Config, target: jax.Array, key: jax.Array):
    """Output (periods, period) with learning and after, and exponents of both."""
    net_key, start_key = jax.random.split(key)
    cell = chaotic(cfg.force_size)
    silent = jrnn.linear(1, w_init=jax.nn.initializers.zeros)
    net = jrnn.feedback(jrnn.stack(cell, silent))
    params = net.init(net_key, (jnp.zeros(0), jnp.zeros(1)))
    start = net.initial_carry(params)
    x = 0.5 * jax.random.normal(start_key, (cfg.force_size,))
    start = start._replace(cell=(x, ()))
    nothing = lambda periods: jnp.zeros((periods * cfg.period, 0))

    def exponent(params, carry):
        xs = jnp.zeros((cfg.exponent_steps, 0)), None
        return dynamics.largest_exponent(
            net, params, xs, carry=carry, burn_in=cfg.exponent_steps // 3
        )

    learner = online.force(cell, penalty=1.0)
    inputs = nothing(cfg.periods[0]), jnp.tile(target, cfg.periods[0])[:, None]
    step = lambda state, inputs: learner.step(state, *inputs)
    state, during = jrnn.scan(step, learner.init(params, start), inputs)
    alone = nothing(cfg.periods[1]), None
    after = jrnn.unroll(net, state.params, alone, state.carry)[1]
    exponents = exponent(params, start), exponent(state.params, state.carry)
    ys = jnp.concatenate([during, after]).reshape(-1, cfg.period)
    return ys, jnp.stack(exponents)


def run(cfg: Config) -> Result:
    with jax.enable_x64(True):
        keys = [jax.random.key(seed) for seed in cfg.seeds]
        needed = cfg.training_steps + cfg.trials * (cfg.washout + cfg.horizon)
        ys = jax.jit(mackey_glass, static_argnums=0)(needed + 1000)[1000:]
        over = lambda f, *args: np.array([f(*args, key) for key in keys])
        target = four_sines(cfg.period)
        by_force = [forced(cfg, jnp.asarray(target), key) for key in keys]
        return Result(
            {str(n): over(continued, cfg, n, ys) for n in cfg.sizes},
            {
                name: np.array([over(capacity, cfg, k, n) for n in cfg.memory_sizes])
                for name, k in KINDS.items()
            },
            cfg.memory_sizes,
            target,
            np.array([found for found, _ in by_force]),
            cfg.periods[0],
            np.array([exponents for _, exponents in by_force]),
        )


def errors(result: Result) -> np.ndarray:
    """Error (seeds, periods) over the size of the target, both root mean squares."""
    square = lambda a: np.sqrt(np.square(a).mean(axis=-1))
    return square(result.output - result.target) / square(result.target)


def summary(result: Result) -> dict:
    error = errors(result)
    reported = {size: np.log10(value) for size, (_, value) in LITERATURE.items()}
    return {
        "log10_NRMSE84": {
            size: spread(np.log10(found[:, -1])) | {"reported": reported.get(size)}
            for size, found in result.nrmse.items()
        },
        "memory_capacity": {
            name: {
                str(size): spread(row)
                for size, row in zip(result.memory_sizes, found, strict=True)
            }
            for name, found in result.memory.items()
        },
        "force_relative_error": {
            "first period of learning": spread(error[:, 0]),
            "last period of learning": spread(error[:, result.learning - 1]),
            "first period after it": spread(error[:, result.learning]),
            "last period after it": spread(error[:, -1]),
        },
        "largest_exponent_per_time_constant": {
            name: spread(10 * result.exponents[:, n])
            for n, name in enumerate(("before learning", "after it"))
        },
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(3, 1, figsize=(7.4, 8), layout="constrained")
    plot_continued(axes[0], result)
    plot_memory(axes[1], result)
    plot_force(axes[2], result)
    for each in axes:
        each.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def plot_continued(axes: plt.Axes, result: Result) -> None:
    for colour, (size, found) in zip(COLOURS, result.nrmse.items(), strict=False):
        ahead = np.arange(1, found.shape[1] + 1)
        for n, row in enumerate(found):
            label = None if n else f"{size} units, each seed"
            axes.semilogy(ahead, row, color=colour, linewidth=0.9, label=label)
        if size in LITERATURE:
            name, value = LITERATURE[size]
            label = f"{size} units, {name}"
            axes.plot(84, value, "*", color=colour, markersize=10, label=label)
    axes.set(xlabel="steps ahead", ylabel="error / deviation of the series")
    axes.set_title("Mackey-Glass continued: near the published errors", fontsize=10)


def plot_memory(axes: plt.Axes, result: Result) -> None:
    sizes = np.array(result.memory_sizes)
    axes.plot(sizes, sizes - 1, "k:", label="N - 1, the most there can be")
    for colour, marker, (name, found) in zip(
        COLOURS, "osD", result.memory.items(), strict=True
    ):
        axes.errorbar(
            sizes, found.mean(axis=1), found.std(axis=1), color=colour, marker=marker,
            markersize=4, linewidth=1, label=name,
        )  # fmt: skip
    axes.set(xlabel="units N", ylabel="past inputs remembered")
    axes.set_title("What is not linear remembers less", fontsize=10)


def plot_force(axes: plt.Axes, result: Result) -> None:
    last, shown = result.learning, result.output[0]
    first = max(0, last - 2)
    ys, periods = shown[first:], len(shown) - first
    time = first + np.arange(ys.size) / len(result.target)
    axes.plot(
        time, np.tile(result.target, periods), color="#bbbbbb", linewidth=3,
        label="target",
    )  # fmt: skip
    axes.plot(time, ys.ravel(), color=COLOURS[0], linewidth=1, label="network")
    axes.axvline(last, color="black", linestyle=":", linewidth=1, label="learning ends")
    axes.set(xlabel="period", ylabel="output")
    axes.set_title("A random network goes on with what FORCE taught it", fontsize=10)


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("reservoir", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
