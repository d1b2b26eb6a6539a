"""`jrnn inspect` of runs on examples: of numbers and of texts, and what it refuses."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest
from class_data import TINY, recordings, run, sentences
from sequence_files import series, table
from settings import ordinary
from test_inspect import Page

from jrnn.cli.pair_options import Translate
from jrnn.cli.predict import load_answerer
from jrnn.cli.shown import chosen
from jrnn.cli.stored import write_sealed
from jrnn.data import Dataset, from_arrays
from jrnn.tasks import predict

pytestmark = pytest.mark.slow
SMALL = ("--ablate", 40)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs of a few steps, by the name of their command."""
    folder = tmp_path_factory.mktemp("inspect")
    recordings().write_csv(folder / "walks.csv")
    table(folder / "load.csv")
    names = "--features x y --id who --time t".split()
    commands = {
        "classify": [
            folder / "walks.csv",
            *"--label kind --group person".split(),
            *names,
        ],
        "forecast": [table(folder / "load.csv"), *"--target load --horizon 3".split()],
        "label": [sentences(folder / "words.conll")],
    }
    with ordinary():
        for name, words in commands.items():
            tiny = TINY
            if name == "forecast":
                at = TINY.index("--embed-size")
                tiny = [*TINY[:at], *TINY[at + 2 :], "--context", 8]
            assert run(name, *words, "--out", folder / name, *tiny) == 0, name
    as_translation(folder / "classify", folder / "translate")
    return folder


def as_translation(run_, other):
    """The configuration of a run of jrnn translate: nothing else of it is read."""
    content = json.loads((run_ / "config.json").read_text())
    fields = {field.name for field in dataclasses.fields(Translate)}
    options = {k: v for k, v in content["options"].items() if k in fields}
    del content["sha256"]
    other.mkdir()
    options |= {"attention": True, "beam_size": 2}
    content |= {"task": "translate", "options": options}
    write_sealed(other / "config.json", content)


@pytest.fixture
def inspect(place, tmp_path, capsys, monkeypatch):
    """The command: what it says, and the page if there is one."""
    monkeypatch.setenv("COLUMNS", "100")

    def run_it(*words, code=0):
        capsys.readouterr()
        page = tmp_path / "page.html"
        with ordinary():
            done = run("inspect", *words, "--out", page, "--overwrite")
        out, err = capsys.readouterr()
        assert done == code and "Traceback" not in out + err
        if code:
            assert out == "" and len(err.splitlines()) <= 2 and not page.exists()
            return err, None
        return out, Page(page.read_text())

    return run_it


def test_the_test_part_of_a_run_on_numbers(place, inspect):
    out, page = inspect(place / "classify", *SMALL)
    with ordinary():
        trained = load_answerer(place / "classify", "best")
        read = trained.command.read(trained.config, trained.known, None)
        p = predict(trained.task, trained.weights.params, read.test).probability
    about, n = page.about, len(read.test.inputs)
    assert about["title"] == "Inside classify" and len(about["examples"]) == n
    assert [c["name"] for c in about["channels"]] == ["x", "y"]
    frame = pl.read_csv(place / "walks.csv")
    x = about["channels"][0]
    values = x["low"] + page.array("channel-0") * x["step"]
    known = set(frame["x"].to_list())  # in the units of the file, not scaled
    assert all(min(abs(v - k) for k in known) < 0.01 for v in values)
    np.testing.assert_array_equal(page.array("targets"), read.test.targets)
    np.testing.assert_array_equal(page.array("guesses")[:n], p.argmax(axis=1))
    assert [layer["name"] for layer in about["layers"]] == [
        "forward layer",
        "backward layer",
    ]
    assert page.array("1-effect").shape == (8,) and page.array("1-figure").shape == (4,)
    assert about["figure"] == "accuracy" and 0 < about["measured"] <= 9
    assert "1 layer of 4 GRU units in both directions" in out
    assert "change of x" in out and "needs no network" in out


