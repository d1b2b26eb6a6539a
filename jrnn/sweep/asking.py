"""What Optuna asks for: a round of configurations, from how the rounds before ended."""

import contextlib
import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from jrnn.sweep.runs import is_number
from jrnn.sweep.space import Choice, Config, LogUniform, Uniform

Axis: TypeAlias = Uniform | LogUniform | Choice
# A point of the axes as JSON holds it: by name a number, or the place of the value of a
# choice; none of a constant.
Point = dict[str, float | int]
TRIES = 200  # points asked for in vain, since there are such already


def asked(
    axes: Mapping[str, Axis],
    number: int,
    seed: Sequence[int],
    told: Sequence[tuple[Point, float]],
) -> list[Point]:
    """Points that a study asks for when it has been told of others.

    The study is made for this call, so that the answer depends on the arguments alone:
    nothing that a killed process could leave half written.

    Args:
        axes: what is searched, by name.
        number: points to ask for, all of them before any is told. None is among those
            told, nor is one asked for twice.
        seed: of the sampler, some integers.
        told: points and their values, of which less is better; inf for a failure.

    Raises:
        ValueError: there are not so many points.
    """
    optuna = package()
    distributions = {
        name: _distribution(optuna, axis)
        for name, axis in axes.items()
        if not _is_constant(axis)
    }
    sampler = optuna.samplers.TPESampler(
        seed=int(np.random.SeedSequence(list(seed)).generate_state(1)[0]),
        n_startup_trials=min(number, 10),
        multivariate=True,
        constant_liar=True,  # keeps the points of a round apart
    )
    with _quiet(optuna):
        study = optuna.create_study(sampler=sampler)
        study.add_trials(
            optuna.trial.create_trial(
                params=point, distributions=distributions, value=value
            )
            for point, value in told
        )
        known, points = [point for point, _ in told], []
        for _ in range(number + TRIES):
            point = study.ask(distributions).params
            if point not in known:
                points.append(point)
                known.append(point)
            if len(points) == number:
                return points
    raise ValueError(
        f"optuna_search: the axes hold fewer than {len(known) + 1} configurations that "
        "differ. Give a wider range, or fewer rounds."
    )


def package() -> ModuleType:
    """Optuna, or an error that says how to install it."""
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise ImportError(
            "optuna_search: the package optuna is missing. Install it: "
            'pip install "jrnn[optuna]"'
        ) from error


def check_axes(axes: Mapping[str, Axis]) -> None:
    """Raise where axes are of another kind, or hold nothing to search in."""
    for name, axis in axes.items():
        if not isinstance(axis, Uniform | LogUniform | Choice):
            raise TypeError(
                f"optuna_search: {name} must be Uniform, LogUniform or Choice, "
                f"got {type(axis).__name__}. For a constant give Choice((value,))."
            )
        if isinstance(axis, Choice):
            if not axis.values:
                raise ValueError(f"optuna_search: {name} has no values.")
            continue
        if not (all(map(math.isfinite, axis)) and axis.low <= axis.high):
            raise ValueError(
                f"optuna_search: {name} must go from low to high, "
                f"got {axis.low} to {axis.high}."
            )
        if isinstance(axis, LogUniform) and axis.low <= 0:
            raise ValueError(
                f"optuna_search: LogUniform {name} must start above 0, got {axis.low}."
            )
    if not any(not isinstance(a, Choice) and a.low < a.high for a in axes.values()):
        raise ValueError(
            "optuna_search: no axis is a range, Uniform or LogUniform. Combinations of "
            "listed values are all made by sweep(run, grid(...))."
        )


def config_at(axes: Mapping[str, Axis], point: Point) -> Config:
    """The configuration at a point."""
    return {name: _value(axis, point.get(name, 0)) for name, axis in axes.items()}


def _is_constant(axis: Axis) -> bool:
    return isinstance(axis, Choice) and len(axis.values) == 1


def _value(axis: Axis, at: Any) -> Any:
    if not isinstance(axis, Choice):
        return at
    numbers = all(map(is_number, axis.values))
    # the program of a round without the 2.5 of (1, 2.5) takes those with it too
    mixed = numbers and any(isinstance(value, float) for value in axis.values)
    return float(axis.values[at]) if mixed else axis.values[at]


def _distribution(optuna: ModuleType, axis: Axis) -> Any:
    of = optuna.distributions
    if isinstance(axis, Choice):
        return of.CategoricalDistribution(range(len(axis.values)))
    return of.FloatDistribution(*axis, log=isinstance(axis, LogUniform))


@contextlib.contextmanager
def _quiet(optuna: ModuleType) -> Iterator[None]:
    """Without a line on the standard error for every study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
