"""Models and rankings as tables: text where they are printed, HTML in a notebook.

A cell itself is shown as the call that made it, and `scan_report` shows itself too.
"""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax

from jrnn import _check
from jrnn.cell import Cell, Input
from jrnn.sequence import SequenceModel
from jrnn.sweep import Ranked

__all__ = ["Table", "parameters", "ranked"]


class Table(NamedTuple):
    """Rows under headings, which `print` shows as text and a notebook as HTML."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """The title, and columns of equal width; numbers stand to the right."""
        lines = (self.columns, *self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = [
            all(map(_is_number, column)) for column in zip(*self.rows, strict=True)
        ]
        right = right or [False] * len(self.columns)
        aligned = (
            "  ".join(
                text.rjust(width) if to_right else text.ljust(width)
                for text, width, to_right in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        )
        return "\n".join([self.title, *aligned])

    def _repr_html_(self) -> str:
        cells = lambda tag, texts: "".join(
            f"<{tag}>{html.escape(text)}</{tag}>" for text in texts
        )
        head = f"<tr>{cells('th', self.columns)}</tr>"
        body = "".join(f"<tr>{cells('td', row)}</tr>" for row in self.rows)
        return (
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead>{head}</thead><tbody>{body}</tbody></table>"
        )


def parameters(model: Cell | SequenceModel, x: Input) -> Table:
    """The parameters of a model: names, shapes, dtypes and numbers.

    Nothing is computed: `init` is traced. Keras and Flax have such a summary by layers
    with names; here a layer of a stack is its place in the tuple of parameters.

    Args:
        model: a cell, or a model of whole sequences.
        x: an example of one step's input, as for `init`.

    Returns:
        A `Table` with a row for each array and one for all of them.

    Raises:
        TypeError: `model` is neither.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> model = jrnn.stack(jrnn.gru(4), jrnn.linear(2))
        >>> print(parameters(model, jnp.zeros(3)))
        stack(gru(hidden_size=4, reset='after'), linear(output_size=2))
        parameter  shape    dtype    numbers
        0.w_x      (3, 12)  float32       36
        0.w_h      (4, 12)  float32       48
        0.b_x      (12,)    float32       12
        0.b_h      (12,)    float32       12
        1.w        (4, 2)   float32        8
        1.b        (2,)     float32        2
        all                              118
    """
    _check.model("parameters", model)
    made = jax.eval_shape(lambda: model.init(jax.random.key(0), x))
    leaves = jax.tree_util.tree_leaves_with_path(made)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".") or "-"
    rows = [
        (name(path), str(a.shape), str(a.dtype), f"{math.prod(a.shape):,}")
        for path, a in leaves
    ]
    total = sum(math.prod(a.shape) for _, a in leaves)
    columns = ("parameter", "shape", "dtype", "numbers")
    return Table(repr(model), columns, (*rows, ("all", "", "", f"{total:,}")))


def ranked(ranking: Sequence[Ranked]) -> Table:
    """The ranking of a sweep, best first.

    Args:
        ranking: what `jrnn.sweep.ranking` returns.

    Returns:
        A `Table` with a row for each configuration: its settings, mean and standard
        error of the metric over seeds, and how many runs ended well.

    Raises:
        TypeError: the ranking is none, such as the runs themselves.

    Example:
        >>> from jrnn.sweep import grid, ranking, sweep
        >>> run = lambda config, key: {"loss": config["rate"] ** 2}
        >>> found = sweep(run, grid(rate=[0.5, 0.25]), seeds=2, method="map")
        >>> print(ranked(ranking(found.runs, "loss")))
        2 configurations, best first
        rate    mean  error  runs
        0.25  0.0625      0     2
         0.5    0.25      0     2
    """
    for row in ranking:
        if not isinstance(row, Ranked):
            raise TypeError(
                f"ranked: expected a ranking, got {_check.kind(row)} in it. Pass "
                "ranking(found.runs, metric)."
            )
    names = list(dict.fromkeys(name for row in ranking for name in row.config))
    setting = lambda row, name: str(row.config.get(name, ""))
    rows = tuple(
        (
            *(setting(row, name) for name in names),
            f"{row.mean:.4g}",
            f"{row.error:.2g}",
            _runs(row),
        )
        for row in ranking
    )
    title = f"{len(rows)} configurations, best first"
    return Table(title, (*names, "mean", "error", "runs"), rows)


def _runs(row: Ranked) -> str:
    """How many runs ended well, and out of how many if not all did."""
    well = len(row.values)
    return f"{well} of {well + row.failed}" if row.failed else str(well)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True
