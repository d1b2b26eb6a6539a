"""Damaged files: seen, named, and never a traceback or a silent success."""

import dataclasses
import functools
import json
import os
import random
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from settings import ordinary_settings  # noqa: F401

from jrnn.cli import main, run
from jrnn.cli.tasks import language
from jrnn.train import CheckpointError, load, read, save

pytestmark = pytest.mark.slow  # they train runs to damage

TREE = {
    "w": jnp.arange(6, dtype=jnp.float32).reshape(2, 3) / 7,
    "half": jnp.arange(4, dtype=jnp.bfloat16) / 3,
    "none": jnp.zeros((0, 3), jnp.int32),
    "one": jnp.int32(7),
}


def test_every_bit_of_a_checkpoint_counts(tmp_path):
    """Whatever bit is turned, a checkpoint is refused or means what was saved."""
    path = tmp_path / "c.safetensors"
    save(path, TREE | {"key": jax.random.key(3)}, {"step": 7, 3: "é", 20: [1.5, None]})
    whole = path.read_bytes()
    like = TREE | {"key": jax.random.key(0)}
    saved, facts = load(path, like)
    assert facts == {"step": 7, "3": "é", "20": [1.5, None]}
    refused = 0
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            found, metadata = load(path, like)
        except CheckpointError as error:
            assert str(path) in str(error)
            refused += 1
            continue
        # such as a space behind the header: nothing that means anything
        assert metadata == facts
        assert jax.random.key_data(found.pop("key")).tolist() == [0, 3]
        for name, array in found.items():
            assert array.dtype == saved[name].dtype
            assert array.tobytes() == saved[name].tobytes()
    tensors = sum(np.asarray(a).nbytes for a in TREE.values()) + 8
    assert refused > 8 * tensors


def test_checkpoints_without_a_digest_are_read(tmp_path):
    path = tmp_path / "old.safetensors"
    header = {"jrnn-checkpoint-1": json.dumps({"step": 7})}
    arrays = {"['w']": np.ones(2, np.float32)}
    safetensors.numpy.save_file(arrays, path, metadata=header)
    tree, facts = load(path, {"w": np.zeros(2, np.float32)})
    assert tree["w"].tolist() == [1, 1] and facts == {"step": 7}


@pytest.mark.parametrize(
    "header",
    [
        {"jrnn-checkpoint-2": "["},
        {"jrnn-checkpoint-2": "[" * 100_000},
        {"jrnn-checkpoint-2": "[]"},
        {"jrnn-checkpoint-2": '{"metadata": {}}'},
        {"jrnn-checkpoint-2": '{"metadata": 3, "sha256": ""}'},
        {"jrnn-checkpoint-1": "7"},
    ],
)
def test_metadata_that_no_version_wrote(tmp_path, header):
    path = tmp_path / "c.safetensors"
    safetensors.numpy.save_file({"w": np.ones(2)}, path, metadata=header)
    with pytest.raises(CheckpointError, match=r"c\.safetensors is damaged: its"):
        read(path)


def test_a_key_of_another_kind(tmp_path):
    path = tmp_path / "c.safetensors"
    save(path, {"key": np.zeros(4, np.uint32)})
    with pytest.raises(CheckpointError, match=r"has shape \(4,\), expected \(2,\)"):
        load(path, {"key": jax.random.key(0)})


