"""`jrnn report`: what is read of runs and sweeps, compared, and written."""

import contextlib
import dataclasses
import itertools
import json
import math
import shutil
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings import ordinary, ordinary_settings  # noqa: F401
from test_command import TEXT, untrained
from test_inspect import HOSTILE, Page, check_names, check_own_script

from jrnn.cli import main
from jrnn.cli.class_options import Classify
from jrnn.cli.job import begin
from jrnn.cli.report.contents import names_of
from jrnn.cli.report.curves import thinned
from jrnn.cli.report.samples import read_samples
from jrnn.cli.results import write_results
from jrnn.cli.run import RunDirectory
from jrnn.cli.times import read_times, seconds_until
from jrnn.sweep import Run
from jrnn.sweep.table import append

NAMES = "".join(f"{'xy'[n % 2]}\t{'abcd'[n % 4] * (3 + n % 5)}\n" for n in range(60))


def classified(folder, out, **options):
    """A run of jrnn classify at step 0."""
    (folder / "names.tsv").write_text(NAMES)
    config = Classify(files=(folder / "names.tsv",), out=out, hidden_size=5, steps=40)
    with ordinary(), contextlib.ExitStack() as stack:
        begin(dataclasses.replace(config, **options), stack)
    return out


def train_by_hand(run, losses, valid=(), *, seconds=None, **figures):
    """Log lines at steps 5, 10, ..., and validation losses at every second of them."""
    lines = []
    for n, loss in enumerate(losses):
        line = {"step": 5 * n + 5, "epoch": (n + 1) / 4, "loss": loss}
        line |= {"grad_norm": 2.0 + n, "clipped": 0.5}
        if n % 2 and n // 2 < len(valid):
            line["valid_loss"] = valid[n // 2]
            line |= {k: values[n // 2] for k, values in figures.items()}
        lines.append(line)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text)
    if seconds:
        times = [{"step": 5 * n + 5, "seconds": s} for n, s in enumerate(seconds)]
        text = "".join(json.dumps(line) + "\n" for line in times)
        (run / "times.jsonl").write_text(text)
    return lines


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three runs on texts, two on names, and a sweep; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "sea.txt").write_text(TEXT)
    sea = untrained(folder / "sea.txt", folder / "sea", steps=20)
    train_by_hand(sea, [3.0, 2.5, 2.0, 1.5], [2.2, 1.7], seconds=[1.0, 2.0, 4.5, 8.0])
    test = {"nats": 1.6, "bits": 2.3, "perplexity": 4.9, "tokens": 900}
    write_results(RunDirectory(sea), "finished", 20, {"test": test})
    (sea / "samples.txt").write_text(
        "--- step 10, loss 2.5000 ---\nshe se\n\n\n"
        "--- step 20, loss 1.5000 ---\nsea\n--- step 15, loss 1.0 ---\n--- end ---\n\n"
    )
    deep = untrained(folder / "sea.txt", folder / "deep", steps=20, layers=2)
    train_by_hand(deep, [2.9, 1.2], [1.3], seconds=[3.0, 7.0])
    (folder / "ash.txt").write_text(TEXT.replace("sea", "ash"))
    untrained(folder / "ash.txt", folder / "ash")
    names = classified(folder, folder / "names")
    train_by_hand(names, [0.7, 0.5], [0.6], valid_accuracy=[0.75])
    parts = {"test": {"loss": 0.4, "accuracy": 0.8, "examples": 6}}
    parts["figures"] = {"accuracy": 0.8, "macro_f1": 0.7, "confusion": [[1, 2]]}
    parts["baselines"] = {"most frequent class": {"accuracy": 0.5}}
    write_results(RunDirectory(names), "stopped early", 10, parts)
    classified(folder, folder / "names7", seed=7)
    sweep_by_hand(folder / "sweep")
    return folder


def sweep_by_hand(folder, **more):
    """Three configurations of two seeds, of which one diverged; another is refused."""
    runs = []
    for n, (rate, losses) in enumerate([(0.1, [2.0, 1.0]), (1.0, [9.0, math.inf])]):
        for seed in (0, 1):
            config = {"rate": rate, "cell": "gru", "size": 8, **more}
            end = losses[seed] + 0.25 * seed
            status = "done" if math.isfinite(end) else "diverged"
            metrics = {"valid_loss": [5.0, end], "train_loss": 3.0 + n}
            runs.append(Run(2 * n + seed, config, seed, status, metrics, 1.5, 2))
    config = {"rate": 0.1, "cell": "lstm", "size": 8, **more}
    for seed, loss in enumerate([0.5, 1.5]):
        metrics = {"valid_loss": [4.0, loss], "train_loss": 0.125}
        runs.append(Run(4 + seed, config, seed, "done", metrics, 0.5, 2))
    bad = {**config, "cell": "sru"}
    runs.append(Run(6, bad, 0, "refused", {}, 0.0, 0, "no </script> size"))
    append(folder / "table.csv", runs)
    return runs


def command(capsys, *words, code=0):
    assert main(["report", *map(str, words)]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    if code:
        assert out == "" and len(err.splitlines()) <= 2
    return out, err


def page_of(capsys, tmp_path, *paths):
    command(capsys, *paths, "--out", tmp_path / "page.html", "--overwrite")
    return Page((tmp_path / "page.html").read_text())


# Runs


def test_curves_are_what_was_logged(place, tmp_path, capsys):
    about = page_of(capsys, tmp_path, place / "sea", place / "names").about
    sea, names = about["runs"]
    assert sea["curves"]["loss"] == {
        "step": [5, 10, 15, 20],
        "epoch": [0.25, 0.5, 0.75, 1.0],
        "seconds": [1.0, 2.0, 4.5, 8.0],
        "y": [3.0, 2.5, 2.0, 1.5],
    }
    valid = sea["curves"]["valid_loss"]
    assert valid["step"] == [10, 20] and valid["seconds"] == [2.0, 8.0]
    assert valid["y"] == [2.2, 1.7]
    assert names["curves"]["valid_accuracy"]["y"] == [0.75]
    assert names["curves"]["loss"]["seconds"] == [None, None]
    groups = {group["key"]: group for group in about["groups"]}
    assert groups["loss"]["parts"] == ["loss", "valid_loss"]
    assert groups["valid_accuracy"]["label"] == "validation accuracy"


def test_figures_are_those_of_the_run(place, tmp_path, capsys):
    about = page_of(capsys, tmp_path, place / "sea", place / "deep").about
    sea, deep = (run["figures"] for run in about["runs"])
    assert (sea["training loss"], sea["validation loss"], sea["best step"]) == (
        1.5, 1.7, 20,
    )  # fmt: skip
    assert (sea["test loss"], sea["test bits"], sea["test perplexity"]) == (
        1.6, 2.3, 4.9,
    )  # fmt: skip
    # 20 steps of 4 rows of 10 characters in 8 seconds; 10 of them in 7
    assert sea["characters a second"] == 20 * 4 * 10 / 8 and sea["seconds"] == 8
    assert deep["characters a second"] == pytest.approx(10 * 4 * 10 / 7)
    # a GRU of 12 units on V symbols has two biases; and the layer of logits
    v = len(set(TEXT))
    gru = lambda i: 3 * 12 * (i + 12 + 2)
    assert sea["parameters"] == gru(v) + 13 * v
    assert deep["parameters"] == gru(v) + gru(12) + 13 * v
    assert "test tokens" not in sea and "test loss" not in deep
    assert [run["status"] for run in about["runs"]] == [
        "finished",
        "not finished: at step 10 of 20",
    ]
    kinds = {figure["name"]: figure for figure in about["figures"]}
    assert kinds["test loss"]["better"] == "smaller" and about["comparable"]
    assert kinds["seconds"]["better"] is kinds["training loss"]["better"] is None


def test_figures_are_those_of_the_task(place, tmp_path, capsys):
    about = page_of(capsys, tmp_path, place / "names").about
    (run,) = about["runs"]
    figures = run["figures"]
    assert figures["test accuracy"] == 0.8 and figures["test macro f1"] == 0.7
    assert figures["validation accuracy"] == 0.75 and figures["test loss"] == 0.4
    assert "test confusion" not in figures and "seconds" not in figures
    assert run["baselines"] == {"most frequent class": {"accuracy": 0.5}}
    assert run["status"] == "stopped early" and run["command"] == "classify"
    kinds = {figure["name"]: figure for figure in about["figures"]}
    assert kinds["test accuracy"]["percent"] and not kinds["test loss"]["percent"]
    assert kinds["test accuracy"]["better"] == "larger"


def test_settings_have_all_options_and_where_they_differ(place, tmp_path, capsys):
    about = page_of(capsys, tmp_path, place / "sea", place / "deep").about
    sea, deep = (run["settings"] for run in about["runs"])
    assert {name for name in sea if sea[name] != deep[name]} == {"--layers"}
    assert sea["--hidden-size"] == "12" and sea["--split"] == "0.9 0.05 0.05"
    assert sea["data"] == "sea.txt" and "--out" not in sea


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("sea deep", None),
        ("sea ash", "different data"),
        ("sea names", "different commands (train, classify)"),
        ("names names7", "different parts of the data"),  # drawn by --seed
    ],
)
def test_losses_are_said_not_to_compare(place, tmp_path, capsys, names, why):
    paths = [place / name for name in names.split()]
    about = page_of(capsys, tmp_path, *paths).about
    said = [note for note in about["notes"] if "do not compare" in note]
    assert about["comparable"] is (why is None) is (said == [])
    assert why is None or why in said[0]


