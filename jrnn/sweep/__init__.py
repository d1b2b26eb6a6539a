"""Many runs of one training function at once: `vmap`, one by one, devices, processes.

A run is a pure function `run(config, key) -> metrics`, a space is a list of
configurations, and every run of a sweep is that function on its configuration and on
`jax.random.key(seed)`, nothing else.

    space = grid(learning_rate=[0.01, 0.1, 1.0], hidden_size=[32, 64])
    found = sweep(run, space, seeds=8, structural=["hidden_size"])
    for row in ranking(found.runs, "loss")[:3]:
        print(row.config, row.mean)
"""

from jrnn.sweep.halving import Rung, successive_halving
from jrnn.sweep.processes import ProcessError
from jrnn.sweep.ranking import Ranked, ranking
from jrnn.sweep.runs import Run
from jrnn.sweep.searching import optuna_search
from jrnn.sweep.space import Choice, LogUniform, Uniform, draw, grid
from jrnn.sweep.sweeping import Group, Sweep, sweep
from jrnn.sweep.table import TableError, read_table

__all__ = [
    "Choice",
    "Group",
    "LogUniform",
    "ProcessError",
    "Ranked",
    "Run",
    "Rung",
    "Sweep",
    "TableError",
    "Uniform",
    "draw",
    "grid",
    "optuna_search",
    "ranking",
    "read_table",
    "successive_halving",
    "sweep",
]
