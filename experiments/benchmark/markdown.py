"""The tables of docs/performance.md, from the committed numbers.

Run it with `python -m experiments.benchmark.markdown`.
"""

import json

from experiments import _results
from experiments.benchmark.record import JAX_LIBRARIES, JRNN, ratios_of

WORKLOADS = ("W1", "W2", "W3", "W4")
TORCH = "PyTorch, all threads"
DIVIDED = "jrnn, batch on"  # so many devices
HEADER = (
    "| loss and gradient | `lax.scan`, textbook | careful "
    "| best of Flax, Haiku, Equinox | PyTorch, all cores | bare products |"
)
SAMPLING_HEADER = (
    "| writing a text | NumPy, textbook | NumPy, tuned | PyTorch, all cores "
    "| bare products |"
)
CORES_HEADER = "| loss and gradient | jrnn, one device | PyTorch, all cores |"


def lines(metrics: dict) -> list[str]:
    """How many times as long as jrnn each of the others takes, medians."""
    found = [HEADER, "|---|---|---|---|---|---|"]
    for name in WORKLOADS:
        for case in metrics["workloads"].get(name, {}).get("cases", []):
            found.append(row(case))
    return found


def row(case: dict) -> str:
    """One line of the first table."""
    ratios = ratios_of(case)
    libraries = [r for name, r in ratios.items() if name.startswith(JAX_LIBRARIES)]
    cells = [
        ratios["lax.scan, head inside"],
        ratios["lax.scan, careful"],
        min(libraries) if libraries else None,
        ratios.get(TORCH),
        share_of_products(case),
    ]
    return line(case["title"], cells)


def sampling_lines(metrics: dict) -> list[str]:
    """How many times as long as jrnn the others take for a character, medians."""
    found = [SAMPLING_HEADER, "|---|---|---|---|---|"]
    for case in metrics["workloads"].get("W6", {}).get("cases", []):
        ratios = ratios_of(case)
        others = ("NumPy, textbook", "NumPy, tuned", TORCH)
        cells = [*(ratios.get(name) for name in others), share_of_products(case)]
        found.append(line(case["title"].split(",")[0], cells))
    return found


def share_of_products(case: dict) -> float | None:
    floor = case.get("roofline", {}).get("reference_over_products_median")
    return None if floor is None else 1 / floor


def line(title: str, cells: list[float | None]) -> str:
    shown = ["" if value is None else f"{value:.2f}" for value in cells]
    return f"| {title} | {' | '.join(shown)} |"


def cores_lines(metrics: dict) -> list[str]:
    """How many times as long as jrnn on all cores the others take, medians."""
    found = [CORES_HEADER, "|---|---|---|"]
    for case in metrics["workloads"].get("W10", {}).get("cases", []):
        ratios = ratios_of(case)
        (own,) = [r for name, r in ratios.items() if name.startswith(DIVIDED)]
        others = [ratios.get(name) for name in (JRNN, TORCH)]
        cells = [None if other is None else other / own for other in others]
        found.append(line(case["title"].split(",")[0], cells))
    return found


def main() -> None:
    path = _results.FOLDER / "benchmark.json"
    metrics = json.loads(path.read_text("utf-8"))["metrics"]
    tables = lines(metrics), cores_lines(metrics), sampling_lines(metrics)
    print("\n\n".join("\n".join(table) for table in tables))


if __name__ == "__main__":
    main()
