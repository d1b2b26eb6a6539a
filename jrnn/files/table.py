"""What a name in a file may stand for: the library's factories and functions.

Whatever a file says is compared with these tables before anything is called.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jrnn import _activation
from jrnn.cell import Cell, diagonal, stateless
from jrnn.cells import (
    antisymmetric,
    cfc,
    clockwork,
    conv_gru,
    conv_lstm,
    cornn,
    coupled_lstm,
    dale,
    echo_state,
    elman,
    gru,
    indrnn,
    irnn,
    janet,
    layer_norm_gru,
    layer_norm_lstm,
    leaky,
    lem,
    low_rank,
    lru,
    lstm,
    ltc,
    mgu,
    min_gru,
    min_lstm,
    mlstm,
    orthogonal_rnn,
    peephole_lstm,
    projected_lstm,
    qrnn,
    s5,
    slstm,
    sru,
    ugrnn,
    window,
)
from jrnn.combine import bidirectional, concat_states, parallel, skip, stack
from jrnn.feedback import feedback
from jrnn.initializers import gain, gatewise, identity, orthogonal, spectral_radius
from jrnn.layers import activation, embed, linear, one_hot
from jrnn.sequence import SequenceModel
from jrnn.sequence_layers import conv, pool
from jrnn.wrappers import (
    clip_carry,
    dropout,
    highway,
    layer_norm,
    learned_carry,
    masked,
    mixed_precision,
    record,
    recurrent_dropout,
    reset,
    residual,
    spectral_bound,
    spectral_norm,
    tied,
    variational_dropout,
    weight_dropout,
    weight_norm,
    zoneout,
    zoneout_mean,
)

# What `safetensors` and NumPy write and read without change.
DTYPES = (
    "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 "
    "float16 bfloat16 float32 float64 complex64"
).split()


class Kind(NamedTuple):
    """The values that an argument may have."""

    words: str
    fits: Callable[[Any], bool]


def is_cell(value: Any) -> bool:
    """Whether this is a cell of the library's class."""
    return isinstance(value, Cell)


def is_model(value: Any) -> bool:
    """Whether this is a cell, or a model of whole sequences, of the library's class."""
    return isinstance(value, Cell | SequenceModel)


def is_function(value: Any) -> bool:
    """Whether this can be called and is no class."""
    return callable(value) and not isinstance(value, type)


ANYTHING = Kind("anything", lambda v: True)
WHOLE = Kind("a whole number", lambda v: type(v) is int and abs(v) < 2**63)
WHOLE_OR_NULL = Kind("a whole number or null", lambda v: v is None or WHOLE.fits(v))
NUMBER = Kind("a number", lambda v: type(v) in (int, float) and abs(v) < 2**1023)
NUMBER_OR_NULL = Kind("a number or null", lambda v: v is None or NUMBER.fits(v))
CELL = Kind("a cell", is_cell)
CELLS = Kind("a list of cells", lambda v: type(v) is tuple and all(map(is_cell, v)))
MODEL = Kind("a cell", is_model)  # or a model of whole sequences
MODELS = Kind("a list of cells", lambda v: type(v) is tuple and all(map(is_model, v)))
FUNCTION = Kind("a function", is_function)
INITIALIZER = Kind("an initialiser", is_function)
OPTIONAL = Kind("a function or null", lambda v: v is None or is_function(v))
ACTIVATION = Kind(
    "an activation",
    lambda v: is_function(v) or (type(v) is str and v in _activation.NAMES),
)
DTYPE = Kind(
    "a dtype or null",
    lambda v: v is None or isinstance(v, np.dtype) or (type(v) is str and v in DTYPES),
)
RESET = Kind(
    '"after" or "before"', lambda v: type(v) is str and v in ("after", "before")
)

FORM = Kind(
    '"exponential" or "cayley"',
    lambda v: type(v) is str and v in ("exponential", "cayley"),
)
FORGET = Kind(
    '"sigmoid" or "exp"', lambda v: type(v) is str and v in ("sigmoid", "exp")
)
SIZES = Kind(
    "a list of whole numbers", lambda v: type(v) is tuple and all(map(WHOLE.fits, v))
)
NAMES = Kind(
    "a list of names", lambda v: type(v) is tuple and all(type(n) is str for n in v)
)
NAMES_OR_NULL = Kind("a list of names or null", lambda v: v is None or NAMES.fits(v))
WHICH = Kind('"all" or "last"', lambda v: type(v) is str and v in ("all", "last"))
PADDING = Kind(
    '"same" or "causal"', lambda v: type(v) is str and v in ("same", "causal")
)
POOLING = Kind(
    '"mean", "max" or "last"',
    lambda v: type(v) is str and v in ("mean", "max", "last"),
)


