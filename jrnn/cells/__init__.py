"""Recurrent cells, one to a file, all on one skeleton."""

from jrnn.cells.elman import ElmanParams, elman, irnn
from jrnn.cells.gru import GRUParams, gru
from jrnn.cells.lstm import LSTMCarry, LSTMParams, lstm

__all__ = [
    "ElmanParams",
    "GRUParams",
    "LSTMCarry",
    "LSTMParams",
    "elman",
    "gru",
    "irnn",
    "lstm",
]