DAMAGES = int(os.environ.get("JRNN_TEST_DAMAGES", "30"))
SMALL = (
    "--cell gru --hidden-size 6 --steps 12 --eval-every 4 --sample-every 4 "
    "--save-every 4 --log-every 2 --batch-size 3 --window 6 --warmup 2 --devices 1"
).split()
TEXT = "she sells sea shells by the sea shore\n" * 30
SWEEP = (
    "--steps 4 --evals 2 --seeds 2 --hidden-size 5 --batch-size 2 --window 6 "
    "--warmup 1 --method vmap --learning-rate 0.01,0.1"
).split()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, another that differs in its seed alone, and a sweep."""
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "sea.txt"
    text.write_text(TEXT)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
            for name, seed in (("mine", "0"), ("other", "1")):
                words = ["train", text, "--out", folder / name, *SMALL, "--seed", seed]
                assert main([*map(str, words)]) == 0
            words = ["sweep", text, "--out", folder / "sweep", *SWEEP]
            assert main([*map(str, words)]) == 0
    return folder


@pytest.fixture
def one_model(monkeypatch):
    """The same cells for the same model, so that JAX compiles each program once."""
    build = functools.lru_cache(run.build_model)

    def build_model(config, vocab_size):
        fixed = {"files": (), "out": None, "resume": None, "steps": 12}
        return build(dataclasses.replace(config, **fixed), vocab_size)

    for module in (run, language):
        monkeypatch.setattr(module, "build_model", build_model)


def told(capsys, *words) -> tuple[int, str]:
    """Run a command, which may fail, but not by an exception."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert code in (0, 2), (words, out, err)
    assert "Traceback" not in out + err
    if code:
        assert re.match("jrnn: [^ ]", err), err
        assert len(err.strip().splitlines()) <= 3, err
    return code, out + err


def harm(folder: Path, other: Path, chance: random.Random) -> str:
    """Damage a file of a run in one of many ways; returns what was done."""
    files = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    path, second = chance.sample(files, 2)
    data = path.read_bytes()
    kind = chance.choice(
        "flip flip flip flips cut grow zeros empty delete swap foreign noise".split()
    )
    at = chance.randrange(len(data))
    if kind in ("flip", "flips"):
        damaged = bytearray(data)
        for at in chance.sample(range(len(data)), 1 if kind == "flip" else 5):
            damaged[at] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
    elif kind == "swap":
        path.write_bytes(second.read_bytes())
        second.write_bytes(data)
        return f"{path.name} and {second.name} swapped"
    elif kind == "foreign":
        path.write_bytes((other / path.name).read_bytes())
    elif kind == "delete":
        path.unlink()
    else:
        damaged = {
            "cut": data[:at],
            "grow": data + data[at : at + 40],
            "zeros": data[:at] + bytes(len(data[at : at + 64])) + data[at + 64 :],
            "empty": b"",
            "noise": chance.randbytes(chance.randrange(1, 200)),
        }[kind]
        path.write_bytes(damaged)
    return f"{path.name}: {kind} at {at}"


def weights(folder: Path) -> dict[str, bytes]:
    arrays, _ = read(folder / "checkpoint.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def test_no_damage_is_passed_over_or_shows_a_traceback(
    runs, tmp_path, capsys, one_model
):
    """Whatever is done to a file, a command says so or does what it would have done."""
    use = {
        "sample": ["--length", "8"],
        "eval": [],
        "eval last": ["--checkpoint", "last"],
    }
    wanted = {}
    for name, words in use.items():
        code, wanted[name] = told(capsys, name.split()[0], runs / "mine", *words)
        assert code == 0
    wanted = {n: s.replace(str(runs / "mine"), "RUN") for n, s in wanted.items()}
    whole = tmp_path / "whole"
    shutil.copytree(runs / "mine", whole)
    assert told(capsys, "train", "--resume", whole, "--steps", 16)[0] == 0
    refused, chance = 0, random.Random(os.environ.get("JRNN_TEST_SEED"))
    for number in range(DAMAGES):
        mine = tmp_path / "mine"
        shutil.copytree(runs / "mine", mine)
        what = harm(mine, runs / "other", chance)
        for name, words in use.items():
            code, said = told(capsys, name.split()[0], mine, *words)
            same = said.replace(str(mine), "RUN").split() == wanted[name].split()
            assert code == 2 or same, (what, name, said)
            refused += code == 2
        told(capsys, "info", mine)
        if number % 4:
            code, said = told(capsys, "train", "--resume", mine)
        else:
            code, said = told(capsys, "train", "--resume", mine, "--steps", 16)
            assert code == 2 or weights(mine) == weights(whole), (what, said)
        refused += code == 2 and "has made all" not in said
        shutil.rmtree(mine)
    assert refused > DAMAGES / 4
    print(f"{DAMAGES} damages to a run, {refused} refusals")


