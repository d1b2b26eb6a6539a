"""Text from a model: between `jrnn.generate`, which knows tokens, and the terminal."""

import codecs
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jrnn.cell import Cell, Params
from jrnn.cli.errors import UserError
from jrnn.cli.words import plain_errors
from jrnn.generate import prime, sample
from jrnn.text import Vocabulary, decode, decode_bytes, encode

PIECE = 200  # tokens in one compiled call: a text shows as it grows


class Settings(NamedTuple):
    """How tokens are chosen; see `jrnn.generate.sample`."""

    temperature: float = 0.8
    greedy: bool = False
    top_k: int | None = None
    top_p: float | None = None
    stop: str | None = None


def default_prime(vocabulary: Vocabulary) -> str:
    """What a text starts from where nothing is given: a line break, or any symbol."""
    for symbol in ("\n", " ", *vocabulary.symbols):
        if symbol in vocabulary.symbols:
            return symbol
    raise AssertionError("a vocabulary has at least one symbol")


def generate_tokens(
    cell: Cell,
    params: Params,
    vocabulary: Vocabulary,
    keys: jax.Array,
    length: int,
    start: str,
    settings: Settings = Settings(),
) -> Iterator[np.ndarray]:
    """Pieces (K, n) of K texts generated side by side, `length` tokens in all.

    What was given is checked in this call, before the first piece is asked for.
    """
    with plain_errors(ValueError):
        tokens = encode(vocabulary, start)
    if not len(tokens):
        raise UserError("The prime is empty.")
    stop = _stop_token(vocabulary, settings.stop)
    return _pieces(cell, params, keys, length, tokens, stop, settings)


def _pieces(cell, params, keys, length, tokens, stop, settings):
    options = _static(settings)
    state = jax.jit(prime, static_argnums=0)(cell, params, tokens)
    state = jax.tree.map(lambda a: np.broadcast_to(a, (len(keys), *a.shape)), state)
    # greedy choice has no temperature: 1 stands for any
    temperature = 1.0 if settings.greedy else settings.temperature
    traced = {"temperature": temperature, "stop_token": stop}
    if settings.top_p is not None:
        traced["top_p"] = settings.top_p
    if stop is None:
        del traced["stop_token"]
    for done in range(0, length, PIECE):
        state, piece = _piece(cell, options, params, keys, state, traced)
        piece = np.asarray(piece)[:, : length - done]
        yield piece
        if stop is not None and np.asarray(state.stopped).all():
            return


def stream_text(
    cell: Cell,
    params: Params,
    vocabulary: Vocabulary,
    key: jax.Array,
    length: int,
    start: str,
    settings: Settings = Settings(),
) -> Iterator[str]:
    """Pieces of one text as it grows; checks as `generate_tokens` does."""
    pieces = generate_tokens(
        cell, params, vocabulary, key[None], length, start, settings
    )
    return _decoded(vocabulary, pieces, _stop_token(vocabulary, settings.stop))


def _decoded(vocabulary: Vocabulary, pieces, stop: int | None) -> Iterator[str]:
    # a piece can end inside a character of several bytes
    utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for piece in pieces:
        tokens = _until(piece[0], stop)
        if vocabulary.level == "byte":
            yield utf8.decode(decode_bytes(vocabulary, tokens))
        else:
            yield decode(vocabulary, tokens)


def generate_text(*args: Any) -> str:
    """One text, whole; arguments as of `stream_text`."""
    return "".join(stream_text(*args))


def generate_texts(
    cell: Cell,
    params: Params,
    vocabulary: Vocabulary,
    keys: jax.Array,
    length: int,
    start: str,
    settings: Settings = Settings(),
) -> list[str]:
    """One text for each key, generated side by side."""
    pieces = generate_tokens(cell, params, vocabulary, keys, length, start, settings)
    stop = _stop_token(vocabulary, settings.stop)
    return [
        decode(vocabulary, _until(row, stop))
        for row in np.concatenate([*pieces], axis=1)
    ]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _piece(cell, options, params, keys, state, traced):
    def one(key, state):
        return sample(cell, params, key, state, PIECE, **dict(options), **traced)

    return jax.vmap(one)(keys, state)


def _static(settings: Settings) -> tuple[tuple[str, Any], ...]:
    return (("greedy", settings.greedy), ("top_k", settings.top_k))


def _stop_token(vocabulary: Vocabulary, stop: str | None) -> int | None:
    if stop is None:
        return None
    with plain_errors(ValueError):
        tokens = encode(vocabulary, stop)
    if len(tokens) != 1:
        raise UserError(
            f"--stop must be one token of the run's vocabulary, {stop!r} is "
            f"{len(tokens)}."
        )
    return int(tokens[0])


def _until(tokens: np.ndarray, stop: int | None) -> np.ndarray:
    """The tokens before the stop token, which may not be among them."""
    if stop is None:
        return tokens
    places = np.flatnonzero(tokens == stop)
    return tokens[: places[0]] if len(places) else tokens
