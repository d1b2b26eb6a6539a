"""The pages docs/coming-from-*.md: every example runs; every name is in an example."""

import doctest
import os
import re
from pathlib import Path

import jax
import pytest

import jrnn
from jrnn.cli import main

os.environ.setdefault("KERAS_BACKEND", "numpy")
DOCS = Path(__file__).parents[1] / "docs"
NEEDS = {
    "pytorch": ["torch"],
    "keras": ["keras"],
    "flax": ["flax", "equinox"],
    "haiku": ["haiku"],
    "char-rnn": [],
}
LIBRARIES = [page for page in NEEDS if page != "char-rnn"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the other libraries
@pytest.mark.parametrize("page", NEEDS)
def test_every_example_runs(page, capsys):
    for package in NEEDS[page]:
        pytest.importorskip(package)
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        result = doctest.testfile(
            str(DOCS / f"coming-from-{page}.md"), module_relative=False
        )
    assert result.attempted > 10
    assert result.failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("page", LIBRARIES)
def test_every_name_of_ours_in_the_tables_exists(page):
    text = (DOCS / f"coming-from-{page}.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    ours = [row.strip("|").split(" | ")[-1] for row in rows]
    code = " ".join(re.findall(r"`([^`]+)`", " ".join(ours)))
    called = set(re.findall(r"(?<![\w.])(?:jrnn\.)?([a-z_]\w*)\(", code))
    assert len(called) > 6
    assert [name for name in called if not hasattr(jrnn, name)] == []


@pytest.mark.parametrize("page", LIBRARIES)
def test_every_name_of_theirs_in_the_tables_is_in_an_example(page):
    text = (DOCS / f"coming-from-{page}.md").read_text("utf-8")
    examples = " ".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    theirs = " ".join(row.strip("| ").split(" | ")[0] for row in rows)
    code = " ".join(re.findall(r"`([^`]+)`", theirs))
    names = set(re.findall(r"[A-Za-z_][\w.]*(?=[(=]|\b)", code))
    names = {name for name in names if len(name) > 2}
    assert len(names) > 15
    assert sorted(name for name in names if name not in examples) == []


def test_all_pages_are_tested():
    pages = {path.stem.removeprefix("coming-from-") for path in DOCS.glob("coming-*")}
    assert pages == set(NEEDS)


def test_every_option_for_char_rnn_exists(capsys):
    known = set()
    for command in ("train", "sample"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    text = (DOCS / "coming-from-char-rnn.md").read_text("utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert len(named) > 20 and sorted(named - known) == []
