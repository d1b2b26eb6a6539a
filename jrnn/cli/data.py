"""From the files named on the command line to rows of tokens."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jrnn.cli.config import Train
from jrnn.cli.errors import UserError, told_plainly
from jrnn.text import (
    Streams,
    Vocabulary,
    build_vocabulary,
    encode,
    python_reference,
    read_files,
    split,
    streams,
)


class Data(NamedTuple):
    """A corpus, encoded and split."""

    vocabulary: Vocabulary
    train: np.ndarray  # (N,) tokens of the training part
    valid: np.ndarray  # (N',)
    test: np.ndarray  # (N'',)
    rows: Streams  # (B, N // B) inputs and targets
    windows: int  # updates in one pass over the rows
    source: str
    sha256: str


def load_data(
    config: Train,
    vocabulary: Vocabulary | Callable[[str | bytes], Vocabulary] | None = None,
) -> Data:
    """Read, encode and split the text of a run.

    The vocabulary is built from the whole text, so that no held-out character is
    unknown, unless one is given, or a function that builds it.
    """
    with told_plainly():
        if config.files:
            text = read_files(config.files, config.level)
            source = ", ".join(Path(f).name for f in config.files)
        else:
            text, source = python_reference()
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
    return Data(vocabulary, train, valid, test, rows, windows, source, digest)


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
