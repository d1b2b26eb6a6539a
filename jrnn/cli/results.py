"""What a run came to: results.json, and when a loss is that of a diverged run."""

import math
from typing import Any

from jrnn.cli.errors import UserError
from jrnn.cli.run import RunDirectory
from jrnn.cli.stored import check_seal, is_number, read_json, write_sealed

FORMAT = "jrnn-results-1"
BITS = 1 / math.log(2)
FEW = 500  # tokens: the mean of a loss that varies by 2 nats is then known to 0.1


def diverged(nats: float, vocab_size: int) -> bool:
    """Whether a loss is no number, infinite, or beyond what learning passes through.

    A uniform guess has ln V nats. Weights as they are drawn have little more, and a
    large learning rate can double it for a while; a mean of four times as much is that
    of weights which have grown without bound.
    """
    return beyond(nats, math.log(vocab_size))


def beyond(loss: float, guess: float) -> bool:
    """Whether a loss is no number, or far above that of a guess without learning."""
    return not loss <= 4 * max(1.0, guess)


def measured(nats: float, tokens: int | None = None) -> dict[str, Any]:
    """A loss as results.json holds it; null where a number is none or too large."""
    nats = float(nats)
    known = nats if math.isfinite(nats) else None
    return {
        "nats": known,
        "bits": None if known is None else known * BITS,
        "perplexity": math.exp(nats) if known is not None and known < 709 else None,
        **({} if tokens is None else {"tokens": tokens}),
    }


def write_results(
    run: RunDirectory, status: str, step: int, parts: dict[str, Any]
) -> None:
    """Write results.json.

    Args:
        run: where.
        status: finished, stopped early or diverged.
        step: the last one.
        parts: losses by name, from `measured`, and the step whose weights they are of.
    """
    write_sealed(
        run.results, {"format": FORMAT, "status": status, "step": step, **parts}
    )


def read_results(run: RunDirectory) -> dict[str, Any] | None:
    """What results.json holds, if there is one; `UserError` where it is damaged."""
    if not run.results.exists():
        return None
    data = read_json(run.results)
    fits = isinstance(data, dict) and data.get("format") == FORMAT
    fits = (
        fits and isinstance(data.get("status"), str) and type(data.get("step")) is int
    )
    for name in ("training", "validation", "test"):
        part = data.get(name, {}) if fits else None
        fits = isinstance(part, dict) and all(
            value is None or is_number(value) for value in part.values()
        )
    if not fits:
        raise UserError(f"{run.results} is damaged: these are no results.")
    check_seal(run.results, data)
    return data


def loss_of(part: dict[str, Any]) -> float | None:
    """The loss of a part of results.json: nats of a language model, or another's."""
    return part.get("nats", part.get("loss"))


def caution(valid: int, test: int, unit: str) -> str | None:
    """What to say of held-out parts, of so many tokens, too short to judge by."""
    parts = {"validation": valid, "test": test}
    short = {name: tokens for name, tokens in parts.items() if 1 < tokens < FEW}
    if not short:
        return None
    error = 2 / math.sqrt(min(short.values()))
    which = " and ".join(f"{tokens} for {name}" for name, tokens in short.items())
    return (
        f"Caution: only {which}, in {unit}: a loss measured on so few can be off by "
        f"{error:.1f} nats."
    )
