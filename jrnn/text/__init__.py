"""Text as arrays of integers: vocabularies, streams for training, files, a corpus.

NumPy only, and what unpacks files: nothing here imports JAX, draws a random number or
keeps a state.

    corpus = python_reference()
    vocabulary = build_vocabulary(corpus.text)
    train, valid, test = split(encode(vocabulary, corpus.text))
    inputs, targets = streams(train, batch_size=32, window=50)
"""

from jrnn.text.corpus import Corpus, python_reference
from jrnn.text.files import find_files, read_files
from jrnn.text.streams import Streams, split, streams
from jrnn.text.vocabulary import (
    LEVELS,
    Vocabulary,
    build_vocabulary,
    decode,
    decode_bytes,
    encode,
    from_json,
    to_json,
    tokenize_words,
    unknown_symbols,
)

__all__ = [
    "LEVELS",
    "Corpus",
    "Streams",
    "Vocabulary",
    "build_vocabulary",
    "decode",
    "decode_bytes",
    "encode",
    "find_files",
    "from_json",
    "python_reference",
    "read_files",
    "split",
    "streams",
    "to_json",
    "tokenize_words",
    "unknown_symbols",
]
