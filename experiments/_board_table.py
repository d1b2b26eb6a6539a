"""The tables of docs/leaderboard.md, made of results/leaderboard.json."""

import json

from experiments._board_tasks import JUDGED
from experiments._own_table import NONE, table
from experiments._results import FOLDER
from jrnn.models import CELLS

PAGE = FOLDER.parents[1] / "docs" / "leaderboard.md"
MARKS = "<!-- leaderboard -->", "<!-- end of leaderboard -->"


def measured() -> dict:
    return json.loads((FOLDER / "leaderboard.json").read_text("utf-8"))["metrics"]


def markdown(found: dict) -> str:
    """How it was timed, the table of all tasks, and one of each."""
    parts = [told(found), main_table(found)]
    for task, judged in JUDGED.items():
        if rows := rows_of(found, task):
            parts += [f"## {task}: {judged.unit}", task_table(task, rows)]
    return "\n\n".join(parts)


def told(found: dict) -> str:
    """What a reader must know of this file of results before its numbers."""
    rows, whole = len(found["rows"]), len(CELLS) * len(JUDGED)
    parts = [f"{rows} of {whole} rows are there."] if rows < whole else []
    if found["clock"] == "cpu":
        parts.append("Equal time is that of the cores, not of a clock on the wall.")
    if found["loaded_while_timed"]:
        parts.append("Updates were timed on a machine with other work: roughly.")
    return " ".join([*parts, "Means over three seeds."])


def rows_of(found: dict, task: str) -> dict[str, dict]:
    """Rows of a task by cell, the best first."""
    rows = {
        key.partition("/")[2]: row
        for key, row in found["rows"].items()
        if key.startswith(f"{task}/")
    }
    sign = -1 if JUDGED[task].higher else 1
    cost = lambda row: sign * row["score"]["mean"] if row["score"] else float("inf")
    return dict(sorted(rows.items(), key=lambda pair: cost(pair[1])))


def main_table(found: dict) -> str:
    """Cells by mean rank; the best score of each task is bold."""
    by_task = {task: rows for task in JUDGED if (rows := rows_of(found, task))}
    ranks = found["mean_rank"]
    seen = dict.fromkeys(cell for rows in by_task.values() for cell in rows)
    lines = []
    for cell in [*ranks, *(cell for cell in seen if cell not in ranks)]:
        rank = f"{ranks[cell]:.1f}" if cell in ranks else NONE
        scores = [score(task, rows, cell) for task, rows in by_task.items()]
        lines.append((f"`{cell}`", rank, *scores))
    guesses = [
        f"{next(iter(rows.values()))['guess']:.{JUDGED[task].digits}f}"
        for task, rows in by_task.items()
    ]
    lines.append(("*a guess*", NONE, *guesses))
    return table(", ".join(["cell", "mean rank", *by_task]), lines)


def score(task: str, rows: dict[str, dict], cell: str) -> str:
    """Mean over seeds."""
    if cell not in rows:
        return NONE
    if not rows[cell]["score"]:
        return "diverged"
    text = f"{rows[cell]['score']['mean']:.{JUDGED[task].digits}f}"
    return f"**{text}**" if cell == next(iter(rows)) else text


def task_table(task: str, rows: dict[str, dict]) -> str:
    """Each cell, the best first: score with its range, and how it was trained."""
    digits = JUDGED[task].digits
    lines = []
    for cell, row in rows.items():
        spread = row["score"]
        said = "diverged"
        if spread:
            mean, least, most = (spread[of] for of in ("mean", "least", "most"))
            said = f"{mean:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"
        lines.append(
            (
                f"`{cell}`",
                said,
                str(row["units"]),
                f"{row['parameters']:,}",
                f"{row['updates']:,}",
                f"{row['learning_rate']:g}",
            )
        )
    return table("cell, score, units, parameters, updates, rate", lines)


def update() -> None:
    """Bring the page up to date."""
    before, _, rest = PAGE.read_text("utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    made = f"{MARKS[0]}\n{markdown(measured())}\n{MARKS[1]}"
    PAGE.write_text(f"{before}{made}{after}", "utf-8")
