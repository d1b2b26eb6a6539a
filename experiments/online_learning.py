"""How good are gradients that are carried forward, and can a network learn by them?

Sources: Williams, Zipser (1989), doi:10.1162/neco.1989.1.2.270 (RTRL); Menick et al.
(2021), arXiv:2006.07232 (SnAp); Tallec, Ollivier (2018), arXiv:1702.05043 (UORO);
Bellec et al. (2020), doi:10.1038/s41467-020-17236-y (e-prop). The tasks are those of
Hochreiter, Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735, small.

1. The cosine of each algorithm's gradient with that of backpropagation through time
   (BPTT). The task is to say the number that came `lag` steps before, at every step;
   networks are untrained, and trained by BPTT for some updates.
2. The loss after training by each algorithm's gradient, over that of a network without
   memory: copying two symbols over some blanks, and adding two marked numbers. A
   network is updated after each batch of whole sequences; truncated BPTT goes on from
   window to window, and its gradient does not.
3. Memory on a stream: the temporary memory of XLA's program for a gradient over 1,000
   and 10,000 steps, and the largest memory of a process that learns from so many.

Expect: RTRL is BPTT, and so are all but UORO for a diagonal cell (LRU). SnAp-1 and
e-prop point the right way where a unit's own memory carries what is needed, UORO hardly
anywhere: its noise is larger than the gradient. RTRL learns what BPTT learns, and the
window of truncated BPTT, shorter than the tasks, is the limit of what it learns. The
memory of the stream does not grow, while that of BPTT is proportional to its length.

Time: about 4 minutes on two CPU cores.
"""

import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from experiments._training import descend
from jrnn import online, optimizers
from jrnn.train import init_state

ALGORITHMS: dict[str, Callable[[jrnn.Cell], online.Algorithm]] = {
    "RTRL": online.rtrl,
    "SnAp-1": online.snap,
    "e-prop": online.eprop,
    "UORO": online.uoro,
}
CELLS: dict[str, Callable[[int], jrnn.Cell]] = {
    "tanh": jrnn.elman,
    "GRU": jrnn.gru,
    "LSTM": jrnn.lstm,
    "LRU": partial(jrnn.lru, r_min=0.8),
}
COLOURS = {
    "BPTT": "#000000",
    "truncated": "#999999",
    "RTRL": "#0072b2",
    "SnAp-1": "#009e73",
    "e-prop": "#e69f00",
    "UORO": "#d55e00",
}


