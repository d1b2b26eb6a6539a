"""Every public cell, layer, combinator and wrapper, once and in combination.

The laws of `test_laws.py` run over this table, and `test_public.py` fails where a
public factory or wrapper is missing from it. Sizes are all different (T=5, B=3, I=2,
H=4) and every parameter is moved away from its initial value: biases that start at
zero hide
mistakes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jrnn

T, B, I, H, O, V = 5, 3, 2, 4, 3, 7


class Case(NamedTuple):
    """One row: how to build the cell, and what kind of input it reads."""

    factory: Callable[[Any], jrnn.Cell]  # dtype -> cell
    uses: tuple[str, ...]  # public names the case stands for
    input: str = "vector"  # or token, masked, masked token, reset, feedback, timed
    size: int | tuple[int, ...] = I  # of a vector, or the shape of an image
    carry_key: bool = False  # needs a key for its initial carry
    step_key: bool = False  # needs a key for every step
    inner: Callable[[Any], jrnn.Cell] | None = None  # same parameter tree as this cell
    brief: bool = False  # of its laws, the short suite has only those in BRIEF
    fixed: bool = False  # its parameters are not trained: their gradients are zero

    @property
    def needs_key(self):
        return self.carry_key or self.step_key


def _sum(x_size):
    """A user's own cell: a running sum with a gain, made by hand."""

    def init(key, x):
        return jax.random.normal(key, (x_size,), x.dtype)

    def initial_carry(params, *, key=None):
        return jnp.zeros_like(params)

    def step(params, carry, x, *, key=None):
        carry = carry + params * x
        return carry, jnp.sin(carry)

    return jrnn.Cell(init, initial_carry, step)


def _model(dtype):
    return jrnn.stack(jrnn.embed(V, I, dtype=dtype), jrnn.lstm(H), jrnn.linear(V))


def _noisy_model(dtype):
    return jrnn.stack(
        jrnn.dropout(jrnn.embed(V, 6, dtype=dtype), 0.2),
        jrnn.dropout(jrnn.gru(H), 0.3),
        jrnn.linear(O),
    )


def _squared(dtype):
    return jrnn.stateless(lambda key, x: (), lambda params, x, key: x * x)


def _smooth(dtype):
    """A leaky sum whose leak the input decides."""
    leak = lambda p, x: jax.nn.sigmoid(x * p)
    return jrnn.diagonal(
        lambda key, x: jax.random.normal(key, (I,), x.dtype),
        lambda params, *, key=None: jnp.zeros_like(params),
        lambda params, x, *, key=None: (leak(params, x), x),
        lambda params, h, x: jnp.tanh(h) * x,
    )


def _brief(factory, name, **options):
    return Case(factory, (name,), brief=True, **options)


