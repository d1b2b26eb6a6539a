"""Pages of HTML that need nothing else and run nothing but their own script.

What a page shows is written as JSON in which no character can end the element that
holds it: data to the browser. The head of the page states the digest of the only script
and the only style that may be used, and forbids to fetch anything.
"""

import base64
import hashlib
import html
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any


def read(package: str, names: Sequence[str]) -> str:
    """Files of the folder `template` of a package, one after the other."""
    folder = importlib.resources.files(package) / "template"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def style(package: str, names: Sequence[str] = ("page.css",)) -> str:
    """The rules that all pages have, and then those of a package's own."""
    return read("jrnn._page", ["base.css"]) + read(package, names)


def page(
    body: str,
    *,
    keys: str,
    made_by: str,
    drawn: str,
    title: str,
    facts: Sequence[str],
    style: str,
    script: str,
    data: str,
) -> bytes:
    """The page with this body.

    Args:
        body: HTML, what lies between the head of the page and its data.
        keys: HTML, what the keys do: terms and descriptions.
        made_by: the command that makes such pages.
        drawn: what the script draws, for browsers that do not run it.
        title: what the page is called.
        facts: what else its head says.
        style: all rules, which the policy lets pass.
        script: all that runs.
        data: elements made by `json_element` and the like.
    """
    values = {
        "body": body,
        "keys": keys,
        "made_by": made_by,
        "drawn": drawn,
        "title": html.escape(title),
        "facts": "".join(f"<li>{html.escape(fact)}</li>" for fact in facts),
        "policy": _policy(script, style),
        "style": style,
        "data": data,
        "script": script,
    }
    text = filled(read("jrnn._page", ["page.html"]), values)
    # the name of a file may hold bytes that are no text, and NUL is none in HTML
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace")


def json_element(name: str, data: Any) -> str:
    """Data that only `JSON.parse` reads; an element of it cannot be ended from within.

    Every character beyond ASCII is escaped, and so are those with which HTML begins.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with `{{name}}` replaced, once: what comes in is not looked at.

    Places without a value stay, to be filled later.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda m: values.get(m[1], m[0]), template)


def _policy(script: str, style: str) -> str:
    """What a browser may do with the page: run this script, and fetch nothing."""
    digest = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest())
    return (
        f"default-src 'none'; script-src 'sha256-{digest(script).decode()}'; "
        f"style-src 'sha256-{digest(style).decode()}'; img-src data:"
    )