def test_no_damage_to_a_sweep_shows_a_traceback(runs, tmp_path, capsys):
    chance, refused = random.Random(os.environ.get("JRNN_TEST_SEED")), 0
    for _ in range(max(4, DAMAGES // 10)):
        mine = tmp_path / "sweep"
        shutil.copytree(runs / "sweep", mine)
        for path in mine.glob("*.png"):
            path.unlink()
        what = harm(mine, mine, chance)
        words = ["sweep", runs / "sea.txt", "--out", mine, *SWEEP]
        code, said = told(capsys, *words)
        assert code == 2 or "Best on the validation text" in said, (what, said)
        refused += code == 2
        shutil.rmtree(mine)
    print(f"{max(4, DAMAGES // 10)} damages to a sweep, {refused} refusals")


def changed_config(folder: Path, target: Path, **options) -> Path:
    """A copy of a run whose config.json has other options, and no digest."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    config["options"] |= options
    del config["sha256"]
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hidden_size", "12", 'expected a whole number, got "12"'),
        ("hidden_size", 12.5, "expected a whole number, got 12.5"),
        ("hidden_size", True, "expected a whole number, got true"),
        ("hidden_size", 10**40, "expected a whole number, got 1000"),
        ("hidden_size", -4, "--hidden-size must be > 0, got -4"),
        ("hidden_size", 2**40, "--hidden-size must be below 2^31"),
        ("layers", 10**9, "--layers must be at most 1000"),
        ("dropout", None, "expected a number, got null"),
        ("dropout", float("nan"), "expected a number, got NaN"),
        ("cell", "ltsm", "expected one of antisymmetric, cfc, clockwork, "),
        ("cell", ["gru"], "expected one of antisymmetric, cfc, clockwork, "),
        ("split", [0.5, 0.5], "expected a list of 3, each of them a number, got"),
        ("split", {"a": 1}, "expected a list of 3, each of them a number, got"),
        ("files", "sea.txt", "expected a list, each of them a path, got"),
        ("files", ["a\0b"], "expected a list, each of them a path, got"),
        ("out", 7, "expected a path or null, got 7"),
        ("update_every", "2", "expected a whole number or null, got"),
        ("overwrite", 0, "expected true or false, got 0"),
        ("seed", {}, "expected a whole number, got {}"),
    ],
)
@pytest.mark.parametrize("command", [["info"], ["sample"], ["train", "--resume"]])
def test_options_of_another_type(runs, tmp_path, capsys, command, name, value, message):
    mine = changed_config(runs / "mine", tmp_path / "mine", **{name: value})
    code, said = told(capsys, *command, mine)
    assert code == 2 and message in said and "config.json" in said
    assert "--" + name.replace("_", "-") in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "is damaged"),
        ("[]", "is not the configuration of a run"),
        ('{"format": "jrnn-run-1"}', 'has no "options"'),
        ('{"format": "jrnn-run-1", "options": []}', 'has no "options"'),
        ('{"format": "jrnn-run-1", "options": {}}', "is of another version"),
        ("\udcff", "is damaged"),
        ("", "is damaged"),
    ],
)
def test_a_configuration_that_is_none(runs, tmp_path, capsys, content, message):
    mine = tmp_path / "mine"
    shutil.copytree(runs / "mine", mine)
    (mine / "config.json").write_text(content, errors="surrogateescape")
    for command in (["info"], ["sample"], ["eval"], ["train", "--resume"]):
        code, said = told(capsys, *command, mine)
        assert code == 2 and message in said, said


@pytest.mark.parametrize("place", ["text", "versions", "id", "origin"])
@pytest.mark.parametrize("value", [7, [], ["x"], "x", {"source": 1}])
def test_facts_of_another_type(runs, tmp_path, capsys, place, value):
    mine = tmp_path / "mine"
    shutil.copytree(runs / "mine", mine)
    config = json.loads((mine / "config.json").read_text())
    config[place] = value
    (mine / "config.json").write_text(json.dumps(config))
    code, said = told(capsys, "info", mine)
    assert code == 2 and "config.json" in said
    del config["sha256"]
    (mine / "config.json").write_text(json.dumps(config))
    for command in (["info"], ["sample"], ["train", "--resume"]):
        told(capsys, *command, mine)


def test_an_edited_configuration_says_how_to_keep_the_change(runs, tmp_path, capsys):
    mine = tmp_path / "mine"
    shutil.copytree(runs / "mine", mine)
    config = json.loads((mine / "config.json").read_text())
    config["options"]["log_every"] = 3
    (mine / "config.json").write_text(json.dumps(config))
    code, said = told(capsys, "info", mine)
    assert code == 2 and 'delete the last entry of it, "sha256"' in said
    del config["sha256"]
    (mine / "config.json").write_text(json.dumps(config))
    assert told(capsys, "info", mine)[0] == 0


def test_metrics_that_are_half_written_or_damaged(runs, tmp_path, capsys):
    mine = tmp_path / "mine"
    shutil.copytree(runs / "mine", mine)
    whole = (mine / "metrics.jsonl").read_bytes()
    (mine / "metrics.jsonl").write_bytes(whole[:-9])
    code, said = told(capsys, "info", mine)
    assert code == 0 and "10 of 12" in said and "damaged" not in said
    lines = whole.split(b"\n")
    lines[1], lines[3] = b'{"step": "4"}', b"\xff\x00"
    (mine / "metrics.jsonl").write_bytes(b"\n".join([*lines[:5], lines[4], *lines[5:]]))
    code, said = told(capsys, "info", mine)
    assert code == 0 and "12 of 12" in said
    assert "metrics.jsonl: lines 2, 4, 6 are damaged and passed over." in said
    code, said = told(capsys, "train", "--resume", mine, "--steps", 16)
    assert code == 0 and "lines 2, 4, 6 are damaged and passed over" in said


def test_metrics_that_were_cut_go_on(runs, tmp_path, capsys):
    mine = tmp_path / "mine"
    shutil.copytree(runs / "mine", mine)
    lines = (mine / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (mine / "metrics.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:7])
    (mine / "samples.txt").unlink()
    code, said = told(capsys, "train", "--resume", mine, "--steps", 16)
    assert code == 0
    for name in ("metrics.jsonl", "samples.txt"):
        assert f"{name} is not as it was at step 12, the last checkpoint" in said
    after = (mine / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in after] == [2, 4, 6, 14, 16]


def test_a_checkpoint_that_is_gone(runs, tmp_path, capsys):
    mine = tmp_path / "mine"
    shutil.copytree(runs / "mine", mine)
    (mine / "best.safetensors").unlink()
    code, said = told(capsys, "sample", mine)
    assert code == 2 and "best.safetensors is missing" in said
    assert "--checkpoint last" in said
    assert told(capsys, "sample", mine, "--checkpoint", "last")[0] == 0
    code, said = told(capsys, "train", "--resume", mine, "--steps", 16)
    assert code == 2 and "best.safetensors is missing, the weights of step" in said
    shutil.copy(runs / "mine" / "best.safetensors", mine)
    (mine / "checkpoint.safetensors").unlink()
    before = {p.name: p.read_bytes() for p in mine.iterdir()}
    code, said = told(capsys, "train", "--resume", mine, "--steps", 16)
    assert code == 2 and "checkpoint.safetensors is missing, but the run had" in said
    assert {p.name: p.read_bytes() for p in mine.iterdir()} == before


def test_files_of_another_run(runs, tmp_path, capsys):
    for name, message in (
        ("best.safetensors", "belongs to another run"),
        ("checkpoint.safetensors", "belongs to another run"),
        ("config.json", "belongs to another run"),
    ):
        mine = tmp_path / name
        shutil.copytree(runs / "mine", mine)
        shutil.copy(runs / "other" / name, mine)
        code, said = told(capsys, "train", "--resume", mine, "--steps", 16)
        assert code == 2 and message in said, said
    # a vocabulary of as many symbols would give the tokens other meanings
    vocabulary = json.loads((mine / "vocab.json").read_text())
    vocabulary["symbols"][0], vocabulary["symbols"][1] = vocabulary["symbols"][1::-1]
    (mine / "vocab.json").write_text(json.dumps(vocabulary))
    code, said = told(capsys, "sample", mine)
    assert code == 2 and "its symbols are not those of" in said
