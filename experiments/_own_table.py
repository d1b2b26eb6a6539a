"""The tables of docs/your-own-sequences.md, made of results/own_sequences.json."""

import json

from experiments._results import FOLDER

PAGE = FOLDER.parents[1] / "docs" / "your-own-sequences.md"
MARKS = "<!-- own_sequences -->", "<!-- end of own_sequences -->"
NONE = "-"


def measured() -> dict:
    path = FOLDER / "own_sequences.json"
    return json.loads(path.read_text("utf-8"))["metrics"]


def markdown(found: dict) -> str:
    """Two tables: of what is right, and of how far forecasts are off."""
    rights = [row(name, m) for name, m in found.items() if m["command"] != "forecast"]
    offs = [off(name, m) for name, m in found.items() if m["command"] == "forecast"]
    parts = [
        table("command, data, right, by a guess, by time warping, published", rights),
        table(
            "jrnn forecast, off by, the last value, share of its error, in the band",
            offs,
        ),
    ]
    return "\n\n".join(parts)


def table(heads: str, rows: list[tuple[str, ...]]) -> str:
    titles = [title.strip() for title in heads.split(",")]
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def row(name: str, m: dict) -> tuple[str, ...]:
    guess, right = max(m["guesses"].items(), key=lambda guess: guess[1]["mean"])
    near = m.get("nearest_by_time_warping")
    return (
        f"`{m['command']}`",
        f"{name}: {m['data']}; {m['examples']['train']:,} to train",
        f"{percent(m['network'])}{of_runs(m)}",
        f"{100 * right['mean']:.1f} %, {guess}",
        NONE if near is None else f"{100 * near:.1f} %",
        m.get("published", NONE),
    )


def off(name: str, m: dict) -> tuple[str, ...]:
    last, share = m["guesses"]["last value"], m["error_over_that_of_the_last_value"]
    return (
        f"{name}: {m['data']}; {m['examples']['train']:,} windows to train",
        f"{spread(m['network'])}{of_runs(m)}",
        f"{last['mean']:.4g}",
        f"{share['mean']:.2f}",
        percent(m["in_a_band_for_80_%"]),
    )


def percent(found: dict) -> str:
    mean, least, most = (100 * found[name] for name in ("mean", "least", "most"))
    return f"{mean:.1f} % ({least:.1f} to {most:.1f})"


def spread(found: dict) -> str:
    return f"{found['mean']:.4g} ({found['least']:.4g} to {found['most']:.4g})"


def of_runs(m: dict) -> str:
    """What to say where there are not three runs."""
    n = m["seeds"]
    return "" if n == 3 else f", {n} run{'s' * (n > 1)}"


def update() -> None:
    """Bring the page up to date."""
    before, _, rest = PAGE.read_text("utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    made = f"{MARKS[0]}\n{markdown(measured())}\n{MARKS[1]}"
    PAGE.write_text(f"{before}{made}{after}", "utf-8")
