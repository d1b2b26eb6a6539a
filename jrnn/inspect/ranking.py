"""Which units follow what in a text: features of it, and how units go along with them.

Pure NumPy. A feature has a number for each token, and says something of the text up to
and with it: what a network that has just read the token can know.
"""

from collections.abc import Callable, Sequence

import numpy as np

QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "„": "“", '"""': '"""', "'''": "'''"}
BRACKETS = {"(": ")", "[": "]", "{": "}"}
APOSTROPHES = "'’"
_STEPS = 4096  # that are converted at a time


def features(pieces: Sequence[str]) -> dict[str, np.ndarray]:
    r"""Measure what a unit might follow, for every token of a text.

        position     symbols since the last line break
        quotes       1 inside a quotation, from the first mark to before the last
        brackets     1 inside (), [] or {}, in the same way
        indentation  white space read at the beginning of the line
        word starts  1 at the first letter or digit of a word
        capitals     1 at a capital letter
        newlines     1 at a line break

    An apostrophe within a word is no mark, nor is what follows a backslash in a
    quotation. A quotation or a bracket that nothing closes ends at an empty line; a
    quotation in three marks, as Python has them, does not.
    Where a token is several symbols, the first four tell the state behind the last of
    them, the others whether one of them is there. A token may also be none (a byte that
    does not end its character): it leaves the state as it is.

    Args:
        pieces: the symbols of each token, joined they are the text.

    Returns:
        Arrays (N,) in float32, by the names above.

    Example:
        >>> found = features('a\n  "b"')
        >>> found["position"].tolist()
        [1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        >>> found["quotes"].tolist()
        [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    """
    text = "".join(pieces)
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    ends = np.cumsum(lengths)
    of_states = {n: _behind(f(text), ends) for n, f in _STATES.items()}
    of_events = {n: _within(f(text), lengths, ends) for n, f in _EVENTS.items()}
    return {n: a.astype(np.float32) for n, a in (of_states | of_events).items()}


def correlations(values: np.ndarray, of: dict[str, np.ndarray]) -> np.ndarray:
    """Pearson's correlation of every unit with every feature.

        r_fj = mean_t [(v_tj - mean v_j) (u_tf - mean u_f)] / (std v_j std u_f)

    Args:
        values: of H units along a text, (N, H).
        of: features, arrays (N,), by name.

    Returns:
        r (F, H) in float32, from -1 to 1; 0 for a unit or a feature that never changes.

    Raises:
        ValueError: no steps; features and values of different lengths.

    Example:
        >>> t = np.arange(9.0)
        >>> correlations(np.stack([t, -t, t * 0], axis=1), {"time": t}).tolist()
        [[1.0, -1.0, 0.0]]
    """
    us = np.stack([u.astype(np.float64) for u in of.values()], axis=1)  # (N, F)
    if len(us) != len(values):
        raise ValueError(
            f"correlations: values have {len(values)} steps, and features {len(us)}."
        )
    us = us - us[:1]
    # of what is left after the first value, so that a constant gives exactly zero
    sums = None
    for first in range(0, len(values), _STEPS):
        u = us[first : first + _STEPS]
        v = values[first : first + _STEPS].astype(np.float64) - values[:1]
        uv = np.einsum("nf,nh->fh", u, v)  # thin: threads of a product would only wait
        new = u.sum(0), v.sum(0), np.square(u).sum(0), np.square(v).sum(0), uv
        sums = new if sums is None else [a + b for a, b in zip(sums, new, strict=True)]
    if sums is None:
        raise ValueError("correlations: values have no steps.")
    u, v, uu, vv, uv = (a / len(us) for a in sums)  # means; uv is (F, H)
    deviation = np.outer(_root(uu - u * u), _root(vv - v * v))
    together = uv - np.outer(u, v)
    r = np.divide(together, deviation, out=np.zeros_like(uv), where=deviation > 0)
    return np.clip(r, -1, 1).astype(np.float32)