@dataclass(frozen=True)
class Config:
    cells: tuple[str, ...] = ("tanh", "LSTM", "LRU")
    """Cells whose gradients are compared."""
    lags: tuple[int, ...] = (1, 3, 9)
    """Steps between a number and its answer."""
    units: int = 12
    """Units of the cell."""
    length: int = 32
    """Steps of a sequence of the first part."""
    batch_size: int = 16
    """Sequences side by side."""
    pretraining: int = 200
    """Updates by BPTT before the second measurement of the first part."""
    draws: int = 10
    """Estimates of UORO; their cosines are averaged."""
    algorithms: tuple[str, ...] = ("RTRL", "SnAp-1", "e-prop", "UORO")
    """Those that a GRU is trained by in the second part."""
    updates: int = 800
    """Updates of the second part."""
    block: int = 50
    """Updates over which losses are averaged."""
    window: int = 4
    """Steps of a window of truncated BPTT."""
    learning_rate: float = 1e-2
    """Of Adam."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    streams: tuple[int, ...] = (1000, 10000)
    """Steps of the streams of the third part."""
    seeds: tuple[int, ...] = (0, 1)
    """One network each; they differ in weights and data."""


SMOKE = Config(
    cells=("LRU",),
    algorithms=("e-prop",),
    lags=(1,),
    units=3,
    length=4,
    batch_size=2,
    pretraining=2,
    draws=2,
    updates=4,
    block=2,
    streams=(2, 3),
    seeds=(0,),
)


class Task(NamedTuple):
    """Sequences with an answer at some steps."""

    batch: Callable[..., tuple]  # key -> xs, targets, weights, (B, T, ...)
    loss: Callable[[jax.Array, Any], jax.Array]  # y, target -> ()
    features: int
    outputs: int
    memoryless: float  # the loss of the best answer without memory


@dataclass(frozen=True)
class Result:
    lags: tuple[int, ...]
    block: int
    window: int
    # by "untrained" and "trained", cell, algorithm: (lags, seeds)
    cosines: dict[str, dict[str, dict[str, np.ndarray]]]
    kept: dict[str, dict[str, int]]  # numbers of influence by cell and algorithm
    losses: dict[str, dict[str, np.ndarray]]  # (seeds, blocks) over the memoryless
    temporary_bytes: dict[str, dict[str, int]]  # by gradient and steps
    resident_mebibytes: dict[str, float]  # by steps


def recall(cfg: Config) -> Task:
    """Say the number of `lag` steps before."""
    shape = (cfg.batch_size, cfg.length, 1)

    def batch(key, lag):
        xs = jax.random.rademacher(key, shape, jnp.float32)
        targets = jnp.roll(xs, lag, axis=1)
        told = jnp.arange(cfg.length) >= lag
        return xs, targets, jnp.broadcast_to(told / told.sum(), shape[:2])

    return Task(batch, lambda y, t: jnp.square(y - t).sum(), 1, 1, 1.0)


def adding(cfg: Config, length: int = 16) -> Task:
    """Add two marked numbers of a sequence, one of each half of it."""
    rows = (cfg.batch_size,)

    def batch(key):
        value_key, first_key, second_key = jax.random.split(key, 3)
        values = jax.random.uniform(value_key, (cfg.batch_size, length))
        first = jax.random.randint(first_key, rows, 0, length // 2)
        second = jax.random.randint(second_key, rows, length // 2, length)
        marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
        sums = (values * marks).sum(axis=1)
        targets = jnp.broadcast_to(sums[:, None, None], (*values.shape, 1))
        last = jnp.broadcast_to(jnp.arange(length) == length - 1, values.shape)
        return jnp.stack([values, marks], -1), targets, last.astype(values.dtype)

    return Task(batch, lambda y, t: jnp.square(y - t).sum(), 2, 1, 1 / 6)


def copying(cfg: Config, symbols: int = 4, copied: int = 2, blanks: int = 8) -> Task:
    """Say the symbols again after the blanks, of which the last is a marker."""
    length = 2 * copied + blanks

    def batch(key):
        said = jax.random.randint(key, (cfg.batch_size, copied), 0, symbols)
        rest = jnp.full((cfg.batch_size, length - copied), symbols)
        rest = rest.at[:, blanks - 1].set(symbols + 1)
        xs = jax.nn.one_hot(jnp.concatenate([said, rest], 1), symbols + 2)
        targets = jnp.concatenate([rest % symbols, said], 1)
        asked = jnp.arange(length) >= length - copied
        return xs, targets, jnp.broadcast_to(asked / copied, targets.shape)

    def loss(y, target):
        return -jax.nn.log_softmax(y)[target]

    return Task(batch, loss, symbols + 2, symbols, float(np.log(symbols)))


def model(task: Task, cell: jrnn.Cell) -> jrnn.Cell:
    return jrnn.stack(cell, jrnn.linear(task.outputs))


def weighted(task: Task):
    return lambda y, target: target[1] * task.loss(y, target[0])


def bptt(cell: jrnn.Cell, task: Task, params, batch, key, window: int | None = None):
    """Mean loss of a batch and its gradient, cut every `window` steps."""
    del key

    def of_sequence(params, xs, targets):
        steps = window or len(xs)
        cut = lambda a: a.reshape(-1, steps, *a.shape[1:])

        def part(carry, inputs):
            xs, targets = inputs
            carry = jax.lax.stop_gradient(carry)
            carry, ys = jrnn.unroll(cell, params, xs, carry)
            return carry, jax.vmap(weighted(task))(ys, targets).sum()

        inputs = jax.tree.map(cut, (xs, targets))
        return jax.lax.scan(part, cell.initial_carry(params), inputs)[1].sum()

    def mean(params):
        xs, *targets = batch
        return jax.vmap(of_sequence, (None, 0, 0))(params, xs, tuple(targets)).mean()

    return jax.value_and_grad(mean)(params)


def forward(cell: jrnn.Cell, task: Task, params, batch, key, algorithm):
    """Mean loss of a batch and an algorithm's gradient of it."""

    def of_sequence(xs, targets, key):
        carry, influence = algorithm.init(params, xs[0])
        return online.accumulate(
            algorithm, params, carry, influence, xs, targets, weighted(task), key=key
        )

    xs, *targets = batch
    keys = jax.random.split(key, len(xs))
    made = jax.vmap(of_sequence)(xs, tuple(targets), keys)
    mean = lambda g: g.mean(axis=0)
    return made.losses.sum(axis=1).mean(), jax.tree.map(mean, made.gradient)


