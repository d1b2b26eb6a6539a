"""The `jrnn` command: texts from anywhere, files measured side by side, help."""

import contextlib
import dataclasses
import functools
import gzip
import io
import itertools
import json
import math
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary, ordinary_settings  # noqa: F401
from test_cli import SMALL, TEXT, refused

from jrnn import text as jt
from jrnn.cli import main, notices
from jrnn.cli.config import PRESETS, Eval, Sample, Train, option
from jrnn.cli.forms import GROUPS
from jrnn.cli.job import begin
from jrnn.cli.parsing import parse
from jrnn.cli.run import load_trained
from jrnn.cli.sweep.notices import of_sweep
from jrnn.cli.sweep.options import SweepOptions, base_of, space_of
from jrnn.cli.train import learning_rates
from jrnn.cli.words import in_command_words
from jrnn.train import save
from jrnn.train.checkpoint import read


def piped(monkeypatch, data: bytes):
    """Let the command find these bytes at its standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def untrained(text, out, **options):
    """A run at step 0: random weights, and all files that a command reads."""
    small = Train(cell="gru", hidden_size=12, batch_size=4, window=10, warmup=3)
    with ordinary():
        config = dataclasses.replace(small, files=(text,), out=out, **options)
        with contextlib.ExitStack() as stack:
            job, checkpoint, *_ = begin(config, stack)
        save(job.run.last, checkpoint, {"step": 0, "run": job.identity})
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts")
    (path / "sea.txt").write_text(TEXT)
    (path / "more.txt").write_text(TEXT[:400])
    (path / "odd.txt").write_text("the sea\nzu see she %")
    return path


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory):
    """Untrained runs: without an unknown token, with one, at level word."""
    place = tmp_path_factory.mktemp("runs")
    rare = TEXT + "the sea, quite calm\n"  # q u i c m and the comma are rare
    (place / "rare.txt").write_text(rare)
    new = functools.partial(untrained, place / "rare.txt")
    return {
        "plain": untrained(folder / "sea.txt", place / "plain"),
        "rare": new(place / "rare", min_count=2),
        "word": new(place / "word", level="word", min_count=2, batch_size=2),
        "byte": new(place / "byte", level="byte"),
    }


# Texts from anywhere


def arrays_of(run):
    return read(run / "checkpoint.safetensors")[0]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["char", "byte"])
def test_a_run_from_a_pipe_keeps_its_text(monkeypatch, tmp_path, capsys, level):
    # a second mark is text; so are, at level byte, the line ends and a packed file
    raw = b"\xef\xbb\xbf" * 2 + TEXT.replace("\n", "\r\n").encode()
    raw = gzip.compress(raw) + b"\n" + raw if level == "byte" else raw
    words = [*SMALL, "--level", level, "--schedule", "constant"]
    (tmp_path / "text").write_bytes(gzip.compress(raw))  # so that raw is the text
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["train", str(tmp_path / "text"), "--out", str(whole), *words]) == 0
    piped(monkeypatch, gzip.compress(raw))
    words[words.index("--steps") + 1] = "15"
    assert main(["train", "-", "--out", str(parts), *words]) == 0
    assert "Text: standard input" in capsys.readouterr().out
    piped(monkeypatch, b"")
    assert main(["train", "--resume", str(parts), "--steps", "30"]) == 0
    one, other = arrays_of(whole), arrays_of(parts)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], name)
    digests = [
        json.loads((run / "config.json").read_text())["text"]["sha256"]
        for run in (whole, parts)
    ]
    assert digests[0] == digests[1] and not (whole / "text.txt").exists()
    kept = (parts / "text.txt").read_bytes()
    assert kept == (raw if level == "byte" else raw[3:].replace(b"\r\n", b"\n"))
    # the run's own parts are measured, and a text that is not the run's is refused
    assert main(["eval", str(parts)]) == 0
    (parts / "text.txt").write_bytes(kept.replace(b"sea", b"ash"))
    for command in (["eval"], ["train", "--steps", "60", "--resume"]):
        assert "is not the one that" in refused(capsys, *command, parts)


@pytest.mark.slow
def test_overwriting_takes_the_kept_text_away(monkeypatch, tmp_path, folder, capsys):
    piped(monkeypatch, TEXT.encode())
    words = [*SMALL, "--steps", "5", "--out", str(tmp_path / "run")]
    assert main(["train", "-", *words]) == 0
    assert (tmp_path / "run" / "text.txt").exists()
    assert main(["train", str(folder / "sea.txt"), *words, "--overwrite"]) == 0
    assert not (tmp_path / "run" / "text.txt").exists()


@pytest.mark.slow
def test_a_run_of_a_folder_stays_that_of_its_files(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "books"
    folder.mkdir()
    for name in "abcde":
        (folder / f"{name}.txt").write_text(TEXT[: 40 * ord(name)])
    monkeypatch.chdir(tmp_path)
    assert main(["train", "books", *SMALL, "--steps", "5"]) == 0
    assert "Text: a.txt, b.txt and 3 more files" in capsys.readouterr().out
    (folder / "f.txt").write_text("written later")
    monkeypatch.chdir(folder)
    assert main(["train", "--resume", "../runs/books", "--steps", "10"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["sea.txt"], "sea"),
        (["sea.txt.zst"], "sea"),
        (["sea.de.gz", "sea.txt"], "sea"),
        (["s*.txt", "sea.de.gz"], "sea"),
        (["."], "here"),
        (["../here"], "here"),
        (["-"], "stdin"),
        ([], "python-reference"),
    ],
)
def test_runs_are_named_after_their_text(tmp_path, monkeypatch, words, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for file in ("sea.txt", "sea.txt.zst", "sea.de.gz"):
        (tmp_path / "here" / file).write_text(TEXT)
    piped(monkeypatch, TEXT.encode())
    small = Train(hidden_size=4, batch_size=4, window=10)
    files = parse(["train", *words], PRESETS["standard"]).files
    with contextlib.ExitStack() as stack:
        job, *_ = begin(dataclasses.replace(small, files=files), stack)
    assert job.run.directory.as_posix() == f"runs/{name}"


@pytest.mark.slow
def test_a_sweep_reads_a_pipe_and_goes_on(monkeypatch, tmp_path, capsys):
    words = ["sweep", "-", "--out", str(tmp_path / "out"), "--steps", "4"]
    words += "--evals 2 --seeds 1 --hidden-size 5 --batch-size 2 --window 6".split()
    words += ["--learning-rate", "0.01,0.1", "--method", "vmap"]
    for expected in ("2 trainings of 4 steps", "2 trainings were in the table already"):
        piped(monkeypatch, gzip.compress(TEXT.encode()))
        assert main(words) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert expected in out
    # what is computed from the steps need not be given again
    assert "jrnn train - --hidden-size 5" in out and "--warmup" not in out
    piped(monkeypatch, TEXT[1:].encode())
    assert "The text differs" in refused(capsys, *words)


# Files measured side by side


def log_probabilities(run, tokens) -> np.ndarray:
    """log p of each token but the first, by a loop over the steps."""
    trained = load_trained(run, "last")
    cell, params = trained.model.evaluate, trained.params
    step = jax.jit(lambda carry, token: cell.step(params, carry, token))
    carry, found = cell.initial_carry(params), []
    for token, target in itertools.pairwise(tokens):
        carry, logits = step(carry, jnp.int32(token))
        logits = np.asarray(logits, np.float64)
        found.append(logits[target] - np.log(np.exp(logits).sum()))
    return np.array(found)


def table_of(out: str) -> dict[str, list[float]]:
    """The numbers of each row of the printed table."""
    rows = {}
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.strip("│┃ ").split("│")]
        if len(cells) >= 5 and cells[1]:
            name = cells[0].rpartition("/")[2]
            rows[name] = [float(cell.replace(",", "")) for cell in cells[1:]]
    return rows


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def measure(capsys, *words, code=0):
    assert main(["eval", *map(str, words), "--rows", "1"]) == code
    out, err = capsys.readouterr()
    return table_of(out), out, err


@pytest.mark.slow
def test_each_file_is_measured_and_the_total_weighs_tokens(runs, folder, capsys):
    files = [folder / "sea.txt", folder / "more.txt"]
    table, _, err = measure(capsys, runs["plain"], *files)
    assert err == "" and list(table) == ["sea.txt", "more.txt", "total"]
    tokens = {file.name: encode_char(file.read_text()) for file in files}
    log_p = {n: log_probabilities(runs["plain"], t) for n, t in tokens.items()}
    log_p["total"] = np.concatenate(list(log_p.values()))
    for name, (count, nats, bits, perplexity) in table.items():
        expected = -log_p[name].mean()
        assert count == len(log_p[name])
        assert abs(nats - expected) < 1e-4
        assert abs(bits - expected / math.log(2)) < 2e-4
        assert abs(perplexity - math.exp(expected)) < 1e-3 * perplexity
    # one file: it is the total
    assert list(measure(capsys, runs["plain"], files[0])[0]) == ["sea.txt"]
    # a folder, and a pattern that no shell has seen
    table, _, _ = measure(capsys, runs["plain"], folder / "[ms]*.txt")
    assert list(table) == ["more.txt", "sea.txt", "total"]


def encode_char(text: str) -> list[int]:
    symbols = sorted(set(TEXT))
    return [symbols.index(character) for character in text]


def test_a_file_that_fails_does_not_hold_up_the_others(runs, folder, tmp_path, capsys):
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "one.txt").write_text("s")
    bad = ["empty.txt", "latin.txt", "one.txt", "nowhere.txt", "*.rst"]
    words = [folder / "odd.txt", folder / "more.txt", *(tmp_path / b for b in bad)]
    table, _, err = measure(capsys, runs["plain"], *words, folder / "sea.txt", code=2)
    assert list(table) == ["more.txt", "sea.txt", "total"]
    assert err.count("jrnn: ") == 6 and "Traceback" not in err
    for message in (
        r"odd\.txt: the vocabulary has no character 'z' \(U\+007A\) and 2 more; first "
        r"at index 8 \(line 2, column 1\)\.\nLeave such symbols out with --unknown ski",
        r"empty\.txt is empty",
        r"latin\.txt is not UTF-8 text.*\nConvert it to UTF-8, or use --level byte,",
        r"one\.txt: needs at least two tokens",
        r"nowhere\.txt: no such file",
        r"\*\.rst: no file matches this pattern",
    ):
        assert re.search(message, err), message
    # none left: no table
    (tmp_path / "strange.txt").write_text("zu%z")
    words = [runs["rare"], tmp_path / "strange.txt", "--unknown", "skip"]
    _, _, err = measure(capsys, *words, code=2)
    assert "strange.txt has no symbol that the run knows." in err
    table, out, _ = measure(capsys, runs["plain"], folder / "odd.txt", code=2)
    assert out == "" and table == {}


@pytest.mark.slow
def test_unknown_symbols_without_an_unknown_token(runs, folder, capsys):
    odd = folder / "odd.txt"
    for policy in ("count", "fail"):  # of probability zero: the text is refused
        _, _, err = measure(capsys, runs["plain"], odd, "--unknown", policy, code=2)
        assert "'z'" in err and "odd.txt" in err
    table, out, _ = measure(capsys, runs["plain"], odd, "--unknown", "skip")
    known = [c for c in odd.read_text() if c in set(TEXT)]
    assert len(known) == len(odd.read_text()) - 3
    log_p = log_probabilities(runs["plain"], encode_char("".join(known)))
    count, nats, *_, unknown = table["odd.txt"]
    assert (count, unknown) == (len(log_p), 3)
    assert abs(nats + log_p.mean()) < 1e-4
    assert "3 unknown symbols are left out of the text." in out


@pytest.mark.parametrize("run", ["rare", "word"])
def test_unknown_symbols_with_an_unknown_token(runs, folder, capsys, run):
    odd = folder / "odd.txt"
    vocabulary = json.loads((runs[run] / "vocab.json").read_text())["symbols"]
    pieces = {
        "rare": list("the sea\nzu see she %"),
        # unknown words have their space apart
        "word": ["the", " sea", "\n", "zu", " ", "see", " she", " ", "%"],
    }[run]
    # the unknown token is the first
    tokens = [vocabulary.index(p) if p in vocabulary else 0 for p in pieces]
    missing = sum(token == 0 for token in tokens)
    assert missing == 3
    log_p = log_probabilities(runs[run], tokens)
    counted = np.array([token != 0 for token in tokens[1:]])
    for policy, expected in (("count", log_p), ("skip", log_p[counted])):
        table, out, _ = measure(capsys, runs[run], odd, "--unknown", policy)
        count, nats, *_, unknown = table["odd.txt"]
        assert (count, unknown) == (len(expected), 3)
        assert abs(nats + expected.mean()) < 1e-4
        assert "Figures of runs with other vocabularies do not compare" in out
        assert ("space in front of one is a token" in out) == (run == "word")
    _, _, err = measure(capsys, runs[run], odd, "--unknown", "fail", code=2)
    names = {"rare": "'z', 'u', '%'", "word": "'zu', 'see', '%'"}[run]
    assert f"odd.txt has 3 symbols that the run does not know: {names}." in err


def test_unknown_words_of_the_runs_own_text(runs, capsys):
    # "quite" and what follows it stand in the last words, the test part
    table, _, _ = measure(capsys, runs["word"])
    parts = ("validation", "test")
    assert list(table) == [f"{part} part of the run's text" for part in parts]
    assert table["test part of the run's text"][-1] == 3  # , quite calm
    skipped, _, _ = measure(capsys, runs["word"], "--unknown", "skip")
    counts = [t["test part of the run's text"][0] for t in (table, skipped)]
    assert counts[0] - counts[1] == 3
    _, _, err = measure(capsys, runs["word"], "--unknown", "fail", code=2)
    assert "test part of the run's text has 3 symbols that the run does not" in err


# Options that do nothing are said

BASE = Train(cell="lstm", steps=1000)
SAID = {
    "decay": ({"weight_decay": 0.1}, "--weight-decay does nothing with --optimizer ad"),
    "adamw": ({"optimizer": "adamw"}, "--optimizer adamw is adam where --weight-decay"),
    "warm-up": (
        {"warmup": 2000, "learning_rate": 0.1},
        "--warmup 2000 is longer than the run of 1000 steps: the learning rate ends at "
        "0.05 and never gets to 0.1",
    ),
    "average": ({"average": 0.9}, "--average gains little with --schedule cosine"),
    "bytes": (
        {"level": "byte", "min_count": 2},
        "--min-count 2 does nothing with --l",
    ),
    "count": ({"min_count": 3}, "do not compare with those of another --min-count"),
    "patience": ({"patience": 2}, "--patience 2 cannot end a run of 1000 steps"),
    "patience at the end": (
        {"patience": 3, "eval_every": 250},
        "--patience 3 cannot end a run of 1000 steps, measured every 250",
    ),
    "no validation": (
        {"patience": 1, "split": (0.9, 0.0, 0.1)},
        "--patience does nothing: --split leaves no text for validation",
    ),
    "never measured": (
        {"eval_every": 100, "split": (1.0, 0.0, 0.0)},
        "--eval-every does nothing: --split leaves no text",
    ),
}
UNSAID = {
    "decay": {"weight_decay": 0.1, "optimizer": "adamw"},
    "warm-up": {"warmup": 1000},
    "average": {"average": 0.9, "schedule": "constant"},
    "bytes": {"level": "byte"},
    "patience": {"patience": 2, "eval_every": 250},
    "short": {"steps": 20},
    "measured": {"eval_every": 100},
}


@pytest.mark.parametrize(("options", "message"), SAID.values(), ids=SAID)
def test_options_of_train_that_do_nothing_are_said(options, message):
    (said,) = notices.of_training(dataclasses.replace(BASE, **options))
    assert message in said


@pytest.mark.parametrize("options", UNSAID.values(), ids=UNSAID)
def test_options_that_do_something_are_not_said(options):
    assert notices.of_training(dataclasses.replace(BASE, **options)) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_not_warned_of(preset):
    assert notices.of_training(PRESETS[preset]) == []


@pytest.mark.slow
def test_warnings_are_lines_on_stderr(tmp_path, folder, capsys):
    words = ["train", str(folder / "sea.txt"), *SMALL, "--steps", "5"]
    words += ["--weight-decay", "0.1", "--min-count", "2", "--warmup", "9"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 3 and all(line.startswith("jrnn: warning: ") for line in err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--weight-decay 0,0.1 --optimizer sgd,adamw,adam",
            "--optimizer adam, sgd: it",
        ),
        ("--steps 20 --warmup 30", "--warmup 30 is longer than the run of 20 steps"),
        ("--draws 3", "--draws does nothing without a range such as log:1e-3:1"),
        ("--seed 3", "--seed does nothing without a range"),
        ("--method map --together 4", "--together does nothing with --method map"),
        ("--weight-decay 0,0.1 --optimizer adamw", None),
        ("--draws 3 --seed 2 --clip lin:1:5", None),
        ("", None),
    ],
)
def test_options_of_sweep_that_do_nothing_are_said(words, message):
    options = parse(["sweep", *words.split()], Train())
    said = of_sweep(base_of(options), space_of(options), options)
    assert ([] if message is None else [True]) == [message in line for line in said]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"greedy": True, "temperature": 0.5},
            "--temperature does nothing with --gree",
        ),
        ({"temperature": 0.0, "seed": 3}, "--seed does nothing with --temperature 0"),
        ({"greedy": True, "top_k": 4}, "--top-k does nothing with --greedy"),
        ({"greedy": True, "top_p": 0.4}, "--top-p does nothing with --greedy"),
        ({"greedy": True, "num_samples": 3}, "the 3 samples are all the same"),
        ({"top_k": 4}, "--top-k 4 does nothing: the run has 3 symbols"),
        ({"top_k": 1}, "--top-k 1 always takes the likeliest token"),
        ({"top_p": 1.0}, "--top-p 1 does nothing"),
        ({"prime": "abbac"}, "the model reads the unknown token for 'c'"),
        ({"greedy": True}, None),
        ({"greedy": True, "temperature": 0.0}, None),
        ({"top_k": 2, "top_p": 0.9, "seed": 3, "num_samples": 4, "prime": "ab"}, None),
    ],
)
def test_options_of_sample_that_do_nothing_are_said(tmp_path, settings, message):
    vocabulary = jt.build_vocabulary("ababab", min_count=2)
    said = notices.of_sampling(Sample(tmp_path, **settings), vocabulary)
    assert ([] if message is None else [True]) == [message in line for line in said]


def test_options_of_eval_that_do_nothing_are_said(tmp_path):
    char, byte = jt.build_vocabulary("ab"), jt.build_vocabulary("", "byte")
    said = lambda vocabulary, **o: notices.of_evaluation(
        Eval(tmp_path, **o), vocabulary
    )
    assert said(char) == said(byte) == said(char, context=9, unknown="skip") == []
    assert "--context does nothing with --rows 1" in said(char, context=9, rows=1)[0]
    assert "--unknown does nothing" in said(byte, unknown="skip")[0]


# The warm-up follows the steps


@pytest.mark.parametrize(("steps", "warmup"), [(20, 1), (200, 10), (2500, 100)])
def test_the_warm_up_is_a_twentieth_of_the_run(steps, warmup):
    rates = learning_rates(Train(steps=steps, schedule="constant"), steps)
    rising = np.arange(1, warmup + 1) / warmup
    np.testing.assert_allclose(rates[:warmup], 0.008 * rising, rtol=1e-5)
    assert (rates[warmup:] == np.float32(0.008)).all()


def test_a_warm_up_longer_than_the_run_is_obeyed():
    rates = learning_rates(Train(steps=8, warmup=16), 8)
    np.testing.assert_allclose(rates, 0.008 * np.arange(1, 9) / 16, rtol=1e-6)


def test_the_warm_up_stays_where_a_run_goes_on(runs, tmp_path, folder):
    run = untrained(folder / "sea.txt", tmp_path / "run", steps=40, warmup=None)
    assert json.loads((run / "config.json").read_text())["options"]["warmup"] == 2


# Sampling


def test_the_prime_is_checked_before_a_byte_is_written(runs, capsys):
    for words in (["--prime", "the söa"], ["--prime", "sea", "--stop", "sea"]):
        for more in ([], ["--num-samples", "2"]):
            assert main(["sample", str(runs["plain"]), *words, *more]) == 2
            out, err = capsys.readouterr()
            assert out == "" and err.startswith("jrnn: ") and "warning" not in err


def test_temperature_zero_is_greedy(runs, capsys):
    outputs = []
    for words in (["--temperature", "0"], ["--greedy"]):
        # with --top-p the logits are divided by the temperature
        words += ["--length", "30", "--prime", "she", "--top-p", "0.9"]
        assert main(["sample", str(runs["plain"]), *words]) == 0
        out, err = capsys.readouterr()
        outputs.append(out)
        assert f"--top-p does nothing with {' '.join(words[:-6])}." in err
    assert outputs[0] == outputs[1]


# Help and messages

COMMANDS = tuple("train sample eval info inspect export sweep experiments".split())


def help_of(monkeypatch, *words) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    # a terminal's encoding, for which boxes are drawn
    shown = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(shown):
        main([*words, "--help"])
    assert stop.value.code == 0
    shown.seek(0)
    return shown.read()


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_fits_80_columns(monkeypatch, command):
    out = help_of(monkeypatch, *command)
    assert max(map(len, out.splitlines())) <= 80
    assert "None" not in out and "options" in out
    assert "(default: )" not in out and out.count("\n\n\n") == 0
    if not command:
        assert all(name in out for name in (*COMMANDS, "--version"))


@pytest.mark.parametrize(
    ("command", "kind"), [("train", Train), ("sweep", SweepOptions)]
)
def test_help_has_groups_and_every_option(monkeypatch, command, kind):
    out = help_of(monkeypatch, command)
    boxes = re.findall(r"╭─ (.*?) ─+╮\n(.*?)╰─", out, re.S)
    names = [name for name, _ in boxes]
    assert names[:2] == ["positional arguments", "options"]
    mine = {f.name for f in dataclasses.fields(kind)}
    groups = [g for g, members in GROUPS.items() if mine & set(members.split())]
    assert names[2:] == [f"{group} options" for group in groups]
    for name, box in boxes[2:]:
        members = GROUPS[name.removesuffix(" options")].split()
        shown = re.findall(r"^│ (--[a-z-]+)", box, re.M)
        assert shown == [option(m) for m in members if m in mine]
    loose = mine - {"files"} - set(" ".join(GROUPS.values()).split())
    shown = set(re.findall(r"^│ (--[a-z-]+)", dict(boxes)["options"], re.M))
    assert shown == {option(name) for name in loose}
    if command == "train":
        first = re.search(r"^│ (--[a-z-]+)", dict(boxes)["options"], re.M)
        assert first[1] == "--preset"


def test_groups_are_of_the_help_only():
    assert parse(["train"], PRESETS["best"]) == PRESETS["best"]
    words = ["train", "a", "-", "--steps", "7", "--level", "byte", "--devices", "2"]
    words += ["--split", "0.8", "0.1", "0.1", "--overwrite", "--seed", "-3"]
    assert parse(words, PRESETS["quick"]) == dataclasses.replace(
        PRESETS["quick"],
        files=(Path("a"), Path("-")),
        steps=7,
        level="byte",
        devices=2,
        split=(0.8, 0.1, 0.1),
        overwrite=True,
        seed=-3,
    )


def test_without_a_command_help_is_shown_as_for_a_mistake(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and all(name in err for name in ("usage: jrnn", *COMMANDS))


def test_version(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"jrnn \d+\.\d+.*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("api", "command"),
    [
        ("encode: with min_count over 1", "with --min-count over 1"),
        ('Use level="byte", which', "Use --level byte, which"),
        ("or at level 'byte' (no", "or at --level byte (no"),
        ("streams: batch_size must be >= 1", "--batch-size must be >= 1"),
        ("a window of 3 at level crossing", "a window of 3 at level crossing"),
        ("notes: no such file", "notes: no such file"),
        ("sweep: a.csv is the table", "a.csv is the table"),
        ("--min-count must be > 0", "--min-count must be > 0"),
    ],
)
def test_the_librarys_messages_in_the_words_of_the_command(api, command):
    assert in_command_words(api) == command


def test_out_of_memory_is_told_with_the_sweeps_own_option():
    told = in_command_words("try batch_size=4", batch_size="together")
    assert told == "try --together 4"
