"""Models ready made from the library's parts.

A language model, and the configurations in which inputs meet outputs: one to one, one
to many, many to one, many to many, and sequence to sequence (`jrnn.seq2seq`). Each is a
function of one sequence, by cells and their params; batches are `jax.vmap`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Carry, Cell, Input, Key, Output, Params
from jrnn.cells import (
    antisymmetric,
    cfc,
    clockwork,
    cornn,
    coupled_lstm,
    dale,
    echo_state,
    elman,
    gru,
    indrnn,
    irnn,
    janet,
    layer_norm_gru,
    layer_norm_lstm,
    leaky,
    lem,
    low_rank,
    lru,
    lstm,
    ltc,
    mgu,
    min_gru,
    min_lstm,
    mlstm,
    orthogonal_rnn,
    peephole_lstm,
    qrnn,
    s5,
    slstm,
    sru,
    ugrnn,
)
from jrnn.combine import stack
from jrnn.layers import embed, linear, one_hot
from jrnn.seq2seq import seq2seq
from jrnn.sequence import SequenceModel, pools_over_time
from jrnn.unroll import unroll
from jrnn.wrappers import (
    dropout,
    length_mask,
    masked,
    recurrent_dropout,
    tied,
    variational_dropout,
)

__all__ = [
    "CELLS",
    "LanguageModel",
    "carry_from",
    "language_model",
    "many_to_many",
    "many_to_one",
    "one_to_many",
    "one_to_one",
    "seq2seq",
]

CELLS: dict[str, Callable[[int], Cell]] = {
    "antisymmetric": antisymmetric,
    "cfc": cfc,
    "clockwork": clockwork,
    "cornn": cornn,
    "coupled_lstm": coupled_lstm,
    "dale": dale,
    "echo_state": echo_state,
    "elman": elman,
    "gru": gru,
    "indrnn": indrnn,
    "irnn": irnn,
    "janet": janet,
    "layer_norm_gru": layer_norm_gru,
    "layer_norm_lstm": layer_norm_lstm,
    "leaky": leaky,
    "lem": lem,
    "low_rank": low_rank,
    "lru": lru,
    "lstm": lstm,
    "ltc": ltc,
    "mgu": mgu,
    "min_gru": min_gru,
    "min_lstm": min_lstm,
    "mlstm": mlstm,
    "orthogonal_rnn": orthogonal_rnn,
    "peephole_lstm": peephole_lstm,
    "qrnn": qrnn,
    "s5": s5,
    "slstm": slstm,
    "sru": sru,
    "ugrnn": ugrnn,
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
    tie_weights: bool = False,
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
        recurrent_dropout_rate: on the recurrent state, one mask a window
            (`variational_dropout`); for a GRU on what it writes into its state, a new
            mask at every step (`recurrent_dropout`).
        tie_weights: whether logits are products with the same learned rows, see `tied`;
            a linear layer makes embed_size numbers of hidden_size before it.

    Returns:
        `LanguageModel(train, evaluate)`: both are cells from an integer token to
        logits (V,), with the same parameters; `train` needs a key where a rate is
        given.

    Raises:
        ValueError: a size is not positive or a rate outside [0, 1); weights to be tied
            without an embed_size.
        TypeError: `cell` makes a model that reads the whole sequence, the next token
            too.

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
    if tie_weights and not embed_size:
        raise ValueError(
            "language_model: tie_weights needs learned rows, embed_size above 0."
        )
    front = embed(vocab_size, embed_size) if embed_size else one_hot(vocab_size)
    recurrent = [cell(hidden_size) for _ in range(layers)]
    for layer in recurrent:
        _check.cell(
            "language_model", layer, "It would read the tokens to be predicted."
        )
    readout = linear(vocab_size)

    def noisy(layer: Cell) -> Cell:
        if not _check.is_zero(recurrent_dropout_rate):
            layer = _drop_in_recurrence(layer, recurrent_dropout_rate)
        return layer if _check.is_zero(dropout_rate) else dropout(layer, dropout_rate)

    def joined(layers: Iterable[Cell]) -> Cell:
        if not tie_weights:
            return stack(front, *layers, readout)
        small = embed(
            vocab_size, embed_size, table_init=jax.nn.initializers.normal(0.1)
        )
        return tied(small, stack(*layers, linear(embed_size)))

    return LanguageModel(
        train=joined(map(noisy, recurrent)), evaluate=joined(recurrent)
    )


def _drop_in_recurrence(layer: Cell, rate: ArrayLike) -> Cell:
    """Dropout of the state, or of what is written into one that passes by the step."""
    is_gru = layer.description is not None and layer.description.factory == "gru"
    return (recurrent_dropout if is_gru else variational_dropout)(layer, rate)


def one_to_one(
    cell: Cell, params: Params, x: Input, *, key: Key | None = None
) -> Output:
    """One input, one output: a network without time.

        y = cell(x)

    Args:
        cell: any cell; recurrent ones make one step from their initial carry.
        params: its parameters.
        x: the input of one step.
        key: for cells that need randomness.

    Returns:
        The output of one step.

    Raises:
        TypeError: a model that reads the whole sequence, see `many_to_one`.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> net = jrnn.stack(jrnn.linear(8), jrnn.activation(jax.nn.relu))
        >>> params = net.init(jax.random.key(0), jnp.zeros(3))
        >>> one_to_one(net, params, jnp.ones(3)).shape
        (8,)
    """
    _check.cell("one_to_one", cell, "Call many_to_one(model, readout, params, xs).")
    carry_key, step_key = (None, None) if key is None else jax.random.split(key)
    carry = cell.initial_carry(params, key=carry_key)
    return cell.step(params, carry, x, key=step_key)[1]


def one_to_many(
    front: Cell, cell: Cell, params: tuple[Params, Params], x: Input, ys: Input
) -> Output:
    """One input, many outputs: an image and its caption.

        carry_0 = front(x)
        o_t = cell(y_{t-1})   for t = 1 .. N

    The input decides the state in which `cell` starts. `ys` are y_0 .. y_{N-1}, the
    true outputs in training. To write with the cell's own, begin in the same state:
    `generate.prime(cell, params[1], begin, carry_from(cell, params[1], front(x)))`.

    Args:
        front: a network from x to as many numbers as the carry of `cell` has.
        cell: a cell that reads the last output, such as a language model.
        params: of front and cell.
        x: the one input.
        ys: what each step reads, with time first, `(N, ...)`.

    Returns:
        Outputs of `cell`, `(N, ...)`.

    Raises:
        ValueError: front returns too few numbers, or too many.
        TypeError: a model that reads the whole sequence, the outputs to come too.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> front = jrnn.linear(4)
        >>> cell = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> keys, x = jax.random.split(jax.random.key(0)), jnp.ones(64)
        >>> params = front.init(keys[0], x), cell.init(keys[1], jnp.array(0))
        >>> one_to_many(front, cell, params, x, jnp.array([0, 3, 1])).shape
        (3, 5)

    References:
        Vinyals, Toshev, Bengio, Erhan (2015), Show and tell: a neural image caption
        generator, arXiv:1411.4555 (there the image is the first input).
    """
    _check.cell("one_to_many", cell, "It would read the outputs to be predicted.")
    front_params, cell_params = params
    start = carry_from(cell, cell_params, one_to_one(front, front_params, x))
    return unroll(cell, cell_params, ys, start)[1]


def many_to_one(
    cell: Cell | SequenceModel,
    readout: Cell,
    params: tuple[Params, Params],
    xs: Input,
    length: ArrayLike | None = None,
    *,
    key: Key | None = None,
) -> Output:
    """Many inputs, one output: the class of a sequence, from its last step.

        h_t = cell(x_t)   for t = 1 .. T
        y = readout(h_T)

    The readout works on the last valid step alone; a stack of both would work it out
    at every step. At that step the backward part of a `bidirectional` has read one
    input only: put a `pool` behind it, and the readout reads what that returns.

    Args:
        cell: a cell or a model of whole sequences, whose outputs are arrays.
        readout: a cell that reads the last of them, or the one of a model that pools.
        params: of cell and readout, as those of `stack(cell, readout)`.
        xs: inputs with time first, `(T, ...)`.
        length: number of valid steps, 0 to T; all if None. May be traced. With 0 the
            readout reads zeros.
        key: for cells that need randomness.

    Returns:
        One output of `readout`.

    Raises:
        TypeError: a readout that reads the whole sequence.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> cell, readout = jrnn.gru(4), jrnn.linear(10)
        >>> params = jrnn.stack(cell, readout).init(jax.random.key(0), jnp.zeros(3))
        >>> many_to_one(cell, readout, params, jnp.ones((7, 3)), length=5).shape
        (10,)
    """
    _check.cell("many_to_one", readout, "It reads one output: use a cell, linear(10).")
    cell_params, readout_params = params
    cell_key, readout_key = (None, None) if key is None else jax.random.split(key)
    h = _outputs("many_to_one", cell, cell_params, xs, length, cell_key)
    if not pools_over_time(cell):
        # nothing valid: the last step, which is zero like all of them
        h = h[-1 if length is None else length - 1]
    return one_to_one(readout, readout_params, h, key=readout_key)


def many_to_many(
    cell: Cell | SequenceModel,
    params: Params,
    xs: Input,
    length: ArrayLike | None = None,
    *,
    key: Key | None = None,
) -> Output:
    """Many inputs, an output for each: a label for every frame.

        y_t = cell(x_t)   for t = 1 .. T

    For labels that depend on later inputs too see `jrnn.bidirectional`.

    Args:
        cell: any cell, or a model of whole sequences that has an output for each step.
        params: its parameters.
        xs: inputs with time first, `(T, ...)`.
        length: number of valid steps, 0 to T; all if None. May be traced.
        key: for cells that need randomness.

    Returns:
        Outputs `(T, ...)`, zero behind the last valid step.

    Raises:
        ValueError: the model pools over time, and has one output.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> net = jrnn.stack(jrnn.gru(4), jrnn.linear(2))
        >>> params = net.init(jax.random.key(0), jnp.zeros(3))
        >>> ys = many_to_many(net, params, jnp.ones((7, 3)), length=5)
        >>> ys.shape, bool((ys[5:] == 0).all())
        ((7, 2), True)
    """
    if pools_over_time(cell):
        raise ValueError(
            "many_to_many: the model pools over time and has one output, not one for "
            "each step. Call many_to_one, or unroll."
        )
    return _outputs("many_to_many", cell, params, xs, length, key)


def carry_from(cell: Cell, params: Params, numbers: jax.Array) -> Carry:
    """Numbers in the form of a cell's carry: the state that another network sets.

    Args:
        cell: any cell.
        params: its parameters.
        numbers: as many as its carry has, `(n,)`.

    Returns:
        A carry of `cell`.

    Raises:
        ValueError: another number of numbers.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> cell = jrnn.lstm(2)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> carry_from(cell, params, jnp.arange(4.0)).c.shape
        (2,)
    """
    flat, to_carry = ravel_pytree(cell.initial_carry(params))
    if numbers.shape != flat.shape:
        raise ValueError(
            f"carry_from: the carry has {flat.size} numbers, got an array of shape "
            f"{numbers.shape}. Give the network in front as many outputs."
        )
    return to_carry(numbers)


def _outputs(name: str, cell, params, xs, length, key) -> Output:
    num_steps = _check.num_steps(name, xs)
    if length is None:
        return unroll(cell, params, xs, key=key)[1]
    valid = length_mask(length, num_steps)
    return unroll(masked(cell), params, (xs, valid), key=key)[1]
