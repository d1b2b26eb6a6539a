"""The matrix products that no implementation can do without, and nothing else.

For each layer: T products forward, [B, H] by [H, G H], and T backward, [B, G H] by
[G H, H], one after the other; the weight gradient as one product over all T; above the
first layer the products with w_x, all T at once (the first layer only looks up rows).
The readout: three products over all T.

Writing a text: for each character one product with w_h and one with the readout's w.
"""

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmark.models import Entry, compiled
from experiments.benchmark.problem import GATES, Problem

NAME = "bare products"


def entry(problem: Problem, steps: int = 1) -> Entry:
    """The products of so many gradients in one call, one after the other."""
    call, seconds = compiled(repeated(problem, steps), operands(problem))
    return Entry(NAME, call, compile_seconds=seconds, work=steps)


def writing_entry(problem: Problem, length: int) -> Entry:
    call, seconds = compiled(writing(problem, length), operands(problem))
    work = length * problem.batch
    return Entry(NAME, call, compile_seconds=seconds, work=work)


def operands(problem: Problem) -> dict:
    B, T, H, V = problem.batch, problem.time, problem.hidden, problem.vocab
    G = GATES[problem.kind]
    shapes = {
        "w_h": (H, G * H),
        "w_h_transposed": (G * H, H),
        "h": (B, H),
        "dz": (B, G * H),
        "hs": (T * B, H),
        "dzs": (T * B, G * H),
        "w_out": (H, V),
        "dlogits": (T * B, V),
    }
    keys = jax.random.split(jax.random.key(problem.seed), len(shapes))
    draw = lambda key, shape: jax.random.normal(key, shape, jnp.float32) / H
    return {
        name: draw(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def products(problem: Problem):
    def run(a):
        results = [
            a["hs"] @ a["w_out"],  # logits (T B, V)
            a["dlogits"] @ a["w_out"].T,  # (T B, H)
            a["hs"].T @ a["dlogits"],  # (H, V)
        ]
        for layer in range(problem.layers):
            # other operands for each layer, or the compiler would do it once
            hs, dzs = (a[name] + jnp.float32(layer) for name in ("hs", "dzs"))
            results.append(loop(problem.time, a["h"] + layer, a["w_h"]))
            results.append(loop(problem.time, a["dz"] + layer, a["w_h_transposed"]))
            results.append(hs.T @ dzs)  # gradient of w_h
            if layer > 0:
                results.append(hs @ a["w_h"])  # w_x has the same shape here
                results.append(dzs @ a["w_h_transposed"])
                results.append((hs + 1).T @ dzs)  # gradient of w_x
        return results

    return run


def repeated(problem: Problem, steps: int):
    once = products(problem)
    if steps == 1:
        return once

    def run(a):
        def step(last, _):
            # other operands each time, as weights are after an update
            inputs = {name: a[name] + last for name in ("h", "dz", "hs", "dzs")}
            return number_of(once(a | inputs | {"dlogits": a["dlogits"] + last})), None

        return lax.scan(step, jnp.float32(0), length=steps)[0]

    return run


def writing(problem: Problem, length: int):
    def run(a):
        def step(last, _):
            z = (a["h"] + last) @ a["w_h"]  # (B, G H)
            return number_of([z, z[:, : problem.hidden] @ a["w_out"]]), None

        return lax.scan(step, jnp.float32(0), length=length)[0]

    return run


def number_of(results: list) -> jax.Array:
    """One number that waits for all results, whole."""
    # without the barrier the compiler would compute the elements it needs
    results = lax.optimization_barrier(results)
    return sum(r[(0,) * r.ndim] for r in results)


def loop(steps: int, x, w):
    """Products of x and w, each of which waits for one number of the last."""

    def step(y, _):
        return (x + y[:1, :1]) @ w, None

    return lax.scan(step, jnp.zeros((len(x), w.shape[1]), x.dtype), length=steps)[0]
