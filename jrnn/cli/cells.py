"""The cells that the commands know by name, said without importing them.

`jrnn.models.CELLS` has their factories.
"""

from typing import Literal, get_args

CellName = Literal[
    "cfc",
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
    "slstm",
    "ugrnn",
]
CELLS: tuple[str, ...] = get_args(CellName)
# their state also passes by the product, so that no recurrent dropout goes with them
PASSING = "gru", "janet", "layer_norm_gru", "ltc", "mgu", "mlstm", "ugrnn"
