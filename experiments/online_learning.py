"""How good are gradients that are carried forward, and what is learnt by them?

Sources: Williams, Zipser (1989), doi:10.1162/neco.1989.1.2.270 (RTRL); Menick et al.
(2021), arXiv:2006.07232 (SnAp); Bellec et al. (2020), doi:10.1038/s41467-020-17236-y
(e-prop); Tallec, Ollivier (2018), arXiv:1702.05043 (UORO); Mujika, Meier, Steger
(2018), arXiv:1805.10842 (KF-RTRL). The tasks are those of Hochreiter, Schmidhuber
(1997), doi:10.1162/neco.1997.9.8.1735, small: say two symbols out of four again after
five steps; add two marked numbers of nine.

1. The cosine of each algorithm's gradient, of the recurrent layer's parameters over
   whole sequences, with that of backpropagation through time (`jax.grad`). Networks are
   untrained, and trained by `jax.grad` for some updates. UORO and KF-RTRL, which are
   random, once for each of some keys, and their mean over these keys.
2. The loss after online training, as a share of that of a network without memory: the
   parameters of a GRU change every `window` steps, within sequences too, and the
   influence goes on through the change. Truncated backpropagation goes back over the
   same windows. All make the same updates from the same numbers.
3. By how much the memory of a process of its own grows at most while it finds the
   gradient over a stream of 1,000, 10,000 and 100,000 steps, by RTRL and by
   `jax.grad`, once the program is compiled (VmHWM of Linux).

Expect: RTRL is `jax.grad` to rounding; SnAp-2 of one layer with dense weights too, for
within two steps every weight reaches every unit. For a diagonal cell (LRU) all are
exact but UORO, and KF-RTRL does not apply. One draw of UORO or KF-RTRL has little to
do with the gradient; the mean nears it as draws are added, that of KF-RTRL sooner. A
window shorter than the tasks is the limit of what truncated backpropagation learns.

Time: 5 minutes on two CPU cores.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from experiments._training import descend, spread
from jrnn import online, optimizers
from jrnn.train import init_state

ALGORITHMS: dict[str, Callable[[jrnn.Cell], online.Algorithm]] = {
    "RTRL": online.rtrl,
    "SnAp-2": partial(online.snap, order=2),
    "SnAp-1": online.snap,
    "e-prop": online.eprop,
    "KF-RTRL": online.kf_rtrl,
    "UORO": online.uoro,
}
RANDOM = ("KF-RTRL", "UORO")
CELLS: dict[str, Callable[[int], jrnn.Cell]] = {
    "tanh": jrnn.elman,
    "GRU": jrnn.gru,
    "LSTM": jrnn.lstm,
    "LRU": jrnn.lru,
}
WINDOWS = "BPTT of a window"
COLOURS = {
    WINDOWS: "#999999",
    "RTRL": "#0072b2",
    "SnAp-1": "#009e73",
    "e-prop": "#e69f00",
    "KF-RTRL": "#cc79a7",
    "UORO": "#d55e00",
}


@dataclass(frozen=True)
class Config:
    cells: tuple[str, ...] = ("tanh", "GRU", "LSTM", "LRU")
    """Cells whose gradients are compared."""
    algorithms: tuple[str, ...] = tuple(ALGORITHMS)
    """Whose gradients are compared."""
    units: int = 32
    """Units of the networks of the first part."""
    batch_size: int = 8
    """Sequences side by side."""
    pretraining: int = 400
    """Updates by jax.grad before the second measurement."""
    draws: int = 32
    """Keys of each random estimate."""
    learners: tuple[str, ...] = ("RTRL", "SnAp-1", "e-prop", "KF-RTRL", "UORO")
    """Algorithms of the second part."""
    learning_units: int = 16
    """Units of the GRU of the second and the third part."""
    window: int = 3
    """Steps between two updates of the second part."""
    updates: int = 3000
    """Of the second part."""
    block: int = 150
    """Updates over which losses are averaged."""
    learning_rate: float = 1e-2
    """Of Adam."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    streams: tuple[int, ...] = (1000, 10000, 100000)
    """Steps of the streams of the third part."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network each; they differ in weights and data."""


