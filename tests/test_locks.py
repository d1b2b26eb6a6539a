"""One writer at a time: a run and a table survive any second process."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nursery import Nursery
from test_resume import environment

from jrnn import _lock
from jrnn._lock import InUseError, held
from jrnn.sweep import grid, read_table, sweep

pytestmark = [pytest.mark.xdist_group("locks"), pytest.mark.slow]
ROUNDS = int(os.environ.get("JRNN_TEST_ROUNDS", "3"))
OPTIONS = (
    "--cell gru --hidden-size 8 --dropout 0.1 --steps 1600 --eval-every 40 "
    "--sample-every 100 --save-every 20 --log-every 10 --batch-size 4 --window 8 "
    "--warmup 10 --average 0.9 --seed 5"
).split()
FOREVER = [*OPTIONS, "--steps", "10000000"]


@pytest.fixture(scope="module")
def nursery():
    with Nursery(environment()) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    words = "the cat sat on a mat and ate one fat rat\n".split(" ")
    path.write_text(" ".join(random.Random(0).choices(words, k=1500)))
    return path


def content(directory: Path) -> dict[str, bytes]:
    """The files of a run that must not depend on who disturbed it."""
    names = (
        "checkpoint.safetensors best.safetensors metrics.jsonl samples.txt vocab.json "
        "results.json"
    )
    return {name: (directory / name).read_bytes() for name in names.split()}


@pytest.fixture(scope="module")
def left_alone(nursery, text, tmp_path_factory):
    directory = tmp_path_factory.mktemp("alone") / "run"
    for times in ("compiling all", "from the cache"):
        shutil.rmtree(directory, ignore_errors=True)
        begin = time.monotonic()
        process = nursery.start("train", text, "--out", directory, *OPTIONS)
        assert nursery.end(process)[0] == 0, times
    return content(directory), time.monotonic() - begin


def steps_of(run: Path) -> list[int]:
    whole = (run / "metrics.jsonl").read_bytes().split(b"\n")[:-1]
    return [json.loads(line)["step"] for line in whole]


# why a command may be refused beside another: all of them leave the run as it is
REFUSED = (
    r"is in use by process \d+ on \S+ since \d{4}-\d\d-\d\d|is in use by another "
    r"process|exists\. Go on with it by --resume|has made all of its 1600 steps|There "
    r"is no run at|config\.json is missing|was changed by another process"
)


def disturbed(nursery, commands, chance, seconds) -> tuple[int, int]:
    """Start commands at random moments and kill some; returns kills and refusals."""
    kills = refusals = 0
    started = []
    for words in sorted(commands, key=lambda _: chance.random()):
        time.sleep(chance.uniform(0, 0.2 * seconds))
        started.append((words, nursery.start(*words)))
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0, 0.8 * seconds))
            nursery.kill(chance.choice(started)[1])
    for words, process in started:
        code, said = nursery.end(process)
        assert code in (0, 2, -9), (words, code, said)
        assert "Traceback" not in said, said
        kills += code == -9
        if code == 2:
            refusals += 1
            reads = words[0] != "train"  # such a one may meet a run that begins anew
            assert reads or re.search(REFUSED, said), (words, said)
    return kills, refusals


@pytest.mark.slow
def test_commands_at_random_moments_lose_and_repeat_no_step(
    nursery, text, left_alone, tmp_path
):
    expected, seconds = left_alone
    chance = random.Random(time.time_ns())
    run = tmp_path / "run"
    begin, go_on = ("train", text, "--out", run, *OPTIONS), ("train", "--resume", run)
    read = ("sample", run, "--length", "5"), ("info", run)
    ends = kills = refusals = 0
    for _ in range(ROUNDS):
        anew = (*begin, "--overwrite")
        commands = chance.choices(
            [begin, begin, *6 * [go_on], anew, *read], k=chance.choice((2, 3))
        )
        more = disturbed(nursery, commands, chance, seconds)
        kills, refusals = kills + more[0], refusals + more[1]
        if (run / "metrics.jsonl").exists():
            steps = steps_of(run)
            assert steps == list(range(10, 10 * len(steps) + 1, 10))
        if (run / "results.json").exists() and chance.random() < 0.5:
            assert content(run) == expected
            shutil.rmtree(run)
            ends += 1
    if not (run / "results.json").exists():
        words = go_on if (run / "config.json").exists() else begin
        code, said = nursery.end(nursery.start(*words))
        assert code == 0, said
    assert content(run) == expected
    print(f"{ROUNDS} rounds: {kills} kills, {refusals} refusals, {ends + 1} whole runs")


def wait_for(path: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.02)


def test_a_run_in_use_is_refused_and_goes_on(nursery, text, tmp_path):
    run = tmp_path / "run"
    first = nursery.start("train", text, "--out", run, *FOREVER, "--save-every", "500")
    try:
        wait_for(run / "config.json")
        # there is no checkpoint yet, and its owner lives
        for words in (
            ["train", "--resume", run],
            ["train", text, "--out", run, *OPTIONS],
            ["train", text, "--out", run, *OPTIONS, "--overwrite"],
        ):
            before = {p.name for p in run.iterdir() if p.suffix in (".json", ".lock")}
            code, said = nursery.end(nursery.start(*words))
            assert code == 2, said
            pattern = rf"jrnn: \S+ is in use by process {first} on \S+ since 20"
            assert re.search(pattern, said), said
            assert len(said.strip().splitlines()) == 1
            after = {p.name for p in run.iterdir() if p.suffix in (".json", ".lock")}
            assert before <= after
        wait_for(run / "checkpoint.safetensors")
        for words in (["sample", run, "--length", "3"], ["info", run]):  # readers
            assert nursery.end(nursery.start(*words))[0] == 0
    finally:
        nursery.kill(first)
    # its owner was killed: it goes on at once
    second = nursery.start("train", "--resume", run, "--steps", "1000000")
    try:
        reached = json.loads((run / ".lock.json").read_text())["process"]
        deadline = time.monotonic() + 60
        while reached != second and time.monotonic() < deadline:
            time.sleep(0.02)
            try:
                reached = json.loads((run / ".lock.json").read_text())["process"]
            except ValueError:
                continue
        assert reached == second
    finally:
        nursery.kill(second)
        assert nursery.end(first)[0] == nursery.end(second)[0] == -9


def test_two_new_runs_of_one_name(nursery, text, left_alone, tmp_path):
    run = tmp_path / "run"
    words = ["train", text, "--out", run, *OPTIONS]
    ends = [nursery.end(p) for p in [nursery.start(*words) for _ in range(3)]]
    codes = sorted(code for code, _ in ends)
    assert codes == [0, 2, 2], ends
    for code, said in ends:
        assert code == 0 or re.search("is in use by process|exists. Go on", said)
    assert content(run) == left_alone[0]


def test_a_run_that_is_deleted_under_its_process(nursery, text, tmp_path):
    run = tmp_path / "run"
    process = nursery.start("train", text, "--out", run, *FOREVER)
    wait_for(run / "checkpoint.safetensors")
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)  # it may have written meanwhile
    code, said = nursery.end(process)
    assert code == 2 and "Traceback" not in said, said
    assert "was deleted, moved or replaced" in said or "cannot be written" in said


def test_a_sweep_in_use_is_refused(nursery, text, tmp_path):
    folder = tmp_path / "sweep"
    words = ["sweep", text, "--out", folder, "--hidden-size", "8", "--steps", "4000"]
    words += ["--evals", "4", "--learning-rate", "0.1,0.2", "--batch-size", "2"]
    first = nursery.start(*words)
    try:
        wait_for(folder / "sweep.json")
        code, said = nursery.end(nursery.start(*words))
        assert code == 2, said
        assert re.search(rf"sweep is in use by process {first} on", said), said
    finally:
        nursery.kill(first)
        nursery.end(first)


def test_a_table_has_one_writer(tmp_path):
    table = tmp_path / "table.csv"
    square = lambda config, key: {"loss": config["rate"] ** 2}
    with held(table):
        with pytest.raises(InUseError, match=r"table\.csv is in use by process"):
            sweep(square, grid(rate=[0.1]), table=table, method="map")
        assert not table.exists()
    sweep(square, grid(rate=[0.1]), table=table, method="map")
    assert len(read_table(table)) == 1


HOLD = """
import sys, time
from jrnn._lock import held
with held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_ends_with_its_process(tmp_path):
    own = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, env=own
    )
    try:
        assert process.stdout.readline() == b"held\n"
        told = rf"is in use by process {process.pid} on \S+ since \d{{4}}-\d\d-\d\d "
        with pytest.raises(InUseError, match=told), held(tmp_path):
            pass
        (tmp_path / ".lock.json").write_text('{"process": ')
        with pytest.raises(InUseError, match="by another process"), held(tmp_path):
            pass
    finally:
        process.kill()
        process.stdout.close()
    # not waited for: the kernel may still be at it
    with held(tmp_path) as mine:
        mine.check()
        assert (
            json.loads((tmp_path / ".lock.json").read_text())["process"] == os.getpid()
        )
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]
    process.wait()


def test_a_lock_on_a_file_that_was_replaced_protects_nothing(tmp_path):
    with held(tmp_path) as mine:
        (tmp_path / _lock.NAME).unlink()
        with pytest.raises(InUseError, match="was deleted, moved or replaced"):
            mine.check()
        (tmp_path / _lock.NAME).touch()
        with pytest.raises(InUseError, match="was deleted, moved or replaced"):
            mine.check()
