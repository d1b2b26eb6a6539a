"""The documentation site: what its generators say is true, and its examples run."""

import ast
import doctest
import inspect
import json
import re
import sys
from pathlib import Path

import jax
import pytest

import jrnn

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(DOCS / "_ext"))

pytest.importorskip("sphinx")

import docstrings  # noqa: E402
import gallery  # noqa: E402
import links  # noqa: E402
import reference  # noqa: E402

PAGES = sorted(p for p in DOCS.rglob("*.md") if "gallery" not in p.parts)
EXECUTED = [p for p in PAGES if "file_format: mystnb" in p.read_text("utf-8")]
BY_DOCTEST = [p for p in PAGES if ">>> " in p.read_text("utf-8") and p not in EXECUTED]
OF_OTHERS = {  # by tests/test_coming_from.py, test_architecture.py
    p for p in BY_DOCTEST if p.name.startswith(("coming-from-", "architecture"))
}
NEEDS = {"evolution": "evosax", "sweeps": "optuna"}  # packages of single pages
ELSEWHERE = {  # blocks that need files of a user, and the tests that run them
    "export.md": "test_export.py",
    "inspect.md": "test_inspect.py",
}


# Examples


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", sorted({*BY_DOCTEST} - OF_OTHERS), ids=lambda p: p.stem
)
def test_examples_run(page, capsys):
    pytest.importorskip(NEEDS.get(page.stem, "jrnn"))
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted and not result.failed, capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_block_of_python_is_run(page):
    """By the build, as a doctest, or by the test that is named."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    left = [block for block in blocks if ">>> " not in block]
    if page.name in ELSEWHERE:
        assert page.name in (ROOT / "tests" / ELSEWHERE[page.name]).read_text("utf-8")
    elif page.name == "sweeps.md":  # it would wait for three other processes
        (call,) = [n for n in ast.walk(ast.parse(left[0])) if isinstance(n, ast.Call)]
        values = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        inspect.signature(jax.distributed.initialize).bind(call.args[0].value, **values)
        assert len(left) == 1 and ast.unparse(call.func) == "jax.distributed.initialize"
    else:
        assert not left


def test_lessons_and_how_tos_are_executed():
    names = {page.relative_to(DOCS).as_posix() for page in EXECUTED}
    assert len([name for name in names if name.startswith("tutorial/")]) == 5
    assert {
        f"howto/{n}.md" for n in ("custom-cell", "masks", "truncated-bptt")
    } <= names


# The reference


def test_every_public_name_has_a_page():
    pages = reference.pages()
    values = {n: getattr(jrnn, n) for n in jrnn.__all__}
    of_jrnn = {n for p in pages.values() if p.module == "jrnn" for n in p.names}
    names = {n for n, v in values.items() if not inspect.ismodule(v)}
    assert of_jrnn == names | {"load", "register", "save"}
    assert {n for n, v in values.items() if inspect.ismodule(v)} <= set(pages)
    assert {"jrnn.train", "jrnn.sweep"} <= {p.module for p in pages.values()}


def test_cells_have_equations_parameters_and_a_source():
    cells = {cell.name: cell for cell in reference.cells()}
    assert set(jrnn.models.CELLS) <= set(cells)
    for cell in cells.values():
        assert "_t" in cell.equations and hasattr(jrnn, cell.params), cell.name
        assert 1950 < int(reference.year(cell.references)) < 2030, cell.name


def test_a_cell_of_the_index_word_for_word():
    lstm = next(cell for cell in reference.cells() if cell.name == "lstm")
    assert lstm.summary == "Long short-term memory."
    assert lstm.params == "LSTMParams" and reference.year(lstm.references) == "1997"
    assert lstm.equations.splitlines() == [
        "i, f, g, o = split(x_t w_x + h_{t-1} w_h + b)",
        "c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)",
        "h_t = sigmoid(o) * tanh(c_t)",
        "y_t = h_t",
    ]
    assert len(lstm.references) == 3
    assert lstm.references[1].startswith("Gers, Schmidhuber, Cummins (2000), Learning")


def test_the_index_has_every_cell_with_its_numbers():
    made = {n for n in jrnn.cells.__all__ if inspect.isfunction(getattr(jrnn, n))}
    columns = reference.columns()
    assert all(set(c) == made - {"ridge_readout"} for c in columns.values())
    assert columns["parameters"]["elman"] == f"{128 * 128 + 128 * 128 + 128:,}"
    assert columns["parameters"]["lstm"] == f"{4 * (128 * 256 + 128):,}"
    # kernels of three by three places, 128 channels in and out
    assert columns["parameters"]["conv_lstm"] == f"{4 * (2 * 9 * 128**2 + 128):,}"
    parallel = {name for name, mark in columns["parallel"].items() if mark}
    assert parallel == {"lru", "min_gru", "min_lstm", "mlstm", "qrnn", "s5", "sru"}
    assert columns["parallel"]["mlstm"] == "64"
    assert {n for n, mark in columns["--cell"].items() if mark} == {*jrnn.models.CELLS}
    assert all(columns["source"].values())


def test_what_was_not_measured_is_not_in_the_index(monkeypatch, tmp_path):
    monkeypatch.setattr(reference, "RESULTS", tmp_path)
    assert not {"gradient", "speed"} & reference.columns().keys()
    page = reference.cells_page()
    assert "cell_speed" not in page and "experiments.cells" not in page
    speeds = {"lstm": {"gradient": {"lax.scan over jrnn": 1.456}}}
    found = {"cell_speed": {"rows": speeds}, "cells": {"gradient_at_lag": {"gru": 0.5}}}
    for name, metrics in found.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"metrics": metrics}))
    columns = reference.columns()
    assert (columns["speed"]["lstm"], columns["speed"]["gru"]) == ("1.46", "")
    assert (columns["gradient"]["gru"], columns["gradient"]["lstm"]) == ("0.5", "")
    assert "cell_speed" in reference.cells_page()


DOCSTRING = """A square.

    y = x * x
        + 0

