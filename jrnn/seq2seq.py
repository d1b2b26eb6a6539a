"""Sequence to sequence: an encoder, a decoder, and ways to run the decoder.

A decoder is a cell from a token to the logits of the next, made for one source by
`Seq2Seq.decoder(memory)`. So whatever takes a language model takes it too:

    memory = model.encode(params, source, length)
    decoder = model.decoder(memory)
    state = generate.prime(decoder, params, jnp.array([begin]))
    _, tokens = generate.sample(decoder, params, None, state, 10, greedy=True)
    beams, log_probs = generate.beam_search(decoder, params, state, 10, 4)

Everything is for one pair; a batch is `jax.vmap`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._replacements.largest import index_of_largest
from jrnn._rows import rows
from jrnn.attention import Score, attend
from jrnn.cell import Carry, Cell, Key, Params, output_spec
from jrnn.cells import gru
from jrnn.combine import bidirectional
from jrnn.layers import EmbedParams, LinearParams, embed, linear
from jrnn.scan import scan
from jrnn.sequence import SequenceModel, pools_over_time
from jrnn.unroll import unroll
from jrnn.wrappers import length_mask, masked

__all__ = [
    "Memory",
    "Seq2Seq",
    "Seq2SeqParams",
    "inverse_sigmoid",
    "scheduled_sampling",
    "seq2seq",
    "teacher_forcing",
]

_FORWARD = "A decoder reads from left to right: use cells alone, without later inputs."


class Seq2SeqParams(NamedTuple):
    """Weights of an encoder and a decoder."""

    source: EmbedParams  # (V_source, D)
    encoder: Params  # (forward, backward), or of the encoder given
    bridge: LinearParams  # from the encoder's last carries to the decoder's first
    target: EmbedParams  # (V_target, D)
    decoder: Params
    attention: Any  # of the score, () without attention
    readout: LinearParams  # (H, V_target), or (H + M, V_target) with attention


class Memory(NamedTuple):
    """What a decoder knows of the source."""

    carry: Carry  # the decoder's first
    states: jax.Array  # (S, M), zero at padding; M = 2H unless an encoder is given
    keys: Any  # (S, A), None without attention
    valid: jax.Array  # (S,)


class Seq2Seq(NamedTuple):
    """Encoder and decoder as pure functions."""

    init: Callable[[Key], Seq2SeqParams]
    encode: Callable[..., Memory]  # (params, source (S,), length=None, *, key=None)
    decoder: Callable[[Memory], Cell]  # token -> logits (V_target,)
    look: Callable[..., jax.Array]  # (params, memory, tokens (N,)) -> (N, S)


def seq2seq(
    source_size: int,
    target_size: int,
    *,
    cell: Callable[[int], Cell] = gru,
    hidden_size: int = 64,
    embed_size: int = 32,
    attention: Score | None = None,
    encoder: Cell | SequenceModel | None = None,
) -> Seq2Seq:
    """Encoder and decoder, with attention if a score is given.

        m_s = [forward(x_1 .. x_s), backward(x_S .. x_s)]        the encoder
        h_0 = tanh([carry_forward, carry_backward] w + b)        the bridge
        h_t = cell(h_{t-1}, y_{t-1})                             the decoder
        c_t = sum_s softmax_s(score(h_t, m)) m_s
        logits_t = [h_t, c_t] w_o + b_o                          h_t alone without

    As in Luong et al. the attention follows the recurrence and does not enter it, so
    with known inputs it is one product for all steps. (Bahdanau et al. feed c_t to the
    cell; Luong et al. put one more tanh layer before the readout.)

    Args:
        source_size: tokens V_source of the source.
        target_size: tokens V_target of the target.
        cell: a cell factory, from a hidden size to a cell; used three times.
        hidden_size: units H of the decoder and of each direction of the encoder.
        embed_size: length D of a token's learned row.
        attention: a score, such as `jrnn.attention.dot()`; without attention if None.
        encoder: reads the rows of the source and returns its states m, (M,) for each,
            such as a `stack` of several `bidirectional` layers; `cell` in both
            directions if None.

    Returns:
        `Seq2Seq(init, encode, decoder, look)`. `encode(params, source, length)` reads
        the first `length` tokens of source, all if None: what stands behind them
        changes nothing; with a `key` where the encoder needs one. `decoder(memory)` is
        a cell from a token to logits (V_target,), to be run with the whole params.
        `look(params, memory, tokens)` are the weights (N, S) with which the decoder,
        given these inputs, looks at the source.

    Raises:
        ValueError: a size that is not a positive integer; a source that is not of
            shape (S,); `look` without attention; an encoder that pools.
        TypeError: `cell` makes a model that reads the whole sequence: the decoder is
            stepped.

    Example:
        >>> from jrnn.attention import dot
        >>> model = seq2seq(7, 5, hidden_size=4, embed_size=3, attention=dot())
        >>> params = model.init(jax.random.key(0))
        >>> memory = model.encode(params, jnp.array([1, 6, 2, 0]), 3)
        >>> decoder = model.decoder(memory)
        >>> unroll(decoder, params, jnp.array([0, 3]))[1].shape
        (2, 5)
        >>> model.look(params, memory, jnp.array([0, 3])).shape
        (2, 4)

    References:
        Sutskever, Vinyals, Le (2014), Sequence to sequence learning with neural
        networks, arXiv:1409.3215.
        Cho et al. (2014), arXiv:1406.1078.
        Luong, Pham, Manning (2015), arXiv:1508.04025, section 3.
    """
    for name, size in (("source_size", source_size), ("target_size", target_size)):
        _check.positive("seq2seq", name, size)
    source_table = embed(source_size, embed_size)
    target_table = embed(target_size, embed_size)
    recurrent, readout = cell(hidden_size), linear(target_size)
    _check.cell("seq2seq", recurrent, "The decoder is: pass the model as `encoder`.")
    reader = bidirectional(recurrent, recurrent) if encoder is None else encoder
    _check.model("seq2seq", reader)
    if pools_over_time(reader):
        raise ValueError(
            "seq2seq: encoder pools over time, but a state of every step is needed. "
            "Leave the pool out."
        )

    def init(key):
        s, t, f, b, d, bridge, a, r = jax.random.split(key, 8)
        token, x = jnp.int32(0), jnp.zeros(embed_size)
        if encoder is None:
            of_reader = recurrent.init(f, x), recurrent.init(b, x)
        else:
            of_reader = encoder.init(f, x)
        decoder = recurrent.init(d, x)
        carry = ravel_pytree(recurrent.initial_carry(decoder))[0]
        read = ravel_pytree(reader.initial_carry(of_reader))[0]
        H, M = hidden_size, output_spec(reader, of_reader, x).shape[0]
        seen = jnp.zeros(H if attention is None else H + M)
        return Seq2SeqParams(
            source=source_table.init(s, token),
            encoder=of_reader,
            bridge=linear(len(carry)).init(bridge, read),
            target=target_table.init(t, token),
            decoder=decoder,
            attention=() if attention is None else attention.init(a, H, M),
            readout=readout.init(r, seen),
        )

    def encode(params, source, length=None, *, key=None):
        source = jnp.asarray(source)
        if source.ndim != 1:
            raise ValueError(
                f"seq2seq: source must have shape (S,), got {source.shape}. "
                "Use jax.vmap for a batch."
            )
        steps = source.shape[0]
        length = steps if length is None else length
        xs = rows(params.source.table, source)  # (S, D)
        valid = length_mask(length, steps)
        carries, states = unroll(masked(reader), params.encoder, (xs, valid), key=key)
        last, _ = ravel_pytree(carries)
        _, unravel = ravel_pytree(recurrent.initial_carry(params.decoder))
        carry = unravel(jnp.tanh(last @ params.bridge.w + params.bridge.b))
        keys = None
        if attention is not None:
            keys = attention.keys(params.attention, states)
        return Memory(carry, states, keys, valid)

    def decoder(memory):
        def initial_carry(params, *, key=None):
            del params, key
            return memory.carry

        def step(params, carry, x, *, key=None):
            y = rows(params.target.table, x)
            carry, h = recurrent.step(params.decoder, carry, y, key=key)
            if attention is not None:
                h = jnp.concatenate([h, _context(attention, params, memory, h)[0]])
            return carry, readout.step(params.readout, (), h)[1]

        return Cell(lambda key, x: init(key), initial_carry, step)

    def look(params, memory, tokens):
        if attention is None:
            raise ValueError("seq2seq: look needs a model with attention.")
        ys = rows(params.target.table, tokens)
        _, hs = unroll(recurrent, params.decoder, ys, memory.carry)
        attended = partial(_context, attention, params, memory)
        return jax.vmap(lambda h: attended(h)[1])(hs)

    return Seq2Seq(init, encode, decoder, look)


def _context(attention: Score, params, memory, h) -> tuple[jax.Array, jax.Array]:
    scores = attention.score(params.attention, h, memory.keys)
    return attend(scores, memory.states, memory.valid)


def teacher_forcing(
    decoder: Cell, params: Params, begin: ArrayLike, targets: jax.Array
) -> jax.Array:
    """Logits of each target token, given the true ones before it.

        logits_t = decoder(begin, targets_1 .. targets_{t-1})

    Args:
        decoder: a cell from tokens to logits (V,), such as `model.decoder(memory)`.
        params: its parameters.
        begin: the token read first, an integer.
        targets: integers (N,).

    Returns:
        Logits (N, V), to be compared with `targets` itself.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> teacher_forcing(model, params, 0, jnp.array([3, 1, 4])).shape
        (3, 5)

    References:
        Williams, Zipser (1989), A learning algorithm for continually running fully
        recurrent neural networks, doi:10.1162/neco.1989.1.2.270.
    """
    _check.cell("teacher_forcing", decoder, _FORWARD)
    begin = jnp.asarray(begin, targets.dtype)[None]
    return unroll(decoder, params, jnp.concatenate([begin, targets[:-1]]))[1]


def scheduled_sampling(
    decoder: Cell,
    params: Params,
    key: Key,
    begin: ArrayLike,
    targets: jax.Array,
    truth: ArrayLike,
) -> tuple[jax.Array, jax.Array]:
    """Logits of each target token, given inputs that are sometimes the model's own.

        y_t = targets_t                    with probability truth
            = k ~ softmax(logits_t)        otherwise
        logits_t = decoder(begin, y_1 .. y_{t-1})

    With truth = 1 this is teacher forcing, with 0 the model runs as at test, but for
    the sampling. As in the paper the choice of a token passes no gradient.

    Args:
        decoder: a cell from tokens to logits (V,), such as `model.decoder(memory)`.
        params: its parameters.
        key: random key.
        begin: the token read first, an integer.
        targets: integers (N,).
        truth: probability of a true input, 0 to 1; may be traced. See
            `inverse_sigmoid` for how to let it fall.

    Returns:
        `(logits, inputs)`: (N, V), to be compared with `targets`, and the tokens read,
        int32 (N,), the first of them `begin`.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> params, key = model.init(jax.random.key(0), jnp.array(0)), jax.random.key(1)
        >>> targets = jnp.array([3, 1, 4])
        >>> logits, inputs = scheduled_sampling(model, params, key, 0, targets, 1.0)
        >>> logits.shape, inputs.tolist()
        ((3, 5), [0, 3, 1])

    References:
        Bengio, Vinyals, Jaitly, Shazeer (2015), Scheduled sampling for sequence
        prediction with recurrent neural networks, arXiv:1506.03099, section 2.4.
    """
    _check.cell("scheduled_sampling", decoder, _FORWARD)
    coin_key, noise_key = jax.random.split(key)
    targets = targets.astype(jnp.int32)
    true = jax.random.bernoulli(coin_key, truth, targets.shape)
    noise_keys = jax.random.split(noise_key, targets.shape[0])

    def step(state, x):
        carry, token = state
        target, true, noise_key = x
        carry, logits = decoder.step(params, carry, token)
        noise = jax.random.gumbel(noise_key, logits.shape, logits.dtype)
        own = index_of_largest(jax.lax.stop_gradient(logits) + noise)
        return (carry, jnp.where(true, target, own)), (logits, token)

    first = (decoder.initial_carry(params), jnp.asarray(begin, jnp.int32))
    return scan(step, first, (targets, true, noise_keys))[1]


def inverse_sigmoid(step: ArrayLike, pace: ArrayLike) -> jax.Array:
    """Probability of a true input, falling from almost 1 to 0 along a sigmoid.

        truth = k / (k + exp(step / k))

    It is 1/2 at step = k log k.

    Args:
        step: number of the update.
        pace: k, at least 1; larger falls later and more slowly.

    Returns:
        A probability.

    Example:
        >>> [round(float(inverse_sigmoid(n, 10.0)), 2) for n in (0, 23, 60)]
        [0.91, 0.5, 0.02]

    References:
        Bengio, Vinyals, Jaitly, Shazeer (2015), arXiv:1506.03099, section 2.4.
    """
    step, pace = jnp.asarray(step, float), jnp.asarray(pace, float)
    # k / (k + e^(n / k)) = sigmoid(log k - n / k), which does not overflow
    return jax.nn.sigmoid(jnp.log(pace) - step / pace)
