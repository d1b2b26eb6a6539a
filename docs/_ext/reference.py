"""The API reference and the index of cells, from what the package exports."""

import importlib
import inspect
import json
import math
import re
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from docstrings import convert, equations, fields_of, link_of, references, split

import jrnn
import jrnn.models
from jrnn.cell import ChunkwiseStep, DiagonalStep

RESULTS = Path(__file__).parents[2] / "experiments" / "results"

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


def source(sources: list[str]) -> str:
    """Where a cell was published, as its first reference says: an identifier."""
    found = re.search(
        r"arXiv:\d+\.\d+|doi:\S+?(?=,|\.?$)|jmlr\.org\S+\.html", sources[0]
    )
    return found[0] if found else sources[0].split(", ")[-2]


def made(name: str):
    """A cell at H = 128 and the form of its input; convolutions have 128 channels.

    Forms, not arrays: JAX must not start in a process that Sphinx divides.
    """
    factory = getattr(jrnn, name)
    if name.startswith("conv_"):
        return factory((8, 8), 128), jax.ShapeDtypeStruct((8, 8, 128), jnp.float32)
    sizes = {"projected_lstm": (128, 64), "window": (50,)}
    return factory(*sizes.get(name, (128,))), jax.ShapeDtypeStruct((128,), jnp.float32)


def number_of_parameters(name: str) -> int:
    cell, x = made(name)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(cell.init, key, x)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def parallel(name: str) -> str:
    """How many steps of the cell `unroll` can run at once: all, a number, or one."""
    step = made(name)[0].step
    if isinstance(step, ChunkwiseStep):
        return f"{step.length}"
    return "✓" if isinstance(step, DiagonalStep) else ""


def measured(file: str) -> dict:
    """The metrics of an experiment; nothing where it has not been run."""
    path = RESULTS / f"{file}.json"
    return json.loads(path.read_text("utf-8"))["metrics"] if path.exists() else {}


def columns() -> dict[str, dict[str, str]]:
    """The columns of the table of cells: their texts, by head and cell."""
    entries = cells()
    names = [cell.name for cell in entries]
    mark = lambda on: "✓" if on else ""
    found = {
        "year": {c.name: year(c.references) for c in entries},
        "source": {c.name: link_of(source(c.references)) for c in entries},
        "parameters": {n: f"{number_of_parameters(n):,}" for n in names},
        "parallel": {n: parallel(n) for n in names},
    }
    lags = measured("cells").get("gradient_at_lag", {})
    speeds = measured("cell_speed").get("rows", {})
    if lags:
        found["gradient"] = {n: f"{lags[n]:.2g}" if n in lags else "" for n in names}
    if speeds:
        ratio = lambda n: speeds[n]["gradient"]["lax.scan over jrnn"]
        found["speed"] = {n: f"{ratio(n):.2f}" if n in speeds else "" for n in names}
    found["--cell"] = {n: mark(n in jrnn.models.CELLS) for n in names}
    return found


HEAD = """The equations as they stand in the docstrings, in the letters of the code:
``*`` is elementwise, ``x w`` a product of a vector and a matrix. Year and source are
those of the first reference. Parameters are counted at 128 units and inputs
(``projected_lstm``: 64 outputs; ``window``: 50 inputs; convolutions: 128 channels). A
cell marked *parallel* has a recurrence that is linear and diagonal, of which ``unroll``
runs all steps at once off the CPU; of one with a number it runs so many, on every
platform."""
GRADIENT = """*Gradient* is what is left of one after 50 steps back through an
untrained cell on random inputs (``python -m experiments.cells``)."""
SPEED = """*Speed* is the time of a gradient under ``jax.lax.scan`` over that under
``jrnn.scan``, or ``unroll`` for many steps at once (``python -m
experiments.cell_speed``)."""
BY_NAME = """A cell marked ``--cell`` works as ``cell(H)`` on vectors, and so by that
name in ``jrnn train`` and ``jrnn sweep``."""


def cells_page() -> str:
    """All cells: a table, then the equations of each."""
    entries, found = cells(), columns()
    notes = {"year": HEAD, "gradient": GRADIENT, "speed": SPEED, "--cell": BY_NAME}
    text = " ".join(note for column, note in notes.items() if column in found)
    lines = ["Cells by name", "=============", "", text, ""]
    lines += [".. list-table::", "   :header-rows: 1", "   :class: cells", ""]
    rows = [["cell", *("``--cell``" if n == "--cell" else n for n in found)]]
    rows += [
        [
            f":ref:`{c.name} <cell-{c.name}>`",
            *(texts[c.name] for texts in found.values()),
        ]
        for c in entries
    ]
    for first, *rest in rows:
        lines += [f"   * - {first}", *(f"     - {text}".rstrip() for text in rest)]
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