CASES: dict[str, Case] = {
    "cell": Case(lambda d: _sum(I), ("Cell",)),
    "elman": Case(lambda d: jrnn.elman(H), ("elman",)),
    "elman-relu": Case(lambda d: jrnn.elman(H, jax.nn.relu), ("elman",)),
    "irnn": Case(lambda d: jrnn.irnn(H, 0.9), ("irnn",)),
    "lstm": Case(lambda d: jrnn.lstm(H), ("lstm",)),
    "gru": Case(lambda d: jrnn.gru(H), ("gru",)),
    "gru-before": Case(lambda d: jrnn.gru(H, "before"), ("gru",)),
    "window": Case(lambda d: jrnn.window(3), ("window",)),
    "linear": Case(lambda d: jrnn.linear(O), ("linear",)),
    "embed": Case(lambda d: jrnn.embed(V, O, dtype=d), ("embed",), "token"),
    "one_hot": Case(lambda d: jrnn.one_hot(V, dtype=d), ("one_hot",), "token"),
    "activation": Case(lambda d: jrnn.activation(jnp.tanh), ("activation",)),
    "stateless": Case(_squared, ("stateless",)),
    "diagonal": Case(_smooth, ("diagonal",)),
    "stack": Case(lambda d: jrnn.stack(jrnn.elman(H), jrnn.linear(O)), ("stack",)),
    "stack-model": Case(_model, ("stack", "embed", "lstm"), "token"),
    "stack-nested": Case(
        lambda d: jrnn.stack(jrnn.stack(jrnn.gru(H), jrnn.elman(O)), jrnn.lstm(I)),
        ("stack",),
    ),
    "parallel": Case(lambda d: jrnn.parallel(jrnn.gru(H), jrnn.lstm(O)), ("parallel",)),
    "residual": Case(
        lambda d: jrnn.residual(jrnn.gru(H)),
        ("residual",),
        size=H,
        inner=lambda d: jrnn.gru(H),
    ),
    "layer_norm": Case(lambda d: jrnn.layer_norm(jrnn.lstm(H)), ("layer_norm",)),
    "dropout": Case(
        lambda d: jrnn.dropout(jrnn.lstm(H), 0.3),
        ("dropout",),
        step_key=True,
        inner=lambda d: jrnn.lstm(H),
    ),
    "dropout-model": Case(
        _noisy_model, ("dropout", "stack", "embed"), "token", step_key=True
    ),
    "variational_dropout-h": Case(
        lambda d: jrnn.variational_dropout(jrnn.elman(H), 0.4),
        ("variational_dropout",),
        carry_key=True,
        inner=lambda d: jrnn.elman(H),
    ),
    "variational_dropout-hc": Case(
        lambda d: jrnn.variational_dropout(jrnn.lstm(H), 0.4),
        ("variational_dropout",),
        carry_key=True,
        inner=lambda d: jrnn.lstm(H),
    ),
    "record": Case(
        lambda d: jrnn.record(jrnn.lstm(H)), ("record",), inner=lambda d: jrnn.lstm(H)
    ),
    "masked": Case(
        lambda d: jrnn.masked(jrnn.lstm(H)),
        ("masked",),
        "masked",
        inner=lambda d: jrnn.lstm(H),
    ),
    "masked-model": Case(
        lambda d: jrnn.masked(_noisy_model(d)),
        ("masked",),
        "masked token",
        step_key=True,
        inner=_noisy_model,
    ),
    "reset": Case(
        lambda d: jrnn.reset(jrnn.gru(H)),
        ("reset",),
        "reset",
        inner=lambda d: jrnn.gru(H),
    ),
    "reset-variational": Case(
        lambda d: jrnn.reset(jrnn.variational_dropout(jrnn.elman(H), 0.4)),
        ("reset",),
        "reset",
        carry_key=True,
        step_key=True,
        inner=lambda d: jrnn.elman(H),
    ),
    "learned_carry": Case(
        lambda d: jrnn.learned_carry(jrnn.lstm(H)), ("learned_carry",)
    ),
    "reset-learned": Case(
        lambda d: jrnn.reset(jrnn.learned_carry(jrnn.gru(H))),
        ("reset",),
        "reset",
        inner=lambda d: jrnn.learned_carry(jrnn.gru(H)),
    ),
    "feedback": Case(
        lambda d: jrnn.feedback(
            jrnn.stack(jrnn.elman(H), jrnn.linear(O)), lambda o, key: jnp.sin(o)
        ),
        ("feedback",),
        "feedback",
    ),
    "many": Case(
        lambda d: jrnn.masked(
            jrnn.stack(
                jrnn.residual(jrnn.dropout(jrnn.elman(I), 0.3)),
                jrnn.variational_dropout(jrnn.learned_carry(jrnn.lstm(H)), 0.4),
                jrnn.layer_norm(jrnn.linear(O)),
            )
        ),
        ("masked", "stack", "residual", "variational_dropout", "learned_carry"),
        "masked",
        carry_key=True,
        step_key=True,
    ),
}

