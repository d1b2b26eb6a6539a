"""How fast is the gradient of each cell, beside the same step under lax.scan?

Source: the claim that `jrnn.scan` is never slower than `jax.lax.scan`.

What is compared, in one process, round by round in turn, float32: the mean square of
all outputs, and its gradient by the parameters, of a batch under `vmap`:

* jrnn: the cell's step under `jrnn.scan`, or `jrnn.unroll` for a cell that takes many
  steps at once (`mlstm`; "mlstm, step by step" is its step under `jrnn.scan`);
* lax.scan: the same step under `jax.lax.scan`, answers compared first;
* torchrecurrent: the cell of that name, where the package is installed; behind them;
* bare products, of those cells: the products of matrices that no program can do
  without, and nothing else. What torchrecurrent takes over them is the most that any
  program can be faster by.

Wrappers are measured on an LSTM or a GRU in the same way. All use every core. Rows that
the result file holds with the same configuration are kept, so that a run that was
interrupted goes on; `--no-resume` measures all again.

Expect: ratios above 1 for cells with large products of x, about 1 for those without.

Time: 6 minutes on two idle cores, mostly compilation.
"""

import importlib
import importlib.util
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax

import jrnn
from experiments import _results
from experiments._results import plain, save, show
from jrnn.cell import ChunkwiseStep
from jrnn.devices import keep_memory
from jrnn.models import CELLS

WAYS = ("forward", "gradient")
LIMIT = 1.05  # of the time under lax.scan: more than this counts as slower
OF_TORCH = {  # names of torchrecurrent
    "antisymmetric": "AntisymmetricRNN",
    "cornn": "coRNN",
    "indrnn": "IndRNN",
    "janet": "JANET",
    "lem": "LEM",
    "mgu": "MGU",
    "peephole_lstm": "PeepholeLSTM",
    "ugrnn": "UGRNN",
}


@dataclass(frozen=True)
class Config:
    batch: int = 50
    """Sequences."""
    steps: int = 50
    """Steps of each."""
    hidden_size: int = 128
    """Units, and numbers of an input."""
    rounds: int = 9
    """Rounds of each; minimum and median are reported, in milliseconds."""
    rows: tuple[str, ...] = ()
    """Names of cells and wrappers to measure; none stands for all."""
    keep_memory: bool = False
    """Whether the process keeps its memory from call to call, as that of `jrnn train`
    does; the result file is another then, as of other sizes."""
    resume: bool = True
    """Keep rows that the result file holds with the same sizes."""
    seed: int = 0
    """Of the weights and the inputs."""


SMOKE = Config(2, 3, 8, 2, ("elman", "mgu", "conv_lstm", "zoneout on lstm"))


class Subject(NamedTuple):
    """A cell, the shape of its input at one step, and what it needs besides."""

    cell: jrnn.Cell
    shape: tuple[int, ...]
    step_key: bool = False
    extra: Callable[[Any], Any] = lambda x: x  # from an input to what the step reads


@dataclass(frozen=True)
class Result:
    milliseconds: dict[str, dict[str, dict[str, np.ndarray]]]  # row, way: (rounds,)


