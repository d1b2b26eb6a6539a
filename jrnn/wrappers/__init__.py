"""Functions from cell to cell: whatever one might change about a cell.

Those that need no step of their own work on a `SequenceModel` too: they return one, and
their `run` says over all steps at once what their `step` says of one.

A wrapper that owns no parameters does not change the parameter tree, so a model can be
trained with `dropout(lstm(64), 0.1)` and evaluated with `lstm(64)`.
"""

from jrnn.wrappers.carries import (
    LearnedCarryParams,
    Recorded,
    clip_carry,
    learned_carry,
    record,
)
from jrnn.wrappers.form import Model
from jrnn.wrappers.noise import (
    VariationalDropoutCarry,
    dropout,
    recurrent_dropout,
    resample,
    variational_dropout,
)
from jrnn.wrappers.outputs import (
    HighwayParams,
    LayerNormParams,
    highway,
    layer_norm,
    residual,
)
from jrnn.wrappers.precision import mixed_precision
from jrnn.wrappers.steps import length_mask, masked, reset
from jrnn.wrappers.tying import TiedParams, tied
from jrnn.wrappers.weights import (
    WeightDropoutCarry,
    WeightNormParams,
    spectral_bound,
    spectral_norm,
    weight_dropout,
    weight_norm,
)
from jrnn.wrappers.zones import zoneout, zoneout_mean

__all__ = [
    "HighwayParams",
    "LayerNormParams",
    "LearnedCarryParams",
    "Model",
    "Recorded",
    "TiedParams",
    "VariationalDropoutCarry",
    "WeightDropoutCarry",
    "WeightNormParams",
    "clip_carry",
    "dropout",
    "highway",
    "layer_norm",
    "learned_carry",
    "length_mask",
    "masked",
    "mixed_precision",
    "record",
    "recurrent_dropout",
    "resample",
    "reset",
    "residual",
    "spectral_bound",
    "spectral_norm",
    "tied",
    "variational_dropout",
    "weight_dropout",
    "weight_norm",
    "zoneout",
    "zoneout_mean",
]
