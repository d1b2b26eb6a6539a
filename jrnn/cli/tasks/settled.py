"""Options that are left to the data."""

import dataclasses
from typing import Any

import numpy as np

from jrnn.cli.tasks.examples import Examples


def settle(config: Any, data: Examples) -> Any:
    """Fill in what is 0 for "as the data suggest".

    With n the examples of the training part and m their steps in all:

        batch_size = 32, or n / 8 if that is less, at least 4
        hidden_size = 64 up to 100,000 steps, then 128
        steps = 40 passes over the data, at least 600, at most 6,000
    """
    n = len(data.train.inputs)
    m = int(data.train.inputs.lengths.sum())
    batch = config.batch_size or int(np.clip(n // 8, 4, 32))
    hidden = config.hidden_size or (64 if m <= 100_000 else 128)
    steps = config.steps or int(np.clip(40 * n / batch, 600, 6000))
    log = config.log_every or max(1, min(50, steps // 20))
    return dataclasses.replace(
        config,
        batch_size=batch,
        hidden_size=hidden,
        steps=steps,
        learning_rate=config.learning_rate or 3e-3,
        log_every=log,
        eval_every=config.eval_every or max(log, steps // 20),
        test=tuple(file.resolve() for file in config.test),
    )
