"""The page: what was found, in one HTML file that needs nothing else.

Texts are written as JSON in which no character can end the element that holds it, and
numbers in base64. Both are data to the browser. What it runs is the page's own script
only, of which the head of the page states the digest.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jax.typing import ArrayLike

from jrnn import _page
from jrnn.inspect.ablate import Effect
from jrnn.inspect.arrays import encoded
from jrnn.inspect.contents import contents
from jrnn.inspect.record import Recording
from jrnn.text import Vocabulary
from jrnn.train.checkpoint import write_atomically

_IN_BASE64 = 4 / 3
_TEMPLATE = 80_000  # bytes, about
SCRIPTS = tuple(f"{n}.js" for n in "data text draw panels choices start".split())


def write_page(
    path: str | Path,
    recording: Recording,
    tokens: ArrayLike,
    vocabulary: Vocabulary,
    *,
    title: str,
    facts: Sequence[str] = (),
    effects: Sequence[Effect] | None = None,
    measured: int = 0,
    megabytes: int = 50,
) -> int:
    """Write an HTML page that shows the units of a language model along a text.

    The file holds all that it needs and asks for nothing: it can be opened from a disk,
    sent by mail, or put on any server. States and gates are kept in eight bits.

    Args:
        path: the file; one of that name is replaced.
        recording: of the text, by `record_text`.
        tokens: the text (N,) that was recorded.
        vocabulary: what its tokens stand for.
        title: what the page is called.
        facts: what else its head says, such as the name of the text.
        effects: of units set to zero, by `jrnn.inspect.effects`; not shown if None.
        measured: tokens on which they were measured, for the explanation.
        megabytes: about how large the file may be. Where that is too little for all
            units, those are kept that follow the text most or matter most; see
            `jrnn.inspect.choose`.

    Returns:
        The size of the file, in bytes.

    Raises:
        ValueError: tokens of another number than were recorded.
        OSError: the file cannot be written; an old one is as it was.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp, jrnn
        >>> from jrnn.inspect import record_text
        >>> from jrnn.text import build_vocabulary, encode
        >>> words = build_vocabulary("hello")
        >>> model = jrnn.stack(jrnn.one_hot(4), jrnn.gru(8), jrnn.linear(4))
        >>> params, tokens = model.init(jax.random.key(0), 0), encode(words, "hello")
        >>> seen = record_text(model, params, tokens)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = write_page(f"{folder}/a.html", seen, tokens, words, title="a")
        ...     size == Path(f"{folder}/a.html").stat().st_size
        True
    """
    tokens = np.asarray(tokens)
    if tokens.shape != recording.nats.shape:
        raise ValueError(
            f"write_page: the recording is of {len(recording.nats)} tokens, got "
            f"tokens of shape {tokens.shape}."
        )
    # besides units each token has some 25 bytes: itself, its loss, what was guessed
    room = max(0, int((megabytes * 1e6 - _TEMPLATE) / _IN_BASE64) - 25 * len(tokens))
    shown = contents(recording, tokens, vocabulary, effects, room)
    about = {"title": title, "measured": measured, **shown.about}
    data = "\n".join(
        [
            _page.json_element("about", about),
            *(_array(*item) for item in shown.arrays.items()),
        ]
    )
    page = _page.page(
        _page.read("jrnn.inspect", ["page.html"]),
        title=title,
        facts=facts,
        style=_page.style("jrnn.inspect"),
        script=_page.read("jrnn.inspect", SCRIPTS),
        data=data,
    )
    write_atomically(path, page)
    return len(page)


def _array(name: str, array: np.ndarray) -> str:
    kind, text = encoded(array)
    return f'<script type="text/plain" id="a-{name}" data-kind="{kind}">{text}</script>'
