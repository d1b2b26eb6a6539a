"""One training of a sweep, as a pure function that is traced."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jrnn.cell import Cell, Params
from jrnn.cli.cells import PASSING
from jrnn.cli.config import Train
from jrnn.cli.data import Data, batch_reader
from jrnn.cli.errors import options_of_a_cell
from jrnn.cli.sweep.options import train_options
from jrnn.cli.updates import learning_rates, optimizer
from jrnn.models import CELLS, language_model
from jrnn.sweep.space import Config
from jrnn.text import streams
from jrnn.train import (
    Hyper,
    batched,
    evaluation_rows,
    init_state,
    initial_carries,
    make_step,
    make_steps,
    truncated_loss,
)
from jrnn.unroll import unroll

JUDGED = 8192  # tokens of the validation part that are read at each measurement


def training(base: Train, data: Data) -> Callable[[Config, jax.Array], dict]:
    """The function `run(config, key) -> metrics` of a sweep on a text.

    The same training as `jrnn train` makes of these options, but for what is random:
    windows of a stream with carried state, the learning rate warmed up and lowered.
    """
    tokens, judged = data.train, data.valid[:JUDGED]
    # the course of the rate is the same for all rates, which are traced
    course = learning_rates(replace(base, learning_rate=1.0), base.steps)

    def run(config: Config, key: jax.Array) -> dict[str, jax.Array]:
        options = train_options(base, config)
        with options_of_a_cell(options.cell, options.hidden_size):
            model = language_model(
                len(data.vocabulary),
                cell=CELLS[options.cell],
                hidden_size=options.hidden_size,
                layers=options.layers,
                embed_size=options.embed_size,
                dropout_rate=options.dropout,
                # a traced 0 for a GRU: a configuration with more is refused
                recurrent_dropout_rate=0.0
                if options.cell in PASSING
                else options.recurrent_dropout,
            )
        rows = jax.tree.map(
            jnp.asarray, streams(tokens, options.batch_size, options.stride)
        )
        windows = (rows.inputs.shape[1] - options.window) // options.stride + 1
        begin = lambda params, key: initial_carries(
            model.train, params, options.batch_size, key=key
        )
        steps = make_steps(
            make_step(batched(truncated_loss(model.train)), optimizer(options)),
            batch_reader(options, windows),
            begin,
            lambda n: n % windows == 0,
        )
        init_key, carry_key, key = jax.random.split(key, 3)
        params = model.train.init(init_key, jax.ShapeDtypeStruct((), jnp.int32))
        state = init_state(params, begin(params, carry_key), optimizer(options))
        rates = options.learning_rate * course.reshape(-1, base.eval_every)

        def part(state, rates):
            hypers = Hyper(rates, jnp.full_like(rates, options.clip))
            state, metrics = steps(state, rows, hypers, key)
            loss = heldout_loss(model.evaluate, state.params, judged)
            return state, {"valid_loss": loss, "train_loss": metrics.loss.mean()}

        return jax.lax.scan(part, state, rates)[1]

    return run


def heldout_loss(cell: Cell, params: Params, tokens: np.ndarray) -> jax.Array:
    """Mean loss in nats of a short text, read in rows with some context."""
    xs, targets, valid = map(jnp.asarray, evaluation_rows(tokens, rows=16, context=64))

    def nats(xs, targets):
        _, logits = unroll(cell, params, xs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets)

    return jnp.where(valid, jax.vmap(nats)(xs, targets), 0.0).sum() / valid.sum()
