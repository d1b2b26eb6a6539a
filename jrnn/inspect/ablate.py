"""What a text costs without one unit: its state set to zero at every step."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jrnn._replacements.likelihood import negative_log_likelihood
from jrnn.cell import Cell, Params
from jrnn.inspect.layers import Layer, layers_of
from jrnn.inspect.silence import gives_its_state, multiplied
from jrnn.scan import scan
from jrnn.train.evaluate import evaluation_rows

_TOGETHER = 256  # sequences that run side by side


class Effect(NamedTuple):
    """What setting one unit of a layer to zero does to the loss."""

    nats: np.ndarray  # (H,) mean change of -log p; NaN where it was not measured
    error: np.ndarray  # (H,) standard error of that mean; NaN from one row
    figure: np.ndarray | None = (
        None  # (H,) change of a task's accuracy, or of its error
    )


def effects(
    model: Cell,
    params: Params,
    tokens: ArrayLike,
    *,
    rows: int = 16,
    context: int = 64,
) -> list[Effect]:
    """Measure each unit of a language model by what its loss is without it.

        effect_j = mean_t [-log p_t with h_j = 0 at all steps] - mean_t [-log p_t]

    h_j is zero for the layer itself and for the layer above. A unit that is not needed
    has an effect near zero; one that does harm, below. The text is cut into rows that
    run side by side, each with `context` tokens ahead that do not count, see
    `jrnn.train.evaluate`; the error comes from how the rows differ.

    Args:
        model: a cell from an integer token to logits (V,), without dropout.
        params: its parameters.
        tokens: integers (N,), at least 2.
        rows: rows that run side by side; fewer if the text is short.
        context: tokens that warm up each row.

    Returns:
        An `Effect` for each layer with a state. It is NaN of a layer whose output is
        not its state, such as one in `layer_norm`.

    Raises:
        ValueError: fewer than two tokens; no layer with a state.
        TypeError: a model that reads the whole sequence.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(3), jrnn.gru(4), jrnn.linear(3))
        >>> params = model.init(jax.random.key(0), jnp.array(0))
        >>> zero = jax.tree.map(jnp.zeros_like, params)
        >>> effects(model, zero, [0, 2, 1, 1, 0])[0].nats.tolist()
        [0.0, 0.0, 0.0, 0.0]
    """
    layers = layers_of("effects", model, params)
    data = evaluation_rows(np.asarray(tokens, np.int32), rows, context)
    sizes = _sizes(layers)
    whole = _losses(layers, data, [jnp.ones((1, size)) for size in sizes])  # (1, B)
    found = []
    for place, (layer, size) in enumerate(zip(layers, sizes, strict=True)):
        if size:
            factors = [jnp.ones((size, other)) for other in sizes]
            factors[place] = 1 - jnp.eye(size)  # row j sets unit j to zero
            change = _losses(layers, data, factors) - whole
            found.append(effect_of(change, data[2].sum(axis=1)))
        elif layer.units:
            nan = np.full(layer.units, np.nan, np.float32)
            found.append(Effect(nan, nan))
    return found


def effect_of(change: np.ndarray, counts: np.ndarray) -> Effect:
    """From sums over each row to the mean over all that counts, and its error.

    Args:
        change: of the loss, summed over each row, (H, B).
        counts: what counts in each row, (B,), above 0.

    Returns:
        An `Effect`.

    Example:
        >>> found = effect_of(np.array([[2.0, 6.0]]), np.array([2, 2]))
        >>> found.nats.tolist(), found.error.tolist()
        ([2.0], [1.0])
    """
    mean = change.sum(axis=1) / counts.sum()
    of_rows = change / counts  # means over each row, of nearly equal lengths
    rows = len(counts)
    spread = of_rows.std(axis=1, ddof=1) if rows > 1 else np.full(len(mean), np.nan)
    error = spread / math.sqrt(rows)
    return Effect(mean.astype(np.float32), error.astype(np.float32))


def _sizes(layers: Sequence[Layer]) -> list[int]:
    """Units of each layer that can be set to zero: those whose output is their state h.

    Found by a step from a token.
    """
    x, sizes = jnp.int32(0), []
    for layer in layers:
        of = layer.cell, layer.params
        sizes.append(layer.units if gives_its_state(*of, x) else 0)
        _, x = layer.cell.step(layer.params, layer.cell.initial_carry(layer.params), x)
    return sizes


def _losses(layers: Sequence[Layer], data, factors: list[jax.Array]) -> np.ndarray:
    """Sums of -log p over each row, (number of factors, B), some factors at a time."""
    count = len(factors[0])
    size = min(count, max(1, _TOGETHER // len(data[0])))
    cells, params = tuple(p.cell for p in layers), [p.params for p in layers]
    sums = []
    for first in range(0, count, size):
        # the last one is repeated: another number of them would be another program
        chosen = np.minimum(np.arange(first, first + size), count - 1)
        some = [f[chosen] for f in factors]
        sums.append(np.asarray(_sums(cells, params, some, *data), np.float64))
    return np.concatenate(sums)[:count]


@functools.partial(jax.jit, static_argnums=0)
def _sums(cells, params, factors, xs, targets, valid):
    def of_row(factors, xs, targets, valid):
        carry = [c.initial_carry(p) for c, p in zip(cells, params, strict=True)]

        def step(carry, x_and_target):
            x, target = x_and_target
            carry, logits = _step(cells, params, factors, carry, x)
            return carry, negative_log_likelihood(logits, target)

        _, nats = scan(step, carry, (xs, targets))  # logits of all steps are too many
        return jnp.where(valid, nats, jnp.zeros_like(nats)).sum()

    of_rows = jax.vmap(of_row, (None, 0, 0, 0))
    return jax.vmap(of_rows, (0, None, None, None))(factors, xs, targets, valid)


def _step(cells, params, factors, carry, x):
    """One step of a stack in which h of a layer is multiplied by its factors."""
    carries = []
    for cell, own, factor, old in zip(cells, params, factors, carry, strict=True):
        new, x = cell.step(own, old, x)
        if factor.size:
            new, x = multiplied(new, x, factor)
        carries.append(new)
    return carries, x
