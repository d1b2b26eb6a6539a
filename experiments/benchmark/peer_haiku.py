"""Haiku: its GRU and LSTM cores under `hk.dynamic_unroll`.

Its GRU has the reset gate before the product, as jrnn's `gru(reset="before")`; it is
compared with that. Its VanillaRNN is rectified, so there is no tanh core.
"""

import haiku as hk
import jax
import jax.numpy as jnp

from experiments.benchmark.models import Model
from experiments.benchmark.problem import Problem, Weights
from jrnn.losses import cross_entropy

CORES = {"gru": hk.GRU, "lstm": hk.LSTM}
KINDS = {"gru": "gru before"}


def models(problem: Problem) -> list[Model]:
    if problem.kind not in CORES:
        return []
    apply = hk.without_apply_rng(hk.transform(dynamic_unroll(problem))).apply
    return [Model("Haiku", loss(problem, apply), load, KINDS.get(problem.kind))]


def dynamic_unroll(problem: Problem):
    def network(xs):  # (T, B, V)
        for _ in range(problem.layers):
            core = CORES[problem.kind](problem.hidden)
            first = core.initial_state(problem.batch)
            xs, _ = hk.dynamic_unroll(core, xs, first)
        return xs

    return network


def scanned(problem: Problem, scan):
    """The same with another scan around the pure function of one step."""
    core = hk.without_apply_rng(hk.transform(lambda x, state: make_core()(x, state)))
    first = hk.without_apply_rng(
        hk.transform(lambda: make_core().initial_state(problem.batch))
    )
    make_core = lambda: CORES[problem.kind](problem.hidden)

    def apply(params, xs):  # (T, B, V)
        def step(state, x):
            y, state = core.apply(params, x, state)
            return state, y

        return scan(step, first.apply({}), xs)[1]

    return apply


def loss(problem: Problem, apply):
    def batch(params, data):
        cores, readout = params
        xs = jax.nn.one_hot(data.tokens.T, problem.vocab, dtype=jnp.float32)
        hs = apply(cores, xs)  # (T, B, H)
        return cross_entropy(hs @ readout.w + readout.b, data.labels.T)

    return batch


def load(weights: Weights):
    cores = {}
    for n, w in enumerate(weights.layers):
        suffix = f"_{n}" if n else ""
        if hasattr(w, "b_x"):
            cores[f"gru{suffix}"] = gru_weights(w)
        else:
            cores[f"lstm{suffix}/linear"] = lstm_weights(w)
    return cores, weights.readout


def lstm_weights(w) -> dict:
    """Gates i, g, f, o of one product with [x, h]; it adds 1 to f itself."""
    i, f, g, o = jnp.split(jnp.concatenate([w.w_x, w.w_h]), 4, axis=-1)
    b_i, b_f, b_g, b_o = jnp.split(w.b, 4)
    return {
        "w": jnp.concatenate([i, g, f, o], axis=-1),
        "b": jnp.concatenate([b_i, b_g, b_f - 1, b_o]),
    }


def gru_weights(w) -> dict:
    """Gates z, r, n; its z is what jrnn calls 1 - z, so its weights change sign."""

    def reorder(array):
        r, z, n = jnp.split(array, 3, axis=-1)
        return jnp.concatenate([-z, r, n], axis=-1)

    return {"w_i": reorder(w.w_x), "w_h": reorder(w.w_h), "b": reorder(w.b_x)}


def foreign(problem: Problem) -> dict:
    """Each core of the library as a loss under any scan, and its layout."""
    if problem.kind not in CORES:
        return {}
    name = f"Haiku {CORES[problem.kind].__name__}"
    build = lambda scan: loss(problem, scanned(problem, scan))
    return {name: (build, load, KINDS.get(problem.kind))}
