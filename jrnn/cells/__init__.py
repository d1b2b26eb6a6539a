"""Recurrent cells, one to a file, all on one skeleton."""

from jrnn.cells.antisymmetric import AntisymmetricParams, antisymmetric
from jrnn.cells.cfc import CfCParams, cfc
from jrnn.cells.clockwork import ClockworkCarry, ClockworkParams, clockwork
from jrnn.cells.conv_gru import ConvGRUParams, conv_gru
from jrnn.cells.conv_lstm import ConvLSTMParams, conv_lstm
from jrnn.cells.cornn import CoRNNCarry, CoRNNParams, cornn
from jrnn.cells.coupled_lstm import CoupledLSTMParams, coupled_lstm
from jrnn.cells.dale import DaleParams, dale
from jrnn.cells.echo_state import EchoStateParams, echo_state, ridge_readout
from jrnn.cells.elman import ElmanParams, elman, irnn
from jrnn.cells.gru import GRUParams, gru
from jrnn.cells.indrnn import IndRNNParams, indrnn
from jrnn.cells.janet import JANETParams, janet
from jrnn.cells.layer_norm_gru import LayerNormGRUParams, layer_norm_gru
from jrnn.cells.layer_norm_lstm import LayerNormLSTMParams, layer_norm_lstm
from jrnn.cells.leaky import LeakyParams, leaky
from jrnn.cells.lem import LEMCarry, LEMParams, lem
from jrnn.cells.low_rank import LowRankParams, low_rank
from jrnn.cells.lru import LRUParams, lru
from jrnn.cells.lstm import LSTMCarry, LSTMParams, lstm
from jrnn.cells.ltc import LTCParams, ltc
from jrnn.cells.mgu import MGUParams, mgu
from jrnn.cells.min_gru import MinGRUParams, min_gru
from jrnn.cells.min_lstm import MinLSTMParams, min_lstm
from jrnn.cells.mlstm import MLSTMCarry, MLSTMParams, mlstm
from jrnn.cells.orthogonal_rnn import OrthogonalRNNParams, orthogonal_rnn
from jrnn.cells.peephole_lstm import PeepholeLSTMParams, peephole_lstm
from jrnn.cells.projected_lstm import ProjectedLSTMParams, projected_lstm
from jrnn.cells.qrnn import QRNNParams, qrnn
from jrnn.cells.s5 import S5Params, s5
from jrnn.cells.slstm import SLSTMCarry, SLSTMParams, slstm
from jrnn.cells.sru import SRUParams, sru
from jrnn.cells.ugrnn import UGRNNParams, ugrnn
from jrnn.cells.window import WindowParams, window

__all__ = [
    "AntisymmetricParams",
    "CfCParams",
    "ClockworkCarry",
    "ClockworkParams",
    "CoRNNCarry",
    "CoRNNParams",
    "ConvGRUParams",
    "ConvLSTMParams",
    "CoupledLSTMParams",
    "DaleParams",
    "EchoStateParams",
    "ElmanParams",
    "GRUParams",
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
    "LeakyParams",
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
    "S5Params",
    "SLSTMCarry",
    "SLSTMParams",
    "SRUParams",
    "UGRNNParams",
    "WindowParams",
    "antisymmetric",
    "cfc",
    "clockwork",
    "conv_gru",
    "conv_lstm",
    "cornn",
    "coupled_lstm",
    "dale",
    "echo_state",
    "elman",
    "gru",
    "indrnn",
    "irnn",
    "janet",
    "layer_norm_gru",
    "layer_norm_lstm",
    "leaky",
    "lem",
    "low_rank",
    "lru",
    "lstm",
    "ltc",
    "mgu",
    "min_gru",
    "min_lstm",
    "mlstm",
    "orthogonal_rnn",
    "peephole_lstm",
    "projected_lstm",
    "qrnn",
    "ridge_readout",
    "s5",
    "slstm",
    "sru",
    "ugrnn",
    "window",
]
