"""W11: loops that are there to keep an array small, in memory and time.

Chunked cross-entropy, attention block by block and the gradient over micro-batches: one
step makes a large array, which is never there for all steps. Their values and their
gradients, in `jax.lax.scan` and in `jrnn.scan`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jrnn
from experiments.benchmark import record
from experiments.benchmark.compare import TOLERANCE, Session, UnequalError, difference
from experiments.benchmark.models import Entry, compiled

MIB = 2**20
LOOPS = {"jrnn": jrnn.scan, "lax.scan": lax.scan}


class Case(NamedTuple):
    title: str
    function: Callable[..., Any]  # (scan, *arrays) -> a number
    shapes: list[tuple[int, ...]]
    classes: int = 0  # labels to draw besides, one for each vector of the first array


def cases(session: Session):
    small = session.cfg.quick
    for case in (
        Case(
            "chunked cross-entropy",
            cross_entropy,
            [(4, 3, 5), (5, 50)] if small else [(64, 16, 512), (512, 32_000)],
            classes=50 if small else 32_000,
        ),
        Case(
            "attention block by block",
            attention,
            [(9, 4), (3, 2, 4), (3, 2, 4)]
            if small
            else [(4096, 64), (32, 128, 64), (32, 128, 64)],
        ),
        Case(
            "gradient over micro-batches",
            micro_batches,
            [(3, 5, 5), (2, 4, 5)] if small else [(3, 256, 256), (16, 512, 256)],
        ),
    ):
        yield from both(session, case)


def cross_entropy(scan, hidden, w, labels):
    """The loss of chunks (T, B, D) with so many classes that logits are large."""

    def step(total, chunk):
        h, label = chunk
        logits = h @ w  # (B, V)
        chosen = jnp.take_along_axis(logits, label[:, None], axis=1)[:, 0]
        return total + (jax.nn.logsumexp(logits, axis=1) - chosen).sum(), None

    return scan(step, jnp.zeros(()), (hidden, labels))[0]


def attention(scan, queries, keys, values):
    """Softmax attention whose scores exist for one block of keys at a time."""

    def step(carry, block):
        largest, weight, total = carry
        scores = queries @ block[0].T
        new = jnp.maximum(largest, scores.max(1))
        p, scale = jnp.exp(scores - new[:, None]), jnp.exp(largest - new)
        total = total * scale[:, None] + p @ block[1]
        return (new, weight * scale + p.sum(1), total), None

    count, size = queries.shape
    start = jnp.full(count, -1e30), jnp.zeros(count), jnp.zeros((count, size))
    (_, weight, total), _ = scan(step, start, (keys, values))
    return jnp.sum((total / weight[:, None]) ** 2)


def micro_batches(scan, weights, xs):
    """The gradient of a network of three layers, summed over parts of a batch."""

    def loss(weights, x):
        for w in weights:
            x = jnp.tanh(x @ w)
        return jnp.mean(x**2)

    def step(total, x):
        return jax.tree.map(jnp.add, total, jax.grad(loss)(list(weights), x)), None

    total, _ = scan(step, [jnp.zeros_like(w) for w in weights], xs)
    return sum(jnp.sum(g**2) for g in total)


def arrays(case: Case, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    draw = lambda s: rng.normal(size=s).astype("float32") / np.sqrt(s[-1])
    made = [draw(shape) for shape in case.shapes]
    if case.classes:
        made.append(rng.integers(0, case.classes, case.shapes[0][:-1]).astype("int32"))
    return made


def both(session: Session, case: Case):
    """Time and memory of the value and of the gradient."""
    given = arrays(case, session.cfg.seed)
    floats = tuple(range(len(case.shapes)))
    memory = {}
    for kind in ("value", "gradient"):
        entries = []
        for name, scan in LOOPS.items():
            function = lambda *a, scan=scan: case.function(scan, *a)
            if kind == "gradient":
                function = jax.grad(function, floats)
            call, seconds = compiled(function, *given)
            entries.append(Entry(name, call, compile_seconds=seconds))
            memory.setdefault(kind, {})[name] = mebibytes(function, given)
        largest = compare(case.title, entries)
        title = f"{case.title}, {kind}"
        yield record.case(
            title, entries, session.measure(title, entries), largest_difference=largest
        )
    yield {"title": f"memory, {case.title}", "unit": "MiB", "figures": memory}


def mebibytes(function: Callable, given: list[np.ndarray]) -> float | None:
    program = jax.jit(function).lower(*given).compile()
    return record.rounded(program.memory_analysis().temp_size_in_bytes / MIB, 4)


def compare(title: str, entries: list[Entry]) -> float:
    """The largest difference from `lax.scan`, relative to the norm of the array."""
    answers = {entry.name: jax.tree.leaves(entry.call()) for entry in entries}
    pairs = zip(answers["lax.scan"], answers["jrnn"], strict=True)
    found = max(difference(np.asarray(a), np.asarray(b)) for a, b in pairs)
    if not found < TOLERANCE:
        raise UnequalError(f"{title}: the answers differ by {found:.1e} of the norm.")
    return found