def gradients_of(cfg: Config, cell: jrnn.Cell, task: Task) -> dict[str, Callable]:
    """Functions of params, a batch and a key to the loss and a gradient."""
    ways = {
        "BPTT": partial(bptt, cell, task),
        "truncated": partial(bptt, cell, task, window=cfg.window),
    }
    for name, make in ALGORITHMS.items():
        ways[name] = partial(forward, cell, task, algorithm=make(cell))
    return ways


def trained(cfg: Config, task: Task, cell: jrnn.Cell, way: str, key, *lag):
    """Parameters of one network after training by a gradient, and its losses."""
    updates = cfg.pretraining if lag else cfg.updates
    init_key, data_key = jax.random.split(key)
    keys = jax.random.split(data_key, (updates, 2))
    find = gradients_of(cfg, cell, task)[way]

    def loss(params, batch, key):
        fixed = jax.lax.stop_gradient(params)
        value, gradient = find(fixed, batch, key)
        dot = lambda g, p, f: (g * (p - f)).sum()  # zero, and its slope is g
        zeros = jax.tree.map(dot, gradient, params, fixed)
        return value + sum(jax.tree.leaves(zeros))

    params = cell.init(init_key, jnp.zeros(task.features))
    state = init_state(params, (), optimizers.adam)
    batches = lambda n: (task.batch(keys[n, 0], *lag), keys[n, 1])
    rate, clip = cfg.learning_rate, cfg.clip
    state, losses = descend(loss, optimizers.adam, state, batches, updates, rate, clip)
    return state.params, losses


def cosine(a, b) -> jax.Array:
    flat = lambda tree: jnp.concatenate([x.ravel() for x in jax.tree.leaves(tree)])
    a, b = flat(a), flat(b)
    return a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b))


def cosines(cfg: Config, task: Task, cell: jrnn.Cell, params, key, lag) -> dict:
    """Of the gradient of the recurrent layer's parameters with that of BPTT."""
    data_key, key = jax.random.split(key)
    batch = task.batch(data_key, lag)
    ways = gradients_of(cfg, cell, task)
    exact = ways["BPTT"](params, batch, key)[1][0]
    of = lambda way, key: cosine(ways[way](params, batch, key)[1][0], exact)
    found = {name: of(name, key) for name in ways if name not in ("BPTT", "UORO")}
    draws = jax.random.split(key, cfg.draws)
    found["UORO"] = jax.lax.map(lambda key: of("UORO", key), draws).mean()
    return found


def compare(cfg: Config) -> dict:
    """Cosines by state of training, cell and algorithm, (lags, seeds)."""
    task = recall(cfg)
    found = {"untrained": {}, "trained": {}}

    def of_network(seed, lag, cell):
        train_key, test_key = jax.random.split(jax.random.key(seed))
        untrained = cell.init(jax.random.split(train_key)[0], jnp.zeros(1))
        networks = {
            "untrained": untrained,
            "trained": trained(cfg, task, cell, "BPTT", train_key, lag)[0],
        }
        both = jax.tree.map(lambda *p: jnp.stack(p), *networks.values())
        measure = lambda params: cosines(cfg, task, cell, params, test_key, lag)
        return dict(zip(networks, _rows(jax.vmap(measure)(both)), strict=True))

    for name in cfg.cells:
        cell = model(task, CELLS[name](cfg.units))
        over_seeds = jax.vmap(partial(of_network, cell=cell), (0, None))
        go = jax.jit(jax.vmap(over_seeds, (None, 0)))
        made = go(jnp.array(cfg.seeds), jnp.array(cfg.lags))
        for state, ways in jax.tree.map(np.asarray, made).items():
            found[state][name] = ways
    return found


