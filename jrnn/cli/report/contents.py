"""All that a page holds: what was read, and what is to be said of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jrnn.cli.report.curves import label
from jrnn.cli.report.runs import Reported

PERCENT = ("accuracy", "exact match", "macro f1", "coverage", "token accuracy")
LARGER = ("accuracy", "exact match", "macro f1", "token accuracy")  # is better
SMALLER = ("loss", "bits", "perplexity", "error")


def names_of(paths: Sequence[Path]) -> list[str]:
    """What runs are called: the ends of their paths by which they differ.

    Example:
        >>> names_of([Path("a/x"), Path("b/x"), Path("b/y")])
        ['a/x', 'b/x', 'y']
    """
    parts = [path.resolve().parts for path in paths]
    names = []
    for own in parts:
        others = [other for other in parts if other != own]
        n = 1
        while n < len(own) and any(other[-n:] == own[-n:] for other in others):
            n += 1
        names.append(str(Path(*own[-n:])))
    return names


def contents(runs: Sequence[Reported], sweeps: Sequence[dict[str, Any]]) -> dict:
    """What the script of the page reads."""
    figures = list(dict.fromkeys(name for run in runs for name in _figures(run)))
    figures.sort(key=lambda name: _group(name))
    return {
        "runs": [_run(run) for run in runs],
        "sweeps": list(sweeps),
        "groups": _groups(runs),
        "settings": list(dict.fromkeys(name for run in runs for name in run.settings)),
        "figures": [_figure(name) for name in figures],
        "notes": _notes(runs),
        "comparable": not _differences(runs),
    }


def _run(run: Reported) -> dict[str, Any]:
    data = run._asdict()
    return {name: data[name] for name in data.keys() - {"data", "parts", "predicted"}}


def _figures(run: Reported) -> list[str]:
    """Names of its figures, and of those of trivial answers to its test part."""
    of_test = [f"test {name}" for some in run.baselines.values() for name in some]
    return [*run.figures, *of_test]


def _group(name: str) -> int:
    """Test before validation before training, and last what is no measurement."""
    heads = ("test ", "validation ", "training ", "best ")
    return next((n for n, head in enumerate(heads) if name.startswith(head)), 9)


def _figure(name: str) -> dict[str, Any]:
    """A column of the table of figures."""
    ends = lambda words: any(name.endswith(word) for word in words)
    better = "larger" if ends(LARGER) else "smaller" if ends(SMALLER) else None
    better = None if name.startswith("training") else better  # it is not the aim
    return {"name": name, "percent": ends(PERCENT), "better": better}


def _groups(runs: Sequence[Reported]) -> list[dict[str, Any]]:
    """What can be drawn together: the loss of both parts, and each other curve."""
    names = dict.fromkeys(name for run in runs for name in run.curves)
    both = [name for name in ("loss", "valid_loss") if name in names]
    found = [{"key": "loss", "label": "loss", "parts": both}] if both else []
    rest = [name for name in names if name not in both]
    return found + [{"key": n, "label": label(n), "parts": [n]} for n in rest]


def _differences(runs: Sequence[Reported]) -> list[str]:
    """Why losses of these runs do not compare, if they do not."""
    commands = list(dict.fromkeys(run.command for run in runs))
    if len(commands) > 1:
        return [f"They are of different commands ({', '.join(commands)})."]
    if len({run.data for run in runs}) > 1:
        return ["They are of different data."]
    if len({run.parts for run in runs}) > 1:
        return ["They are measured on different parts of the data (--split, --seed)."]
    if len({run.predicted for run in runs}) > 1:
        return ["They predict different things: symbols, columns or scaling differ."]
    return []


def _notes(runs: Sequence[Reported]) -> list[str]:
    """What the reader must know before comparing."""
    found = [
        f"Losses of these runs do not compare. {why}" for why in _differences(runs)
    ]
    untimed = [run.name for run in runs if run.curves and not _timed(run)]
    if untimed:
        found.append(
            f"Without seconds, which earlier versions did not record: "
            f"{', '.join(untimed)}."
        )
    return found + [f"{run.name}: {note}" for run in runs for note in run.notes]


def _timed(run: Reported) -> bool:
    return any(s is not None for s in run.curves.get("loss", {}).get("seconds", []))
