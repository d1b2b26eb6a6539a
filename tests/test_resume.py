"""A run that is killed or stopped and resumed ends with the bytes of one left alone."""

import atexit
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

# all are compared with one run, which is made once if they share a worker
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("resume")]
CACHE = tempfile.mkdtemp(prefix="jrnn-commands-")
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
KILLS = int(os.environ.get("JRNN_TEST_KILLS", "2"))
OPTIONS = (
    "--cell lstm --hidden-size 24 --layers 2 --dropout 0.1 --recurrent-dropout 0.2 "
    f"--average 0.9 --steps {200 * KILLS} --eval-every 200 --sample-every 400 "
    "--save-every 60 --log-every 20 --batch-size 6 --window 12 --update-every 8 "
    "--warmup 10 --seed 3"
).split()


def command(*words) -> list[str]:
    code = "import sys; from jrnn.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, *map(str, words)]


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[1])
    own = {"PYTHONPATH": root, "JAX_ENABLE_X64": "0", "JAX_NUM_CPU_DEVICES": "2"}
    # the suite's own flags compile fast programs that run slowly
    own |= {"XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    # most of a start is compilation, and all starts compile the same
    own |= {"JAX_COMPILATION_CACHE_DIR": CACHE}
    own |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    own |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    return {**os.environ, **own}


def run(*words, code=0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        command(*words), env=environment(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == code, done.stderr
    return done


def start(*words) -> subprocess.Popen:
    return subprocess.Popen(
        command(*words),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def digests(directory: Path) -> dict[str, str]:
    names = (
        "checkpoint.safetensors",
        "best.safetensors",
        "metrics.jsonl",
        "samples.txt",
        "vocab.json",
        "results.json",
    )
    return {n: hashlib.sha256((directory / n).read_bytes()).hexdigest() for n in names}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    words = "the cat sat on a mat and ate one fat rat\n".split(" ")
    path.write_text(" ".join(random.Random(0).choices(words, k=3000)))
    return path


@pytest.fixture(scope="module")
def left_alone(text, tmp_path_factory):
    """Digests of a run that nobody disturbs, and the seconds that it takes."""
    directory = tmp_path_factory.mktemp("runs") / "alone"
    begin = time.monotonic()
    run("train", text, "--out", directory, *OPTIONS)
    return digests(directory), time.monotonic() - begin


def test_killed_at_random_moments(text, left_alone, tmp_path):
    expected, seconds = left_alone
    directory = tmp_path / "killed"
    chance = random.Random(time.time_ns())
    begin = ("train", text, "--out", directory, *OPTIONS)
    kills, finished, latest = 0, False, 0.4
    deadline = time.monotonic() + 60 * (KILLS + 2)
    while not finished and time.monotonic() < deadline:
        resumable = (directory / "config.json").exists()
        process = start(*("train", "--resume", directory) if resumable else begin)
        with process:
            # from the start of Python to the end of training: with all programs in
            # the cache it takes about half as long as the run left alone
            time.sleep(seconds * chance.uniform(0.05, latest) if kills < KILLS else 0)
            if kills < KILLS and process.poll() is None:
                process.kill()
                kills += 1
                continue
            _, errors = process.communicate(timeout=240)
            # killed behind the last step, there is nothing left to train
            assert process.returncode == 0 or "has made all of its" in errors, errors
            finished = kills > 0
        if not finished:
            # the run left alone had a busier machine: all anew, and killed earlier
            shutil.rmtree(directory)
            latest /= 2
    assert finished and kills > 0
    assert digests(directory) == expected


def test_interrupted_and_resumed(text, left_alone, tmp_path):
    directory = tmp_path / "interrupted"
    with start("train", text, "--out", directory, *OPTIONS) as process:
        while process.poll() is None and not (directory / "metrics.jsonl").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "everything is saved" in errors and "jrnn train --resume" in errors
    run("train", "--resume", directory)
    assert digests(directory) == left_alone[0]
