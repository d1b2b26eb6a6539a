"""How much faster are 512 trainings as one program than one after the other?

Each training: a tanh network of 32 units reads 50 steps of two numbers and learns a
function of them at the last step, 8 sequences in a batch, 200 updates of Adagrad with
clipping; 64 pairs of learning rate and clipping threshold by 8 seeds. Compared, side by
side in one process:

* `jrnn.sweep` with "vmap", "map", batches of 16 side by side, and "auto", on all cores;
* one compiled function with traced hyperparameters, called 512 times, on `jrnn.scan`;
* the same on plain `lax.scan`, written as in a textbook;
* PyTorch, 16 of the trainings, on one thread and on all, counted 32 times.

Compiling is measured apart. Losses are compared: all ways train alike for the first ten
updates, but for the largest learning rates, at which training is chaotic.

Expect: on two cores the sweep takes less than half of the time of calls one by one. Not
since networks are trained side by side, which for products this small gains nothing on
a CPU; but the cores need not wait for each other, and a product of one thread is faster
where it is tiny, which "auto" finds out.

Time: about three minutes on two CPU cores; PyTorch is optional.
"""

import importlib.util
import os
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from jrnn import optimizers
from jrnn.devices import provide_cores
from jrnn.sweep import grid, sweep


@dataclass(frozen=True)
class Config:
    hidden_size: int = 32
    """Units."""
    steps: int = 50
    """Length of a sequence."""
    batch_size: int = 8
    """Sequences in an update."""
    updates: int = 200
    """Of each training."""
    rates: int = 16
    """Learning rates, 0.001 to 0.3."""
    clips: int = 4
    """Thresholds, 0.1 to 10."""
    seeds: int = 8
    """Initial weights for each pair."""
    torch_runs: int = 16
    """Trainings by PyTorch, from which all are counted."""
    rounds: int = 3
    """Times that everything is measured; the least counts."""


SMOKE = Config(2, 3, 2, 2, rates=2, clips=1, seeds=2, torch_runs=1, rounds=1)


@dataclass(frozen=True)
class Result:
    runs: int
    seconds: dict[str, list[float]]  # by way: of all runs, in each round
    compile_seconds: dict[str, float]
    chosen: tuple[int, bool]  # by auto: runs side by side, products of one thread
    programs: dict[str, int]
    rates: list[float]
    distance: (
        np.ndarray
    )  # (rates,) between ways, of the losses of the first ten updates


def problem(cfg: Config):
    """Inputs (updates, B, T, 2) and what the last step should say (updates, B)."""
    rng = np.random.default_rng(0)
    shape = (cfg.updates, cfg.batch_size, cfg.steps, 2)
    xs = rng.uniform(-1, 1, shape).astype(np.float32)
    return xs, np.tanh(xs[..., -5:, :].sum((2, 3))).astype(np.float32)


def training(cfg: Config, loop):
    """`run(config, key)`; `loop(step, h, xs)` is the scan."""
    model = jrnn.stack(jrnn.elman(cfg.hidden_size), jrnn.linear(1))
    xs, targets = map(jnp.asarray, problem(cfg))

    def run(config, key):
        rule = optimizers.adagrad(config["learning_rate"], config["clip"])
        params = model.init(key, xs[0, 0, 0])

        def loss(params, xs, targets):
            step = lambda carry, x: model.step(params, carry, x)
            last = lambda xs: loop(step, model.initial_carry(params), xs)[1][-1, 0]
            return jnp.square(jax.vmap(last)(xs) - targets).mean()

        def update(state, data):
            params, memory = state
            value, g = jax.value_and_grad(loss)(params, *data)
            steps, memory = rule.update(g, memory, params)
            return (jax.tree.map(jnp.add, params, steps), memory), value

        _, losses = jax.lax.scan(update, (params, rule.init(params)), (xs, targets))
        return {"loss": losses}

    return run


def textbook(step, carry, xs):
    """`lax.scan`, and the loop alone: all of the step is inside."""
    return jax.lax.scan(step, carry, xs)


