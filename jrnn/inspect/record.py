"""What a language model does along a text: every state, every gate, every guess."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jrnn.cell import Cell, Params
from jrnn.inspect.layers import Layer, changes_weights, gates, layers_of, states
from jrnn.scan import scan

_NUMBERS = 1 << 23  # of logits that are held at once


class RecordedLayer(NamedTuple):
    """The units of one layer along a text."""

    kind: str  # the factory of its cell, such as lstm
    units: int  # H
    parts: dict[str, np.ndarray]  # (N, H) in float16: states h, c; gates i, f, o, r, z
    gates: tuple[str, ...]  # which of the parts are gates
    name: str = ""  # such as "layer 2"; empty of the only one


class Recording(NamedTuple):
    """A model along a text of N tokens."""

    layers: list[RecordedLayer]  # those with a state
    nats: np.ndarray  # (N,) -log p(token_t | those before it); NaN for the first
    guesses: np.ndarray  # (N, K) the likeliest tokens behind token_t, best first
    chances: np.ndarray  # (N, K) their probabilities


def record_text(
    model: Cell, params: Params, tokens: ArrayLike, *, top: int = 5
) -> Recording:
    """Run a language model along a text, and keep what happens in it.

        carry_t, logits_t = model(carry_{t-1}, token_t)   for t = 1 .. N
        nats_{t+1} = -log softmax(logits_t)[token_{t+1}]

    The text is read as one piece, from the model's initial carry. States and gates are
    kept in half precision, 2 N H bytes for each of them.

    Args:
        model: a cell from an integer token to logits (V,), without dropout; of a stack
            every layer is recorded.
        params: its parameters.
        tokens: integers (N,), at least 2.
        top: number K of guesses to keep; V if that is fewer.

    Returns:
        A `Recording`, in NumPy arrays.

    Raises:
        ValueError: fewer than two tokens; no layer with a state.
        TypeError: a model that reads the whole sequence.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(3), jrnn.lstm(4), jrnn.linear(3))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> seen = record_text(model, params, [0, 2, 1, 1, 0], top=2)
        >>> seen.layers[0].parts["c"].shape, seen.layers[0].gates
        ((5, 4), ('i', 'f', 'o'))
        >>> seen.guesses.shape, seen.nats.shape
        ((5, 2), (5,))

    References:
        Karpathy, Johnson, Li (2015), Visualizing and understanding recurrent networks,
        arXiv:1506.02078, section 4.2.
    """
    tokens = np.asarray(tokens)
    if len(tokens) < 2:
        raise ValueError(f"record_text: needs at least 2 tokens, got {len(tokens)}.")
    layers = layers_of("record_text", model, params)
    pieces = _pieces(layers, tokens, top)
    parts, nats, guesses, chances = (
        jax.tree.map(lambda *a: np.concatenate(a), *each)
        for each in zip(*pieces, strict=True)
    )
    found = [pair for pair in zip(layers, parts, strict=True) if pair[0].units]
    recorded = [
        RecordedLayer(
            *(layer.kind, layer.units, *in_words(own)),
            f"layer {place}" if len(found) > 1 else "",
        )
        for place, (layer, own) in enumerate(found, start=1)
    ]
    # of the token that follows, until here: the last one is of none
    nats = np.concatenate([[np.nan], nats[:-1]]).astype(np.float32)
    return Recording(recorded, nats, guesses, chances)


def in_words(
    parts: dict[str, dict[str, np.ndarray]],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """States and gates of a layer in the order in which people name them.

    Args:
        parts: "states" and "gates", by name; JAX has sorted both.

    Returns:
        All of them, states first, and which are gates.

    Example:
        >>> parts, gates = in_words({"states": {"c": 1, "h": 2}, "gates": {"o": 3}})
        >>> list(parts), gates
        (['h', 'c', 'o'], ('o',))
    """
    order = lambda names, by: sorted(names, key=lambda n: (by.find(n), n))
    names = order(parts["states"], "hc"), order(parts["gates"], "ifrzo")
    both = {**parts["states"], **parts["gates"]}
    return {name: both[name] for of in names for name in of}, tuple(names[1])


def _pieces(layers: list[Layer], tokens: np.ndarray, top: int):
    """What is kept of each piece of the text, in NumPy: logits of all are too many."""
    cells, params = tuple(layer.cell for layer in layers), [p.params for p in layers]
    carry = [layer.cell.initial_carry(layer.params) for layer in layers]
    symbols = jax.eval_shape(lambda: _step(cells, params, carry, jnp.int32(0)))[2].size
    size = min(len(tokens), 4096, max(1, _NUMBERS // symbols))
    following = np.append(tokens[1:], 0)
    for start in range(0, len(tokens), size):
        piece = slice(start, start + size)
        xs, targets = tokens[piece], following[piece]
        short = size - len(xs)  # of the last piece, which is filled up to size
        fill = lambda a, short=short: jnp.asarray(np.pad(a, (0, short)), jnp.int32)
        carry, kept = _run(
            cells, min(top, symbols), params, carry, fill(xs), fill(targets)
        )
        yield jax.tree.map(lambda a, n=len(xs): np.asarray(a)[:n], kept)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run(cells, top, params, carry, xs, targets):
    def step(carry, x):
        carry, parts, logits = _step(cells, params, carry, x)
        half = jax.tree.map(lambda a: a.astype(jnp.float16), parts)
        return carry, (half, logits)

    carry, (parts, logits) = scan(step, carry, xs)
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))  # (T, V)
    nats = -jnp.take_along_axis(log_p, targets[:, None], axis=-1)[:, 0]
    chances, guesses = jax.lax.top_k(jnp.exp(log_p), top)
    return carry, (parts, nats, guesses, chances)


def _step(cells, params, carry, x):
    """One step of a stack; beside it the states and gates of each layer."""
    carries, parts = [], []
    for cell, own, old in zip(cells, params, carry, strict=True):
        seen = {} if changes_weights(cell) else gates(own, old, x)
        new, x = cell.step(own, old, x)
        carries.append(new)
        parts.append({"states": states(new), "gates": seen})
    return carries, parts, x
