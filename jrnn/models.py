"""Models ready made from the library's parts."""

from collections.abc import Callable
from typing import NamedTuple

from jax.typing import ArrayLike

from jrnn.cell import Cell
from jrnn.cells import elman, gru, irnn, lstm
from jrnn.combine import stack
from jrnn.layers import embed, linear, one_hot
from jrnn.wrappers import dropout, variational_dropout

CELLS: dict[str, Callable[[int], Cell]] = {
    "elman": elman,
    "irnn": irnn,
    "gru": gru,
    "lstm": lstm,
}


class LanguageModel(NamedTuple):
    """One model in two forms that share a parameter tree."""

    train: Cell  # with dropout
    evaluate: Cell  # without


def language_model(
    vocab_size: int,
    *,
    cell: Callable[[int], Cell] = lstm,
    hidden_size: int = 128,
    layers: int = 1,
    embed_size: int = 0,
    dropout_rate: ArrayLike = 0.0,
    recurrent_dropout_rate: ArrayLike = 0.0,
) -> LanguageModel:
    """Recurrent language model: from a token to logits of the next.

        x_t = one_hot(token_t), or a learned row of embed_size numbers
        h_t = recurrent layers, each followed by dropout on its output
        logits_t = h_t w + b

    Args:
        vocab_size: number of tokens V.
        cell: a cell factory, from a hidden size to a cell.
        hidden_size: units H of each layer.
        layers: recurrent layers, one on the other.
        embed_size: length of a token's learned row; 0 for a one-hot vector.
        dropout_rate: on the output of every recurrent layer, new at every step.
        recurrent_dropout_rate: on the recurrent state, one mask a window.

    Returns:
        `LanguageModel(train, evaluate)`: both are cells from an integer token to
        logits (V,), with the same parameters; `train` needs a key where a rate is
        given.

    Raises:
        ValueError: a size is not positive or a rate outside [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp, jrnn
        >>> model = language_model(65, cell=jrnn.gru, hidden_size=8, dropout_rate=0.1)
        >>> params = model.train.init(jax.random.key(0), jnp.array(0))
        >>> jrnn.unroll(model.evaluate, params, jnp.array([3, 1, 4]))[1].shape
        (3, 65)

    References:
        Sutskever, Martens, Hinton (2011), Generating text with recurrent neural
        networks, icml.cc/2011/papers/524_icmlpaper.pdf.
        Zaremba, Sutskever, Vinyals (2014), Recurrent neural network regularization,
        arXiv:1409.2329 (where the dropout is).
    """
    front = embed(vocab_size, embed_size) if embed_size else one_hot(vocab_size)
    recurrent = [cell(hidden_size) for _ in range(layers)]
    readout = linear(vocab_size)

    def noisy(layer: Cell) -> Cell:
        if not _is_zero(recurrent_dropout_rate):
            layer = variational_dropout(layer, recurrent_dropout_rate)
        return layer if _is_zero(dropout_rate) else dropout(layer, dropout_rate)

    return LanguageModel(
        train=stack(front, *map(noisy, recurrent), readout),
        evaluate=stack(front, *recurrent, readout),
    )


def _is_zero(rate: ArrayLike) -> bool:
    return isinstance(rate, int | float) and rate == 0
