"""Updates of a language model on windows of a stream, on one device or several."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jrnn.cell import Carry, Cell, Key, Params, spec
from jrnn.cli.cells import PASSING
from jrnn.cli.config import Train
from jrnn.cli.data import Data, batch_reader
from jrnn.cli.devices import candidates, fastest, mesh_for, on_devices, places, timed
from jrnn.cli.run import build_model
from jrnn.cli.updates import Intervals, optimizer
from jrnn.cli.workflow import Compiled, Job, Seeds, Traced
from jrnn.text import streams
from jrnn.train import (
    Hyper,
    TrainState,
    batched,
    evaluation_rows,
    initial_carries,
    make_step,
    make_steps,
    truncated_loss,
)
from jrnn.unroll import unroll

JUDGED = 8192  # tokens of the validation part that one of many trainings reads


def carry(job: Job, params: Params, key: Key | None) -> Carry:
    """The initial carry of every row."""
    return initial_carries(job.model.train, params, job.config.batch_size, key=key)


def compiled(job: Job, intervals: Intervals, state: TrainState, key: Key) -> Compiled:
    """The compiled steps, on as many devices as the run says or as is fastest."""
    steps, devices = _on_best_devices(job, intervals, state, key)
    config, note = job.config, None
    if devices > 1:
        note = f"{devices} devices share each batch."
    if jax.process_count() == 1 and config.devices is None:
        config = dataclasses.replace(config, devices=devices)
    state, rows = on_devices(mesh_for(devices), state, job.data.rows)

    def advance(state: TrainState, step: int, hypers: Hyper, key: Key):
        state, metrics = steps(state, rows, hypers, key)
        if devices > 1:
            # steps in flight at once can wait for each other's threads for good
            jax.block_until_ready(metrics)
        return state, metrics

    return Compiled(advance, state, config, note)


def _on_best_devices(job: Job, intervals: Intervals, state: TrainState, key: Key):
    several = jax.process_count() > 1
    devices = jax.device_count() if several else job.config.devices
    if devices is not None:
        return _steps(job, intervals, state, key, devices), devices
    programs = {}

    def seconds(devices: int) -> float:
        run_steps = programs[devices] = _steps(job, intervals, state, key, devices)
        mesh = mesh_for(devices)
        hypers = Hyper(*[np.zeros(intervals.call, np.float32)] * 2)
        own = [on_devices(mesh, *jax.tree.map(jnp.copy, (state, job.data.rows)))]

        def step():  # a step takes the state away and gives it back
            state, rows = own.pop()
            state, metrics = run_steps(state, rows, hypers, key)
            own.append((state, rows))
            return metrics

        return timed(step)

    # in a small model's step there is nothing to divide
    there = 1 if intervals.call > 1 else jax.local_device_count()
    numbers = candidates(job.config.batch_size, there)
    devices = fastest(numbers, seconds)
    if devices not in programs:
        programs[devices] = _steps(job, intervals, state, key, devices)
    return programs[devices], devices


def _steps(job: Job, intervals: Intervals, state: TrainState, key: Key, devices: int):
    mesh = mesh_for(devices)
    loss = batched(truncated_loss(job.model.train, job.config.stride), mesh)
    windows = job.data.windows
    steps = make_steps(
        make_step(loss, optimizer(job.config), average_decay=job.config.average),
        batch_reader(job.config, windows),
        partial(carry, job),
        lambda n: n % windows == 0,
    )
    hypers = Hyper(*[np.zeros(intervals.call, np.float32)] * 2)
    of_state, of_rows = places(mesh, state)
    jitted = jax.jit(
        steps,
        donate_argnums=0,
        in_shardings=(of_state, of_rows, None, None),
        out_shardings=(of_state, None),
    )
    forms = spec((state, job.data.rows))
    return jitted.lower(*forms, hypers, key).compile()


# Many trainings side by side


def traced(config: Train, data: Data, seeds: Seeds) -> Traced:
    """A training as `jrnn train` makes it on one device, but for what is random."""
    del seeds  # the text is read in its order
    if config.cell in PASSING:  # a traced 0: a configuration with more is refused
        config = dataclasses.replace(config, recurrent_dropout=0.0)
    model = build_model(config, len(data.vocabulary))
    begin = lambda params, key: initial_carries(
        model.train, params, config.batch_size, key=key
    )

    def advance(state: TrainState, step: Any, hypers: Hyper, key: Key):
        rows = streams(data.train, config.batch_size, config.stride)
        windows = (rows.inputs.shape[1] - config.window) // config.stride + 1
        steps = make_steps(
            make_step(
                batched(truncated_loss(model.train)),
                optimizer(config),
                average_decay=config.average,
            ),
            batch_reader(config, windows),
            begin,
            lambda n: n % windows == 0,
        )
        return steps(state, jax.tree.map(jnp.asarray, rows), hypers, key)

    return Traced(
        weights=lambda key: model.train.init(key, jax.ShapeDtypeStruct((), jnp.int32)),
        carry=begin,
        advance=advance,
        loss=lambda params: _heldout(model.evaluate, params, data.valid[:JUDGED]),
    )


def _heldout(cell: Cell, params: Params, tokens: np.ndarray) -> jax.Array:
    """Mean loss in nats of a short text, read in rows with some context."""
    xs, targets, valid = map(jnp.asarray, evaluation_rows(tokens, rows=16, context=64))

    def nats(xs, targets):
        _, logits = unroll(cell, params, xs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets)

    return jnp.where(valid, jax.vmap(nats)(xs, targets), 0.0).sum() / valid.sum()