def run(cfg: Config) -> Result:
    space = grid(
        learning_rate=np.geomspace(1e-3, 0.3, cfg.rates).tolist(),
        clip=np.geomspace(0.1, 10, cfg.clips).tolist(),
    )
    number = len(space) * cfg.seeds
    ours = training(cfg, jrnn.scan)
    one_by_one = {
        "jrnn, one by one": ours,
        "lax.scan, one by one": training(cfg, textbook),
    }
    ways = {
        "sweep, vmap": {"method": "vmap"},
        "sweep, 16 side by side": {"method": "vmap", "batch_size": 16},
        "sweep, map": {"method": "map"},
        "sweep, auto": {"method": "auto"},
    }
    compiling, programs, seconds, losses = {}, {}, {}, {}
    calls = {}
    for name, function in one_by_one.items():
        begin = time.perf_counter()
        key = jax.random.key(0)
        calls[name] = jax.jit(function).lower(floats(space[0]), key).compile()
        compiling[name] = time.perf_counter() - begin
    for _ in range(cfg.rounds):
        for name, options in ways.items():
            begin = time.perf_counter()
            found = sweep(ours, space, seeds=cfg.seeds, **options)
            taken = time.perf_counter() - begin
            (group,) = found.groups
            compiling[name] = min(group.compile_seconds, compiling.get(name, np.inf))
            seconds.setdefault(name, []).append(taken - group.compile_seconds)
            programs[name] = group.programs
            losses[name] = np.array([r.metrics["loss"] for r in found.runs])
            if name == "sweep, auto":
                chosen = group.batch_size, group.one_thread
        for name, call in calls.items():
            begin = time.perf_counter()
            rows = [
                np.asarray(call(floats(config), jax.random.key(seed))["loss"])
                for config in space
                for seed in range(cfg.seeds)
            ]
            seconds.setdefault(name, []).append(time.perf_counter() - begin)
            losses[name] = np.array(rows)
        for threads in torch_threads():
            name = f"PyTorch, {threads} thread{'s'[: threads > 1]}"
            taken = torch_seconds(cfg, space, threads)
            seconds.setdefault(name, []).append(taken * number / cfg.torch_runs)
    apart = distances(cfg, list(losses.values()))
    rates = [config["learning_rate"] for config in space[:: cfg.clips]]
    return Result(number, seconds, compiling, chosen, programs, rates, apart)


def distances(cfg: Config, losses: list[np.ndarray]) -> np.ndarray:
    """Largest distance of the first ten losses between ways, by learning rate."""
    first = np.stack(losses)[..., :10]  # (ways, runs, 10)
    distance = np.ptp(first, axis=0).max(axis=-1)
    return distance.reshape(cfg.rates, -1).max(axis=1)


def floats(config: dict) -> dict:
    """Traced in a compiled call, so that every configuration is of one kind."""
    return {name: jnp.float32(value) for name, value in config.items()}


def torch_threads() -> list[int]:
    if importlib.util.find_spec("torch") is None:
        return []
    return sorted({1, os.cpu_count() or 1})


def torch_seconds(cfg: Config, space: list[dict], threads: int) -> float:
    """Of some trainings by PyTorch's own network and optimiser."""
    import torch

    torch.set_num_threads(threads)
    xs, targets = (torch.from_numpy(array) for array in problem(cfg))
    begin = time.perf_counter()
    for config in space[: cfg.torch_runs]:
        layer = torch.nn.RNN(2, cfg.hidden_size, batch_first=True)
        readout = torch.nn.Linear(cfg.hidden_size, 1)
        weights = [*layer.parameters(), *readout.parameters()]
        rule = torch.optim.Adagrad(weights, config["learning_rate"])
        for x, target in zip(xs, targets, strict=True):
            rule.zero_grad()
            out, _ = layer(x)
            (readout(out[:, -1])[:, 0] - target).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(weights, config["clip"])
            rule.step()
    return time.perf_counter() - begin


def summary(result: Result) -> dict:
    least = {name: min(values) for name, values in result.seconds.items()}
    sweep_ = least["sweep, auto"]
    torch = [value for name, value in least.items() if name.startswith("PyTorch")]
    fixed = [least[n] for n in least if n.startswith("sweep") and "auto" not in n]
    return {
        "runs": result.runs,
        "milliseconds_a_run": {n: 1e3 * v / result.runs for n, v in least.items()},
        "median_milliseconds_a_run": {
            n: 1e3 * float(np.median(v)) / result.runs
            for n, v in result.seconds.items()
        },
        "auto_over_one_by_one": sweep_ / least["jrnn, one by one"],
        "auto_over_lax_scan_one_by_one": sweep_ / least["lax.scan, one by one"],
        "pytorch_over_auto": min(torch) / sweep_ if torch else None,
        "auto_over_the_best": least["sweep, auto"] / min(fixed),
        "auto_chose": {
            "side_by_side_on_a_device": result.chosen[0],
            "products_of_one_thread": result.chosen[1],
        },
        "programs": result.programs,
        "compile_seconds": result.compile_seconds,
        "largest_difference_in_ten_updates_by_learning_rate": {
            f"{rate:.2g}": distance
            for rate, distance in zip(result.rates, result.distance, strict=True)
        },
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    least = {n: 1e3 * min(v) / result.runs for n, v in result.seconds.items()}
    names = sorted(least, key=least.get)
    colours = ["#0072b2" if n.startswith("sweep") else "#999999" for n in names]
    bars = axes.barh(names, [least[n] for n in names], color=colours)
    axes.bar_label(bars, [f" {least[n]:.3g}" for n in names], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(least["sweep, auto"], color="black", ls=":", lw=0.8)
    axes.set(xscale="log", xlabel="milliseconds a training, least of the rounds")
    axes.set_title(f"{result.runs} trainings of a small tanh network", fontsize=10)
    axes.margins(x=0.15)
    return figure


def main(cfg: Config) -> None:
    provide_cores()
    result = run(cfg)
    metrics = summary(result)
    save("sweep_speed", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
