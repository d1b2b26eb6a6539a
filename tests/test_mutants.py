"""The list of faults fits the package, and none counts that was not tried."""

import ast

import mutants
import pytest
from mutants import ENGINE, MUTANTS, ROOT, Mutant, StaleError, changed

PACKAGE = ROOT / "jrnn"
IDS = [mutant.name for mutant in MUTANTS]
FAULT = Mutant("elman: a fault", "cells/elman.py", "x", "y", "test_laws.py", "elman")


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_a_fault_has_one_place_and_leaves_a_program(mutant):
    source = (PACKAGE / mutant.file).read_text()
    assert source.count(mutant.text) == 1
    faulty = ast.dump(ast.parse(changed(mutant, PACKAGE)))
    assert faulty != ast.dump(ast.parse(source))  # no mere comment
    assert (ROOT / "tests" / mutant.tests).exists()


def test_names_are_unique():
    assert len(set(IDS)) == len(IDS)


def test_faults_strike_all_of_the_engine():
    """All files that decide anything: not what only reports."""
    engine = {mutant.file for mutant in ENGINE}
    folders = "scan/**", "_programs", "_replacements"
    files = [p for folder in folders for p in PACKAGE.glob(f"{folder}/*.py")]
    names = {str(path.relative_to(PACKAGE)) for path in files}
    spared = {"scan/report.py"}
    assert {n for n in names if not n.endswith("__init__.py")} == engine | spared
    assert len(ENGINE) >= 25


@pytest.mark.parametrize("text", ["no such text", "carry"])
def test_a_fault_without_one_place_is_an_error_before_any_test(monkeypatch, text):
    stale = FAULT._replace(text=text)
    monkeypatch.setattr(mutants, "MUTANTS", [MUTANTS[0], stale])
    monkeypatch.setattr(mutants, "is_caught", lambda mutant: pytest.fail("it is tried"))
    with pytest.raises(StaleError, match="must find its text once"):
        mutants.main([])


@pytest.mark.parametrize("code", [2, 4, 5, 98, 99, -9])
def test_tests_that_cannot_be_run_are_an_error(monkeypatch, code):
    """Usage, collection, no test at all, another package, a crash: all no verdict."""
    monkeypatch.setattr(mutants, "run_tests", lambda *args: (code, "why"))
    with pytest.raises(RuntimeError, match=f"pytest ends with {code}: why"):
        mutants.is_caught(MUTANTS[0])


@pytest.mark.parametrize(
    ("codes", "said", "returned"),
    [
        ([1, 1], "2 applied, 2 caught, 100 %", 0),
        ([0, 1], "2 applied, 1 caught, 50 %", 1),
    ],
)
def test_the_share_is_of_those_applied(monkeypatch, capsys, codes, said, returned):
    left = iter(codes)
    monkeypatch.setattr(mutants, "run_tests", lambda *args: (next(left), ""))
    monkeypatch.setattr(mutants, "MUTANTS", MUTANTS[:2])
    assert mutants.main([]) == returned
    assert capsys.readouterr().out.splitlines()[-1] == said


def test_a_word_in_no_name_is_refused(capsys):
    assert mutants.main(["no such word"]) == 2
    assert "no name has one of the words" in capsys.readouterr().out
