"""How good is a recurrent character model after ten minutes, and after thirty, of CPU?

Source: the 1.1 MB text of A. Karpathy's char-rnn, on which small language models are
compared by their loss on the last 10 % of it: 4.174 nats for a uniform guess, 1.669 for
an interpolated 5-gram, 1.88 for nanoGPT after three minutes on a CPU, 1.4697 for
nanoGPT's best on an A100 (both from its README).

The model is trained by the command, `jrnn train`, on the first 90 % for as many steps
as the preset says, and measured once, at the end, on the last 10 %: there is no
validation part, so nothing about the run depends on the text that it is measured on.
The settings of the presets were chosen on the last tenth of the first 90 %.

    python -m experiments.tiny_shakespeare --text tinyshakespeare.txt
    python -m experiments.tiny_shakespeare --text tinyshakespeare.txt --preset best

Expect below 1.48 nats in ten minutes (`standard`) and below 1.4697 in thirty (`best`)
on two CPU cores.
"""

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments import _results
from jrnn.cli import main as jrnn
from jrnn.cli.data import load_data
from jrnn.cli.run import load_trained
from jrnn.train import evaluate, read


@dataclass(frozen=True)
class Config:
    """One run of the command."""

    text: Path
    """The text to train on; tiny Shakespeare for the published numbers."""
    preset: str = "standard"
    """Preset of `jrnn train`."""
    options: tuple[str, ...] = ()
    """Further options of `jrnn train`."""
    out: Path | None = None
    """Directory to keep the run in; a temporary one if not given."""


SMOKE = ("--hidden-size", "8", "--steps", "4", "--batch-size", "2", "--log-every", "2")


@dataclass(frozen=True)
class Result:
    """What the run came to."""

    held_out_nats: float
    held_out_bits: float
    perplexity: float
    held_out_characters: int
    training_characters: int
    steps: int
    seconds: float  # the whole command, from reading the text to the last sample


def run(cfg: Config) -> Result:
    """Train with the command, then measure the last tenth as one piece."""
    with tempfile.TemporaryDirectory() as folder:
        out = cfg.out or Path(folder) / "run"
        words = ["train", str(cfg.text), "--preset", cfg.preset, "--out", str(out)]
        started = time.monotonic()
        code = jrnn([*words, "--split", "0.9", "0", "0.1", *cfg.options])
        seconds = time.monotonic() - started
        if code:
            raise SystemExit(code)
        trained = load_trained(out, "last")
        data = load_data(trained.config, trained.vocabulary)
        cell, params = trained.model.evaluate, trained.params
        nats, count = evaluate(cell, params, data.test, rows=1)
        steps = read(out / "checkpoint.safetensors")[1]["step"]
    nats = float(nats)
    return Result(
        held_out_nats=nats,
        held_out_bits=nats / math.log(2),
        perplexity=math.exp(nats),
        held_out_characters=count,
        training_characters=len(data.train),
        steps=steps,
        seconds=seconds,
    )


def main(cfg: Config) -> None:
    """Run and record."""
    result = run(cfg)
    print(result)
    _results.save(f"tiny_shakespeare_{cfg.preset}", cfg, vars(result))


if __name__ == "__main__":
    main(tyro.cli(Config))
