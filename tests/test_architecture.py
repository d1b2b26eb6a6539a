"""ARCHITECTURE.md is true: its examples run, and what it names exists."""

import doctest
import re

import pytest
from test_contributing import ROOT, names_of
from test_public import FLOORS

PAGE = ROOT / "ARCHITECTURE.md"
TEXT = PAGE.read_text(encoding="utf-8")
PLAIN = " ".join(TEXT.split())
PATHS = sorted(set(re.findall(r"(?:jrnn|tests)/[\w./]+\w", TEXT)))
TESTS = sorted(set(re.findall(r"`(test_\w+)`", TEXT)))
DEFINED = re.findall(r"`(\w+)`(?:, `(\w+)`)? in `([\w./]+\.py)`", PLAIN)


def test_the_examples_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert failed == 0 and tried > 25


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path):
    assert (ROOT / path).exists()


def test_every_test_exists():
    defined = set().union(*(names_of(p) for p in ROOT.glob("tests/test_*.py")))
    assert TESTS and set(TESTS) <= defined


@pytest.mark.parametrize(("names", "path"), [((a, b), p) for a, b, p in DEFINED])
def test_every_name_is_where_it_is_said_to_be(names, path):
    files = [*ROOT.glob("jrnn/**/*.py"), *ROOT.glob("tests/*.py")]
    (file,) = [p for p in files if str(p).endswith(f"/{path}")]
    assert set(filter(None, names)) <= names_of(file)


def test_the_floors_are_those_that_are_tested():
    """Of the modules that the page names; it need not name all."""
    rows = re.findall(r"^\| (\d) \| ((?:`\w+` ?)+)\|", TEXT, re.M)
    said = {name: int(n) for n, names in rows for name in re.findall(r"\w+", names)}
    assert said == {name: FLOORS.get(name) for name in said}
    assert len(said) > 25 and set(said.values()) == set(FLOORS.values())


def test_what_was_looked_for_was_found():
    """A pattern that matches nothing would let everything through."""
    assert len(PATHS) > 15 and len(DEFINED) > 10
