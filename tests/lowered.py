"""What `scan` hands to the compiler, as text: the guard of changes without effect.

    python tests/lowered.py DIRECTORY             # one file for each program
    python tests/lowered.py --compare OLD NEW     # 1 if any of them differs

Dump before the change and after it, with each JAX that the project supports, and
compare: moving and renaming the engine's code must leave every byte as it was. Programs
are lowered, not compiled: the named steps of `scan_steps.py` under the transformations
of `test_scan.py`, for CPUs and for one GPU, gradients of the benchmark's models, loops
that keep an array small, linear recurrences and sampling.
"""

import argparse
import difflib
import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import scan_steps
from test_scan import TRANSFORMS, B, loss

from experiments.benchmark import bounded, of_jrnn
from experiments.benchmark.problem import Problem, data, weights
from jrnn import scan
from jrnn.generate import prime, sample
from jrnn.scan import diagonal_scan

Named = Iterator[tuple[str, Callable, tuple[Any, ...]]]  # program, function, arguments
OPTIONS = {"": {}, "-remat": {"remat": "step"}, "-reverse": {"reverse": True}}
MODELS = [  # kind, batch, length, hidden, layers
    ("tanh", 50, 50, 128, 1),
    ("gru", 50, 50, 128, 1),
    ("lstm", 50, 50, 128, 1),
    ("lstm", 16, 1000, 64, 1),
    ("lstm", 1, 50, 128, 1),
    ("lstm", 50, 50, 512, 3),
]
LOOPS = {  # that keep an array small: function, shapes
    "cross-entropy": (bounded.cross_entropy, [(64, 16, 512), (512, 32_000)]),
    "attention": (bounded.attention, [(4096, 64), (32, 128, 64), (32, 128, 64)]),
    "micro-batches": (bounded.micro_batches, [(3, 256, 256), (16, 512, 256)]),
}


def steps() -> Named:
    """The named steps under each transformation."""
    w, c = scan_steps.weights(), scan_steps.carry()
    xs, xs_batch = scan_steps.inputs(), scan_steps.inputs(batch=(B,))
    for name, step in scan_steps.NAMED.items():
        for kind, transform in TRANSFORMS.items():
            for option, given in OPTIONS.items():
                run = functools.partial(transform, scan, step, w, c, **given)
                yield f"{name}-{kind}{option}", run, (xs, xs_batch)


def partial_derivatives() -> Named:
    """Gradients by weights or inputs alone, and with chunks of time computed again."""
    w, c, xs = scan_steps.weights(), scan_steps.carry(), scan_steps.inputs()
    for name, step in scan_steps.NAMED.items():
        of = functools.partial(loss, scan, step)
        by_input = lambda w, c, xs, x, of=of: of(w, c, xs._replace(x=x))
        yield f"{name}-grad_by_weights", jax.grad(of), (w, c, xs)
        yield f"{name}-grad_by_inputs", jax.grad(by_input, 3), (w, c, xs, xs.x)
        chunks = functools.partial(of, remat=2)
        yield f"{name}-grad_by_weights-chunks", jax.grad(chunks), (w, c, xs)


def models() -> Named:
    """Gradients at the sizes of the benchmark."""
    for kind, batch, length, hidden, layers in MODELS:
        problem = Problem(kind, batch, length, hidden, layers=layers)
        params = of_jrnn.stack_weights(weights(problem))
        gradient = jax.value_and_grad(of_jrnn.as_written(problem))
        name = f"benchmark-{kind}-{batch}-{length}-{hidden}-{layers}"
        yield name, gradient, (params, data(problem))


def bounded_loops() -> Named:
    """Values and gradients of loops that move as much as a budget allows."""
    for name, (function, shapes) in LOOPS.items():
        args = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        by = tuple(range(len(args)))
        if name == "cross-entropy":
            args.append(jax.ShapeDtypeStruct(shapes[0][:-1], jnp.int32))
        value = functools.partial(function, scan)
        yield f"bounded-{name}", value, tuple(args)
        yield f"bounded-{name}-grad", jax.grad(value, by), tuple(args)


def linear_recurrences() -> Named:
    """Gradients of `diagonal_scan`, in a loop, in parallel, or by the platform."""
    a, h = jax.ShapeDtypeStruct((37, 3), float), jax.ShapeDtypeStruct((3,), float)
    for parallel, reverse in itertools.product((False, True, None), (False, True)):
        how = {"parallel": parallel, "reverse": reverse}
        value = lambda a, u, h, how=how: diagonal_scan(a, u, h, **how).sum()
        name = f"diagonal-grad-{parallel}" + "-reverse" * reverse
        yield name, jax.grad(value, (0, 1, 2)), (a, a, h)


def sampling() -> Named:
    """Writing a text, with noise and without."""
    key, token = jax.random.key(0), jnp.zeros(1, jnp.int32)
    for kind, greedy in itertools.product(("tanh", "lstm"), (False, True)):
        problem = Problem(kind, 1, 1, 100)
        model = of_jrnn.language_model(problem)

        def write(params, key, token, model=model, greedy=greedy):
            state = prime(model, params, token)
            return sample(model, params, key, state, 20, greedy=greedy)

        params = of_jrnn.stack_weights(weights(problem))
        yield f"sample-{kind}" + "-greedy" * greedy, write, (params, key, token)


def programs() -> Named:
    yield from steps()
    yield from models()
    yield from partial_derivatives()
    yield from bounded_loops()
    yield from linear_recurrences()
    yield from sampling()


def on_gpus_too(name: str) -> bool:
    return "benchmark" in name or ("-grad" in name and "-grad_by" not in name)


def dump(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for platform in ("cpu", "cuda"):
        for name, function, args in programs():
            if platform == "cuda" and not on_gpus_too(name):
                continue
            traced = jax.jit(function).trace(*args)
            text = traced.lower(lowering_platforms=(platform,)).as_text()
            (folder / f"{name}-{platform}.mlir").write_text(text)
            count += 1
    print(f"{count} programs in {folder}, JAX {jax.__version__}")


def compare(old: Path, new: Path) -> int:
    """Print which programs differ and where first; 1 if any does."""
    names = sorted({p.name for folder in (old, new) for p in folder.glob("*.mlir")})
    read = lambda path: path.read_text().splitlines() if path.exists() else []
    differ = 0
    for name in names:
        before, after = read(old / name), read(new / name)
        if before != after:
            differ += 1
            lines = difflib.unified_diff(before, after, "old", "new", n=0, lineterm="")
            print(name, *list(lines)[2:6], sep="\n    ")
    print(f"{differ} of {len(names)} programs differ")
    return int(bool(differ or not names))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIRECTORY")
    parser.add_argument("--compare", action="store_true", help="compare two dumps")
    given = parser.parse_args()
    if len(given.folders) != 1 + given.compare:
        parser.error("one directory to dump into, or --compare with two")
    if given.compare:
        sys.exit(compare(*given.folders))
    jax.config.update("jax_enable_x64", True)
    dump(*given.folders)
