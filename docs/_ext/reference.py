"""The API reference and the index of cells, from what the package exports."""

import importlib
import inspect
import re
from pathlib import Path
from typing import NamedTuple

from docstrings import convert, equations, fields_of, references, split

import jrnn
import jrnn.models

PARTS = {  # names of `jrnn` itself, by the module that defines them
    "core": ("Cells and models", ("cell", "sequence", "unroll", "combine")),
    "cells": ("Recurrent cells", ("cells",)),
    "layers": ("Layers", ("layers", "sequence_layers")),
    "wrappers": ("Wrappers", ("wrappers", "feedback")),
    "loop": ("The loop", ("scan",)),
    "files": ("Model files", ("files",)),
}


class Page(NamedTuple):
    """A page of the reference."""

    module: str
    title: str
    names: tuple[str, ...]


def pages() -> dict[str, Page]:
    """The pages of the reference by file name; every public name is on one."""
    found = {}
    here = {n: getattr(jrnn, n) for n in (*jrnn.__all__, "load", "register", "save")}
    names = {n: v for n, v in here.items() if not inspect.ismodule(v)}
    for page, (title, modules) in PARTS.items():
        mine = [n for n, v in names.items() if v.__module__.split(".")[1] in modules]
        found[page] = Page("jrnn", title, tuple(sorted(set(mine), key=_order)))
    for name in sorted(set(dir(jrnn)) - {"__version__", "files"}):
        module = getattr(jrnn, name)
        if inspect.ismodule(module):
            found[name] = Page(f"jrnn.{name}", f"jrnn.{name}", public(module))
            for inner in public(module, modules=True):
                inner = importlib.import_module(f"jrnn.{name}.{inner}")
                title = inner.__name__
                found[title.removeprefix("jrnn.")] = Page(title, title, public(inner))
    return found


def _order(name: str) -> tuple[bool, str]:
    return name[0].isupper(), name.lower()


def public(module, *, modules: bool = False) -> tuple[str, ...]:
    """Names that a module has to offer: functions first, then classes."""
    names = getattr(module, "__all__", None) or [
        n
        for n, v in vars(module).items()
        if not n.startswith("_") and getattr(v, "__module__", None) == module.__name__
    ]
    kept = [n for n in names if inspect.ismodule(getattr(module, n)) == modules]
    return tuple(sorted(kept, key=_order))


class Link:
    """From a name in a docstring to the whole name that the reference has it under."""

    def __init__(self, found: dict[str, Page]):
        self.known = {f"{p.module}.{n}" for p in found.values() for n in p.names}
        self.known |= {p.module for p in found.values() if p.module != "jrnn"}

    def __call__(self, name: str, where: str = "jrnn") -> str | None:
        while where:
            for whole in (f"{where}.{name}", name):
                if whole in self.known:
                    return whole
            where = where.rpartition(".")[0]
        return None


def rst(name: str, page: Page) -> str:
    """The source of a page."""
    lines = [page.title, "=" * len(page.title), ""]
    if page.module != "jrnn":
        lines += [f".. automodule:: {page.module}", "   :no-members:", ""]
    elif name == "loop":
        lines += ["What a cell runs in, and a form of `jax.lax.scan` for any step.", ""]
    lines += [f".. currentmodule:: {page.module}", ""]
    module = importlib.import_module(page.module)
    for each in page.names:
        value = getattr(module, each)
        if inspect.isclass(value):
            lines += [f".. autoclass:: {each}", *members(value), ""]
        elif inspect.isroutine(value):
            lines += [f".. autofunction:: {each}", ""]
        else:
            lines += [f".. autodata:: {each}", "   :no-value:", ""]
    return "\n".join(lines)


def members(cls: type) -> list[str]:
    """Methods and properties of a class that are its own and have a docstring."""
    mine = {n: v for n, v in vars(cls).items() if not n.startswith("_")}
    described = [
        n
        for n, v in mine.items()
        if (callable(v) or isinstance(v, property)) and inspect.getdoc(v)
    ]
    return [f"   :members: {', '.join(described)}"] if described else []


def index(found: dict[str, Page]) -> str:
    """The first page of the reference."""
    lines = ["Reference", "=========", ""]
    lines += ["Every public name, from the docstrings: what ``help(name)`` shows.", ""]
    groups = {
        "Cells and what is made of them": ["core", "cells", "layers", "wrappers"],
        "Running, keeping": ["loop", "files"],
    }
    rest = [name for name in found if not any(name in g for g in groups.values())]
    for title, names in {**groups, "Modules": rest}.items():
        lines += [".. toctree::", "   :maxdepth: 1", f"   :caption: {title}", ""]
        lines += [f"   {name}" for name in names] + [""]
    return "\n".join(lines)


