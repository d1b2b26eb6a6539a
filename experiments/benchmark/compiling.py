"""W8: seconds to trace and compile the gradient, everything forgotten before."""

import jax
import numpy as np

from experiments.benchmark import record
from experiments.benchmark.compare import Session
from experiments.benchmark.gradients import models
from experiments.benchmark.models import Entry, Model, compiled
from experiments.benchmark.problem import Problem, data, weights

ROUNDS = 5


def cases(session: Session):
    for kind, layers in (("tanh", 1), ("gru", 1), ("lstm", 1), ("lstm", 3)):
        problem = session.cfg.problem(kind, 50, 50, 128, layers)
        yield compile_case(session, problem)


def compile_case(session: Session, problem: Problem) -> dict:
    found = models(session, problem)
    rounds = min(ROUNDS, session.cfg.number_of_rounds)
    seconds = {model.name: np.zeros(rounds) for model in found}
    rng = np.random.default_rng(session.cfg.seed)
    title = f"compile time, {problem.title}"
    task = session.progress.add_task(title, total=rounds)
    for n in range(rounds):
        for i in rng.permutation(len(found)):
            seconds[found[i].name][n] = compile_seconds(problem, found[i])
        session.progress.advance(task)
    session.progress.remove_task(task)
    entries = [Entry(model.name, lambda: None) for model in found]
    missing = {k: v for k, v in session.missing.items() if k != "PyTorch"}
    return record.case(title, entries, seconds, missing=missing)


def compile_seconds(problem: Problem, model: Model) -> float:
    own, d = model.load(weights(problem)), data(problem)
    jax.clear_caches()
    _, seconds = compiled(jax.value_and_grad(model.loss), own, d)
    return seconds
