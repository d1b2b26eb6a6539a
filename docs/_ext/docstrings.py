"""Docstrings of jrnn as reStructuredText, for Sphinx's autodoc.

A docstring is one line, prose, indented equations, and sections (see CONTRIBUTING.md).
Equations become literal blocks, line for line; names between backticks become links
where the reference has them; and the rest is plain text, in which `*`, `|` and `_` mean
themselves.
"""

import inspect
import re
import textwrap

SECTIONS = "Args", "Returns", "Raises", "Yields", "Example", "References"
_SECTION = re.compile(rf"({'|'.join(SECTIONS)}):$")
_ENTRY = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): ?(.*)")
_SPAN = re.compile(r"(``[^`]+``|`[^`]+`)")


def convert(text: str, link) -> list[str]:
    """reStructuredText of a docstring; `link` gives a name's whole name, or None."""
    head, sections = split(inspect.cleandoc(text))
    lines = prose(head, link)
    for name, body in sections:
        lines += ["", *WRITERS[name](body, link)]
    return [*lines, ""]


def split(text: str) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """What is before the first section, and the sections by name."""
    parts = [("", [])]
    for line in text.splitlines():
        if found := _SECTION.match(line):
            parts.append((found[1], []))
        else:
            parts[-1][1].append(line)
    dedented = [(n, textwrap.dedent("\n".join(b)).splitlines()) for n, b in parts]
    return dedented[0][1], dedented[1:]


def equations(text: str) -> list[str]:
    """The indented blocks of a docstring before its first section."""
    head, _ = split(inspect.cleandoc(text))
    blocks = [block for kind, block in blocks_of(head) if kind == "literal"]
    return ["\n".join(textwrap.dedent("\n".join(b)).splitlines()) for b in blocks]


def blocks_of(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Paragraphs, each "text", "list", "doctest" or "literal"; literals are joined."""
    found: list[tuple[str, list[str]]] = []
    for block in re.split(r"\n[ ]*\n", "\n".join(lines).strip("\n")):
        rows = block.splitlines()
        if not rows:
            continue
        if rows[0].lstrip().startswith(">>>"):
            kind = "doctest"
        elif rows[0].startswith(" "):
            kind = "literal"
        else:
            kind = "list" if re.match(r"(\*|-|\d+\.) ", rows[0]) else "text"
        if kind == "literal" and found and found[-1][0] == "literal":
            found[-1][1].extend(["", *rows])
        else:
            found.append((kind, rows))
    return found


def prose(lines: list[str], link) -> list[str]:
    """Text with its equations, lists and examples."""
    out: list[str] = []
    for kind, rows in blocks_of(lines):
        if kind == "literal":
            language = "python" if rows[0].lstrip().startswith("import ") else "text"
            out += ["", f".. code-block:: {language}", "", *indented(dedent(rows))]
        elif kind == "doctest":
            out += ["", *dedent(rows)]
        else:
            out += ["", *plain(rows, link)]
    return out


def plain(rows: list[str], link) -> list[str]:
    """Lines of prose; a row that begins an item begins a list."""
    out, in_list = [], False
    for row in escaped("\n".join(rows), link).splitlines():
        item = re.match(r"(\s*)(?:\\\*|-|\d+\.) ", row)
        if item and not in_list:
            out.append("")
        in_list = in_list or bool(item)
        out.append(re.sub(r"^(\s*)\\\* ", r"\1* ", row))
    return out


def escaped(text: str, link) -> str:
    """Prose with what reStructuredText would read as markup made plain."""
    parts = _SPAN.split(text)
    for n, part in enumerate(parts):
        if n % 2:
            before = r"\ " if re.search(r"\w$", parts[n - 1]) else ""
            parts[n] = before + code(" ".join(part.strip("`").split()), link)
        else:
            part = part.replace("\\", r"\\")
            part = re.sub(r"[*|`]", r"\\\g<0>", part)
            part = re.sub(r"(?<=\w)_(?!\w)", r"\\_", part)
            part = re.sub(r"arXiv:(\d{4}\.\d{4,5})", _ARXIV, part)
            parts[n] = re.sub(r"doi:(10\.\S+?)(?=[,.;]?(\s|$))", _DOI, part)
    return "".join(parts)


_ARXIV = r"`arXiv:\1 <https://arxiv.org/abs/\1>`__"
_DOI = r"`doi:\1 <https://doi.org/\1>`__"


def code(name: str, link) -> str:
    """Code, linked if the reference has it."""
    whole = link(re.sub(r"\(.*\)$", "", name))
    return f":py:obj:`{name} <{whole}>`" if whole else f"``{name}``\\ "


def dedent(rows: list[str]) -> list[str]:
    return textwrap.dedent("\n".join(rows)).splitlines()


def indented(rows: list[str]) -> list[str]:
    return [f"   {row}" if row else "" for row in rows]


def entries(body: list[str]) -> list[tuple[str, list[str]]]:
    """`name: text` and the indented lines behind it."""
    found: list[tuple[str, list[str]]] = []
    for line in body:
        entry = _ENTRY.match(line)
        if entry and not line.startswith(" "):
            found.append((entry[1], [entry[2]]))
        elif found:
            found[-1][1].append(line)
        else:  # not of the form
            found.append(("", [line]))
    return found


def _fields(kind: str):
    def write(body, link):
        out = []
        for names, rows in entries(body):
            rows = [rows[0], *dedent(rows[1:])]
            text = [row for row in prose(rows, link) if row] or [""]
            names = names.replace("*", r"\*")
            out += [f":{kind} {names}: {text[0]}", *indented(text[1:])]
        return out

    return write


def _returns(body, link):
    text = prose(body, link)[1:]
    return [f":returns: {text[0]}", *indented(text[1:])]


def _example(body, link):
    return [".. rubric:: Example", *prose(body, link)]


def references(body: list[str]) -> list[str]:
    """One string for each source: a line that ends a sentence ends a source."""
    found = [""]
    for line in (line.strip() for line in body if line.strip()):
        begun = re.match(r"[A-Z][^()]*(\(\d{4}\)|,$)", line)
        if found[-1].endswith(".") and begun:
            found.append("")
        found[-1] = f"{found[-1]} {line}".strip()
    return found


def _references(body, link):
    items = [f"* {escaped(source, link)}" for source in references(body)]
    return [".. rubric:: References", "", *items]


WRITERS = {
    "Args": _fields("param"),
    "Returns": _returns,
    "Yields": _returns,
    "Raises": _fields("raises"),
    "Example": _example,
    "References": _references,
}


def fields_of(cls: type) -> list[str]:
    """The fields of a NamedTuple or dataclass with their comments, as in the source."""
    body = inspect.getsource(cls).splitlines()
    field = re.compile(r"    \w+: .*")
    at = [n for n, line in enumerate(body) if field.fullmatch(line)]
    rows = body[at[0] : at[-1] + 1] if at else []
    inside = [r for r in rows if field.fullmatch(r) or r.strip().startswith(("#", '"'))]
    return dedent(inside)


def link_of(source: str) -> str:
    """An identifier or an address as a link, and other sources as they are."""
    if source.startswith("jmlr.org"):
        return f"`JMLR <https://{source}>`__"
    if source.startswith("doi:"):
        return f"`DOI <https://doi.org/{source.removeprefix('doi:')}>`__"
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", _ARXIV, source)
