"""`jrnn sample`: text from a trained run, streamed to the terminal."""

import math
import sys

import jax

from jrnn.cli.config import Sample
from jrnn.cli.errors import UserError
from jrnn.cli.generation import (
    Settings,
    default_prime,
    generate_texts,
    stream_text,
)
from jrnn.cli.loaded import load_model
from jrnn.cli.notices import of_sampling, warn
from jrnn.cli.options import option


def sample(options: Sample) -> None:
    """Run the command."""
    _check(options)
    trained = load_model(options.run, options.checkpoint)
    warn(of_sampling(options, trained.vocabulary))
    start = options.prime or default_prime(trained.vocabulary)
    settings = Settings(
        options.temperature,
        options.greedy or options.temperature == 0,
        options.top_k,
        options.top_p,
        options.stop,
    )
    model = (trained.model.evaluate, trained.params, trained.vocabulary)
    key = jax.random.key(options.seed)
    if options.num_samples == 1:
        pieces = stream_text(*model, key, options.length, start, settings)
        _write(options.prime)
        for piece in pieces:
            _write(piece)
        _write("\n")
        return
    keys = jax.random.split(key, options.num_samples)
    texts = generate_texts(*model, keys, options.length, start, settings)
    for number, text in enumerate(texts, start=1):
        _write(f"--- sample {number} ---\n{options.prime}{text}\n")


def _write(text: str) -> None:
    # a lone surrogate or a character the terminal lacks must not end the program
    data = text.encode("utf-8", "replace")
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _check(options: Sample) -> None:
    for name in ("length", "num_samples"):
        value = getattr(options, name)
        if not value > 0:
            raise UserError(f"{option(name)} must be > 0, got {value}.")
    if not 0 <= options.temperature < math.inf:
        raise UserError(
            f"--temperature must be at least 0 and finite, got {options.temperature}."
        )
    if options.top_k is not None and options.top_k < 1:
        raise UserError(f"--top-k must be at least 1, got {options.top_k}.")
    if options.top_p is not None and not 0 < options.top_p <= 1:
        raise UserError(f"--top-p must be above 0 and at most 1, got {options.top_p}.")
