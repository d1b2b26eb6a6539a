"""times.jsonl: how long a run has trained at each of its log steps.

A file of its own: it is the only one of a run that another run of the same options does
not repeat. Nothing but reports depends on it, so a line that is damaged is passed over.
"""

import json
from pathlib import Path
from typing import Any

from jrnn.cli.stored import is_number
from jrnn.train.checkpoint import write_atomically


def read_times(path: Path) -> dict[int, float]:
    """Seconds of training by step, both rising; none of an older run.

    Evaluations and samples on the way are counted, compiling at the beginning is not.
    """
    times, last = {}, 0.0
    for text in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        step, seconds = _step_and_seconds(text)
        if step > max(times, default=0) and seconds >= last:
            times[step] = last = seconds
    return times


def time_line(step: int, seconds: float) -> str:
    """A line of times.jsonl."""
    return json.dumps({"step": step, "seconds": round(seconds, 3)}) + "\n"


def seconds_until(path: Path, step: int) -> float:
    """Seconds that a run had trained at a step, and forget what came later."""
    times = {n: seconds for n, seconds in read_times(path).items() if n <= step}
    if path.exists():
        lines = "".join(time_line(*pair) for pair in times.items())
        write_atomically(path, lines.encode())
    return max(times.values(), default=0.0)


def _step_and_seconds(text: bytes) -> tuple[int, float]:
    """What a line says; step 0, which none has, where it says nothing."""
    try:
        line: Any = json.loads(text.decode("utf-8"))
        step, seconds = line["step"], line["seconds"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0, 0.0
    good = type(step) is int and is_number(seconds)
    return (step, float(seconds)) if good else (0, 0.0)
