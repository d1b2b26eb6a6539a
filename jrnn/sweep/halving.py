"""Successive halving: train all a little, keep the best, train those longer."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jrnn.devices import Devices, placed
from jrnn.sweep.execute import mesh_for
from jrnn.sweep.processes import gathered
from jrnn.sweep.runs import Trial, groups_of, stacked, trials_of
from jrnn.sweep.space import Config

StartFn = Callable[[Config, jax.Array], Any]  # (config, key) -> state
TrainFn = Callable[[Config, Any, int], tuple[Any, jax.Array]]


class Rung(NamedTuple):
    """Configurations after so many steps, the best first."""

    steps: int  # made so far by each run here
    configs: list[Config]
    losses: list[float]  # means over seeds; inf where a run diverged


class _Part(NamedTuple):
    """What goes on in one program: the runs of a group that are left."""

    fixed: Config
    trials: list[Trial]
    state: Any  # (N, ...) on every leaf


def successive_halving(
    start: StartFn,
    train: TrainFn,
    space: Iterable[Config],
    *,
    steps: Sequence[int],
    keep: float = 1 / 3,
    seeds: int | Sequence[int] = 1,
    structural: Sequence[str] = (),
    devices: Devices | None = None,
) -> list[Rung]:
    """Train every configuration a little and go on with the best share of them.

        n_1 = n,   n_{k+1} = max(1, round(keep * n_k)) without those that diverged

    After rung k every configuration left has made `steps[k]` steps. The runs that go on
    are packed together anew, so that a smaller rung is less work and not the same work
    with some of it unused; each rung is compiled once for each group. With `keep=1`
    only runs that diverged are stopped.

    Args:
        start: `start(config, key) -> state`, a pytree of arrays.
        train: `train(config, state, num_steps) -> (state, loss)`, pure; `num_steps` is
            a Python number. Whatever training needs to go on is in the state, keys too.
        space: configurations.
        steps: steps in all at the end of each rung, rising.
        keep: share of configurations that goes on, in (0, 1].
        seeds: how many (0, 1, ...), or which; losses are means over them.
        structural: names of numbers that decide shapes.
        devices: to spread runs over, as in `sweep`.

    Returns:
        A `Rung` for each of `steps`; the last one's first configuration is the best.

    Raises:
        ValueError: an empty space, steps that do not rise, a share outside (0, 1].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jrnn.sweep import grid
        >>> start = lambda config, key: 1 + jax.random.uniform(key)
        >>> def train(config, x, num_steps):  # gradient descent on x^2
        ...     x = x * (1 - 2 * config["rate"]) ** num_steps
        ...     return x, x**2
        >>> rungs = successive_halving(
        ...     start, train, grid(rate=[0.01, 0.1, 0.4, 2.0]), steps=[4, 8], keep=0.5,
        ...     devices=1)
        >>> [config["rate"] for config in rungs[-1].configs]
        [0.4, 0.1]

    References:
        Jamieson, Talwalkar (2016), Non-stochastic best arm identification and
        hyperparameter optimization, arXiv:1502.07943, figure 3.
        Li et al. (2018), Hyperband, arXiv:1603.06560.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"successive_halving: keep must be in (0, 1], got {keep}.")
    if not steps or any(b <= a for a, b in zip([0, *steps], steps, strict=False)):
        raise ValueError(
            f"successive_halving: steps must rise from above 0, got {list(steps)}."
        )
    mesh = mesh_for(devices)
    parts = [
        _Part(fixed, trials, _start(start, fixed, trials, mesh))
        for fixed, trials in groups_of(trials_of(space, seeds), structural)
    ]
    rungs, made = [], 0
    for goal in steps:
        parts, losses = _train(parts, train, goal - made, mesh)
        rungs.append(_rung(goal, losses))
        finite = sum(np.isfinite(rungs[-1].losses))
        number = min(finite, max(1, round(keep * len(rungs[-1].configs))))
        chosen = {repr(config) for config in rungs[-1].configs[:number]}
        parts, made = _pack(parts, chosen, mesh), goal
        if not parts:
            break
    return rungs


def _start(start: StartFn, fixed: Config, trials: list[Trial], mesh: Mesh) -> Any:
    def one(values, seed):
        return start({**fixed, **values}, jax.random.key(seed))

    return _spread(one, mesh)(*_pad(stacked(trials, fixed), mesh))


def _train(parts: list[_Part], train: TrainFn, num_steps: int, mesh: Mesh):
    """The parts after some steps, and every run's trial and loss."""
    losses: list[tuple[Trial, float]] = []
    after = []
    for part in parts:

        def one(values, state, fixed=part.fixed):
            return train({**fixed, **values}, state, num_steps)

        values, _ = _pad(stacked(part.trials, part.fixed), mesh)
        state, loss = _spread(one, mesh)(values, part.state)
        loss = gathered(loss)[: len(part.trials)]
        losses += zip(part.trials, map(float, loss), strict=True)
        after.append(part._replace(state=state))
    return after, losses


def _rung(steps: int, losses: list[tuple[Trial, float]]) -> Rung:
    by_config: dict[str, tuple[Config, list[float]]] = {}
    for trial, loss in losses:
        by_config.setdefault(repr(trial.config), (trial.config, []))[1].append(loss)
    means = [
        (config, float(np.mean(values)) if np.isfinite(values).all() else np.inf)
        for config, values in by_config.values()
    ]
    means.sort(key=lambda pair: pair[1])
    return Rung(steps, [c for c, _ in means], [loss for _, loss in means])


def _pack(parts: list[_Part], chosen: set[str], mesh: Mesh) -> list[_Part]:
    """The runs that go on, side by side without gaps."""
    left = []
    for fixed, trials, state in parts:
        places = [n for n, trial in enumerate(trials) if repr(trial.config) in chosen]
        if places:
            left.append(
                _Part(fixed, [trials[n] for n in places], _taken(state, places, mesh))
            )
    return left


def _taken(state: Any, places: list[int], mesh: Mesh) -> Any:
    index = _fill(np.array(places), mesh)
    take = jax.jit(
        lambda state: jax.tree.map(lambda a: a[index], state),
        out_shardings=NamedSharding(mesh, jax.P("runs")),
    )
    return jax.block_until_ready(take(state))


def _spread(one: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """`one` on all runs, those of a device side by side; devices share them."""
    rows = jax.P("runs")
    spread = jax.shard_map(
        jax.vmap(one), mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False
    )
    return jax.jit(spread)


def _pad(tree: Any, mesh: Mesh) -> Any:
    return placed(jax.tree.map(lambda a: _fill(a, mesh), tree), mesh)


def _fill(array: np.ndarray, mesh: Mesh) -> np.ndarray:
    """The last entry repeated until the devices have equal shares."""
    missing = -len(array) % mesh.size
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
