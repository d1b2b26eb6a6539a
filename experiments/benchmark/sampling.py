"""W6: characters a second, from three models, one text at a time and 64 at once.

jrnn's `sample` is one compiled call. NumPy's loop is min-char-rnn's: a one-hot vector
times the weights and np.random.choice ("textbook"), or the fewest calls of NumPy known
here ("tuned"). PyTorch runs its cell once for each character. The sampled texts differ,
since the random numbers do; what is compared is the logits of a given text.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark import bare, of_jrnn, record
from experiments.benchmark.compare import TOLERANCE, Session, UnequalError, difference
from experiments.benchmark.models import Entry, compiled
from experiments.benchmark.problem import Problem, Weights, data, weights
from experiments.benchmark.writers import NumpyWriter
from jrnn.generate import prime, sample
from jrnn.unroll import unroll

MODELS = (("tanh", 100), ("lstm", 128), ("lstm", 512))
CHARACTERS = {1: 2000, 64: 250}  # in one call of jrnn, by batch
LOOP_CHARACTERS = 200  # in one call of a Python loop


def cases(session: Session):
    for kind, hidden in MODELS:
        for batch in CHARACTERS:
            problem = session.cfg.problem(kind, batch, 20, hidden)
            if problem.batch > 1 or batch == 1:
                yield sampling_case(session, problem)


def sampling_case(session: Session, problem: Problem) -> dict:
    w = weights(problem)
    length = 20 if session.cfg.quick else CHARACTERS[problem.batch]
    loop_length = 20 if session.cfg.quick else LOOP_CHARACTERS
    writers = numpy_writers(problem, w)
    entries = [jrnn_entry(problem, w, length)]
    for name, writer in writers.items():
        call = lambda writer=writer: writer.write(loop_length)
        entries.append(Entry(name, call, work=loop_length * problem.batch))
    expected = expected_logits(problem, w)
    largest = max(
        check(expected, name, numpy_logits(writer, problem))
        for name, writer in writers.items()
    )
    if "PyTorch" in session.peers:
        torch = session.peers["PyTorch"]
        writer = torch.Writer(problem, w)
        logits = torch.logits_of(writer, text_to_read(problem))
        largest = max(largest, check(expected, "PyTorch", logits))
        entries += torch.writing_entries(writer, loop_length)
    title = f"{problem.title.replace(f' T{problem.time}', '')}, sampling"
    floor = bare.writing_entry(problem, length)
    seconds = session.measure(title, [*entries, floor])
    return record.case(
        title,
        entries,
        seconds,
        unit="characters/s",
        largest_difference=largest,
        missing={k: v for k, v in session.missing.items() if k == "PyTorch"},
        bare=seconds[bare.NAME],
    )


def jrnn_entry(problem: Problem, w: Weights, length: int) -> Entry:
    model, params = of_jrnn.language_model(problem), of_jrnn.stack_weights(w)
    key = jax.random.key(problem.seed)

    def write(params, key):
        start = prime(model, params, jnp.zeros(1, jnp.int32))
        return sample(model, params, key, start, length)[1]

    if problem.batch > 1:
        write, key = jax.vmap(write, (None, 0)), jax.random.split(key, problem.batch)
    call, seconds = compiled(write, params, key)
    return Entry(
        record.JRNN, call, compile_seconds=seconds, work=length * problem.batch
    )


def numpy_writers(problem: Problem, w: Weights) -> dict[str, NumpyWriter]:
    found = {"NumPy, tuned": NumpyWriter(problem, w)}
    if problem.batch == 1:
        found = {"NumPy, textbook": NumpyWriter(problem, w, textbook=True)} | found
    return found


def text_to_read(problem: Problem) -> np.ndarray:
    return np.asarray(data(problem._replace(batch=1)).tokens[0])


def numpy_logits(writer: NumpyWriter, problem: Problem) -> np.ndarray:
    """Logits (P, V) of the first in a batch."""
    state, rows = writer.start(), []
    for token in text_to_read(problem):
        batch = token if problem.batch == 1 else np.full(problem.batch, token)
        state, logits = writer.step(state, batch)
        rows.append(logits if problem.batch == 1 else logits[0])
    return np.stack(rows)


def expected_logits(problem: Problem, w: Weights) -> np.ndarray:
    model, params = of_jrnn.language_model(problem), of_jrnn.stack_weights(w)
    read = jax.jit(lambda params, tokens: unroll(model, params, tokens)[1])
    return np.asarray(read(params, jnp.asarray(text_to_read(problem))))


def check(expected: np.ndarray, name: str, logits: np.ndarray) -> float:
    found = difference(expected, logits)
    if not found < TOLERANCE:
        raise UnequalError(f"{name}: logits differ from jrnn's by {found:.1e}.")
    return found
