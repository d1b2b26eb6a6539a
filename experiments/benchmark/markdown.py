"""The table of the README, from the committed numbers.

Run it with `python -m experiments.benchmark.markdown`.
"""

import json

from experiments import _results
from experiments.benchmark.record import JAX_LIBRARIES, ratios_of

WORKLOADS = ("W1", "W2", "W3", "W4")
HEADER = (
    "| loss and gradient | `lax.scan`, textbook | careful "
    "| best of Flax, Haiku, Equinox | PyTorch, all cores | bare products |"
)


def lines(metrics: dict) -> list[str]:
    """How many times as long as jrnn each of the others takes, medians."""
    found = [HEADER, "|---|---|---|---|---|---|"]
    for name in WORKLOADS:
        for case in metrics["workloads"].get(name, {}).get("cases", []):
            found.append(row(case))
    return found


def row(case: dict) -> str:
    ratios = ratios_of(case)
    libraries = [r for name, r in ratios.items() if name.startswith(JAX_LIBRARIES)]
    floor = case.get("roofline", {}).get("reference_over_products_median")
    cells = [
        ratios["lax.scan, head inside"],
        ratios["lax.scan, careful"],
        min(libraries) if libraries else None,
        ratios.get("PyTorch, all threads"),
        None if floor is None else 1 / floor,
    ]
    shown = ["" if value is None else f"{value:.2f}" for value in cells]
    return f"| {case['title']} | {' | '.join(shown)} |"


def main() -> None:
    path = _results.FOLDER / "benchmark.json"
    print("\n".join(lines(json.loads(path.read_text("utf-8"))["metrics"])))


if __name__ == "__main__":
    main()
