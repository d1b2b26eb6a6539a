"""The experiment on the speed of training on sequences of unequal length."""

import importlib
import json

import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401

from experiments import _results


@pytest.mark.slow
def test_both_libraries_train_the_same_model(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    speed = importlib.import_module("experiments.sequence_speed")
    result = speed.run(speed.SMOKE)
    assert result.losses["jrnn"] == pytest.approx(result.losses["PyTorch"], rel=1e-5)
    assert len(result.seconds) == 3 and 0 <= result.padding < 1
    assert all(t.shape == (2,) and (t > 0).all() for t in result.seconds.values())
    save = lambda *args: _results.save(*args, folder=tmp_path)
    monkeypatch.setattr(speed, "save", save)
    monkeypatch.setattr(speed, "run", lambda cfg: result)
    speed.main(speed.SMOKE)
    saved = json.loads((tmp_path / "sequence_speed.json").read_text())["metrics"]
    found = saved["speed"]["jrnn"]
    assert (
        found["minimum over that of jrnn"]
        == found["median over jrnn in the round"]
        == 1
    )
    assert np.isfinite(found["median, microseconds a step"])


def test_the_committed_losses_are_equal_and_memory_is_that_of_the_data():
    content = (_results.FOLDER / "sequence_speed.json").read_text("utf-8")
    metrics = json.loads(content)["metrics"]
    losses = metrics["loss_of_the_same_weights"]
    assert losses["jrnn"] == pytest.approx(losses["PyTorch"], abs=2e-4)
    assert metrics["first_batch"]["seconds"] < 5
    assert 1 <= metrics["first_batch"]["memory over data"] < 1.5
    assert metrics["padding"] < 0.1 and metrics["shapes"] <= 16
