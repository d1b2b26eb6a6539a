"""The page docs/your-own-sequences.md: every example runs."""

import doctest
from pathlib import Path

import pytest
from settings import ordinary_settings  # noqa: F401

PAGE = Path(__file__).parents[1] / "docs" / "your-own-sequences.md"


@pytest.mark.slow
def test_every_example_runs(capsys):
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 40
    assert result.failed == 0, capsys.readouterr().out