def ranked(r: np.ndarray) -> np.ndarray:
    """Units by how strongly they follow a feature, up or down, the strongest first.

    Args:
        r: correlations (..., H).

    Returns:
        Indices of units (..., H); of equal ones the lower first.

    Example:
        >>> ranked(np.array([0.1, -0.9, 0.5])).tolist()
        [1, 2, 0]
    """
    return np.argsort(-np.abs(r), axis=-1, kind="stable")


def _root(variance: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(variance, 0))


# From symbols to tokens


def _behind(per_symbol: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.append(per_symbol, 0)[ends - 1]  # before the first symbol: 0


def _within(
    per_symbol: np.ndarray, lengths: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    total = np.append(0, np.cumsum(per_symbol))
    return total[ends] > total[ends - lengths]


# Features of symbols


def _position(text: str) -> np.ndarray:
    here = np.arange(1, len(text) + 1)
    return here - np.maximum.accumulate(here * _newlines(text))


def _indentation(text: str) -> np.ndarray:
    depths, depth, leading = np.zeros(len(text), np.int64), 0, True
    for t, c in enumerate(text):
        if c == "\n":
            depth, leading = 0, True
        elif leading and c.isspace():
            depth += 1
        else:
            leading = False
        depths[t] = depth
    return depths


def _newlines(text: str) -> np.ndarray:
    return np.array([c == "\n" for c in text], bool)


def _capitals(text: str) -> np.ndarray:
    return np.array([c.isupper() for c in text], bool)


def _word_starts(text: str) -> np.ndarray:
    inside, starts = False, np.zeros(len(text), bool)
    for t, c in enumerate(text):
        is_letter = c.isalnum() or c == "_"
        starts[t] = is_letter and not inside
        inside = is_letter or (inside and c in APOSTROPHES)
    return starts


def _quotes(text: str) -> np.ndarray:
    inside, mark, t = np.zeros(len(text), bool), "", 0  # mark: the one that will close
    while t < len(text):
        width = 1
        if not mark:
            opened = _opens(text, t)
            width, mark = max(1, len(opened)), QUOTES.get(opened, "")
        elif _closes(text, t, mark):
            width, mark = len(mark), ""
        elif len(mark) < 3 and _empty_line(text, t):
            mark = ""
        elif text[t] == "\\":
            width = 2  # what follows closes nothing
        inside[t : t + width] = bool(mark)
        t += width
    return inside


def _opens(text: str, t: int) -> str:
    """The mark that opens a quotation here, if one does."""
    for mark in (text[t : t + 3], text[t]):
        if mark in QUOTES and not (mark == "'" and _in_a_word(text, t)):
            return mark
    return ""


def _closes(text: str, t: int, mark: str) -> bool:
    if not text.startswith(mark, t):
        return False
    return mark != "'" or not text[t + 1 : t + 2].isalnum()


def _in_a_word(text: str, t: int) -> bool:
    """Whether a letter stands before a mark; but b'', f'', r'' and u'' are Python's."""
    before = text[max(0, t - 2) : t]
    is_prefix = before[-1:].lower() in tuple("bfru") and not before[:-1].isalnum()
    return before[-1:].isalnum() and not is_prefix


def _brackets(text: str) -> np.ndarray:
    inside, waiting = np.zeros(len(text), bool), []
    for t, c in enumerate(text):
        if c in BRACKETS:
            waiting.append(BRACKETS[c])
        elif c in waiting:
            while waiting.pop() != c:  # one that was left open in it ends with it
                pass
        elif _empty_line(text, t):
            waiting.clear()
        inside[t] = bool(waiting)
    return inside


def _empty_line(text: str, t: int) -> bool:
    return text[t] == "\n" and text[max(0, t - 1) : t] == "\n"


_STATES: dict[str, Callable[[str], np.ndarray]] = {
    "position": _position,
    "quotes": _quotes,
    "brackets": _brackets,
    "indentation": _indentation,
}
_EVENTS: dict[str, Callable[[str], np.ndarray]] = {
    "word starts": _word_starts,
    "capitals": _capitals,
    "newlines": _newlines,
}
