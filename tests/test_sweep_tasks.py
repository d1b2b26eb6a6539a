"""`jrnn sweep TASK`: every training is the one that `jrnn TASK` makes."""

import dataclasses
import itertools
import json
import random
import re
import shlex
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from sequence_files import FORECAST, table
from settings import ordinary_settings  # noqa: F401
from test_cli import TEXT, refused

from jrnn.cli import main
from jrnn.cli.config import TRAINING
from jrnn.cli.job import fresh_checkpoint
from jrnn.cli.parsing import parse, training_default
from jrnn.cli.run import RunDirectory
from jrnn.cli.sweep.forms import read_sweep
from jrnn.cli.sweep.options import axes_of, base_of, space_of, varied
from jrnn.cli.sweep.training import Swept, measured_at, training
from jrnn.cli.tasks import ON_EXAMPLES, workflow_of
from jrnn.cli.tasks.many import _cut, _order
from jrnn.cli.train import evaluated_params
from jrnn.cli.updates import intervals_of, learning_rates
from jrnn.cli.workflow import Job, evaluate
from jrnn.data import batching
from jrnn.sweep import read_table
from jrnn.sweep import sweep as run_sweep
from jrnn.train import Hyper

TINY = "--cell elman --hidden-size 3 --steps 7 --eval-every 3 --batch-size 8".split()
RATES = "--learning-rate 0.01,0.03".split()


def texts(path: Path) -> Path:
    """Lines label<TAB>text of unequal length, so that batches have several shapes."""
    chance = random.Random(2)
    kinds = {"vowels": "aeiou", "others": "bcdfg", "both": "aebc"}
    rows = [
        (label, "".join(chance.choices(kinds[label], k=chance.randint(2, 19))))
        for label in chance.choices(sorted(kinds), k=50)
    ]
    path.write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    return path


def pairs(path: Path) -> Path:
    chance = random.Random(4)
    words = ["".join(chance.choices("abcd", k=chance.randint(1, 7))) for _ in range(40)]
    path.write_text("".join(f"{w}\t{w[::-1]}\n" for w in words))
    return path


def sentences(path: Path) -> Path:
    chance = random.Random(6)
    form = lambda: "\n".join(
        f"{chance.choice(['cat', 'ran', 'the'])}\t{chance.choice('NVD')}"
        for _ in range(chance.randint(1, 12))
    )
    path.write_text("\n\n".join(form() for _ in range(40)))
    return path


FORWARD = "--direction forward --embed-size 2".split()
CASES = {
    "classify": (texts, [*FORWARD, *RATES], True),
    "label": (sentences, [*FORWARD, *RATES], True),
    "translate": (
        pairs,
        "--embed-size 2 --dropout 0,0.2 --learning-rate 0.01 --beam-size 1".split(),
        True,
    ),
    "forecast": (
        lambda path: table(path.with_suffix(".csv")),
        [*FORECAST, *RATES],
        False,
    ),
}


class Alone:
    """Trainings by the programs of `jrnn TASK`, which those of a seed share."""

    def __init__(self, workflow, options, material, seed: int, folder: Path):
        config, data = dataclasses.replace(options, seed=seed), material.data
        stream = batching(data.train, config.batch_size, seed)
        task = ON_EXAMPLES[type(config)].task(config, data.known)
        model = material.model._replace(task=task, stream=stream)
        at = RunDirectory(folder)
        self.job = Job(workflow, config, at, data, model, None, None, None)
        state, key = fresh_checkpoint(self.job)
        advance = workflow.compile(self.job, intervals_of(config), state, key).advance
        self.advance = advance

    def losses(self, learning_rate: float) -> tuple[list, list]:
        """Validation and training losses, step by step."""
        config = dataclasses.replace(self.job.config, learning_rate=learning_rate)
        rates, valid, train = learning_rates(config, config.steps), [], []
        state, key = fresh_checkpoint(self.job)
        for n in range(config.steps):
            hypers = Hyper(rates[n : n + 1], np.full(1, config.clip, np.float32))
            state, metrics = self.advance(state, n, hypers, key)
            train.append(float(metrics.loss[0]))
            if n + 1 in measured_at(config):
                params = evaluated_params(state)
                valid.append(evaluate(self.job, params, "valid")[0])
        return valid, train