# Cells of the literature, whose laws are those of the cells above with other equations
CASES |= {
    "antisymmetric": _brief(lambda d: jrnn.antisymmetric(H), "antisymmetric"),
    "clockwork": _brief(lambda d: jrnn.clockwork(H, (1, 3)), "clockwork"),
    "cornn": _brief(lambda d: jrnn.cornn(H, dt=0.3), "cornn"),
    "cfc": _brief(lambda d: jrnn.cfc(H, 3), "cfc"),
    "cfc-times": _brief(lambda d: jrnn.cfc(H, 3), "cfc", input="timed"),
    "conv_gru": _brief(lambda d: jrnn.conv_gru((4,), O), "conv_gru", size=(4, I)),
    "conv_lstm": _brief(
        lambda d: jrnn.conv_lstm((3, 4), O, 2), "conv_lstm", size=(3, 4, I)
    ),
    "coupled_lstm": _brief(lambda d: jrnn.coupled_lstm(H), "coupled_lstm"),
    "dale": _brief(lambda d: jrnn.dale(H), "dale"),
    "echo_state": _brief(
        lambda d: jrnn.echo_state(H, leak=0.6), "echo_state", fixed=True
    ),
    "indrnn": _brief(lambda d: jrnn.indrnn(H), "indrnn"),
    "janet": _brief(lambda d: jrnn.janet(H, longest=9), "janet"),
    "layer_norm_gru": _brief(lambda d: jrnn.layer_norm_gru(H), "layer_norm_gru"),
    "layer_norm_lstm": _brief(lambda d: jrnn.layer_norm_lstm(H), "layer_norm_lstm"),
    "leaky": _brief(lambda d: jrnn.leaky(H), "leaky"),
    "lem": _brief(lambda d: jrnn.lem(H, dt=0.7), "lem"),
    "low_rank": _brief(lambda d: jrnn.low_rank(H), "low_rank"),
    "lru": _brief(lambda d: jrnn.lru(H, 3), "lru"),
    "mgu": _brief(lambda d: jrnn.mgu(H), "mgu"),
    "min_gru": _brief(lambda d: jrnn.min_gru(H), "min_gru"),
    "min_lstm": _brief(lambda d: jrnn.min_lstm(H), "min_lstm"),
    "orthogonal_rnn": _brief(lambda d: jrnn.orthogonal_rnn(H), "orthogonal_rnn"),
    "orthogonal_rnn-cayley": _brief(
        lambda d: jrnn.orthogonal_rnn(H, "cayley"), "orthogonal_rnn"
    ),
    "peephole_lstm": _brief(lambda d: jrnn.peephole_lstm(H), "peephole_lstm"),
    "projected_lstm": _brief(lambda d: jrnn.projected_lstm(H, O), "projected_lstm"),
    "qrnn": _brief(lambda d: jrnn.qrnn(H), "qrnn"),
    "s5": _brief(lambda d: jrnn.s5(H, 3), "s5"),
    "sru": _brief(lambda d: jrnn.sru(H), "sru"),
    "sru-square": _brief(lambda d: jrnn.sru(I), "sru"),
    "ltc": _brief(lambda d: jrnn.ltc(H, 2), "ltc"),
    "ltc-times": _brief(lambda d: jrnn.ltc(H, 2), "ltc", input="timed"),
    "mlstm": _brief(lambda d: jrnn.mlstm(H, 2), "mlstm"),
    "slstm": _brief(lambda d: jrnn.slstm(H), "slstm"),
    "slstm-exp": _brief(lambda d: jrnn.slstm(H, "exp"), "slstm"),
    "ugrnn": _brief(lambda d: jrnn.ugrnn(H), "ugrnn"),
}

# Wrappers and combinators that regularise or deepen
CASES |= {
    "zoneout": _brief(
        lambda d: jrnn.zoneout(jrnn.lstm(H), 0.3, 0.4),
        "zoneout",
        step_key=True,
        inner=lambda d: jrnn.lstm(H),
    ),
    "zoneout-h": _brief(
        lambda d: jrnn.zoneout(jrnn.gru(H), 0.3),
        "zoneout",
        step_key=True,
        inner=lambda d: jrnn.gru(H),
    ),
    "zoneout_mean": _brief(
        lambda d: jrnn.zoneout_mean(jrnn.lstm(H), 0.3, 0.4),
        "zoneout_mean",
        inner=lambda d: jrnn.lstm(H),
    ),
    "recurrent_dropout": _brief(
        lambda d: jrnn.recurrent_dropout(jrnn.lstm(H), 0.3),
        "recurrent_dropout",
        step_key=True,
        inner=lambda d: jrnn.lstm(H),
    ),
    "recurrent_dropout-gru": _brief(
        lambda d: jrnn.recurrent_dropout(jrnn.gru(H, "before"), 0.3),
        "recurrent_dropout",
        step_key=True,
        inner=lambda d: jrnn.gru(H, "before"),
    ),
    "weight_dropout": _brief(
        lambda d: jrnn.weight_dropout(jrnn.gru(H), 0.4, weights=("w_h", "w_x")),
        "weight_dropout",
        carry_key=True,
        inner=lambda d: jrnn.gru(H),
    ),
    "weight_norm": _brief(lambda d: jrnn.weight_norm(jrnn.gru(H)), "weight_norm"),
    "spectral_norm": _brief(
        lambda d: jrnn.spectral_norm(jrnn.lstm(H), 0.8),
        "spectral_norm",
        inner=lambda d: jrnn.lstm(H),
    ),
    "spectral_bound": _brief(
        lambda d: jrnn.spectral_bound(jrnn.elman(H), 0.7, weights=("w_h", "w_x")),
        "spectral_bound",
        inner=lambda d: jrnn.elman(H),
    ),
    "clip_carry": _brief(
        lambda d: jrnn.clip_carry(jrnn.lstm(H), 0.3),
        "clip_carry",
        inner=lambda d: jrnn.lstm(H),
    ),
    "mixed_precision": _brief(  # to the dtype that there is, so that sums are exact
        lambda d: jrnn.mixed_precision(jrnn.lstm(H), d),
        "mixed_precision",
        inner=lambda d: jrnn.lstm(H),
    ),
    "highway": _brief(lambda d: jrnn.highway(jrnn.gru(H)), "highway", size=H),
    "concat_states": _brief(
        lambda d: jrnn.concat_states(jrnn.gru(H), jrnn.lstm(O)), "concat_states"
    ),
    "skip": _brief(lambda d: jrnn.skip(jrnn.gru(H), jrnn.lstm(O)), "skip"),
    "skip-last": _brief(
        lambda d: jrnn.skip(jrnn.gru(H), jrnn.elman(O), jrnn.lstm(I), outputs="last"),
        "skip",
    ),
    "tied": _brief(
        lambda d: jrnn.tied(
            jrnn.dropout(jrnn.embed(V, O, dtype=d), 0.2),
            jrnn.stack(jrnn.lstm(H), jrnn.linear(O)),
        ),
        "tied",
        input="token",
        step_key=True,
        inner=lambda d: jrnn.tied(
            jrnn.embed(V, O, dtype=d), jrnn.stack(jrnn.lstm(H), jrnn.linear(O))
        ),
    ),
}

