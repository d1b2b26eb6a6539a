"""W2, W3, W4: loss and gradient of a batch of sequences."""

from experiments.benchmark import bare, of_jrnn, of_lax, of_numpy, peers, record
from experiments.benchmark.compare import Session, check
from experiments.benchmark.config import Config
from experiments.benchmark.models import Entry, gradient_entry
from experiments.benchmark.problem import Data, Problem, Weights, data, weights


def short_sequences(session: Session):
    cfg = session.cfg
    for kind in ("tanh", "gru", "lstm"):
        yield gradient_case(session, cfg.problem(kind, 50, 50, 128))


def wide_and_deep(session: Session):
    for problem in wide_and_deep_problems(session.cfg):
        yield gradient_case(session, problem)


def wide_and_deep_problems(cfg: Config) -> list[Problem]:
    sizes = [(hidden, layers) for layers in (1, 2, 3) for hidden in (128, 256, 512)]
    if cfg.quick:
        sizes = sizes[:1] + sizes[-1:]
    return [cfg.problem("lstm", 50, 50, hidden, layers) for hidden, layers in sizes]


def long_sequences(session: Session):
    for kind in ("tanh", "gru", "lstm"):
        yield gradient_case(session, session.cfg.problem(kind, 16, 1000, 64))


def gradient_case(session: Session, problem: Problem) -> dict:
    w, d = weights(problem), data(problem)
    entries = gradient_entries(session, problem, w, d)
    largest = check(problem, w, d, entries)
    floor = bare.entry(problem)
    seconds = session.measure(problem.title, [*entries, floor])
    return record.case(
        problem.title,
        entries,
        seconds,
        largest_difference=largest,
        missing=session.missing,
        bare=seconds[bare.NAME],
    )


def gradient_entries(
    session: Session, problem: Problem, w: Weights, d: Data
) -> list[Entry]:
    entries = [gradient_entry(m, w, d) for m in models(session, problem)]
    if "PyTorch" in session.peers:
        entries += session.peers["PyTorch"].gradient_entries(problem, w, d)
    if of_numpy.understands(problem):
        entries.append(of_numpy.gradient_entry(problem, w, d))
    return entries


def models(session: Session, problem: Problem) -> list:
    """All ways to write the loss in JAX."""
    found = of_jrnn.models(problem) + of_lax.models(problem)
    for module in peers.in_jax(session.peers):
        found += module.models(problem)
    return found
