"""Runs of tasks on sequences, killed and resumed, end with the bytes of one left alone.

What all of them have in common is in test_trainer.py.
"""

import random
import shutil
import time

import pytest
from sequence_files import FORECAST, TINY, pairs, table
from test_resume import KILLS, digests, run, start

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tasks_resume")]
LONGER = "--steps 60 --eval-every 20 --log-every 10 --save-every 10 --sample-every 30"
CASES = {
    "translate": (lambda to: pairs(to / "pairs.tsv"), ["--embed-size", "3"]),
    "forecast": (lambda to: table(to / "load.csv"), FORECAST),
    "forecast-feedback": (lambda to: table(to / "load.csv"), [*FORECAST, "--feedback"]),
}


def digests_of(directory) -> dict[str, str]:
    """Those of a language model's files, with task.json for the symbols."""
    shutil.copy(directory / "task.json", directory / "vocab.json")
    try:
        return digests(directory)
    finally:
        (directory / "vocab.json").unlink()


@pytest.mark.parametrize("name", CASES)
def test_killed_at_random_moments(name, tmp_path):
    write, options = CASES[name]
    command = name.partition("-")[0]
    words = [command, write(tmp_path), *TINY, *LONGER.split(), "--average", "0.9"]
    words += ["--dropout", "0.2", *options]
    begin = time.monotonic()
    run(*words, "--out", tmp_path / "alone")
    seconds, expected = time.monotonic() - begin, digests_of(tmp_path / "alone")
    killed, chance = tmp_path / "killed", random.Random(time.time_ns())
    kills, of_this_run, deadline = 0, 0, time.monotonic() + 60 * (KILLS + 2)
    while kills < KILLS or of_this_run:
        assert time.monotonic() < deadline
        resumable = (killed / "config.json").exists()
        resume = [command, "--resume", killed]
        with start(*(resume if resumable else [*words, "--out", killed])) as process:
            time.sleep(seconds * chance.uniform(0.3, 1) if kills < KILLS else 0)
            if kills < KILLS and process.poll() is None:
                process.kill()
                kills, of_this_run = kills + 1, of_this_run + 1
                continue
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0 or "has made all of its" in errors, errors
        if of_this_run:
            assert digests_of(killed) == expected
        shutil.rmtree(killed)
        of_this_run = 0
    print(f"{name}: {kills} kills")
