"""New text from a model: sampling, beam search, and how likely a given text is.

A model is any cell from an integer token to the logits (V,) of the next one. All
functions work on one sequence; a batch of samples is `jax.vmap` over keys. Nothing is
compiled here: wrap the call in `jax.jit`, for a loop that runs as one program.

    state = prime(model, params, encode(vocabulary, "The "))
    generate = jax.jit(lambda key, state: sample(model, params, key, state, 200))
    state, tokens = generate(jax.random.key(0), state)

What all share: the state of a text is the carry after everything *but its last token*,
and that token. The cell reads it to predict the next one, so no token is read twice.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from jrnn import _check
from jrnn._replacements.largest import index_of_largest
from jrnn._replacements.likelihood import negative_log_likelihood
from jrnn._replacements.threefry import unroll_rounds
from jrnn._replacements.token_table import with_token_table
from jrnn.cell import Carry, Cell, Key, Params
from jrnn.scan import scan
from jrnn.unroll import unroll

__all__ = [
    "SampleState",
    "beam_search",
    "filtered_log_probs",
    "gumbel_noise",
    "log_likelihood",
    "prime",
    "sample",
]


NOISE_BLOCK = 64  # rows of noise that share a key
_FORWARD = (
    "A text is written from left to right: use cells alone, without later inputs."
)


class SampleState(NamedTuple):
    """A text so far: all that is needed to go on with it."""

    carry: Carry  # after every token but the last
    token: jax.Array  # () int32, the last token, not read yet
    position: jax.Array  # () int32, tokens sampled since the prime
    stopped: jax.Array  # () bool, whether the stop token has been sampled


def prime(
    cell: Cell, params: Params, tokens: ArrayLike, carry: Carry | None = None
) -> SampleState:
    """Let a model read the beginning of a text, in one unroll.

    Args:
        cell: a model from integer tokens to logits (V,).
        params: its parameters.
        tokens: the beginning, integers `(P,)`, at least one: the first new token is
            predicted from it. A newline is a natural choice where there is no text.
        carry: state before the first of them; `cell.initial_carry(params)` if None.

    Returns:
        A `SampleState`, from which `sample` and `beam_search` go on.

    Raises:
        ValueError: no tokens, or another rank; a cell that does not return logits.
        TypeError: tokens that are not integers.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> state = prime(model, params, jnp.array([3, 1, 4]))
        >>> int(state.token), int(state.position)
        (4, 0)
    """
    tokens = _tokens("prime", tokens, at_least=1)
    _check.cell("prime", cell, _FORWARD)
    if carry is None:
        carry = cell.initial_carry(params)
    if len(tokens) > 1:
        # logits of the prime are of no use: don't collect them
        carry_only = cell._replace(
            step=lambda *args, **k: (cell.step(*args, **k)[0], ())
        )
        carry, _ = unroll(carry_only, params, tokens[:-1], carry)
    state = SampleState(carry, tokens[-1], jnp.int32(0), jnp.bool_(False))
    _logits("prime", cell, params, state)
    return state


def sample(
    cell: Cell,
    params: Params,
    key: Key | None,
    state: SampleState,
    length: int,
    *,
    temperature: ArrayLike = 1.0,
    top_k: int | None = None,
    top_p: ArrayLike | None = None,
    greedy: bool = False,
    stop_token: ArrayLike | None = None,
) -> tuple[SampleState, jax.Array]:
    """Sample new tokens from a model, each given all before it.

        carry_t, l_t = step(params, carry_{t-1}, token_{t-1})
        token_t = argmax_k  l_t[k] + temperature * n_t[k]          n_t Gumbel noise
                = k with probability softmax(l_t / temperature)[k]

    `top_k` and `top_p` restrict the choice; `filtered_log_probs` states how. The noise
    of position t is a function of `(key, t)` alone, all of it drawn ahead of the loop,
    where it costs a fraction. So a long text can be sampled in pieces, to show it as it
    grows: with the same key and the state that the last call returned, pieces of any
    lengths join to exactly the text of one call. The noise takes `4 * V * length`
    bytes; some thousand tokens a piece are plenty.

    Args:
        cell: a model from integer tokens to logits (V,), without dropout.
        params: its parameters.
        key: random key; may be None if `greedy`, or at temperature 0.
        state: from `prime` or from the call before.
        length: number of new tokens N; the prime does not count.
        temperature: at least 0. Below 1 sharpens, above 1 flattens, 0 is `greedy`. May
            be traced, so that changing it compiles nothing anew.
        top_k: sample among the k most likely tokens only; at least 1, static. From V
            on it changes nothing.
        top_p: sample among the smallest set of most likely tokens whose probability
            reaches it; in (0, 1], may be traced.
        greedy: take the most likely token (the first, if several are), without noise.
            The settings above never change which one that is.
        stop_token: once this token is sampled, the rest of the tokens, and all that
            later calls return, repeat it, and the carry is held. May be traced.

    Returns:
        `(state, tokens)`: the state to go on from and the new tokens, int32 `(N,)`.
        Where logits hold NaN, or a traced setting is outside its range, the token is
        -1, which is none.

    Raises:
        ValueError: a setting outside its range; no key, unless greedy; a cell that
            does not return logits.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> state = prime(model, params, jnp.array([3, 1, 4]))
        >>> key = jax.random.key(1)
        >>> _, whole = sample(model, params, key, state, 9, temperature=0.7)
        >>> state, one = sample(model, params, key, state, 2, temperature=0.7)
        >>> state, two = sample(model, params, key, state, 7, temperature=0.7)
        >>> whole.shape, bool((whole == jnp.concatenate([one, two])).all())
        ((9,), True)

    References:
        Gumbel (1954), Statistical theory of extreme values (the maximum's law).
        Fan, Lewis, Dauphin (2018), Hierarchical neural story generation,
        arXiv:1805.04833 (top-k).
        Holtzman et al. (2020), The curious case of neural text degeneration,
        arXiv:1904.09751 (top-p).
    """
    _check.positive("sample", "length", length)
    logits = _logits("sample", cell, params, state)
    dtype = _float_dtype(logits)
    if not greedy:
        _check_settings("sample", temperature, top_k, top_p)
    if greedy or _is_zero(temperature):
        choose, noise = lambda logits, _: index_of_largest(logits), None
    else:
        if key is None:
            raise ValueError("sample: needs a key, unless greedy=True.")
        choose = partial(_choose, temperature=temperature, top_k=top_k, top_p=top_p)
        noise = gumbel_noise(key, state.position, length, logits.shape[0], dtype)
        # not logits / temperature: this is done ahead of the loop, and cannot overflow
        noise = noise * _in_range(temperature, top_p, dtype)

    read, first = _reader(cell, params, state, logits.shape[0])

    def step(state, noise):
        carry, logits = read(state.carry, state.token)
        token = choose(logits.astype(dtype), noise)
        new = SampleState(carry, token, state.position + 1, state.stopped)
        new = new if stop_token is None else _stop(state, new, stop_token)
        return new, new.token

    return scan(step, state._replace(token=first), noise, length)


def gumbel_noise(
    key: Key, start: ArrayLike, length: int, size: int, dtype: DTypeLike | None = None
) -> jax.Array:
    """Standard Gumbel noise of which each row depends on its position only.

        row n = row (start + n) mod 64 of Gumbel(fold_in(key, (start + n) div 64))

    64 rows share a key, since a key for each row would cost as much as the row.

    Args:
        key: random key.
        start: position of the first row, an integer; may be traced.
        length: number of rows N.
        size: numbers in a row, V.
        dtype: floating-point; JAX's default if None.

    Returns:
        `(N, V)`. Rows at the same position are equal, whatever the start and length.

    Example:
        >>> key = jax.random.key(0)
        >>> a, b = gumbel_noise(key, 0, 5, 3), gumbel_noise(key, 3, 2, 3)
        >>> bool((a[3:] == b).all())
        True
    """
    dtype = jnp.result_type(float) if dtype is None else dtype
    block, offset = jnp.divmod(jnp.asarray(start, jnp.int32), NOISE_BLOCK)
    # enough of them wherever in the first block the first row is
    blocks = block + jnp.arange(
        (length + NOISE_BLOCK - 2) // NOISE_BLOCK + 1, dtype=jnp.int32
    )
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, blocks)
    draw = lambda key: jax.random.gumbel(unroll_rounds(key), (NOISE_BLOCK, size), dtype)
    rows = jax.vmap(draw)(keys).reshape(-1, size)
    return lax.dynamic_slice_in_dim(rows, offset, length)


def filtered_log_probs(
    logits: jax.Array,
    *,
    temperature: ArrayLike = 1.0,
    top_k: int | None = None,
    top_p: ArrayLike | None = None,
) -> jax.Array:
    """Log-probabilities that `sample` draws from: what its settings make of logits.

    In this order: logits are divided by the temperature, at 0 nothing is left but the
    largest, of equal ones that with the lowest id; the `top_k` largest are kept,
    exactly k of them, of equal ones those with the lower ids; of the probabilities of
    those left, normalised, the largest are kept until their sum reaches `top_p`, again
    lower ids first, at least one; what is kept is normalised.

    Args:
        logits: (V,).
        temperature: at least 0; may be traced. What is below the smallest normal float
            counts as 0.
        top_k: at least 1; static.
        top_p: in (0, 1]; may be traced. 1 keeps everything.

    Returns:
        Log-probabilities in nats (V,), minus infinity for tokens left out. All are NaN
        where a logit is NaN, or a traced setting is outside its range.

    Raises:
        ValueError: a setting outside its range; logits of another rank.

    Example:
        >>> logits = jnp.log(jnp.array([0.1, 0.4, 0.3, 0.2]))
        >>> probs = jnp.exp(filtered_log_probs(logits, top_k=2))
        >>> [round(float(p), 3) for p in probs]
        [0.0, 0.571, 0.429, 0.0]
    """
    _check_settings("filtered_log_probs", temperature, top_k, top_p)
    if logits.ndim != 1:
        raise ValueError(
            f"filtered_log_probs: logits must have shape (V,), got {logits.shape}. "
            "Use jax.vmap for a batch."
        )
    logits = logits.astype(_float_dtype(logits))
    values, ids = _candidates(logits, temperature, top_k, top_p)
    scaled = _scale(values, _in_range(temperature, top_p, logits.dtype))
    log_probs = jax.nn.log_softmax(scaled)
    left_out = jnp.where(jnp.isnan(log_probs[0]), jnp.nan, -jnp.inf)
    return jnp.full_like(logits, left_out).at[ids].set(log_probs)


def log_likelihood(
    cell: Cell, params: Params, tokens: ArrayLike, carry: Carry | None = None
) -> tuple[Carry, jax.Array]:
    """Log-probability of each token of a text, given those before it.

        log p(token_t | token_0 .. token_{t-1})   for t = 1 .. N-1

    The first token is given, not predicted. To do a long text in pieces, let each begin
    with the last token of the piece before and pass the carry on: the pieces joined
    are what one call returns.

    Args:
        cell: a model from integer tokens to logits (V,), without dropout.
        params: its parameters.
        tokens: integers `(N,)`, at least 2.
        carry: state before the first; `cell.initial_carry(params)` if None.

    Returns:
        `(carry, log_probs)`: the carry after all tokens but the last, and nats
        `(N - 1,)`, NaN for a token that is not among 0..V-1. Minus their mean is the
        cross-entropy, over log(2) that is bits.

    Raises:
        ValueError: fewer than two tokens, or another rank; a cell that does not return
            logits.
        TypeError: tokens that are not integers.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> uniform = jax.tree.map(jnp.zeros_like, params)
        >>> _, log_probs = log_likelihood(model, uniform, jnp.array([3, 1, 4]))
        >>> [round(float(p), 3) for p in jnp.exp(log_probs)]
        [0.2, 0.2]
    """
    tokens = _tokens("log_likelihood", tokens, at_least=2)
    _check.cell("log_likelihood", cell, _FORWARD)
    if carry is None:
        carry = cell.initial_carry(params)
    state = SampleState(carry, tokens[0], jnp.int32(0), jnp.bool_(False))
    _logits("log_likelihood", cell, params, state)

    def step(carry, token_and_next):
        token, following = token_and_next
        carry, logits = cell.step(params, carry, token)
        logits = logits.astype(_float_dtype(logits))
        return carry, -negative_log_likelihood(logits, following)

    return scan(step, carry, (tokens[:-1], tokens[1:]))


def beam_search(
    cell: Cell,
    params: Params,
    state: SampleState,
    length: int,
    beam_size: int,
    *,
    stop_token: ArrayLike | None = None,
    length_power: ArrayLike = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Search for the most likely continuation of a text, several at a time.

        score(text) = log p(text) / |text|^length_power

    At each step every one of the K texts kept is continued with every token, and the K
    of those K * V texts with the highest scores are kept. K = 1 is greedy choice;
    K = V^(length-1) finds the best text for certain. Without correction for length
    (power 0), short texts are favoured where there is a stop token, as their
    probability says; power 1 compares mean log-probabilities of a token. The length
    |text| counts the stop token, once, and not the prime.

    Args:
        cell: a model from integer tokens to logits (V,), without dropout.
        params: its parameters.
        state: from `prime` or `sample`.
        length: number of new tokens N.
        beam_size: number of texts kept, K.
        stop_token: a text that has it is complete: it is filled up with it and its
            probability stays.
        length_power: of the correction for length, at least 0; may be traced. Without
            a stop token all texts are equally long, and it changes nothing.

    Returns:
        `(tokens, log_probs)`: the K texts found, int32 `(K, N)`, the highest score
        first, and the log-probability (not the score) of each in nats `(K,)`. Where
        fewer than K different texts exist, the rest have minus infinity. Where logits
        hold NaN, so do the log-probabilities, which come first, and the token is -1.

    Raises:
        ValueError: sizes below 1; a cell that does not return logits.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> state = prime(model, params, jnp.array([3, 1, 4]))
        >>> tokens, log_probs = beam_search(model, params, state, 6, beam_size=3)
        >>> tokens.shape, bool((log_probs[:-1] >= log_probs[1:]).all())
        ((3, 6), True)

    References:
        Lowerre (1976), The HARPY speech recognition system, PhD thesis, Carnegie
        Mellon University (the first use of the method).
        Wu et al. (2016), Google's neural machine translation system, arXiv:1609.08144,
        section 7 (why and how to correct for length; theirs is (5 + |text|) / 6).
    """
    _check.positive("beam_search", "length", length)
    _check.positive("beam_search", "beam_size", beam_size)
    if not isinstance(length_power, Tracer) and not np.asarray(length_power) >= 0:
        raise ValueError(f"beam_search: length_power must be >= 0, got {length_power}.")
    dtype = _float_dtype(_logits("beam_search", cell, params, state))
    # All beams start as the same text, which must count only once
    totals = jnp.full(beam_size, -jnp.inf, dtype).at[0].set(0)
    lengths = jnp.zeros(beam_size, dtype)
    power = jnp.asarray(length_power, dtype)
    copies = jax.tree.map(lambda a: jnp.broadcast_to(a, (beam_size, *a.shape)), state)

    def step(beams, _):
        state, totals, lengths = beams
        new, totals = jax.vmap(partial(_extend, cell, params, stop_token))(
            state, totals
        )
        lengths = lengths + (~state.stopped).astype(dtype)
        scores = totals / (jnp.maximum(lengths, 1) ** power)[:, None]
        _, best = lax.top_k(scores.reshape(-1), beam_size)
        parents, tokens = jnp.divmod(best.astype(jnp.int32), totals.shape[1])
        new = jax.tree.map(lambda a: a[parents], new)
        totals = totals[parents, tokens]
        tokens = jnp.where(jnp.isnan(totals), jnp.int32(-1), tokens)
        new = new._replace(token=tokens)
        if stop_token is not None:
            new = new._replace(stopped=new.stopped | (tokens == stop_token))
        return (new, totals, lengths[parents]), (parents, tokens)

    def trace_back(beam, step):
        parents, tokens = step
        return parents[beam], tokens[beam]

    (_, totals, _), steps = scan(step, (copies, totals, lengths), length=length)
    last = jnp.arange(beam_size, dtype=jnp.int32)
    _, tokens = scan(trace_back, last, steps, reverse=True)  # (N, K)
    return tokens.T, totals


def _extend(cell, params, stop_token, state, total):
    """One beam and its log-probability to the totals (V,) of all its continuations."""
    carry, logits = cell.step(params, state.carry, state.token)
    log_probs = _log_softmax(logits)
    if stop_token is not None:
        is_stop = jnp.arange(len(log_probs)) == stop_token
        only_stop = jnp.where(is_stop, 0, -jnp.inf).astype(log_probs.dtype)
        log_probs = jnp.where(state.stopped, only_stop, log_probs)
    return state._replace(carry=carry), total + log_probs


def _stop(old: SampleState, new: SampleState, stop_token: ArrayLike) -> SampleState:
    """Undo a step if the text has ended; note if it ends with this one."""
    token = jnp.where(old.stopped, jnp.asarray(stop_token, jnp.int32), new.token)
    carry = jax.tree.map(partial(jnp.where, old.stopped), old.carry, new.carry)
    stopped = old.stopped | (token == stop_token)
    return SampleState(carry, token, new.position, stopped)


def _reader(cell: Cell, params: Params, state: SampleState, size: int):
    """The step of a loop over sampled tokens, and what stands for the first token.

    The first is given, so it may be another than the V that can be sampled, such as a
    token that only ever begins a text: then it has a row of its own, the last.
    """
    step = partial(cell.step, params)
    tokens = jnp.append(jnp.arange(size, dtype=jnp.int32), state.token)
    look_up = with_token_table(step, state.carry, tokens)
    if look_up is None:
        return step, state.token
    ordinary = (state.token >= 0) & (state.token < size)
    return look_up, jnp.where(ordinary, state.token, jnp.int32(size))


def _choose(logits, noise, *, temperature, top_k, top_p):
    if top_k is None and top_p is None:
        return index_of_largest(logits + noise)
    values, ids = _candidates(logits, temperature, top_k, top_p)
    place = index_of_largest(values + noise[ids])
    return jnp.where(place < 0, place, ids[place])


def _candidates(logits, temperature, top_k, top_p) -> tuple[jax.Array, jax.Array]:
    """Logits in falling order, minus infinity for those left out, and their ids.

    NaN all of them where one is.
    """
    size = len(logits)
    values, ids = lax.top_k(logits, size if top_k is None else min(top_k, size))
    if top_p is not None:
        top_p = jnp.asarray(top_p, logits.dtype)
        probs = jax.nn.softmax(_scale(values, temperature))
        before = jnp.cumsum(probs) - probs
        # Rounding can bring the sum to 1 before the last token
        keep = (before < top_p) | (top_p >= 1)
        values = jnp.where(keep, values, -jnp.inf)
    return jnp.where(jnp.isnan(logits).any(), jnp.nan, values), ids


def _scale(values: jax.Array, temperature: ArrayLike) -> jax.Array:
    """Logits in falling order over the temperature; at 0 the first alone is left."""
    temperature = jnp.asarray(temperature, values.dtype)
    zero = jnp.abs(temperature) < jnp.finfo(values.dtype).tiny
    # Shifted first, the largest is 0 however small the temperature
    shifted = values - values.max()
    first = jnp.where(jnp.arange(len(values)) == 0, shifted, -jnp.inf)
    return jnp.where(zero, first, shifted / jnp.where(zero, 1, temperature))


def _in_range(temperature: ArrayLike, top_p: ArrayLike | None, dtype) -> jax.Array:
    """The temperature, or NaN where it or `top_p` is traced and outside its range."""
    temperature = jnp.asarray(temperature, dtype)
    valid = (temperature >= 0) & (temperature < jnp.inf)
    if top_p is not None:
        top_p = jnp.asarray(top_p, dtype)
        valid &= (top_p > 0) & (top_p <= 1)
    return jnp.where(valid, temperature, jnp.nan)


def _is_zero(temperature: ArrayLike) -> bool:
    return not isinstance(temperature, Tracer) and bool(np.asarray(temperature) == 0)


def _log_softmax(logits: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(logits.astype(_float_dtype(logits)))


def _float_dtype(logits) -> DTypeLike:
    """Half-precision logits are compared and summed in float32."""
    return jnp.float32 if jnp.finfo(logits.dtype).bits < 32 else logits.dtype


def _logits(name: str, cell: Cell, params: Params, state: SampleState):
    """Shape and dtype of a model's logits, or an error where it returns others."""
    _check.cell(name, cell, _FORWARD)
    step = lambda params, state: cell.step(params, state.carry, state.token)
    logits = jax.eval_shape(step, params, state)[1]
    shape, dtype = getattr(logits, "shape", None), getattr(logits, "dtype", None)
    floats = dtype is not None and jnp.issubdtype(dtype, jnp.floating)
    if shape is None or len(shape) != 1 or not floats:
        got = type(logits).__name__ if shape is None else f"{dtype} {shape}"
        raise ValueError(
            f"{name}: the cell must return one logit per token, floats of shape (V,), "
            f"got {got}. Put linear(V) at the end of the stack."
        )
    return logits


def _tokens(name: str, tokens: ArrayLike, at_least: int) -> jax.Array:
    tokens = jnp.asarray(tokens)
    if tokens.ndim != 1:
        raise ValueError(
            f"{name}: tokens must have shape (N,), got {tokens.shape}. "
            "Use jax.vmap for a batch."
        )
    if len(tokens) < at_least:
        raise ValueError(
            f"{name}: needs at least {at_least} token{'s'[: at_least - 1]}, "
            f"got {len(tokens)}."
        )
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise TypeError(f"{name}: tokens must be integers, got {tokens.dtype}.")
    return tokens.astype(jnp.int32)


def _check_settings(name: str, temperature, top_k, top_p) -> None:
    """Raise where a concrete setting is outside its range; tracers pass."""
    traced = lambda value: isinstance(value, Tracer)
    if not traced(temperature) and not 0 <= float(temperature) < float("inf"):
        raise ValueError(
            f"{name}: temperature must be >= 0 and finite, got {temperature}. "
            "At 0 each token is the most likely one."
        )
    if top_k is not None:
        _check.positive(name, "top_k", top_k)
    if top_p is not None and not traced(top_p) and not 0 < float(top_p) <= 1:
        raise ValueError(f"{name}: top_p must be in (0, 1], got {top_p}.")
