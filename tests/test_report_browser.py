"""The page of `jrnn report` in a browser: what it draws, and by the keyboard alone."""

import shutil

import numpy as np
import pytest
from settings import ordinary
from test_inspect import HOSTILE
from test_inspect_browser import browser, pytestmark  # noqa: F401
from test_report import (  # noqa: F401
    hostile,
    place,
    train_by_hand,
)

from jrnn.cli import main
from jrnn.sweep import Run
from jrnn.sweep.table import append


def written(path, *shown):
    with ordinary():
        words = [*map(str, shown), "--out", str(path), "--overwrite"]
        assert main(["report", *words]) == 0
    return path


@pytest.fixture
def page(place, tmp_path, browser):  # noqa: F811
    """Two runs and a sweep, opened."""
    shown = [place / name for name in ("sea", "deep", "sweep")]
    browser.open(written(tmp_path / "p.html", *shown))
    return browser


def test_the_curves_have_the_points_that_were_logged(page):
    """Read from the drawing, by the places of the numbers beside its axes."""
    for scale in ("false", "true"):
        page.run(f"change('log-y', {scale}); change('over', 'seconds')")
        lines = page.run("plot.lines.map((l) => [l.run.name, l.part, l.points])")
        found = {(run, part): points for run, part, points in lines}
        assert found["sea", "loss"] == [[1, 3], [2, 2.5], [4.5, 2], [8, 1.5]]
        assert found["deep", "valid_loss"] == [[7, 1.3]]
        d = page.run("document.querySelector('#lines path.line.c0.faint')"
                     ".getAttribute('d')")  # fmt: skip
        places = [tuple(map(float, p.split())) for p in d[1:].split("L")]
        marks = page.run(
            "[...document.querySelectorAll('#chart text')].filter((t) => "
            "t.getAttribute('text-anchor') === 'end').map((t) => "
            "[Number(t.textContent), Number(t.getAttribute('y')) - 4])"
        )
        f = np.log if scale == "true" else np.asarray
        values, ys = np.array(marks).T
        slope, offset = np.polyfit(f(values), ys, 1)
        wanted = slope * f(np.array([3, 2.5, 2, 1.5])) + offset
        np.testing.assert_allclose([y for _, y in places], wanted, atol=0.2)
        xs = np.array([x for x, _ in places])
        shares = (xs - xs[0]) / (xs[-1] - xs[0])
        np.testing.assert_allclose(shares, [0, 1 / 7, 3.5 / 7, 1], atol=0.01)
    assert page.complaints() == []


def test_all_of_the_page_by_the_keyboard(page):
    page.press("c")
    assert page.run("document.activeElement.id") == "plot"
    reading = "document.getElementById('reading').textContent"
    page.press("End")
    assert "step 20" in page.run(reading)
    assert "sea: training 1.500, validation 1.700" in page.run(reading)
    page.press("Home", "ArrowRight")
    assert "step 10" in page.run(reading) and "deep: training 1.2" in page.run(reading)
    page.press("x")
    assert page.run("state.over") == "epoch"
    page.press("l")
    assert page.run("state.logY") and page.run(
        "document.getElementById('log-y').checked"
    )
    page.run("document.querySelector('#legend button').focus()")
    page.press("Enter")
    assert page.run("plot.lines.every((l) => l.run.name === 'deep')")

    column = "document.querySelectorAll('.sweep thead button')"
    first = "document.querySelector('.sweep tbody tr').cells[0].textContent"
    page.run(f"{column}[0].focus()")
    page.press("Enter")
    assert page.run(first) == "0.1"
    page.press("Enter")
    assert page.run(first) == "1"
    sort = "document.querySelector('.sweep thead th').getAttribute('aria-sort')"
    assert page.run(sort) == "descending"
    page.run("document.querySelector('.sweep tbody tr').focus()")
    page.press("ArrowDown", "ArrowDown")
    assert page.run("document.activeElement.rowIndex") == 3
    lit = "document.querySelectorAll('.sweep path.lit').length"
    assert page.run(lit) == 1 and page.run("document.activeElement.classList.length")

    page.run("document.querySelector('[data-key=rate]').focus()")
    page.press("ArrowUp")  # 0.1, of three configurations
    out = "document.querySelectorAll('.sweep tbody tr.out').length"
    assert page.run(out) == 1
    page.press("ArrowUp")
    assert page.run(out) == 3
    page.press("Escape")
    assert page.run(out) == 0
    page.press("?")
    assert page.run("document.getElementById('keys').open") is True
    page.press("Escape")
    assert page.complaints() == []


