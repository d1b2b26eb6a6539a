"""The cheapest set of values to store, as a minimum cut.

References:
    Ford, Fulkerson (1956), Maximal flow through a network, doi:10.4153/CJM-1956-045-5.
    Dinitz (1970), Algorithm for solution of a problem of maximum flow in networks with
    power estimation, Soviet Mathematics Doklady 11.
"""

import itertools
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from jrnn._programs.program import Equation, Variable, variables

_UNBOUNDED = 1 << 62
_SOURCE, _SINK = "source", "sink"
_Graph = dict[object, dict[object, int]]


def min_cut(
    eqns: Sequence[Equation],
    wanted: Iterable[Variable],
    recompute: Sequence[float | None],
    store: Mapping[Variable, int],
    known: Collection[Variable],
) -> list[Variable]:
    """The values to store so that `wanted` can be computed again from them alone.

    Args:
        eqns: the equations between what there is at first and what is wanted.
        wanted: the values that must be had again.
        recompute: for each equation the price of evaluating it a second time, as a
            share of the price of storing what it makes; None where that may not be.
        store: the price of storing each value.
        known: values that are there in any case, such as weights.

    Returns:
        The set of least total price, as near to the beginning as can be, in order.
    """
    graph: _Graph = defaultdict(lambda: defaultdict(int))
    order = _connect(graph, eqns, recompute, store, known)
    for v in wanted:
        if v not in known:
            graph[v, "out"][_SINK] = _UNBOUNDED
            order.setdefault(v)
    produced = {o for eqn in eqns for o in eqn.outvars}
    for v in order:
        graph[v, "in"][v, "out"] = store[v]
        if v not in produced:
            graph[_SOURCE][v, "in"] = _UNBOUNDED
    reached = _saturate(graph)
    return [v for v in order if (v, "in") in reached and (v, "out") not in reached]


def _connect(
    graph: _Graph,
    eqns: Sequence[Equation],
    recompute: Sequence[float | None],
    store: Mapping[Variable, int],
    known: Collection[Variable],
) -> dict[Variable, None]:
    """Add an edge for every dependence; returns the variables in order."""
    order: dict[Variable, None] = {}
    for eqn, price in zip(eqns, recompute, strict=True):
        inputs = [v for v in variables(eqn.invars) if v not in known]
        outputs = variables(eqn.outvars)
        order |= dict.fromkeys(inputs + outputs)
        for v in outputs:
            if price is None:
                graph[_SOURCE][v, "in"] = _UNBOUNDED
                continue
            graph[_SOURCE][v, "in"] = int(price * store[v])
            for u in inputs:
                graph[u, "out"][v, "in"] = _UNBOUNDED
    return order


def _saturate(graph: _Graph) -> set[object]:
    """Push as much flow as there is room for; returns what can still be reached.

    Along all shortest paths at once, then along all of the next length (Dinitz, 1970):
    the number of rounds hardly grows with the graph.
    """
    while True:
        level = _levels(graph)
        if _SINK not in level:
            return set(level)
        _fill(graph, level)


def _levels(graph: _Graph) -> dict[object, int]:
    """How many edges with room each node is away from the source."""
    level: dict[object, int] = {_SOURCE: 0}
    queue: deque[object] = deque([_SOURCE])
    while queue:
        node = queue.popleft()
        for neighbour, room in graph[node].items():
            if room > 0 and neighbour not in level:
                level[neighbour] = level[node] + 1
                queue.append(neighbour)
    return level


def _fill(graph: _Graph, level: dict[object, int]) -> None:
    """Fill all paths on which each edge leads one level further from the source."""
    onward = {node: list(graph[node]) for node in level}  # edges not found full yet
    path: list[object] = [_SOURCE]
    while path:
        node = path[-1]
        if node == _SINK:
            path = _push(graph, path)
            continue
        ways = onward[node]
        while ways and not _leads_on(graph, level, node, ways[-1]):
            ways.pop()
        if ways:
            path.append(ways[-1])
        else:
            level[node] = -1  # leads nowhere any more
            path.pop()


def _leads_on(
    graph: _Graph, level: dict[object, int], node: object, neighbour: object
) -> bool:
    further = level.get(neighbour) == level[node] + 1
    return further and graph[node][neighbour] > 0


def _push(graph: _Graph, path: list[object]) -> list[object]:
    """Fill a path to the sink; returns it up to its first full edge."""
    edges = list(itertools.pairwise(path))
    room = min(graph[a][b] for a, b in edges)
    for a, b in edges:
        graph[a][b] -= room
        graph[b][a] += room
    first = next(i for i, (a, b) in enumerate(edges) if graph[a][b] == 0)
    return path[: first + 1]
