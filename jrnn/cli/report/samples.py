"""What a run wrote on its way, by step: the pieces of samples.txt."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jrnn.cli.report.curves import thinned

LONGEST = 4000  # characters of a sample
MOST = 100  # samples of a run
_HEAD = re.compile(r"^--- step (\d{1,18}), loss (\S{1,24}) ---\n", re.MULTILINE)


def read_samples(path: Path, steps: Collection[int]) -> list[dict[str, Any]]:
    """The samples of a run, in the order of their steps.

    A sample may hold a line like the one above each sample: such a line counts only
    where it names a log step later than the one before.

    Args:
        path: samples.txt, which may be missing.
        steps: the log steps of the run.
    """
    if not path.exists():
        return []
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    heads, last = [], 0
    for head in _HEAD.finditer(text):
        if last < int(head[1]) and int(head[1]) in steps:
            heads.append(head)
            last = int(head[1])
    ends = [head.start() for head in heads[1:]] + [len(text)]
    found = [
        {"step": int(head[1]), "text": _cut(text[head.end() : end])}
        for head, end in zip(heads, ends, strict=True)
    ]
    return thinned(found, MOST)


def _cut(text: str) -> str:
    text = text.removesuffix("\n").removesuffix("\n")
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
