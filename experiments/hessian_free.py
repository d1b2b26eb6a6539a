"""Does Hessian-free training remember what gradient descent forgets?

Source: Martens, Sutskever (2011), Learning recurrent neural networks with Hessian-free
optimization, ICML: a network of tanh units on the pathological long-term problems of
Hochreiter and Schmidhuber (1997). Here the adding problem, as in
`experiments/adding_problem.py`: a network that has not understood the marks can do no
better than an error of 1/6.

All have the same network and cost, in gradients of one sequence. A step of Hessian-free
training on B sequences counts

    B * (2 + 2 p),   p = (iterations + 1) * k + 1,   k = 2 with structural damping, or 1

one for the gradient, one for the values of its line search, and two for each product
with a curvature matrix, of which structural damping has two in each iteration. Adam and
gradient descent with momentum are clipped, each at several learning rates, of which the
best by the last error is shown. Errors are those of sequences that no method trains on.

Expect (T = 100, 50 units): with structural damping the error of all seeds falls below
0.01, at a cost at which no other method is there at any seed and rate: gradient descent
and Adam at their best rates stay at the baseline. The damping pays for its products.

Not as in the source: 100 units and up to 200 steps of time there, batches of thousands
and hundreds of steps; its rules for the end of conjugate gradients are not those of
`jrnn.train.hessian_free`.

Time: about 5 minutes on two CPU cores.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments import adding_problem
from experiments._results import save, show
from experiments._training import descend
from experiments.adding_problem import BASELINE
from jrnn import optimizers
from jrnn.train import hessian_free, init_state

FIRST_ORDER = {
    "Adam": optimizers.adam,
    "gradient descent": partial(optimizers.sgd, momentum=0.9),
}
DAMPED, UNDAMPED = "Hessian-free", "without structural damping"
COLOURS = {
    DAMPED: "#0072b2",
    UNDAMPED: "#56b4e9",
    "Adam": "#d55e00",
    "gradient descent": "#e69f00",
}


@dataclass(frozen=True)
class Config:
    length: int = 100
    """Steps of a sequence, T."""
    hidden_size: int = 50
    """Units."""
    budget: int = 250_000
    """Gradients of one sequence that each training may cost."""
    curvature_batch: int = 100
    """Sequences in a step of Hessian-free training, all fresh."""
    iterations: int = 20
    """Of conjugate gradients in a step."""
    damping: float = 0.1
    """lambda of the first step."""
    structural: float = 0.1
    """mu of structural damping."""
    batch_size: int = 50
    """Sequences in an update of the others, all fresh."""
    rates: tuple[tuple[str, tuple[float, ...]], ...] = (
        ("Adam", (1e-3, 3e-3)),
        ("gradient descent", (3e-3, 3e-2)),
    )
    """Learning rates of the others."""
    clip: float = 1.0
    """Largest norm of their gradients."""
    points: int = 30
    """Errors that are measured in a training of the others."""
    held_out: int = 500
    """Sequences on which errors are measured."""
    target: float = 0.01
    """Squared error that counts as solved."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network each; they differ in weights and data."""


SMOKE = Config(
    length=6,
    hidden_size=3,
    budget=240,
    curvature_batch=4,
    iterations=2,
    batch_size=4,
    rates=(("Adam", (1e-3, 1e-2)),),
    points=3,
    held_out=10,
    seeds=(0, 1),
)


@dataclass(frozen=True)
class Result:
    target: float
    costs: dict[str, np.ndarray]  # (points,), of those errors
    errors: dict[str, np.ndarray]  # (rates, seeds, points); one rate of Hessian-free
    rates: dict[str, tuple[float, ...]]


def batch(cfg: Config, number: int, key: jax.Array):
    """Sequences (B, T, 2) and their sums (B,)."""
    return adding_problem.batch(
        adding_problem.Config(batch_size=number), cfg.length, key
    )


def network(cfg: Config) -> tuple[jrnn.Cell, jrnn.Cell]:
    """The recurrent layer, and the network with it."""
    layer = jrnn.elman(cfg.hidden_size)
    return layer, jrnn.stack(layer, jrnn.linear(1))


def outputs(model: jrnn.Cell, params, data) -> jax.Array:
    """The answers at the end, (B,)."""
    return jax.vmap(lambda xs: jrnn.unroll(model, params, xs)[1][-1, 0])(data[0])


def half_squares(ys: jax.Array, data) -> jax.Array:
    return jnp.square(ys - data[1]).mean() / 2


def cost_of_step(cfg: Config, structural: bool) -> int:
    """Of a Hessian-free step, in gradients of one sequence."""
    products = (cfg.iterations + 1) * (1 + structural) + 1
    return cfg.curvature_batch * (2 + 2 * products)


