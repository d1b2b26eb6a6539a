"""W7: memory of the gradient for long sequences, and what it costs to need less.

The memory is XLA's own figure for the temporary buffers of the compiled program, which
needs no run. The time is that of T = 10,000.
"""

import jax

import jrnn
from experiments.benchmark import of_jrnn, of_lax, record
from experiments.benchmark.compare import Session, check
from experiments.benchmark.models import Entry, Model, gradient_entry
from experiments.benchmark.problem import Problem, data, weights
from jrnn.losses import cross_entropy

MIB = 2**20


def cases(session: Session):
    lengths = (10, 20) if session.cfg.quick else (1_000, 10_000, 100_000)
    problems = [
        session.cfg.problem("lstm", 16, 1, 64)._replace(time=length)
        for length in lengths
    ]
    yield {
        "title": f"memory of the gradient, LSTM B{problems[0].batch} "
        f"H{problems[0].hidden}",
        "unit": "MiB",
        "figures": {f"T={p.time:,}": mebibytes(session, p) for p in problems},
    }
    yield time_case(session, problems[1])


def models(problem: Problem) -> list[Model]:
    load, by_remat = of_jrnn.stack_weights, []
    for remat in (None, "step", "chunk"):
        name = "jrnn" if remat is None else f"jrnn, {remat}"
        by_remat += [
            Model(name, of_jrnn.as_written(problem, remat), load),
            Model(f"{name}, loss inside", loss_inside(problem, remat), load),
        ]
    return by_remat + of_lax.models(problem)


def loss_inside(problem: Problem, remat: str | None):
    """The loss in every step: no logits (T, B, V) to keep, which remat cannot help."""
    model = of_jrnn.language_model(problem)

    def one(params, tokens, labels):  # (T,), (T,)
        def step(carry, token_and_label):
            token, label = token_and_label
            carry, logits = model.step(params, carry, token)
            return carry, cross_entropy(logits, label)

        carry = model.initial_carry(params)
        return jrnn.scan(step, carry, (tokens, labels), remat=remat)[1].mean()

    return of_jrnn.batched(problem, one)


def mebibytes(session: Session, problem: Problem) -> dict[str, float]:
    found, d = {}, data(problem)
    task = session.progress.add_task(f"memory at T={problem.time}", total=None)
    for model in models(problem):
        own = model.load(weights(problem))
        program = jax.jit(jax.value_and_grad(model.loss)).lower(own, d).compile()
        size = program.memory_analysis().temp_size_in_bytes
        found[model.name] = record.rounded(size / MIB, 4)
    session.progress.remove_task(task)
    return found


def time_case(session: Session, problem: Problem) -> dict:
    w, d = weights(problem), data(problem)
    entries: list[Entry] = [gradient_entry(m, w, d) for m in models(problem)]
    largest = check(problem, w, d, entries)
    return record.case(
        problem.title,
        entries,
        session.measure(problem.title, entries),
        largest_difference=largest,
    )
