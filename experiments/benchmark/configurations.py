"""W5: one step of training of 64 configurations at once.

They differ in weights and learning rate and read the same batch. Either all together,
by vmap, or one after the other: by `lax.map` in one compiled program, or by a Python
loop that calls a compiled step.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark import of_jrnn, of_lax, record
from experiments.benchmark.compare import TOLERANCE, Session, UnequalError, difference
from experiments.benchmark.models import Entry, Model, compiled
from experiments.benchmark.problem import Data, Problem, Weights, data, weights

REFERENCE = "jrnn, vmap"


def cases(session: Session):
    cfg = session.cfg
    number = 4 if cfg.quick else 64
    for kind in ("tanh", "lstm"):
        problem = cfg.problem(kind, 16, 50, 64)
        entries = all_ways(problem, number)
        largest = check(entries)
        title = f"{problem.title}, {number} configurations"
        seconds = session.measure(title, entries)
        yield record.case(
            title, entries, seconds, reference=REFERENCE, largest_difference=largest
        )


def all_ways(problem: Problem, number: int) -> list[Entry]:
    each = [weights(problem._replace(seed=problem.seed + n)) for n in range(number)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    rates = jnp.asarray(np.geomspace(1e-3, 1, number), jnp.float32)
    entries = []
    for model in (
        Model("jrnn", of_jrnn.as_written(problem), of_jrnn.stack_weights),
        Model("lax.scan", of_lax.textbook(problem)),
        Model("lax.scan, careful", of_lax.careful(problem)),
    ):
        entries += ways(model, together, rates, data(problem))
    return entries


def ways(model: Model, many: Weights, rates, d: Data) -> list[Entry]:
    """Each returns losses (N,) and new weights with a leading axis N."""

    def step(weights, rate, d):
        loss, gradient = jax.value_and_grad(model.loss)(weights, d)
        return loss, jax.tree.map(lambda w, g: w - rate * g, weights, gradient)

    def by_vmap(many, rates, d):
        return jax.vmap(step, in_axes=(0, 0, None))(many, rates, d)

    def by_map(many, rates, d):
        return jax.lax.map(lambda one: step(*one, d), (many, rates))

    own = model.load(many)
    return [
        entry(f"{model.name}, vmap", by_vmap, own, rates, d),
        entry(f"{model.name}, lax.map", by_map, own, rates, d),
        python_loop(f"{model.name}, Python loop", step, own, rates, d),
    ]


def entry(name, function, *args) -> Entry:
    call, seconds = compiled(function, *args)
    return Entry(name, call, compile_seconds=seconds)


def python_loop(name, step, many, rates, d) -> Entry:
    one = lambda n: jax.tree.map(lambda a: a[n], (many, rates))
    singles = [one(n) for n in range(len(rates))]
    jitted = jax.jit(step)

    def call():
        results = [jitted(*single, d) for single in singles]
        return jax.block_until_ready(results)

    return Entry(name, call)


def check(entries: list[Entry]) -> float:
    """Compare losses and new weights with the first entry's."""
    expected, largest = None, 0.0
    for entry in entries:
        result = entry.call()
        if isinstance(result, list):
            result = jax.tree.map(lambda *leaves: jnp.stack(leaves), *result)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(result)]
        expected = leaves if expected is None else expected
        for a, b in zip(expected, leaves, strict=True):
            found = difference(a, b)
            if not found < TOLERANCE:
                raise UnequalError(
                    f"{entry.name}: differs from {entries[0].name} by {found:.1e}."
                )
            largest = max(largest, found)
    return largest