def _rows(tree) -> list:
    """The two rows of every leaf."""
    return [jax.tree.map(lambda a, n=n: a[n], tree) for n in range(2)]


def numbers_kept(cfg: Config) -> dict[str, dict[str, int]]:
    """How many numbers each algorithm carries along for the layer of each cell."""
    kept = {}
    for name in cfg.cells:
        cell, x = CELLS[name](cfg.units), jnp.zeros(1)
        params = jax.eval_shape(cell.init, jax.random.key(0), x)
        count = lambda tree: sum(a.size for a in jax.tree.leaves(tree))
        kept[name] = {"parameters": count(params)}
        for way, make in ALGORITHMS.items():
            kept[name][way] = count(jax.eval_shape(make(cell).init, params, x)[1])
    return kept


def learn(cfg: Config) -> dict[str, dict[str, np.ndarray]]:
    """Losses over the memoryless one by task and algorithm, (seeds, blocks)."""
    keys = jax.vmap(jax.random.key)(jnp.array(cfg.seeds))
    losses = {}
    for name, task in {"copy": copying(cfg), "adding": adding(cfg)}.items():
        cell = model(task, jrnn.gru(cfg.units))
        losses[name] = {}
        for way in ("BPTT", "truncated", *cfg.algorithms):
            train = jax.jit(jax.vmap(partial(trained, cfg, task, cell, way)))
            rows = np.asarray(train(keys)[1])
            blocks = rows.reshape(len(rows), -1, cfg.block).mean(axis=2)
            losses[name][way] = blocks / task.memoryless
    return losses


def stream(cfg: Config, length: int, way: str = "RTRL") -> Callable:
    """The loss and gradient over one stream, whose inputs are drawn on the way."""
    cell = jrnn.stack(jrnn.gru(cfg.units), jrnn.linear(1))
    algorithm = ALGORITHMS["RTRL"](cell)
    draw = lambda t: jnp.sin(0.3 * t.astype(jnp.float32))[None]
    loss = lambda y, t: jnp.square(y - draw(t + 1)).sum()

    def by_rtrl(params):
        def step(state, t):
            carry, influence, total, gradient = state
            made = algorithm.step(
                params, carry, influence, draw(t), lambda y: loss(y, t)
            )
            gradient = jax.tree.map(jnp.add, gradient, made.gradient)
            return (made.carry, made.influence, total + made.loss, gradient), None

        start = *algorithm.init(params, draw(jnp.int32(0))), jnp.zeros(())
        start = *start, jax.tree.map(jnp.zeros_like, params)
        end, _ = jax.lax.scan(step, start, jnp.arange(length))
        return end[2:]

    def by_bptt(params):
        def total(params):
            steps = jnp.arange(length)
            ys = jrnn.unroll(cell, params, jax.vmap(draw)(steps))[1]
            return jax.vmap(loss)(ys, steps).sum()

        return jax.value_and_grad(total)(params)

    params = jax.eval_shape(cell.init, jax.random.key(0), jnp.zeros(1))
    return {"RTRL": by_rtrl, "BPTT": by_bptt}[way], cell, params


