"""What is to be run, and what came of it."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jrnn.sweep.space import Config

Status = Literal["done", "diverged", "refused", "out of memory"]


# of a table, beside hyperparameters and metrics
COLUMNS = ("run", "seed", "status", "seconds", "side_by_side", "note")


class Trial(NamedTuple):
    """One run that is to be made."""

    number: int  # its place in the sweep
    config: Config
    seed: int


class Run(NamedTuple):
    """One run that was made, or why it was not."""

    number: int
    config: Config
    seed: int
    status: Status  # diverged: a metric ended infinite or not a number
    metrics: dict[str, Any]  # numbers, or lists of them over time; empty if not run
    seconds: float  # its share of the wall time
    batch_size: int  # runs that were computed side by side on a device
    note: str = ""  # why it was refused, what to try


def trials_of(space: Iterable[Config], seeds: int | Sequence[int]) -> list[Trial]:
    """Every configuration with every seed, in this order."""
    space = list(space)
    seeds = list(range(seeds)) if isinstance(seeds, int) else [int(s) for s in seeds]
    if not space:
        raise ValueError("sweep: the space is empty, there is nothing to run.")
    if not seeds:
        raise ValueError("sweep: seeds must be at least 1.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"sweep: seeds must differ, got {seeds}.")
    names = set(space[0])
    if taken := names & set(COLUMNS):
        raise ValueError(
            f"sweep: {', '.join(sorted(taken))} is a column of the table's own. Give "
            "the hyperparameter another name; seeds are given by seeds."
        )
    for n, config in enumerate(space):
        if set(config) != names:
            raise ValueError(
                f"sweep: all configurations need the same names. The first has "
                f"{sorted(names)}, number {n} has {sorted(config)}."
            )
    pairs = [(config, seed) for config in space for seed in seeds]
    return [Trial(n, config, seed) for n, (config, seed) in enumerate(pairs)]


def groups_of(
    trials: Sequence[Trial], structural: Sequence[str]
) -> list[tuple[Config, list[Trial]]]:
    """Trials that one program can run: alike in all that decides shapes.

    Structural are the names given, and whatever cannot be an array.
    """
    names = set(trials[0].config) if trials else set()
    for name in structural:
        if trials and name not in names:
            raise ValueError(
                f"sweep: structural names {name}, the configurations have "
                f"{', '.join(sorted(names))}."
            )
    fixed = [
        name
        for name in (trials[0].config if trials else ())
        if name in structural or not all(is_number(t.config[name]) for t in trials)
    ]
    groups: dict[str, tuple[Config, list[Trial]]] = {}
    for trial in trials:
        values = {name: trial.config[name] for name in fixed}
        groups.setdefault(repr(values), (values, []))[1].append(trial)
    return list(groups.values())


def stacked(
    trials: Sequence[Trial], fixed: Config
) -> tuple[dict[str, np.ndarray], Any]:
    """Hyperparameters (N,) of a group by name, and seeds (N,)."""
    names = [name for name in trials[0].config if name not in fixed]
    values = {
        name: np.array([trial.config[name] for trial in trials]) for name in names
    }
    return values, np.array([trial.seed for trial in trials], np.uint32)


def checked(
    trials: Sequence[Trial], valid: Callable[[Config], None] | None
) -> tuple[list[Trial], list[Run]]:
    """The trials whose configurations are valid, and refusals of the others."""
    if valid is None:
        return list(trials), []
    good, refused = [], []
    for trial in trials:
        try:
            valid(trial.config)
            good.append(trial)
        except ValueError as error:
            refused.append(Run(*trial, "refused", {}, 0.0, 0, str(error)))
    return good, refused


def outcome(trial: Trial, metrics: dict, seconds: float, batch_size: int) -> Run:
    """The run of a trial, from its metrics as arrays."""
    values = {name: np.asarray(array).tolist() for name, array in metrics.items()}
    seconds = round(seconds, 6)
    ended = all(np.isfinite(last(value)).all() for value in values.values())
    return Run(*trial, "done" if ended else "diverged", values, seconds, batch_size)


def last(value: Any) -> Any:
    """A metric at the end of a run."""
    return value[-1] if isinstance(value, list) and value else value


def is_number(value: Any) -> bool:
    """Whether a value of a configuration can be traced as an array."""
    kinds = (int, float, np.integer, np.floating)
    return isinstance(value, kinds) and (
        isinstance(value, float) or math.isfinite(value)
    )
