"""Folders for the Hugging Face Hub."""

import json
import re

import jax
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_export import NUMBERS, STACKS, TOKEN, WORDS, ramp, sequences, weights

import jrnn
from jrnn import text
from jrnn.export import to_hf

NAMES = {"model.safetensors", "config.json", "README.md"}


@pytest.mark.parametrize("name", ["gru of embed", "tanh"])
def test_jrnn_reads_what_was_written(tmp_path, name):
    model, x = STACKS[name]
    params, vocabulary = weights(model, x), WORDS if x is TOKEN else None
    file = to_hf(tmp_path / "net", model, params, x, vocabulary=vocabulary)
    assert {p.name for p in file.path.iterdir()} == NAMES
    for part in NAMES:
        assert file.sizes[part] == (file.path / part).stat().st_size
    again, same, words = jrnn.load(file.path / "model.safetensors")
    assert words == vocabulary
    xs = sequences(x, 7)
    np.testing.assert_array_equal(
        jrnn.unroll(again, same, xs)[1], jrnn.unroll(model, params, xs)[1]
    )
    config = json.loads((file.path / "config.json").read_text("utf-8"))
    assert config["model_type"] == "jrnn"
    assert config["jrnn_input"] == ("int32[]" if vocabulary else "float32[3]")
    assert config["jrnn_model"]["factory"] == "stack"
    told = config["jrnn_vocabulary"]
    assert told is None if vocabulary is None else text.from_json(told) == vocabulary


def test_the_card_says_what_was_given_and_no_more(tmp_path):
    model, x = STACKS["gru of embed"]
    params = weights(model, x)
    measured = {"test loss": "1.25 nats", "a|b": "two\nlines | of it"}
    training = {"steps": "2500"}
    given = {"measured": measured, "training": training, "vocabulary": WORDS}
    card = (
        to_hf(tmp_path / "a", model, params, x, **given).path / "README.md"
    ).read_text()
    assert card.startswith("---\nlibrary_name: jrnn\npipeline_tag: text-generation\n")
    assert "| test loss | 1.25 nats |\n| a\\|b | two lines \\| of it |\n" in card
    assert "## Training\n\n| | |\n|---|---|\n| steps | 2500 |\n" in card
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert f"| parameters | {number} |" in card and "| symbols | 8 (char) |" in card
    words = (
        "stack(embed(vocab_size=8, size=3), stack(gru(hidden_size=5, reset='after'), "
        "irnn(hidden_size=4, scale=0.5)), linear(output_size=8))"
    )
    assert f"| model | `{words}` |" in card
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["training"] == training
    model, x = STACKS["relu"]
    bare = to_hf(tmp_path / "b", model, weights(model, x), x).path / "README.md"
    content = bare.read_text()
    assert "No figure was given." in content and "## Training" not in content
    assert "pipeline_tag" not in content and "symbols" not in content
    # no number that is not one of the model
    body = content.partition("## Use")[0]
    assert set(re.findall(r"\d+", body)) == {"5", "0", "45", "32", "3"}


def test_a_foreign_folder_is_left_alone(tmp_path):
    given = jrnn.gru(4), weights(jrnn.gru(4), NUMBERS), NUMBERS
    (tmp_path / "notes.txt").write_text("mine")
    to_hf(tmp_path, *given)
    assert {p.name for p in tmp_path.iterdir()} == NAMES | {"notes.txt"}
    before = (tmp_path / "README.md").read_bytes()
    with pytest.raises(FileExistsError, match=r"model.safetensors exists. Pass over"):
        to_hf(tmp_path, *given)
    to_hf(tmp_path, *given, overwrite=True, measured={"loss": "2"})
    assert (tmp_path / "README.md").read_bytes() != before
    for content in '{"model_type": "llama"}', "[]", "{", "\\ud800":
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(FileExistsError, match="is not that of an exported model"):
            to_hf(tmp_path, *given, overwrite=True)
        assert (tmp_path / "config.json").read_text() == content


def test_a_file_of_that_name(tmp_path):
    given = jrnn.gru(4), weights(jrnn.gru(4), NUMBERS), NUMBERS
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FileExistsError, match=r"is a file. Name a folder"):
        to_hf(tmp_path / "a", *given, overwrite=True)
    assert (tmp_path / "a").read_text() == "mine"


def test_a_cell_without_a_name_is_refused_by_its_place(tmp_path):
    model = jrnn.stack(ramp(3), jrnn.activation(lambda y: y["h"]))
    params = weights(model, NUMBERS)
    message = r"to_hf: model.cells\[0\].* a cell whose functions have no name"
    with pytest.raises(TypeError, match=message):
        to_hf(tmp_path / "a", model, params, NUMBERS)
    assert not (tmp_path / "a").exists()
