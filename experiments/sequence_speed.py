"""How fast are sequences of unequal length batched and trained on, beside PyTorch?

Source: what people do by hand with a DataLoader, pad_sequence and pack_padded_sequence.

100,000 sequences of 5 to 500 steps are read by a GRU of 64 units; its last state tells
one of ten classes: forward, gradient and an update of Adam on batches of 64. Compared,
round by round in turn, on two threads each, losses of the same weights first:

* jrnn: `jrnn.data.batching`, a step of `jrnn.train.make_step` compiled for each of its
  shapes before the clock starts (seconds apart);
* PyTorch: a DataLoader that shuffles, packed sequences, no worker and two;
* PyTorch, by length: the same batches as jrnn, so that hardly anything is padding.

A round is a number of batches of each stream, in microseconds a step of a sequence,
padding not counted: an epoch takes as long as its 25 million steps. Workers of PyTorch
go on filling their queue while others are measured, which is in its favour.

Apart from it, in a process of its own: seconds from arrays to the first batch, and how
far memory grows beyond what it was before the data, as a multiple of the data.

Expect: packed sequences spare PyTorch the padding, but cut every step to another size;
where batches are of one length, there is little to pack.

Time: about five minutes on two idle cores. Needs torch.
"""

import importlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jrnn
from experiments._results import need, plain, save, show
from jrnn import losses, models, optimizers
from jrnn.data import Dataset, Sequences, batching
from jrnn.train import Hyper, init_state, make_step


@dataclass(frozen=True)
class Config:
    sequences: int = 100_000
    """How many there are."""
    shortest: int = 5
    """Steps of the shortest."""
    longest: int = 500
    """Steps of the longest; all lengths are equally frequent."""
    features: int = 8
    """Numbers in each step."""
    classes: int = 10
    """Classes, drawn at random: speed is measured, not learning."""
    hidden_size: int = 64
    """Units of the GRU."""
    batch_size: int = 64
    """Sequences in an update."""
    batches: int = 30
    """Of each stream in a round."""
    rounds: int = 9
    """Rounds of each; minimum and median are reported."""
    workers: tuple[int, ...] = (0, 2)
    """Processes that PyTorch's DataLoader collates in."""
    threads: int = 2
    """Threads of PyTorch, and of jrnn where the machine has that many cores."""
    loaded: bool = False
    """Say that the machine had other work meanwhile: then only ratios mean anything."""
    seed: int = 0
    """Of data, weights and order."""


SMOKE = Config(40, 2, 9, 3, 4, 5, 8, batches=2, rounds=2, workers=(0,))


@dataclass(frozen=True)
class Result:
    seconds: dict[str, np.ndarray]  # (rounds,), a step of a sequence
    losses: dict[str, float]  # of the same weights on the same batch
    compile_seconds: float
    padding: float
    shapes: int
    first_batch: dict[str, float]  # of a process of its own
    loaded: bool


def dataset(cfg: Config) -> Dataset:
    """All steps in one array, filled in place: nothing is there twice."""
    rng = np.random.default_rng(cfg.seed)
    lengths = rng.integers(cfg.shortest, cfg.longest + 1, cfg.sequences)
    values = np.empty((lengths.sum(), cfg.features), np.float32)
    rng.standard_normal(out=values, dtype=np.float32)
    targets = rng.integers(0, cfg.classes, cfg.sequences).astype(np.int32)
    return Dataset(Sequences(values, np.cumsum(lengths) - lengths, lengths), targets)


# jrnn


def network(cfg: Config):
    """Parameters of cell and readout, and the loss of a batch."""
    cell, readout = jrnn.gru(cfg.hidden_size), jrnn.linear(cfg.classes)
    model = jrnn.stack(cell, readout)
    params = model.init(jax.random.key(cfg.seed), jnp.zeros(cfg.features))

    def loss(params, carry, batch, *, key=None):
        one = lambda xs, n: models.many_to_one(cell, readout, params, xs, n)
        logits = jax.vmap(one)(batch.inputs, batch.lengths)
        return losses.cross_entropy(logits, batch.targets, batch.real), carry

    return params, loss


def of_jrnn(cfg: Config, stream, params, loss) -> tuple[Callable[[], int], float]:
    """A round of updates, which returns the steps it has read; seconds to compile."""
    step = jax.jit(make_step(loss, optimizers.adam), donate_argnums=0)
    state = init_state(jax.tree.map(jnp.copy, params), (), optimizers.adam)
    hyper = Hyper(jnp.float32(1e-3), jnp.float32(jnp.inf))
    begin, compiled = time.perf_counter(), set()
    for n in range(4 * stream.per_epoch):
        batch = stream.batch(n)
        if batch.inputs.shape not in compiled:
            state, metrics = step(state, batch, hyper)
            compiled.add(batch.inputs.shape)
        if len(compiled) == len(stream.shapes):
            break
    jax.block_until_ready(metrics)
    seconds = time.perf_counter() - begin
    numbers = itertools.count()

    def one_round():
        nonlocal state
        steps = 0
        for n in itertools.islice(numbers, cfg.batches):
            batch = stream.batch(n)
            state, metrics = step(state, batch, hyper)
            steps += int(batch.lengths.sum())
        jax.block_until_ready(metrics)
        return steps

    return one_round, seconds


# PyTorch


def collated(items):
    """What every tutorial writes: padded, with the lengths beside it."""
    torch = importlib.import_module("torch")
    xs, ys = zip(*items, strict=True)
    padded = torch.nn.utils.rnn.pad_sequence(xs, batch_first=True)
    return padded, torch.tensor([len(x) for x in xs]), torch.tensor(ys)