# The index of cells


class Entry(NamedTuple):
    """A cell in the index."""

    name: str
    summary: str
    equations: str
    params: str
    references: list[str]


def cells() -> list[Entry]:
    """Every factory of `jrnn.cells`, by name."""
    factories = {
        name: getattr(jrnn, name)
        for name in jrnn.cells.__all__
        if inspect.isfunction(getattr(jrnn, name)) and name != "ridge_readout"
    }
    return [entry(name, factory) for name, factory in factories.items()]


def entry(name: str, factory) -> Entry:
    """A cell by its docstring."""
    text = inspect.getdoc(factory)
    sections = dict(split(text)[1])
    params = re.search(r"`(\w+Params)`", " ".join(sections["Returns"]))
    return Entry(
        name,
        text.partition("\n")[0],
        "\n\n".join(equations(text)),
        params[1] if params else "",
        references(sections["References"]) if "References" in sections else [],
    )


def year(sources: list[str]) -> str:
    found = re.search(r"\((\d{4})\)", sources[0]) if sources else None
    return found[1] if found else ""


def cells_page() -> str:
    """All cells with their equations."""
    entries = cells()
    lines = [
        "Cells by name",
        "=============",
        "",
        "The equations as they stand in the docstrings, in the letters of the code: "
        "``*`` is elementwise, ``x w`` a product of a vector and a matrix. A cell with "
        "a mark works as ``cell(H)`` on vectors, and so in ``jrnn train --cell``.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 30 8 10 52",
        "",
        "   * - cell\n     - year\n     - ``--cell``\n     - ",
    ]
    for cell in entries:
        mark = "✓" if cell.name in jrnn.models.CELLS else " "
        lines += [
            f"   * - :ref:`{cell.name} <cell-{cell.name}>`",
            f"     - {year(cell.references)}\n     - {mark}\n     - {cell.summary}",
        ]
    link = Link(pages())
    for cell in entries:
        lines += ["", f".. _cell-{cell.name}:", "", cell.name, "-" * len(cell.name), ""]
        params = f"Parameters: :py:obj:`{cell.params} <jrnn.{cell.params}>`. "
        lines += [cell.summary, "", ".. code-block:: text", ""]
        lines += [f"   {row}".rstrip() for row in cell.equations.splitlines()]
        lines += [
            "",
            (params if cell.params else "") + "Arguments and differences from ",
        ]
        lines[-1] += f"other libraries: :py:obj:`jrnn.{cell.name}`."
        lines += convert("\n\nReferences:\n    " + "\n    ".join(cell.references), link)
    return "\n".join(lines) + "\n"


# Sphinx


def on_docstring(app, what, name, obj, options, lines) -> None:
    """Replace a docstring by reStructuredText."""
    link = app.jrnn_link
    if what == "data":  # a dictionary's own docstring says what a dictionary is
        lines[:] = []
        return
    own = inspect.getdoc(obj) if what != "class" else obj.__dict__.get("__doc__") or ""
    where = name if what == "module" else name.rpartition(".")[0]
    lines[:] = convert(own or "", lambda n: link(n, where))
    if what == "class" and hasattr(obj, "_fields"):
        if own.startswith(f"{obj.__name__}("):  # made by NamedTuple, says nothing
            lines[:] = []
        lines += [".. code-block:: python", ""]
        lines += [f"   {row}" for row in fields_of(obj)] + [""]


def on_signature(app, what, name, obj, options, signature, returned):
    """A NamedTuple's fields stand below it with their comments."""
    if what == "class" and hasattr(obj, "_fields"):
        return f"({', '.join(obj._fields)})", None
    return None


def write(path: Path, text: str) -> None:
    """Only if it is new, so that Sphinx reads again what has changed only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def generate(app) -> None:
    """Write the pages into the source folder, where git ignores them."""
    found = pages()
    app.jrnn_link = Link(found)
    root = Path(app.srcdir)
    for name, page in found.items():
        write(root / "api" / f"{name}.rst", rst(name, page))
    write(root / "api" / "index.rst", index(found))
    write(root / "cells.rst", cells_page())


def setup(app):
    """Connect the generators and the converter of docstrings."""
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-process-signature", on_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
