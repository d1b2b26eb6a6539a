"""W9: unchanged cells of other libraries, under `lax.scan` and under `jrnn.scan`."""

import jax

import jrnn
from experiments.benchmark import record
from experiments.benchmark.compare import Session, check
from experiments.benchmark.models import Model, gradient_entry
from experiments.benchmark.peers import in_jax
from experiments.benchmark.problem import Problem, data, weights

SCANS = {"jrnn.scan": jrnn.scan, "lax.scan": jax.lax.scan}


def cases(session: Session):
    cfg = session.cfg
    for kind in ("gru", "lstm"):
        for sizes in ((50, 50, 128), (16, 1000, 64)):
            problem = cfg.problem(kind, *sizes)
            for module in in_jax(session.peers):
                for name, cell in module.foreign(problem).items():
                    yield cell_case(session, problem, name, *cell)


def cell_case(session: Session, problem: Problem, name: str, build, load, kind) -> dict:
    w, d = weights(problem), data(problem)
    entries = [
        gradient_entry(Model(scan, build(loop), load, kind), w, d)
        for scan, loop in SCANS.items()
    ]
    largest = check(problem, w, d, entries)
    title = f"{name}, {problem.title.split(' ', 1)[1]}"
    return record.case(
        title,
        entries,
        session.measure(title, entries),
        reference="jrnn.scan",
        largest_difference=largest,
        missing={k: v for k, v in session.missing.items() if k != "PyTorch"},
    )
