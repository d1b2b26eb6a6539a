"""Tables for the terminal, 80 columns wide, from what was written down."""

from rich.table import Table

from experiments.benchmark.record import JRNN


def case_table(name: str, case: dict) -> Table:
    """One row for each contender; `times` above 1 means slower than the reference."""
    table = Table(title=f"{name}  {case['title']}", title_justify="left", width=78)
    table.add_column("", no_wrap=True)
    for header in (f"best {case['unit']}", "median", "times", "compile s"):
        table.add_column(header, justify="right", no_wrap=True)
    for variant, numbers in case["variants"].items():
        seconds = numbers.get("compile_seconds")
        table.add_row(
            variant,
            number(numbers["best"]),
            number(numbers["median"]),
            f"{numbers['times_reference_median']:.2f}",
            "" if seconds is None else f"{seconds:.2f}",
            style="bold" if variant == case["reference"] else "",
        )
    for variant in case["missing"]:
        table.add_row(variant, "missing", "", "", "", style="dim")
    if "roofline" in case:
        add_roofline(table, case)
    return table


def add_roofline(table: Table, case: dict) -> None:
    floor = case["roofline"]
    table.add_section()
    table.add_row(
        "bare matrix products", number(floor["best"]), number(floor["median"]), "", ""
    )
    over = floor["reference_over_products_median"]
    table.add_row(f"{JRNN} / bare products", "", f"{over:.2f}", "", "")


def figures_table(name: str, case: dict) -> Table:
    """One row for each contender, one column for each figure."""
    columns = list(case["figures"])
    table = Table(
        title=f"{name}  {case['title']}, {case['unit']}", title_justify="left", width=78
    )
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for variant in case["figures"][columns[0]]:
        values = [case["figures"][column].get(variant) for column in columns]
        table.add_row(variant, *("" if v is None else number(v) for v in values))
    return table


GRADIENTS = "Times as long as jrnn (medians), over the cases of W1 to W4"
FOREIGN = "Their cells: lax.scan's time over jrnn.scan's (medians), in W9"


def summary_table(summary: dict, title: str = GRADIENTS) -> Table:
    table = Table(title=title, title_justify="left", width=78)
    table.add_column("", no_wrap=True)
    for header in ("geometric mean", "least", "most", "cases"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, s in sorted(summary.items(), key=lambda item: item[1]["geometric_mean"]):
        ratios = [f"{s[key]:.2f}" for key in ("geometric_mean", "least", "most")]
        table.add_row(name, *ratios, str(s["cases"]))
    return table


def tables(name: str, case: dict) -> Table:
    return (figures_table if "figures" in case else case_table)(name, case)


def number(value: float) -> str:
    """Three digits, without an exponent."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
