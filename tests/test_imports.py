"""Which module imports which: no circles, not even in functions; no name twice.

Read from the source. Blocks under TYPE_CHECKING are left out, since they never run.
What `jrnn/__init__.py` imports on first use is named in a table, not in an import, so
it is no edge of the graph. A package counts as what its `__init__.py` imports.
"""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import jrnn

ROOT = Path(jrnn.__file__).parents[1]
FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda


def modules(root, package="jrnn"):
    """The syntax tree of every module of a package, by name."""
    trees = {}
    for path in sorted((root / package).rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        trees[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return trees


def nodes(tree, functions=True):
    """All nodes below one, but for those that are there for type checkers."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from nodes(other, functions)
        elif functions or not isinstance(child, FUNCTIONS):
            yield child
            yield from nodes(child, functions)


def imported(tree, names, functions=True):
    """Those modules among `names` that a tree imports, once for each time it does."""
    for node in nodes(tree, functions):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found = whole if whole in names else node.module
                if found in names:
                    yield found
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)


def graph(trees):
    return {name: set(imported(tree, trees)) for name, tree in trees.items()}


TREES = modules(ROOT)
GRAPH = graph(TREES)


def test_there_is_no_circle():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_no_function_imports_a_module_of_the_library():
    """It would gain little: all commands together load in 0.13 s, `jrnn` in 0.8 s."""
    for name, tree in TREES.items():
        at_once = Counter(imported(tree, TREES, functions=False))
        assert not Counter(imported(tree, TREES)) - at_once, name


def test_private_modules_stand_on_private_ones_and_the_core():
    """Of the public modules they import only `jrnn.cell` and what is in `jrnn.scan`."""
    private = lambda name: any(part.startswith("_") for part in name.split("."))
    core = lambda name: name == "jrnn.cell" or name.startswith("jrnn.scan")
    for name, found in GRAPH.items():
        if private(name) and not name.endswith("__main__"):
            assert {n for n in found if not private(n) and not core(n)} == set(), name


def test_a_public_class_name_names_one_class():
    classes = Counter(
        node.name
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, times in classes.items() if times > 1] == []


@pytest.mark.parametrize(
    ("first", "circle"),
    [
        ("from p import b", True),
        ("from p.b import y", True),
        ("import p.b", True),
        ("def f():\n    from p.b import y", True),
        ("class A:\n    def f(self):\n        import p.b", True),
        ("if True:\n    import p.b", True),
        ("import typing\nif typing.TYPE_CHECKING:\n    import p.b", False),
        ("from typing import *\nif TYPE_CHECKING:\n    1\nelse:\n    import p.b", True),
        ("from p import x, b_\nimport b, q.b", False),
    ],
)
def test_a_circle_is_found_wherever_it_is(tmp_path, first, circle):
    (tmp_path / "p").mkdir()
    for name, source in (
        ("__init__", "x = 1"),
        ("a", first),
        ("b", "from p import c"),
        ("c", "from p.a import z"),
    ):
        (tmp_path / "p" / f"{name}.py").write_text(source)
    edges = graph(modules(tmp_path, "p"))
    assert edges["p.b"] == {"p.c"} and edges["p.c"] == {"p.a"}
    sorter = TopologicalSorter(edges)
    if circle:
        with pytest.raises(CycleError):
            sorter.prepare()
    else:
        sorter.prepare()
