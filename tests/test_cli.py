"""The `jrnn` command as its users meet it, mistakes above all."""

import dataclasses
import json
import math
import mmap
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_resume import environment

from jrnn.cli import main
from jrnn.cli.config import Train
from jrnn.cli.devices import candidates, fastest
from jrnn.cli.train import intervals_of, learning_rates
from jrnn.train.checkpoint import read

SMALL = (
    "--cell gru --hidden-size 12 --steps 30 --eval-every 15 --sample-every 0 "
    "--save-every 10 --log-every 5 --batch-size 4 --window 10 --warmup 3"
).split()
TEXT = (
    "she sells sea shells by the sea shore\nthe shells she sells are sea shells\n" * 30
)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "sea.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def trained(text, tmp_path_factory):
    """A finished run; tests must leave it as it is."""
    directory = tmp_path_factory.mktemp("runs") / "sea"
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
            assert main(["train", str(text), "--out", str(directory), *SMALL]) == 0
    return directory


def snapshot(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir()}


def refused(capsys, *words) -> str:
    """Run a command that must be refused; return its message."""
    assert main([str(w) for w in words]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("jrnn: ") and "Traceback" not in err + out
    assert len(err.strip().splitlines()) <= 3, err
    return err


@pytest.mark.slow
def test_a_run_leaves_what_the_design_says(trained):
    assert {p.name for p in trained.iterdir()} == {
        "config.json",
        "vocab.json",
        "metrics.jsonl",
        "times.jsonl",
        "checkpoint.safetensors",
        "best.safetensors",
        "samples.txt",
        "loss.png",
        "results.json",
        ".lock",
    }
    config = json.loads((trained / "config.json").read_text())
    assert config["options"]["hidden_size"] == 12
    assert config["versions"]["jax"] == jax.__version__
    lines = [
        json.loads(s) for s in (trained / "metrics.jsonl").read_text().splitlines()
    ]
    assert [m["step"] for m in lines] == list(range(5, 31, 5))
    assert [m["step"] for m in lines if "valid_loss" in m] == [15, 30]
    assert lines[-1]["loss"] < lines[0]["loss"] < math.log(30)
    assert all(0 <= m["clipped"] <= 1 and m["grad_norm"] > 0 for m in lines)
    arrays, facts = read(trained / "checkpoint.safetensors")
    assert facts["step"] == 30 and arrays[".state.step"] == 30
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_training_prints(text, tmp_path, capsys):
    assert main(["train", str(text), "--out", str(tmp_path / "r"), *SMALL]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for wanted in (
        "compile ...",
        "step 15/30  loss",
        "bpc",
        "characters/s",
        "left",
        "validation",
        "best so far",
        "Finished",
        "A sample",
        f"jrnn sample {tmp_path / 'r'}",
    ):
        assert wanted in out.replace("\n", " ") or wanted in out, wanted


@pytest.mark.slow
def test_sample(trained, capsys):
    command = ["sample", str(trained), "--length", "40", "--prime", "the sea"]
    outputs = []
    for extra in ([], [], ["--seed", "1"], ["--greedy"], ["--greedy", "--seed", "1"]):
        assert main(command + extra) == 0
        outputs.append(capsys.readouterr().out)
    assert all(
        o.startswith("the sea") and len(o) == len("the sea") + 41 for o in outputs
    )
    assert outputs[0] == outputs[1] != outputs[2]
    assert outputs[3] == outputs[4]


@pytest.mark.slow
def test_several_samples_and_a_stop_token(trained, capsys):
    words = ["sample", str(trained), "--num-samples", "3", "--stop", "\n"]
    assert main([*words, "--length", "300"]) == 0
    parts = re.split(r"--- sample \d ---\n", capsys.readouterr().out)
    assert len(parts) == 4
    assert all(part.count("\n") == 1 and part.endswith("\n") for part in parts[1:])


def test_eval_agrees_with_the_library(trained, text, capsys):
    assert main(["eval", str(trained), str(text), "--rows", "1"]) == 0
    out = capsys.readouterr().out
    nats, bits, perplexity = map(float, re.findall(r"\d+\.\d{3,4}", out)[:3])
    assert abs(bits - nats / math.log(2)) < 2e-4
    assert abs(perplexity - math.exp(nats)) < 2e-3 * perplexity
    from jrnn.cli.run import load_trained
    from jrnn.generate import log_likelihood
    from jrnn.text import encode

    run = load_trained(trained, "best")
    tokens = encode(run.vocabulary, TEXT)
    _, log_p = log_likelihood(run.model.evaluate, run.params, tokens)
    assert abs(nats + float(log_p.mean())) < 2e-4
    assert f"{len(TEXT) - 1:,}" in out


def test_eval_and_info_of_the_run_itself(trained, capsys):
    assert main(["eval", str(trained)]) == 0
    assert "test part" in capsys.readouterr().out
    assert main(["info", str(trained)]) == 0
    out = capsys.readouterr().out
    assert "gru 12" in out and "30 of 30" in out and "--learning-rate" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("directory", r"has no text file in it.*\n?.*by a pattern such as"),
        (b"", "is empty"),
        (b"too short", "rows of one window"),
        (b"caf\xe9 " * 500, r"not UTF-8 text.*\n?.*--level byte"),
    ],
    ids=["missing", "empty directory", "empty", "short", "not UTF-8"],
)
def test_bad_texts(capsys, tmp_path, content, message):
    path = tmp_path / "text.txt"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    out = tmp_path / "run"
    assert re.search(message, refused(capsys, "train", path, "--out", out, *SMALL))
    assert not out.exists()


