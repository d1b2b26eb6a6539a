"""Options that are left to the data."""

import dataclasses
from typing import Any

from jrnn.cli.tasks.examples import Examples
from jrnn.tasks import defaults


def settle(config: Any, data: Examples) -> Any:
    """Fill in what is 0 for "as the data suggest", by `jrnn.tasks.defaults`.

    Where another batch size is given, the number of passes over the data stays.
    """
    config = settle_for(config, len(data.train.inputs))
    test = tuple(file.resolve() for file in config.test)
    return dataclasses.replace(config, test=test)


def settle_for(config: Any, examples: int) -> Any:
    """The same for so many examples to learn from."""
    suggested = defaults(examples)
    batch = config.batch_size or suggested.batch_size
    steps = config.steps or max(1, suggested.steps * suggested.batch_size // batch)
    log = config.log_every or max(1, min(50, steps // 20))
    return dataclasses.replace(
        config,
        batch_size=batch,
        hidden_size=config.hidden_size or suggested.hidden_size,
        steps=steps,
        learning_rate=config.learning_rate or suggested.learning_rate,
        log_every=log,
        eval_every=config.eval_every or max(log, steps // 20),
    )
