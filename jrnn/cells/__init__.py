"""Recurrent cells, one to a file, all on one skeleton."""

from jrnn.cells.coupled_lstm import CoupledLSTMParams, coupled_lstm
from jrnn.cells.elman import ElmanParams, elman, irnn
from jrnn.cells.gru import GRUParams, gru
from jrnn.cells.janet import JANETParams, janet
from jrnn.cells.layer_norm_gru import LayerNormGRUParams, layer_norm_gru
from jrnn.cells.layer_norm_lstm import LayerNormLSTMParams, layer_norm_lstm
from jrnn.cells.lstm import LSTMCarry, LSTMParams, lstm
from jrnn.cells.mgu import MGUParams, mgu
from jrnn.cells.peephole_lstm import PeepholeLSTMParams, peephole_lstm
from jrnn.cells.projected_lstm import ProjectedLSTMParams, projected_lstm
from jrnn.cells.ugrnn import UGRNNParams, ugrnn
from jrnn.cells.window import WindowParams, window

__all__ = [
    "CoupledLSTMParams",
    "ElmanParams",
    "GRUParams",
    "JANETParams",
    "LSTMCarry",
    "LSTMParams",
    "LayerNormGRUParams",
    "LayerNormLSTMParams",
    "MGUParams",
    "PeepholeLSTMParams",
    "ProjectedLSTMParams",
    "UGRNNParams",
    "WindowParams",
    "coupled_lstm",
    "elman",
    "gru",
    "irnn",
    "janet",
    "layer_norm_gru",
    "layer_norm_lstm",
    "lstm",
    "mgu",
    "peephole_lstm",
    "projected_lstm",
    "ugrnn",
    "window",
]