@pytest.mark.slow
def test_any_bytes_train_at_level_byte(tmp_path, capsys):
    path = tmp_path / "noise.bin"
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    run = tmp_path / "run"
    assert main(["train", str(path), "--level", "byte", "--out", str(run), *SMALL]) == 0
    assert main(["sample", str(run), "--length", "20"]) == 0


@pytest.mark.slow
def test_word_level(text, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", str(text), "--level", "word", "--min-count", "2"]
    assert main([*words, "--out", str(run), *SMALL, "--batch-size", "2"]) == 0
    assert "words/s" in capsys.readouterr().out
    assert main(["sample", str(run), "--prime", "the zebra", "--length", "5"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--hidden-size 0", "--hidden-size must be > 0, got 0"),
        ("--hidden-size -3", "--hidden-size must be > 0, got -3"),
        ("--layers 0", "--layers must be > 0"),
        ("--steps -1", "--steps must be > 0"),
        ("--window 0", "--window must be > 0"),
        ("--batch-size 0", "--batch-size must be > 0"),
        ("--learning-rate 0", "--learning-rate must be > 0"),
        ("--learning-rate nan", "--learning-rate must be > 0"),
        ("--dropout 1", "--dropout must be at least 0 and below 1"),
        ("--dropout -0.1", "--dropout must be at least 0"),
        ("--update-every 11", r"--update-every must be 1 to --window \(10\)"),
        ("--split 0.5 0.6 0.1", "--split must be three shares that sum to 1"),
        ("--patience -1", "--patience must be >= 0"),
        ("--devices 0", "--devices must be > 0, got 0"),
        ("--devices 64", "--devices is 64, but this machine has 2"),
        ("--devices 2 --batch-size 5", "--devices 2 does not divide --batch-size 5"),
        (
            "--cell mgu --recurrent-dropout 0.1",
            "--recurrent-dropout does not go with --cell mgu",
        ),
        ("--tie-weights", "--tie-weights needs learned vectors of tokens, and"),
    ],
)
def test_values_that_cannot_work(capsys, text, tmp_path, words, message):
    out = tmp_path / "run"
    command = ("train", text, "--out", out, *SMALL, *words.split())
    assert re.search(message, refused(capsys, *command))
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train --cell ltsm", "ltsm"),
        ("train --preset fastest", "fastest"),
        ("train --hiden-size 3", "hiden-size"),
        ("train --hidden-size many", "many"),
        ("tarin", "tarin"),
        ("sample", "required"),
        ("--hidden-size 3", "--hidden-size"),
    ],
)
def test_unknown_options_and_values(capsys, words, message):
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert message in out + err and "Traceback" not in out + err


