"""What a page holds: arrays by name, and a description of them that JSON can hold."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jrnn.inspect.ablate import Effect
from jrnn.inspect.arrays import Scaled, signed, smallest, unsigned
from jrnn.inspect.choose import Kept, kept, order
from jrnn.inspect.ranking import correlations, features
from jrnn.inspect.record import RecordedLayer, Recording
from jrnn.text import Vocabulary

_STEPS = 4096  # that are converted at a time
_LEVELS = 65535  # of the loss, in 16 bits
_MOST = 99.0  # nats, where a probability is zero
SHUT, OPEN = 0.1, 0.9  # as in `jrnn.gradients.gate_saturation`
FEATURES = {  # what the page says of each
    "position": ("position in the line", "symbols since the last line break"),
    "quotes": ("inside quotes", "from the first quotation mark to the last"),
    "brackets": ("inside brackets", "within ( ), [ ] or { }"),
    "indentation": ("indentation", "white space at the beginning of the line"),
    "word starts": ("word starts", "at the first letter of a word"),
    "capitals": ("capitals", "at a capital letter"),
    "newlines": ("line breaks", "at the end of a line"),
}
STATES = {"h": "state h", "c": "memory c"}
GATES = {
    "i": "input gate i",
    "f": "forget gate f",
    "o": "output gate o",
    "r": "reset gate r",
    "z": "update gate z",
}


class Contents(NamedTuple):
    """All that a page shows."""

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


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
    about["layers"] = []
    counts = kept(recording.layers, len(tokens), room)
    for place, (layer, count) in enumerate(zip(recording.layers, counts, strict=True)):
        effect = effects[place] if effects else None
        described, own = _layer(layer, found, effect, count)
        about["layers"].append(described)
        arrays |= {f"{place}-{name}": array for name, array in own.items()}
    return Contents(about, arrays)


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
    nats = np.minimum(np.nan_to_num(recording.nats, nan=_MOST), _MOST)
    nats[0] = 0.0  # nothing is before it
    step = float(nats.max()) / _LEVELS or 1.0
    about = {
        "count": len(tokens),
        "level": vocabulary.level,
        "symbols": list(vocabulary.symbols),
        "glyphs": None,
        "guesses": recording.guesses.shape[1],
        "nats": {"mean": float(nats[1:].mean()), "step": step},
    }
    arrays = {
        "tokens": smallest(tokens),
        "nats": np.rint(nats / step).astype(np.uint16),
        "guesses": smallest(recording.guesses.T),  # (K, N)
        "chances": unsigned(np.nan_to_num(recording.chances.T), 1.0).bytes,
    }
    if vocabulary.level == "byte":  # what is shown is not what is read
        about["symbols"] = [chr(n) if n < 128 else f"{n:02X}" for n in range(256)]
        glyphs, shown = np.unique(np.array(pieces, object), return_inverse=True)
        about["glyphs"] = glyphs.tolist()
        arrays["shown"] = smallest(shown)
    return Contents(about, arrays)


def _layer(
    layer: RecordedLayer,
    found: dict[str, np.ndarray],
    effect: Effect | None,
    count: Kept,
) -> Contents:
    """The units of one layer, those of them that there is room for."""
    r = {name: correlations(part, found) for name, part in layer.parts.items()}
    states = [r[name] for name in layer.parts if name not in layer.gates]
    units = order(states, effect)
    arrays = {f"{name}-r": of_part for name, of_part in r.items()}  # (F, H)
    if effect is not None and np.isfinite(effect.nats).all():
        arrays["effect"] = np.stack([effect.nats, np.nan_to_num(effect.error)])
    parts = []
    for name, values in layer.parts.items():
        is_gate = name in layer.gates
        chosen = np.sort(units[: count.gates if is_gate else count.states])
        scaled = [_in_bytes(values[:, j], is_gate) for j in chosen]
        arrays |= {f"{name}-{j}": a.bytes for j, a in zip(chosen, scaled, strict=True)}
        if is_gate:
            arrays[f"{name}-saturation"] = _saturation(values)
        label = GATES.get(name) or STATES.get(name, f"state {name}")
        kept = {"units": chosen.tolist(), "steps": [a.step for a in scaled]}
        parts.append({"key": name, "label": label, "gate": is_gate, **kept})
    whole = []
    for key, label, values in _as_a_whole(layer):
        scaled = unsigned(values)
        arrays[key] = scaled.bytes
        whole.append({"key": key, "label": label, "step": scaled.step})
    described = {"kind": layer.kind, "units": layer.units, "parts": parts}
    return Contents({**described, "whole": whole}, arrays)


def _in_bytes(values: np.ndarray, is_gate: bool) -> Scaled:
    finite = np.nan_to_num(values.astype(np.float32))
    return unsigned(finite, 1.0) if is_gate else signed(finite)


def _saturation(gate: np.ndarray) -> np.ndarray:
    """Shares of the steps at which each unit's gate is shut and open, (2, H)."""
    return np.stack([(gate < SHUT).mean(0), (gate > OPEN).mean(0)]).astype(np.float32)


def _as_a_whole(layer: RecordedLayer) -> Iterator[tuple[str, str, np.ndarray]]:
    """What all units of a layer do together: key, label and numbers (N,)."""
    name = next(iter(layer.parts))
    h, label = layer.parts[name], STATES.get(name, f"state {name}")
    before = np.vstack([h[:1], h[:-1]])
    yield "size", f"size of {label}", _over_units(lambda h: np.square(h), h) ** 0.5
    change = _over_units(lambda h, before: np.square(h - before), h, before)
    yield "change", f"change of {label}", change**0.5
    for gate in layer.gates:
        mean = _over_units(lambda g: g, layer.parts[gate])
        yield f"mean-{gate}", f"mean of {GATES[gate]}", mean


def _over_units(f: Callable[..., np.ndarray], *parts: np.ndarray) -> np.ndarray:
    """The mean of f over all units, (N,): in single precision, piece by piece."""
    pieces = []
    for t in range(0, len(parts[0]), _STEPS):
        some = (np.nan_to_num(np.float32(part[t : t + _STEPS])) for part in parts)
        pieces.append(f(*some).mean(axis=1))
    return np.concatenate(pieces)
