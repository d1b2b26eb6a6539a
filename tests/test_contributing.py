"""CONTRIBUTING.md names only files, tests and tables that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PLAIN = " ".join(TEXT.split())  # without line breaks


def names_of(path: Path) -> set[str]:
    """What a file defines at its top level."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        found |= {t.id for t in targets if isinstance(t, ast.Name)}
        found |= {node.name} if hasattr(node, "name") else set()
    return found


ROOTS = r"(?:jrnn|tests|experiments|docs|\.ci)/"
PATHS = sorted(set(re.findall(rf"{ROOTS}[\w./-]+|\b[\w-]+\.(?:md|toml)\b", TEXT)))
TESTS = sorted(set(re.findall(r"`(test_\w+)`", TEXT)))
DEFINED = sorted(set(re.findall(r"`(\w+)` (?:or `\w+` )?in `([\w./]+\.py)`", PLAIN)))
MODULES = sorted(set(re.findall(r"python -m (experiments[\w.]*)", TEXT)))


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path):
    path = path.rstrip(".")
    assert (ROOT / path).exists() or "NAME" in path


def test_every_test_exists():
    defined = set().union(*(names_of(p) for p in ROOT.glob("tests/test_*.py")))
    assert TESTS and set(TESTS) <= defined


@pytest.mark.parametrize(("name", "path"), DEFINED)
def test_every_table_is_where_it_is_said_to_be(name, path):
    assert name in names_of(ROOT / path)


def test_every_module_can_be_run():
    for module in set(MODULES) - {"experiments.NAME"}:
        folder = ROOT / module.replace(".", "/")
        assert folder.with_suffix(".py").exists() or (folder / "__main__.py").exists()


def test_what_was_looked_for_was_found():
    """A pattern that matches nothing would let everything through."""
    assert len(PATHS) > 25 and len(DEFINED) > 10 and len(MODULES) > 1
    assert len(TEXT.splitlines()) < 240
