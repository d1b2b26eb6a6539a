"""Damaged files: seen, named, and never a traceback or a silent success."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jrnn.train import CheckpointError, load, read, save

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