SMOKE = Config(
    cells=("tanh",),
    algorithms=("RTRL", "KF-RTRL"),
    units=3,
    batch_size=2,
    pretraining=2,
    draws=2,
    learners=("KF-RTRL",),
    learning_units=2,
    updates=8,
    block=4,
    streams=(3,),
    seeds=(0,),
)


class Task(NamedTuple):
    """Sequences of T steps with answers at some of them."""

    batch: Callable[[jax.Array], tuple]  # key -> xs, targets, weights, each (B, T, ...)
    loss: Callable[[jax.Array, jax.Array], jax.Array]  # y, target -> ()
    steps: int
    features: int
    outputs: int
    memoryless: float  # the loss of the best answer without memory


@dataclass(frozen=True)
class Result:
    block: int
    window: int
    # by task, state of training, cell and way
    cosines: dict[str, dict[str, dict[str, dict[str, float]]]]
    difference: float  # of RTRL from jax.grad, the largest over the gradient's norm
    losses: dict[str, dict[str, np.ndarray]]  # (seeds, blocks) over the memoryless
    mebibytes: dict[str, dict[str, float]]  # by way and steps


def adding(cfg: Config, steps: int = 9) -> Task:
    """Add two marked numbers, one of each half of a sequence."""

    def batch(key):
        value_key, *mark_keys = jax.random.split(key, 3)
        values = jax.random.uniform(value_key, (cfg.batch_size, steps))
        spans = (0, steps // 2), (steps // 2, steps)
        marks = sum(
            jax.nn.one_hot(jax.random.randint(k, (cfg.batch_size,), *span), steps)
            for k, span in zip(mark_keys, spans, strict=True)
        )
        sums = (values * marks).sum(axis=1)[:, None, None]
        targets = jnp.broadcast_to(sums, (*values.shape, 1))
        last = jnp.broadcast_to(jax.nn.one_hot(steps - 1, steps), values.shape)
        return jnp.stack([values, marks], axis=-1), targets, last

    return Task(batch, lambda y, t: jnp.square(y - t).sum(), steps, 2, 1, 1 / 6)


def copying(cfg: Config, symbols: int = 4, copied: int = 2, blanks: int = 5) -> Task:
    """Say the symbols again after the blanks, of which the last is a marker."""
    steps = 2 * copied + blanks

    def batch(key):
        said = jax.random.randint(key, (cfg.batch_size, copied), 0, symbols)
        rest = jnp.full((cfg.batch_size, steps - copied), symbols)
        read = jnp.concatenate([said, rest.at[:, blanks - 1].set(symbols + 1)], 1)
        targets = jnp.concatenate([rest % symbols, said], 1)
        asked = jnp.arange(steps) >= steps - copied
        weights = jnp.broadcast_to(asked / copied, targets.shape)
        return jax.nn.one_hot(read, symbols + 2), targets, weights

    loss = lambda y, target: -jax.nn.log_softmax(y)[target]
    return Task(batch, loss, steps, symbols + 2, symbols, float(np.log(symbols)))


TASKS = {"copy": copying, "adding": adding}


def model(task: Task, name: str, units: int) -> jrnn.Cell:
    return jrnn.stack(CELLS[name](units), jrnn.linear(task.outputs))


def weighted(task: Task):
    return lambda y, target: target[1] * task.loss(y, target[0])


def bptt(cell: jrnn.Cell, task: Task, params, carry, xs, targets):
    """Sum of losses over some steps of one sequence, and the carry behind them."""
    carry, ys = jrnn.unroll(cell, params, xs, carry)
    return jax.vmap(weighted(task))(ys, targets).sum(), carry


def whole(cell: jrnn.Cell, task: Task, params, batch) -> jax.Array:
    """Mean loss of a batch of whole sequences."""
    xs, *targets = batch
    start = cell.initial_carry(params)
    one = lambda xs, targets: bptt(cell, task, params, start, xs, targets)[0]
    return jax.vmap(one)(xs, tuple(targets)).mean()


# 1. Cosines


def estimate(cell: jrnn.Cell, task: Task, make, params, batch, key):
    """An algorithm's gradient of the mean loss of a batch of whole sequences."""
    algorithm = make(cell)

    def one(xs, targets, key):
        carry, influence = algorithm.init(params, xs[0])
        loss = weighted(task)
        return online.accumulate(
            algorithm, params, carry, influence, xs, targets, loss, key=key
        ).gradient

    xs, *targets = batch
    gradients = jax.vmap(one)(xs, tuple(targets), jax.random.split(key, len(xs)))
    return jax.tree.map(lambda g: g.mean(axis=0), gradients)


def flat(gradient) -> np.ndarray:
    """The recurrent layer's part of a gradient, as one vector."""
    return np.concatenate([np.asarray(g).ravel() for g in jax.tree.leaves(gradient[0])])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def cosines(cfg: Config, cell: jrnn.Cell, task: Task, networks: dict) -> tuple:
    """By network and way, and how far RTRL is from jax.grad in the worst one."""
    batch = task.batch(jax.random.key(100))
    exact = jax.jit(jax.grad(partial(whole, cell, task)))
    found, apart = {state: {} for state in networks}, 0.0
    for way in cfg.algorithms:
        go = jax.jit(partial(estimate, cell, task, ALGORITHMS[way]))
        keys = jax.random.split(jax.random.key(200), cfg.draws if way in RANDOM else 1)
        for state, params in networks.items():
            full = flat(exact(params, batch))
            try:
                draws = np.stack([flat(go(params, batch, key)) for key in keys])
            except ValueError:  # kf_rtrl, of a cell that does not factor
                continue
            found[state][way] = float(np.mean([cosine(d, full) for d in draws]))
            if way in RANDOM:
                found[state][f"{way}, mean of {cfg.draws}"] = cosine(
                    draws.mean(0), full
                )
            if way == "RTRL":
                off = np.abs(draws[0] - full).max() / np.linalg.norm(full)
                apart = max(apart, float(off))
    return found, apart


def pretrained(cfg: Config, cell: jrnn.Cell, task: Task, params):
    """Parameters after some updates by jax.grad."""

    @jax.jit
    def train(params):
        state = init_state(params, (), optimizers.adam)
        loss = lambda params, *batch: whole(cell, task, params, batch)
        keys = jax.random.split(jax.random.key(300), cfg.pretraining)
        batches = lambda n: task.batch(keys[n])
        rate, clip = cfg.learning_rate, cfg.clip
        return descend(
            loss, optimizers.adam, state, batches, cfg.pretraining, rate, clip
        )[0].params

    return train(params)


def compare(cfg: Config) -> tuple[dict, float]:
    """All cosines, and the largest distance of RTRL from jax.grad."""
    found, apart = {}, 0.0
    for task_name, make in TASKS.items():
        task = make(cfg)
        found[task_name] = {"untrained": {}, "trained": {}}
        for name in cfg.cells:
            cell = model(task, name, cfg.units)
            start = cell.init(jax.random.key(0), jnp.zeros(task.features))
            networks = {
                "untrained": start,
                "trained": pretrained(cfg, cell, task, start),
            }
            by_state, off = cosines(cfg, cell, task, networks)
            apart = max(apart, off)
            for state, ways in by_state.items():
                found[task_name][state][name] = ways
    return found, apart


# 2. Learning


def window_gradients(
    cell: jrnn.Cell, task: Task, way: str
) -> tuple[Callable, Callable]:
    """The start of a sequence, and the loss and gradient of a window of it."""
    if way == WINDOWS:
        find = jax.value_and_grad(partial(bptt, cell, task), has_aux=True)

        def go_back(params, state, xs, targets, key):
            (loss, carry), gradient = find(params, state[0], xs, targets)
            return (carry, ()), loss, gradient

        return lambda params, x: (cell.initial_carry(params), ()), go_back
    algorithm = ALGORITHMS[way](cell)

    def go_on(params, state, xs, targets, key):
        loss = weighted(task)
        made = online.accumulate(algorithm, params, *state, xs, targets, loss, key=key)
        return (made.carry, made.influence), made.losses.sum(), made.gradient

    return algorithm.init, go_on


def learn_online(cfg: Config, task: Task, way: str, seed: jax.Array) -> jax.Array:
    """Mean loss of a sequence while a GRU learns, in each block of updates."""
    cell = model(task, "GRU", cfg.learning_units)
    start, advance = window_gradients(cell, task, way)
    init_key, data_key = jax.random.split(jax.random.key(seed))
    windows = task.steps // cfg.window
    adam = optimizers.adam(cfg.learning_rate, cfg.clip)

    def window(state, inputs):
        params, memory, carried = state
        (xs, *targets), key = inputs
        keys = jax.random.split(key, cfg.batch_size)
        one = partial(advance, params)
        carried, losses, gradients = jax.vmap(one)(carried, xs, tuple(targets), keys)
        gradient = jax.tree.map(lambda g: g.mean(axis=0), gradients)
        change, memory = adam.update(gradient, memory, params)
        params = jax.tree.map(jnp.add, params, change)
        return (params, memory, carried), losses.mean()

    def sequence(state, key):
        batch_key, key = jax.random.split(key)
        cut = lambda a: a.reshape(len(a), windows, cfg.window, *a.shape[2:])
        parts = [jnp.moveaxis(cut(a), 1, 0) for a in task.batch(batch_key)]
        xs = parts[0][0, :, 0]
        carried = jax.vmap(lambda x: start(state[0], x))(xs)
        inputs = parts, jax.random.split(key, windows)
        (*state, _), losses = jax.lax.scan(window, (*state, carried), inputs)
        return tuple(state), losses.sum()

    params = cell.init(init_key, jnp.zeros(task.features))
    keys = jax.random.split(data_key, cfg.updates // windows)
    _, losses = jax.lax.scan(sequence, (params, adam.init(params)), keys)
    per_block = max(cfg.block // windows, 1)
    blocks = len(losses) // per_block
    return losses[: blocks * per_block].reshape(blocks, -1).mean(axis=1)


def learn(cfg: Config) -> dict[str, dict[str, np.ndarray]]:
    """Losses over the memoryless one by task and way, (seeds, blocks)."""
    losses = {}
    for name, make in TASKS.items():
        task, losses[name] = make(cfg), {}
        for way in (WINDOWS, *cfg.learners):
            train = jax.jit(jax.vmap(partial(learn_online, cfg, task, way)))
            found = np.asarray(train(jnp.array(cfg.seeds)))
            losses[name][way] = found / task.memoryless
    return losses


# 3. Memory


def stream_gradient(way: str, units: int, steps: int) -> Callable[[], Any]:
    """The compiled gradient over one stream, whose inputs are made on the way."""
    cell = jrnn.stack(jrnn.gru(units), jrnn.linear(1))
    draw = lambda t: jnp.sin(0.3 * t.astype(jnp.float32))[None]
    loss = lambda y, t: jnp.square(y - draw(t + 1)).sum()
    params = cell.init(jax.random.key(0), jnp.zeros(1))
    times = jnp.arange(steps)

    def by_grad(params):
        def total(params):
            ys = jrnn.unroll(cell, params, jax.vmap(draw)(times))[1]
            return jax.vmap(loss)(ys, times).sum()

        return jax.grad(total)(params)

    def by_rtrl(params):
        algorithm = online.rtrl(cell)

        def step(state, t):
            carry, influence, total = state
            made = algorithm.step(
                params, carry, influence, draw(t), lambda y: loss(y, t)
            )
            total = jax.tree.map(jnp.add, total, made.gradient)
            return (made.carry, made.influence, total), None

        zeros = jax.tree.map(jnp.zeros_like, params)
        start = *algorithm.init(params, draw(jnp.int32(0))), zeros
        return jax.lax.scan(step, start, times)[0][2]

    go = jax.jit({"RTRL": by_rtrl, "jax.grad": by_grad}[way]).lower(params).compile()
    return partial(go, params)


def peak(way: str, units: int, steps: int) -> float:
    """The most memory in MiB that a new process holds while it finds a gradient."""
    code = (
        "import json, sys; from experiments import online_learning as o; "
        "print(o.measured(*json.loads(sys.argv[1])))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, json.dumps([way, units, steps])],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    return float(said.stdout.split()[-1])


def measured(way: str, units: int, steps: int) -> float:
    """What `peak` runs in its process, on Linux: compiling does not count."""
    go, held = stream_gradient(way, units, steps), Path("/proc/self/status")
    read = lambda name: re.search(rf"{name}:\s+(\d+) kB", held.read_text())[1]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = int(read("VmRSS"))
    jax.block_until_ready(go())
    return (int(read("VmHWM")) - before) / 1024


def memory(cfg: Config) -> dict[str, dict[str, float]]:
    """MiB by way and steps of the stream."""
    return {
        way: {str(n): peak(way, cfg.learning_units, n) for n in cfg.streams}
        for way in ("RTRL", "jax.grad")
    }


def run(cfg: Config) -> Result:
    found, apart = compare(cfg)
    return Result(cfg.block, cfg.window, found, apart, learn(cfg), memory(cfg))


def summary(result: Result) -> dict:
    metrics: dict[str, Any] = {
        f"cosine with jax.grad, {task}, {state}": cells
        for task, states in result.cosines.items()
        for state, cells in states.items()
    }
    metrics["largest_difference_of_rtrl_over_norm"] = result.difference
    for task, ways in result.losses.items():
        metrics[f"loss over memoryless, {task}"] = {
            way: spread(rows[:, -3:].mean(axis=1)) for way, rows in ways.items()
        }
    metrics["mebibytes_of_a_stream"] = result.mebibytes
    return metrics


def plot(result: Result) -> plt.Figure:
    figure = plt.figure(figsize=(10, 7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    panels = [(t, s) for t, states in result.cosines.items() for s in states]
    axes = above.subplots(1, len(panels), sharey=True)
    for ax, (task, state) in zip(axes, panels, strict=True):
        image = _table(ax, result.cosines[task][state])
        ax.set_title(f"{task}, {state}", fontsize=10)
    above.colorbar(image, ax=axes, label="cosine with jax.grad", shrink=0.8)
    axes = below.subplots(1, 3)
    for ax, (task, ways) in zip(axes, result.losses.items(), strict=False):
        for way, rows in ways.items():
            updates = result.block * np.arange(1, rows.shape[1] + 1)
            name = f"BPTT, {result.window} steps" if way == WINDOWS else way
            ax.plot(updates, rows.mean(0), color=COLOURS[way], lw=1.2, label=name)
            ax.fill_between(
                updates, rows.min(0), rows.max(0), color=COLOURS[way], alpha=0.15
            )
        ax.axhline(1, color="black", ls=":", lw=0.8)
        ax.set(xlabel="update", ylabel="loss / memoryless loss", yscale="log")
        ax.set_title(f"GRU learning online, {task}", fontsize=10)
    axes[0].legend(fontsize=7, loc="lower left")
    for (way, sizes), colour in zip(
        result.mebibytes.items(), ("#0072b2", "black"), strict=True
    ):
        steps = [n for n in sizes if n.isdigit()]
        values = [sizes[n] for n in steps]
        axes[2].plot([int(n) for n in steps], values, "o-", color=colour, label=way)
    axes[2].set(xscale="log", xlabel="steps of the stream")
    axes[2].set_yscale("symlog", linthresh=1)
    axes[2].set_ylabel("memory of the process, MiB")
    axes[2].set_title("Memory of a gradient, GRU", fontsize=10)
    axes[2].legend(fontsize=8)
    return figure


def _table(ax: plt.Axes, cells: dict[str, dict[str, float]]):
    """Cosines as numbers on colours, a row for each way."""
    names = list(dict.fromkeys(way for ways in cells.values() for way in ways))
    values = np.array([[c.get(n, np.nan) for c in cells.values()] for n in names])
    image = ax.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = "" if np.isnan(value) else f"{value:.2f}"
        shade = "black" if value > 0.6 else "white"
        ax.text(column, row, text, ha="center", va="center", fontsize=7, color=shade)
    ax.set_xticks(range(len(cells)), cells, fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_xlabel("cell", fontsize=8)
    return image


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("online_learning", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
