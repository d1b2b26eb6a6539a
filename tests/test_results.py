"""How runs end: what is kept, what is said, and with which exit code."""

import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_damage import SMALL, TEXT, told
from test_resume import command, environment

from jrnn.cli import main
from jrnn.cli.config import Train
from jrnn.cli.display import Display, perplexity
from jrnn.cli.plot import plot_losses
from jrnn.cli.results import caution, diverged
from jrnn.cli.train import _count_finished, intervals_of
from jrnn.train import Metrics, read

FULL = ("metrics.jsonl", "samples.txt", "results.json", "best.safetensors")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "sea.txt"
    path.write_text(TEXT)
    return path


def train(text, run, *words) -> int:
    return main([*map(str, ("train", text, "--out", run, *SMALL, *words))])


@pytest.mark.slow
def test_what_was_measured_is_kept(text, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(text, run) == 0
    out = capsys.readouterr().out
    results = json.loads((run / "results.json").read_text())
    assert (results["status"], results["step"]) == ("finished", 12)
    lines = [json.loads(s) for s in (run / "metrics.jsonl").read_text().splitlines()]
    best = min((m for m in lines if "valid_loss" in m), key=lambda m: m["valid_loss"])
    assert results["weights"] == {"file": "best.safetensors", "step": best["step"]}
    assert results["validation"]["nats"] == best["valid_loss"]
    assert results["training"]["nats"] == lines[-1]["loss"]
    test = results["test"]
    assert test["tokens"] == 57 and f"test          │ {test['nats']:.4f} nats" in out
    assert math.isclose(test["bits"], test["nats"] / math.log(2))
    assert math.isclose(test["perplexity"], math.exp(test["nats"]))
    assert f"{test['nats']:.4f}" in told(capsys, "eval", run)[1]
    code, said = told(capsys, "info", run)
    assert f"test          │ {test['nats']:.4f} nats" in said
    assert code == 0 and "12 of 12, finished" in said
    # 57 tokens of each part: 2 / sqrt(57) = 0.26
    words = "only 57 for validation and 57 for test, in characters"
    for shown in (out, said):
        assert words in shown and "off by 0.3 nats" in shown


@pytest.mark.slow
def test_a_run_killed_before_its_last_words_says_them_when_resumed(
    text, tmp_path, capsys
):
    run = tmp_path / "run"
    assert train(text, run) == 0
    whole = {name: (run / name).read_bytes() for name in FULL}
    (run / "results.json").unlink()
    code, said = told(capsys, "train", "--resume", run)
    assert code == 0 and "Finished" in said and "compile" not in said
    assert {name: (run / name).read_bytes() for name in FULL} == whole
    code, said = told(capsys, "train", "--resume", run)
    assert code == 2 and "has made all of its 12 steps" in said
    assert "--steps 24" in said


@pytest.mark.slow
def test_a_run_that_stopped_early_is_over(text, tmp_path, capsys):
    run = tmp_path / "run"
    words = "--learning-rate 1 --optimizer sgd --clip 2 --patience 1 --steps 2000"
    assert train(text, run, *words.split()) == 0
    assert "Stopped early" in capsys.readouterr().out
    results = json.loads((run / "results.json").read_text())
    assert results["status"] == "stopped early" and results["step"] < 2000
    code, said = told(capsys, "train", "--resume", run)
    assert code == 2 and f"stopped early at step {results['step']}, as" in said
    assert "--patience 2" in said
    code, said = told(capsys, "info", run)
    assert f"{results['step']} of 2000, stopped early" in said
    assert "Go on with it" not in said


@pytest.mark.parametrize(
    ("nats", "vocab_size", "is_so"),
    [
        (math.nan, 65, True),
        (math.inf, 65, True),
        (690.0, 65, True),
        (17.0, 65, True),  # 4 ln 65 = 16.7
        (16.5, 65, False),
        (4.2, 65, False),
        (0.0, 1, False),
        (5.0, 1, True),
    ],
)
def test_losses_of_runs_that_diverged(nats, vocab_size, is_so):
    assert diverged(nats, vocab_size) is is_so


DIVERGE = {
    "the loss": "--cell irnn --learning-rate 1e20 --clip 1e30 --optimizer sgd",
    "the last update": (
        "--optimizer sgd --schedule constant --learning-rate 3e38 --clip 1e30 "
        "--steps 1 --warmup 0 --log-every 1"
    ),
    "large but finite": (
        "--cell irnn --optimizer sgd --schedule constant --learning-rate 300 --clip 2"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", DIVERGE)
def test_a_run_that_diverges_ends_as_one(how, text, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(text, run, *DIVERGE[how].split()) == 3
    out, err = capsys.readouterr()
    assert "Finished" not in out and "jrnn sample" not in out
    assert re.match("jrnn: .* (became infinite|run diverged)", err), err
    assert "--learning-rate" in err and "--clip" in err and "--warmup" in err
    assert not re.search(r"\d{30}", out + err)
    results = json.loads((run / "results.json").read_text())
    assert results["status"] == "diverged"
    code, said = told(capsys, "info", run)
    assert code == 0 and "diverged" in said and not re.search(r"\d{30}", said)
    if (run / "checkpoint.safetensors").exists():
        arrays, _ = read(run / "checkpoint.safetensors")
        numbers = [a for a in arrays.values() if a.dtype.kind == "f"]
        assert all(np.isfinite(a).all() for a in numbers)


@pytest.mark.slow
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_validation_loss_that_is_no_number(
    value, text, tmp_path, capsys, monkeypatch
):
    from jrnn.cli import train as module

    monkeypatch.setattr(module, "evaluate", lambda *_: (value, 1))
    run = tmp_path / "run"
    assert train(text, run) == 3
    assert "The validation loss became infinite" in capsys.readouterr().err
    assert not (run / "best.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("value", [math.nan, 700.0])
def test_a_test_loss_out_of_all_measure(value, text, tmp_path, capsys, monkeypatch):
    from jrnn.cli import summary

    monkeypatch.setattr(summary, "evaluate", lambda *_: (value, 1))
    run = tmp_path / "run"
    assert train(text, run) == 3
    said = capsys.readouterr().err
    assert f"a loss is {value:.4g} nats" in said
    assert "with a validation loss of" in said  # which is kept, and of which step
    results = json.loads((run / "results.json").read_text())
    assert results["test"]["nats"] == (None if math.isnan(value) else 700)


def test_perplexities_as_people_read_them():
    assert perplexity(2.0) == "7.389"
    assert perplexity(20.0) == "4.9e+08"
    assert perplexity(690.0) == "4.6e+299"
    assert perplexity(1e9) == perplexity(math.inf) == "over 1e304"


def test_cautions():
    assert caution(500, 5000, "bytes") is None
    assert caution(0, 0, "bytes") is None  # there is no such part
    assert "only 100 for test, in words" in caution(900, 100, "words")
    assert "0.2 nats" in caution(900, 100, "words")  # 2 / sqrt(100)


@pytest.mark.slow
def test_a_pipe_that_is_closed(text, tmp_path):
    run = tmp_path / "run"
    assert train(text, run) == 0
    for words in (["sample", run, "--length", "5000"], ["info", run], ["eval", run]):
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run(
            command(*words),
            stdout=write_end,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
            timeout=120,
        )
        os.close(write_end)
        assert (done.returncode, done.stderr) == (141, ""), words


def tmpfs(path, size: str) -> bool:
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    return shutil.which("mount") and subprocess.run(words).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tmpfs")
@pytest.mark.skipif(getattr(os, "getuid", int)() != 0, reason="root alone mounts disks")
def test_a_disk_that_fills_up(text, tmp_path, capsys):
    """Wherever the disk is full, the run is whole and ends as one with room."""
    assert train(text, tmp_path / "alone") == 0
    whole = {name: (tmp_path / "alone" / name).read_bytes() for name in FULL}
    disk = tmp_path / "disk"
    if not tmpfs(disk, "200k"):
        pytest.skip("no disk can be mounted here")
    try:
        refused = 0
        filler = disk / "filler"
        for kilobytes in (8, 20, 60):
            run = disk / "run"
            filler.write_bytes(bytes(1024 * (196 - kilobytes)))
            code, said = told(capsys, "train", text, "--out", run, *SMALL)
            assert "No space left on device" in said or code == 0
            refused += code == 2
            if code and (run / "config.json").exists():
                assert re.search(r"disk/run/\S+ cannot be written: No space", said)
                assert re.search(r"had reached step \d+", said)
                assert f"jrnn train --resume {run}" in said
            filler.unlink()
            if code:
                going = (run / "config.json").exists()
                words = ["--resume", run] if going else [text, "--out", run, *SMALL]
                code, said = told(capsys, "train", *words)
                assert code == 0, said
            assert {name: (run / name).read_bytes() for name in FULL} == whole
            assert not list(run.glob("*.tmp")) + list(run.glob(".*.tmp"))
            shutil.rmtree(run)
        assert refused >= 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_bar_counts_what_has_ended():
    """Calls return before their steps do; the bar must not."""
    display = Display(8, 0, 1, "characters")

    class Later:
        ended = False

        def is_ready(self):
            return self.ended

        def block_until_ready(self):
            self.ended = True
            return self

    intervals = intervals_of(Train(hidden_size=8, steps=8, log_every=2))
    assert intervals.call == 2
    pending = [Metrics(Later(), *[None] * 4) for _ in range(3)]
    pending[0].loss.ended = pending[2].loss.ended = True
    _count_finished(display, pending, 6, intervals, wait=False)
    assert display.done == 2
    _count_finished(display, pending, 6, intervals, wait=True)
    assert display.done == 6
    assert jax.block_until_ready(jnp.ones(())).is_ready()


def test_time_left_is_told_when_it_is_known(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    display = Display(1000, 0, 1, "characters")
    display.restart_clock(0)
    now = 102.0
    display.finished(5)
    assert display.left() is None  # of five steps nothing follows
    now = 104.0
    display.finished(20)
    assert display.left() == "3m16s"  # 980 steps of a fifth of a second
    display = Display(1000, 996, 1, "characters")
    display.restart_clock(996)
    display.finished(996)
    assert display.left() is None
    now = 106.0
    display.finished(1000)
    assert display.left() == "0s"


LINE = {"step": 5, "loss": 2.0}
CURVES = {
    "nothing": ([], 12),
    "one point": ([LINE | {"valid_loss": 2.5}], 12),
    "one symbol": ([LINE | {"loss": 0.0}, LINE | {"step": 10, "loss": 0.0}], 1),
    "no numbers": ([LINE | {"loss": math.nan, "valid_loss": math.inf}], 12),
    "far above": ([LINE | {"loss": 1e300}, LINE | {"step": 10, "loss": 300.0}], 12),
}


@pytest.mark.parametrize("name", CURVES)
def test_no_curve_makes_matplotlib_speak(name, tmp_path, capfd, recwarn):
    metrics, vocab_size = CURVES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        title = "runs/日本語 $x_1 \\frac{: lstm 8"
        plot_losses(metrics, vocab_size, title, tmp_path / "loss.png")
    assert not recwarn.list and capfd.readouterr() == ("", "")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_text_of_one_symbol(tmp_path, capsys):
    path = tmp_path / "a.txt"
    path.write_text("a" * 900)
    code, said = told(capsys, "train", path, "--out", tmp_path / "run", *SMALL)
    assert code == 0 and "Warning" not in said and "Finished" in said


@pytest.mark.slow
def test_random_texts_do_not_diverge(tmp_path):
    """The mark of divergence lies above what drawn weights give on noise."""
    path = tmp_path / "noise.txt"
    path.write_text("".join(random.Random(0).choices("abcdefghij", k=900)))
    assert train(path, tmp_path / "run", "--learning-rate", "0.3") == 0
