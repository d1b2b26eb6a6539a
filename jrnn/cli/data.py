"""From the files named on the command line to rows of tokens."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.cli.config import Train
from jrnn.cli.errors import UserError
from jrnn.cli.words import plain_errors
from jrnn.text import (
    Streams,
    Vocabulary,
    build_vocabulary,
    encode,
    find_files,
    python_reference,
    read_files,
    split,
    streams,
)
from jrnn.text.files import STANDARD_INPUT, name_of, read_once


class Data(NamedTuple):
    """A corpus, encoded and split."""

    vocabulary: Vocabulary
    train: np.ndarray  # (N,) tokens of the training part
    valid: np.ndarray  # (N',)
    test: np.ndarray  # (N'',)
    rows: Streams  # (B, N // B) inputs and targets
    windows: int  # updates in one pass over the rows
    source: str
    sha256: str  # of the whole text, by which a run knows it again
    files: tuple[Path, ...]  # folders and patterns replaced by what they stand for
    kept: bytes | None  # the text, where it cannot be read again: of a pipe


def load_data(
    config: Train,
    vocabulary: Vocabulary | Callable[[str | bytes], Vocabulary] | None = None,
    kept: Path | None = None,
) -> Data:
    """Read, encode and split the text of a run.

    The vocabulary is built from the whole text, so that no held-out character is
    unknown, unless one is given.

    Args:
        config: the run; its files are read.
        vocabulary: that of the run, if there is one already, or a function of the text
            that builds it.
        kept: where a run keeps a text that came from a pipe. If there is such a file,
            it is the text, as it is.
    """
    with plain_errors():
        text, source, files = _text_of(config, kept)
        if vocabulary is None:
            vocabulary = build_vocabulary(text, config.level, config.min_count)
        elif callable(vocabulary):
            vocabulary = vocabulary(text)
        tokens = encode(vocabulary, text)
        train, valid, test = split(tokens, config.split)
    # k2 - k1 steps of history come before the steps that are trained on
    need = config.batch_size * config.window + 1
    if len(train) < need:
        raise UserError(
            f"The training part has {len(train)} tokens, but {config.batch_size} rows "
            f"of one window of {config.window} need {need}.\n"
            "Use a longer text, a smaller --batch-size or a shorter --window."
        )
    rows = streams(_narrow(train, len(vocabulary)), config.batch_size, config.stride)
    windows = (rows.inputs.shape[1] - config.window) // config.stride + 1
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(data).hexdigest()
    parts = train, valid, test
    lost = any(map(read_once, files)) and not _is_kept(kept)
    own = data if lost else None
    return Data(vocabulary, *parts, rows, windows, source, digest, files, own)


def run_name(files: Sequence[Path]) -> str:
    """What a run on these files is called: the first one's name without its endings."""
    if not files:
        return "python-reference"
    path = files[0]
    if path != STANDARD_INPUT and not path.is_dir():
        with plain_errors():
            path = find_files(path)[0]  # of a pattern
    if read_once(path):
        return "stdin" if path == STANDARD_INPUT else "pipe"
    if path.is_dir():
        return path.resolve().name or "text"
    packed = path.suffix in (".gz", ".bz2", ".xz", ".zst")
    return Path(path.stem).stem if packed else path.stem


def _text_of(config: Train, kept: Path | None) -> tuple[str | bytes, str, tuple]:
    if _is_kept(kept):
        data = kept.read_bytes()
        text = data if config.level == "byte" else data.decode("utf-8", "replace")
        return text, _source(config.files), config.files
    if not config.files:
        reference = python_reference()
        return reference.text, reference.source, ()
    files = find_files(config.files)
    text = read_files(files, config.level)
    # what is given by name is found from another directory, too
    files = tuple(file if read_once(file) else file.resolve() for file in files)
    return text, _source(files), files


def _is_kept(kept: Path | None) -> TypeGuard[Path]:
    return kept is not None and kept.exists()


def _source(files: Sequence[Path]) -> str:
    names = list(map(_called, files))
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more files"


def _called(file: Path) -> str:
    if file == STANDARD_INPUT:
        return name_of(file)
    return file.name if file.is_file() else "a pipe"


def batch_reader(config: Train, windows: int) -> Callable[[Streams, jax.Array], tuple]:
    """The function that cuts the batch of step n out of the rows, traced."""

    def next_batch(rows: Streams, n: jax.Array):
        start = (n % windows) * config.stride
        cut = lambda a: jax.lax.dynamic_slice_in_dim(a, start, config.window, axis=1)
        inputs, targets = cut(rows.inputs), cut(rows.targets)  # (B, k2)
        return inputs.astype(jnp.int32), targets.astype(jnp.int32)

    return next_batch


def _narrow(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    # a corpus of bytes or characters need not take four bytes a token on the device
    kinds = ((1 << 8, np.uint8), (1 << 16, np.uint16), (1 << 31, np.int32))
    return tokens.astype(next(kind for size, kind in kinds if vocab_size <= size))
