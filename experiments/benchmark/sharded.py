"""W10: the batch divided among the cores of the CPU, as `jrnn train` does it.

Each core is a device with rows of its own: `jrnn.train.batched(loss, mesh)`. The number
of devices is fixed when JAX starts, so this runs in a process of its own: its numbers,
and those of the undivided program and of PyTorch beside them, come from that process.
It keeps what all of them free, as `jrnn train` does.
"""

import json
import os
import subprocess
import sys

import jax

import jrnn
from experiments.benchmark import of_jrnn, peers, record
from experiments.benchmark.compare import Session, check
from experiments.benchmark.models import Entry, Model, gradient_entry
from experiments.benchmark.problem import Problem, data, weights
from experiments.benchmark.timing import measure
from jrnn.devices import keep_memory, mesh_of, placed, provide_cores
from jrnn.losses import cross_entropy
from jrnn.train import batched

SIZES = ((50, 50, 128), (50, 50, 256), (50, 50, 512), (16, 1000, 64))


def cases(session: Session):
    """Each problem in a new process, whose answer is one line of JSON."""
    cfg = session.cfg
    for sizes in SIZES:
        for kind in ("tanh", "gru", "lstm"):
            problem = cfg.problem(kind, *sizes)
            problem = problem._replace(batch=problem.batch // 2 * 2)
            task = session.progress.add_task(title(problem), total=None)
            yield in_new_process(problem, cfg.number_of_rounds)
            session.progress.remove_task(task)


def title(problem: Problem) -> str:
    return f"{problem.title}, all cores"


def in_new_process(problem: Problem, rounds: int) -> dict:
    command = [sys.executable, "-m", __name__, json.dumps([problem, rounds])]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise RuntimeError(f"sharded: {problem.title} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def case(problem: Problem, rounds: int) -> dict:
    w, d = weights(problem), data(problem)
    model = Model(record.JRNN, of_jrnn.as_written(problem), of_jrnn.stack_weights)
    entries = [gradient_entry(model, w, d), divided_entry(problem, w, d)]
    here, missing = peers.find()
    if "PyTorch" in here:
        entries += here["PyTorch"].gradient_entries(problem, w, d)
    largest = check(problem, w, d, entries)
    return record.case(
        title(problem),
        entries,
        measure(entries, rounds),
        largest_difference=largest,
        missing={k: v for k, v in missing.items() if k == "PyTorch"},
    )


def divided_entry(problem: Problem, w, d) -> Entry:
    """Weights on every device, rows of the batch divided among them."""
    there = range(1, jax.device_count() + 1)
    devices = max(n for n in there if problem.batch % n == 0)
    mesh = mesh_of(devices)
    cell = of_jrnn.language_model(problem)

    def window_loss(params, carry, batch, *, key=None):  # of one sequence
        tokens, labels = batch
        return cross_entropy(jrnn.unroll(cell, params, tokens)[1], labels), carry

    mean = batched(window_loss, mesh)
    loss = lambda params, data: mean(params, (), tuple(data))[0]
    name = f"{record.JRNN}, batch on {devices} devices"
    load = lambda weights: placed(of_jrnn.stack_weights(weights), mesh, jax.P())
    return gradient_entry(Model(name, loss, load), w, placed(d, mesh))


def main(argument: str) -> None:
    keep_memory()
    provide_cores(loops_in_loops=False)
    problem, rounds = json.loads(argument)
    print(json.dumps(case(Problem(*problem), rounds)))


if __name__ == "__main__":
    main(sys.argv[1])
