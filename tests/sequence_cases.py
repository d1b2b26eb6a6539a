"""Every factory and wrapper that makes a model of whole sequences, and combinations.

The laws of `test_sequence_laws.py` run over this table. Sizes are those of `cases.py`,
and every parameter is drawn at random, biases too.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from cases import H, I, O, T, V, draw

import jrnn


class SequenceCase(NamedTuple):
    """One row: how to build the model, and what kind of input it reads."""

    factory: Callable[[], jrnn.SequenceModel]
    uses: tuple[str, ...]  # public names the case stands for
    input: str = "vector"  # or token
    size: int = I
    noisy: bool = False  # needs a key
    inner: Callable[[], jrnn.SequenceModel] | None = None  # with the same parameters


def _both(forward=jrnn.lstm, backward=jrnn.gru):
    return jrnn.bidirectional(forward(H), backward(O))


def _total(first, rest):
    """A user's own model, from the three functions: first and all, at every step."""

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        flags = jnp.ones(len(xs), bool) if valid is None else valid
        read = jnp.where(flags[:, None], xs, jnp.zeros_like(xs))
        ys = first * params[None] * read + rest * read.sum(axis=0, keepdims=True)
        return carry, jnp.where(flags[:, None], ys, jnp.zeros_like(ys))

    return jrnn.SequenceModel(
        lambda key, x: jax.random.normal(key, x.shape, x.dtype),
        lambda params, *, key=None: (),
        run,
    )


def _tagger():
    """The model that most people bring along: two layers in both directions."""
    return jrnn.stack(
        jrnn.embed(V, I, dtype=jnp.float64),
        jrnn.bidirectional(jrnn.lstm(H), jrnn.lstm(H)),
        jrnn.bidirectional(jrnn.gru(O), jrnn.gru(O)),
        jrnn.linear(V),
    )


def _classifier():
    return jrnn.stack(
        jrnn.conv(O, 3), jrnn.activation("tanh"), _both(), jrnn.pool("max"),
        jrnn.gru(H), jrnn.linear(O),
    )  # fmt: skip


def _noisy():
    return jrnn.stack(
        jrnn.dropout(jrnn.elman(O), 0.3),
        jrnn.dropout(
            jrnn.bidirectional(
                jrnn.variational_dropout(jrnn.lstm(H), 0.4),
                jrnn.dropout(jrnn.gru(O), 0.3),
            ),
            0.2,
        ),
        jrnn.layer_norm(jrnn.linear(O)),
    )


def _regularised():
    return jrnn.stack(
        jrnn.bidirectional(
            jrnn.zoneout(jrnn.recurrent_dropout(jrnn.lstm(H), 0.2), 0.3, 0.4),
            jrnn.weight_dropout(jrnn.gru(O), 0.3),
        ),
        jrnn.bidirectional(
            jrnn.clip_carry(jrnn.spectral_norm(jrnn.lstm(O)), 0.4),
            jrnn.skip(jrnn.weight_norm(jrnn.gru(O)), jrnn.elman(I)),
        ),
    )


def _ends():
    one = lambda cell: jrnn.stack(cell, jrnn.pool("last"))
    return jrnn.bidirectional(one(jrnn.lstm(H)), one(jrnn.gru(O)))


def _many():
    return jrnn.stack(
        jrnn.residual(jrnn.bidirectional(jrnn.elman(1), jrnn.elman(1))),
        jrnn.layer_norm(jrnn.conv(O, 2, padding="causal")),
        jrnn.learned_carry(_both(jrnn.elman, jrnn.lstm)),
        jrnn.bidirectional(
            jrnn.conv(2, 3), jrnn.stack(jrnn.linear(3), jrnn.conv(2, 2))
        ),
        jrnn.parallel(jrnn.pool("mean"), jrnn.pool("max")),
    )


