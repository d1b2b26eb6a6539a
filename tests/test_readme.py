"""Every number of the README and of its pages comes from a committed result."""

import json
import re
from pathlib import Path

import pytest

from experiments.benchmark import markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = (ROOT / "docs" / "your-own-text.md").read_text(encoding="utf-8")
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
SWEEPS = (ROOT / "docs" / "howto" / "sweeps.md").read_text(encoding="utf-8")
joined = lambda text: " ".join(text.split())  # without line breaks
PAIR = "jrnn", "jrnn, chunk, loss inside"
RESULTS = ROOT / "experiments" / "results"


def result(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["metrics"]


@pytest.mark.parametrize("preset", ["standard", "best"])
def test_tiny_shakespeare(preset):
    m = result(f"tiny_shakespeare_{preset}")
    row = next(line for line in TEXT.splitlines() if f"| `{preset}`" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == [
        str(m["steps"]),
        f"{m['held_out_nats']:.3f}",
        f"{m['held_out_bits']:.3f}",
        f"{m['seconds'] / 60:.1f} min",
    ]
    assert m["training_characters"] == pytest.approx(1003854, abs=1e3)
    if preset == "standard":
        minutes, nats = m["seconds"] / 60, m["held_out_nats"]
        said = f"{minutes:.1f} minutes on two cores: {nats:.3f} nats per character"
        assert said in joined(README)


def test_generation_speed():
    m = result("generation_speed")
    found = re.search(
        r"([\d.]+) times as many characters.*?the best of .*?,\s+([\d.]+) times at the "
        r"median",
        TEXT,
        re.DOTALL,
    )
    ratio = m["clock_jrnn_times_faster_than_textbook"]
    assert found and found.groups() == (
        f"{ratio['best_to_best']:.1f}",
        f"{ratio['median_of_rounds']:.1f}",
    )


def test_benchmark():
    m = result("benchmark")
    lines = markdown.lines(m)
    assert len(lines) > 8
    for line in lines:
        assert line in PERFORMANCE
    summary = m["summary"]
    for name in ("lax.scan, head inside", "lax.scan, careful"):
        assert f"{summary[name]['geometric_mean']:.2f}" in PERFORMANCE
    assert f"{m['foreign_summary']['all']['geometric_mean']:.2f}" in PERFORMANCE
    peers = summary["fastest of Flax, Haiku, Equinox"]["geometric_mean"]
    assert f"takes {peers:.2f} times as long" in joined(PERFORMANCE)


def test_five_rows_stand_in_the_readme():
    header, rule, *rows = markdown.lines(result("benchmark"))
    assert f"{header}\n{rule}\n" in README
    assert sum(row in README for row in rows) == 5


def test_memory_of_long_sequences():
    table, timed = result("benchmark")["workloads"]["W7"]["cases"]
    memory = table["figures"]["T=10,000"]
    plain, chunk = (timed["variants"][name]["median"] for name in PAIR)
    assert (
        f"the gradient needs {memory[PAIR[0]]:.0f} MiB, and with "
        f'`remat="chunk"` and the loss inside the step {memory[PAIR[1]]:.1f} MiB, in '
        f"{chunk / plain:.2f} times the time"
    ) in joined(PERFORMANCE)


def test_batches_divided_among_cores():
    cases = result("benchmark")["workloads"]["W10"]["cases"]
    ratios = [
        case["variants"]["jrnn, batch on 2 devices"]["median"]
        / case["variants"]["jrnn"]["median"]
        for case in cases
    ]
    assert f"takes {min(ratios):.2f} to {max(ratios):.2f} times as long" in joined(
        PERFORMANCE
    )
    lines = markdown.cores_lines(result("benchmark"))
    assert len(lines) > 8
    for line in lines:
        assert line in PERFORMANCE


def test_writing_texts():
    lines = markdown.sampling_lines(result("benchmark"))
    assert len(lines) == 2 + 6
    for line in lines:
        assert line in PERFORMANCE


def test_min_char_rnn_beside_numpy():
    cases = result("benchmark")["workloads"]["W1"]["cases"]
    one, many = (
        case["variants"]["NumPy"]["times_reference_median"] for case in cases[:2]
    )
    products = many * cases[1]["roofline"]["reference_over_products_median"]
    assert (
        f"takes {one:.1f} and {many:.1f} times as long as the first two rows; the bare "
        f"products of the second take 1/{products:.0f} of its time"
    ) in joined(PERFORMANCE)


@pytest.mark.parametrize("text", [README, TEXT, PERFORMANCE, SWEEPS])
def test_no_line_is_a_placeholder(text):
    assert not re.search(r"@[A-Z]+@|TODO|\b[A-Z]{3,}\d\b", text)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_examples_are_short_and_run_as_doctests():
    assert sum(">>>" in example for example in EXAMPLES) >= 1
    for example in EXAMPLES:
        lines = [line for line in example.splitlines() if line]
        assert len(lines) < 25 and max(map(len, lines)) <= 96, example


def test_successive_halving():
    m = result("learning_rate")
    share = f"{100 * m['halving']['share_of_updates']:.0f} % of the updates"
    assert f"{m['configurations']} configurations with {share}" in joined(SWEEPS)
    assert m["halving"]["best"] == m["best"]


def test_speed_of_sweeps():
    m = result("sweep_speed")
    assert (
        f"{m['runs']} trainings of a small tanh network take "
        f"{m['auto_over_one_by_one']:.2f} times as long as calls of one compiled "
        f"function one by one, {m['auto_over_lax_scan_one_by_one']:.2f} times as long "
        "as those on `lax.scan`, and PyTorch "
        f"{m['pytorch_over_auto']:.0f} times as long"
    ) in joined(SWEEPS)
