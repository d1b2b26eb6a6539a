"""Recurrent neural networks as pure functions in JAX.

A cell is three pure functions, a model is a cell made of cells (a `SequenceModel` where
it must read the whole sequence), and everything works on one sequence: batches, seeds
and hyperparameters are `jax.vmap`, compilation is `jax.jit`, backpropagation through
time is `jax.grad`.

Modules for a task, such as `jrnn.train` and `jrnn.sweep`, are imported when they are
first asked for.
"""

import importlib.metadata
import typing

from jrnn import dynamics, gradients, initializers, losses, optimizers
from jrnn.cell import Cell, DiagonalStep, diagonal, output_spec, spec, stateless
from jrnn.cells import (
    CfCParams,
    ConvGRUParams,
    ConvLSTMParams,
    CoupledLSTMParams,
    ElmanParams,
    GRUParams,
    JANETParams,
    LayerNormGRUParams,
    LayerNormLSTMParams,
    LSTMCarry,
    LSTMParams,
    LTCParams,
    MGUParams,
    MLSTMCarry,
    MLSTMParams,
    PeepholeLSTMParams,
    ProjectedLSTMParams,
    SLSTMCarry,
    SLSTMParams,
    UGRNNParams,
    WindowParams,
    cfc,
    conv_gru,
    conv_lstm,
    coupled_lstm,
    elman,
    gru,
    irnn,
    janet,
    layer_norm_gru,
    layer_norm_lstm,
    lstm,
    ltc,
    mgu,
    mlstm,
    peephole_lstm,
    projected_lstm,
    slstm,
    ugrnn,
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
from jrnn.sequence import SequenceModel
from jrnn.sequence_layers import ConvParams, conv, pool
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

if typing.TYPE_CHECKING:
    from jrnn import attention as attention
    from jrnn import devices as devices
    from jrnn import export as export
    from jrnn import files as files
    from jrnn import generate as generate
    from jrnn import interop as interop
    from jrnn import logs as logs
    from jrnn import models as models
    from jrnn import seq2seq as seq2seq
    from jrnn import sweep as sweep
    from jrnn import testing as testing
    from jrnn import text as text
    from jrnn import train as train
    from jrnn.files import load as load
    from jrnn.files import register as register
    from jrnn.files import save as save

    __version__: str

__all__ = [
    "Cell",
    "CfCParams",
    "ConvGRUParams",
    "ConvLSTMParams",
    "ConvParams",
    "CoupledLSTMParams",
    "DiagonalStep",
    "ElmanParams",
    "EmbedParams",
    "FeedbackCarry",
    "FeedbackParams",
    "GRUParams",
    "JANETParams",
    "LSTMCarry",
    "LSTMParams",
    "LTCParams",
    "LayerNormGRUParams",
    "LayerNormLSTMParams",
    "LayerNormParams",
    "LearnedCarryParams",
    "LinearParams",
    "MGUParams",
    "MLSTMCarry",
    "MLSTMParams",
    "PeepholeLSTMParams",
    "ProjectedLSTMParams",
    "Recorded",
    "SLSTMCarry",
    "SLSTMParams",
    "ScanReport",
    "SequenceModel",
    "UGRNNParams",
    "VariationalDropoutCarry",
    "WindowParams",
    "activation",
    "bidirectional",
    "cfc",
    "conv",
    "conv_gru",
    "conv_lstm",
    "coupled_lstm",
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
    "janet",
    "layer_norm",
    "layer_norm_gru",
    "layer_norm_lstm",
    "learned_carry",
    "length_mask",
    "linear",
    "load",
    "losses",
    "lstm",
    "ltc",
    "masked",
    "mgu",
    "mlstm",
    "one_hot",
    "optimizers",
    "output_spec",
    "parallel",
    "peephole_lstm",
    "pool",
    "projected_lstm",
    "record",
    "register",
    "resample",
    "reset",
    "residual",
    "save",
    "scan",
    "scan_report",
    "slstm",
    "spec",
    "stack",
    "stateless",
    "ugrnn",
    "unroll",
    "variational_dropout",
    "window",
]

# They import what cells do not need, such as checkpoint formats and process pools.
_LATER = {
    "attention",
    "devices",
    "export",
    "files",
    "generate",
    "interop",
    "logs",
    "models",
    "seq2seq",
    "sweep",
    "testing",
    "text",
    "train",
}
_OF_FILES = {"load", "register", "save"}


if not typing.TYPE_CHECKING:  # else a name that does not exist would pass

    def __getattr__(name: str) -> object:
        if name in _LATER:
            return importlib.import_module(f"jrnn.{name}")
        if name in _OF_FILES:
            return getattr(importlib.import_module("jrnn.files"), name)
        if name == "__version__":
            try:
                return importlib.metadata.version("jrnn")
            except importlib.metadata.PackageNotFoundError:
                return "0+unknown"  # a source tree that is not installed
        raise AttributeError(f"module 'jrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LATER, "__version__"])
