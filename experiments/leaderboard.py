"""Which cell learns most in the same time with as many parameters?

Source: every cell that the commands know by name, on five tasks: the adding problem
(adding_problem.py), copying of symbols (copy_memory.py), digits read one pixel at a
time (digits.py), characters of Python's reference, and a sine in noise, forecast.
`_board_tasks.py` has what of each.

All alike: two layers of the cell as it is by its name, and a linear readout; units for
which the model's parameters are nearest to 8,000; Adam, gradients clipped to norm 1,
batches of 32, three seeds in one program. Each of four learning rates is tried for a
tenth of the updates, and the best one is trained with from the beginning, and falls to
0 along a cosine.

Equal time is made of equal numbers on an idle machine: `--phase times` measures an
update of every cell on every task in turn with one of a GRU, least over rounds, and
writes results/leaderboard_times.json. A cell then makes as many updates as fit into
--seconds, by its ratio to the GRU; trials of rates come on top. `--phase train` makes
them, and what comes out is the same on a machine that has other work.

Each row is written as it is made, so that a run that was stopped goes on by the same
words; --only names some of the cells or tasks, --again makes their rows anew.

Expect: no cell is best at everything.

Time: about 25 minutes for the times, on two idle CPU cores, and 45 for the training.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import jax
import matplotlib.pyplot as plt
import numpy as np
import tyro

from experiments import _board_rows as board
from experiments._board_tasks import JUDGED, TASKS
from experiments._results import FOLDER, need, plain, save, show
from experiments._tables import refuse
from jrnn.models import CELLS

Rows = dict[str, dict]  # by "task/cell"
Keep = Callable[[Rows], None]

CLOCK, NAME = "leaderboard_times", "leaderboard"


@dataclass(frozen=True)
class Settings:
    parameters: int = 8000
    """What every model should have."""
    layers: int = 2
    """Of the cell, one on the other."""
    batch_size: int = 32
    """Sequences in an update of a seed."""
    seconds: float = 6.0
    """For the training of all seeds of a cell on a task, without trials of rates."""
    trial: float = 0.1
    """Share of the updates for which each learning rate is tried."""
    learning_rates: tuple[float, ...] = (1e-3, 4e-3, 1.6e-2, 6.4e-2)
    """Of Adam, tried with every cell on every task."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    block: int = 20
    """Updates in a call of the compiled program."""
    rounds: int = 5
    """Calls of each program that are timed; the least counts."""
    reference: str = "gru"
    """Cell that takes turns with each of the others on the clock."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network each; they differ in weights and data."""


@dataclass(frozen=True)
class Config(Settings):
    phase: Literal["times", "train"] = "train"
    """Measure updates, on an idle machine, or train."""
    clock: Literal["wall", "cpu"] = "wall"
    """Which of the measured times is to be equal. Where the machine was not idle, the
    time of its cores says more."""
    only: tuple[str, ...] = ()
    """Cells or tasks; all if empty."""
    again: bool = False
    """Make rows anew that are there."""
    folder: Path = FOLDER
    """Where the results are."""


SMOKE = Config(
    60,
    seconds=0.01,
    batch_size=2,
    block=2,
    rounds=1,
    learning_rates=(1e-3, 4e-3),
    reference="elman",
    seeds=(0, 1),
    only=("sine", "clockwork"),
)


@dataclass(frozen=True)
class Result:
    times: Rows
    rows: Rows
    clock: str


def pairs(cfg: Config) -> list[tuple[str, str]]:
    """Tasks and cells that are asked for."""
    if unknown := set(cfg.only) - {*CELLS, *TASKS}:
        raise ValueError(
            f"leaderboard: no cell or task is named {', '.join(sorted(unknown))}.\n"
            f"Tasks: {', '.join(TASKS)}. Cells: {', '.join(CELLS)}."
        )
    chosen = lambda names: [n for n in names if n in cfg.only] or list(names)
    return [(task, cell) for task in chosen(TASKS) for cell in chosen(CELLS)]


def missing(cfg: Config, rows: Rows) -> dict[str, list[str]]:
    """Cells without a row, by task."""
    found: dict[str, list[str]] = {}
    for task, cell in pairs(cfg):
        if f"{task}/{cell}" not in rows:
            found.setdefault(task, []).append(cell)
    return found


