"""jrnn with its batch sharded over two host devices, one for each core.

The number of devices is fixed when JAX starts, so this runs in a process of its own:
its numbers, and those of the unsharded program beside them, come from that process.
"""

import json
import os
import subprocess
import sys

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from experiments.benchmark import of_jrnn, record
from experiments.benchmark.compare import Session, check
from experiments.benchmark.models import Entry, Model, compiled, gradient_entry
from experiments.benchmark.problem import Problem, data, weights
from experiments.benchmark.timing import measure

DEVICES = 2
SIZES = ((50, 50, 128), (16, 1000, 64), (50, 50, 512))


def cases(session: Session):
    """W10: each problem in a new process, whose answer is one line of JSON."""
    cfg = session.cfg
    for sizes in SIZES:
        for kind in ("tanh", "gru", "lstm"):
            problem = cfg.problem(kind, *sizes)
            problem = problem._replace(batch=problem.batch // DEVICES * DEVICES)
            title = f"{problem.title}, {DEVICES} devices"
            task = session.progress.add_task(title, total=None)
            yield in_new_process(problem, cfg.number_of_rounds)
            session.progress.remove_task(task)


def in_new_process(problem: Problem, rounds: int) -> dict:
    command = [sys.executable, "-m", __name__, json.dumps([problem, rounds])]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise RuntimeError(f"sharded: {problem.title} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def case(problem: Problem, rounds: int) -> dict:
    w, d = weights(problem), data(problem)
    model = Model(record.JRNN, of_jrnn.as_written(problem), of_jrnn.stack_weights)
    entries = [gradient_entry(model, w, d), sharded_entry(model, w, d)]
    largest = check(problem, w, d, entries)
    seconds = measure(entries, rounds)
    return record.case(
        f"{problem.title}, {DEVICES} devices",
        entries,
        seconds,
        largest_difference=largest,
    )


def sharded_entry(model: Model, w, d) -> Entry:
    """Weights on every device, rows of the batch divided among them."""
    mesh = jax.make_mesh((DEVICES,), ("batch",), axis_types=(AxisType.Auto,))
    place = lambda tree, *axes: jax.device_put(
        tree, NamedSharding(mesh, PartitionSpec(*axes))
    )
    function = jax.value_and_grad(model.loss)
    call, seconds = compiled(function, place(model.load(w)), place(d, "batch"))
    name = f"{model.name}, batch on {DEVICES} devices"
    return Entry(name, call, model.load, compile_seconds=seconds)


def main(argument: str) -> None:
    jax.config.update("jax_num_cpu_devices", DEVICES)
    problem, rounds = json.loads(argument)
    print(json.dumps(case(Problem(*problem), rounds)))


if __name__ == "__main__":
    main(sys.argv[1])
