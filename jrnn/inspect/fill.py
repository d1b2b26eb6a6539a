"""A page out of its template: in one HTML file that needs nothing else.

Texts are written as JSON in which no character can end the element that holds it, and
numbers in base64. Both are data to the browser. What it runs is the page's own script
only, of which the head of the page states the digest.
"""

import base64
import hashlib
import html
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jrnn.inspect.arrays import encoded
from jrnn.inspect.layer_contents import Contents
from jrnn.train.checkpoint import write_atomically

_IN_BASE64 = 4 / 3
_TEMPLATE = 80_000  # bytes, about
_PARTS = "controls", "reader", "here", "reading", "keys"


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
    data = "\n".join([_json("about", shown.about), *arrays])
    script = "\n".join(_own(f"{name}.js") for name in kind.scripts)
    style = _own("page.css") + _own(f"{kind.folder}/page.css")
    parts = {name: _own(f"{kind.folder}/{name}.html") for name in _PARTS}
    page = _filled(
        _filled(_own("page.html"), parts),  # parts have no names to fill in
        {
            "title": html.escape(title),
            "facts": "".join(f"<li>{html.escape(fact)}</li>" for fact in facts),
            "policy": _policy(script, style),
            "style": style,
            "data": data,
            "script": script,
        },
    ).encode("utf-8", "replace")  # the name of a file may hold bytes that are no text
    write_atomically(path, page)
    return len(page)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A template with `{{name}}` replaced, once: what comes in is not looked at."""
    replaced = lambda match: values.get(match[1], match[0])
    return re.sub(r"\{\{(\w+)\}\}", replaced, template)


def _own(name: str) -> str:
    files = importlib.resources.files("jrnn.inspect") / "template"
    return (files / name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """What a browser may do with the page: run this script, and fetch nothing."""
    digest = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest())
    return (
        f"default-src 'none'; script-src 'sha256-{digest(script).decode()}'; "
        f"style-src 'sha256-{digest(style).decode()}'; img-src data:"
    )


def _json(name: str, data: Any) -> str:
    """Data that only `JSON.parse` reads; an element of it cannot be ended from within.

    Every character beyond ASCII is escaped, and so are those with which HTML begins.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _array(name: str, array: np.ndarray) -> str:
    kind, text = encoded(array)
    return f'<script type="text/plain" id="a-{name}" data-kind="{kind}">{text}</script>'