@pytest.mark.slow
@pytest.mark.parametrize("task", CASES)
def test_a_training_of_a_sweep_is_that_of_the_command(task, tmp_path):
    write, more, several = CASES[task]
    words = [task, str(write(tmp_path / "data.txt")), *TINY, *more]
    options = read_sweep(words)
    base, space = base_of(options), space_of(options)
    workflow = workflow_of(base)
    material = workflow.begin(base)
    swept = Swept(workflow, base, material.data, 2)
    stream = material.model.stream
    assert (len(stream.shapes) > 1) == several
    fixed = [name for name in space[0] if name not in varied(space)]
    found = run_sweep(
        training(swept), space, seeds=2, structural=fixed, method="vmap", devices=1
    )
    assert len(found.runs) == 2 * len(space) == found.groups[0].batch_size
    programs, courses = {}, set()
    for run in found.runs:
        settled = swept.options(run.config)
        assert measured_at(settled).tolist() == [3, 6, 7]
        same = settled.dropout, run.seed  # learning rates have the same programs
        if same not in programs:
            of = workflow, settled, material, run.seed, tmp_path
            programs[same] = Alone(*of)
        valid, train = programs[same].losses(settled.learning_rate)
        parts = [part.mean() for part in np.split(train, [3, 6])]
        close = partial(np.testing.assert_allclose, rtol=2e-5)
        close(run.metrics["valid_loss"], valid)
        close(run.metrics["train_loss"], parts)
        assert run.metrics["best_loss"] == min(run.metrics["valid_loss"])
        courses.add(tuple(valid))
    assert len(courses) == len(found.runs)  # no two are the same training


