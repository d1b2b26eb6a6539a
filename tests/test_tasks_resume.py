"""Runs of tasks on sequences, killed and resumed, end with the bytes of one left alone.

What all of them have in common is in test_trainer.py, the language model in
test_resume.py. JRNN_TEST_KILLS=20 kills each command 20 times.
"""

import random
import shutil
import time

import class_data
import pytest
from nursery import Nursery
from sequence_files import FORECAST, pairs, table
from test_resume import KILLS, digests, environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tasks_resume")]
# many checkpoints and few programs: tracing them is most of the time of such a run
SMALL = (
    "--cell elman --steps 200 --batch-size 8 --hidden-size 4 --eval-every 50 "
    "--log-every 10 --save-every 10 --sample-every 100 --learning-rate 0.01 "
    "--average 0.9"
).split()
FORWARD = "--direction forward --embed-size 3".split()
TABLE = "--label kind --id who --features x y --direction forward".split()
MOST = 3  # kills of one run, which is then left to end


def recordings(path):
    class_data.recordings().write_csv(path)
    return path


CASES = {
    "classify": (lambda to: class_data.texts(to / "letters.tsv"), FORWARD),
    "classify-numbers": (lambda to: recordings(to / "rows.csv"), TABLE),
    "label": (lambda to: class_data.sentences(to / "tags.conll"), FORWARD),
    "translate": (
        lambda to: pairs(to / "pairs.tsv", longest=2),
        "--embed-size 3 --beam-size 2 --dropout 0.2".split(),
    ),
    "forecast": (lambda to: table(to / "load.csv"), FORECAST),
    "forecast-feedback": (lambda to: table(to / "load.csv"), [*FORECAST, "--feedback"]),
}


@pytest.fixture(scope="module")
def nursery():
    with Nursery(environment()) as nursery:
        yield nursery


def digests_of(directory) -> dict[str, str]:
    """Those of a language model's files, with task.json for the symbols."""
    shutil.copy(directory / "task.json", directory / "vocab.json")
    try:
        return digests(directory)
    finally:
        (directory / "vocab.json").unlink()


def reached(run) -> str:
    """How far a run had come, for who reads what was tried."""
    metrics = run / "metrics.jsonl"
    lines = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
    if (run / "results.json").exists():
        return "its results"
    if lines:
        saved = "" if (run / "checkpoint.safetensors").exists() else ", nothing saved"
        return f"step {10 * lines}{saved}"
    return "its first step" if (run / "config.json").exists() else "nothing"


def left_alone(nursery, words, run) -> tuple[float, float]:
    """Seconds of a run that nobody disturbs: to its first log line, and in all."""
    begin = time.monotonic()
    process, first = nursery.start(*words, run), None
    while not nursery.ended(process):
        if first is None and (run / "metrics.jsonl").exists():
            first = time.monotonic() - begin
        time.sleep(0.01)
    code, said = nursery.end(process)
    assert code == 0 and first is not None, said
    return first, time.monotonic() - begin


@pytest.mark.parametrize("name", CASES)
def test_killed_at_random_moments(name, nursery, tmp_path):
    write, options = CASES[name]
    command = name.partition("-")[0]
    words = [command, write(tmp_path), *SMALL, *options, "--out"]
    left_alone(nursery, words, tmp_path / "first")  # compiles; the others need not
    first, seconds = left_alone(nursery, words, tmp_path / "alone")
    expected = digests_of(tmp_path / "alone")
    assert digests_of(tmp_path / "first") == expected
    run, chance = tmp_path / "killed", random.Random(time.time_ns())
    kills = of_this_run = verdicts = tries = 0
    while kills < KILLS or of_this_run:
        tries += 1
        assert tries < 10 * (KILLS + 2), "runs end before they are killed"
        resume = [command, "--resume", run]
        resumable = (run / "config.json").exists()
        process = nursery.start(*(resume if resumable else [*words, run]))
        if kills < KILLS and of_this_run < MOST:
            # by turns at any moment, and at one after training has begun: the time
            # before, in which programs are traced, is most of all
            earliest = first if kills % 2 else 0.0
            time.sleep(chance.uniform(earliest, seconds))
            nursery.kill(process)
        code, said = nursery.end(process)
        if code < 0:
            kills, of_this_run = kills + 1, of_this_run + 1
            print(f"{name}: killed {kills} times, at {reached(run)}", flush=True)
            continue
        assert code == 0 or "has made all of its" in said, said
        if of_this_run:
            assert digests_of(run) == expected
            verdicts += 1
            print(f"{name}: same bytes after {of_this_run} kills", flush=True)
        shutil.rmtree(run)
        of_this_run = 0
    assert verdicts >= KILLS / MOST
    print(f"{name}: {kills} kills, {verdicts} runs of the same bytes", flush=True)