def test_a_run_that_exists_is_not_touched(capsys, text, trained):
    before = snapshot(trained)
    message = refused(capsys, "train", text, "--out", trained, *SMALL)
    assert "exists" in message and "--resume" in message and "--overwrite" in message
    message = refused(capsys, "train", "--resume", trained, "--hidden-size", 13)
    assert "--hidden-size cannot change" in message and "has 12, got 13" in message
    message = refused(capsys, "train", "--resume", trained)
    assert "has made all of its 30 steps" in message and "--steps 60" in message
    message = refused(capsys, "train", "--resume", trained, "--overwrite")
    assert "exclude each other" in message
    missing = ("train", "nowhere.txt", "--out", trained, "--overwrite")
    assert "no such file" in refused(capsys, *missing)
    assert snapshot(trained) == before


@pytest.mark.slow
def test_overwrite_starts_anew_and_spares_other_files(capsys, text, tmp_path):
    run = tmp_path / "run"
    command = ["train", str(text), "--out", str(run), *SMALL]
    assert main(command) == 0
    first = (run / "metrics.jsonl").read_bytes()
    assert main([*command, "--overwrite"]) == 0
    assert (run / "metrics.jsonl").read_bytes() == first
    (run / "thesis.tex").write_text("years of work")
    message = refused(capsys, *command, "--overwrite")
    assert "thesis.tex" in message and "not deleted" in message
    assert (run / "thesis.tex").exists() and (run / "config.json").exists()


def copy_of(trained: Path, tmp_path: Path) -> Path:
    run = tmp_path / "copy"
    run.mkdir()
    for name, data in snapshot(trained).items():
        (run / name).write_bytes(data)
    return run


