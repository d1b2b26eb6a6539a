"""What a release says of itself is the same wherever it stands."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import jrnn

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
PROMISES = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
RECIPE = (ROOT / ".ci" / "release").read_text(encoding="utf-8")


def test_the_citation_is_that_of_the_project():
    said = dict(re.findall(r"^([a-z-]+): (\S.*)$", CITATION, re.MULTILINE))
    assert said["version"] == PROJECT["version"] == version("jrnn") == jrnn.__version__
    assert said["license"] == PROJECT["license"]
    assert PROJECT["description"].lower() in said["title"].lower()


def test_supported_versions_are_those_that_are_declared():
    oldest, newest, jax = re.search(
        r"Python (3\.\d+) to (3\.\d+) and JAX from (\d+\.\d+) on", PROMISES
    ).groups()
    assert PROJECT["requires-python"] == f">={oldest}"
    assert f"jax>={jax}" in PROJECT["dependencies"]
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert (declared[0], declared[-1]) == (oldest, newest)
    assert re.findall(r"--python (3\.\d+)", RECIPE) == [oldest, newest]


def test_the_changelog_begins_with_what_is_to_come():
    headings = re.findall(
        r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert headings[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", h) for h in headings[1:])
