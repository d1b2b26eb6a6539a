"""Runs of tasks on sequences, killed and resumed, end with the bytes of one left alone.

What all of them have in common is in test_trainer.py.
"""

import random
import shutil
import time

import pytest
from nursery import Nursery
from sequence_files import FORECAST, pairs, table
from test_resume import KILLS, digests, environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tasks_resume")]
SMALL = (
    "--steps 60 --batch-size 8 --hidden-size 4 --eval-every 20 --log-every 10 "
    "--save-every 10 --sample-every 30 --learning-rate 0.01 --average 0.9 --dropout 0.2"
).split()
CASES = {
    "translate": (lambda to: pairs(to / "pairs.tsv", longest=2), ["--embed-size", "3"]),
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


@pytest.mark.parametrize("name", CASES)
def test_killed_at_random_moments(name, nursery, tmp_path):
    write, options = CASES[name]
    command = name.partition("-")[0]
    words = [command, write(tmp_path), *SMALL, *options, "--out"]
    for directory in ("first", "alone"):  # what the first compiles, others need not
        begin = time.monotonic()
        code, said = nursery.end(nursery.start(*words, tmp_path / directory))
        assert code == 0, said
    seconds, expected = time.monotonic() - begin, digests_of(tmp_path / "alone")
    assert digests_of(tmp_path / "first") == expected
    run, chance = tmp_path / "killed", random.Random(time.time_ns())
    kills, of_this_run, deadline = 0, 0, time.monotonic() + 60 * (KILLS + 2)
    while kills < KILLS or of_this_run:
        assert time.monotonic() < deadline
        resume = [command, "--resume", run]
        resumable = (run / "config.json").exists()
        process = nursery.start(*(resume if resumable else [*words, run]))
        if kills < KILLS:
            time.sleep(seconds * chance.uniform(0, 0.8))
            nursery.kill(process)
        code, said = nursery.end(process)
        if code < 0:
            kills, of_this_run = kills + 1, of_this_run + 1
            print(f"{name}: killed {kills} times", flush=True)
            continue
        assert code == 0 or "has made all of its" in said, said
        assert digests_of(run) == expected
        shutil.rmtree(run)
        of_this_run = 0
