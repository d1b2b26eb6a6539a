"""The public interface: names, docstrings, layers of imports, layout of parameters."""

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from cases import CASES, NOT_CELLS, H, I, O, V, example
from sequence_cases import SEQUENCES, sequence_example

import jrnn
from jrnn import dynamics, gradients, initializers, losses, optimizers

PACKAGE = Path(jrnn.__file__).parent
MODULES = {
    "jrnn": jrnn,
    "data": jrnn.data,
    "devices": jrnn.devices,
    "dynamics": dynamics,
    "gradients": gradients,
    "initializers": initializers,
    "interop": jrnn.interop,
    "losses": losses,
    "online": jrnn.online,
    "optimizers": optimizers,
    "parallel_time": jrnn.parallel_time,
}
# imported when they are first asked for, and what a module of theirs has
LATER = (
    "attention data devices export files generate inspect interop logs models online "
    "parallel_time seq2seq sweep tasks testing text train"
).split()
OF_FILES = {"load", "register", "save"}
FLOORS = {
    # DESIGN, section 4: a module imports only from floors below it, or its own
    "_activation": 0,
    "_check": 0,
    "_description": 0,
    "_norm": 0,
    "_programs": 0,
    "_replacements": 0,
    "_reversed": 0,
    "_rows": 0,
    "_setting": 0,
    "_state_vector": 0,
    "_stack": 0,
    "cell": 0,
    "initializers": 0,
    "losses": 0,
    "optimizers": 0,
    "scan": 0,
    "sequence": 0,
    "cells": 1,
    "layers": 1,
    "sequence_layers": 1,
    "unroll": 1,
    "attention": 2,
    "feedback": 2,
    "parallel_time": 2,
    "combine": 2,  # of cells in a stack with whole sequences, which uses masked
    "text": 2,
    "wrappers": 2,
    "_lock": 3,
    "_page": 3,
    "data": 3,
    "devices": 3,
    "dynamics": 3,
    "generate": 3,
    "logs": 3,
    "__main__": 5,
    "gradients": 3,
    "models": 3,
    "online": 3,
    "seq2seq": 3,
    "testing": 3,
    "train": 3,
    "display": 4,
    "export": 4,
    "files": 4,
    "inspect": 4,
    "interop": 4,
    "sweep": 4,
    "tasks": 4,
    "cli": 5,
}


def public():
    """(id, object) of every public callable."""
    for module_name, module in MODULES.items():
        names = getattr(module, "__all__", None) or [
            n
            for n, value in vars(module).items()
            if not n.startswith("_")
            and inspect.isroutine(value)
            and value.__module__ == module.__name__
        ]
        for name in names:
            value = getattr(module, name)
            if not inspect.ismodule(value):
                yield f"{module_name}.{name}", value


FUNCTIONS = {k: v for k, v in public() if inspect.isfunction(v)}
CLASSES = {k: v for k, v in public() if inspect.isclass(v)}


def test_all_is_sorted_complete_and_literal():
    assert jrnn.__all__ == sorted(jrnn.__all__)
    assert len(set(jrnn.__all__)) == len(jrnn.__all__)
    found = {
        name
        for name, value in vars(jrnn).items()
        if not name.startswith("_") and (not inspect.ismodule(value) or name in MODULES)
    }
    assert found - set(LATER) | OF_FILES == set(jrnn.__all__)