def test_samples_by_their_steps(place, tmp_path, capsys):
    about = page_of(capsys, tmp_path, place / "sea").about
    assert about["runs"][0]["samples"] == [
        {"step": 10, "text": "she se\n"},
        {"step": 20, "text": "sea\n--- step 15, loss 1.0 ---\n--- end ---"},
    ]
    assert read_samples(tmp_path / "none", [5]) == []


def test_a_long_sample_is_cut(tmp_path):
    (tmp_path / "s").write_text("--- step 5, loss 1.0 ---\n" + "é" * 9000)
    ((sample),) = read_samples(tmp_path / "s", [5])
    assert sample["text"] == "é" * 4000 + " …"


def test_what_is_damaged_is_said_and_the_rest_shown(place, tmp_path, capsys):
    mine = tmp_path / "sea"
    shutil.copytree(place / "sea", mine)
    lines = (mine / "metrics.jsonl").read_bytes().split(b"\n")
    lines[1], lines[3] = b'{"step": "10"}', lines[3][:-7]  # the last one is cut
    (mine / "metrics.jsonl").write_bytes(b"\n".join(lines[:4]))
    results = (mine / "results.json").read_text()
    (mine / "results.json").write_text(results.replace("1.6", "1.2"))
    (mine / "samples.txt").write_bytes(b"--- step 5, loss 3 ---\n\xff\xfe\x00\n\n")
    (mine / "times.jsonl").write_text('{"step": 5, "seconds": null}\n[]\n{"step": 1')
    out, _ = command(capsys, mine, "--out", tmp_path / "a.html")
    about = Page((tmp_path / "a.html").read_text()).about
    (run,) = about["runs"]
    assert run["curves"]["loss"]["y"] == [3.0, 2.0]
    assert run["status"] == "not finished: at step 15 of 20"
    assert "test loss" not in run["figures"] and "seconds" not in run["figures"]
    assert run["samples"][0]["text"] == "\udcff\udcfe\x00"
    notes = " ".join(about["notes"])
    assert "metrics.jsonl: line 2 is damaged" in notes
    assert "results.json is damaged, or was edited" in notes and "Without sec" in notes
    assert "line 2 is damaged" in out


