"""Rule and course of the updates of a run, and the steps at which something is done."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from jrnn import optimizers
from jrnn.cli.options import TrainingOptions


class Intervals(NamedTuple):
    """Intervals in steps, each a multiple of the one before it."""

    call: int  # steps in one compiled call
    log: int
    evaluate: int
    save: int
    sample: int  # 0: none but the last
    steps: int


def intervals_of(config: TrainingOptions, start: int = 0) -> Intervals:
    """Intervals of a run that begins at a step: evaluations and checkpoints at logs."""
    up = lambda n: -(-n // config.log_every) * config.log_every
    # calls must meet at every log step, at the first step and at the last one
    together = math.gcd(config.log_every, config.steps, start)
    most = config.steps_per_call
    return Intervals(
        call=max(n for n in range(1, most + 1) if together % n == 0),
        log=config.log_every,
        evaluate=up(config.eval_every),
        save=up(config.save_every),
        sample=up(config.sample_every),
        steps=config.steps,
    )


def learning_rates(config: TrainingOptions, steps: int) -> np.ndarray:
    """The learning rate of every step, (steps,)."""
    peak, warmup = config.learning_rate, config.rise
    rest = max(1, steps - warmup)
    falling = {
        "cosine": optax.cosine_decay_schedule(peak, rest),
        "linear": optax.linear_schedule(peak, 0.0, rest),
        "constant": optax.constant_schedule(peak),
    }[config.schedule]
    rising = optax.linear_schedule(0.0, peak, max(1, warmup))
    n = jnp.arange(steps)
    # the first step counts as 1 of the warm-up: a step of rate 0 would be wasted
    rates = jnp.where(n < warmup, rising(n + 1), falling(jnp.maximum(n - warmup, 0)))
    return np.asarray(rates, np.float32)


def optimizer(config: TrainingOptions):
    """The optimiser of a configuration, `(learning_rate, max_norm) -> rule`."""
    if config.optimizer == "adamw":
        return lambda rate, norm: optimizers.adamw(
            rate, norm, weight_decay=config.weight_decay
        )
    return getattr(optimizers, config.optimizer)