Where |x| < 1 and w_ is `jrnn.gru`, not `nothing`:

* one
* two

Args:
    x: a number, of which the text
        goes on.
    *more: ignored.

Returns:
    `(y, z)`: two.

Example:
    >>> 1
    1

References:
    Doe, Roe (1999), On squares,
    doi:10.1/abc.
    Poe (2001), arXiv:1234.56789, equation 1.
"""


def test_a_docstring_as_restructured_text():
    link = reference.Link(reference.pages())
    text = "\n".join(docstrings.convert(DOCSTRING, link))
    assert ".. code-block:: text\n\n   y = x * x\n       + 0\n" in text
    assert (
        r"\|x\| < 1 and w\_ is :py:obj:`jrnn.gru <jrnn.gru>`, not ``nothing``" in text
    )
    assert "\n\n* one\n* two\n" in text
    assert ":param x: a number, of which the text\n   goes on." in text
    assert r":param \*more: ignored." in text
    assert ":returns: ``(y, z)``\\ : two." in text
    assert ".. rubric:: Example\n\n>>> 1\n1" in text
    assert (
        "* Doe, Roe (1999), On squares, `doi:10.1/abc <https://doi.org/10.1/abc>`__."
        in text
    )
    assert (
        "\n* Poe (2001), `arXiv:1234.56789 <https://arxiv.org/abs/1234.56789>`__"
        in text
    )


def test_fields_of_a_tuple_have_their_comments():
    assert docstrings.fields_of(jrnn.LSTMParams) == [
        "w_x: jax.Array  # (I, 4H)",
        "w_h: jax.Array  # (H, 4H)",
        "b: jax.Array  # (4H,)",
    ]


# The gallery


def test_every_committed_figure_is_in_the_gallery():
    shown = [figure for row in gallery.rows() for figure in gallery.figures(row.name)]
    committed = {p.stem for p in gallery.RESULTS.glob("*.svg")} - {"benchmark"}
    assert sorted(shown) == sorted(committed)


def test_a_page_of_the_gallery():
    (row,) = [row for row in gallery.rows() if row.name == "counting"]
    page = gallery.page(row)
    source = (ROOT / "experiments" / "counting.py").read_text("utf-8")
    assert page.startswith(source.removeprefix('"""').partition("\n")[0] + "\n===")
    assert "w\\_x = 1.0014" in page and "Expect" in page
    assert ".. image:: figures/counting.svg" in page


# Links


def test_what_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"></p><a href="#here">1</a><a href="b.html#there">2</a>'
        '<a href="#gone">3</a><a href="c.html">4</a><a href="b.html#gone">5</a>'
        '<a href="https://example.org">6</a><script src="https://example.org/x.js">'
        '</script><img src="a.png">'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    assert links.faults(tmp_path) == [
        "a.html: #gone has no such place",
        "a.html: a.png does not exist",
        "a.html: b.html#gone has no such place",
        "a.html: c.html does not exist",
        "a.html: loads https://example.org/x.js",
    ]


def test_formulas_are_drawn_by_the_browser_itself():
    pytest.importorskip("docutils")
    from docutils.utils.math.latex2mathml import tex2mathml

    formula = "".join(tex2mathml(r"\frac{\partial L}{\partial h_t}").split())
    assert "<mfrac>" in formula and "<msub><mi>h</mi><mi>t</mi></msub>" in formula
