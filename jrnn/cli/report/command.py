"""The command: read what is named, write the page, say what it holds."""

from pathlib import Path
from typing import Any

from jrnn import _page
from jrnn.cli.config import Report
from jrnn.cli.display import Console, two_columns
from jrnn.cli.errors import UserError
from jrnn.cli.page import destination
from jrnn.cli.report.contents import contents, names_of
from jrnn.cli.report.runs import Reported, read_run
from jrnn.cli.report.sweeps import FILES, is_sweep, read_sweep
from jrnn.cli.run import RunDirectory
from jrnn.cli.words import plain_errors
from jrnn.train.checkpoint import write_atomically

PACKAGE = "jrnn.cli.report"
SCRIPTS = tuple(f"{n}.js" for n in "data axes curves tables sweeps start".split())


def report(options: Report) -> None:
    """Run the command."""
    paths = list({path.resolve(): path for path in options.runs}.values())
    if not paths:
        raise UserError("Name what to show: jrnn report RUN ...")
    own = [p for path in paths for p in (*RunDirectory(path).files, path)]
    own += [path / name for path in paths for name in FILES]
    page = destination(options.out, own, overwrite=options.overwrite)
    runs, sweeps = [], []
    for path, name in zip(paths, names_of(paths), strict=True):
        _check(path)
        if is_sweep(path) and not RunDirectory(path).config.exists():
            sweeps.append(read_sweep(path, name))
        else:
            runs.append(read_run(path, name))
    with plain_errors(OSError):
        size = write(page, runs, sweeps)
    rows = [("runs", str(len(runs))), ("sweeps", str(len(sweeps)))]
    rows = [row for row in rows if row[1] != "0"]
    rows.append(("page", f"{size / 1e6:.2f} MB"))
    console = Console(highlight=False)
    console.print(two_columns(str(page), rows))
    for note in contents(runs, sweeps)["notes"]:
        console.print(note, markup=False, soft_wrap=True)
    console.print("Open it in any browser; it needs no network.")


def write(page: Path, runs: list[Reported], sweeps: list[dict[str, Any]]) -> int:
    """Write the page; returns its size in bytes."""
    data = contents(runs, sweeps)
    text = _page.page(
        _page.read(PACKAGE, ["body.html"]),
        keys=_page.read(PACKAGE, ["keys.html"]).rstrip("\n"),
        made_by="jrnn report",
        drawn="its curves",
        title=_title([run.name for run in runs] + [sweep["name"] for sweep in sweeps]),
        facts=_facts(runs, sweeps),
        style=_page.style(PACKAGE),
        script=_page.read(PACKAGE, SCRIPTS),
        data=_page.json_element("about", data),
    )
    write_atomically(page, text)
    return len(text)


def _title(names: list[str]) -> str:
    if len(names) > 4:
        return f"{names[0]} and {len(names) - 1} others"
    return ", ".join(names)


def _facts(runs: list[Reported], sweeps: list[dict[str, Any]]) -> list[str]:
    """What the head of the page says."""
    facts = []
    if runs:
        commands = dict.fromkeys(f"jrnn {run.command}" for run in runs)
        facts.append(f"{_many(len(runs), 'run')} of {', '.join(commands)}")
        sources = dict.fromkeys(run.settings["data"] for run in runs)
        facts.append(", ".join(sources))
    if sweeps:
        count = sum(len(sweep["rows"]) + sweep["left_out"] for sweep in sweeps)
        facts.append(f"{_many(len(sweeps), 'sweep')} of {count} configurations")
    return facts


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _check(path: Path) -> None:
    """Raise `UserError` where this is neither a run nor a sweep."""
    if not path.exists():
        raise UserError(f"There is no run at {path}.")
    if not path.is_dir():
        raise UserError(f"{path} is a file. Name the directory of a run or of a sweep.")
    if is_sweep(path) or RunDirectory(path).config.exists():
        return
    inside = sorted(p for p in path.iterdir() if p.is_dir() and _is_shown(p))
    if inside:
        raise UserError(
            f"{path} is no run, but holds {_many(len(inside), 'run')}. Name them: "
            f"jrnn report {inside[0]} ..., or {path}/* for all."
        )
    raise UserError(f"{path} is neither a run nor a sweep: it has no config.json.")


def _is_shown(path: Path) -> bool:
    return is_sweep(path) or RunDirectory(path).config.exists()
