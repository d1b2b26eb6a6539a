"""Experiments that no other file tests, in their smallest form."""

import dataclasses
import importlib
import math

import jax


def test_tiny_shakespeare_measures_the_held_out_tenth(tmp_path):
    experiment = importlib.import_module("experiments.tiny_shakespeare")
    text = tmp_path / "text.txt"
    text.write_text("to be, or not to be: that is the question\n" * 40)
    cfg = experiment.Config(text=text, preset="quick", options=experiment.SMOKE)
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        result = experiment.run(cfg)
        named = dataclasses.replace(cfg, out=tmp_path / "run")
        again = experiment.run(named)
    assert result.held_out_nats == again.held_out_nats
    assert result.steps == 4 and (tmp_path / "run" / "loss.png").exists()
    assert result.held_out_characters == round(0.1 * 40 * 42) - 1
    assert 0 < result.held_out_nats < 2 * math.log(30)
    assert result.held_out_bits == result.held_out_nats / math.log(2)