class Pairs:
    """The same arrays for a DataLoader, not copied."""

    def __init__(self, data: Dataset):
        self.data = data

    def __len__(self):
        return len(self.data.inputs)

    def __getitem__(self, i):
        from_numpy = importlib.import_module("torch").from_numpy
        return from_numpy(self.data.inputs[i]), int(self.data.targets[i])


def loaders(cfg: Config, data: Dataset, stream) -> dict:
    """Endless batches by each way of loading; their workers start here."""
    load = importlib.import_module("torch.utils.data").DataLoader
    by_length = [stream.examples(n).tolist() for n in range(stream.per_epoch)]
    found = {}
    for workers in cfg.workers:
        ways = {
            "PyTorch": {"batch_size": cfg.batch_size, "shuffle": True},
            "PyTorch, by length": {"batch_sampler": by_length},
        }
        for name, options in ways.items():
            options |= {"collate_fn": collated, "num_workers": workers}
            epochs = itertools.repeat(load(Pairs(data), **options))
            batches = itertools.chain.from_iterable(epochs)
            first = next(batches)
            found[f"{name}, {workers} workers"] = itertools.chain([first], batches)
    return found


def torch_network(cfg: Config, params):
    """The GRU and the readout of PyTorch with these parameters; the loss of a batch."""
    torch = importlib.import_module("torch")
    cell, readout = params
    gru = torch.nn.GRU(cfg.features, cfg.hidden_size, batch_first=True)
    linear = torch.nn.Linear(cfg.hidden_size, cfg.classes)
    values = (cell.w_x.T, cell.w_h.T, cell.b_x, cell.b_h, readout.w.T, readout.b)
    weights = [*gru.parameters(), *linear.parameters()]
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(torch.from_numpy(np.array(value)))

    def loss(xs, lengths, ys):
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            xs, lengths, batch_first=True, enforce_sorted=False
        )
        return torch.nn.functional.cross_entropy(linear(gru(packed)[1][0]), ys)

    return weights, loss


def of_torch(cfg: Config, params, batches) -> Callable[[], int]:
    torch = importlib.import_module("torch")
    weights, loss = torch_network(cfg, params)
    rule = torch.optim.Adam(weights, 1e-3)

    def one_round():
        steps = 0
        for xs, lengths, ys in itertools.islice(batches, cfg.batches):
            rule.zero_grad()
            loss(xs, lengths, ys).backward()
            rule.step()
            steps += int(lengths.sum())
        return steps

    return one_round


# Both


FIRST_BATCH = """
import json, sys, time
from pathlib import Path

def memory(name):
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:  # not on Linux
        return float("nan")
    return 1024 * int(text.split(name + ":")[1].split()[0])

from experiments.sequence_speed import Config, dataset
from jrnn.data import batching
cfg = Config(**json.loads(sys.argv[1]))
before = memory("VmRSS")
data = dataset(cfg)
begin = time.perf_counter()
batching(data, cfg.batch_size, cfg.seed).batch(0)
seconds = time.perf_counter() - begin
grown = (memory("VmHWM") - before) / data.inputs.values.nbytes
print(json.dumps({"seconds": seconds, "memory over data": grown}))
"""


def first_batch(cfg: Config) -> dict[str, float]:
    """Seconds and memory, in a process where nothing else has been."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", FIRST_BATCH, json.dumps(asdict(cfg))]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def same_loss(cfg: Config, data, stream, params, loss) -> dict[str, float]:
    batch = stream.batch(0)
    items = [Pairs(data)[i] for i in stream.examples(0)]
    _, torch_loss = torch_network(cfg, params)
    return {
        "jrnn": float(loss(params, (), batch)[0]),
        "PyTorch": float(torch_loss(*collated(items)).detach()),
    }


def run(cfg: Config) -> Result:
    torch = importlib.import_module("torch")
    torch.set_num_threads(cfg.threads)
    first, data = first_batch(cfg), dataset(cfg)
    stream = batching(data, cfg.batch_size, cfg.seed)
    loading = loaders(cfg, data, stream)  # before JAX has threads, which forks lose
    params, loss = network(cfg)
    ours, compiling = of_jrnn(cfg, stream, params, loss)
    ways = {"jrnn": ours}
    ways |= {name: of_torch(cfg, params, batches) for name, batches in loading.items()}
    seconds = {name: [] for name in ways}
    for _ in range(cfg.rounds):
        for name, one_round in ways.items():
            begin = time.perf_counter()
            steps = one_round()
            seconds[name].append((time.perf_counter() - begin) / steps)
    return Result(
        {name: np.array(times) for name, times in seconds.items()},
        same_loss(cfg, data, stream, params, loss),
        compiling,
        stream.padding,
        len(stream.shapes),
        first,
        cfg.loaded,
    )


def summary(result: Result) -> dict:
    ours = result.seconds["jrnn"]
    rows = {
        name: {
            "minimum, microseconds a step": 1e6 * times.min(),
            "median, microseconds a step": 1e6 * np.median(times),
            "minimum over that of jrnn": times.min() / ours.min(),
            "median over jrnn in the round": np.median(times / ours),
        }
        for name, times in result.seconds.items()
    }
    return {
        "loaded": result.loaded,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "loss_of_the_same_weights": result.losses,
        "first_batch": result.first_batch,
        "padding": result.padding,
        "shapes": result.shapes,
        "compile_seconds": result.compile_seconds,
        "speed": rows,
    }


def main(cfg: Config) -> None:
    need("torch")
    metrics = plain(summary(run(cfg)))
    save("sequence_speed", cfg, metrics)
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
