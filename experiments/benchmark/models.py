"""What a contender is, and how a loss in JAX becomes one."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.benchmark.problem import Data, Weights
from jrnn import optimizers


class Model(NamedTuple):
    """One way to write the same loss in JAX."""

    name: str
    loss: Callable[[Any, Data], jax.Array]  # (own weights, data) -> (), mean nats
    load: Callable[[Weights], Any] = lambda weights: weights  # into its own layout
    kind: str | None = None  # of the cell, where it is not the problem's


class Entry(NamedTuple):
    """Something that can be called, checked and timed, in whatever library."""

    name: str
    call: Callable[[], Any]  # does the work once; returns when it is done
    load: Callable[[Weights], Any] = lambda weights: weights
    kind: str | None = None
    prepare: Callable[[], None] = lambda: None  # before a block of calls
    compile_seconds: float | None = None
    work: float = 1  # units of work in a call


def compiled(function: Callable, *args) -> tuple[Callable[[], Any], float]:
    """A compiled call that waits for its outputs, and the seconds it took to get it."""
    begin = time.perf_counter()
    program = jax.jit(function).lower(*args).compile()
    seconds = time.perf_counter() - begin
    return lambda: jax.block_until_ready(program(*args)), seconds


def gradient_entry(model: Model, weights: Weights, data: Data) -> Entry:
    """Loss and gradient, forward and backward."""
    function = jax.value_and_grad(model.loss)
    call, seconds = compiled(function, model.load(weights), data)
    return Entry(model.name, call, model.load, model.kind, compile_seconds=seconds)


def update_rule(learning_rate=0.1) -> optax.GradientTransformation:
    """min-char-rnn's: every element clipped to +-5, then Adagrad."""
    return optax.chain(
        optimizers.clip_elementwise(5.0),
        optimizers.scale_by_adagrad(eps=1e-8),
        optax.scale_by_learning_rate(learning_rate),
    )


def training_entry(model: Model, weights: Weights, windows: Data) -> Entry:
    """As many steps of training as there are windows, in one compiled call."""
    rule = update_rule()

    def step(state, window):
        params, accumulated = state
        loss, gradient = jax.value_and_grad(model.loss)(params, window)
        updates, accumulated = rule.update(gradient, accumulated)
        return (optax.apply_updates(params, updates), accumulated), loss

    def train(params, accumulated, windows):
        return jax.lax.scan(step, (params, accumulated), windows)

    def one_step(params, accumulated, windows):
        window = jax.tree.map(lambda a: a[0], windows)
        return step((params, accumulated), window)

    steps = len(windows.tokens)
    params = jax.tree.map(jnp.asarray, model.load(weights))
    function = one_step if steps == 1 else train
    call, seconds = compiled(function, params, rule.init(params), windows)
    return Entry(model.name, call, compile_seconds=seconds, work=steps)
