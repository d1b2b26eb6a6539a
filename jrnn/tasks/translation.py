"""One sequence of tokens written as another: sequence to sequence."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check, wrappers
from jrnn.attention import dot
from jrnn.cell import Cell
from jrnn.combine import bidirectional, stack
from jrnn.generate import beam_search, prime
from jrnn.losses import cross_entropy
from jrnn.seq2seq import Seq2Seq, scheduled_sampling, seq2seq
from jrnn.tasks.reader import cell_of, counted, rows_of, run_rows, symbols, targets_of
from jrnn.tasks.task import Padded, Task
from jrnn.unroll import unroll


class Written(NamedTuple):
    """What was written for each source, and how likely it is."""

    tokens: Any  # Padded (B, N): integers, without the end
    log_prob: Any  # (B,): nats, of the tokens and the end


class _Marked(NamedTuple):
    """Targets with their end, as a decoder reads and writes them."""

    reads: jax.Array  # (B, N + 1): the mark, then the target
    writes: jax.Array  # (B, N + 1): the target, then the mark
    valid: jax.Array  # (B, N + 1): up to the mark, in rows that are real
    known: jax.Array  # (B, N + 1): valid, and among the target's tokens


def translation(
    source: int,
    target: int,
    *,
    cell: str | Callable[[int], Cell] = "gru",
    hidden_size: int = 64,
    layers: int = 1,
    embed_size: int = 32,
    dropout: float = 0.0,
    attention: bool = True,
    longest: int = 64,
    beam_size: int = 1,
    length_power: float = 1.0,
    truth: float | Callable[[ArrayLike], ArrayLike] = 1.0,
) -> Task:
    """Write a sequence of tokens as another.

        m = encoder(x_1 .. x_S)                             in both directions
        p(y_n | y_1 .. y_{n-1}, x) = softmax(decoder(y_{n-1}, m))
        L = - mean over all target tokens, and the end of each, of log p(y_n | ...)

    The model is `jrnn.seq2seq.seq2seq` over the tokens of the target and one more, with
    which every target begins and ends; it is added here, so that datasets and answers
    do without it. Figures are of what the model writes by itself, not of its next token
    after a true beginning.

    Targets of a batch are integers (B, N). Those outside 0..V-1, for tokens that
    training has not seen, are read as zeros, do not count in the loss, and count as
    wrong. Tasks that differ only in `dropout`, `longest`, `beam_size`, `length_power`
    or `truth` share a parameter tree: train with one, and answer with another. The
    model alone, to see where its attention looks, is `translation_model`.

    Args:
        source: number of different tokens of the sources.
        target: the same of the targets, V.
        cell: "gru", "lstm", "elman", "irnn", or a cell factory.
        hidden_size: units of the decoder and of each direction of the encoder.
        layers: recurrent layers of both, one on the other.
        embed_size: length of a token's learned row.
        dropout: in training, on what each layer of encoder and decoder hands on.
        attention: whether the decoder looks at every state of the encoder, by
            `jrnn.attention.dot()`; else it knows the source by one vector.
        longest: tokens written at most, without the end.
        beam_size: texts kept by `jrnn.generate.beam_search`; 1 is greedy choice.
        length_power: of its correction for length.
        truth: in training, how often the decoder reads the true token before and not
            its own: a probability, or a function of the number of the update, such as
            `partial(inverse_sigmoid, pace=100)` of `jrnn.seq2seq`.

    Returns:
        A `Task`. Figures are "loss", "token_accuracy", the share of target tokens,
        ends included, that the answer has in the same place, and "exact_match", the
        share of answers that are right from beginning to end. Answers are
        `Written(tokens, log_prob)`, `Padded` (B, longest) and (B,).

    Raises:
        ValueError: a size or rate outside its range, another word, dropout together
            with a truth below 1; a batch of another form.
        TypeError: tokens that are not integers.

    Example:
        >>> from jrnn.data import Batch
        >>> task = translation(9, 5, hidden_size=8, embed_size=4, longest=6)
        >>> params = task.init(jax.random.key(0))
        >>> sources, targets = jnp.ones((2, 7), int), jnp.ones((2, 4), int)
        >>> batch = Batch(sources, jnp.array([7, 2]), targets, jnp.array([4, 3]),
        ...     jnp.array([True, True]))
        >>> int(task.sums(params, batch)["count"])  # 4 and an end, 3 and an end
        9
        >>> task.predict(params, batch).tokens.values.shape
        (2, 6)

    References:
        Sutskever, Vinyals, Le (2014), arXiv:1409.3215.
        Luong, Pham, Manning (2015), arXiv:1508.04025 (attention).
        Bengio, Vinyals, Jaitly, Shazeer (2015), arXiv:1506.03099 (own inputs).
    """
    name, end = "translation", target
    _check.positive(name, "longest", longest)
    _check.positive(name, "beam_size", beam_size)
    _check.rate(name, dropout)
    scheduled = callable(truth) or truth < 1
    if scheduled and dropout:
        raise ValueError(
            f"{name}: dropout and a truth below 1 cannot be had together. Leave one of "
            "them out."
        )
    layered = partial(
        translation_model,
        source,
        target,
        cell=cell,
        hidden_size=hidden_size,
        layers=layers,
        embed_size=embed_size,
        attention=attention,
    )
    inputs, train, evaluate = symbols(source), layered(dropout=dropout), layered()

    def logits(params, batch, marked, key, step):
        """Of what the decoder writes after what it reads, (B, N + 1, V + 1)."""
        model = evaluate if key is None else train

        def one(params, xs, length, reads, writes, *, key=None):
            encode_key, key = (None, None) if key is None else jax.random.split(key)
            decoder = model.decoder(model.encode(params, xs, length, key=encode_key))
            if key is None or not scheduled:
                return unroll(decoder, params, reads, key=key)[1]
            share = truth(0 if step is None else step) if callable(truth) else truth
            return scheduled_sampling(decoder, params, key, end, writes, share)[0]

        rows = (*rows_of(name, inputs, batch), marked.reads, marked.writes)
        return run_rows(one, params, rows, key)

    def loss(params, batch, *, key=None, step=None):
        marked = _marked(name, batch, end)
        z = logits(params, batch, marked, key, step)
        return cross_entropy(z, marked.writes, marked.known)

    def write(params, batch):
        """Tokens (B, longest), behind an end nothing but ends, and log p (B,)."""

        def one(params, xs, length, *, key=None):
            del key
            decoder = evaluate.decoder(evaluate.encode(params, xs, length))
            start = prime(decoder, params, jnp.array([end], jnp.int32))
            tokens, log_probs = beam_search(
                decoder,
                params,
                start,
                longest + 1,
                beam_size,
                stop_token=end,
                length_power=length_power,
            )
            return tokens[0], log_probs[0]

        tokens, log_probs = run_rows(one, params, rows_of(name, inputs, batch), None)
        return tokens[:, :longest], log_probs

    def sums(params, batch):
        marked = _marked(name, batch, end)
        z = logits(params, batch, marked, None, None)
        count = marked.known.sum().astype(z.dtype)
        own = cross_entropy(z, marked.writes, marked.known) * count
        return {"loss": own, "count": count} | _hits(
            marked, write(params, batch)[0], end, jnp.asarray(batch.real)
        )

    def predict(params, batch):
        tokens, log_probs = write(params, batch)
        return Written(Padded(tokens, (tokens != end).sum(axis=1)), log_probs)

    return Task(evaluate.init, loss, sums, figures_of_written, predict)


def translation_model(
    source: int,
    target: int,
    *,
    cell: str | Callable[[int], Cell] = "gru",
    hidden_size: int = 64,
    layers: int = 1,
    embed_size: int = 32,
    dropout: float = 0.0,
    attention: bool = True,
) -> Seq2Seq:
    """The model of a `translation` of the same options, whose parameters it takes.

    It encodes a source, runs the decoder step by step, and shows where attention looks.
    Token V, one more than those of the target, is what the decoder reads first and
    writes last.

    Args:
        source: number of different tokens of the sources.
        target: the same of the targets, V.
        cell: as for `translation`.
        hidden_size: the same.
        layers: the same.
        embed_size: the same.
        dropout: the same; with it `encode` and the decoder need a key.
        attention: the same.

    Returns:
        A `jrnn.seq2seq.Seq2Seq`.

    Raises:
        ValueError: a size or rate outside its range, another word.

    Example:
        >>> options = {"hidden_size": 8, "embed_size": 4}
        >>> params = translation(9, 5, **options).init(jax.random.key(0))
        >>> model, written = translation_model(9, 5, **options), jnp.array([3, 0, 2])
        >>> memory = model.encode(params, jnp.array([8, 1, 1, 7]))
        >>> reads = jnp.append(5, written)  # the mark, and what it has written
        >>> model.look(params, memory, reads).shape  # what it writes, and the mark
        (4, 4)
    """
    _check.positive("translation", "layers", layers)
    make = cell_of("translation", cell)
    quiet = _check.is_zero(dropout)
    drop = lambda part: part if quiet else wrappers.dropout(part, dropout)
    one = make(hidden_size)
    _check.cell("translation", one, "A decoder reads from left to right.")
    both = bidirectional(one, one)

    def decoder(size: int) -> Cell:
        cells: list[Cell] = [drop(make(size)) for _ in range(layers)]
        return stack(*cells)

    return seq2seq(
        source,
        target + 1,
        cell=decoder,
        hidden_size=hidden_size,
        embed_size=embed_size,
        attention=dot() if attention else None,
        encoder=stack(*[drop(both) for _ in range(layers)]),
    )


def figures_of_written(sums) -> dict[str, float]:
    """Figures of sums of translations that were added over batches.

    Args:
        sums: of the `sums` of a `translation`.

    Returns:
        "loss" in nats a token, "token_accuracy" and "exact_match"; NaN of nothing.

    Example:
        >>> figures_of_written({"loss": 4.0, "count": 8, "tokens": 8, "right": 6,
        ...     "texts": 2, "exact": 1})
        {'loss': 0.5, 'token_accuracy': 0.75, 'exact_match': 0.5}
    """
    share = lambda a, b: float(sums[a]) / float(sums[b]) if sums[b] else float("nan")
    return {
        "loss": share("loss", "count"),
        "token_accuracy": share("right", "tokens"),
        "exact_match": share("exact", "texts"),
    }


def _marked(name: str, batch, end: int) -> _Marked:
    targets = targets_of(name, batch, 2)
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"{name}: targets must be integers, got {targets.dtype}.")
    if batch.target_lengths is None:
        raise ValueError(
            f"{name}: targets must be sequences, with target_lengths in the batch. "
            "Make the dataset with targets of jrnn.data.from_arrays."
        )
    targets = targets.astype(jnp.int32)
    lengths = counted(batch.target_lengths)[:, None]
    mark = jnp.full((targets.shape[0], 1), end, jnp.int32)
    at = jnp.arange(targets.shape[1] + 1)[None]
    reads = jnp.concatenate([mark, targets], axis=1)
    writes = jnp.where(at < lengths, jnp.concatenate([targets, mark], axis=1), end)
    valid = (at <= lengths) & jnp.asarray(batch.real)[:, None]
    # a target never holds the mark itself: it would end there
    inside = (writes >= 0) & ((writes < end) | (at == lengths))
    return _Marked(reads, writes, valid, valid & inside)


def _hits(marked: _Marked, tokens: jax.Array, end: int, real: jax.Array) -> dict:
    """How many tokens stand in the right place, and how many answers are right."""
    size = marked.writes.shape[1]
    more = max(0, size - tokens.shape[1])
    tokens = jnp.pad(tokens, ((0, 0), (0, more)), constant_values=end)[:, :size]
    right = (tokens == marked.writes) & marked.known
    return {
        "right": right.sum(),
        "tokens": marked.valid.sum(),
        "exact": (real & (right == marked.valid).all(axis=1)).sum(),
        "texts": real.sum(),
    }