def peak_of_process(cfg: Config, length: int) -> float:
    """MiB that a process of its own needs at most for learning from a stream."""
    code = (
        "import sys; from experiments import online_learning as o; "
        "print(o.run_stream(int(sys.argv[1]), int(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(cfg.units), str(length)]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(said.stdout.split()[-1])


def run_stream(units: int, length: int) -> float:
    """Learn from a stream; the largest memory of this process, in MiB."""
    go, cell, _ = stream(Config(units=units), length)
    params = cell.init(jax.random.key(0), jnp.zeros(1))
    jax.block_until_ready(jax.jit(go)(params))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(cfg: Config) -> dict[str, dict[str, int]]:
    """Bytes of temporary memory of compiled gradients, by gradient and steps."""
    found = {}
    for way in ("RTRL", "BPTT"):
        found[way] = {}
        for length in cfg.streams:
            go, _, params = stream(cfg, length, way)
            compiled = jax.jit(go).lower(params).compile()
            size = compiled.memory_analysis().temp_size_in_bytes
            found[way][str(length)] = size
    return found


def run(cfg: Config) -> Result:
    return Result(
        cfg.lags,
        cfg.block,
        cfg.window,
        compare(cfg),
        numbers_kept(cfg),
        learn(cfg),
        memory(cfg),
        {str(length): peak_of_process(cfg, length) for length in cfg.streams},
    )


def summary(result: Result) -> dict:
    by_lag = lambda rows: dict(zip(map(str, result.lags), rows.mean(1), strict=True))
    return {
        **{
            f"cosine with BPTT by lag, {state}, {cell}": {
                way: by_lag(rows) for way, rows in ways.items()
            }
            for state, cells in result.cosines.items()
            for cell, ways in cells.items()
        },
        **{f"numbers kept, {cell}": ways for cell, ways in result.kept.items()},
        **{
            f"last loss over memoryless, {task}": {
                way: {
                    "mean": rows[:, -1].mean(),
                    "least": rows[:, -1].min(),
                    "most": rows[:, -1].max(),
                }
                for way, rows in ways.items()
            }
            for task, ways in result.losses.items()
        },
        "temporary_bytes": result.temporary_bytes,
        "resident_mebibytes": result.resident_mebibytes,
    }


def plot(result: Result) -> plt.Figure:
    cells = list(result.cosines["trained"])
    columns = max(len(cells), 3)
    figure = plt.figure(figsize=(11, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1)
    axes = above.subplots(1, columns, sharey=True, squeeze=False)[0]
    for ax, cell in zip(axes, cells, strict=False):
        for way, rows in result.cosines["trained"][cell].items():
            style = {"color": COLOURS[way], "marker": "o", "ms": 3}
            before = result.cosines["untrained"][cell][way]
            ax.plot(result.lags, rows.mean(1), label=_label(way, result), **style)
            ax.plot(result.lags, before.mean(1), ls=":", **style)
        ax.axhline(0, color="black", lw=0.8)
        ax.set(xscale="log", xlabel="lag, steps", ylim=(-0.25, 1.05))
        ax.set_xticks(result.lags, [str(lag) for lag in result.lags])
        ax.minorticks_off()
        ax.set_title(cell, fontsize=10)
    for ax in axes[len(cells) :]:
        ax.set_axis_off()
    axes[0].set_ylabel("cosine with BPTT's gradient")
    axes[0].plot([], ":", color="grey", label="untrained")
    axes[0].legend(fontsize=7, loc="lower left")
    axes = below.subplots(1, 3)
    for ax, (task, ways) in zip(axes, result.losses.items(), strict=False):
        for way, rows in ways.items():
            updates = result.block * np.arange(1, rows.shape[1] + 1)
            style = {"color": COLOURS[way], "lw": 1.2}
            ax.plot(updates, rows.mean(0), label=_label(way, result), **style)
            ax.fill_between(updates, rows.min(0), rows.max(0), alpha=0.15, **style)
        ax.axhline(1, color="black", ls=":", lw=0.8)
        ax.set(xlabel="update", ylabel="loss / memoryless loss", yscale="log")
        ax.set_title(f"GRU, {task} task", fontsize=10)
    axes[0].legend(fontsize=7, loc="lower left")
    for way, sizes in result.temporary_bytes.items():
        steps = [int(n) for n in sizes]
        mebibytes = np.array(list(sizes.values())) / 2**20
        axes[2].plot(steps, mebibytes, "o-", color=COLOURS[way], label=way)
    axes[2].set(xscale="log", yscale="log", xlabel="steps of the stream")
    axes[2].set(ylabel="temporary memory, MiB")
    axes[2].set_title("Memory of a gradient", fontsize=10)
    axes[2].legend(fontsize=7)
    return figure


def _label(way: str, result: Result) -> str:
    return f"BPTT, {result.window} steps" if way == "truncated" else way


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("online_learning", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
