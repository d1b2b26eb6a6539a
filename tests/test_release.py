"""What a release says of itself is the same wherever it stands."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import jrnn

ROOT = Path(__file__).parents[1]
PROJECT, CITATION, PROMISES, RECIPE, CHANGES = (
    (ROOT / path).read_text(encoding="utf-8")
    for path in (
        "pyproject.toml",
        "CITATION.cff",
        "docs/versions.md",
        ".ci/release",
        "CHANGELOG.md",
    )
)
PROJECT = tomllib.loads(PROJECT)["project"]


def test_the_citation_is_that_of_the_project():
    said = dict(re.findall(r"^([a-z-]+): (\S.*)$", CITATION, re.MULTILINE))
    assert said["version"] == PROJECT["version"] == version("jrnn") == jrnn.__version__
    assert said["license"] == PROJECT["license"]
    assert PROJECT["description"].lower() in said["title"].lower()


def test_supported_versions_are_those_that_are_declared():
    oldest, newest, jax = re.search(
        r"Python (3\.\d+) to (3\.\d+) and JAX from ([\d.]+) on", PROMISES
    ).groups()
    assert PROJECT["requires-python"] == f">={oldest}"
    assert f"jax>={jax}" in PROJECT["dependencies"]
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert (declared[0], declared[-1]) == (oldest, newest)
    assert re.findall(r"--python (3\.\d+)", RECIPE) == [oldest, newest]


def test_the_changelog_begins_with_what_is_to_come():
    newest, *older = re.findall(r"^## (.+)$", CHANGES, re.MULTILINE)
    assert newest == "Unreleased"
    dated = r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d"
    assert all(re.fullmatch(dated, heading) for heading in older)