@pytest.mark.parametrize("command", ["train --resume", "sample", "eval"])
@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing config", "config"])
def test_damaged_runs(capsys, trained, tmp_path, command, damage):
    run = copy_of(trained, tmp_path)
    for name in ("checkpoint.safetensors", "best.safetensors"):
        data = (run / name).read_bytes()
        if damage == "truncated":
            (run / name).write_bytes(data[: len(data) // 2])
        elif damage == "foreign":
            (run / name).write_bytes(b"PK\x03\x04 a zip file, say")
    if damage == "missing config":
        (run / "config.json").unlink()
    elif damage == "config":
        (run / "config.json").write_text('{"format": ')
    before = snapshot(run)
    message = refused(capsys, *command.split(), run)
    assert re.search("truncated or is not|is missing|is damaged", message)
    assert snapshot(run) == before


@pytest.mark.slow
def test_checkpoint_of_another_size(capsys, trained, text, tmp_path):
    run, other = copy_of(trained, tmp_path), tmp_path / "other"
    words = [*SMALL, "--hidden-size", "7"]
    assert main(["train", str(text), "--out", str(other), *words]) == 0
    for name in ("checkpoint.safetensors", "best.safetensors"):
        (run / name).write_bytes((other / name).read_bytes())
    assert "holds another model" in refused(capsys, "train", "--resume", run)
    assert "holds another model" in refused(capsys, "sample", run)


@pytest.mark.slow
def test_resume_refuses_another_text(capsys, text, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text(TEXT)
    run = tmp_path / "run"
    assert main(["train", str(mine), "--out", str(run), *SMALL]) == 0
    mine.write_text(TEXT.replace("she", "hes"))
    message = refused(capsys, "train", "--resume", run, "--steps", 60)
    assert "is not the one that" in message


@pytest.mark.slow
def test_resume_can_train_longer(capsys, text, tmp_path):
    run = tmp_path / "run"
    assert main(["train", str(text), "--out", str(run), *SMALL]) == 0
    assert main(["train", "--resume", str(run), "--steps", "40"]) == 0
    assert read(run / "checkpoint.safetensors")[1]["step"] == 40


def test_primes_with_unknown_characters(capsys, trained, tmp_path):
    message = refused(capsys, "sample", trained, "--prime", "the söa")
    assert "'ö' (U+00F6)" in message and "index 5" in message
    strange = tmp_path / "strange.txt"
    strange.write_text("the sea\nare z")
    message = refused(capsys, "eval", trained, strange)
    assert "'z' (U+007A)" in message and "line 2, column 5" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--length 0", "--length must be > 0"),
        ("--temperature -1", "--temperature must be at least 0 and finite, got -1"),
        ("--temperature inf", "--temperature must be at least 0 and finite, got inf"),
        ("--top-k 0", "--top-k must be at least 1"),
        ("--top-p 1.5", "--top-p must be above 0 and at most 1"),
        ("--num-samples 0", "--num-samples must be > 0"),
        ("--stop sea", "--stop must be one token"),
    ],
)
def test_sample_settings_that_cannot_work(capsys, trained, words, message):
    assert message in refused(capsys, "sample", trained, *words.split())


def test_eval_settings_that_cannot_work(capsys, trained):
    assert "--rows must be" in refused(capsys, "eval", trained, "--rows", 0)
    assert "--context must be" in refused(capsys, "eval", trained, "--context", -1)
    assert "There is no run at" in refused(capsys, "eval", "no/such/run")


@pytest.mark.slow
def test_a_loss_that_explodes_stops_the_run(capsys, text, tmp_path):
    run = tmp_path / "run"
    words = "--cell irnn --learning-rate 1e20 --clip 1e30 --optimizer sgd --steps 500"
    code = main(["train", str(text), "--out", str(run), *SMALL, *words.split()])
    err = capsys.readouterr().err
    assert code == 3 and "infinite or not a number" in err
    assert "--learning-rate" in err and "--clip" in err
    if (run / "checkpoint.safetensors").exists():
        arrays, _ = read(run / "checkpoint.safetensors")
        numbers = [a for a in arrays.values() if a.dtype.kind == "f"]
        assert all(np.isfinite(a).all() for a in numbers)


@pytest.mark.slow
def test_devices_share_a_batch(capsys, text, tmp_path):
    losses = []
    for devices in ("1", "2"):
        run = tmp_path / devices
        words = ["--out", str(run), *SMALL, "--devices", devices, "--dropout", "0.3"]
        assert main(["train", str(text), *words]) == 0
        assert ("2 devices share each batch" in capsys.readouterr().out) == (
            devices == "2"
        )
        lines = (run / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.slow
def test_a_run_on_two_devices_is_resumed_bit_for_bit(capsys, text, tmp_path):
    words = [*SMALL, "--devices", "2", "--schedule", "constant"]
    for name, steps in (("whole", "40"), ("parts", "20")):
        out = ["--out", str(tmp_path / name), *words, "--steps", steps]
        assert main(["train", str(text), *out]) == 0
    assert main(["train", "--resume", str(tmp_path / "parts"), "--steps", "40"]) == 0
    whole, parts = (
        read(tmp_path / name / "checkpoint.safetensors")[0]
        for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, parts[name], name)


def test_the_fastest_number_of_devices_is_taken():
    assert candidates(batch_size=24, there=16) == [1, 2, 4, 8]
    assert candidates(batch_size=5, there=4) == [1]
    seconds = {1: 3.0, 2: 1.0, 4: 0.99, 8: 0.1}
    tried = []
    assert fastest([1, 2, 4, 8], lambda n: tried.append(n) or seconds[n]) == 2
    assert tried == [1, 2, 4]  # what did not pay is not gone beyond
    assert fastest([1], None) == 1  # nothing to choose, nothing to time


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
@pytest.mark.parametrize("one_arena, mebibytes", [(True, 96), (False, 48)])
def test_freed_memory_is_kept(one_arena, mebibytes):
    """Pages that a step gave back are not cleared anew for the next one.

    The memory is taken in a thread, as that of a compiled step is.
    """
    code = (
        "import resource\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from jrnn.devices import keep_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(5):\n"
        f"        b'x' * ({mebibytes} * 2**20)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        f"before, understood = faults(), keep_memory(one_arena={one_arena})\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    counts = [pool.submit(faults).result() for _ in range(2)]\n"
        "print(before, understood, *counts)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    given_back, understood, _, kept = done.stdout.split()
    if understood == "False":
        pytest.skip("not glibc")
    pages = 5 * mebibytes * 2**20 // mmap.PAGESIZE
    assert int(given_back) > 0.9 * pages and int(kept) < 0.01 * pages


def test_several_devices_take_one_step_at_a_time():
    small = Train(hidden_size=12, batch_size=4, window=10, log_every=16, steps=32)
    calls = [
        intervals_of(dataclasses.replace(small, devices=n)).call for n in (None, 1, 2)
    ]
    assert calls == [16, 16, 1]


@pytest.mark.slow
def test_early_stopping(capsys, text, tmp_path):
    run = tmp_path / "run"
    words = "--learning-rate 3 --patience 1 --steps 3000 --optimizer sgd --clip 50"
    assert main(["train", str(text), "--out", str(run), *SMALL, *words.split()]) == 0
    assert read(run / "checkpoint.safetensors")[1]["step"] < 3000


@pytest.mark.slow
def test_a_full_disk(trained, tmp_path):
    """A limit on file size stands in for a full disk: writes fail in the same way."""
    run = copy_of(trained, tmp_path)
    before = snapshot(run)

    code = (
        "import resource, signal, sys\n"
        "from jrnn.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "sys.exit(main())"
    )
    words = ["train", "--resume", str(run), "--steps", "60"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr and "Traceback" not in done.stderr
    after = snapshot(run)
    for name in ("checkpoint.safetensors", "best.safetensors", "vocab.json"):
        assert after[name] == before[name]
    assert not [name for name in after if name.endswith(".tmp")]


def test_intervals_meet():
    intervals = intervals_of(
        Train(hidden_size=16, steps=230, log_every=20, eval_every=30)
    )
    assert intervals.call == 10 and intervals.evaluate == 40
    assert intervals_of(Train(hidden_size=16, steps=237, log_every=20)).call == 1
    assert intervals_of(Train(hidden_size=512)).call == 1


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_learning_rates(schedule):
    config = Train(schedule=schedule, warmup=10, learning_rate=0.5)
    rates = learning_rates(config, 100)
    assert rates.shape == (100,) and rates.max() == np.float32(0.5)
    np.testing.assert_allclose(rates[:10], 0.05 * np.arange(1, 11), rtol=1e-6)
    n = np.arange(90) / 90
    falling = {"cosine": (1 + np.cos(np.pi * n)) / 2, "linear": 1 - n, "constant": 1.0}
    np.testing.assert_allclose(
        rates[10:], 0.5 * falling[schedule], rtol=1e-5, atol=1e-7
    )


def test_experiments_are_listed_with_their_questions(capsys):
    assert main(["experiments"]) == 0
    out = capsys.readouterr().out
    assert "How does a language model learn to write" in out
    assert "python -m experiments.NAME" in out
    folder = Path(__file__).parents[1] / "experiments"
    listed = re.findall(r"^ ?([a-z]\w+) {2,}", out, re.M)
    assert [p.stem for p in sorted(folder.glob("[a-z]*.py"))] == listed[1:]


def test_experiments_that_are_not_there_are_refused(capsys, tmp_path):
    message = refused(capsys, "experiments", "--folder", tmp_path)
    assert "part of jrnn's source tree" in message and "--folder" in message
