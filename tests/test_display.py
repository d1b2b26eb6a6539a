"""What `jrnn.display` shows: sums against formulas, HTML read by a parser."""

import re
from html.parser import HTMLParser

import jax.numpy as jnp
import pytest

import jrnn
from jrnn import display
from jrnn.sweep import Ranked


class Cells(HTMLParser):
    """Texts of the cells of a table, row by row."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def rows_of(page):
    parser = Cells()
    parser.feed(page)
    return [tuple(row) for row in parser.rows]


def test_parameters_are_those_of_the_formula():
    h, i, o = 5, 3, 1200
    table = display.parameters(
        jrnn.stack(jrnn.lstm(h), jrnn.linear(o)), jnp.zeros(i, jnp.float32)
    )
    total = 4 * h * (i + h + 1) + o * (h + 1)
    by_name = {row[0]: row for row in table.rows}
    assert by_name["all"][-1] == f"{total:,}" == "7,380"
    assert by_name["0.w_h"] == ("0.w_h", f"({h}, {4 * h})", "float32", "100")
    assert table.title.startswith("stack(lstm(hidden_size=5")
    ends = {len(line) for line in str(table).splitlines()[1:]}
    assert len(ends) == 1  # numbers end below each other


def test_models_without_parameters_and_of_whole_sequences():
    assert display.parameters(jrnn.activation(jnp.tanh), jnp.zeros(2)).rows == (
        ("all", "", "", "0"),
    )
    both = jrnn.bidirectional(jrnn.gru(2), jrnn.gru(2))
    assert len(display.parameters(both, jnp.zeros(3)).rows) == 9


def test_a_notebook_is_given_the_same_rows_with_signs_escaped():
    hostile = "</td><script>alert(1)</script>&amp;"
    rows = (Ranked({"cell": hostile, "rate": 0.1}, 1.5, 0.25, (1.0, 2.0), 1),)
    table = display.ranked(rows)
    page = table._repr_html_()
    assert "<script" not in page
    assert rows_of(page) == [table.columns, *table.rows]
    assert table.rows == ((hostile, "0.1", "1.5", "0.25", "2 of 3"),)


def test_a_report_is_shown_in_a_notebook_with_signs_escaped():
    report = jrnn.scan_report(lambda h, x: (h + x, h), jnp.zeros(2), jnp.ones((3, 2)))
    page = report._replace(saved=[("<b>&", 8)])._repr_html_()
    assert page.startswith("<pre>3 steps\n") and page.endswith("&lt;b&gt;&amp;</pre>")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: display.parameters(jrnn.gru, jnp.zeros(2)),
            "parameters: expected a cell, got function. Call it: gru(size).",
        ),
        (
            lambda: display.ranked([{"loss": 1.0}]),
            "ranked: expected a ranking, got dict in it. Pass ranking(found.runs, met",
        ),
    ],
)
def test_errors_say_what_to_pass(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()
