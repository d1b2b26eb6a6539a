"""jrnn, as its users write it, and in other ways that should be as fast."""

import jax
import jax.numpy as jnp

import jrnn
from experiments.benchmark.models import Model
from experiments.benchmark.of_lax import textbook_model_step
from experiments.benchmark.problem import Problem, recurrent_cell, zeros
from jrnn.losses import cross_entropy


def models(problem: Problem) -> list[Model]:
    found = [Model("jrnn", as_written(problem), stack_weights)]
    if problem.layers > 1:
        found.append(Model("jrnn, layer by layer", layer_by_layer(problem)))
    if problem.batch > 1:
        found.append(Model("jrnn, batched by hand", batched_by_hand(problem)))
    return found


def language_model(problem: Problem) -> jrnn.Cell:
    cells = [recurrent_cell(problem.kind, problem.hidden)] * problem.layers
    front = jrnn.one_hot(problem.vocab, dtype=jnp.float32)
    return jrnn.stack(front, *cells, jrnn.linear(problem.vocab))


def stack_weights(weights):
    return ((), *weights.layers, weights.readout)


def as_written(problem: Problem, remat=None):
    """The loss of one sequence, batched by vmap."""
    model = language_model(problem)

    def one(params, tokens, labels):  # (T,), (T,)
        _, logits = jrnn.unroll(model, params, tokens, remat=remat)
        return cross_entropy(logits, labels)

    return batched(problem, one)


def layer_by_layer(problem: Problem):
    """One loop for each layer: the upper layers' input products leave the loop too."""
    cell = recurrent_cell(problem.kind, problem.hidden)

    def one(weights, tokens, labels):  # (T,), (T,)
        xs = jax.nn.one_hot(tokens, problem.vocab, dtype=jnp.float32)  # (T, V)
        for params in weights.layers:
            _, xs = jrnn.unroll(cell, params, xs)  # (T, H)
        logits = xs @ weights.readout.w + weights.readout.b
        return cross_entropy(logits, labels)

    return batched(problem, one)


def batched(problem: Problem, one):
    if problem.batch == 1:
        return lambda params, data: one(params, data.tokens[0], data.labels[0])
    many = jax.vmap(one, in_axes=(None, 0, 0))
    return lambda params, data: many(params, data.tokens, data.labels).mean()


def batched_by_hand(problem: Problem):
    """The textbook step over rows of a batch, under jrnn.scan."""

    def loss(weights, data):
        step = textbook_model_step(problem, weights)
        carries = (zeros(problem),) * problem.layers
        _, logits = jrnn.scan(step, carries, data.tokens.T)  # (T, B, V)
        return cross_entropy(logits, data.labels.T)

    return loss
