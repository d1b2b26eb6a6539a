"""The files of JSON in a run: written whole, and read so that damage is seen."""

import json
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from jrnn.cli.errors import UserError
from jrnn.files.runs import digest
from jrnn.train.checkpoint import write_atomically

SEAL = "sha256"  # the last entry of a sealed file: of everything before it


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file, whole or not at all."""
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode("utf-8", "surrogatepass"))


def write_sealed(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON file with the digest of its content as its last entry."""
    write_json(path, {**data, SEAL: digest(data)})


def read_json(path: Path) -> Any:
    """The content of a JSON file of a run."""
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is not a run.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}.") from error


def check_seal(path: Path, data: dict[str, Any]) -> None:
    """Raise `UserError` where a sealed file has changed; one without a seal passes."""
    content = {name: value for name, value in data.items() if name != SEAL}
    if SEAL in data and data[SEAL] != digest(content):
        raise UserError(
            f"{path} is damaged, or was edited: it is not as it was written.\n"
            f'If the change is meant to be, delete the last entry of it, "{SEAL}".'
        )


class MetricsLines(NamedTuple):
    """What metrics.jsonl holds."""

    lines: list[dict[str, Any]]  # with rising steps
    damaged: list[int]  # numbers of the lines that are none, from 1

    def note(self) -> str | None:
        """What to say of damaged lines, if there are any."""
        if not self.damaged:
            return None
        numbers = ", ".join(map(str, self.damaged[:5]))
        more = ", ..." if len(self.damaged) > 5 else ""
        s, are = ("s", "are") if len(self.damaged) > 1 else ("", "is")
        return f"metrics.jsonl: line{s} {numbers}{more} {are} damaged and passed over."


def read_metrics(path: Path) -> MetricsLines:
    """The lines of metrics.jsonl, of a run that may be going on or was killed.

    A last line that is not ended yet is none. A line that is no metrics, or repeats a
    step, is damaged. A number that was changed into another number is not seen: nothing
    but figures and tables depends on it.
    """
    lines, damaged, step = [], [], 0
    whole = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    for number, text in enumerate(whole, start=1):
        try:
            line = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError):
            line = None
        if not _is_metrics(line) or line["step"] <= step:
            damaged.append(number)
            continue
        step = line["step"]
        lines.append(line)
    return MetricsLines(lines, damaged)


def is_number(value: Any) -> bool:
    """Whether this is a number that can be computed with; NaN and infinity are."""
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _is_metrics(line: Any) -> TypeGuard[dict[str, Any]]:
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return False
    known = "step", "loss", "grad_norm", "clipped", "epoch", "valid_loss"
    return "loss" in line and all(is_number(line[n]) for n in known if n in line)