SEQUENCES: dict[str, SequenceCase] = {
    "by hand": SequenceCase(lambda: _total(2.0, 3.0), ("SequenceModel",)),
    "bidirectional": SequenceCase(_both, ("bidirectional",)),
    "conv": SequenceCase(lambda: jrnn.conv(O, 3), ("conv",)),
    "conv-even": SequenceCase(lambda: jrnn.conv(O, 4, dilation=2), ("conv",)),
    "conv-causal": SequenceCase(
        lambda: jrnn.conv(O, 2, padding="causal", dilation=3), ("conv",)
    ),
    "mean": SequenceCase(lambda: jrnn.pool("mean"), ("pool",)),
    "max": SequenceCase(lambda: jrnn.pool("max"), ("pool",)),
    "last": SequenceCase(lambda: jrnn.pool("last"), ("pool",)),
    "stack": SequenceCase(
        lambda: jrnn.stack(jrnn.elman(O), _both(), jrnn.gru(H), jrnn.linear(O)),
        ("stack",),
    ),
    "tagger": SequenceCase(_tagger, ("stack", "bidirectional"), "token"),
    "classifier": SequenceCase(_classifier, ("stack", "conv", "pool")),
    "nested": SequenceCase(
        lambda: jrnn.stack(
            jrnn.stack(_both(), jrnn.gru(H)), jrnn.bidirectional(_both(), jrnn.lstm(O))
        ),
        ("stack", "bidirectional"),
    ),
    "parallel": SequenceCase(
        lambda: jrnn.parallel(jrnn.lstm(H), _both(), jrnn.conv(O, 2)), ("parallel",)
    ),
    "residual": SequenceCase(
        lambda: jrnn.residual(jrnn.bidirectional(jrnn.gru(H), jrnn.gru(O))),
        ("residual",),
        size=H + O,
        inner=lambda: jrnn.bidirectional(jrnn.gru(H), jrnn.gru(O)),
    ),
    "highway": SequenceCase(
        lambda: jrnn.highway(jrnn.bidirectional(jrnn.gru(H), jrnn.gru(O))),
        ("highway",),
        size=H + O,
    ),
    "layer_norm": SequenceCase(lambda: jrnn.layer_norm(_both()), ("layer_norm",)),
    "layer_norm-pooled": SequenceCase(
        lambda: jrnn.layer_norm(jrnn.stack(jrnn.gru(H), jrnn.pool("mean"))),
        ("layer_norm",),
    ),
    "dropout": SequenceCase(
        lambda: jrnn.dropout(_both(), 0.3), ("dropout",), noisy=True, inner=_both
    ),
    "masked": SequenceCase(
        lambda: jrnn.masked(_both()), ("masked",), "masked", inner=_both
    ),
    "learned_carry": SequenceCase(
        lambda: jrnn.learned_carry(_both()), ("learned_carry",)
    ),
    "ends": SequenceCase(_ends, ("bidirectional", "pool")),
    "noisy": SequenceCase(_noisy, ("dropout", "stack"), noisy=True),
    "regularised": SequenceCase(
        _regularised,
        ("bidirectional", "zoneout", "recurrent_dropout", "weight_dropout"),
        noisy=True,
    ),
    "many": SequenceCase(_many, ("residual", "layer_norm", "parallel", "pool")),
}


class SequenceExample(NamedTuple):
    """A case made concrete."""

    case: SequenceCase
    model: jrnn.SequenceModel
    params: Any
    xs: Any  # (T, ...)
    batch: Any  # (4, T, ...)


def sequence_inputs(case: SequenceCase, rng, shape, dtype="float64"):
    """Random inputs with leading axes `shape`."""
    if case.input == "token":
        return jnp.asarray(rng.integers(0, V, shape))
    xs = jnp.asarray(rng.normal(size=(*shape, case.size)), dtype)
    if case.input == "masked":
        flags = rng.random(shape) < 0.7
        flags[..., 1] = False
        return xs, jnp.asarray(flags)
    return xs


@cache
def sequence_example(name: str, dtype: str = "float64") -> SequenceExample:
    """The case `name` with random parameters and inputs."""
    case, rng = SEQUENCES[name], np.random.default_rng(17)
    model = case.factory()
    xs = sequence_inputs(case, rng, (T,), dtype)
    batch = sequence_inputs(case, rng, (4, T), dtype)
    first = jax.tree.map(lambda a: a[0], xs)
    spec = jax.eval_shape(lambda: model.init(jax.random.key(0), first))
    return SequenceExample(case, model, draw(rng, spec, 0.8), xs, batch)


def sequence_key(case: SequenceCase, seed: int = 5):
    """A fresh key where the case needs one, else None."""
    return jax.random.key(seed) if case.noisy else None
