"""W1: steps of training of min-char-rnn's size, 1 and 64 in a compiled call.

One step: loss and gradient of one window of 25 characters, each element of the gradient
clipped, Adagrad. Every window starts from zeros. PyTorch and NumPy run their steps in a
Python loop; all others in one compiled program.
"""

from experiments.benchmark import bare, of_numpy, record
from experiments.benchmark.compare import Session, check
from experiments.benchmark.gradients import gradient_entries, models
from experiments.benchmark.models import Entry, training_entry
from experiments.benchmark.problem import Data, Problem, Weights, data, weights


def cases(session: Session):
    cfg = session.cfg
    for kind in ("tanh", "lstm"):
        problem = cfg.problem(kind, 1, 25, 100)
        w = weights(problem)
        d = data(problem)
        largest = check(problem, w, d, gradient_entries(session, problem, w, d))
        for steps in (1, 3 if cfg.quick else 64):
            yield training_case(session, problem, w, steps, largest)


def training_case(
    session: Session, problem: Problem, w: Weights, steps: int, largest: float
) -> dict:
    windows = data(problem, steps)
    title = f"{problem.title}, {steps} step{'s' * (steps > 1)} a call"
    entries = training_entries(session, problem, w, windows)
    seconds = session.measure(title, [*entries, bare.entry(problem, steps)])
    return record.case(
        title,
        entries,
        seconds,
        largest_difference=largest,
        missing=session.missing,
        bare=seconds[bare.NAME],
    )


def training_entries(
    session: Session, problem: Problem, w: Weights, windows: Data
) -> list[Entry]:
    entries = [training_entry(m, w, windows) for m in models(session, problem)]
    if "PyTorch" in session.peers:
        entries += session.peers["PyTorch"].training_entries(problem, w, windows)
    if of_numpy.understands(problem):
        entries.append(of_numpy.training_entry(problem, w, windows))
    return entries
