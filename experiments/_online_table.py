"""The tables of docs/howto/online-learning.md, of results/online_learning.json."""

import json

from experiments._results import FOLDER

PAGE = FOLDER.parents[1] / "docs" / "howto" / "online-learning.md"
MARKS = "<!-- online_learning -->", "<!-- end of online_learning -->"


def measured() -> dict:
    path = FOLDER / "online_learning.json"
    return json.loads(path.read_text("utf-8"))["metrics"]


def markdown(m: dict) -> str:
    """Three tables: the cosines of trained networks, the losses, the memory."""
    return "\n\n".join(
        [
            f"Cosine with `jax.grad`, trained networks, {order(m)}:",
            cosines(m),
            "Loss as a share of that without memory, mean and range over three seeds:",
            losses(m),
            "By how much the memory of a process grows over a stream, MiB:",
            memory(m),
        ]
    )


def order(m: dict) -> str:
    """The tasks, in the order of the numbers in a cell of the table."""
    return " / ".join(tasks(m, "cosine with jax.grad, ", ", trained"))


def tasks(m: dict, start: str, end: str = "") -> list[str]:
    names = [name for name in m if name.startswith(start) and name.endswith(end)]
    return [name.removeprefix(start).removesuffix(end) for name in names]


def cosines(m: dict) -> str:
    found = [
        m[f"cosine with jax.grad, {task}, trained"] for task in order(m).split(" / ")
    ]
    cells = list(found[0])
    ways = list(dict.fromkeys(way for ways in found[0].values() for way in ways))
    shown = lambda way, cell: " / ".join(
        f"{of[cell][way]:.2f}" if way in of[cell] else "-" for of in found
    )
    return table(["", *cells], [[way, *(shown(way, c) for c in cells)] for way in ways])


def losses(m: dict) -> str:
    names = tasks(m, "loss over memoryless, ")
    found = [m[f"loss over memoryless, {name}"] for name in names]
    shown = lambda x: f"{x['mean']:.2g} ({x['least']:.2g} to {x['most']:.2g})"
    return table(
        ["a GRU by", *names],
        [[way, *(shown(of[way]) for of in found)] for way in found[0]],
    )


def memory(m: dict) -> str:
    found = m["mebibytes_of_a_stream"]
    steps = [name for name in next(iter(found.values())) if name.isdigit()]
    rows = [[way, *(f"{of[n]:.1f}" for n in steps)] for way, of in found.items()]
    return table(["steps", *(f"{int(n):,}" for n in steps)], rows)


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def update() -> None:
    """Bring the page up to date."""
    before, _, rest = PAGE.read_text("utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    made = f"{MARKS[0]}\n{markdown(measured())}\n{MARKS[1]}"
    PAGE.write_text(f"{before}{made}{after}", "utf-8")