def cells(H: int) -> dict[str, Subject]:
    """Every cell, at H units; of convolutional cells H numbers at least."""
    found = {name: Subject(make(H), (H,)) for name, make in CELLS.items()}
    one_by_one = lambda cell: cell._replace(step=cell.step.step)
    for name, subject in [*found.items()]:
        if isinstance(subject.cell.step, ChunkwiseStep):
            loop = subject._replace(cell=one_by_one(subject.cell))
            found[f"{name}, step by step"] = loop
    found["projected_lstm"] = Subject(jrnn.projected_lstm(H, max(1, H // 2)), (H,))
    channels = max(1, H // 64)
    for make in (jrnn.conv_lstm, jrnn.conv_gru):
        cell = make((8, 8), channels)
        found[make.__name__] = Subject(cell, (8, 8, channels))
    return found


def wrappers(H: int) -> dict[str, Subject]:
    """The wrappers of `jrnn.wrappers` that work on vectors."""
    lstm, gru = jrnn.lstm(H), jrnn.gru(H)
    flagged = lambda flag: lambda x: (x, jnp.full((), flag))
    plain_ones = {
        "clip_carry on lstm": jrnn.clip_carry(lstm, 1.0),
        "highway on gru": jrnn.highway(gru),
        "layer_norm on lstm": jrnn.layer_norm(lstm),
        "learned_carry on lstm": jrnn.learned_carry(lstm),
        "mixed_precision on lstm": jrnn.mixed_precision(lstm),
        "record on lstm": jrnn.record(lstm),
        "residual on gru": jrnn.residual(gru),
        "spectral_norm on gru": jrnn.spectral_norm(gru),
        "weight_norm on gru": jrnn.weight_norm(gru),
        "zoneout_mean on lstm": jrnn.zoneout_mean(lstm, 0.1, 0.1),
    }
    noisy = {
        "dropout on lstm": jrnn.dropout(lstm, 0.1),
        "recurrent_dropout on lstm": jrnn.recurrent_dropout(lstm, 0.1),
        "variational_dropout on lstm": jrnn.variational_dropout(lstm, 0.1),
        "weight_dropout on lstm": jrnn.weight_dropout(lstm, 0.1),
        "zoneout on lstm": jrnn.zoneout(lstm, 0.1, 0.1),
    }
    found = {name: Subject(cell, (H,)) for name, cell in plain_ones.items()}
    found |= {name: Subject(cell, (H,), True) for name, cell in noisy.items()}
    found["masked on lstm"] = Subject(jrnn.masked(lstm), (H,), False, flagged(True))
    found["reset on lstm"] = Subject(jrnn.reset(lstm), (H,), False, flagged(False))
    return found


def of_jax(cfg: Config, subject: Subject) -> dict[str, dict[str, Callable]]:
    """By way, the compiled functions of no arguments under both loops."""
    cell, keys = subject.cell, jax.random.split(jax.random.key(cfg.seed), 4)
    example = subject.extra(jnp.zeros(subject.shape))
    params = jax.jit(cell.init)(keys[0], example)
    xs = jax.random.normal(keys[1], (cfg.batch, cfg.steps, *subject.shape))

    def loss(loop, params, xs):
        def one(xs):
            carry = cell.initial_carry(params, key=keys[2])
            if loop is jrnn.scan and isinstance(cell.step, ChunkwiseStep):
                return jrnn.unroll(cell, params, xs, carry)[1]

            def step(state, x):
                carry, key = state
                key, now = jax.random.split(key) if subject.step_key else (key, None)
                carry, y = cell.step(params, carry, subject.extra(x), key=now)
                return (carry, key), y

            return loop(step, (carry, keys[3]), xs)[1]

        ys = jax.tree.leaves(jax.vmap(one)(xs))
        floats = [y for y in ys if jnp.issubdtype(y.dtype, jnp.floating)]
        return sum(jnp.square(y.astype(xs.dtype)).mean() for y in floats)

    def compiled(loop, way):
        value = lambda params, xs: loss(loop, params, xs)
        f = value if way == "forward" else jax.grad(value)
        program = jax.jit(f).lower(params, xs).compile()
        return program.as_text(), lambda: jax.block_until_ready(program(params, xs))

    loops = {"jrnn": jrnn.scan, "lax.scan": lax.scan}
    return {
        way: distinct({n: compiled(f, way) for n, f in loops.items()}) for way in WAYS
    }


def distinct(programs: dict[str, tuple[str, Callable]]) -> dict[str, Callable]:
    """One function for all names whose programs have the same text."""
    by_text = {text: f for text, f in programs.values()}
    return {name: by_text[text] for name, (text, _) in programs.items()}


def of_torch(cfg: Config, name: str) -> dict[str, dict[str, Callable]]:
    """By way, torchrecurrent's cell of that name; nothing where there is none."""
    if name not in OF_TORCH or importlib.util.find_spec("torchrecurrent") is None:
        return {}
    torch = importlib.import_module("torch")
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(cfg.seed)
    kind = getattr(importlib.import_module("torchrecurrent"), OF_TORCH[name])
    model = kind(cfg.hidden_size, cfg.hidden_size)
    xs = torch.randn(cfg.steps, cfg.batch, cfg.hidden_size)
    loss = lambda: model(xs)[0].square().mean()

    def forward():
        with torch.no_grad():
            return loss()

    def gradient():
        model.zero_grad()
        loss().backward()

    ways = {"forward": forward, "gradient": gradient}
    return {way: {"torchrecurrent": f} for way, f in ways.items()}


def bare(cfg: Config, name: str, subject: Subject) -> dict[str, dict[str, Callable]]:
    """By way, the products of a cell that torchrecurrent has, and nothing else.

    Forward, one a step for each matrix w (I, G); back in time, one a step for each but
    w_x, and the gradient of each as one product over all steps.
    """
    if name not in OF_TORCH:
        return {}
    *keys, key = jax.random.split(jax.random.key(cfg.seed), 9)
    params = jax.jit(subject.cell.init)(key, jnp.zeros(subject.shape))
    ws = {n: w for n, w in params._asdict().items() if w.ndim == 2}
    # of its own for each, or the compiler would do a product of the same ones once
    draw = lambda key, G: jax.random.normal(key, (cfg.steps, cfg.batch, G))
    both = lambda key, w: [*map(draw, jax.random.split(key), w.shape)]  # h and dz
    hs = {n: both(key, w) for key, (n, w) in zip(keys, ws.items(), strict=False)}

    def loop(w, hs):
        step = lambda _, h: (h @ w, None)
        return lax.scan(step, jnp.zeros((cfg.batch, w.shape[1])), hs)[0]

    def forward(ws, hs):
        return [loop(w, hs[n][0]) for n, w in ws.items()]

    def gradient(ws, hs):
        rows = lambda a: a.reshape(-1, a.shape[-1])
        back = [loop(w.T, hs[n][1]) for n, w in ws.items() if n != "w_x"]
        return forward(ws, hs), back, [rows(h).T @ rows(dz) for h, dz in hs.values()]

    def compiled(f):
        program = jax.jit(f).lower(ws, hs).compile()
        return lambda: jax.block_until_ready(program(ws, hs))

    ways = {"forward": compiled(forward), "gradient": compiled(gradient)}
    return {way: {"bare products": f} for way, f in ways.items()}


def check(name: str, functions: dict[str, dict[str, Callable]]) -> None:
    """Both loops answer alike, as sums in another order may."""
    for way, by_loop in functions.items():
        own, plain_ones = (jax.tree.leaves(f()) for f in by_loop.values())
        for a, b in zip(own, plain_ones, strict=True):
            scale = max(float(jnp.abs(b).max()), 1e-6)
            # bfloat16 within mixed_precision rounds to eight bits
            most = 0.1 if "precision" in name else 2e-3
            assert float(jnp.abs(a - b).max()) <= most * scale, (name, way)


def measure(cfg: Config, name: str, subject: Subject) -> dict[str, dict[str, Any]]:
    """Milliseconds of each way and contender, round by round in turn.

    The second of two calls counts. PyTorch has rounds of its own, behind the others:
    its threads keep both cores busy for a while after each call. What is one program
    under both loops is measured once, and as fast as itself.
    """
    functions = of_jax(cfg, subject)
    check(name, functions)
    for way, by_name in bare(cfg, name, subject).items():
        functions[way] |= by_name
    times: dict = {}
    for by_way in (functions, of_torch(cfg, name)):
        for _ in range(cfg.rounds):
            for way, by_name in by_way.items():
                spent = {f: milliseconds(f) for f in dict.fromkeys(by_name.values())}
                for contender, f in by_name.items():
                    row = times.setdefault(way, {}).setdefault(contender, [])
                    row.append(spent[f])
    return jax.tree.map(np.asarray, times, is_leaf=lambda x: isinstance(x, list))


def milliseconds(f: Callable) -> float:
    """Of the second of two calls."""
    f()
    begin = time.perf_counter()
    f()
    return 1e3 * (time.perf_counter() - begin)


def chosen(cfg: Config) -> dict[str, Subject]:
    """The rows to measure, by name."""
    found = cells(cfg.hidden_size) | wrappers(cfg.hidden_size)
    unknown = [name for name in cfg.rows if name not in found]
    if unknown:
        raise SystemExit(f"no such rows: {', '.join(unknown)}; there are {[*found]}")
    return {name: found[name] for name in cfg.rows or found}


def run(cfg: Config) -> Result:
    rows = {n: measure(cfg, n, subject) for n, subject in chosen(cfg).items()}
    return Result(rows)


def as_row(times: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Minimum, median and ratios of one row."""
    row: dict[str, Any] = {}
    for way, by_name in times.items():
        least = {n: t.min() for n, t in by_name.items()}
        middle = {n: np.median(t) for n, t in by_name.items()}
        over = {
            f"{n} over jrnn": np.median(t / by_name["jrnn"])
            for n, t in by_name.items()
            if n != "jrnn"
        }
        row[way] = {"minimum": least, "median": middle, **over}
    return row


def summary(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The rows, geometric means of their ratios, and which are slower."""
    found: dict[str, Any] = {"rows": rows}
    for way in WAYS:
        ratios = {n: float(r[way]["lax.scan over jrnn"]) for n, r in rows.items()}
        mean = lambda values: math.exp(sum(map(math.log, values)) / len(values))
        found[f"geometric mean, {way}"] = mean(ratios.values())
        for other in ("torchrecurrent", "bare products"):
            column = f"{other} over jrnn"
            times = [r[way][column] for r in rows.values() if column in r[way]]
            if times:
                found[f"geometric mean, {way}, {column}"] = mean(times)
        found[f"slower, {way}"] = [n for n, r in ratios.items() if r * LIMIT < 1]
    return found


def name_of(cfg: Config) -> str:
    sizes, usual = ((c.batch, c.steps, c.hidden_size) for c in (cfg, Config()))
    name = "cell_speed" if sizes == usual else "cell_speed_B{}_T{}_H{}".format(*sizes)
    return f"{name}_kept_memory" if cfg.keep_memory else name


def kept(cfg: Config) -> dict[str, dict[str, Any]]:
    """Rows of the result file that were measured with the same sizes."""
    path = _results.FOLDER / f"{name_of(cfg)}.json"
    if not cfg.resume or not path.exists():
        return {}
    content = json.loads(path.read_text("utf-8"))
    settings = plain(asdict(cfg))
    same = {*settings} - {"rows", "resume"}
    if any(content["config"].get(name) != settings[name] for name in same):
        return {}
    if content["versions"] != _results.versions():
        return {}
    return content["metrics"]["rows"]


def main(cfg: Config) -> None:
    if cfg.keep_memory:
        keep_memory(one_arena=True)
    rows = kept(cfg)
    for name, subject in chosen(cfg).items():
        if name in rows:
            continue
        rows[name] = plain(as_row(measure(cfg, name, subject)))
        ratios = (f"{way} {rows[name][way]['lax.scan over jrnn']:.2f}" for way in WAYS)
        print(f"{name}: lax.scan over jrnn, {', '.join(ratios)}", flush=True)
        save(name_of(cfg), cfg, summary(rows))  # an interrupted run goes on from here
        jax.clear_caches()
    show({k: v for k, v in summary(rows).items() if k != "rows"})


if __name__ == "__main__":
    main(tyro.cli(Config))
