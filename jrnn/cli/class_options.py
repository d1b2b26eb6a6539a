"""The options of the commands that choose among classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from jrnn.cli.options import SequenceOptions


@dataclass(frozen=True)
class ClassOptions(SequenceOptions):
    """What `jrnn classify` and `jrnn label` have in common."""

    from_data: ClassVar[str] = (
        "hidden_size steps batch_size learning_rate eval_every log_every"
    )
    elsewhere: ClassVar[str] = "files source test out resume overwrite"
    positive: ClassVar[str] = f"{SequenceOptions.positive} min_count"
    not_negative: ClassVar[str] = f"{SequenceOptions.not_negative} embed_size"

    test: tuple[Path, ...] = ()
    """Files of examples to test on, instead of a share of FILE. (default: none)"""
    label: str | None = None
    """Of a table: the column of classes. (default: the file is no table)"""
    id: str | None = None
    """Of a table: the column that tells sequences apart; rows with the same entry are
    one. (default: none)"""
    time: str | None = None
    """Of a table: the column of times, which must not go back within a sequence; it is
    not read. (default: none)"""
    features: tuple[str, ...] = ()
    """Of a table: the columns of numbers to read. (default: all others)"""
    group: str | None = None
    """Of a table: a column such as the person recorded; what has the same entry stays
    in the same part of the split. (default: none)"""
    missing: Literal["refuse", "mask", "interpolate"] = "refuse"
    """What is done about missing numbers. mask: 0 in their place, and a column more
    that says where. interpolate: on a line between the values before and after."""
    min_count: int = 2
    """Symbols seen less often in training are read as unknown ones."""

    cell: Literal["lstm", "gru", "elman", "irnn"] = "gru"
    hidden_size: int = 0
    """Units of each layer, in each direction. (default: as the data suggest)"""
    embed_size: int = 32
    """Length of a symbol's learned vector; 0 for one-hot symbols."""
    dropout: float = 0.2
    direction: Literal["forward", "both"] = "both"
    """Whether a sequence is read from both of its ends or forward only."""

    steps: int = 0
    """Updates of the weights. (default: as the data suggest)"""
    batch_size: int = 0
    """Examples in each update. (default: as the data suggest)"""
    learning_rate: float = 0.0
    """Largest learning rate. (default: as the data suggest)"""
    eval_every: int = 0
    """Steps between evaluations on the validation part. (default: a twentieth of
    --steps)"""
    log_every: int = 0
    """Steps between lines in metrics.jsonl; the other intervals are rounded up to
    multiples of it. (default: a twentieth of --steps, at most 50)"""


@dataclass(frozen=True)
class Classify(ClassOptions):
    """Learn to which class a sequence belongs, from a file.

    FILE is text with label<TAB>text on each line, or a table (CSV, TSV, Parquet) with a
    --label: with a --text-column of texts, or else rows of numbers that --id groups to
    sequences. Or .npz, see jrnn.data.read_npz, or .ts, of which NAME_TRAIN.ts and
    NAME_TEST.ts, or a folder with the two, bring their own test part.
    """

    from_data: ClassVar[str] = f"{ClassOptions.from_data} chunk"
    positive: ClassVar[str] = f"{ClassOptions.positive} chunk"

    text_column: str | None = None
    """Of a table: the column of texts, where rows are texts. (default: none)"""
    level: Literal["char", "word"] = "char"
    """What a symbol of a text is: a character or a word."""
    chunk: int = 0
    """Steps of numbers that are read at once, side by side. (default: as many as leave
    32 of the longest sequence; texts are read symbol by symbol)"""


@dataclass(frozen=True)
class Label(ClassOptions):
    """Learn the class of every step of a sequence, from a file.

    FILE has columns as of CoNLL: a token and its tag on each line, a blank line at the
    end of a sentence. Or it is a table (CSV, TSV, Parquet) with a --label in each row,
    of numbers that --id groups to sequences. Or .npz with a label for each step, see
    jrnn.data.read_npz.
    """

    token_column: int = 1
    """Of CoNLL: where the token is, counted from 1, or from the last, -1."""
    tag_column: int = -1
    """Of CoNLL: where the tag is."""
    direction: Literal["forward", "both"] = "both"
    """Whether a step's class may depend on what comes later, as well."""
