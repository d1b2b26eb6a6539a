"""A page out of its template: in one HTML file that needs nothing else.

Numbers are written in base64; all else is as in `jrnn._page`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jrnn import _page
from jrnn.inspect.arrays import encoded
from jrnn.inspect.layer_contents import Contents
from jrnn.train.checkpoint import write_atomically

_IN_BASE64 = 4 / 3
_TEMPLATE = 80_000  # bytes, about
_PARTS = "controls", "reader", "here", "reading"


class Template(NamedTuple):
    """One kind of page: a folder with parts of HTML, and scripts in their order."""

    folder: str
    scripts: tuple[str, ...]


_SHARED = "data", "glyphs", "colours", "panels", "choices", "start"
_OF_TEXT = "text", "draw", "here", "moves", "begin"
_OF_EXAMPLES = "examples", "axis", "lanes", "texts", "states", "here", "moves", "begin"
TEXT = Template("text", (*_SHARED, *(f"text/{n}" for n in _OF_TEXT)))
EXAMPLES = Template("examples", (*_SHARED, *(f"examples/{n}" for n in _OF_EXAMPLES)))


def room_of(megabytes: int, others: int) -> int:
    """How many bytes a page of that size has for units.

    Args:
        megabytes: about how large the file may be.
        others: bytes of what else it holds.

    Returns:
        Bytes, before they are written in base64.

    Example:
        >>> room_of(1, 100_000)
        590000
    """
    return max(0, int((megabytes * 1e6 - _TEMPLATE) / _IN_BASE64) - others)


def write_filled(
    path: str | Path, kind: Template, title: str, facts: Sequence[str], shown: Contents
) -> int:
    """Write a page.

    Args:
        path: the file; one of that name is replaced.
        kind: of the page.
        title: what it is called.
        facts: what else its head says.
        shown: what it holds.

    Returns:
        The size of the file, in bytes.

    Raises:
        OSError: the file cannot be written; an old one is as it was.
    """
    arrays = (_array(*item) for item in shown.arrays.items())
    parts = {name: _own(f"{kind.folder}/{name}.html") for name in _PARTS}
    page = _page.page(
        _page.filled(_own("body.html"), parts),
        keys=_own(f"{kind.folder}/keys.html"),
        made_by="jrnn inspect",
        drawn="what it shows",
        title=title,
        facts=facts,
        style=_page.style("jrnn.inspect", ["page.css", f"{kind.folder}/page.css"]),
        script=_own(*(f"{name}.js" for name in kind.scripts)),
        data="\n".join([_page.json_element("about", shown.about), *arrays]),
    )
    write_atomically(path, page)
    return len(page)


def _own(*names: str) -> str:
    return _page.read("jrnn.inspect", names)


def _array(name: str, array: np.ndarray) -> str:
    kind, text = encoded(array)
    return f'<script type="text/plain" id="a-{name}" data-kind="{kind}">{text}</script>'
