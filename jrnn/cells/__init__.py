"""Recurrent cells, one to a file, all on one skeleton."""

from jrnn.cells.cfc import CfCParams, cfc
from jrnn.cells.conv_gru import ConvGRUParams, conv_gru
from jrnn.cells.conv_lstm import ConvLSTMParams, conv_lstm
from jrnn.cells.coupled_lstm import CoupledLSTMParams, coupled_lstm
from jrnn.cells.elman import ElmanParams, elman, irnn
from jrnn.cells.gru import GRUParams, gru
from jrnn.cells.janet import JANETParams, janet
from jrnn.cells.layer_norm_gru import LayerNormGRUParams, layer_norm_gru
from jrnn.cells.layer_norm_lstm import LayerNormLSTMParams, layer_norm_lstm
from jrnn.cells.lstm import LSTMCarry, LSTMParams, lstm
from jrnn.cells.ltc import LTCParams, ltc
from jrnn.cells.mgu import MGUParams, mgu
from jrnn.cells.mlstm import MLSTMCarry, MLSTMParams, mlstm
from jrnn.cells.peephole_lstm import PeepholeLSTMParams, peephole_lstm
from jrnn.cells.projected_lstm import ProjectedLSTMParams, projected_lstm
from jrnn.cells.slstm import SLSTMCarry, SLSTMParams, slstm
from jrnn.cells.ugrnn import UGRNNParams, ugrnn
from jrnn.cells.window import WindowParams, window

__all__ = [
    "CfCParams",
    "ConvGRUParams",
    "ConvLSTMParams",
    "CoupledLSTMParams",
    "ElmanParams",
    "GRUParams",
    "JANETParams",
    "LSTMCarry",
    "LSTMParams",
    "LTCParams",
    "LayerNormGRUParams",
    "LayerNormLSTMParams",
    "MGUParams",
    "MLSTMCarry",
    "MLSTMParams",
    "PeepholeLSTMParams",
    "ProjectedLSTMParams",
    "SLSTMCarry",
    "SLSTMParams",
    "UGRNNParams",
    "WindowParams",
    "cfc",
    "conv_gru",
    "conv_lstm",
    "coupled_lstm",
    "elman",
    "gru",
    "irnn",
    "janet",
    "layer_norm_gru",
    "layer_norm_lstm",
    "lstm",
    "ltc",
    "mgu",
    "mlstm",
    "peephole_lstm",
    "projected_lstm",
    "slstm",
    "ugrnn",
    "window",
]
