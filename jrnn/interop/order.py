"""The order of layers, where names do not say it: each reads what one before wrote."""

from collections.abc import Sequence
from typing import Any, NamedTuple

TOKENS = None  # what an embedding reads


class Part(NamedTuple):
    """A layer of another library, as far as its place among others goes."""

    name: str  # of its weights, "" for the only one
    kind: str
    reads: int | None  # features, or TOKENS
    writes: int | None
    form: Any = None  # the rest, which the library's own file knows

    def told(self) -> str:
        """The layer in words."""
        if self.form == "weightless":
            return f"{self.name} ({self.kind})"
        reads = "tokens" if self.reads is TOKENS else self.reads
        return f"{self.name or self.kind} ({reads} to {self.writes})"


def in_order(
    function: str, candidates: Sequence[Sequence[Part]], known: bool
) -> list[Part]:
    """The one order in which each layer reads what the one before writes.

    Args:
        function: the public function, for messages.
        candidates: for each layer what it may be.
        known: whether the layers stand in their order already.

    Returns:
        One part of each.

    Raises:
        ValueError: no order or more than one; the message names the argument `layers`.
    """
    found = list(_chains(list(candidates), known, []))
    if not found:
        told = ", ".join(" or ".join(p.told() for p in parts) for parts in candidates)
        order = "they do not fit together in this order" if known else "no order fits"
        raise ValueError(
            f"{function}: each layer must read what the one before it writes, but of "
            f"{told} {order}. Pass the entries of these layers alone, or say which "
            "there are and in which order: layers={name: kind}."
        )
    if any(chain != found[0] for chain in found):
        raise ValueError(
            f"{function}: sizes allow for more than one model: "
            f"{' or '.join(_as_argument(chain) for chain in found[:2])}. Pass the one "
            "that is meant."
        )
    return found[0]


def _as_argument(chain: list[Part]) -> str:
    return f"layers={ ({part.name: part.kind for part in chain}) }"


def _chains(left: list[Sequence[Part]], known: bool, chain: list[Part]):
    """All ways to go on with a chain, up to a few."""
    if not left:
        yield chain
        return
    found = 0
    for n, parts in enumerate(left[:1] if known else left):
        for part in parts:
            if _fits(chain, part):
                rest = left[:n] + left[n + 1 :]
                for whole in _chains(rest, known, [*chain, _sized(chain, part)]):
                    yield whole
                    found += 1
                    if found > 1:
                        return


def _fits(chain: list[Part], part: Part) -> bool:
    if not chain or part.form == "weightless":
        return True
    return part.reads is not TOKENS and chain[-1].writes in (part.reads, None)


def _sized(chain: list[Part], part: Part) -> Part:
    """A layer without weights writes as much as it reads."""
    if part.form != "weightless" or not chain:
        return part
    return part._replace(reads=chain[-1].writes, writes=chain[-1].writes)