def test_windows_of_a_forecast_do_not_overlap(place, inspect):
    out, page = inspect(place / "forecast", *SMALL)
    about = page.about
    n, horizon = len(about["examples"]), about["horizon"]
    assert horizon == 3 and f"{n} of " in out and about["columns"] == [0]
    truth = page.array("truth").reshape(n, horizon)
    load = pl.read_csv(place / "load.csv")["load"].to_numpy()
    places = [int(np.abs(load - y[0]).argmin()) for y in truth]
    assert (np.diff(places) >= horizon).all() and n > 1
    for y, at in zip(truth, places, strict=True):
        np.testing.assert_allclose(y, load[at : at + horizon], atol=1e-2)
    channel = about["channels"][0]
    read = channel["low"] + page.array("channel-0") * channel["step"]
    length = int(page.array("lengths")[0])
    np.testing.assert_allclose(
        read[:length], load[places[0] - length : places[0]], atol=1e-2
    )
    assert about["figure"] == "mean absolute error"


def test_a_run_on_sentences_shows_words_and_labels(place, inspect):
    _, page = inspect(place / "label", *SMALL)
    about = page.about
    assert about["answers"] == "step" and about["channels"] == []
    words = [about["pieces"][t] for t in page.array("tokens")]
    kinds = {"cat": "N", "dog": "N", "mats": "N", "sat": "V", "ran": "V"}
    kinds |= {"the": "D", "a": "D"}
    said = [about["classes"][c] for c in page.array("targets")]
    assert said == [kinds[word] for word in words] and len(words) > 10


def test_files_with_and_without_what_is_right(place, inspect, tmp_path):
    frame = recordings(6, seed=4)
    frame.write_csv(tmp_path / "new.csv")
    out, page = inspect(place / "classify", tmp_path / "new.csv", *SMALL)
    assert "new.csv" in out and page.about["nats"] and len(page.about["examples"]) == 6
    frame.drop("kind", "person").write_csv(tmp_path / "bare.csv")
    out, page = inspect(place / "classify", tmp_path / "bare.csv")
    assert "bare.csv does not say what is right: there is no loss" in out
    assert page.about["nats"] is None and page.about["measured"] == 0
    (tmp_path / "bare.conll").write_text("the\ncat\n\na\ndog\n")
    out, page = inspect(place / "label", tmp_path / "bare.conll", "--ablate", 0)
    assert page.array("lengths").tolist() == [2, 2]
    series(6).write_csv(tmp_path / "end.csv")  # too short for anything to follow
    out, page = inspect(place / "forecast", tmp_path / "end.csv")
    assert page.about["known"] is False and page.array("lengths").tolist() == [6]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["translate"],
            "translate is a run of jrnn translate, of which there is no page.",
        ),
        (["classify", "missing.csv"], "missing.csv: no such file"),
        (["classify", "words.conll"], "words.conll"),
        (["forecast", "walks.csv"], "walks.csv has no column 'load'"),
        (["classify", "--length", "1"], "--length must be at least 2, got 1"),
        (["classify", "--out", "classify/task.json"], "is part of what is shown"),
    ],
)
def test_mistakes_are_told(place, capsys, monkeypatch, words, message):
    monkeypatch.chdir(place)
    before = {p: p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
    with ordinary():
        assert run("inspect", *words, "--overwrite") == 2
    out, err = capsys.readouterr()
    assert message in err and out == "" and len(err.splitlines()) <= 2
    after = {p: p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
    assert before == after


def test_examples_are_chosen_evenly_up_to_a_number_of_steps(place):
    with ordinary():
        trained = load_answerer(place / "classify", "best")
    lengths = np.array([3, 40, 5, 6, 2, 9, 4, 4])
    data = Dataset(from_arrays([np.zeros((n, 2)) for n in lengths]))
    assert chosen(trained, data, 1000).tolist() == list(range(8))
    some = chosen(trained, data, 20)
    assert lengths[some].sum() <= 20 and 2 <= len(some) < 8
    assert chosen(trained, data, 1).tolist() == [0]
