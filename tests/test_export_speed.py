"""The experiment on the speed of exported models."""

import importlib
import json
import shutil

import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401

from experiments import _results


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_all_forms_of_a_model_are_compared(monkeypatch, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    speed = importlib.import_module("experiments.export_speed")
    result = speed.run(speed.SMOKE)
    differences = result.difference["GRU 6"]
    assert max(v for n, v in differences.items() if "int8" not in n) < 1e-6
    assert 0 < differences["C, int8"] < 0.05
    for way in speed.ONE, speed.ALL:
        times = result.seconds["GRU 6"][way]
        assert times.keys() == differences.keys()
        assert all(t.shape == (2,) and (t > 0).all() for t in times.values())
    save = lambda *args: _results.save(*args, folder=tmp_path)
    monkeypatch.setattr(speed, "save", save)
    speed.main(speed.SMOKE)
    saved = json.loads((tmp_path / "export_speed.json").read_text())["metrics"]
    found = saved["GRU 6, one step a call"]["jrnn"]
    assert found["minimum"] <= found["median"] and found["minimum, of jrnn's"] == 1
    assert np.isfinite(found["median, of jrnn's in the round"])


def test_the_committed_outputs_are_equal():
    content = (_results.FOLDER / "export_speed.json").read_text("utf-8")
    metrics = json.loads(content)["metrics"]
    for differences in metrics["largest_difference_from_jrnn"].values():
        assert len(differences) == 5
        assert all(d < 2e-6 for n, d in differences.items() if "int8" not in n)
