"""Settings that work for a dataset of a given size."""

from typing import NamedTuple

from jrnn import _check


class Settings(NamedTuple):
    """How large a model to take, and how to train it."""

    hidden_size: int
    embed_size: int  # of symbols
    dropout: float
    batch_size: int
    steps: int
    learning_rate: float  # of Adam at the start; it falls to 0 along a cosine


def defaults(examples: int) -> Settings:
    """Settings for a task, from the number of examples to learn from.

        batch_size    = 16, 32 or 64: the largest that makes 16 batches an epoch, or 16
        steps         = 40 epochs, but at least 600 and at most 4000
        hidden_size   = 64, from 2000 examples on 128
        embed_size    = 32
        dropout       = 0.2
        learning_rate = 0.004

    Windows of a series overlap: the examples of a forecast are the steps of the series
    over the steps of a window, if there are fewer of these than windows.

    Args:
        examples: sequences for training.

    Returns:
        `Settings`, for the factory of a task and `fit_sequences`.

    Raises:
        ValueError: no examples.

    Example:
        >>> settings = defaults(270)
        >>> settings.batch_size, settings.steps, settings.hidden_size
        (16, 675, 64)
    """
    _check.positive("defaults", "examples", examples)
    batch_size = next((b for b in (64, 32) if examples >= 16 * b), 16)
    epochs = 40 * examples // batch_size
    return Settings(
        hidden_size=128 if examples >= 2000 else 64,
        embed_size=32,
        dropout=0.2,
        batch_size=batch_size,
        steps=min(max(epochs, 600), 4000),
        learning_rate=4e-3,
    )