def test_a_run_that_has_only_begun_and_one_that_diverged(place, tmp_path, capsys):
    mine = tmp_path / "deep"
    shutil.copytree(place / "deep", mine)
    write_results(RunDirectory(mine), "diverged", 15, {})
    about = page_of(capsys, tmp_path, place / "ash", mine).about
    ash, deep = about["runs"]
    assert ash["status"].startswith("not finished: at step 0 of ")
    assert ash["curves"] == {} and ash["figures"].keys() == {"steps", "parameters"}
    assert deep["status"] == "diverged before step 15"


def test_numbers_that_are_none_have_no_point(place, tmp_path, capsys):
    mine = tmp_path / "sea"
    shutil.copytree(place / "sea", mine)
    train_by_hand(mine, [math.nan, 2.0, math.inf, 1.0], [math.inf, 1.5])
    (run,) = page_of(capsys, tmp_path, mine).about["runs"]
    assert run["curves"]["loss"]["step"] == [10, 20]
    assert run["curves"]["valid_loss"]["y"] == [1.5]


def test_a_long_run_has_few_points(place, tmp_path, capsys):
    mine = tmp_path / "sea"
    shutil.copytree(place / "sea", mine)
    train_by_hand(mine, [1 / (n + 1) for n in range(9000)])
    (run,) = page_of(capsys, tmp_path, mine).about["runs"]
    steps = run["curves"]["loss"]["step"]
    assert len(steps) == 2000 and (steps[0], steps[-1]) == (5, 45000)
    gaps = {b - a for a, b in itertools.pairwise(steps)}
    assert gaps == {20, 25}  # of 9000 lines, every fourth or fifth
    assert (tmp_path / "page.html").stat().st_size < 0.7e6


