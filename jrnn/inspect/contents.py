"""What a page holds: arrays by name, and a description of them that JSON can hold."""

import codecs
from collections.abc import Sequence

import numpy as np

from jrnn.inspect.ablate import Effect
from jrnn.inspect.arrays import costs, smallest, unsigned
from jrnn.inspect.layer_contents import Contents, layers_contents
from jrnn.inspect.ranking import features
from jrnn.inspect.record import Recording
from jrnn.text import Vocabulary

FEATURES = {  # what the page says of each
    "position": ("position in the line", "symbols since the last line break"),
    "quotes": ("inside quotes", "from the first quotation mark to the last"),
    "brackets": ("inside brackets", "within ( ), [ ] or { }"),
    "indentation": ("indentation", "white space at the beginning of the line"),
    "word starts": ("word starts", "at the first letter of a word"),
    "capitals": ("capitals", "at a capital letter"),
    "newlines": ("line breaks", "at the end of a line"),
}


def contents(
    recording: Recording,
    tokens: np.ndarray,
    vocabulary: Vocabulary,
    effects: Sequence[Effect] | None,
    room: int,
) -> Contents:
    """Describe a recording in arrays of few bits.

    Args:
        recording: of the text.
        tokens: the text (N,).
        vocabulary: what they stand for.
        effects: for each layer, if they were measured.
        room: how many numbers of units there may be, one byte each.

    Returns:
        The arrays, and where they belong.
    """
    pieces = pieces_of(vocabulary, tokens)
    about, arrays = _text(recording, tokens, vocabulary, pieces)
    found = features(pieces)
    about["features"] = [
        {"key": key, "label": label, "about": more}
        for key, (label, more) in FEATURES.items()
    ]
    layers = layers_contents(recording.layers, found, effects, room)
    return Contents(about | layers.about, arrays | layers.arrays)


def pieces_of(vocabulary: Vocabulary, tokens: np.ndarray) -> list[str]:
    r"""The symbols of each token, which joined are the text.

    A byte that does not end its character has none, and the last one has all of it.

    Args:
        vocabulary: of the tokens.
        tokens: (N,).

    Returns:
        N strings.

    Example:
        >>> from jrnn.text import build_vocabulary, encode
        >>> bytes_ = build_vocabulary("", level="byte")
        >>> pieces_of(bytes_, encode(bytes_, "aé"))
        ['a', '', 'é']
    """
    if vocabulary.level != "byte":
        return [vocabulary.symbols[token] for token in tokens.tolist()]
    reader = codecs.getincrementaldecoder("utf-8")("replace")
    return [reader.decode(bytes([token])) for token in tokens.tolist()]


def _text(
    recording: Recording,
    tokens: np.ndarray,
    vocabulary: Vocabulary,
    pieces: list[str],
) -> Contents:
    """The text itself, its loss, and what the model has guessed."""
    first = np.arange(len(tokens)) == 0  # nothing is before it
    nats = costs(np.where(first, 0.0, recording.nats))
    about = {
        "count": len(tokens),
        "level": vocabulary.level,
        "symbols": list(vocabulary.symbols),
        "glyphs": None,
        "guesses": recording.guesses.shape[1],
        "nats": {"step": nats.step},
    }
    arrays = {
        "tokens": smallest(tokens),
        "nats": nats.bytes,
        "guesses": smallest(recording.guesses.T),  # (K, N)
        "chances": unsigned(np.nan_to_num(recording.chances.T), 1.0).bytes,
    }
    if vocabulary.level == "byte":  # what is shown is not what is read
        about["symbols"] = [chr(n) if n < 128 else f"{n:02X}" for n in range(256)]
        glyphs, shown = np.unique(np.array(pieces, object), return_inverse=True)
        about["glyphs"] = glyphs.tolist()
        arrays["shown"] = smallest(shown)
    return Contents(about, arrays)
