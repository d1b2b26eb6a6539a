"""Negative log-likelihood of labels, as an operation that knows how to be batched.

`vmap` moves batch axes to the front wherever those of two operands differ. A model run
over time gives logits (T, B, V), its labels come as (B, T): the logits would be copied
for the sake of the labels, and their derivative copied back.
"""

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from jrnn._sharding import divided


def negative_log_likelihood(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """- log softmax(logits)[labels]: (..., V) and integers (...) to (...).

    NaN where a label is not among 0..V-1.
    """
    if divided(jax.typeof(logits)):
        return _evaluate(logits, labels)
    return _operation.bind(logits, labels)


def _evaluate(logits: jax.Array, labels: jax.Array) -> jax.Array:
    known = (0 <= labels) & (labels < logits.shape[-1])
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1, mode="clip")
    losses = jax.nn.logsumexp(logits, axis=-1) - chosen[..., 0]
    return jnp.where(known, losses, jnp.nan)


def _derive(primals, tangents):
    """The derivative: dL = sum_v (softmax(logits)_v - [v is the label]) dlogits_v.

    By comparison: to take an entry out is fast, to put one in is slow.
    """
    logits, labels = primals
    losses = negative_log_likelihood(logits, labels)
    if isinstance(tangents[0], ad.Zero):
        return losses, ad.Zero(jax.typeof(losses).to_tangent_aval())
    is_label = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)  # (..., V)
    slope = jax.nn.softmax(logits, axis=-1) - is_label
    return losses, (slope * tangents[0]).sum(-1)


def _batch(values, axes):
    (logits, labels), (place, labels_place) = values, axes
    if place in (None, logits.ndim - 1):
        size = labels.shape[labels_place] if place is None else None
        logits = batching.bdim_at_front(logits, place, size)
        place = 0
    if labels_place is None:
        labels_place, shape = 0, (logits.shape[place], *labels.shape)
        labels = jnp.broadcast_to(labels, shape)
    labels = jnp.moveaxis(labels, labels_place, place)
    return negative_log_likelihood(logits, labels), place


_operation = core.Primitive("jrnn_likelihood")
_operation.def_impl(jax.jit(_evaluate))
_operation.def_abstract_eval(
    lambda logits, labels: jax.core.ShapedArray(labels.shape, logits.dtype)
)
mlir.register_lowering(_operation, mlir.lower_fun(_evaluate, multiple_results=False))
ad.primitive_jvps[_operation] = _derive
batching.primitive_batchers[_operation] = _batch
