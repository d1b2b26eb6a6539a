"""A corpus that every Python brings along."""

import platform
from collections.abc import Iterable
from typing import NamedTuple


class Corpus(NamedTuple):
    """A text and where it comes from."""

    text: str
    source: str


def python_reference() -> Corpus:
    """Give the text of the Python language reference, without a download.

    Every Python carries the parts of its reference that `help()` shows, in the module
    `pydoc_data.topics`. They are joined in alphabetical order of their names, a blank
    line and a line of 70 `=` between them. The reference says many things under several
    names, which would put the same sentences into the training and the held-out part:
    a paragraph of 40 characters or more from an earlier topic is left out, and so is
    a topic of which that would take half. The text differs between Python versions.

    Returns:
        `Corpus(text, source)`; the source names the Python implementation and version.

    Raises:
        OSError: this Python was installed without that module.

    Example:
        >>> corpus = python_reference()
        >>> len(corpus.text) > 300_000, "CPython" in corpus.source
        (True, True)
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise OSError(
            "python_reference: this Python has no pydoc_data.topics, the built-in "
            "corpus.\nInstall the complete standard library, or train on a file."
        ) from error
    parts = list(_without_repetition(topics[name] for name in sorted(topics)))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return Corpus(
        text=f"\n\n{'=' * 70}\n\n".join(parts) + "\n",
        source=f"Python language reference ({len(parts)} topics) of {python}",
    )


def _without_repetition(texts: Iterable[str]) -> Iterable[str]:
    seen: set[str] = set()
    for text in texts:
        paragraphs = [p for p in text.strip().split("\n\n") if p not in seen]
        left = "\n\n".join(paragraphs)
        if 2 * len(left) > len(text):
            seen.update(p for p in paragraphs if len(p) >= 40)
            yield left
