"""Recurrent neural networks as pure functions in JAX.

A cell is three pure functions, a model is a cell made of cells, and everything works on
one sequence: batches, seeds and hyperparameters are `jax.vmap`, compilation is
`jax.jit`, backpropagation through time is `jax.grad`.
"""

from jrnn import dynamics, gradients, initializers, losses, optimizers
from jrnn.cell import Cell, DiagonalStep, diagonal, output_spec, spec, stateless
from jrnn.cells import (
    ElmanParams,
    GRUParams,
    LSTMCarry,
    LSTMParams,
    WindowParams,
    elman,
    gru,
    irnn,
    lstm,
    window,
)
from jrnn.combine import bidirectional, parallel, stack
from jrnn.feedback import FeedbackCarry, FeedbackParams, feedback
from jrnn.layers import (
    EmbedParams,
    LinearParams,
    activation,
    embed,
    linear,
    one_hot,
)
from jrnn.scan import ScanReport, diagonal_scan, scan, scan_report
from jrnn.unroll import unroll
from jrnn.wrappers import (
    LayerNormParams,
    LearnedCarryParams,
    Recorded,
    VariationalDropoutCarry,
    dropout,
    layer_norm,
    learned_carry,
    length_mask,
    masked,
    record,
    resample,
    reset,
    residual,
    variational_dropout,
)

__all__ = [
    "Cell",
    "DiagonalStep",
    "ElmanParams",
    "EmbedParams",
    "FeedbackCarry",
    "FeedbackParams",
    "GRUParams",
    "LSTMCarry",
    "LSTMParams",
    "LayerNormParams",
    "LearnedCarryParams",
    "LinearParams",
    "Recorded",
    "ScanReport",
    "VariationalDropoutCarry",
    "WindowParams",
    "activation",
    "bidirectional",
    "diagonal",
    "diagonal_scan",
    "dropout",
    "dynamics",
    "elman",
    "embed",
    "feedback",
    "gradients",
    "gru",
    "initializers",
    "irnn",
    "layer_norm",
    "learned_carry",
    "length_mask",
    "linear",
    "losses",
    "lstm",
    "masked",
    "one_hot",
    "optimizers",
    "output_spec",
    "parallel",
    "record",
    "resample",
    "reset",
    "residual",
    "scan",
    "scan_report",
    "spec",
    "stack",
    "stateless",
    "unroll",
    "variational_dropout",
    "window",
]
