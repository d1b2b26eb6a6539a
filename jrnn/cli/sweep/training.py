"""One training of a sweep, as a pure function that is traced."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jrnn.cell import Key
from jrnn.cli.options import TrainingOptions
from jrnn.cli.train import evaluated_params
from jrnn.cli.updates import learning_rates, optimizer
from jrnn.cli.workflow import Seeds, Workflow
from jrnn.sweep.space import Config
from jrnn.train import Hyper, init_state


class Swept(NamedTuple):
    """What all trainings of a sweep have in common."""

    workflow: Workflow
    base: TrainingOptions  # the options of them all, not settled
    data: Any
    seeds: int  # 0, 1, ...

    def options(self, config: Config) -> TrainingOptions:
        """One configuration as options of the command, as a run of it would have them.

        What the data decide depends on numbers that are known only.
        """
        known = {n: v for n, v in config.items() if not isinstance(v, Tracer)}
        settled = self.workflow.settle(replace(self.base, **known), self.data)
        traced = {n: v for n, v in config.items() if n not in known}
        return replace(settled, **traced)


def measured_at(options: TrainingOptions) -> np.ndarray:
    """The steps after which the validation loss is measured; the last is one."""
    every, steps = options.eval_every, options.steps
    return np.minimum(every * np.arange(1, -(-steps // every) + 1), steps)


def training(swept: Swept) -> Callable[[Config, Key], dict[str, jax.Array]]:
    """The function `run(config, key) -> metrics` of a sweep.

    The same training as the command makes of these options: `Workflow.traced`, with the
    learning rate warmed up and lowered.
    """
    keys = jax.vmap(jax.random.key)(np.arange(swept.seeds))

    def run(config: Config, key: Key) -> dict[str, jax.Array]:
        options = swept.options(config)
        same = jax.random.key_data(keys) == jax.random.key_data(key)
        seeds = Seeds(swept.seeds, same.all(-1).argmax())
        parts = swept.workflow.traced(options, swept.data, seeds)
        init_key, carry_key, key = jax.random.split(key, 3)
        params = parts.weights(init_key)
        carry, averaged = parts.carry(params, carry_key), options.average > 0
        state = init_state(params, carry, optimizer(options), average=averaged)
        rates, live = _rates(options)

        def part(state, numbered):
            step, rates, live = numbered
            hypers = Hyper(rates, jnp.full_like(rates, options.clip))
            state, metrics = parts.advance(state, step, hypers, key)
            valid = parts.loss(evaluated_params(state))
            train = jnp.sum(metrics.loss * live) / live.sum()
            return state, {"valid_loss": valid, "train_loss": train}

        starts = options.eval_every * jnp.arange(len(rates))
        metrics = jax.lax.scan(part, state, (starts, rates, live))[1]
        best = {"best_loss": metrics["valid_loss"].min()}
        return metrics | (best if swept.workflow.judged == "best_loss" else {})

    return run


def _rates(options: TrainingOptions) -> tuple[jax.Array, jax.Array]:
    """Learning rates from one measurement to the next, (parts, every), and which count.

    The last part may be shorter than the others.
    """
    peak = options.learning_rate  # traced: the course is the same for all
    with jax.ensure_compile_time_eval():
        course = learning_rates(replace(options, learning_rate=1.0), options.steps)
    parts = len(measured_at(options))
    more = parts * options.eval_every - options.steps
    rows = lambda a: np.pad(a, (0, more)).reshape(parts, -1)
    live = rows(np.ones_like(course))
    return peak * jnp.asarray(rows(course)), jnp.asarray(live)
