"""Recurrent cells, one to a file, all on one skeleton."""

from jrnn.cells.elman import ElmanParams, elman, irnn
from jrnn.cells.gru import GRUParams, gru
from jrnn.cells.lstm import LSTMCarry, LSTMParams, lstm
from jrnn.cells.window import WindowParams, window

__all__ = [
    "ElmanParams",
    "GRUParams",
    "LSTMCarry",
    "LSTMParams",
    "WindowParams",
    "elman",
    "gru",
    "irnn",
    "lstm",
    "window",
]