def test_every_public_name_of_the_core_is_exported():
    for name in (
        "cell cells combine feedback layers scan sequence sequence_layers unroll "
        "wrappers"
    ).split():
        module = importlib.import_module(f"jrnn.{name}")
        own = {
            n
            for n, value in vars(module).items()
            if (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__.startswith(module.__name__)
            and not n.startswith("_")
        }
        protocols = {"InitFn", "InitialCarryFn", "RunFn", "StepFn"}
        within = {"only_valid", "pools_over_time", "run_of"}  # for models of one's own
        assert own - protocols - within <= set(jrnn.__all__), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_has_every_part(name):
    doc = inspect.getdoc(FUNCTIONS[name])
    assert doc and doc.splitlines()[0].endswith((".", ":", ").")), name
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert ("Args:" in doc) == bool(parameters)
    for parameter in parameters:
        assert f"    {parameter}: " in doc or f"    *{parameter}: " in doc, parameter
    assert "Returns:" in doc
    assert "Example:" in doc and ">>> " in doc


@pytest.mark.parametrize("name", CLASSES)
def test_class_says_what_it_is(name):
    doc = inspect.getdoc(CLASSES[name])
    assert doc and not doc.startswith(f"{CLASSES[name].__name__}(")


def imports(path):
    """Modules that a file imports, inside functions too, but not for type checkers."""
    tree = ast.parse(path.read_text())
    never_run = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        and ast.unparse(block.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in never_run:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name


def sources():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def floor_and_name(path):
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert name in FLOORS, f"{name} has no floor: add it to DESIGN and to this table"
    return FLOORS[name], name


def test_modules_import_only_from_their_floor_and_below():
    for path in sources():
        floor, name = floor_and_name(path)
        for imported in imports(path):
            parts = imported.split(".")
            if parts[0] != "jrnn":
                continue
            targets = [p for p in parts[1:2] if p in FLOORS]
            assert targets or parts == ["jrnn", "__version__"], f"{path}: {imported}"
            for target in targets:
                assert target == name or FLOORS[target] <= floor, f"{path}: {imported}"


def test_the_core_imports_nothing_but_jax_and_optax():
    allowed = {
        "collections",
        "contextlib",
        "functools",
        "jax",
        "jrnn",
        "math",
        "numbers",
    }
    allowed |= {"optax", "typing"}
    allowed |= {
        "dataclasses",
        "difflib",
        "inspect",
        "itertools",
        "numpy",
        "operator",
        "weakref",
    }
    for path in sources():
        floor, name = floor_and_name(path)
        if floor < 3 and name != "text":
            roots = {imported.split(".")[0] for imported in imports(path)}
            assert roots <= allowed, path


def test_text_does_without_jax():
    for path in sources():
        if floor_and_name(path)[1] == "text":
            roots = {imported.split(".")[0] for imported in imports(path)}
            assert not roots & {"jax", "optax"}, path


def test_every_cell_factory_is_a_case():
    cases = *CASES.values(), *SEQUENCES.values()
    used = {name for case in cases for name in case.uses}
    functions = {n for n in jrnn.__all__ if inspect.isfunction(getattr(jrnn, n))}
    assert functions - used - NOT_CELLS == set()
    assert used <= set(jrnn.__all__)


def test_every_cell_has_an_oracle():
    """Of its own in NumPy, by hand or differentiated by complex steps."""
    files = ("test_oracles", "test_forward_oracles", "test_stable_oracles")
    tables = [importlib.import_module(file).CELLS for file in files]
    known = {name.partition("-")[0] for table in tables for name in table}
    cells = {n for n in jrnn.cells.__all__ if inspect.isfunction(getattr(jrnn, n))}
    # one joins inputs (tests/test_literature.py), the other is no cell
    assert cells - known == {"window", "ridge_readout"}


LAYOUT = {
    # what a checkpoint holds: a change here is a change of format (see CHANGELOG)
    "elman": {".w_x": (I, H), ".w_h": (H, H), ".b": (H,)},
    "irnn": {".w_x": (I, H), ".w_h": (H, H), ".b": (H,)},
    "lstm": {".w_x": (I, 4 * H), ".w_h": (H, 4 * H), ".b": (4 * H,)},
    "gru": {".w_x": (I, 3 * H), ".w_h": (H, 3 * H), ".b_x": (12,), ".b_h": (12,)},
    "gru-before": {
        ".w_x": (I, 3 * H),
        ".w_h": (H, 3 * H),
        ".b_x": (12,),
        ".b_h": (12,),
    },
    "cfc": {
        ".w_x": (I, 3),
        ".w_h": (H, 3),
        ".b": (3,),
        ".w_fgk": (3, 3 * H),
        ".b_fgk": (3 * H,),
    },
    "conv_gru": {".w_x": (3, I, 3 * O), ".w_h": (3, O, 3 * O), ".b": (3 * O,)},
    "conv_lstm": {
        ".w_x": (2, 2, I, 4 * O),
        ".w_h": (2, 2, O, 4 * O),
        ".b": (4 * O,),
    },
    "coupled_lstm": {".w_x": (I, 3 * H), ".w_h": (H, 3 * H), ".b": (3 * H,)},
    "janet": {".w_x": (I, 2 * H), ".w_h": (H, 2 * H), ".b": (2 * H,)},
    "layer_norm_gru": {
        ".w_x": (I, 3 * H),
        ".w_h": (H, 3 * H),
        **dict.fromkeys((".scale_x", ".scale_h", ".b_x", ".b_h"), (3 * H,)),
    },
    "layer_norm_lstm": {
        ".w_x": (I, 4 * H),
        ".w_h": (H, 4 * H),
        **dict.fromkeys((".b", ".scale_x", ".scale_h"), (4 * H,)),
        **dict.fromkeys((".scale_c", ".offset_c"), (H,)),
    },
    "ltc": {
        ".w_x": (I, H),
        ".w_h": (H, H),
        **dict.fromkeys((".b", ".a", ".log_tau"), (H,)),
    },
    "mgu": {".w_x": (I, 2 * H), ".w_h": (H, 2 * H), ".b": (2 * H,)},
    "mlstm": {
        ".w_qkv": (I, 3 * H),
        ".b_qkv": (3 * H,),
        ".w_if": (I, 2 * 2),
        ".b_if": (2 * 2,),
        ".w_o": (I, H),
        ".b_o": (H,),
    },
    "peephole_lstm": {
        ".w_x": (I, 4 * H),
        ".w_h": (H, 4 * H),
        ".w_c": (3 * H,),
        ".b": (4 * H,),
    },
    "projected_lstm": {
        ".w_x": (I, 4 * H),
        ".w_h": (O, 4 * H),
        ".b": (4 * H,),
        ".w_r": (H, O),
    },
    "slstm": {".w_x": (I, 4 * H), ".w_h": (H, 4 * H), ".b": (4 * H,)},
    "ugrnn": {".w_x": (I, 2 * H), ".w_h": (H, 2 * H), ".b": (2 * H,)},
    "antisymmetric": {".w_x": (I, H), ".w_h": (H, H), ".b": (H,)},
    "clockwork": {".w_x": (I, H), ".w_h": (H, H), ".b": (H,)},
    "cornn": {".w_x": (I, H), ".w_y": (H, H), ".w_z": (H, H), ".b": (H,)},
    "dale": {".w_x": (I, H), ".w_h": (H, H), ".b": (H,)},
    "echo_state": {".w_x": (I, H), ".w_h": (H, H), ".b": (H,)},
    "indrnn": {".w_x": (I, H), ".u": (H,), ".b": (H,)},
    "leaky": {".w_x": (I, H), ".w_h": (H, H), ".b": (H,)},
    "lem": {
        ".w_x": (I, 4 * H),
        ".w_y": (H, 3 * H),
        ".w_z": (H, H),
        ".b": (4 * H,),
    },
    "low_rank": {".w_x": (I, H), ".m": (H, 2), ".n": (H, 2), ".b": (H,)},
    "lru": {
        **dict.fromkeys((".nu", ".theta", ".gamma"), (3,)),
        **{".w_x": (I, 6), ".w_h": (6, H), ".w_y": (I, H)},
    },
    "min_gru": {".w_x": (I, 2 * H), ".b": (2 * H,)},
    "min_lstm": {".w_x": (I, 3 * H), ".b": (3 * H,)},
    "orthogonal_rnn": {".w_x": (I, H), ".a": (H, H), ".b": (H,)},
    "qrnn": {".w_x": (I, 3 * H), ".b": (3 * H,)},
    "s5": {
        **dict.fromkeys((".log_decay", ".frequency", ".log_dt"), (3,)),
        **{".w_x": (I, 6), ".w_h": (6, H), ".w_y": (I, H)},
    },
    "sru": {".w_x": (I, 4 * H), ".b": (2 * H,)},
    "sru-square": {".w_x": (I, 3 * I), ".b": (2 * I,)},
    "linear": {".w": (I, O), ".b": (O,)},
    "weight_norm": {
        ".cell.w_x": (I, 3 * H),
        ".cell.w_h": (H, 3 * H),
        ".cell.b_x": (3 * H,),
        ".cell.b_h": (3 * H,),
        ".g[0]": (3 * H,),
        ".g[1]": (3 * H,),
    },
    "highway": {
        ".cell.w_x": (H, 3 * H),
        ".cell.w_h": (H, 3 * H),
        ".cell.b_x": (3 * H,),
        ".cell.b_h": (3 * H,),
        ".w_t": (H, H),
        ".b_t": (H,),
    },
    "skip": {
        "[0].w_x": (I, 3 * H),
        "[0].w_h": (H, 3 * H),
        "[0].b_x": (3 * H,),
        "[0].b_h": (3 * H,),
        "[1].w_x": (I + H, 4 * O),
        "[1].w_h": (O, 4 * O),
        "[1].b": (4 * O,),
    },
    "tied": {
        ".embed.table": (V, O),
        ".cell[0].w_x": (O, 4 * H),
        ".cell[0].w_h": (H, 4 * H),
        ".cell[0].b": (4 * H,),
        ".cell[1].w": (H, O),
        ".cell[1].b": (O,),
        ".b": (V,),
    },
    "embed": {".table": (V, O)},
    "one_hot": {},
    "activation": {},
    "stateless": {},
    "stack": {
        "[0].w_x": (I, H),
        "[0].w_h": (H, H),
        "[0].b": (H,),
        "[1].w": (H, O),
        "[1].b": (O,),
    },
    "layer_norm": {
        ".cell.w_x": (I, 4 * H),
        ".cell.w_h": (H, 4 * H),
        ".cell.b": (4 * H,),
        ".scale": (H,),
        ".offset": (H,),
    },
    "learned_carry": {
        ".cell.w_x": (I, 4 * H),
        ".cell.w_h": (H, 4 * H),
        ".cell.b": (4 * H,),
        ".carry.h": (H,),
        ".carry.c": (H,),
    },
}


LAYOUT_OF_SEQUENCES = {
    "bidirectional": {
        "[0].w_x": (I, 4 * H),
        "[0].w_h": (H, 4 * H),
        "[0].b": (4 * H,),
        "[1].w_x": (I, 3 * O),
        "[1].w_h": (O, 3 * O),
        "[1].b_x": (3 * O,),
        "[1].b_h": (3 * O,),
    },
    "conv": {".w": (3, I, O), ".b": (O,)},
    "mean": {},
}


@pytest.mark.parametrize("name", [*LAYOUT, *LAYOUT_OF_SEQUENCES])
def test_layout_of_parameters(name):
    of_cell = name in LAYOUT
    params = (example if of_cell else sequence_example)(name).params
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    got = {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
    expected = LAYOUT[name] if of_cell else LAYOUT_OF_SEQUENCES[name]
    assert got == expected
    assert list(got) == list(expected)


def test_output_spec_and_spec():
    cell = jrnn.stack(jrnn.dropout(jrnn.lstm(H), 0.1), jrnn.linear(O))
    x = jax.ShapeDtypeStruct((I,), jnp.float32)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), x))
    expected = jax.ShapeDtypeStruct((O,), jnp.float32)
    assert jrnn.output_spec(cell, params, x) == expected
    tree = {"a": jnp.zeros((2, 3), jnp.bfloat16), "b": x, "c": 1}
    assert jrnn.spec(tree) == {
        "a": jax.ShapeDtypeStruct((2, 3), jnp.bfloat16),
        "b": x,
        "c": jax.ShapeDtypeStruct((), jnp.int64),
    }