@given(st.integers(0, 300), st.integers(2, 50))
def test_thinning_keeps_the_ends(number, most):
    points = list(range(number))
    kept = thinned(points, most)
    assert len(kept) == min(number, most) == len(set(kept))
    assert kept == sorted(kept) and [*kept[:1], *kept[-1:]] == points[:1] + points[-1:]


@given(
    st.lists(
        st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(tuple),
        min_size=1,
        unique=True,
    )
)
def test_names_differ(paths):
    names = names_of([Path("/", *parts) for parts in paths])
    assert len(set(names)) == len(names)
    for name, parts in zip(names, paths, strict=True):
        assert ("/" + "/".join(parts)).endswith(name)


def test_a_run_that_is_named_twice_is_shown_once(place, tmp_path, capsys):
    again = place / "deep" / ".." / "sea"
    about = page_of(capsys, tmp_path, place / "sea", again).about
    assert [run["name"] for run in about["runs"]] == ["sea"]


# Time


def test_times_that_are_damaged_are_passed_over(tmp_path):
    path = tmp_path / "times.jsonl"
    assert read_times(path) == {} and seconds_until(path, 9) == 0 and not path.exists()
    lines = [(5, 1.5), (10, 3), (7, 4), (15, 2.0), ("20", 5), (20, "5"), (25, 6.5)]
    text = "".join(f'{{"step": {a!r}, "seconds": {b!r}}}\n' for a, b in lines)
    text = text.replace("'", '"') + '[1]\n\x00\n{"step": 30, "seconds": 9}'
    path.write_text(text)
    assert read_times(path) == {5: 1.5, 10: 3.0, 25: 6.5}
    assert seconds_until(path, 24) == 3.0  # what a checkpoint at step 24 goes on from
    assert read_times(path) == {5: 1.5, 10: 3.0}