def train_hessian_free(cfg: Config, structural: bool):
    """Costs (points,) and errors (seeds, points) after every step."""
    layer, model = network(cfg)

    def states(params, data):
        return jax.vmap(lambda xs: jrnn.unroll(layer, params[0], xs)[1])(data[0])

    init, step = hessian_free(
        partial(outputs, model),
        half_squares,
        iterations=cfg.iterations,
        tolerance=0.0,  # all iterations are made, so that they can be counted
        damping=cfg.damping,
        states=states if structural else None,
        structural=cfg.structural,
    )
    cost = cost_of_step(cfg, structural)
    steps = max(1, cfg.budget // cost)

    def one(key, params, error, _):
        def update(carry, key):
            params, state, _ = step(*carry, batch(cfg, cfg.curvature_batch, key))
            return (params, state), error(params)

        keys = jax.random.split(key, steps)
        return jax.lax.scan(update, (params, init(params)), keys)[1]

    return cost * np.arange(1, steps + 1), for_every_seed(cfg, model, one)[0]


def train_first_order(cfg: Config, name: str, rates: tuple[float, ...]):
    """Costs (points,) and errors (rates, seeds, points)."""
    _, model = network(cfg)
    optimizer = FIRST_ORDER[name]
    block = max(1, cfg.budget // cfg.batch_size // cfg.points)
    loss = lambda params, *data: half_squares(outputs(model, params, data), data)

    def one(key, params, error, rate):
        def update(state, key):
            keys = jax.random.split(key, block)
            batches = lambda n: batch(cfg, cfg.batch_size, keys[n % block])
            state, _ = descend(loss, optimizer, state, batches, block, rate, cfg.clip)
            return state, error(state.params)

        keys = jax.random.split(key, cfg.points)
        return jax.lax.scan(update, init_state(params, (), optimizer), keys)[1]

    costs = block * cfg.batch_size * np.arange(1, cfg.points + 1)
    return costs, for_every_seed(cfg, model, one, rates)


def for_every_seed(
    cfg: Config, model: jrnn.Cell, one: Callable, rates: tuple[float, ...] = (0.0,)
) -> np.ndarray:
    """`one(key, params, error, rate)` of all rates and seeds at once.

    A seed begins with the same weights and has the same held-out sequences everywhere.
    """

    def of_seed(key, rate):
        init_key, test_key, key = jax.random.split(key, 3)
        held_out = batch(cfg, cfg.held_out, test_key)
        params = model.init(init_key, held_out[0][0, 0])
        squares = lambda params: half_squares(
            outputs(model, params, held_out), held_out
        )
        return one(key, params, lambda params: 2 * squares(params), rate)

    keys = jax.vmap(jax.random.key)(jnp.array(cfg.seeds))
    of_all = jax.vmap(jax.vmap(of_seed, (0, None)), (None, 0))
    return np.asarray(jax.jit(of_all)(keys, jnp.array(rates)))


def run(cfg: Config) -> Result:
    rates = dict(cfg.rates)
    costs, errors = {}, {}
    for name, structural in ((DAMPED, True), (UNDAMPED, False)):
        costs[name], found = train_hessian_free(cfg, structural)
        errors[name] = found[None]
    for name, of_rates in rates.items():
        costs[name], errors[name] = train_first_order(cfg, name, of_rates)
    return Result(cfg.target, costs, errors, rates)


def best_rate(errors: np.ndarray) -> int:
    """The place of the rate with the least mean error at the end; NaN is the worst."""
    last = errors[..., -1].mean(axis=1)
    return int(np.where(np.isfinite(last), last, np.inf).argmin())


def summary(result: Result) -> dict:
    """For each method: cost until solved by seed, None if never, and last errors."""

    def solved_at(name, errors):
        below = errors < result.target
        return int(result.costs[name][below.argmax()]) if below.any() else None

    found = {}
    for name, errors in result.errors.items():
        best = best_rate(errors)
        found[name] = {
            "cost": int(result.costs[name][-1]),
            "cost_until_solved": [solved_at(name, row) for row in errors[best]],
            "last_error": errors[best][:, -1],
            "last_error_over_baseline": errors[best][:, -1] / BASELINE,
        }
        if name in result.rates:
            found[name]["learning_rate"] = result.rates[name][best]
            finite = np.where(np.isfinite(errors), errors, np.inf)
            found[name]["least_error_at_any_rate"] = finite.min()
    return found


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, errors in result.errors.items():
        thousands = result.costs[name] / 1000
        rows = errors[best_rate(errors)]
        lines = axes.plot(thousands, rows.T, linewidth=1.3, color=COLOURS[name])
        lines[0].set_label(name)
    axes.axhline(BASELINE, color="black", linestyle=":", linewidth=1)
    axes.axhline(result.target, color="grey", linestyle=":", linewidth=1)
    middle = max(costs[-1] for costs in result.costs.values()) / 2000
    axes.text(0.8 * middle, result.target * 1.08, "solved", fontsize=8)
    axes.text(middle, BASELINE * 1.7, "no memory: 1/6, dotted", fontsize=8)
    axes.set(yscale="log", ylabel="squared error on other sequences")
    axes.set_xlabel("cost, thousands of gradients of one sequence")
    axes.set_title("Adding problem, tanh units: curvature remembers", fontsize=10)
    axes.legend(loc="lower left", fontsize=8)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("hessian_free", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