@pytest.mark.slow
def test_a_sweep_tells_the_best_and_goes_on_where_it_was(tmp_path, capsys):
    file, out = texts(tmp_path / "letters.tsv"), tmp_path / "out"
    words = ["sweep", "classify", str(file), *TINY, *FORWARD]
    words += "--clip 0.1,5 --learning-rate 0.01,0.1 --weight-decay 0.1".split()
    words += ["--optimizer", "adamw", "--average", "0.5", "--out", str(out)]
    words += "--split 0.6 0.2 0.2 --seeds 1 --method map".split()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Data: letters.tsv, 50 examples; " in said and "3 classes: " in said
    assert "4 configurations of learning rate, clip, 1 seeds: 4 " in said
    assert "Best on the validation part" in said
    runs = read_table(out / "table.csv")
    assert len(runs) == 4 and {run.status for run in runs} == {"done"}
    figures = {"marginals.png", "curves.png", "heat_map.png"}
    assert {p.name for p in out.iterdir()} == figures | {
        *("table.csv", "sweep.json", ".lock", ".table.csv.lock")
    }
    # the command it recommends makes the same training once more
    command = shlex.split(re.search(r"^ *(jrnn classify .*)$", said, re.M)[1])
    assert "--chunk" not in command  # nothing that was left to the data
    assert main([*command[1:], "--out", str(tmp_path / "run")]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    best = min(run.metrics["best_loss"] for run in runs)
    np.testing.assert_allclose(results["validation"]["loss"], best, rtol=2e-5)
    capsys.readouterr()

    whole = (out / "table.csv").read_bytes()
    (out / "table.csv").write_bytes(whole[: len(whole) // 2])
    assert main(words) == 0
    assert re.search(r"\d trainings were in the table already", capsys.readouterr().out)
    again = read_table(out / "table.csv")
    same = lambda rows: [(r.config, r.seed, r.status, r.metrics) for r in rows]
    assert same(again) == same(runs)

    for changed, what in [
        (["--average", "0"], "--average"),
        (["--eval-every", "5"], "--eval-every"),
    ]:
        said = refused(capsys, *words, *changed)
        assert f"holds another sweep: {what} differs" in said
    file.write_text(file.read_text() + "both\tabcabc\n")
    said = refused(capsys, *words)
    assert "holds another sweep: What is in the files differs" in said
    said = refused(capsys, "sweep", file, "--out", out, "--batch-size", "2")
    assert "holds another sweep: The text differs" in said


def test_the_folder_of_a_sweep_of_a_text_is_left_alone(tmp_path, capsys):
    file, out = texts(tmp_path / "letters.tsv"), tmp_path / "out"
    out.mkdir()
    (out / "sweep.json").write_text('{"text": "0123", "steps": 200}')
    said = refused(capsys, "sweep", "classify", file, "--out", out)
    assert "holds another sweep: The command differs" in said
    assert not (out / "table.csv").exists()


@pytest.mark.slow
def test_what_cannot_be_trained_is_said_before_and_the_rest_is_made(tmp_path, capsys):
    file, out = texts(tmp_path / "letters.tsv"), tmp_path / "out"
    words = ["sweep", "classify", str(file), *TINY[4:], *FORWARD, "--out", str(out)]
    words += "--cell elman,clockwork --hidden-size 3 --seeds 1 --method map".split()
    assert main([*words, "--learning-rate", "0.01"]) == 0
    told = capsys.readouterr()
    early = "1 of 2 configurations are refused: --cell clockwork --hidden-size 3: "
    assert early in " ".join((told.err + told.out).split())
    assert "1 refused: --cell clockwork --hidden-size 3" in told.out
    assert "diverged" not in told.out  # in the table are those that were made
    statuses = [run.status for run in read_table(out / "table.csv")]
    assert statuses == ["done", "refused"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--cell clockwork --hidden-size 6,7", "--cell clockwork --hidden-size 6: "),
        ("--cell dale --hidden-size 1", "--cell dale --hidden-size 1: "),
        ("--hidden-size -3", "--hidden-size must be > 0, got -3"),
        ("--dropout 1", "--dropout must be at least 0 and below 1, got 1"),
        ("--learning-rate fast", "--learning-rate: expected numbers such as"),
        ("--chunk 2.5", "--chunk: expected numbers"),
        ("--direction both,back", "--direction: expected some of forward, both, got"),
        ("--split 0.8 0 0.2", "The validation part is empty"),
        ("--seeds 0", "--seeds must be > 0, got 0"),
        ("--label kind", "is one sequence"),
        ("--devices 99", "--devices is 99, but this machine has 2"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(words, message, tmp_path, capsys):
    file, out = texts(tmp_path / "letters.tsv"), tmp_path / "out"
    command = ["sweep", "classify", file, "--out", out, *words.split()]
    assert message in refused(capsys, *command)
    assert not out.exists()


def test_a_sweep_without_a_file_says_what_to_name(capsys):
    assert "jrnn sweep label FILE" in refused(capsys, "sweep", "label")


@pytest.mark.parametrize(
    ("cell", "size"),
    [
        ("clockwork", "7"),
        ("dale", "1"),
        pytest.param("lstm", "2000000000", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("task", ["train", "classify"])
def test_a_refused_model_leaves_no_directory(task, cell, size, tmp_path, capsys):
    file = tmp_path / "text.txt"
    file.write_text(2 * TEXT)
    file = file if task == "train" else texts(tmp_path / "letters.tsv")
    out = tmp_path / "run"
    words = [task, file, "--cell", cell, "--hidden-size", size, "--out", out]
    said = refused(capsys, *words)
    assert "hidden" in said and not out.exists()
    out.mkdir()
    (out / "config.json").write_text("mine")
    refused(capsys, *words, "--overwrite")
    assert (out / "config.json").read_text() == "mine"


@pytest.mark.slow
def test_every_axis_is_an_option_of_its_command():
    for task, kind in TRAINING.items():
        axes = axes_of(kind)
        assert {"learning_rate", "hidden_size", "cell", "batch_size"} <= {*axes.names}
        if task == "train":
            continue
        options = read_sweep([task, "data"])
        base = base_of(options)
        assert type(base) is kind and base.files == (Path("data"),)
        assert varied(space_of(options)) == ["learning_rate"]
        first = dataclasses.replace(base, learning_rate=kind().learning_rate)
        assert first == dataclasses.replace(kind(), files=base.files)


def test_the_old_form_and_the_name_of_the_command_are_one():
    words = ["--learning-rate", "0.1,0.2", "--cell", "gru,lstm"]
    default = training_default(["sweep"])
    old = parse(["sweep", "a.txt", *words], default)
    assert old == parse(["sweep", "train", "a.txt", *words], default)
    assert old.files == (Path("a.txt"),) and len(space_of(old)) == 4
    here = parse(["sweep", "./classify"], default)
    assert here.files == (Path("classify"),)
    assert type(parse(["sweep", "classify", "x"], default)) is not type(here)


@pytest.mark.slow
def test_padding_to_the_longest_of_all_seeds(tmp_path):
    """Every batch has a shape that holds it, and the examples of its own seed."""
    base = base_of(read_sweep(["classify", str(texts(tmp_path / "t.tsv")), *TINY]))
    data = workflow_of(base).begin(dataclasses.replace(base, steps=40)).data
    config = dataclasses.replace(base, steps=40)
    order = _order(data.train, config, 3)
    for seed, n in itertools.product(range(3), range(0, 40, 3)):
        expected = batching(data.train, config.batch_size, seed).batch(n)
        shape = order.shapes[order.bucket[n]]
        examples, real = order.examples[seed, n], order.real[seed, n]
        batch = jax.tree.map(np.asarray, _cut(data.train, examples, real, shape))
        steps = expected.inputs.shape[1]
        assert (batch.inputs[:, :steps] == expected.inputs).all()
        assert not batch.inputs[:, steps:].any()
        assert (batch.lengths == expected.lengths).all()
        assert (batch.targets == expected.targets).all()
        assert (batch.real == expected.real).all()
    assert len(set(order.bucket)) > 1