@pytest.mark.slow
def test_the_time_of_a_run_goes_on_where_it_was(tmp_path, capsys):
    (tmp_path / "sea.txt").write_text(TEXT)
    small = "--cell gru --hidden-size 4 --batch-size 4 --window 10 --log-every 2"
    out = tmp_path / "run"
    words = ["train", str(tmp_path / "sea.txt"), "--out", str(out), "--steps", "4"]
    assert main([*words, *small.split(), "--save-every", "4"]) == 0
    before = read_times(out / "times.jsonl")
    assert list(before) == [2, 4] and 0 < before[2] <= before[4] < 120
    with (out / "times.jsonl").open("a") as file:  # later than what was saved
        file.write('{"step": 6, "seconds": 9e9}\n')
    assert main(["train", "--resume", str(out), "--steps", "8"]) == 0
    after = read_times(out / "times.jsonl")
    assert list(after) == [2, 4, 6, 8] and after[2] == before[2]
    assert before[4] < after[6] <= after[8] < before[4] + 120


# Sweeps


def test_a_sweep_has_its_configurations_in_order(place, tmp_path, capsys):
    about = page_of(capsys, tmp_path, place / "sweep").about
    (sweep,) = about["sweeps"]
    assert [s["name"] for s in sweep["settings"]] == ["rate", "cell"]
    assert sweep["fixed"] == {"size": 8} and sweep["left_out"] == 0
    assert [m["name"] for m in sweep["metrics"]] == ["valid_loss", "train_loss"]
    rows = sweep["rows"]
    configs = [row["config"] for row in rows]
    assert configs[:2] == [[0.1, "lstm"], [0.1, "gru"]]
    assert sorted(configs[2:]) == [[0.1, "sru"], [1.0, "gru"]]
    for row, losses in zip(rows, [[0.5, 1.5], [2.0, 1.25]], strict=False):
        found = row["results"]["valid_loss"]
        assert found["mean"] == statistics.mean(losses) and row["failed"] == 0
        error = statistics.stdev(losses) / math.sqrt(2)
        assert found["error"] == pytest.approx(error, rel=1e-6)
    by_name = {tuple(row["config"]): row for row in rows}
    diverged, refused = by_name[1.0, "gru"], by_name[0.1, "sru"]
    assert diverged["results"]["valid_loss"] == {
        "mean": None, "error": None, "values": [9.0],
    }  # fmt: skip
    assert (diverged["failed"], diverged["status"]) == (1, "done, diverged")
    assert diverged["seconds"] == 3 and rows[0]["seconds"] == 1
    assert refused["status"] == "refused" and refused["note"] == "no </script> size"
    assert rows[0]["results"]["train_loss"]["mean"] == 0.125


def test_runs_and_sweeps_on_one_page(place, tmp_path, capsys):
    out, _ = command(
        capsys, place / "sea", place / "sweep", "--out", tmp_path / "a.html"
    )
    about = Page((tmp_path / "a.html").read_text()).about
    assert len(about["runs"]) == len(about["sweeps"]) == 1 and about["comparable"]
    size = (tmp_path / "a.html").stat().st_size
    assert f"{size / 1e6:.2f} MB" in out and size < 0.1e6


def test_a_sweep_without_a_training_that_was_made(tmp_path, capsys):
    bad = Run(0, {"rate": 1}, 0, "refused", {}, 0.0, 0, "too large")
    append(tmp_path / "s" / "table.csv", [bad])
    (sweep,) = page_of(capsys, tmp_path, tmp_path / "s").about["sweeps"]
    assert sweep["metrics"] == [] and sweep["rows"][0]["status"] == "refused"


# The page


