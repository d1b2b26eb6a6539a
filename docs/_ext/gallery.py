"""The gallery: a page for each experiment, from its docstring and committed results."""

import ast
import json
import re
import shutil
import sys
from pathlib import Path

from docstrings import convert

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
SEPARATE = {  # figures that do not bear the name of their experiment
    "trainability": ["trainability", "trainability_adding"],
    "tiny_shakespeare": [],
}


def rows() -> list:
    """The rows of experiments/README.md: names, groups, findings."""
    sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []
    from experiments import _table

    # an experiment whose results are not committed yet has no page
    there = lambda row: (RESULTS / f"{row.file or row.name}.json").exists()
    return [row for row in _table.ROWS if there(row)]


def groups() -> dict[str, str]:
    """Titles of the groups of experiments."""
    from experiments import _table

    return _table.GROUPS


def question(name: str) -> tuple[str, str]:
    """The first line of an experiment's docstring, and the rest of it."""
    source = (ROOT / "experiments" / f"{name}.py").read_text("utf-8")
    first, _, rest = ast.get_docstring(ast.parse(source)).partition("\n")
    return first, rest.strip("\n")


def figures(name: str) -> list[str]:
    """The committed figures of an experiment."""
    names = SEPARATE.get(name, [name])
    return [n for n in names if (RESULTS / f"{n}.svg").exists()]


def measured(row) -> dict:
    """Configuration and metrics as they were committed."""
    return json.loads((RESULTS / f"{row.file or row.name}.json").read_text("utf-8"))


def found(row) -> str:
    """What came out, as experiments/README.md says it."""
    return row.result(measured(row)["metrics"])


def page(row) -> str:
    """One experiment."""
    title, rest = question(row.name)
    lines = [title, "=" * (len(title) + 2), ""]
    for name in figures(row.name):
        lines += [f".. image:: figures/{name}.svg", "   :class: figure"]
        lines += [f"   :alt: The figure of the experiment {name}", ""]
    lines += convert(rest, lambda name: None)
    lines += [f"**Found:** {plain(found(row))}.", ""]
    lines += [".. code-block:: sh", "", f"   python -m experiments.{row.name}", ""]
    if settings := measured(row).get("config", {}):
        lines += [".. rubric:: Settings", "", ".. code-block:: text", ""]
        lines += [f"   {name}: {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"[\\*|`_]", r"\\\g<0>", text)


def index() -> str:
    """Cards of all experiments, by group."""
    intro = (
        "Each is one file in ``experiments/``: a question, what to expect, a figure. "
        "The figures and numbers are those that are committed in "
        "``experiments/results``, from two CPU cores; nothing runs when this page is "
        "built. ``python -m experiments.NAME`` runs one again."
    )
    lines = ["Gallery", "=======", "", intro, ""]
    for group, title in groups().items():
        lines += [title, "-" * len(title), "", ".. container:: experiments", ""]
        for row in rows():
            if row.group == group:
                lines += card(row)
    short = lambda name: name.replace("_", " ").capitalize()
    names = "\n".join(f"   {short(row.name)} <{row.name}>" for row in rows())
    return "\n".join([*lines, ".. toctree::", "   :hidden:", "", names, ""])


def card(row) -> list[str]:
    """Picture, question and finding."""
    lines = ["   .. container:: experiment", ""]
    for name in figures(row.name)[:1]:
        lines += [
            f"      .. image:: figures/{name}.svg",
            f"         :target: {row.name}.html",
        ]
        lines += [f"         :alt: {row.name}", ""]
    lines += [f"      :doc:`{plain(question(row.name)[0])} <{row.name}>`", ""]
    return [*lines, f"      {plain(found(row))}", ""]


def generate(app) -> None:
    """Write the pages into the source folder, where git ignores them."""
    from reference import write

    folder = Path(app.srcdir) / "gallery"
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for row in rows():
        write(folder / f"{row.name}.rst", page(row))
        for name in figures(row.name):
            shutil.copy2(RESULTS / f"{name}.svg", folder / "figures" / f"{name}.svg")
    write(folder / "index.rst", index())


def setup(app):
    """Generate when a build begins."""
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
