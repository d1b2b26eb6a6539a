"""One row of the leaderboard: a cell on a task, timed, or trained for its updates.

Both use the same compiled program, a block of updates of all seeds side by side, so
that what is timed is what is trained.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jrnn
from experiments._board_tasks import Task, layered, outputs
from experiments._training import descend, size, spread
from jrnn import optimizers
from jrnn.models import CELLS
from jrnn.train import init_state

# What runs once need not be fast: of initialisers this is most of the compilation.
QUICKLY = {"xla_backend_optimization_level": 0}


class Program(NamedTuple):
    """Training of a model with every seed, compiled when first called."""

    guess: float  # score without learning
    units: int
    parameters: int
    start: Callable[[], Any]  # a state for each seed
    block: Callable[[Any, np.ndarray], tuple[Any, jax.Array]]  # (state, rates)
    score: Callable[[Any], jax.Array]  # params of each seed -> (seeds,)


def numbers(task: Task, model: jrnn.Cell) -> int:
    """Parameters of a model, without making them."""
    return size(jax.eval_shape(model.init, jax.random.key(0), task.example))


def sized(task: Task, name: str, cfg) -> int:
    """Units of a layer for which the parameters are nearest to `cfg.parameters`."""
    model = lambda units: layered(task, CELLS[name], units, cfg.layers)
    apart = multiple_of(task, model)
    count = lambda n: numbers(task, model(n * apart))
    most = 4  # which each of them can have
    while count(most) < cfg.parameters:
        most *= 2
    least = most // 2 + 1
    while least < most:  # the first that has enough
        middle = (least + most) // 2
        least, most = (
            (least, middle) if count(middle) >= cfg.parameters else (middle + 1, most)
        )
    off = lambda n: abs(count(n) - cfg.parameters)
    return apart * min((least - 1, least), key=off)


def multiple_of(task: Task, model: Callable[[int], jrnn.Cell]) -> int:
    """The number that a cell's units must be a multiple of; clockwork has modules."""
    for apart in (1, 2, 4, 8):
        try:
            numbers(task, model(3 * apart))
        except ValueError:
            continue
        return apart
    raise ValueError("multiple_of: the cell takes no number of units below 25.")


def program(task: Task, name: str, units: int, cfg) -> Program:
    model = layered(task, CELLS[name], units, cfg.layers)
    keys = jax.vmap(jax.random.key)(jnp.array(cfg.seeds))
    data, test = jax.tree.map(jnp.asarray, (task.data, task.test))

    def loss(params, inputs, targets):
        return task.loss(outputs(model, params, inputs), targets)

    @partial(jax.jit, compiler_options=QUICKLY)
    def start(keys):
        init = lambda key: model.init(jax.random.fold_in(key, 0), task.example)
        return jax.vmap(lambda key: init_state(init(key), (), optimizers.adam))(keys)

    @jax.jit
    def block(state, keys, data, rates):
        def one(state, key):
            own = jax.random.fold_in(key, 1)
            batches = lambda n: task.batch(data, jax.random.fold_in(own, n))
            state, losses = descend(
                loss, optimizers.adam, state, batches, cfg.block, rates, cfg.clip
            )
            return state, losses.mean()

        return jax.vmap(one)(state, keys)

    @jax.jit
    def score(params, inputs, targets):
        judge = lambda params: task.score(outputs(model, params, inputs), targets)
        return jax.vmap(judge)(params)

    return Program(
        task.guess,
        units,
        numbers(task, model),
        lambda: start(keys),
        lambda state, rates: block(state, keys, data, jnp.asarray(rates, jnp.float32)),
        lambda params: score(params, *test),
    )


# Time


def warm(p: Program, cfg) -> Callable[[], None]:
    """A block of updates, compiled, that goes on from call to call."""
    rates = np.full(cfg.block, cfg.learning_rates[0])
    state = p.block(p.start(), rates)[0]

    def go_on() -> None:
        nonlocal state
        state = jax.block_until_ready(p.block(state, rates))[0]

    return go_on


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def timed(reference: Callable[[], None], cell: Callable[[], None], cfg) -> dict:
    """Least seconds of an update of cell and reference, block by block in turn."""
    least = dict.fromkeys([(of, clock) for of in (cell, reference) for clock in CLOCKS])
    for _ in range(cfg.rounds):
        for go_on in (reference, cell):
            begin = {name: clock() for name, clock in CLOCKS.items()}
            go_on()
            for name, clock in CLOCKS.items():
                seconds = (clock() - begin[name]) / cfg.block
                least[go_on, name] = min(seconds, least[go_on, name] or seconds)
    return {
        name: {"seconds": least[cell, name], "reference": least[reference, name]}
        for name in CLOCKS
    }


# Training


def trained(p: Program, updates: int, cfg) -> dict:
    """Scores of every seed after so many updates, at the best rate of the grid.

    Each rate is tried with every seed for a share of the updates; the one with the
    least mean loss, over seeds and the second half of its trial, is trained with from
    the beginning, and falls to 0 along a cosine.
    """
    tried = max(1, round(cfg.trial * updates / cfg.block)) * cfg.block
    losses = [descent(p, np.full(tried, rate), cfg)[1] for rate in cfg.learning_rates]
    means = [float(np.mean(rows[:, rows.shape[1] // 2 :])) for rows in losses]
    best = int(np.argmin(np.where(np.isfinite(means), means, np.inf)))
    falling = optax.cosine_decay_schedule(cfg.learning_rates[best], updates)
    params, rows = descent(p, falling(np.arange(updates)), cfg)
    scores = np.asarray(p.score(params), float)
    return {
        "units": p.units,
        "parameters": p.parameters,
        "updates": updates,
        "updates_of_each_trial": tried,
        "loss_of_trial_by_rate": {
            f"{rate:g}": finite(mean)
            for rate, mean in zip(cfg.learning_rates, means, strict=True)
        },
        "learning_rate": cfg.learning_rates[best],
        "last_loss": [finite(x) for x in rows[:, -1]],
        "score_by_seed": [finite(x) for x in scores],
        "score": spread(scores) if np.isfinite(scores).all() else None,
        "guess": p.guess,
    }


def descent(p: Program, rates, cfg) -> tuple[Any, np.ndarray]:
    """Parameters of every seed, and their losses by block (seeds, blocks)."""
    state, losses = p.start(), []
    for part in np.asarray(rates).reshape(-1, cfg.block):
        state, loss = p.block(state, part)
        losses.append(np.asarray(loss))
    return state.params, np.stack(losses, axis=1)


def finite(x) -> float | None:
    """The number, or None for what JSON cannot hold: training diverged."""
    return float(x) if np.isfinite(x) else None
