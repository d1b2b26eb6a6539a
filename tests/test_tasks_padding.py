"""Padding, and rows that only fill a batch, reach nothing that a task returns."""

import functools

import jax
import numpy as np
import pytest
from chex import assert_trees_all_close
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_cases import CASES, added, batch_of, examples, params_of

ROWS, STEPS, TARGET_STEPS = 5, 8, 9


@functools.cache
def compiled(name):
    """Sums, answers, and loss with gradient: each compiled once for a shape."""
    task = CASES[name].task
    return (
        jax.jit(task.sums),
        jax.jit(task.predict),
        jax.jit(jax.value_and_grad(task.loss)),
    )


def check_against_one_at_a_time(name, lengths, seed, target_steps=None):
    sums, predict, loss = compiled(name)
    task, params, found = (
        CASES[name].task,
        params_of(name),
        examples(name, lengths, seed),
    )
    together = batch_of(name, found, ROWS, STEPS, TARGET_STEPS)
    alone = [batch_of(name, [x], target_steps=target_steps) for x in found]

    of_each = [sums(params, batch) for batch in alone]
    close = functools.partial(assert_trees_all_close, rtol=0, atol=1e-10)
    close(sums(params, together), added(of_each))
    close(task.figures(sums(params, together)), task.figures(added(of_each)))

    value, gradient = loss(params, together)
    counts = np.array([float(s["count"]) for s in of_each])
    shares = counts / max(counts.sum(), 1)
    mean = lambda *parts: sum(s * p for s, p in zip(shares, parts, strict=True))
    values, gradients = zip(*(loss(params, batch) for batch in alone), strict=True)
    close(value, mean(*values))
    close(gradient, jax.tree.map(mean, *gradients))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))

    answers = predict(params, together)
    for n, batch in enumerate(alone):
        close(row(answers, n), row(predict(params, batch), 0))


def row(answers, n):
    """The n-th answer, without what stands behind its length."""
    is_padded = lambda node: hasattr(node, "lengths")
    cut = lambda node: (
        node.values[n, : int(node.lengths[n])] if is_padded(node) else node[n]
    )
    return jax.tree.map(cut, answers, is_leaf=is_padded)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_its_rows(name):
    check_against_one_at_a_time(name, (6, 3, 3), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    # few different ones, as a program is compiled for each: the shortest, others
    lengths=st.lists(st.sampled_from([1, 2, 5]), min_size=1, max_size=ROWS),
    seed=st.integers(0, 1000),
)
def test_any_batch_is_its_rows(name, lengths, seed):
    # texts alone are padded too, or there would be a program for each pair of lengths
    target_steps = 6 if name == "translation" else None
    check_against_one_at_a_time(name, lengths, seed, target_steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_batch_without_real_rows_counts_nothing(name):
    sums, _, loss = compiled(name)
    batch = batch_of(name, examples(name, (6, 3, 3)), ROWS, STEPS, TARGET_STEPS)
    batch = batch._replace(real=np.zeros(ROWS, bool))
    params = params_of(name)
    value, gradient = loss(params, batch)
    assert float(value) == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(sums(params, batch)))
