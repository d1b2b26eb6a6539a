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
from jrnn.cell import (
    CandidateStep,
    Cell,
    ChunkwiseStep,
    DiagonalStep,
    diagonal,
    output_spec,
    spec,
    stateless,
)
from jrnn.cells import (
    AntisymmetricParams,
    CfCParams,
    ClockworkCarry,
    ClockworkParams,
    ConvGRUParams,
    ConvLSTMParams,
    CoRNNCarry,
    CoRNNParams,
    CoupledLSTMParams,
    DaleParams,
    EchoStateParams,
    ElmanParams,
    GRUParams,
    IndRNNParams,
    JANETParams,
    LayerNormGRUParams,
    LayerNormLSTMParams,
    LeakyParams,
    LEMCarry,
    LEMParams,
    LowRankParams,
    LRUParams,
    LSTMCarry,
    LSTMParams,
    LTCParams,
    MGUParams,
    MinGRUParams,
    MinLSTMParams,
    MLSTMCarry,
    MLSTMParams,
    OrthogonalRNNParams,
    PeepholeLSTMParams,
    ProjectedLSTMParams,
    QRNNParams,
    S5Params,
    SLSTMCarry,
    SLSTMParams,
    SRUParams,
    UGRNNParams,
    WindowParams,
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
    ridge_readout,
    s5,
    slstm,
    sru,
    ugrnn,
    window,
)
from jrnn.combine import bidirectional, concat_states, parallel, skip, stack
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
    HighwayParams,
    LayerNormParams,
    LearnedCarryParams,
    Recorded,
    TiedParams,
    VariationalDropoutCarry,
    WeightDropoutCarry,
    WeightNormParams,
    clip_carry,
    dropout,
    highway,
    layer_norm,
    learned_carry,
    length_mask,
    masked,
    mixed_precision,
    record,
    recurrent_dropout,
    resample,
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

if typing.TYPE_CHECKING:
    from jrnn import attention as attention
    from jrnn import data as data
    from jrnn import devices as devices
    from jrnn import display as display
    from jrnn import export as export
    from jrnn import files as files
    from jrnn import generate as generate
    from jrnn import inspect as inspect
    from jrnn import interop as interop
    from jrnn import logs as logs
    from jrnn import models as models
    from jrnn import online as online
    from jrnn import parallel_time as parallel_time
    from jrnn import seq2seq as seq2seq
    from jrnn import sweep as sweep
    from jrnn import tasks as tasks
    from jrnn import testing as testing
    from jrnn import text as text
    from jrnn import train as train
    from jrnn.files import load as load
    from jrnn.files import register as register
    from jrnn.files import save as save

    __version__: str

__all__ = [
    "AntisymmetricParams",
    "CandidateStep",
    "Cell",
    "CfCParams",
    "ChunkwiseStep",
    "ClockworkCarry",
    "ClockworkParams",
    "CoRNNCarry",
    "CoRNNParams",
    "ConvGRUParams",
    "ConvLSTMParams",
    "ConvParams",
    "CoupledLSTMParams",
    "DaleParams",
    "DiagonalStep",
    "EchoStateParams",
    "ElmanParams",
    "EmbedParams",
    "FeedbackCarry",
    "FeedbackParams",
    "GRUParams",
    "HighwayParams",
    "IndRNNParams",
    "JANETParams",
    "LEMCarry",
    "LEMParams",
    "LRUParams",
    "LSTMCarry",
    "LSTMParams",
    "LTCParams",
    "LayerNormGRUParams",
    "LayerNormLSTMParams",
    "LayerNormParams",
    "LeakyParams",
    "LearnedCarryParams",
    "LinearParams",
    "LowRankParams",
    "MGUParams",
    "MLSTMCarry",
    "MLSTMParams",
    "MinGRUParams",
    "MinLSTMParams",
    "OrthogonalRNNParams",
    "PeepholeLSTMParams",
    "ProjectedLSTMParams",
    "QRNNParams",
    "Recorded",
    "S5Params",
    "SLSTMCarry",
    "SLSTMParams",
    "SRUParams",
    "ScanReport",
    "SequenceModel",
    "TiedParams",
    "UGRNNParams",
    "VariationalDropoutCarry",
    "WeightDropoutCarry",
    "WeightNormParams",
    "WindowParams",
    "activation",
    "antisymmetric",
    "bidirectional",
    "cfc",
    "clip_carry",
    "clockwork",
    "concat_states",
    "conv",
    "conv_gru",
    "conv_lstm",
    "cornn",
    "coupled_lstm",
    "dale",
    "diagonal",
    "diagonal_scan",
    "dropout",
    "dynamics",
    "echo_state",
    "elman",
    "embed",
    "feedback",
    "gradients",
    "gru",
    "highway",
    "indrnn",
    "initializers",
    "irnn",
    "janet",
    "layer_norm",
    "layer_norm_gru",
    "layer_norm_lstm",
    "leaky",
    "learned_carry",
    "lem",
    "length_mask",
    "linear",
    "load",
    "losses",
    "low_rank",
    "lru",
    "lstm",
    "ltc",
    "masked",
    "mgu",
    "min_gru",
    "min_lstm",
    "mixed_precision",
    "mlstm",
    "one_hot",
    "optimizers",
    "orthogonal_rnn",
    "output_spec",
    "parallel",
    "peephole_lstm",
    "pool",
    "projected_lstm",
    "qrnn",
    "record",
    "recurrent_dropout",
    "register",
    "resample",
    "reset",
    "residual",
    "ridge_readout",
    "s5",
    "save",
    "scan",
    "scan_report",
    "skip",
    "slstm",
    "spec",
    "spectral_bound",
    "spectral_norm",
    "sru",
    "stack",
    "stateless",
    "tied",
    "ugrnn",
    "unroll",
    "variational_dropout",
    "weight_dropout",
    "weight_norm",
    "window",
    "zoneout",
    "zoneout_mean",
]

# They import what cells do not need, such as checkpoint formats and process pools.
_LATER = {
    "attention",
    "data",
    "devices",
    "display",
    "export",
    "files",
    "generate",
    "inspect",
    "interop",
    "logs",
    "models",
    "online",
    "parallel_time",
    "seq2seq",
    "sweep",
    "tasks",
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