def measure(cfg: Config, rows: Rows, keep: Keep) -> Rows:
    """Units of a layer and seconds of an update, for all that has none."""
    for name, cells in missing(cfg, rows).items():
        task = TASKS[name](cfg)
        made = lambda cell, units: board.program(task, cell, units, cfg)  # noqa: B023
        units = board.sized(task, cfg.reference, cfg)
        reference = board.warm(made(cfg.reference, units), cfg)
        for cell in cells:
            units = board.sized(task, cell, cfg)
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
            times = board.timed(reference, board.warm(made(cell, units), cfg), cfg)
            rows[f"{name}/{cell}"] = {"units": units, **times, "load_average": load}
            keep(rows)
    return rows


def updates(cfg: Config, times: Rows) -> dict[str, int]:
    """How many fit into the time: whole blocks, at least one.

    Seconds are those of the reference on the task, the least ever, times the ratio of
    the cell to it in the same minute.
    """
    number = {}
    for task in JUDGED:
        clocks = {cell: row[cfg.clock] for cell, row in of_task(times, task).items()}
        reference = min((c["reference"] for c in clocks.values()), default=0.0)
        for cell, c in clocks.items():
            seconds = cfg.block * reference * c["seconds"] / c["reference"]
            number[f"{task}/{cell}"] = cfg.block * max(1, round(cfg.seconds / seconds))
    return number


def train(cfg: Config, times: Rows, rows: Rows, keep: Keep) -> Rows:
    """A row for all that has none, and for what had another number of updates."""
    number = updates(cfg, times)
    same = lambda n, r: (r["updates"], r["units"]) == (number[n], times[n]["units"])
    rows = {n: r for n, r in rows.items() if n in number and same(n, r)}
    for name, cells in missing(cfg, rows).items():
        task = TASKS[name](cfg)
        for cell in cells:
            key = f"{name}/{cell}"
            program = board.program(task, cell, times[key]["units"], cfg)
            rows[key] = plain(board.trained(program, number[key], cfg))
            keep(rows)
            jax.clear_caches()  # programs are large, and there are hundreds
    return rows


def run(cfg: Config, keep: Keep = lambda rows: None) -> Result:
    """Both phases, without a file."""
    times = measure(cfg, {}, lambda rows: None)
    return Result(times, train(cfg, times, {}, keep), cfg.clock)


# What is made of the rows


def summary(result: Result) -> dict:
    """All rows, the mean rank of each cell, and what each task is judged by."""
    return {
        "loaded_while_timed": loaded(result.times),
        "clock": result.clock,
        "mean_rank": mean_ranks(result.rows),
        "rows": result.rows,
    }


def loaded(times: Rows) -> bool | None:
    """Whether the machine had other work while it was timed; None if not known.

    The load of the measurement itself is that of one process.
    """
    loads = [row["load_average"] for row in times.values()]
    if not loads or None in loads:
        return None
    return bool(np.median(loads) > 1 + (os.cpu_count() or 1))


def of_task(rows: Rows, task: str) -> dict[str, dict]:
    """Rows of a task, by cell."""
    parts = {key: key.split("/") for key in rows}
    return {cell: rows[key] for key, (name, cell) in parts.items() if name == task}


def places(task: str, rows: dict[str, dict]) -> dict[str, float]:
    """Place of each cell on a task, 1 the best; equal ones share the mean of theirs."""
    sign = -1 if JUDGED[task].higher else 1
    cost = {
        cell: sign * row["score"]["mean"] if row["score"] else np.inf
        for cell, row in rows.items()
    }
    values = np.array(list(cost.values()))
    return {
        cell: float((values < c).sum() + (1 + (values == c).sum()) / 2)
        for cell, c in cost.items()
    }


def mean_ranks(rows: Rows) -> dict[str, float]:
    """Mean place over all tasks, the best first, of cells with a row on each."""
    found = [places(task, of) for task in JUDGED if (of := of_task(rows, task))]
    cells = {cell for place in found for cell in place}
    full = [cell for cell in sorted(cells) if all(cell in place for place in found)]
    means = {cell: float(np.mean([place[cell] for place in found])) for cell in full}
    return dict(sorted(means.items(), key=lambda pair: pair[1]))


