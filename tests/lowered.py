"""What `scan` hands to the compiler, as text: the guard of changes without effect.

    python tests/lowered.py DIRECTORY             # one file for each program
    python tests/lowered.py --compare OLD NEW     # 1 if any of them differs

Dump before the change and after it, with each JAX that the project supports, and
compare: moving and renaming the engine's code must leave every byte as it was. Programs
are lowered, not compiled: the named steps of `scan_steps.py` under the transformations
of `test_scan.py`, for CPUs and for one GPU, and gradients of the benchmark's models.
"""

import argparse
import difflib
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import scan_steps
from test_scan import TRANSFORMS, B

from experiments.benchmark import of_jrnn
from experiments.benchmark.problem import Problem, data, weights
from jrnn import scan

OPTIONS = {"": {}, "-remat": {"remat": "step"}, "-reverse": {"reverse": True}}
MODELS = [  # kind, batch, length, hidden, layers
    ("tanh", 50, 50, 128, 1),
    ("gru", 50, 50, 128, 1),
    ("lstm", 50, 50, 128, 1),
    ("lstm", 16, 1000, 64, 1),
    ("lstm", 1, 50, 128, 1),
    ("lstm", 50, 50, 512, 3),
]


def steps() -> Iterator[tuple[str, Callable, tuple[Any, ...]]]:
    """The name of a program, the function and its arguments."""
    w, c = scan_steps.weights(), scan_steps.carry()
    xs, xs_batch = scan_steps.inputs(), scan_steps.inputs(batch=(B,))
    for name, step in scan_steps.NAMED.items():
        for kind, transform in TRANSFORMS.items():
            for option, given in OPTIONS.items():
                run = functools.partial(transform, scan, step, w, c, **given)
                yield f"{name}-{kind}{option}", run, (xs, xs_batch)


def models() -> Iterator[tuple[str, Callable, tuple[Any, ...]]]:
    """The same of gradients at the sizes of the benchmark."""
    for kind, batch, length, hidden, layers in MODELS:
        problem = Problem(kind, batch, length, hidden, layers=layers)
        params = of_jrnn.stack_weights(weights(problem))
        gradient = jax.value_and_grad(of_jrnn.as_written(problem))
        name = f"benchmark-{kind}-{batch}-{length}-{hidden}-{layers}"
        yield name, gradient, (params, data(problem))


def dump(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for platform in ("cpu", "cuda"):
        for name, function, args in [*steps(), *models()]:
            if platform == "cuda" and "-grad" not in name and "benchmark" not in name:
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
