"""Spaces: lists of configurations, from a grid or drawn at random."""

import itertools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

Config = dict[str, Any]


class Uniform(NamedTuple):
    """Numbers drawn evenly between two."""

    low: float
    high: float


class LogUniform(NamedTuple):
    """Positive numbers whose logarithms are drawn evenly between two."""

    low: float
    high: float


class Choice(NamedTuple):
    """One of some values, each as likely."""

    values: tuple[Any, ...]


def grid(**axes: Iterable[Any]) -> list[Config]:
    """Every combination of the values given; the last axis changes fastest.

    Args:
        **axes: the values of each hyperparameter, at least one.

    Returns:
        A list of configurations. Lists can be joined: `grid(...) + grid(...)`.

    Raises:
        ValueError: an axis without values.

    Example:
        >>> grid(rate=[0.1, 1.0], cell=["gru", "lstm"])[1:3]
        [{'rate': 0.1, 'cell': 'lstm'}, {'rate': 1.0, 'cell': 'gru'}]
    """
    values = {name: list(axis) for name, axis in axes.items()}
    for name, axis in values.items():
        if not axis:
            raise ValueError(f"grid: {name} has no values.")
    return [
        dict(zip(values, chosen, strict=True))
        for chosen in itertools.product(*values.values())
    ]


def draw(number: int, seed: int, **axes: Uniform | LogUniform | Choice) -> list[Config]:
    """Configurations drawn at random, each hyperparameter independently.

    Args:
        number: configurations to draw.
        seed: of the generator; the same seed gives the same list.
        **axes: `Uniform(low, high)`, `LogUniform(low, high)` or `Choice(values)`.

    Returns:
        A list of configurations.

    Raises:
        ValueError: limits that are not in order, a logarithm of nothing, no values.
        TypeError: an axis of another kind.

    Example:
        >>> space = draw(3, 0, rate=LogUniform(1e-3, 1.0), clip=Choice((1.0, 5.0)))
        >>> len(space), all(1e-3 <= config["rate"] <= 1 for config in space)
        (3, True)

    References:
        Bergstra, Bengio (2012), Random search for hyper-parameter optimization,
        jmlr.org/papers/v13/bergstra12a.html.
    """
    if number < 1:
        raise ValueError(f"draw: number must be at least 1, got {number}.")
    rng = np.random.default_rng(seed)
    columns = {name: _numbers(name, axis, number, rng) for name, axis in axes.items()}
    return [{name: columns[name][n] for name in columns} for n in range(number)]


def _numbers(name: str, axis, number: int, rng: np.random.Generator) -> list:
    if isinstance(axis, Choice):
        if not axis.values:
            raise ValueError(f"draw: {name} has no values.")
        return [axis.values[i] for i in rng.integers(0, len(axis.values), number)]
    if not isinstance(axis, Uniform | LogUniform):
        raise TypeError(
            f"draw: {name} must be Uniform, LogUniform or Choice, "
            f"got {type(axis).__name__}. For listed values use grid."
        )
    low, high = axis
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"draw: {name} must go from low to high, got {low} to {high}.")
    if isinstance(axis, Uniform):
        return [float(x) for x in rng.uniform(low, high, number)]
    if low <= 0:
        raise ValueError(f"draw: LogUniform {name} must start above 0, got {low}.")
    return [float(x) for x in np.exp(rng.uniform(np.log(low), np.log(high), number))]
