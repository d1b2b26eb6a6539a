"""The options of the command that writes one text as another."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from jrnn.cli.cells import CellName
from jrnn.cli.options import SequenceOptions


@dataclass(frozen=True)
class Translate(SequenceOptions):
    """Learn to write a text as another, from a file of pairs.

    FILE is text with source<TAB>target on each line. Lines with the same source stay in
    the same part of the split. The model is an encoder and a decoder with attention.
    """

    from_data: ClassVar[str] = (
        "hidden_size steps batch_size learning_rate eval_every log_every"
    )
    elsewhere: ClassVar[str] = "files source test out resume overwrite"
    positive: ClassVar[str] = (
        f"{SequenceOptions.positive} min_count embed_size beam_size"
    )

    test: tuple[Path, ...] = ()
    """Files of pairs to test on, instead of a share of FILE. (default: none)"""
    level: Literal["char", "word"] = "char"
    """What a symbol of a text is: a character or a word."""
    min_count: int = 1
    """Symbols of sources seen less often in training are read as unknown ones."""

    cell: CellName = "gru"
    hidden_size: int = 0
    """Units of the decoder and of each direction of the encoder. (default: as the data
    suggest)"""
    embed_size: int = 32
    """Length of a symbol's learned vector."""
    attention: bool = True
    """Whether the decoder looks at every state of the encoder."""
    beam_size: int = 4
    """Beginnings of an answer that are kept while it is written; 1 always takes the
    likeliest symbol."""

    steps: int = 0
    """Updates of the weights. (default: as the data suggest)"""
    batch_size: int = 0
    """Pairs in each update. (default: as the data suggest)"""
    learning_rate: float = 0.0
    """Largest learning rate. (default: as the data suggest)"""
    eval_every: int = 0
    """Steps between evaluations on the validation part. (default: a twentieth of
    --steps)"""
    log_every: int = 0
    """Steps between lines in metrics.jsonl; the other intervals are rounded up to
    multiples of it. (default: a twentieth of --steps, at most 50)"""