def test_settings_and_samples(page):
    rows = "document.querySelectorAll('#settings tbody tr').length"
    assert page.run(rows) == 1
    page.run("change('all', true)")
    assert page.run(rows) > 20
    text = "document.querySelector('#samples pre').textContent"
    assert page.run(text) == "sea\n--- step 15, loss 1.0 ---\n--- end ---"
    page.run("change('sample', '10')")
    assert page.run(text) == "she se\n"


def test_settings_of_two_commands(browser, place, tmp_path):  # noqa: F811
    browser.open(written(tmp_path / "p.html", place / "sea", place / "names"))
    names = browser.run(
        "[...document.querySelectorAll('#settings tbody th')].map((c) => c.textContent)"
    )
    assert "--window" in names and "--missing" in names  # of one command each
    assert "--text-column" not in names  # not given, and not there
    focused = "getComputedStyle(document.querySelector('.handle')).stroke"
    assert browser.run("document.querySelector('.handle')") is None
    browser.open(written(tmp_path / "p.html", place / "sweep"))
    assert browser.run(focused) == "none"  # until it has the focus


def test_hostile_names_are_shown_and_not_run(browser, hostile):  # noqa: F811
    path, _ = hostile
    for width in (1280, 390):
        browser.open(path, width=width)
        assert "<img src=x" in browser.run("document.title")
        assert "<img src=x" in browser.run(
            "document.querySelector('#legend').textContent"
        )
        sample = browser.run("document.querySelector('#samples pre').textContent")
        assert HOSTILE.splitlines()[0] in sample and "\u2400" in sample
        assert "⟨202e⟩" in sample and "😀" in sample
        assert "</script>" in browser.run(
            "document.querySelector('.sweep').textContent"
        )
        assert browser.run("document.images.length") == 0
        assert browser.run("document.querySelectorAll('script').length") == 2
        assert browser.run("document.body.scrollWidth <= innerWidth")
        assert browser.complaints() == []


def test_a_large_page_opens_at_once(browser, place, tmp_path):  # noqa: F811
    """Ten runs of 4000 log lines, and a sweep of 1000 configurations of two seeds."""
    rng = np.random.default_rng(0)
    for n in range(10):
        shutil.copytree(place / "sea", tmp_path / f"run{n}")
        losses = (1 + rng.exponential(size=4000)).tolist()
        train_by_hand(tmp_path / f"run{n}", losses, losses[:2000])
    runs = [
        Run(2 * n + seed, {"rate": float(rate), "size": n % 7}, seed, "done",
            {"loss": float(rng.uniform())}, 1.0, 1)
        for n, rate in enumerate(rng.uniform(size=1000)) for seed in (0, 1)
    ]  # fmt: skip
    append(tmp_path / "many" / "table.csv", runs)
    shown = [*(tmp_path / f"run{n}" for n in range(10)), tmp_path / "many"]
    path = written(tmp_path / "p.html", *shown)
    assert path.stat().st_size < 3e6
    for width in (1280, 390):
        opened = []
        for _ in range(3):  # the best: other programs may be using the machine
            browser.open(path, width=width)
            opened.append(browser.run("performance.now()"))
        assert min(opened) < 2000, opened
        assert (
            browser.run("document.querySelectorAll('.sweep tbody tr').length") == 1000
        )
        assert browser.complaints() == []
