"""One table for tokens that are read and tokens that are guessed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Cell, Params, output_spec
from jrnn.layers import EmbedParams


class TiedParams(NamedTuple):
    """Parameters of a cell between an embedding and the same table as a readout."""

    embed: EmbedParams  # table (V, D)
    cell: Params
    b: jax.Array  # (V,)


@described
def tied(embedding: Cell, cell: Cell) -> Cell:
    """Read tokens by the rows of a table, and guess tokens by the same rows.

        y_t = cell(table[x_t]) table^T + b

    One table in place of two, with the gradients of both uses. The rows of an `embed`
    start with deviation 1, which is much for a readout: give it a smaller start, as in
    `embed(V, D, table_init=jax.nn.initializers.normal(0.1))`.

    Args:
        embedding: `embed(V, D)`, or that with dropout on it.
        cell: what stands in between, from D numbers to D numbers. Where the last layer
            has another size, put `linear(D)` behind it, the projection of Press and
            Wolf: `stack(lstm(H), linear(D))`.

    Returns:
        A cell from tokens to logits (V,), with `TiedParams(embed, cell, b)` and the
        carry of `cell`.

    Raises:
        ValueError: the cell's output is not of shape (D,).
        TypeError: the first cell is no embedding; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> model = tied(jrnn.embed(7, 3), jrnn.stack(jrnn.lstm(4), jrnn.linear(3)))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> params.embed.table.shape
        (7, 3)
        >>> jrnn.unroll(model, params, jnp.array([0, 3, 6]))[1].shape
        (3, 7)

    References:
        Press, Wolf (2017), Using the output embedding to improve language models,
        arXiv:1608.05859, section 3.
        Inan, Khosravi, Socher (2017), Tying word vectors and word classifiers,
        arXiv:1611.01462.
    """
    _check.cell("tied", embedding)
    _check.cell("tied", cell, "It would read the tokens to be guessed.")

    def init(key, x):
        _check.random_key("tied", key)
        embed_key, cell_key = jax.random.split(key)
        embed = embedding.init(embed_key, x)
        _check.params_type("tied", embed, EmbedParams)
        row = output_spec(embedding, embed, x)
        params = cell.init(cell_key, row)
        _same_size(output_spec(cell, params, row), embed.table)
        return TiedParams(
            embed, params, jnp.zeros(embed.table.shape[0], embed.table.dtype)
        )

    def initial_carry(params, *, key=None):
        _check.params_type("tied", params, TiedParams)
        return cell.initial_carry(params.cell, key=key)

    def step(params, carry, x, *, key=None):
        _check.params_type("tied", params, TiedParams)
        table = params.embed.table
        embed_key, cell_key = (None, None) if key is None else jax.random.split(key)
        _, row = embedding.step(params.embed, (), x, key=embed_key)  # (D,)
        carry, y = cell.step(params.cell, carry, row, key=cell_key)
        _same_size(y, table)
        return carry, y @ table.T + params.b

    return Cell(init, initial_carry, step)


def _same_size(y, table: jax.Array) -> None:
    shape = getattr(y, "shape", None)
    if shape != table.shape[1:]:
        got = _check.kind(y) if shape is None else f"shape {shape}"
        raise ValueError(
            f"tied: the rows of the table have shape {table.shape[1:]}, but the cell "
            f"returns {got}. Put linear({table.shape[1]}) behind it: "
            f"stack(lstm(64), linear({table.shape[1]}))."
        )
