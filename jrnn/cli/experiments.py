"""`jrnn experiments`: what can be run from the source tree, and how."""

import ast
from pathlib import Path

import rich.box
from rich.table import Table

from jrnn.cli.config import Experiments
from jrnn.cli.display import Console
from jrnn.cli.errors import UserError


def experiments(options: Experiments) -> None:
    """Run the command."""
    folder = find(options.folder)
    console = Console()
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("experiment", style="bold", no_wrap=True)
    table.add_column("question")
    for path in sorted(folder.glob("[a-z]*.py")):
        table.add_row(path.stem, question(path))
    console.print(table)
    where = folder.resolve().parent
    here = "" if where == Path.cwd() else f" in {where}"
    console.print(f"Run one{here}: python -m experiments.NAME (--help explains it).")


def find(folder: Path | None) -> Path:
    """The folder of experiments: as given, here, or beside the package's source."""
    if folder is not None:
        candidates = [folder, folder / "experiments"]
    else:
        source = Path(__file__).parents[2]
        candidates = [Path("experiments"), source / "experiments"]
    for candidate in candidates:
        if (candidate / "_table.py").exists():
            return candidate
    raise UserError(
        "the experiments are not here. They are part of jrnn's source tree and not of "
        "the installed package: run this in a clone of it, or name it with --folder."
    )


def question(path: Path) -> str:
    """First line of a file's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.partition("\n")[0]