@pytest.fixture(scope="module")
def hostile(place, tmp_path_factory):
    """A run and a sweep whose names and texts would be markup."""
    folder = tmp_path_factory.mktemp("hostile")
    name = "<img src=x onerror=alert(1)> ‮\"'&amp;{{script}}"
    run = folder / name
    shutil.copytree(place / "sea", run)
    text = f"--- step 10, loss 2.5 ---\n{HOSTILE}\n\n"
    (run / "samples.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    sweep_by_hand(folder / "</title><script>alert(1)<", **{"</script><b>": "<i>😀"})
    paths = [run, folder / "</title><script>alert(1)<"]
    with ordinary():
        assert main(["report", *map(str, paths), "--out", str(folder / "p.html")]) == 0
    return folder / "p.html", name


def test_hostile_names_and_samples_stay_text(hostile, place, tmp_path, capsys):
    path, name = hostile
    raw = path.read_bytes()
    assert b"\x00" not in raw and b"<script>alert" not in raw and b"<img" not in raw
    page = Page(raw.decode())
    page_of(capsys, tmp_path, place / "sea")
    template = Page((tmp_path / "page.html").read_text())
    own = lambda page: [tag for tag, _ in page.tags if tag not in ("script", "li")]
    assert own(page) == own(template)
    assert raw.count(b"<script") == len(page.scripts) == 2
    (run,), (sweep,) = page.about["runs"], page.about["sweeps"]
    assert run["name"] == name.split("/")[-1]
    written = HOSTILE.encode("utf-8", "surrogatepass").decode(
        "utf-8", "surrogateescape"
    )
    assert run["samples"][0]["text"] == written
    assert sweep["fixed"]["</script><b>"] == "<i>😀"
    assert name in page.words


def test_every_control_of_the_page_has_a_name(place, tmp_path, capsys):
    page_of(capsys, tmp_path, place / "sea", place / "sweep")
    text = (tmp_path / "page.html").read_text()
    check_own_script(text)
    check_names(text)


# Mistakes


def test_a_page_is_replaced_only_when_asked(place, tmp_path, capsys):
    (tmp_path / "a.html").write_text("mine")
    words = place / "sea", "--out", tmp_path / "a.html"
    _, err = command(capsys, *words, code=2)
    assert "a.html exists. Replace it by --overwrite, or choose another --out" in err
    assert (tmp_path / "a.html").read_text() == "mine"
    command(capsys, *words, "--overwrite")
    assert Page((tmp_path / "a.html").read_text()).about["runs"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name what to show: jrnn report RUN ..."),
        (["none"], "There is no run at none"),
        (["sea.txt"], "sea.txt is a file. Name the directory of a run or of a sweep"),
        (["."], r"is no run, but holds 6 runs. Name them: jrnn report ash ..."),
        (["empty"], "empty is neither a run nor a sweep: it has no config.json"),
        (["broken"], "config.json is damaged"),
        (["cut"], "table.csv is not the table of a sweep"),
        (["bare"], "table.csv has no training yet"),
        (["sea", "--out", "sea/metrics.jsonl"], "is part of what is shown"),
        (["sweep", "--out", "sweep/table.csv"], "is part of what is shown"),
        (["sea", "--out", "sea"], "is part of what is shown"),
        (["sea", "--out", "."], "is a folder. Name a file in it by --out"),
        (["sea", "--out", "no/a.html"], "There is no folder"),
    ],
)
def test_mistakes_are_told(place, tmp_path, capsys, monkeypatch, words, message):
    mine = tmp_path / "mine"
    shutil.copytree(place, mine)
    monkeypatch.chdir(mine)
    if words[:1] in (["empty"], ["broken"], ["cut"], ["bare"]):
        Path(words[0]).mkdir()
        Path("broken/config.json").write_text("{") if words == ["broken"] else None
        table = Path("sweep/table.csv").read_bytes()
        if words == ["cut"]:
            Path("cut/table.csv").write_bytes(table.replace(b"run,", b"rum,"))
        if words == ["bare"]:
            Path("bare/table.csv").write_bytes(table[: table.index(b"\n") + 1])
    before = {p: p.read_bytes() for p in sorted(mine.rglob("*")) if p.is_file()}
    _, err = command(capsys, *words, "--overwrite", code=2)
    assert message in err, err
    after = {p: p.read_bytes() for p in sorted(mine.rglob("*")) if p.is_file()}
    assert before == after