def test_a_doctest_that_lies_is_noticed():
    failed = doctest.DocTestRunner(verbose=False)
    test = doctest.DocTestParser().get_doctest(">>> 1\n2\n", {}, "lie", None, 0)
    assert failed.run(test, out=lambda _: None).failed == 1


def in_a_fresh_process(program: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return run.stdout


def test_modules_of_tasks_are_imported_when_asked_for():
    """All that are public, none of them by `import jrnn`."""
    program = f"""
import sys, jrnn
names = {LATER}
print([n for n in names if "jrnn." + n in sys.modules])
print([n for n in names if getattr(jrnn, n) is not sys.modules["jrnn." + n]])
print([n for n in names if n not in dir(jrnn)])
print([n for n in {sorted(OF_FILES)} if getattr(jrnn, n) is not getattr(jrnn.files, n)])
"""
    assert in_a_fresh_process(program).split("\n")[:4] == ["[]"] * 4


def test_every_public_module_is_an_attribute_of_the_package():
    others = "_", "py.typed"
    found = {p.stem for p in PACKAGE.iterdir() if not p.name.startswith(others)}
    assert not [n for n in found - {"cli"} if not hasattr(jrnn, n)]


def test_the_version_is_that_of_the_installed_package():
    declared = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    assert jrnn.__version__ in (declared["project"]["version"], "0+unknown")
    assert "__version__" in dir(jrnn)


def test_a_name_that_does_not_exist_is_refused_as_by_python():
    with pytest.raises(AttributeError, match="module 'jrnn' has no attribute 'lstn'"):
        jrnn.lstn  # noqa: B018
    assert not hasattr(jrnn, "_nothing")


def test_a_cell_is_shown_as_the_call_that_made_it():
    inner = jrnn.dropout(jrnn.lstm(8, forget_bias=0.5), 0.1)
    model = jrnn.stack(jrnn.one_hot(5), inner, jrnn.linear(5))
    assert (
        repr(model)
        == str(model)
        == (
            "stack(one_hot(vocab_size=5), dropout(lstm(hidden_size=8, "
            "forget_bias=0.5), rate=0.1), linear(output_size=5))"
        )
    )
    both = jrnn.bidirectional(jrnn.gru(2), jrnn.gru(3))
    gru = "gru(hidden_size={}, reset='after')"
    assert repr(both) == f"bidirectional({gru.format(2)}, {gru.format(3)})"
    assert "activation=tanh" in repr(jrnn.elman(3))  # and no address

    def step(params, carry, x, *, key=None):
        return carry, x

    changed = repr(jrnn.lstm(4)._replace(step=step))
    assert changed.startswith("Cell(lstm.<locals>.init, lstm.<locals>.initial_carry, ")
    assert " at 0x" not in changed and changed.endswith("step)")