class Factory(NamedTuple):
    """A factory of the library, and what a file may give it."""

    make: Callable[..., Any]
    arguments: dict[str, Kind]
    gates: str | None = None  # in the order in which they lie on the last axis


# Whoever adds a factory adds it here; a test compares the table with what is public.
_ELMAN_INITS = dict.fromkeys(("w_x_init", "w_h_init", "b_init"), INITIALIZER)
_GATED_INITS = dict.fromkeys(("w_x_init", "w_h_init"), INITIALIZER)
_INPUT_INITS = dict.fromkeys(("w_x_init", "b_init"), INITIALIZER)

CELLS_BY_NAME: dict[str, Factory] = {
    "elman": Factory(
        elman, {"hidden_size": WHOLE, "activation": ACTIVATION, **_ELMAN_INITS}
    ),
    "irnn": Factory(irnn, {"hidden_size": WHOLE, "scale": NUMBER}),
    "lstm": Factory(
        lstm,
        {"hidden_size": WHOLE, "forget_bias": NUMBER, **_GATED_INITS},
        gates="i f g o",
    ),
    "gru": Factory(
        gru, {"hidden_size": WHOLE, "reset": RESET, **_GATED_INITS}, gates="r z n"
    ),
    "cfc": Factory(
        cfc,
        {
            "hidden_size": WHOLE,
            "backbone_size": WHOLE,
            **_GATED_INITS,
            "w_fgk_init": INITIALIZER,
        },
        gates="f g k",
    ),
    "conv_gru": Factory(
        conv_gru,
        {"shape": SIZES, "channels": WHOLE, "width": WHOLE, **_GATED_INITS},
        gates="r z n",
    ),
    "conv_lstm": Factory(
        conv_lstm,
        {
            "shape": SIZES,
            "channels": WHOLE,
            "width": WHOLE,
            "forget_bias": NUMBER,
            **_GATED_INITS,
        },
        gates="i f g o",
    ),
    "coupled_lstm": Factory(
        coupled_lstm,
        {"hidden_size": WHOLE, "forget_bias": NUMBER, **_GATED_INITS},
        gates="f g o",
    ),
    "janet": Factory(
        janet,
        {
            "hidden_size": WHOLE,
            "beta": NUMBER,
            "longest": WHOLE_OR_NULL,
            **_GATED_INITS,
        },
        gates="s n",
    ),
    "layer_norm_gru": Factory(
        layer_norm_gru,
        {"hidden_size": WHOLE, "epsilon": NUMBER, **_GATED_INITS},
        gates="r z n",
    ),
    "layer_norm_lstm": Factory(
        layer_norm_lstm,
        {
            "hidden_size": WHOLE,
            "forget_bias": NUMBER,
            "epsilon": NUMBER,
            **_GATED_INITS,
        },
        gates="i f g o",
    ),
    "ltc": Factory(
        ltc,
        {
            "hidden_size": WHOLE,
            "unfolds": WHOLE,
            **_GATED_INITS,
            "a_init": INITIALIZER,
        },
    ),
    "mgu": Factory(mgu, {"hidden_size": WHOLE, **_GATED_INITS}, gates="f n"),
    "mlstm": Factory(
        mlstm,
        {
            "hidden_size": WHOLE,
            "num_heads": WHOLE,
            "forget": FORGET,
            "forget_bias": NUMBER,
            "w_init": INITIALIZER,
        },
        gates="q k v",
    ),
    "peephole_lstm": Factory(
        peephole_lstm,
        {
            "hidden_size": WHOLE,
            "forget_bias": NUMBER,
            **_GATED_INITS,
            "w_c_init": INITIALIZER,
        },
        gates="i f g o",
    ),
    "projected_lstm": Factory(
        projected_lstm,
        {
            "hidden_size": WHOLE,
            "proj_size": WHOLE,
            "forget_bias": NUMBER,
            **_GATED_INITS,
            "w_r_init": INITIALIZER,
        },
        gates="i f g o",
    ),
    "slstm": Factory(
        slstm,
        {
            "hidden_size": WHOLE,
            "forget": FORGET,
            "forget_bias": NUMBER,
            **_GATED_INITS,
        },
        gates="i f z o",
    ),
    "ugrnn": Factory(
        ugrnn,
        {"hidden_size": WHOLE, "forget_bias": NUMBER, **_GATED_INITS},
        gates="g c",
    ),
    "antisymmetric": Factory(
        antisymmetric,
        {"hidden_size": WHOLE, "epsilon": NUMBER, "gamma": NUMBER, **_ELMAN_INITS},
    ),
    "clockwork": Factory(
        clockwork, {"hidden_size": WHOLE, "periods": SIZES, **_ELMAN_INITS}
    ),
    "cornn": Factory(
        cornn,
        {
            "hidden_size": WHOLE,
            **dict.fromkeys(("dt", "gamma", "epsilon"), NUMBER),
            **dict.fromkeys(("w_x_init", "w_y_init", "w_z_init"), INITIALIZER),
            "b_init": INITIALIZER,
        },
    ),
    "dale": Factory(
        dale,
        {
            "hidden_size": WHOLE,
            "activation": ACTIVATION,
            **dict.fromkeys(("excitatory", "radius", "tau", "dt"), NUMBER),
            **dict.fromkeys(("w_x_init", "b_init"), INITIALIZER),
        },
    ),
    "echo_state": Factory(
        echo_state,
        {
            "hidden_size": WHOLE,
            **dict.fromkeys(("radius", "leak", "density"), NUMBER),
            **dict.fromkeys(("input_scale", "bias_scale"), NUMBER),
        },
    ),
    "indrnn": Factory(
        indrnn,
        {
            "hidden_size": WHOLE,
            "activation": ACTIVATION,
            **dict.fromkeys(("w_x_init", "u_init", "b_init"), INITIALIZER),
        },
    ),
    "leaky": Factory(
        leaky,
        {
            "hidden_size": WHOLE,
            "activation": ACTIVATION,
            "tau": NUMBER,
            "dt": NUMBER,
            **_ELMAN_INITS,
        },
    ),
    "lem": Factory(
        lem,
        {
            "hidden_size": WHOLE,
            "dt": NUMBER,
            **dict.fromkeys(("w_x_init", "w_y_init", "w_z_init"), INITIALIZER),
            "b_init": INITIALIZER,
        },
        gates="1 2 z y",
    ),
    "low_rank": Factory(
        low_rank,
        {
            "hidden_size": WHOLE,
            "rank": WHOLE,
            "activation": ACTIVATION,
            "tau": NUMBER,
            "dt": NUMBER,
            **dict.fromkeys(("w_x_init", "m_init", "n_init", "b_init"), INITIALIZER),
        },
    ),
    "lru": Factory(
        lru,
        {
            "hidden_size": WHOLE,
            "state_size": WHOLE_OR_NULL,
            **dict.fromkeys(("r_min", "r_max", "max_phase"), NUMBER),
            **dict.fromkeys(("w_x_init", "w_h_init", "w_y_init"), INITIALIZER),
        },
    ),
    "min_gru": Factory(min_gru, {"hidden_size": WHOLE, **_INPUT_INITS}, gates="z n"),
    "min_lstm": Factory(
        min_lstm, {"hidden_size": WHOLE, **_INPUT_INITS}, gates="f i n"
    ),
    "orthogonal_rnn": Factory(
        orthogonal_rnn, {"hidden_size": WHOLE, "form": FORM, **_INPUT_INITS}
    ),
    "qrnn": Factory(qrnn, {"hidden_size": WHOLE, **_INPUT_INITS}, gates="z f o"),
    "s5": Factory(
        s5,
        {
            "hidden_size": WHOLE,
            "state_size": WHOLE_OR_NULL,
            **dict.fromkeys(("dt_min", "dt_max"), NUMBER),
            **dict.fromkeys(("b_init", "c_init", "w_y_init"), INITIALIZER),
        },
    ),
    "sru": Factory(sru, {"hidden_size": WHOLE, **_INPUT_INITS}, gates="n f r"),
    "window": Factory(window, {"size": WHOLE, "start_init": INITIALIZER}),
    "linear": Factory(
        linear,
        {"output_size": WHOLE, "w_init": INITIALIZER, "b_init": INITIALIZER},
    ),
    "embed": Factory(
        embed,
        {
            "vocab_size": WHOLE,
            "size": WHOLE,
            "dtype": DTYPE,
            "table_init": INITIALIZER,
        },
    ),
    "one_hot": Factory(one_hot, {"vocab_size": WHOLE, "dtype": DTYPE}),
    "activation": Factory(activation, {"f": ACTIVATION}),
    "stateless": Factory(stateless, {"init": FUNCTION, "apply": FUNCTION}),
    "diagonal": Factory(
        diagonal,
        dict.fromkeys(("init", "initial_carry", "coefficients", "output"), FUNCTION),
    ),
    "stack": Factory(stack, {"cells": MODELS}),
    "parallel": Factory(parallel, {"cells": MODELS}),
    "bidirectional": Factory(bidirectional, {"forward": MODEL, "backward": MODEL}),
    "concat_states": Factory(concat_states, {"cells": CELLS}),
    "skip": Factory(skip, {"cells": CELLS, "outputs": WHICH}),
    "conv": Factory(
        conv,
        {
            "output_size": WHOLE,
            "width": WHOLE,
            "padding": PADDING,
            "dilation": WHOLE,
            "w_init": INITIALIZER,
            "b_init": INITIALIZER,
        },
    ),
    "pool": Factory(pool, {"how": POOLING}),
    "residual": Factory(residual, {"cell": MODEL}),
    "layer_norm": Factory(layer_norm, {"cell": MODEL, "epsilon": NUMBER}),
    "dropout": Factory(dropout, {"cell": MODEL, "rate": NUMBER}),
    "variational_dropout": Factory(variational_dropout, {"cell": CELL, "rate": NUMBER}),
    "recurrent_dropout": Factory(recurrent_dropout, {"cell": CELL, "rate": NUMBER}),
    "zoneout": Factory(
        zoneout, {"cell": CELL, "h_rate": NUMBER, "c_rate": NUMBER_OR_NULL}
    ),
    "zoneout_mean": Factory(
        zoneout_mean, {"cell": CELL, "h_rate": NUMBER, "c_rate": NUMBER_OR_NULL}
    ),
    "weight_dropout": Factory(
        weight_dropout, {"cell": CELL, "rate": NUMBER, "weights": NAMES}
    ),
    "weight_norm": Factory(weight_norm, {"cell": CELL, "weights": NAMES}),
    "spectral_norm": Factory(
        spectral_norm, {"cell": CELL, "value": NUMBER, "weights": NAMES}
    ),
    "spectral_bound": Factory(
        spectral_bound, {"cell": CELL, "bound": NUMBER, "weights": NAMES}
    ),
    "clip_carry": Factory(
        clip_carry, {"cell": CELL, "limit": NUMBER, "fields": NAMES_OR_NULL}
    ),
    "highway": Factory(
        highway, {"cell": MODEL, "gate_bias": NUMBER, "w_t_init": INITIALIZER}
    ),
    "mixed_precision": Factory(mixed_precision, {"cell": CELL, "dtype": DTYPE}),
    "tied": Factory(tied, {"embedding": CELL, "cell": CELL}),
    "record": Factory(record, {"cell": CELL}),
    "masked": Factory(masked, {"cell": MODEL}),
    "reset": Factory(reset, {"cell": CELL}),
    "learned_carry": Factory(learned_carry, {"cell": MODEL}),
    "feedback": Factory(feedback, {"cell": CELL, "choose": OPTIONAL}),
}

INITIALIZERS_BY_NAME: dict[str, Factory] = {
    "orthogonal": Factory(orthogonal, {"scale": NUMBER}),
    "identity": Factory(identity, {"scale": NUMBER}),
    "spectral_radius": Factory(spectral_radius, {"rho": NUMBER, "base": OPTIONAL}),
    "gain": Factory(gain, {"g": NUMBER}),
    "gatewise": Factory(gatewise, {"base": INITIALIZER, "gates": WHOLE}),
}

FACTORIES = CELLS_BY_NAME | INITIALIZERS_BY_NAME

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(jax.nn, name) for name in _activation.NAMES},
    "zeros": jax.nn.initializers.zeros,
    "ones": jax.nn.initializers.ones,
}
