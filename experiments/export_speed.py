"""How long does a step take in each of the forms that a model is exported to?

Source: the formats of `jrnn export`: programs of JAX, a graph of ONNX, a file of C.

What is compared, side by side in one process, round by round in turn, one sequence in
float32 on one core, outputs compared first:

* jrnn: `step` and `unroll`, compiled by `jax.jit`;
* jax.export: the two programs of `to_jax`, read back and compiled by `jax.jit`;
* onnxruntime: the graph of `to_onnx`, one thread;
* C: the file of `to_c`, built by `cc -O3 -march=native`, called by ctypes; and the same
  with weights in eight bits.

Each in two ways: a step a call, as a stream wants it, where calls from Python count,
and all steps in one call.

Expect: C the fastest by far at a step a call, since its call costs least. At many units
a step waits for the weights to be read, and the forms draw together.

Time: about a minute on an idle core. Needs a C compiler, onnx and onnxruntime.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from safetensors.numpy import load_file

import jrnn
from experiments._results import need, plain, save, show
from jrnn.export import to_c, to_jax, to_onnx

CELLS = {"tanh": jrnn.elman, "GRU": jrnn.gru, "LSTM": jrnn.lstm}
ONE = "one step a call"
ALL = "all steps in one call"


@dataclass(frozen=True)
class Config:
    models: tuple[tuple[str, int], ...] = (("tanh", 100), ("GRU", 128), ("LSTM", 512))
    """Cell and units of the models, one layer each."""
    vocab_size: int = 65
    """Characters; 65 is tiny Shakespeare."""
    steps: int = 300
    """Steps in one round."""
    rounds: int = 21
    """Rounds of each; minimum and median are reported, in microseconds a step."""
    seed: int = 0
    """Of the weights and the tokens."""


SMOKE = Config(models=(("GRU", 6),), vocab_size=5, steps=7, rounds=2)


class Contender(NamedTuple):
    one: Callable[[], np.ndarray]  # all outputs (T, V), by a call for each step
    all: Callable[[], np.ndarray]  # by one call


@dataclass(frozen=True)
class Result:
    seconds: dict[str, dict[str, dict[str, np.ndarray]]]  # (rounds,), of all steps
    difference: dict[str, dict[str, float]]  # largest, from the outputs of jrnn
    steps: int


def of_jrnn(model, params, tokens) -> Contender:
    step = jax.jit(lambda carry, x: model.step(params, carry, x))
    whole = jax.jit(lambda xs: jrnn.unroll(model, params, xs)[1])
    start = jax.tree.map(jnp.asarray, model.initial_carry(params))

    def one():
        carry, ys = start, []
        for x in tokens:
            carry, y = step(carry, x)
            ys.append(np.asarray(y))  # a stream needs each before the next
        return np.stack(ys)

    return Contender(one, lambda: np.asarray(whole(tokens)))


def of_export(model, params, tokens, folder: Path) -> Contender:
    tensors = load_file(to_jax(folder / "a.jax", model, params, tokens[0]).path)
    step, whole = (
        jax.jit(jax.export.deserialize(bytearray(tensors[name])).call)
        for name in ("step", "sequence")
    )
    part = lambda name: {
        n: jnp.asarray(a) for n, a in tensors.items() if n.startswith(name)
    }
    weights = part("params")
    start = {n: a[None] for n, a in part("carry").items()}

    def one():
        carry, ys = start, []
        for x in tokens:
            carry, y = step(weights, carry, x[None])
            ys.append(np.asarray(y[0]))
        return np.stack(ys)

    return Contender(one, lambda: np.asarray(whole(weights, start, tokens[None])[1][0]))


def of_onnx(model, params, tokens, folder: Path) -> Contender:
    import onnxruntime  # where it is missing the other modules are still of use

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = to_onnx(folder / "a.onnx", model, params, tokens[0]).path
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    states = session.get_inputs()[1:]
    start = {i.name: np.zeros((1, i.shape[1]), np.float32) for i in states}

    def one():
        given, ys = start, []
        for x in tokens[:, None, None]:
            y, *carry = session.run(names, {"x": x, **given})
            given = dict(zip(start, carry, strict=True))
            ys.append(y[0, 0])
        return np.stack(ys)

    return Contender(
        one, lambda: session.run(names, {"x": tokens[None], **start})[0][0]
    )


RUN = """
#define MODEL_NO_MAIN
#include "{name}.c"
int state_size = sizeof(model_state);
void run(model_state *state, const int *tokens, int n, float *y)
{{
    for (int t = 0; t < n; t++)
        model_step(state, tokens[t], y + t * MODEL_OUTPUTS);
}}
"""


def of_c(model, params, tokens, folder: Path, int8: bool) -> Contender:
    name = "int8" if int8 else "float32"
    to_c(folder / f"{name}.c", model, params, tokens[0], int8=int8)
    source, built = folder / f"{name}_run.c", folder / f"{name}.so"
    source.write_text(RUN.format(name=name))
    options = "-std=c99 -O3 -march=native -shared -fPIC -o".split()
    subprocess.run(["cc", *options, built, source, "-lm"], check=True)
    library = ctypes.CDLL(str(built))
    state = ctypes.create_string_buffer(
        ctypes.c_int.in_dll(library, "state_size").value
    )
    size = model.description.arguments["cells"][-1].description.arguments["output_size"]
    ys = np.zeros((len(tokens), size), np.float32)
    at = lambda array: array.ctypes.data_as(ctypes.c_void_p)

    def one():
        library.model_start(state)
        y, ys = np.zeros(size, np.float32), []
        for x in tokens.tolist():
            library.model_step(state, x, at(y))
            ys.append(y.copy())
        return np.stack(ys)

    def everything():
        library.model_start(state)
        library.run(state, at(tokens), len(tokens), at(ys))
        return ys

    return Contender(one, everything)


def contenders(cfg: Config, cell: str, units: int, folder: Path) -> dict:
    V = cfg.vocab_size
    model = jrnn.stack(jrnn.one_hot(V), CELLS[cell](units), jrnn.linear(V))
    params = model.init(jax.random.key(cfg.seed), jnp.int32(0))
    tokens = np.random.default_rng(cfg.seed).integers(0, V, cfg.steps, np.int32)
    given = model, params, tokens
    return {
        "jrnn": of_jrnn(*given),
        "jax.export": of_export(*given, folder),
        "onnxruntime": of_onnx(*given, folder),
        "C": of_c(*given, folder, int8=False),
        "C, int8": of_c(*given, folder, int8=True),
    }


def timed(cfg: Config, ways: dict) -> dict[str, dict[str, np.ndarray]]:
    """Seconds (rounds,) of each contender in both ways, taken in turn."""
    seconds = {way: {name: [] for name in ways} for way in (ONE, ALL)}
    for _ in range(cfg.rounds):
        for name, contender in ways.items():
            for way, call in zip((ONE, ALL), contender, strict=True):
                begin = time.perf_counter()
                call()
                seconds[way][name].append(time.perf_counter() - begin)
    return {w: {n: np.array(t) for n, t in s.items()} for w, s in seconds.items()}


def run(cfg: Config) -> Result:
    seconds, difference = {}, {}
    for cell, units in cfg.models:
        name = f"{cell} {units}"
        with tempfile.TemporaryDirectory() as folder:
            ways = contenders(cfg, cell, units, Path(folder))
            outputs = {n: (c.one(), np.copy(c.all())) for n, c in ways.items()}
            wanted = outputs["jrnn"][1]
            difference[name] = {
                n: float(max(np.abs(ys - wanted).max() for ys in both))
                for n, both in outputs.items()
            }
            seconds[name] = timed(cfg, ways)
    return Result(seconds, difference, cfg.steps)


def summary(result: Result) -> dict:
    numbers = {
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "largest_difference_from_jrnn": result.difference,
    }
    for model, ways in result.seconds.items():
        for way, times in ways.items():
            numbers[f"{model}, {way}"] = {  # microseconds a step
                name: {
                    "minimum": 1e6 * t.min() / result.steps,
                    "median": 1e6 * np.median(t) / result.steps,
                    "minimum, of jrnn's": t.min() / times["jrnn"].min(),
                    "median, of jrnn's in the round": np.median(t / times["jrnn"]),
                }
                for name, t in times.items()
            }
    return numbers


def main(cfg: Config) -> None:
    need("onnx", "onnxruntime")
    if shutil.which("cc") is None:
        sys.exit("needs a C compiler by the name of cc")
    metrics = plain(summary(run(cfg)))
    save("export_speed", cfg, metrics)
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