def plot(result: Result) -> plt.Figure:
    """Each cell on a line, the best mean rank above; a dot is a seed."""
    tasks = [task for task in JUDGED if of_task(result.rows, task)]
    ranks = mean_ranks(result.rows)
    others = dict.fromkeys(key.partition("/")[2] for key in result.rows)
    cells = [*ranks, *(cell for cell in others if cell not in ranks)]
    figure, panels = plt.subplots(
        1, len(tasks), figsize=(1.6 + 1.9 * len(tasks), 1.3 + 0.2 * len(cells)),
        layout="constrained", sharey=True, squeeze=False,
    )  # fmt: skip
    for axes, task in zip(panels[0], tasks, strict=True):
        draw(axes, task, cells, of_task(result.rows, task))
    panels[0, 0].set_yticks(range(len(cells)), cells)
    panels[0, 0].set_ylim(len(cells) - 0.5, -0.5)
    panels[0, 0].set_ylabel("by mean rank")
    return figure


def draw(axes: plt.Axes, task: str, cells: list[str], rows: dict[str, dict]) -> None:
    for y, cell in enumerate(cells):
        scores = rows[cell]["score_by_seed"] if cell in rows else []
        scores = [s for s in scores if s is not None]
        axes.plot(scores, [y] * len(scores), "o", color="#0072b2", ms=4, alpha=0.6)
    guess = next(iter(rows.values()))["guess"]
    axes.axvline(guess, color="black", ls=":", lw=1)
    axes.grid(axis="y", lw=0.3)
    side = "right" if JUDGED[task].higher else "left"
    axes.set_title(f"{task}, best {side}", fontsize=9)
    axes.set_xlabel(JUDGED[task].unit, fontsize=8)
    axes.tick_params(labelsize=8)


# Files


def stored(cfg: Config, name: str) -> Rows:
    """The rows of a file, which must have been made with the same settings."""
    path = cfg.folder / f"{name}.json"
    if not path.exists():
        return {}
    content = json.loads(path.read_text("utf-8"))
    for field, value in plain(asdict(settings(cfg))).items():
        there = content["config"].get(field)
        if there != value and not (name == CLOCK and field in ("seconds", "trial")):
            raise ValueError(
                f"leaderboard: {path} was made with {field} {there}, here it is "
                f"{value}.\nGive another --folder, or delete the file."
            )
    return content["metrics"]["rows"]


def settings(cfg: Config) -> Settings:
    """What rows depend on, without what a call says of itself."""
    return Settings(
        **{field.name: getattr(cfg, field.name) for field in fields(Settings)}
    )


def left(cfg: Config, rows: Rows) -> Rows:
    """Rows that are not to be made anew."""
    anew = {f"{task}/{cell}" for task, cell in pairs(cfg)} if cfg.again else set()
    return {key: row for key, row in rows.items() if key not in anew}


def clock(cfg: Config) -> None:
    """Measure what has no time yet, row by row into the file."""
    keep = lambda rows: save(CLOCK, settings(cfg), {"rows": rows}, folder=cfg.folder)
    measure(cfg, left(cfg, stored(cfg, CLOCK)), keep)


def learn(cfg: Config) -> None:
    """Train what has no row yet, row by row into the file, and draw the figure."""
    times, rows = stored(cfg, CLOCK), left(cfg, stored(cfg, NAME))
    if untimed := missing(cfg, times):
        raise ValueError(
            f"leaderboard: no time for {sum(map(len, untimed.values()))} of the rows "
            f"in {cfg.folder / CLOCK}.json.\nRun --phase times first, when nothing "
            "else runs."
        )

    def keep(rows: Rows) -> None:
        save(
            NAME,
            settings(cfg),
            summary(Result(times, rows, cfg.clock)),
            folder=cfg.folder,
        )

    rows = train(cfg, times, rows, keep)
    result = Result(times, rows, cfg.clock)
    save(NAME, settings(cfg), summary(result), plot(result), cfg.folder)
    show({"mean_rank": mean_ranks(rows)})


def main(cfg: Config) -> None:
    need("sklearn")
    try:
        (clock if cfg.phase == "times" else learn)(cfg)
    except ValueError as error:
        refuse(error)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