# Functions of the public interface that are no cells and make none.
NOT_CELLS = frozenset(
    "Cell diagonal_scan length_mask load output_spec register resample ridge_readout "
    "save scan scan_report spec unroll".split()
)


class Example(NamedTuple):
    """A case made concrete: all that a law needs to run it."""

    case: Case
    cell: jrnn.Cell
    params: Any
    xs: Any  # (T, ...)
    batch: Any  # (B, T, ...)

    @property
    def active(self):
        """(T,) true where the output may depend on the present input."""
        masked = self.case.input.startswith("masked")
        return self.xs[1] if masked else jnp.ones(T, bool)


def draw(rng, spec, scale=1.0):
    """Normal numbers in the form of a tree; NumPy's, so that nothing is compiled."""
    normal = lambda a: jnp.asarray(scale * rng.normal(size=a.shape), a.dtype)
    return jax.tree.map(normal, spec)


def inputs(case: Case, rng, shape, dtype):
    """Random inputs with leading axes `shape`."""
    if "token" in case.input:
        x = jnp.asarray(rng.integers(0, V, shape))
    else:
        own = case.size if isinstance(case.size, tuple) else (case.size,)
        x = jnp.asarray(rng.normal(size=(*shape, *own)), dtype)
    if case.input == "timed":
        return x, jnp.asarray(rng.uniform(0.1, 3.0, size=shape), dtype)
    if case.input == "feedback":
        return x, jnp.asarray(rng.normal(size=(*shape, O)), dtype)
    if "masked" not in case.input and "reset" not in case.input:
        return x
    flags = rng.random(shape) < 0.6
    # a hole in the middle, or a start in the middle
    flags[..., 1], flags[..., 2] = "masked" in case.input, "reset" in case.input
    return x, jnp.asarray(flags)


def perturb(seed, params, scale=0.5):
    """Move every parameter away from its value."""
    noise = draw(np.random.default_rng(seed), params, scale)
    return jax.tree.map(jnp.add, params, noise)


@cache
def example(name: str, dtype: str = "float64") -> Example:
    """The case `name` with random parameters and inputs.

    Parameters are drawn in the form that `init` gives them, all of them: biases too.
    What `init` itself does is the subject of laws of its own.
    """
    case, rng = CASES[name], np.random.default_rng(7)
    cell = case.factory(jnp.dtype(dtype))
    xs = inputs(case, rng, (T,), dtype)
    batch = inputs(case, rng, (B, T), dtype)
    first = jax.tree.map(lambda a: a[0], xs)
    spec = jax.eval_shape(lambda: cell.init(jax.random.key(0), first))
    return Example(case, cell, draw(rng, spec, 0.8), xs, batch)


def new_key(case: Case, seed: int = 11):
    """A fresh key where the case needs one, else None."""
    return jax.random.key(seed) if case.needs_key else None
