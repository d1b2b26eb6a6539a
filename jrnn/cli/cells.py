"""The cells that the commands know by name, said without importing them.

`jrnn.models.CELLS` has their factories.
"""

from typing import Literal, get_args

CellName = Literal[
    "antisymmetric",
    "cfc",
    "clockwork",
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
    "qrnn",
    "s5",
    "slstm",
    "sru",
    "ugrnn",
]
CELLS: tuple[str, ...] = get_args(CellName)
# their state also passes by the product, or has no h: no recurrent dropout with them.
# (A GRU has one of its own, on what it writes into its state.)
PASSING = tuple(
    "antisymmetric clockwork cornn dale echo_state indrnn janet layer_norm_gru "
    "leaky lem low_rank lru ltc mgu min_gru min_lstm mlstm qrnn s5 sru ugrnn".split()
)
